package access

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"quartet/device/durable"
	"quartet/device/durable/powercut"
)

const (
	theCode  = "KX4P-2M9R-7TQA-WD3H"
	thePass  = "four quiet otters sing"
	otherPwd = "seven green lamps hum"
)

var (
	home     = netip.MustParseAddr("192.0.2.10")
	attacker = netip.MustParseAddr("198.51.100.7")
	ctx      = context.Background()
)

// cheap makes tests fast where the cost of a hash is not what they are about.
var cheap = cost{memoryKiB: 8, passes: 1, lanes: 1}

// clock is a clock that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func config(c *clock) Config {
	return Config{Now: c.now, ClaimCode: func(code string) bool { return code == theCode }}
}

// store opens a store in a folder and fails the test if there is a problem.
func store(t testing.TB, cfg Config, f durable.Folder) *Store {
	t.Helper()
	s, err := openIn(cfg, f, cheap)
	if err != nil || s.Problem() != nil {
		t.Fatal(err, s.Problem())
	}
	return s
}

// claimed is a store with the admin ada.
func claimed(t testing.TB, c *clock) *Store {
	t.Helper()
	s := store(t, config(c), powercut.New())
	if err := s.Claim(ctx, home, theCode, "ada", thePass); err != nil {
		t.Fatal(err)
	}
	return s
}

func login(t testing.TB, s *Store, user, password string) string {
	t.Helper()
	token, _, err := s.Login(ctx, home, user, password)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// S1: no default password, also after a factory reset.
func TestS1NoLoginUntilClaimed(t *testing.T) {
	c := newClock()
	s := store(t, config(c), powercut.New())
	refused := func() {
		t.Helper()
		for _, user := range []string{"", "admin", "root", "ada", "quartet", "user"} {
			for _, password := range []string{"", "admin", "quartet", "password", theCode, thePass} {
				c.add(time.Minute)
				if _, _, err := s.Login(ctx, home, user, password); !errors.Is(err, ErrUnclaimed) {
					t.Fatalf("login %s/%s to an unclaimed box: %v", user, password, err)
				}
			}
		}
		if err := s.AddUser(ctx, "ada", thePass, Admin); !errors.Is(err, ErrUnclaimed) {
			t.Fatalf("a user without a claim: %v", err)
		}
	}
	for round := range 2 { // before the first claim, and after a factory reset
		if s.Claimed() || len(s.Users()) != 0 {
			t.Fatal("claimed by nobody")
		}
		refused()
		c.add(time.Minute)
		if err := s.Claim(ctx, home, "KX4P-2M9R-7TQA-WD3X", "ada", thePass); !errors.Is(err, ErrWrong) {
			t.Fatalf("claim with a wrong code: %v", err)
		}
		if err := s.Claim(ctx, home, theCode, "ada", thePass); err != nil {
			t.Fatal(err)
		}
		if err := s.Claim(ctx, home, theCode, "eve", thePass); !errors.Is(err, ErrClaimed) {
			t.Fatalf("second claim: %v", err)
		}
		token := login(t, s, "Ada ", thePass)
		if round > 0 {
			break
		}
		if err := s.Reset(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Session(token); !errors.Is(err, ErrExpired) {
			t.Fatalf("session after a reset: %v", err)
		}
	}
	// Nobody knows a code: nobody claims.
	s = store(t, Config{Now: c.now}, powercut.New())
	if err := s.Claim(ctx, home, "", "ada", thePass); !errors.Is(err, ErrUnprovisioned) {
		t.Fatalf("claim of a box without a code: %v", err)
	}
}

// Two claims at once: one wins.
func TestClaimOnce(t *testing.T) {
	c := newClock()
	s := store(t, config(c), powercut.New())
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() {
			errs[i] = s.Claim(ctx, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), theCode, fmt.Sprintf("user%d", i), thePass)
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, ErrClaimed):
			t.Error(err)
		}
	}
	if won != 1 || len(s.Users()) != 1 {
		t.Fatalf("%d claims won, users %v", won, s.Users())
	}
}

// S2: a thousand guesses from one source, at the cost that hashes really have.
// At most five in any minute are looked at, and the owner gets in from another
// source at any time.
func TestS2GuessingIsSlow(t *testing.T) {
	c := newClock()
	s, err := openIn(config(c), powercut.New(), standardCost)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Claim(ctx, home, theCode, "ada", thePass); err != nil {
		t.Fatal(err)
	}
	var looked []time.Time
	var told time.Duration
	for guess := range 1000 {
		c.add(120 * time.Millisecond)
		_, _, err := s.Login(ctx, attacker, "ada", fmt.Sprint("guess number ", guess))
		var slow *SlowDown
		switch {
		case errors.Is(err, ErrWrong):
			looked = append(looked, c.now())
		case errors.As(err, &slow):
			told = max(told, slow.RetryAfter)
			if slow.RetryAfter < time.Second || slow.RetryAfter > time.Minute {
				t.Fatalf("told to come back in %v", slow.RetryAfter)
			}
		default:
			t.Fatalf("guess %d: %v", guess, err)
		}
		if guess == 500 || guess == 999 {
			login(t, s, "ada", thePass)
			// The right password from where the guesses come is not looked at either.
			if _, _, err := s.Login(ctx, attacker, "ada", thePass); !errors.As(err, &slow) {
				t.Fatalf("the attacker's source is not slowed down: %v", err)
			}
		}
	}
	for i := range looked {
		if i >= maxWrong && looked[i].Sub(looked[i-maxWrong]) < time.Minute {
			t.Fatalf("6 guesses within %v", looked[i].Sub(looked[i-maxWrong]))
		}
	}
	// 1,000 guesses in two minutes: 5 at once, and 5 in each full minute after.
	if len(looked) < 10 || len(looked) > 15 {
		t.Fatalf("%d guesses were looked at", len(looked))
	}
	if told < 50*time.Second {
		t.Errorf("nobody was told to wait for longer than %v", told)
	}
	c.add(time.Minute)
	if _, _, err := s.Login(ctx, attacker, "ada", thePass); err != nil {
		t.Fatalf("a minute later: %v", err)
	}
}

// The claim code is guessed no faster, and a right one is not held against its
// owner.
func TestS2ClaimIsSlow(t *testing.T) {
	c := newClock()
	asked := 0
	cfg := config(c)
	cfg.ClaimCode = func(code string) bool { asked++; return code == theCode }
	s := store(t, cfg, powercut.New())
	var slow *SlowDown
	for range 1000 {
		c.add(60 * time.Millisecond)
		if err := s.Claim(ctx, attacker, "AAAA-AAAA-AAAA-AAAA", "ada", thePass); !errors.Is(err, ErrWrong) && !errors.As(err, &slow) {
			t.Fatal(err)
		}
	}
	if asked != maxWrong {
		t.Fatalf("%d codes were compared within a minute", asked)
	}
	for range 2 * maxWrong { // typing a password that is refused is no guess
		var bad *Refused
		if err := s.Claim(ctx, home, theCode, "ada", "short"); !errors.As(err, &bad) || bad.Field != "password" {
			t.Fatalf("claim with a short password: %v", err)
		}
	}
	if err := s.Claim(ctx, home, theCode, "ada", thePass); err != nil {
		t.Fatal(err)
	}
}

func TestSourceOf(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"2001:db8::1", "2001:db8::ffff:1", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"fe80::1%eth0", "fe80::2%eth0", false},
		{"fe80::1%eth0", "fe80::1%eth1", true},
	} {
		if got := sourceOf(netip.MustParseAddr(tc.a)) == sourceOf(netip.MustParseAddr(tc.b)); got != tc.same {
			t.Errorf("%s and %s are one source: %t", tc.a, tc.b, got)
		}
	}
	sourceOf(netip.Addr{}) // no panic
}

// The table of sources is bounded, whatever comes.
func TestThrottleMemoryIsBounded(t *testing.T) {
	c := newClock()
	s := claimed(t, c)
	base := netip.MustParseAddr("2001:db8::").As16()
	for i := range 3 * maxSources {
		base[4], base[5], base[6] = byte(i>>16), byte(i>>8), byte(i)
		if _, err := s.begin(netip.AddrFrom16(base)); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			c.add(time.Millisecond)
		}
	}
	if n := len(s.throttle.sources); n > maxSources || n != s.throttle.order.Len() {
		t.Fatalf("%d sources are kept, %d in order", n, s.throttle.order.Len())
	}
	// Those that are quiet go first once they count no more.
	c.add(2 * time.Minute)
	if _, err := s.begin(home); err != nil {
		t.Fatal(err)
	}
	if n := len(s.throttle.sources); n != 1 || s.throttle.order.Len() != 1 {
		t.Fatalf("%d sources are kept after two quiet minutes", n)
	}
	for i := range 2 * maxKnown {
		a, err := s.begin(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
		if err != nil {
			t.Fatal(err)
		}
		c.add(time.Second)
		s.succeeded(a)
	}
	if n := len(s.throttle.known); n > maxKnown {
		t.Fatalf("%d known sources are kept", n)
	}
}

// A right password between wrong ones does not wash those away.
func TestRightDoesNotResetWrong(t *testing.T) {
	c := newClock()
	s := claimed(t, c)
	if err := s.AddUser(ctx, "vera", otherPwd, Viewer); err != nil {
		t.Fatal(err)
	}
	looked := 0
	for range 50 {
		if _, _, err := s.Login(ctx, attacker, "ada", "is it this one?"); errors.Is(err, ErrWrong) {
			looked++
		}
		_, _, _ = s.Login(ctx, attacker, "vera", otherPwd)
		c.add(time.Second)
	}
	if looked != maxWrong {
		t.Fatalf("%d guesses beside right logins in 50 s", looked)
	}
}

// The queue lets one at a time through, those who were here before first, and
// is bounded.
func TestGate(t *testing.T) {
	var g gate
	leave, err := g.enter(ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var order []bool
	var wg sync.WaitGroup
	wait := func(known bool, n int) {
		for range n {
			wg.Go(func() {
				leave, err := g.enter(ctx, known)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, known)
				mu.Unlock()
				leave()
			})
		}
	}
	queued := func(lane, n int) {
		for {
			g.mu.Lock()
			have := len(g.waiting[lane])
			g.mu.Unlock()
			if have == n {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	wait(false, maxWaiting)
	queued(1, maxWaiting)
	var slow *SlowDown
	if _, err := g.enter(ctx, false); !errors.As(err, &slow) {
		t.Fatalf("one too many: %v", err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := g.enter(gone, true); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	wait(true, 3)
	queued(0, 3)
	leave()
	wg.Wait()
	if len(order) != maxWaiting+3 || !order[0] || !order[1] || !order[2] || order[3] {
		t.Fatalf("order of turns: %v", order)
	}
	if leave, err = g.enter(ctx, false); err != nil {
		t.Fatal(err)
	}
	leave()
}

// A try that was not looked at, because the queue was full or its caller went
// away, counts for nothing.
func TestCancelledTryIsTakenBack(t *testing.T) {
	c := newClock()
	s := claimed(t, c)
	leave, err := s.gate.enter(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	for range 3 * maxWrong {
		if err := s.Verify(gone, home, "ada", thePass); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	leave()
	login(t, s, "ada", thePass)
}

// S4, of sessions: new at each login, 15 minutes idle, 12 hours at most, and
// logout ends them everywhere.
func TestS4Sessions(t *testing.T) {
	c := newClock()
	s := claimed(t, c)
	one, two := login(t, s, "ada", thePass), login(t, s, "ada", thePass)
	if one == two || len(one) != 43 {
		t.Fatalf("tokens %q and %q", one, two)
	}
	for _, stolen := range []string{"", "x", one[:42], strings.ToLower(one) + "A"} {
		if _, err := s.Session(stolen); !errors.Is(err, ErrExpired) {
			t.Fatalf("token %q: %v", stolen, err)
		}
	}
	se, err := s.Session(one)
	if err != nil || se.User != "ada" || se.Role != Admin || se.Source != home || se.IdleLeft != Idle || !se.Ends.Equal(c.now().Add(Longest)) {
		t.Fatalf("%+v, %v", se, err)
	}

	// Idle: a look keeps nothing alive, a request does.
	c.add(Idle - time.Second)
	if se, err := s.Peek(two); err != nil || se.IdleLeft != time.Second {
		t.Fatalf("%+v, %v", se, err)
	}
	if _, err := s.Session(one); err != nil {
		t.Fatal(err)
	}
	c.add(time.Second)
	if _, err := s.Session(two); !errors.Is(err, ErrExpired) {
		t.Fatalf("15 minutes idle: %v", err)
	}
	if _, err := s.Session(one); err != nil {
		t.Fatal(err)
	}

	// Absolute, however much it is used.
	for range int(Longest/(10*time.Minute)) + 1 {
		c.add(10 * time.Minute)
		if _, err = s.Session(one); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrExpired) || c.now().Sub(se.Started) < Longest-10*time.Minute {
		t.Fatalf("after %v: %v", c.now().Sub(se.Started), err)
	}

	// Logout: one, and everywhere.
	one, two, three := login(t, s, "ada", thePass), login(t, s, "ada", thePass), login(t, s, "ada", thePass)
	s.Logout(one)
	if _, err := s.Session(one); !errors.Is(err, ErrExpired) {
		t.Fatal("a session that was logged out")
	}
	s.LogoutUser("ada")
	for _, token := range []string{two, three} {
		if _, err := s.Session(token); !errors.Is(err, ErrExpired) {
			t.Fatal("a session that was logged out from elsewhere")
		}
	}
	if len(s.sessions) != 0 {
		t.Errorf("%d sessions are kept", len(s.sessions))
	}
}

// Setting the clock ends no session and opens no throttle, because the times
// have monotonic readings: with the system's own clock.
func TestClockWithMonotonicReading(t *testing.T) {
	s := store(t, Config{ClaimCode: func(code string) bool { return code == theCode }}, powercut.New())
	if err := s.Claim(ctx, home, theCode, "ada", thePass); err != nil {
		t.Fatal(err)
	}
	token := login(t, s, "ada", thePass)
	for _, o := range s.sessions {
		if !strings.Contains(o.used.String(), "m=+") || !strings.Contains(o.started.String(), "m=+") {
			t.Fatalf("%v has no monotonic reading", o.used)
		}
	}
	if _, err := s.Session(token); err != nil {
		t.Fatal(err)
	}
	for _, u := range s.Users() {
		if strings.Contains(u.Created.String(), "m=") {
			t.Errorf("what is shown is a wall time: %v", u.Created)
		}
	}
}

func TestSessionsAreBounded(t *testing.T) {
	c := newClock()
	s := claimed(t, c)
	first := login(t, s, "ada", thePass)
	for range maxUserSessions {
		c.add(4 * time.Second)
		login(t, s, "ada", thePass)
	}
	if _, err := s.Session(first); !errors.Is(err, ErrExpired) {
		t.Error("the one idle for longest is still there")
	}
	if n := s.Users()[0].Sessions; n != maxUserSessions {
		t.Errorf("%d sessions of one user", n)
	}
	for i := range 2 * maxSessions / maxUserSessions {
		user := fmt.Sprint("user", i)
		if err := s.AddUser(ctx, user, otherPwd, Viewer); err != nil {
			t.Fatal(err)
		}
		for range maxUserSessions {
			c.add(3 * time.Second)
			login(t, s, user, otherPwd)
		}
	}
	if n := len(s.sessions); n > maxSessions {
		t.Errorf("%d sessions", n)
	}
}

// S14, of roles: each contains the one before, and nothing else is one.
func TestS14Roles(t *testing.T) {
	for i, have := range Roles {
		for j, need := range Roles {
			if have.May(need) != (i >= j) {
				t.Errorf("%s where %s is needed: %t", have, need, have.May(need))
			}
		}
		for _, odd := range []Role{"", "root", "ADMIN"} {
			if have.May(odd) || odd.May(have) || odd.May(odd) {
				t.Errorf("%q counts for something", odd)
			}
		}
	}
}

func TestUsers(t *testing.T) {
	c := newClock()
	s := claimed(t, c)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	is := func(err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Fatalf("%v, not %v", err, want)
		}
	}
	must(s.AddUser(ctx, "Oskar", otherPwd, Operator))
	is(s.AddUser(ctx, "oskar", otherPwd, Viewer), ErrUserExists)
	is(s.SetRole("nobody", Viewer), ErrNoUser)
	is(s.DeleteUser("nobody"), ErrNoUser)
	is(s.SetPassword(ctx, "nobody", otherPwd), ErrNoUser)
	is(s.SetRole("ada", Viewer), ErrLastAdmin)
	is(s.DeleteUser("ada"), ErrLastAdmin)

	// A role counts at once, in sessions that are open.
	token := login(t, s, "oskar", otherPwd)
	must(s.SetRole("oskar", Admin))
	if se, err := s.Session(token); err != nil || se.Role != Admin {
		t.Fatalf("%+v, %v", se, err)
	}
	must(s.SetRole("ada", Viewer))
	is(s.DeleteUser("oskar"), ErrLastAdmin)

	// A new password ends the sessions; the old one is of no use.
	must(s.ChangePassword(ctx, home, "oskar", otherPwd, "three slow snails race"))
	_, err := s.Session(token)
	is(err, ErrExpired)
	_, _, err = s.Login(ctx, home, "oskar", otherPwd)
	is(err, ErrWrong)
	is(s.ChangePassword(ctx, home, "oskar", otherPwd, thePass), ErrWrong)
	token = login(t, s, "oskar", "three slow snails race")

	// So does the end of the user.
	must(s.SetRole("ada", Admin))
	must(s.DeleteUser("oskar"))
	_, err = s.Session(token)
	is(err, ErrExpired)
	_, _, err = s.Login(ctx, home, "oskar", "three slow snails race")
	is(err, ErrWrong)

	for i := 1; i < maxUsers; i++ {
		must(s.AddUser(ctx, fmt.Sprint("user", i), otherPwd, Viewer))
	}
	var bad *Refused
	if err := s.AddUser(ctx, "onemore", otherPwd, Viewer); !errors.As(err, &bad) {
		t.Fatalf("one user too many: %v", err)
	}
	if got := s.Users(); len(got) != maxUsers || got[0].Name != "ada" {
		t.Fatalf("%v", got)
	}
}

func TestRefusedNamesAndPasswords(t *testing.T) {
	s := claimed(t, newClock())
	for _, tc := range []struct{ user, password, field string }{
		{"", otherPwd, "user"}, {"-x", otherPwd, "user"}, {"a b", otherPwd, "user"}, {"jürgen", otherPwd, "user"},
		{strings.Repeat("a", 33), otherPwd, "user"}, {"x\x00", otherPwd, "user"},
		{"bob", "", "password"}, {"bob", "ninechars", "password"}, {"bob", "äöüäöüäöü", "password"},
		{"bob", strings.Repeat("x7 ", 100), "password"}, {"bob", "zero\x00byte in it", "password"}, {"bob", "no utf-8 \xff here", "password"},
		{"bob", theCode, "password"},
		{"hildegard", "hildegard1", "password"}, {"hildegard", "Hildegard 99", "password"}, {"op", "opopopopop", "password"},
		{"bob", "1234567890", "password"}, {"bob", "0123456789012", "password"}, {"bob", "password123", "password"},
		{"bob", "P@ssw0rd2026!", "password"}, {"bob", "qwertyuiop", "password"}, {"bob", "qwertz12345", "password"},
		{"bob", "aaaaaaaaaaaa", "password"}, {"bob", "abcabcabcabc", "password"}, {"bob", "Quartet2026", "password"},
		{"bob", "iloveyou123", "password"}, {"bob", "letmein!!!!", "password"}, {"bob", "adminadmin", "password"},
		{"bob", "welcome2024", "password"}, {"bob", "Broadcast#1", "password"}, {"bob", "1q2w3e4r5t", "password"}, {"bob", "26.11.2026", "password"},
	} {
		var bad *Refused
		if err := s.AddUser(ctx, tc.user, tc.password, Viewer); !errors.As(err, &bad) || bad.Field != tc.field || bad.Remedy == "" {
			t.Errorf("%q with %q: %v", tc.user, tc.password, err)
		} else if tc.password != "" && strings.Contains(err.Error(), tc.password) {
			t.Errorf("the error shows the password: %v", err)
		}
	}
	for i, good := range []string{thePass, otherPwd, "xK9#mQ2$vL", "tulpe-regen-42", "пароль из слов", "mVbTq7Wn4c", "73920 58164 20475", "correct horse battery"} {
		if err := s.AddUser(ctx, fmt.Sprint("user", i), good, Viewer); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	if err := s.SetRole("user0", "root"); err == nil {
		t.Error("a role that is none")
	}
}

// S6, of this package: no file and no error holds a password, the claim code or
// a token.
func TestS6NoSecretOnDisk(t *testing.T) {
	dir := t.TempDir()
	c := newClock()
	cfg := config(c)
	cfg.Dir = dir
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	note := func(err error) { fmt.Fprintf(&said, "%v %+v\n", err, err) }
	note(s.Claim(ctx, home, theCode+"X", "ada", thePass))
	if err := s.Claim(ctx, home, theCode, "ada", thePass); err != nil {
		t.Fatal(err)
	}
	token := login(t, s, "ada", thePass)
	_, _, err = s.Login(ctx, home, "ada", otherPwd)
	note(err)
	note(s.ChangePassword(ctx, home, "ada", thePass, "short"))
	secrets := []string{thePass, otherPwd, theCode, token}
	files := 0
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		if st, _ := d.Info(); st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, st.Mode())
		}
		b, err := os.ReadFile(path)
		for _, secret := range secrets {
			if strings.Contains(string(b), secret) {
				t.Errorf("%s holds a secret", path)
			}
		}
		return err
	})
	if err != nil || files != 2 {
		t.Fatalf("%d files, %v", files, err)
	}
	for _, secret := range secrets {
		if strings.Contains(said.String(), secret) {
			t.Errorf("an error holds a secret: %s", said.String())
		}
	}

	// Opened again, the user is there and the session is not.
	s, err = Open(cfg)
	if err != nil || s.Problem() != nil || !s.Claimed() {
		t.Fatal(err, s.Problem())
	}
	if _, err := s.Session(token); !errors.Is(err, ErrExpired) {
		t.Fatal("a session outlived its process")
	}
	login(t, s, "ada", thePass)
}

// F19: the power is cut at every step of a change; the next start has the old
// users or the new ones.
func TestF19UsersSurvivePowerCuts(t *testing.T) {
	c := newClock()
	cuts := 0
	for name, tc := range map[string]struct {
		change func(*Store) error
		is     func(*Store) bool // the new state
	}{
		"add": {func(s *Store) error { return s.AddUser(ctx, "oskar", otherPwd, Operator) },
			func(s *Store) bool { return len(s.Users()) == 2 }},
		"role":   {func(s *Store) error { return s.SetRole("vera", Admin) }, func(s *Store) bool { return s.users["vera"].Role == Admin }},
		"delete": {func(s *Store) error { return s.DeleteUser("vera") }, func(s *Store) bool { return len(s.Users()) == 1 }},
		"reset":  {func(s *Store) error { return s.Reset() }, func(s *Store) bool { return !s.Claimed() }},
	} {
		for fuse := 0; ; fuse++ {
			disk := powercut.New()
			s := store(t, config(c), disk)
			if err := s.Claim(ctx, home, theCode, "ada", thePass); err != nil {
				t.Fatal(err)
			}
			if name != "add" {
				if err := s.AddUser(ctx, "vera", otherPwd, Viewer); err != nil {
					t.Fatal(err)
				}
			}
			disk.Fuse(fuse)
			done := tc.change(s)
			if done != nil && name != "reset" && tc.is(s) {
				t.Fatalf("%s at step %d: failed, and counts all the same", name, fuse)
			}
			for _, after := range disk.Crashes() {
				cuts++
				s, err := openIn(config(c), after, cheap)
				if err != nil {
					t.Fatalf("%s, cut at step %d: the box does not start: %v", name, fuse, err)
				}
				fresh := tc.is(s)
				if done == nil && !fresh {
					t.Fatalf("%s, cut after step %d: it is gone", name, fuse)
				}
				if fresh && name == "reset" {
					if err := s.Claim(ctx, home, theCode, "ada", thePass); err != nil {
						t.Fatal(err)
					}
				}
				if err := s.Verify(ctx, home, "ada", thePass); err != nil {
					t.Fatalf("%s, cut at step %d: the owner does not get in: %v", name, fuse, err)
				}
				// And the next change holds.
				if err := s.AddUser(ctx, "extra", otherPwd, Viewer); err != nil {
					t.Fatal(err)
				}
				if again := store(t, config(c), after); len(again.Users()) != len(s.Users()) {
					t.Fatalf("%s, cut at step %d: %d users after another change", name, fuse, len(again.Users()))
				}
			}
			if done == nil {
				break
			}
		}
	}
	if cuts < 60 {
		t.Fatalf("only %d cuts tried", cuts)
	}
}

// Files cut off at every offset, or with a bit flipped: the other copy is used;
// if both are bad the box waits to be claimed.
func TestF19DamagedUsers(t *testing.T) {
	c := newClock()
	disk := powercut.New()
	s := store(t, config(c), disk)
	if err := s.Claim(ctx, home, theCode, "ada", thePass); err != nil {
		t.Fatal(err)
	}
	good := disk.Files()[usersFile]
	try := func(bad []byte, both bool) *Store {
		d := powercut.New()
		d.Set(usersFile, bad)
		d.Set(usersFile+".copy", good)
		if both {
			d.Set(usersFile+".copy", bad)
		}
		s, err := openIn(config(c), d, cheap)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for n := range len(good) {
		if s := try(good[:n], false); !s.Claimed() || s.Problem() == nil {
			t.Fatalf("cut at byte %d: claimed %t, problem %v", n, s.Claimed(), s.Problem())
		}
		flipped := append([]byte{}, good...)
		flipped[n] ^= 1 << (n % 8)
		if s := try(flipped, true); s.Claimed() || s.Problem() == nil {
			t.Fatalf("bit flipped in byte %d of both: claimed %t, problem %v", n, s.Claimed(), s.Problem())
		}
	}
}

// A disk that takes nothing changes nothing.
func TestDiskFull(t *testing.T) {
	disk := powercut.New()
	s := store(t, config(newClock()), disk)
	disk.Fuse(0)
	if err := s.Claim(ctx, home, theCode, "ada", thePass); !errors.Is(err, powercut.ErrPower) || s.Claimed() {
		t.Fatalf("claimed %t: %v", s.Claimed(), err)
	}
	disk.Fuse(1000)
	if err := s.Claim(ctx, home, theCode, "ada", thePass); err != nil {
		t.Fatal(err)
	}
}

// However many log in at once, memory is that of one password, and is given
// back.
func TestMemoryOfLogins(t *testing.T) {
	c := newClock()
	s, err := openIn(config(c), powercut.New(), standardCost)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Claim(ctx, home, theCode, "ada", thePass); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats // HeapSys never shrinks: it is the most that there was
	runtime.ReadMemStats(&before)
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			if err := s.Verify(ctx, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), "ada", thePass); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	runtime.ReadMemStats(&after)
	allocated := (after.TotalAlloc - before.TotalAlloc) >> 20
	held, most := (after.HeapSys-after.HeapReleased)>>20, after.HeapSys>>20
	t.Logf("12 logins allocated %d MiB; the heap was never above %d MiB and holds %d MiB now", allocated, most, held)
	if allocated < 12*19 || most > 60 || held > 16 {
		t.Errorf("12 logins at once: %d MiB allocated, heap up to %d MiB, %d MiB held", allocated, most, held)
	}
}

func TestHash(t *testing.T) {
	// The reference program's: echo -n password | argon2 somesalt -id -t 2 -k 65536 -p 1 -l 32
	const reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if ok, err := compare(reference, "password"); err != nil || !ok {
		t.Fatalf("the reference's hash does not fit: %t, %v", ok, err)
	}
	h, err := standardCost.hash(rand.Reader, thePass)
	if err != nil || !strings.HasPrefix(h, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatal(h, err)
	}
	for password, want := range map[string]bool{thePass: true, thePass + " ": false, "": false} {
		if ok, err := compare(h, password); err != nil || ok != want {
			t.Errorf("%q fits: %t, %v", password, ok, err)
		}
	}
}

func FuzzParseHash(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Add("$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, s string) {
		c, salt, key, err := parseHash(s)
		if err == nil && (c.memoryKiB > most.memoryKiB || c.passes > most.passes || c.lanes > most.lanes || len(salt) > 64 || len(key) > 64) {
			t.Errorf("%q would take %+v", s, c)
		}
	})
}

func FuzzDecodeUsers(f *testing.F) {
	b, _ := encodeUsers(map[string]record{"ada": {Name: "ada", Role: Admin, Hash: "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"}})
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		users, err := decodeUsers(b)
		if err != nil {
			return
		}
		again, err := encodeUsers(users)
		if err != nil {
			t.Skip("a time that JSON does not write")
		}
		if _, err := decodeUsers(again); err != nil {
			t.Errorf("what is written is not read: %v\n%s", err, again)
		}
	})
}

// BenchmarkLogin shows what a login costs: time, and memory.
func BenchmarkLogin(b *testing.B) {
	s, err := openIn(Config{ClaimCode: func(code string) bool { return code == theCode }}, powercut.New(), standardCost)
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Claim(ctx, home, theCode, "ada", thePass); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := s.Verify(ctx, netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), "ada", thePass); err != nil {
			b.Fatal(err)
		}
	}
}
