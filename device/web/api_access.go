package web

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"quartet/device/access"
)

// languages are those of the page, English first.
var languages = []string{"en", "de"}

func (s *Server) getState(*call) (State, error) {
	set := s.settings.get()
	return State{Claimed: s.cfg.Access.Claimed(), Name: set.Name, Serial: s.cfg.Serial, Product: s.cfg.Product, Version: s.cfg.Version,
		Time: s.cfg.Now(), Synchronised: s.view.synchronised(), Languages: languages, Language: set.Language}, nil
}

func (s *Server) claim(c *call, q Claim) (Session, error) {
	c.target = q.User
	err := s.cfg.Access.Claim(c.r.Context(), c.source, q.Code, q.User, q.Password)
	if errors.Is(err, access.ErrWrong) {
		p := fail(http.StatusForbidden, typeForbidden, "the code is not the one on the label", "read it again; letters and digits only, dashes do not matter")
		return Session{}, p
	}
	if err != nil {
		return Session{}, err
	}
	return s.open(c, q.User, q.Password)
}

func (s *Server) login(c *call, q Login) (Session, error) {
	// A name that nobody has may be a password in the wrong field.
	c.target = "somebody unknown"
	if slices.ContainsFunc(s.cfg.Access.Users(), func(u access.User) bool { return strings.EqualFold(u.Name, q.User) }) {
		c.target = q.User
	}
	return s.open(c, q.User, q.Password)
}

// open starts a session and hands out its cookie; a session that the request
// came with is ended, so that a cookie planted before the login is worth
// nothing.
func (s *Server) open(c *call, user, password string) (Session, error) {
	token, session, err := s.cfg.Access.Login(c.r.Context(), c.source, user, password)
	if err != nil {
		return Session{}, err
	}
	if old, err := c.r.Cookie(cookieName); err == nil {
		s.cfg.Access.Logout(old.Value)
	}
	http.SetCookie(c.w, sessionCookie(token, 0))
	return sessionView(session), nil
}

// sessionCookie carries a token; age −1 removes it. It ends with the browser.
func sessionCookie(token string, age int) *http.Cookie {
	return &http.Cookie{Name: cookieName, Value: token, Path: "/", MaxAge: age, HttpOnly: true, Secure: true, SameSite: http.SameSiteStrictMode}
}

func sessionView(a *access.Session) Session {
	return Session{User: a.User, Role: Role(a.Role), IdleS: int(a.IdleLeft / time.Second), Expires: a.Ends}
}

func (s *Server) getSession(c *call) (Session, error) { return sessionView(c.session), nil }

func (s *Server) logout(c *call, q LogoutQuery) (None, error) {
	if q.Everywhere {
		s.cfg.Access.LogoutUser(c.session.User)
		c.detail = "everywhere"
	} else {
		s.cfg.Access.Logout(c.token)
	}
	s.hub.wake() // its event streams end at once
	http.SetCookie(c.w, sessionCookie("", -1))
	return None{}, nil
}

func (s *Server) putPassword(c *call, q NewPassword) (None, error) {
	c.target = c.session.User
	err := s.cfg.Access.ChangePassword(c.r.Context(), c.source, c.session.User, q.Old, q.New)
	switch {
	case errors.Is(err, access.ErrWrong):
		return None{}, fail(http.StatusForbidden, typeForbidden, "the old password is wrong", "try again; an admin can set a new one")
	case err != nil:
		return None{}, passwordField(err, "new")
	}
	s.hub.wake()
	// All sessions have ended; the one that asked goes on under a new token.
	_, err = s.open(c, c.session.User, q.New)
	return None{}, err
}

// passwordField gives a refusal the name that the field has here.
func passwordField(err error, name string) error {
	var r *access.Refused
	if errors.As(err, &r) && r.Field == "password" {
		return invalid(name, "", r.Problem, r.Remedy)
	}
	return err
}

func (s *Server) getUsers(*call) (Users, error) {
	var list Users
	for _, u := range s.cfg.Access.Users() {
		list.Users = append(list.Users, userView(u))
	}
	return list, nil
}

func userView(u access.User) User {
	v := User{Name: u.Name, Role: Role(u.Role), Created: u.Created, Sessions: u.Sessions}
	if !u.LastLogin.IsZero() {
		v.LastLogin = &u.LastLogin
	}
	return v
}

func (s *Server) postUser(c *call, q NewUser) (User, error) {
	c.target, c.detail = q.Name, string(q.Role)
	err := s.cfg.Access.AddUser(c.r.Context(), q.Name, q.Password, access.Role(q.Role))
	var r *access.Refused
	if errors.As(err, &r) && r.Field == "user" {
		return User{}, invalid("name", "", r.Problem, r.Remedy)
	}
	if err != nil {
		return User{}, err
	}
	return s.named(q.Name)
}

// named finds a user however the name is written.
func (s *Server) named(name string) (User, error) {
	for _, u := range s.cfg.Access.Users() {
		if strings.EqualFold(u.Name, name) {
			return userView(u), nil
		}
	}
	return User{}, access.ErrNoUser
}

func (s *Server) putUser(c *call, q ChangeUser) (User, error) {
	name, err := c.name()
	if err != nil {
		return User{}, err
	}
	c.target = name
	if q.Role == "" && q.Password == "" {
		return User{}, invalid("", "", "nothing is to change", "write role, password or both")
	}
	was, err := s.named(name)
	if err != nil {
		return User{}, err
	}
	users := s.cfg.Access
	if q.Role != "" && q.Role != was.Role {
		if err := users.SetRole(name, access.Role(q.Role)); err != nil {
			return User{}, err
		}
		c.detail = string(was.Role) + " → " + string(q.Role)
	}
	if q.Password != "" {
		if err := users.SetPassword(c.r.Context(), name, q.Password); err != nil {
			// All or nothing.
			return User{}, errors.Join(err, users.SetRole(name, access.Role(was.Role)))
		}
		c.detail = strings.TrimPrefix(c.detail+", password", ", ")
	}
	s.hub.wake()
	return s.named(name)
}

func (s *Server) deleteUser(c *call) (None, error) {
	name, err := c.name()
	if err != nil {
		return None{}, err
	}
	c.target = name
	err = s.cfg.Access.DeleteUser(name)
	s.hub.wake()
	return None{}, err
}

func (s *Server) getAudit(_ *call, q AuditQuery) (Audit, error) {
	list, err := s.cfg.Audit.Query(q.After, q.Limit)
	a := Audit{Records: list, Next: q.After}
	if n := len(list); n > 0 {
		a.Next = list[n-1].Number
	}
	return a, err
}
