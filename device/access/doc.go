// Package access says who may do what with the box: its users, their roles and
// passwords, the claim that makes the first of them, sessions, and how fast
// anybody may guess.
//
//	unclaimed ─ Claim (the label's code) ─▶ first admin
//	Login ─ throttle by source ─ queue ─ argon2id, one at a time ─▶ session
//	Session (each request) ─ idle and absolute end ─▶ user and role of now
//
// There is no default password and no way in but the claim: an unclaimed box
// refuses every login, and a factory reset (Reset) makes it unclaimed again.
//
// A source may be wrong five times in any minute, whatever user it tries;
// another source is not slowed down by that, so that guessing cannot lock the
// owner out. Nothing is ever locked: who was too fast is told when to come
// back.
//
// Users are kept in the files users.v1.json and users.v1.json.copy (package
// durable), passwords as argon2id hashes. The schema version is part of the
// name: software on trial writes only its own file. Sessions are kept in
// memory, as hashes of their tokens, and end with the process.
//
// The package knows nothing of HTTP; package web puts tokens into cookies and
// writes the audit log. A Store may be used by several goroutines; it starts
// none. Times are compared with their monotonic reading (as time.Now has it),
// so that setting the clock ends no session and opens no throttle.
package access
