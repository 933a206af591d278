package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"quartet/device/access"
	"quartet/device/config"
	"quartet/device/control"
)

// Words for programs, in Problem.Type.
const (
	typeInvalid     = "invalid-request"
	typeNotLoggedIn = "not-logged-in"
	typeForbidden   = "forbidden"
	typeNotFound    = "not-found"
	typeConflict    = "conflict"
	typeStale       = "changed-meanwhile"
	typeRestart     = "needs-restart"
	typeSlowDown    = "slow-down"
	typeBusy        = "busy"
	typeUnavailable = "unavailable"
	typeInternal    = "internal"
)

// Error implements error.
func (p *Problem) Error() string {
	if p.Detail == "" {
		return p.Title
	}
	return p.Detail
}

// fail makes a problem. detail says what is the case, remedy what to do.
func fail(status int, kind, detail, remedy string) *Problem {
	return &Problem{Type: kind, Title: http.StatusText(status), Status: status, Detail: detail, Remedy: remedy}
}

// invalid is a request of which one field is wrong.
func invalid(path, value, problem, remedy string) error {
	return config.Issues{{Path: path, Value: value, Problem: problem, Remedy: remedy}}
}

// ErrUnavailable is wrapped by the parts of the box when they cannot be reached;
// the text says which and why.
var ErrUnavailable = errors.New("not available")

// ErrNotHere is wrapped by what this board or this software does not have.
var ErrNotHere = errors.New("this box does not have it")

// ErrFarEnd is wrapped when another server did not do what it was asked.
var ErrFarEnd = errors.New("the other server did not do it")

// ErrNone is wrapped when what is asked for does not exist (yet).
var ErrNone = errors.New("there is none")

// ErrConflict is wrapped when the box is in a state in which it cannot be done.
var ErrConflict = errors.New("not now")

// Refusal is why something was not done, in words for the one who asked.
type Refusal struct{ Text, Remedy string }

// Error implements error.
func (r *Refusal) Error() string { return r.Text }

// problemOf turns any error into what is shown. internal tells that its text is
// for the log alone.
func problemOf(err error) (p *Problem, internal bool) {
	var issues config.Issues
	var slow *access.SlowDown
	var refused *access.Refused
	var media *control.Error
	var refusal *Refusal
	switch {
	case errors.As(err, &p):
		return p, false
	case errors.As(err, &refusal):
		return fail(http.StatusConflict, "refused", refusal.Text, refusal.Remedy), false
	case errors.As(err, &issues):
		p = fail(http.StatusUnprocessableEntity, typeInvalid, "the request is not valid: "+issues[0].String(), issues[0].Remedy)
		p.Errors = issues
		return p, false
	case errors.As(err, &slow):
		p = fail(http.StatusTooManyRequests, typeSlowDown, err.Error(), "wait, then try again; another address is not slowed down")
		p.RetryAfter = max(1, int(math.Ceil(slow.RetryAfter.Seconds())))
		return p, false
	case errors.As(err, &refused):
		p = fail(http.StatusUnprocessableEntity, typeInvalid, err.Error(), refused.Remedy)
		p.Errors = config.Issues{{Path: refused.Field, Problem: refused.Problem, Remedy: refused.Remedy}}
		return p, false
	case errors.Is(err, access.ErrWrong):
		return fail(http.StatusUnauthorized, typeNotLoggedIn, err.Error(), "try again; an admin can set a new password"), false
	case errors.Is(err, access.ErrExpired):
		return fail(http.StatusUnauthorized, typeNotLoggedIn, err.Error(), "log in"), false
	case errors.Is(err, access.ErrUnclaimed):
		return fail(http.StatusConflict, "unclaimed", err.Error(), "claim the box"), false
	case errors.Is(err, access.ErrClaimed):
		return fail(http.StatusConflict, "claimed", err.Error(), "log in"), false
	case errors.Is(err, access.ErrUnprovisioned):
		return fail(http.StatusConflict, "unprovisioned", err.Error(), "run quartetctl provision at the box"), false
	case errors.Is(err, access.ErrNoUser), errors.Is(err, ErrNone), errors.Is(err, control.ErrNoPath):
		return fail(http.StatusNotFound, typeNotFound, err.Error(), "read the list again: it may be gone, or have another name"), false
	case errors.Is(err, access.ErrUserExists):
		return fail(http.StatusConflict, typeConflict, err.Error(), "take another name, or change that user"), false
	case errors.Is(err, access.ErrLastAdmin):
		return fail(http.StatusConflict, typeConflict, err.Error(), "make another user an admin first"), false
	case errors.Is(err, ErrConflict):
		return fail(http.StatusConflict, typeConflict, err.Error(), "read the state again; what stands in the way is named above"), false
	case errors.Is(err, ErrNotHere):
		return fail(http.StatusNotImplemented, typeUnavailable, err.Error(), "it takes a box that has the part"), false
	case errors.Is(err, ErrFarEnd):
		return fail(http.StatusBadGateway, typeUnavailable, err.Error(), "look at what it answered, and try again"), false
	case errors.Is(err, control.ErrUnreachable):
		return fail(http.StatusServiceUnavailable, "media-unreachable", err.Error(), "see the logs of quartetd"), false
	case errors.Is(err, ErrUnavailable):
		return fail(http.StatusServiceUnavailable, typeUnavailable, err.Error(), "try again in a moment; see the logs if it stays so"), false
	case errors.As(err, &media):
		return fail(http.StatusConflict, typeConflict, media.Text, "see what the media plane says above, and the conditions"), false
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fail(http.StatusServiceUnavailable, typeBusy, "the request took too long and was given up", "try again"), false
	}
	return fail(http.StatusInternalServerError, typeInternal, "the box could not do it", "see the logs of quartet-manage"), true
}

// writeProblem sends a problem.
func writeProblem(w http.ResponseWriter, p *Problem) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Del("Etag")
	h.Del("Content-Disposition")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	w.WriteHeader(p.Status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(p) // the reader went away
}

// stale is what somebody hears who saves over a change that he has not seen.
func stale(revision, by string, at *time.Time) *Problem {
	who := "somebody"
	if by != "" {
		who = by
	}
	p := fail(http.StatusPreconditionFailed, typeStale, who+" has changed it since you read it", "read it again, and repeat your change on it")
	p.Revision, p.ChangedBy, p.ChangedAt = revision, by, at
	return p
}

// missing is a problem of something that the box has not got in its table.
func missing(what, name string) error {
	return fail(http.StatusNotFound, typeNotFound, fmt.Sprintf("there is no %s %q", what, clip(name)), "read the list again: it may be gone, or have another name")
}

// clip shortens what an answer quotes.
func clip(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
