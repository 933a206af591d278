package network

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"quartet/device/config"
)

// ServerConfig is what a Server is made of.
type ServerConfig struct {
	Socket string // path of the Unix socket
	Keeper *Keeper
	System System
	// Allowed decides on a peer by what the kernel says of it (SO_PEERCRED); its
	// error is logged and the connection closed.
	Allowed func(Peer) error
	// Earliest is the time before which the clock is not set: when the image was
	// made.
	Earliest time.Time
	Log      *slog.Logger // nil: nothing is logged
}

// Peer is who is at the other end of a socket.
type Peer struct {
	PID    int
	UID    int
	Groups []int // its primary group and its supplementary ones
}

// Server answers requests over a Unix socket.
type Server struct {
	// set at start, never changed
	cfg      ServerConfig
	listener *net.UnixListener
	file     os.FileInfo   // of the socket, to remove no other
	patience time.Duration // with a peer that says nothing
}

// Listen makes the socket with mode 0660; its group is the process's. A socket
// that a process left behind is replaced; one that is served is an error.
func Listen(cfg ServerConfig) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	fail := func(err error) (*Server, error) { return nil, fmt.Errorf("socket %s: %w", cfg.Socket, err) }
	switch info, err := os.Lstat(cfg.Socket); {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(filepath.Dir(cfg.Socket), 0o755); err != nil {
			return fail(err)
		}
	case err != nil:
		return fail(err)
	case info.Mode().Type() != fs.ModeSocket:
		return fail(errors.New("is there and is not a socket; remove it, or choose another path"))
	default:
		if c, err := net.DialTimeout("unix", cfg.Socket, time.Second); err == nil {
			c.Close()
			return fail(errors.New("is served by another process; stop that quartet-netd first"))
		}
	}
	// Under another name until its mode is right, so that nobody connects before.
	temporary := cfg.Socket + "~"
	os.Remove(temporary)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temporary, Net: "unix"})
	if err != nil {
		return fail(err)
	}
	l.SetUnlinkOnClose(false)
	info, err := os.Lstat(temporary)
	if err == nil {
		err = os.Chmod(temporary, 0o660)
	}
	if err == nil {
		err = os.Rename(temporary, cfg.Socket)
	}
	if err != nil {
		l.Close()
		os.Remove(temporary)
		return fail(err)
	}
	return &Server{cfg: cfg, listener: l, file: info, patience: requestTime}, nil
}

// Run serves until ctx ends; it returns when every connection is done with.
func (s *Server) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() {
		<-ctx.Done()
		s.listener.Close()
	})
	room := make(chan struct{}, maxConnections) // who comes beyond waits in the kernel's queue
	for {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
		}
		c, err := s.listener.AcceptUnix()
		if err != nil {
			if info, e := os.Lstat(s.cfg.Socket); e == nil && os.SameFile(info, s.file) {
				os.Remove(s.cfg.Socket)
			}
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("socket %s: %w", s.cfg.Socket, err)
		}
		wg.Go(func() {
			defer func() { <-room }()
			stop := context.AfterFunc(ctx, func() { c.Close() })
			defer stop()
			defer c.Close()
			s.serve(ctx, c)
		})
	}
}

// serve answers the requests of one connection.
func (s *Server) serve(ctx context.Context, c *net.UnixConn) {
	peer, err := peerOf(c)
	if err == nil {
		err = s.cfg.Allowed(peer)
	}
	if err != nil {
		s.cfg.Log.Warn("connection refused", "pid", peer.PID, "uid", peer.UID, "err", err)
		s.answer(c, nil, &Error{Code: CodeDenied, Text: err.Error()})
		return
	}
	r := bufio.NewReaderSize(c, 4096)
	for ctx.Err() == nil {
		if c.SetReadDeadline(time.Now().Add(s.patience)) != nil {
			return
		}
		line, err := readLine(r, maxRequest)
		if err != nil {
			if errors.Is(err, errTooLong) {
				s.answer(c, nil, &Error{Code: CodeBad, Text: fmt.Sprintf("the request has more than %d bytes", maxRequest)})
			}
			return
		}
		result, err := s.do(ctx, line, peer)
		if !s.answer(c, result, err) {
			return
		}
	}
}

var errTooLong = errors.New("the line is too long")

// readLine reads up to a line feed, which it leaves out.
func readLine(r *bufio.Reader, most int) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > most:
			return nil, errTooLong
		case err == nil:
			return bytes.TrimSuffix(line, []byte("\n")), nil
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// do carries out one request.
func (s *Server) do(ctx context.Context, line []byte, peer Peer) (any, error) {
	c, err := parseRequest(line)
	if err != nil {
		return nil, err
	}
	k := s.cfg.Keeper
	switch c.op {
	case opGet:
		return k.Get(), nil
	case opState:
		st, err := s.cfg.System.State(ctx)
		if p := k.Problem(); p != "" {
			st.Problem = p
		}
		return st, err
	case opCheck:
		return warningsOf(c.warnings), nil
	case opApply:
		p, err := k.Apply(ctx, c.settings, c.token, c.via)
		if p == nil {
			return nil, err
		}
		return p, err
	case opConfirm:
		return nil, k.Confirm(ctx, c.token, c.via)
	case opRevert:
		return nil, k.Revert(ctx)
	case opReset:
		s.cfg.Log.Warn("network settings reset", "pid", peer.PID, "uid", peer.UID)
		return nil, k.Reset()
	case opSetTime:
		return nil, s.setTime(ctx, c, peer)
	}
	s.cfg.Log.Warn("reboot", "pid", peer.PID, "uid", peer.UID)
	return nil, s.cfg.System.Reboot() // opReboot: parseRequest knows no other
}

func warningsOf(list config.Issues) config.Issues {
	if list == nil {
		return config.Issues{}
	}
	return list
}

// setTime: a clock that a server keeps is not to be set by hand, because the
// next answer of the server would undo it; force is for a server that is wrong.
func (s *Server) setTime(ctx context.Context, c command, peer Peer) error {
	if c.time.Before(s.cfg.Earliest) {
		return &Error{Code: CodeClock, Text: fmt.Sprintf("%s is before this software was made (%s)", c.time.UTC().Format(time.RFC3339), s.cfg.Earliest.UTC().Format(time.RFC3339))}
	}
	if last := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC); !c.time.Before(last) {
		return &Error{Code: CodeClock, Text: c.time.UTC().Format(time.RFC3339) + " is beyond the year 2099"}
	}
	if !c.force {
		if st, err := s.cfg.System.State(ctx); err == nil && st.Clock.Synchronised {
			return &Error{Code: CodeClock, Text: "the clock is kept by a time server; correct the servers (ntp), or ask with force"}
		}
	}
	s.cfg.Log.Warn("clock set by hand", "to", c.time.UTC().Format(time.RFC3339), "pid", peer.PID, "uid", peer.UID)
	return s.cfg.System.SetTime(c.time)
}

// answer writes one line; false if the peer is gone.
func (s *Server) answer(c net.Conn, result any, err error) bool {
	var r reply
	var issues config.Issues
	var known *Error
	switch {
	case err == nil:
		b, merr := json.Marshal(result)
		if merr != nil {
			r.Error = &Error{Code: CodeFailed, Text: merr.Error()}
			break
		}
		r.Result = b
	case errors.As(err, &issues):
		r.Error = &Error{Code: CodeInvalid, Text: issues.Error(), Issues: issues}
	case errors.As(err, &known):
		r.Error = known
	default:
		s.cfg.Log.Error("request failed", "err", err)
		r.Error = &Error{Code: CodeFailed, Text: err.Error()}
	}
	b, err := json.Marshal(r)
	if err != nil {
		return false
	}
	if c.SetWriteDeadline(time.Now().Add(requestTime)) != nil {
		return false
	}
	_, err = c.Write(append(b, '\n'))
	return err == nil
}
