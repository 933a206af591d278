package network

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"syscall"
	"time"

	"quartet/device/config"
)

// ErrUnreachable is wrapped by errors that say that quartet-netd does not
// answer.
var ErrUnreachable = errors.New("quartet-netd does not answer")

// Client asks a Server. It keeps no connection, so it may be used by several
// goroutines and outlives restarts of the server. An answer that is no success
// is an *Error; what is wrong with settings is in its Issues.
type Client struct{ socket string }

// NewClient returns a client of a socket. Nothing is opened before the first
// request.
func NewClient(socket string) *Client { return &Client{socket} }

// Get asks for the confirmed settings and the change under trial.
func (c *Client) Get(ctx context.Context) (cur Current, err error) {
	return cur, c.ask(ctx, request{Op: opGet}, &cur)
}

// State asks for what is there now.
func (c *Client) State(ctx context.Context) (s State, err error) {
	return s, c.ask(ctx, request{Op: opState}, &s)
}

// Check asks what is wrong with a document without applying it: its warnings,
// or an *Error with Issues.
func (c *Client) Check(ctx context.Context, doc []byte) (warnings []string, err error) {
	var list []struct{ Path, Value, Problem, Remedy string }
	if err := c.ask(ctx, request{Op: opCheck, Settings: config.Raw(doc)}, &list); err != nil {
		return nil, err
	}
	for _, w := range list {
		warnings = append(warnings, fmt.Sprintf("%s: %s; %s", w.Path, w.Problem, w.Remedy))
	}
	return warnings, nil
}

// Apply puts a document of settings under trial: see Keeper.Apply for token and
// via. nil without an error: the document changes nothing.
func (c *Client) Apply(ctx context.Context, doc []byte, token string, via netip.Addr) (*Pending, error) {
	var p *Pending
	return p, c.ask(ctx, request{Op: opApply, Settings: config.Raw(doc), Token: token, Via: text(via)}, &p)
}

// Confirm makes the settings under trial those that hold; via is the box's
// address at which the confirmation came: see Keeper.Confirm.
func (c *Client) Confirm(ctx context.Context, token string, via netip.Addr) error {
	return c.ask(ctx, request{Op: opConfirm, Token: token, Via: text(via)}, nil)
}

// Revert takes the change under trial back.
func (c *Client) Revert(ctx context.Context) error { return c.ask(ctx, request{Op: opRevert}, nil) }

// Reset brings back the settings of a new box, a moment after the answer.
func (c *Client) Reset(ctx context.Context) error { return c.ask(ctx, request{Op: opReset}, nil) }

// SetTime sets the clock. A clock that a time server keeps is set with force
// only.
func (c *Client) SetTime(ctx context.Context, t time.Time, force bool) error {
	return c.ask(ctx, request{Op: opSetTime, Time: t.UTC().Format(time.RFC3339Nano), Force: force}, nil)
}

// Reboot has the machine started anew; it returns when that has begun.
func (c *Client) Reboot(ctx context.Context) error { return c.ask(ctx, request{Op: opReboot}, nil) }

func text(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// ask sends a request and reads its answer into v.
func (c *Client) ask(ctx context.Context, r request, v any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	b, err := r.line()
	if err != nil {
		return fmt.Errorf("settings: %w", err) // a document that is not JSON
	}
	if len(b) > maxRequest {
		return &Error{Code: CodeBad, Text: fmt.Sprintf("the settings have more than %d bytes", maxRequest)}
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.socket)
	if err != nil {
		return c.explain(err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	// The answer is read even if the request could not be written: a server that
	// refuses says why before it closes.
	_, werr := conn.Write(b)
	line, err := readLine(bufio.NewReader(conn), maxReply)
	var a reply
	if err == nil {
		err = json.Unmarshal(line, &a)
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w on %s: %w", ErrUnreachable, c.socket, ctx.Err())
	case err != nil:
		return c.explain(errors.Join(werr, err))
	case a.Error != nil:
		return a.Error
	case v == nil:
		return nil
	}
	if err := json.Unmarshal(a.Result, v); err != nil {
		return fmt.Errorf("the answer of %s cannot be read: %w", c.socket, err)
	}
	return nil
}

// explain says what to do when the socket cannot be reached.
func (c *Client) explain(err error) error {
	var remedy string
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, fs.ErrNotExist):
		remedy = "there is no such socket; is quartet-netd running?"
	case errors.Is(err, syscall.ECONNREFUSED):
		remedy = "nobody serves the socket; is quartet-netd running?"
	case errors.Is(err, fs.ErrPermission):
		remedy = "permission denied; only root and the socket's group may use it"
	default:
		remedy = err.Error()
	}
	return fmt.Errorf("%w on %s: %s", ErrUnreachable, c.socket, remedy)
}
