package network

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"quartet/device/config"
)

// Socket is where quartet-netd listens unless told otherwise.
const Socket = "/run/quartet/netd.sock"

// Bounds of what goes over the socket, one JSON object and a line feed in each
// direction.
const (
	maxRequest     = 64 << 10
	maxReply       = 1 << 20
	maxConnections = 16
	requestTime    = 5 * time.Second // from the connection, or the answer before, to the end of a request
	answerTime     = 30 * time.Second
)

// The operations. A request with a field that its operation does not take is
// refused.
const (
	opGet     = "get"      // → Current
	opState   = "state"    // → State
	opCheck   = "check"    // settings → warnings
	opApply   = "apply"    // settings, token, via → Pending, or null if nothing changes
	opConfirm = "confirm"  // token, via
	opRevert  = "revert"   //
	opReset   = "reset"    // the settings of a new box
	opSetTime = "set-time" // time, force
	opReboot  = "reboot"   //
)

// request is one line of a client.
type request struct {
	Op       string     `json:"op" required:"yes" enum:"get|state|check|apply|confirm|revert|reset|set-time|reboot"`
	Settings config.Raw `json:"settings"`
	Token    string     `json:"token"`
	Via      string     `json:"via"`
	Time     string     `json:"time"` // RFC 3339
	Force    bool       `json:"force"`
}

// line is a request as it is written: without the fields that it has not, and
// with the settings on one line.
func (r request) line() ([]byte, error) {
	m := map[string]any{"op": r.Op}
	if len(r.Settings) > 0 {
		m["settings"] = json.RawMessage(r.Settings)
	}
	for name, v := range map[string]string{"token": r.Token, "via": r.Via, "time": r.Time} {
		if v != "" {
			m[name] = v
		}
	}
	if r.Force {
		m["force"] = true
	}
	b, err := json.Marshal(m)
	return append(b, '\n'), err
}

// command is a request that has been checked.
type command struct {
	op       string
	settings *Settings
	warnings config.Issues
	token    string
	via      netip.Addr
	time     time.Time
	force    bool
}

// parseRequest checks a line of a client. Its error is an *Error, or
// config.Issues about the settings.
func parseRequest(line []byte) (c command, err error) {
	bad := func(format string, args ...any) (command, error) {
		return command{}, &Error{Code: CodeBad, Text: fmt.Sprintf(format, args...)}
	}
	if len(line) > maxRequest {
		return bad("the request has more than %d bytes", maxRequest)
	}
	var r request
	if err := config.Decode(line, &r); err != nil {
		return bad("the request cannot be read: %v", err)
	}
	settings, confirms, sets := r.Op == opCheck || r.Op == opApply, r.Op == opApply || r.Op == opConfirm, r.Op == opSetTime
	switch {
	case !settings && len(r.Settings) > 0:
		return bad("%s takes no settings", r.Op)
	case !confirms && (r.Token != "" || r.Via != ""):
		return bad("%s takes no token and no via", r.Op)
	case !sets && (r.Time != "" || r.Force):
		return bad("%s takes no time and no force", r.Op)
	}
	c = command{op: r.Op, token: r.Token, force: r.Force}
	if settings {
		if c.settings, c.warnings, err = Parse(r.Settings); err != nil {
			return command{}, err
		}
	}
	if len(r.Token) > maxToken {
		return bad("the token has %d characters", len(r.Token))
	}
	if r.Via != "" {
		if c.via, err = netip.ParseAddr(r.Via); err != nil {
			return bad("via: %.60q is no IP address", r.Via)
		}
	}
	if sets {
		if c.time, err = time.Parse(time.RFC3339Nano, r.Time); err != nil {
			return bad("time: %.60q is no time; write it as 2026-11-26T18:00:00Z", r.Time)
		}
	}
	return c, nil
}

// reply is one line of a server: a result or an error.
type reply struct {
	Result json.RawMessage `json:"result,omitempty"`
	Error  *Error          `json:"error,omitempty"`
}

// Why a request was not done.
const (
	CodeInvalid = "invalid"  // the settings; Issues says what is wrong
	CodeBad     = "bad"      // the request itself
	CodePending = "pending"  // another change is under trial
	CodeNoTrial = "no-trial" // no change is under trial
	CodeToken   = "token"    // a wrong token
	CodeWay     = "way"      // the confirmation did not come over the new way
	CodeClock   = "clock"    // the clock is not to be set by hand now
	CodeDenied  = "denied"   // the peer may not use the socket
	CodeFailed  = "failed"   // the system refused; Text says what
)

// Error is an answer of quartet-netd that is not a success.
type Error struct {
	Code   string        `json:"code"`
	Text   string        `json:"text"`
	Issues config.Issues `json:"issues,omitempty"`
}

func (e *Error) Error() string { return e.Text }
