package access

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/netip"
	"time"
)

const (
	// Idle is how long a session lasts without a request.
	Idle = 15 * time.Minute
	// Longest is how long a session lasts in any case.
	Longest = 12 * time.Hour

	tokenBytes = 32 // 256 random bits

	maxSessions     = 128 // of the box
	maxUserSessions = 16  // of one user; the one idle for longest makes place
)

// Session is one login, as it was when it was asked for.
type Session struct {
	User     string
	Role     Role       // of now, not of the login
	Source   netip.Addr // that logged in
	Started  time.Time
	LastUsed time.Time     // before this request
	IdleLeft time.Duration // until it ends unless it is used
	Ends     time.Time     // in any case
}

// tokenHash is what the box keeps of a token: who reads its memory or a core
// dump finds no session to take over.
type tokenHash [sha256.Size]byte

// open is a session that has not ended, or whose end nobody has noticed yet.
type open struct {
	user          string
	source        netip.Addr
	started, used time.Time
}

func (o *open) over(now time.Time) bool {
	return now.Sub(o.used) >= Idle || now.Sub(o.started) >= Longest
}

// Login checks a user's password and starts a session. The token is 43
// characters of base64url, new at each login; it is nowhere else. Errors:
// those of Verify.
func (s *Store) Login(ctx context.Context, source netip.Addr, user, password string) (token string, session *Session, err error) {
	name := fold(user)
	hash, err := s.verify(ctx, source, name, password)
	if err != nil {
		return "", nil, err
	}
	b := make([]byte, tokenBytes)
	if _, err := io.ReadFull(s.cfg.Rand, b); err != nil {
		return "", nil, fmt.Errorf("access: make a token: %w", err)
	}
	token = base64.RawURLEncoding.EncodeToString(b)
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users[name].Hash != hash { // changed or deleted since it was compared
		return "", nil, ErrWrong
	}
	s.sweep(now)
	s.makeRoom(name)
	o := &open{user: name, source: source, started: now, used: now}
	s.sessions[sha256.Sum256([]byte(token))] = o
	s.logins[name] = wall(now)
	return token, s.describe(o, now), nil
}

// Verify checks a user's password without starting a session, for what asks
// for it again. Errors: ErrUnclaimed, ErrWrong, *SlowDown, or what ctx says.
func (s *Store) Verify(ctx context.Context, source netip.Addr, user, password string) error {
	_, err := s.verify(ctx, source, fold(user), password)
	return err
}

// verify returns the hash that the password fits to.
func (s *Store) verify(ctx context.Context, source netip.Addr, name, password string) (hash string, err error) {
	if !s.Claimed() {
		return "", ErrUnclaimed
	}
	attempt, err := s.begin(source)
	if err != nil {
		return "", err
	}
	if len(name) > maxName || len(password) > maxPassword {
		return "", ErrWrong
	}
	s.mu.Lock()
	u, there := s.users[name]
	s.mu.Unlock()
	against := s.decoyHash
	if there {
		against = u.Hash
	}
	leave, err := s.gate.enter(ctx, attempt.known)
	if err != nil {
		s.undo(attempt)
		return "", err
	}
	same, err := compare(against, password)
	leave()
	if err != nil {
		return "", fmt.Errorf("access: user %s: %w", name, err)
	}
	if !there || !same {
		return "", ErrWrong
	}
	s.succeeded(attempt)
	return u.Hash, nil
}

// Session returns the session of a token and counts as use of it. ErrExpired
// if there is none, or none any more.
func (s *Store) Session(token string) (*Session, error) { return s.look(token, true) }

// Peek is Session without use: for what happens by itself, such as the page's
// stream of events, and must not keep a session alive.
func (s *Store) Peek(token string) (*Session, error) { return s.look(token, false) }

func (s *Store) look(token string, use bool) (*Session, error) {
	key := tokenHash(sha256.Sum256([]byte(token)))
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	o, there := s.sessions[key]
	if !there {
		return nil, ErrExpired
	}
	if _, exists := s.users[o.user]; !exists || o.over(now) {
		delete(s.sessions, key)
		return nil, ErrExpired
	}
	session := s.describe(o, now)
	if use {
		o.used = now
		session.IdleLeft = Idle
	}
	return session, nil
}

// Logout ends the session of a token; nothing happens if there is none.
func (s *Store) Logout(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, sha256.Sum256([]byte(token)))
}

// LogoutUser ends all sessions of a user, everywhere.
func (s *Store) LogoutUser(user string) {
	name := fold(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, o := range s.sessions {
		if o.user == name {
			delete(s.sessions, key)
		}
	}
}

// describe is called with mu held.
func (s *Store) describe(o *open, now time.Time) *Session {
	return &Session{
		User: o.user, Role: s.users[o.user].Role, Source: o.source, Started: o.started, LastUsed: o.used,
		IdleLeft: Idle - now.Sub(o.used), Ends: o.started.Add(Longest),
	}
}

// sweep forgets sessions that are over; mu is held.
func (s *Store) sweep(now time.Time) {
	for key, o := range s.sessions {
		if o.over(now) {
			delete(s.sessions, key)
		}
	}
}

// makeRoom ends the session that was idle for longest if the user, or the box,
// has as many as there may be; mu is held.
func (s *Store) makeRoom(name string) {
	for {
		var own, all int
		var ownKey, allKey tokenHash
		var ownOldest, allOldest *open
		for key, o := range s.sessions {
			all++
			if allOldest == nil || o.used.Before(allOldest.used) {
				allKey, allOldest = key, o
			}
			if o.user != name {
				continue
			}
			own++
			if ownOldest == nil || o.used.Before(ownOldest.used) {
				ownKey, ownOldest = key, o
			}
		}
		switch {
		case own >= maxUserSessions:
			delete(s.sessions, ownKey)
		case all >= maxSessions:
			delete(s.sessions, allKey)
		default:
			return
		}
	}
}
