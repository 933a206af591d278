package web

import "time"

// Claim sets up a new box.
type Claim struct {
	Code     string `json:"code" required:"yes" len:"1..128" doc:"on the box's label; dashes and spaces do not matter"`
	User     string `json:"user" required:"yes" len:"1..32" doc:"name of the first admin"`
	Password string `json:"password" required:"yes" len:"1..256" doc:"at least 10 characters"`
}

// Login opens a session.
type Login struct {
	User     string `json:"user" required:"yes" len:"1..32"`
	Password string `json:"password" required:"yes" len:"1..256"`
}

// Session is who is logged in. The session itself is the cookie.
type Session struct {
	User    string    `json:"user"`
	Role    Role      `json:"role" enum:"viewer|operator|admin"`
	IdleS   int       `json:"idle_s" doc:"the session ends after this time without a request of the user"`
	Expires time.Time `json:"expires" doc:"when it ends in any case"`
}

// LogoutQuery ends sessions.
type LogoutQuery struct {
	Everywhere bool `json:"everywhere" doc:"end all sessions of the user, not this one alone"`
}

// NewPassword changes one's own password. All other sessions of the user end.
type NewPassword struct {
	Old string `json:"old" required:"yes" len:"1..256"`
	New string `json:"new" required:"yes" len:"1..256" doc:"at least 10 characters"`
}

// Users are those who may log in.
type Users struct {
	Users []User `json:"users"`
}

// User is one who may log in.
type User struct {
	Name      string     `json:"name"`
	Role      Role       `json:"role" enum:"viewer|operator|admin"`
	Created   time.Time  `json:"created"`
	LastLogin *time.Time `json:"last_login"`
	Sessions  int        `json:"sessions" doc:"that are open now"`
}

// NewUser makes a user.
type NewUser struct {
	Name     string `json:"name" required:"yes" len:"1..32"`
	Role     Role   `json:"role" required:"yes" enum:"viewer|operator|admin"`
	Password string `json:"password" required:"yes" len:"1..256" doc:"at least 10 characters"`
}

// ChangeUser changes a user's role, password or both.
type ChangeUser struct {
	Role     Role   `json:"role" enum:"viewer|operator|admin"`
	Password string `json:"password" len:"1..256" doc:"at least 10 characters; ends the user's sessions"`
}

// AuditQuery pages through the audit log.
type AuditQuery struct {
	After int64 `json:"after" range:"0..9007199254740991" doc:"number of the last record that is known; 0: the newest records"`
	Limit int   `json:"limit" default:"100" range:"1..1000"`
}

// Audit is a piece of the audit log.
type Audit struct {
	Records []AuditRecord `json:"records" doc:"oldest first"`
	Next    int64         `json:"next" doc:"after of the next request"`
}

// AuditRecord is one action.
type AuditRecord struct {
	Number  int64     `json:"number"`
	Time    time.Time `json:"time"`
	Boot    string    `json:"boot_id,omitempty"`
	Actor   string    `json:"actor" doc:"user; - where nobody was logged in"`
	Role    string    `json:"role,omitempty"`
	Source  string    `json:"source" doc:"address that the request came from"`
	Action  string    `json:"action"`
	Target  string    `json:"target,omitempty"`
	Outcome string    `json:"outcome" enum:"ok|refused|failed"`
	Detail  string    `json:"detail,omitempty"`
}
