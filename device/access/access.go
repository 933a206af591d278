package access

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"quartet/device/durable"
)

// Role is what a user may do. Each contains the one before.
type Role string

// The roles.
const (
	Viewer   Role = "viewer"   // sees
	Operator Role = "operator" // runs: preflight, checks, logs, support bundle
	Admin    Role = "admin"    // configures
)

// Roles lists them, the least first.
var Roles = []Role{Viewer, Operator, Admin}

// Valid tells whether r is a role.
func (r Role) Valid() bool { return slices.Contains(Roles, r) }

// May tells whether r is enough where need is asked for. What is no role is
// never enough, and nothing is enough for it.
func (r Role) May(need Role) bool {
	return r.Valid() && need.Valid() && slices.Index(Roles, r) >= slices.Index(Roles, need)
}

// User is what may be shown of one.
type User struct {
	Name        string
	Role        Role
	Created     time.Time // wall clock
	PasswordSet time.Time // wall clock
	LastLogin   time.Time // wall clock; zero: not since the start of the process
	Sessions    int       // that are open now
}

// Errors. Those of a name, password or role that is not allowed are *Refused,
// and those of going too fast are *SlowDown.
var (
	// ErrWrong is a wrong user, password or claim code; which one is not said.
	ErrWrong = errors.New("wrong user or password")
	// ErrUnclaimed is any login to a box that has no user yet.
	ErrUnclaimed = errors.New("the box has not been claimed yet: claim it with the code on its label")
	// ErrClaimed is a claim of a box that has users.
	ErrClaimed = errors.New("the box has been claimed already: log in, or reset it to factory settings")
	// ErrUnprovisioned is a claim of a box that knows no claim code.
	ErrUnprovisioned = errors.New("the box has no claim code: provision it (quartetctl provision)")
	// ErrExpired is a token that belongs to no session, or to none any more.
	ErrExpired = errors.New("the session has ended: log in again")
	// ErrNoUser is a change of a user that there is not.
	ErrNoUser = errors.New("there is no such user")
	// ErrUserExists is a new user with the name of another.
	ErrUserExists = errors.New("there is a user of that name already")
	// ErrLastAdmin is a change that would leave no admin.
	ErrLastAdmin = errors.New("the last admin stays one: make another user an admin first")
)

// SlowDown is a try that was not looked at, because too many came before.
type SlowDown struct {
	RetryAfter time.Duration // from now; at least one second
}

// Error implements error.
func (s *SlowDown) Error() string {
	return fmt.Sprintf("too many tries: come back in %d s", int(s.RetryAfter.Seconds()))
}

// Refused is a name, password or role that is not allowed. It never holds a
// password.
type Refused struct {
	Field   string // user, password or role
	Problem string // continues a sentence: "has 4 characters"
	Remedy  string // "write 10 or more"
}

// Error implements error.
func (r *Refused) Error() string { return r.Field + " " + r.Problem + "; " + r.Remedy }

// Config is what a Store is made of.
type Config struct {
	// Dir is the folder of the files; it is made if there is none.
	Dir string
	// ClaimCode tells in constant time whether code is the one on the label. Nil:
	// the box cannot be claimed.
	ClaimCode func(code string) bool
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Rand is where salts and tokens come from; nil: crypto/rand.
	Rand io.Reader
}

// Store holds users and sessions.
type Store struct {
	// set at start, never changed
	cfg     Config
	file    durable.Twin
	cost    cost
	problem error
	gate    gate

	writing sync.Mutex // held while users change, over the write to disk

	mu        sync.Mutex // of what follows; never held over input or output
	users     map[string]record
	logins    map[string]time.Time // user → last one
	sessions  map[tokenHash]*open
	throttle  throttle
	decoyHash string // compared when there is no such user, so that it takes as long
}

// Open reads the users. A folder whose files are both damaged gives a box that
// waits to be claimed, with the label's code as ever, and Problem says so: the
// alternative would be a box that nobody can get into.
func Open(cfg Config) (*Store, error) {
	folder, err := durable.Open(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("access: make the folder of the users: %w", err)
	}
	return openIn(cfg, folder, standardCost)
}

func openIn(cfg Config, folder durable.Folder, c cost) (*Store, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	s := &Store{
		cfg: cfg, file: durable.Twin{Folder: folder, Name: usersFile}, cost: c,
		users: map[string]record{}, logins: map[string]time.Time{}, sessions: map[tokenHash]*open{}, throttle: newThrottle(),
	}
	decoy, err := c.hash(s.cfg.Rand, "")
	if err != nil {
		return nil, fmt.Errorf("access: %w", err)
	}
	s.decoyHash = decoy
	data, problem, err := s.file.Load()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, nil
	case errors.Is(err, durable.ErrDamaged):
		s.problem = fmt.Errorf("access: users are lost, the box waits to be claimed: %w", err)
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("access: read the users: %w", err)
	}
	if s.users, err = decodeUsers(data); err != nil {
		s.users = map[string]record{}
		s.problem = fmt.Errorf("access: users are lost, the box waits to be claimed: %w", err)
		return s, nil
	}
	if problem != nil {
		s.problem = fmt.Errorf("access: the file of the users: %w", problem)
	}
	return s, nil
}

// Problem is what Open found wrong with the files and went on with; nil if
// nothing. It belongs into the log and the conditions.
func (s *Store) Problem() error { return s.problem }

// Claimed tells whether the box has a user.
func (s *Store) Claimed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.users) > 0
}

// Claim makes the first user, an admin, of a box that has none. Guesses of the
// code are slowed down as logins are. Errors: ErrClaimed, ErrUnprovisioned,
// ErrWrong (the code), *Refused (name or password), *SlowDown, what ctx says,
// or that of the write.
func (s *Store) Claim(ctx context.Context, source netip.Addr, code, user, password string) error {
	switch {
	case s.Claimed():
		return ErrClaimed
	case s.cfg.ClaimCode == nil:
		return ErrUnprovisioned
	}
	attempt, err := s.begin(source)
	if err != nil {
		return err
	}
	if len(code) > maxPassword || !s.cfg.ClaimCode(code) {
		return ErrWrong
	}
	s.succeeded(attempt)
	name, err := s.checkNew(user, password)
	if err != nil {
		return err
	}
	hash, err := s.hash(ctx, true, password)
	if err != nil {
		return err
	}
	now := s.cfg.Now()
	return s.change(func(users map[string]record) error {
		if len(users) > 0 {
			return ErrClaimed
		}
		users[name] = record{Name: name, Role: Admin, Hash: hash, Created: wall(now), PasswordSet: wall(now)}
		return nil
	})
}

// Users returns all users in the order of their names.
func (s *Store) Users() []User {
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(now)
	open := map[string]int{}
	for _, o := range s.sessions {
		open[o.user]++
	}
	list := make([]User, 0, len(s.users))
	for name, u := range s.users {
		list = append(list, User{Name: name, Role: u.Role, Created: u.Created, PasswordSet: u.PasswordSet,
			LastLogin: s.logins[name], Sessions: open[name]})
	}
	slices.SortFunc(list, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// AddUser makes a user. Errors: ErrUnclaimed, ErrUserExists, *Refused,
// *SlowDown (too many passwords under way), what ctx says, or that of the
// write.
func (s *Store) AddUser(ctx context.Context, user, password string, role Role) error {
	if !s.Claimed() {
		return ErrUnclaimed // the first one comes from Claim alone
	}
	if err := checkRole(role); err != nil {
		return err
	}
	name, err := s.checkNew(user, password)
	if err != nil {
		return err
	}
	if s.has(name) {
		return ErrUserExists
	}
	hash, err := s.hash(ctx, true, password)
	if err != nil {
		return err
	}
	now := s.cfg.Now()
	return s.change(func(users map[string]record) error {
		switch _, there := users[name]; {
		case len(users) == 0: // reset meanwhile
			return ErrUnclaimed
		case there:
			return ErrUserExists
		case len(users) >= maxUsers:
			return &Refused{"user", fmt.Sprintf("would be number %d", len(users)+1), fmt.Sprintf("delete others: the box keeps up to %d", maxUsers)}
		}
		users[name] = record{Name: name, Role: role, Hash: hash, Created: wall(now), PasswordSet: wall(now)}
		return nil
	})
}

// SetRole changes what a user may do, at once also in sessions that are open.
// Errors: ErrNoUser, ErrLastAdmin, *Refused, or that of the write.
func (s *Store) SetRole(user string, role Role) error {
	if err := checkRole(role); err != nil {
		return err
	}
	name := fold(user)
	return s.change(func(users map[string]record) error {
		u, there := users[name]
		if !there {
			return ErrNoUser
		}
		if role != Admin && lastAdmin(users, name) {
			return ErrLastAdmin
		}
		u.Role = role
		users[name] = u
		return nil
	})
}

// SetPassword gives a user a new password and ends all of the user's sessions.
// It does not ask for the old one: that is ChangePassword. Errors: ErrNoUser,
// *Refused, *SlowDown (too many passwords under way), what ctx says, or that
// of the write.
func (s *Store) SetPassword(ctx context.Context, user, password string) error {
	name := fold(user)
	if !s.has(name) {
		return ErrNoUser
	}
	if err := s.checkPassword(name, password); err != nil {
		return err
	}
	hash, err := s.hash(ctx, true, password)
	if err != nil {
		return err
	}
	now := s.cfg.Now()
	err = s.change(func(users map[string]record) error {
		u, there := users[name]
		if !there {
			return ErrNoUser
		}
		u.Hash, u.PasswordSet = hash, wall(now)
		users[name] = u
		return nil
	})
	if err == nil {
		s.LogoutUser(name)
	}
	return err
}

// ChangePassword is SetPassword for a user who knows the old one; wrong ones
// are slowed down as logins are. All sessions end, also the one it is called
// from. Errors: those of Verify and SetPassword.
func (s *Store) ChangePassword(ctx context.Context, source netip.Addr, user, old, password string) error {
	if err := s.Verify(ctx, source, user, old); err != nil {
		return err
	}
	if old == password {
		return &Refused{"password", "is the old one", "write another one"}
	}
	return s.SetPassword(ctx, user, password)
}

// DeleteUser removes a user and ends the user's sessions. Errors: ErrNoUser,
// ErrLastAdmin, or that of the write.
func (s *Store) DeleteUser(user string) error {
	name := fold(user)
	err := s.change(func(users map[string]record) error {
		if _, there := users[name]; !there {
			return ErrNoUser
		}
		if lastAdmin(users, name) {
			return ErrLastAdmin
		}
		delete(users, name)
		return nil
	})
	if err == nil {
		s.LogoutUser(name)
	}
	return err
}

// Reset forgets all users and sessions: the box waits to be claimed again. The
// files are overwritten and removed.
func (s *Store) Reset() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	err := s.file.Destroy()
	s.mu.Lock()
	defer s.mu.Unlock()
	// Also if a file would not go: nobody gets in with what was to be forgotten.
	clear(s.users)
	clear(s.logins)
	clear(s.sessions)
	if err != nil {
		return fmt.Errorf("access: remove the users: %w", err)
	}
	return nil
}

// change lets f change a copy of the users, writes it, and makes it count. An
// error changes nothing.
func (s *Store) change(f func(map[string]record) error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	users := make(map[string]record, len(s.users)+1)
	for name, u := range s.users {
		users[name] = u
	}
	s.mu.Unlock()
	if err := f(users); err != nil {
		return err
	}
	data, err := encodeUsers(users)
	if err == nil {
		err = s.file.Save(data)
	}
	if err != nil {
		return fmt.Errorf("access: keep the users: %w", err)
	}
	s.mu.Lock()
	s.users = users
	s.mu.Unlock()
	return nil
}

func (s *Store) has(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, there := s.users[name]
	return there
}

// lastAdmin tells whether name is an admin and the only one.
func lastAdmin(users map[string]record, name string) bool {
	if users[name].Role != Admin {
		return false
	}
	for other, u := range users {
		if other != name && u.Role == Admin {
			return false
		}
	}
	return true
}

// wall is a time as it is kept: without a monotonic reading, in whole seconds.
func wall(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
