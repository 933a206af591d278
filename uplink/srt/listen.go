package srt

// #include "shim.h"
import "C"

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/haivision/srtgo"
)

// Request is a caller at the door. All of it is the caller's word.
type Request struct {
	StreamID string // untrusted bytes, at most 512
	Peer     netip.AddrPort
	Version  int // of the handshake: 4 or 5
}

// Answer is the decision. A zero field leaves the listener's own option in force.
type Answer struct {
	OK     bool
	Reject int // why not: 1000 to 2999, default RejectForbidden

	Passphrase string // the connection's own
	KeyLength  int
	Latency    time.Duration // raised by the caller's, if that is larger
	FC         int           // packets
	SndBuf     int           // bytes
	RcvBuf     int           // bytes
}

// Listener accepts callers on one port.
type Listener struct {
	// set at start, never changed
	id     C.SRTSOCKET
	sock   *srtgo.SrtSocket
	addr   netip.AddrPort
	opts   Options
	decide func(Request) Answer
	since  time.Time

	limit   limiter
	arrived chan *Conn
	closing chan struct{}
	ended   chan struct{} // the accepting goroutine is gone

	doorstep sync.Mutex
	allowed  map[netip.AddrPort]allowed // callers that may come in and have not yet

	mu     sync.Mutex
	closed bool
	failed error // why accepting ended by itself
}

// allowed is a caller that was answered and is not connected yet.
type allowed struct {
	Request
	at time.Time
}

const (
	// provenWithin is how long an answered caller takes at most to connect.
	provenWithin = time.Second
	// maxAllowed bounds what a flood of callers can make the listener remember.
	maxAllowed = 256
)

// TurnedAway returns the callers that were answered and then not let in, and
// forgets them: libsrt tells nobody why. That is a passphrase other than the
// answer's, or none, but for callers that left by themselves. Ask once a second.
func (l *Listener) TurnedAway() (all []Request) {
	l.doorstep.Lock()
	defer l.doorstep.Unlock()
	for peer, a := range l.allowed {
		if time.Since(a.at) > provenWithin {
			all = append(all, a.Request)
			delete(l.allowed, peer)
		}
	}
	return all
}

// Listen opens addr: "ip:port", ":port" for every IPv4 address, "[::]:port" for
// every address; port 0 lets the system choose. accept decides about each caller
// by its stream id, with a passphrase of its own, so that one port carries many
// contributions; nil takes every caller that satisfies o. It runs on libsrt's
// receiving thread, which meanwhile serves none of the port's connections: it
// must only look something up. A panic in it refuses the caller. Callers beyond
// 50 a second from one address, or 200 in all, are refused as overload unheard.
func Listen(addr string, o Options, accept func(Request) Answer) (*Listener, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := interfaceExists(o.Interface); err != nil {
		return nil, err
	}
	at, err := listenAddr(addr)
	if err != nil {
		return nil, err
	}
	l := &Listener{
		opts:    o.withDefaults(),
		decide:  accept,
		since:   time.Now(),
		closing: make(chan struct{}),
		ended:   make(chan struct{}),
	}
	l.arrived = make(chan *Conn, l.opts.Backlog)
	l.allowed = map[netip.AddrPort]allowed{}
	if err := newSocket(func(s *srtgo.SrtSocket) io.Closer {
		l.sock, l.id = s, C.SRTSOCKET(s.GetSocket())
		return l
	}); err != nil {
		return nil, err
	}
	if err := l.open(at, o); err != nil {
		close(l.ended)
		l.Close()
		return nil, err
	}
	go l.run()
	return l, nil
}

func (l *Listener) open(at netip.AddrPort, o Options) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	if err := o.apply(l.sock, true); err != nil {
		return err
	}
	if at.Addr().Is6() {
		if err := l.sock.SetSockOptInt(C.SRTO_IPV6ONLY, 0); err != nil {
			return &OptionError{Option: "ipv6only", Value: "0", Remedy: "libsrt refuses it", Err: err}
		}
	}
	if r := C.q_bind(l.id, cAddr(at)); r.err != 0 {
		return libError("listen on "+at.String(), r)
	}
	l.addr = addrPort(C.q_sockname(l.id))
	protect(l.addr)
	l.sock.SetListenCallback(l.hook)
	if r := C.q_listen(l.id, C.int(l.opts.Backlog)); r.err != 0 {
		return libError("listen on "+at.String(), r)
	}
	return nil
}

// hook runs on libsrt's thread, for a socket that exists only in its hands yet.
func (l *Listener) hook(s *srtgo.SrtSocket, version int, peer *net.UDPAddr, streamID string) (ok bool) {
	reject := RejectInternal
	r := Request{StreamID: streamID, Version: version}
	defer func() {
		if p := recover(); p != nil {
			ok = false
			logs.say(slog.LevelError, "srt: deciding about a caller panicked; refused: "+fmt.Sprint(p))
		}
		if !ok {
			_ = s.SetRejectReason(reject) // failing, it is refused without a reason
			return
		}
		l.doorstep.Lock()
		defer l.doorstep.Unlock()
		if len(l.allowed) < maxAllowed {
			l.allowed[r.Peer] = allowed{r, time.Now()}
		}
	}()
	if peer != nil {
		a := peer.AddrPort()
		r.Peer = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	}
	if !l.limit.allow(r.Peer.Addr(), time.Since(l.since)) {
		reject = RejectOverload
		return false
	}
	if l.decide == nil {
		return true
	}
	a := l.decide(r)
	if !a.OK {
		reject = a.Reject
		if reject < 1000 || reject > 2999 {
			reject = RejectForbidden
		}
		return false
	}
	if err := l.opts.answered(a, s); err != nil {
		logs.say(slog.LevelError, "srt: refused a caller: the answer does not fit: "+err.Error())
		return false
	}
	return true
}

// answered checks an answer against the listener's options and sets it on s.
func (o Options) answered(a Answer, s *srtgo.SrtSocket) error {
	if a.Passphrase != "" {
		o.Passphrase = a.Passphrase
	}
	for _, f := range []struct{ to, from *int }{{&o.KeyLength, &a.KeyLength}, {&o.FC, &a.FC}, {&o.SndBuf, &a.SndBuf}, {&o.RcvBuf, &a.RcvBuf}} {
		if *f.from != 0 {
			*f.to = *f.from
		}
	}
	if a.Latency != 0 {
		o.Latency = a.Latency
	}
	if err := o.Validate(); err != nil {
		return err
	}
	ap := applier{s: s}
	if a.FC != 0 || a.RcvBuf != 0 {
		ap.int("fc", C.SRTO_FC, o.FC)
		ap.int("rcvbuf", C.SRTO_RCVBUF, o.RcvBuf)
	}
	if a.SndBuf != 0 {
		ap.int("sndbuf", C.SRTO_SNDBUF, o.SndBuf)
	}
	if a.Latency != 0 {
		ap.int("latency", C.SRTO_LATENCY, int(o.Latency.Milliseconds()))
	}
	ap.secret(a.Passphrase, a.KeyLength)
	return ap.err
}

// run takes callers from libsrt until the listener is closed.
func (l *Listener) run() {
	defer close(l.ended)
	for {
		a := C.q_accept(l.id)
		if a.err != 0 {
			select {
			case <-l.closing:
				return
			default:
			}
			// A caller that left while it waited is no reason to stop.
			if C.srt_getsockstate(l.id) == C.SRTS_LISTENING {
				continue
			}
			l.mu.Lock()
			l.failed = libError("listen on "+l.addr.String(), C.q_ret{err: a.err, sys: a.sys})
			l.mu.Unlock()
			return
		}
		l.doorstep.Lock()
		delete(l.allowed, addrPort(a.peer))
		l.doorstep.Unlock()
		c := &Conn{id: a.n, opts: l.opts}
		if !adopt(c) {
			C.q_close(c.id)
			continue
		}
		if err := c.learn(); err != nil {
			logs.say(slog.LevelWarn, "srt: dropped caller "+addrPort(a.peer).String()+": "+err.Error())
			c.Close()
			continue
		}
		select {
		case l.arrived <- c:
		case <-l.closing:
			c.Close()
			return
		}
	}
}

// Accept returns the next caller. It ends with ErrClosed after Close, and with
// ctx's error when ctx ends; a caller that is waiting is never lost by that.
func (l *Listener) Accept(ctx context.Context) (*Conn, error) {
	select {
	case <-l.closing:
		return nil, ErrClosed
	default:
	}
	select {
	case c := <-l.arrived:
		return c, nil
	default:
	}
	select {
	case c := <-l.arrived:
		return c, nil
	case <-l.closing:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.ended:
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.failed != nil {
			return nil, l.failed
		}
		return nil, ErrClosed
	}
}

// Addr is where the listener listens, with the port that was chosen.
func (l *Listener) Addr() netip.AddrPort { return l.addr }

// Close stops listening and closes the callers nobody accepted; accepted ones
// live on. It waits until the callback is not running any more, so the callback
// must not wait for Close. Further calls do nothing.
func (l *Listener) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		<-l.ended
		return nil
	}
	l.closed = true
	close(l.closing)
	l.sock.Close()
	runtime.SetFinalizer(l.sock, nil)
	l.mu.Unlock()
	<-l.ended
	for {
		select {
		case c := <-l.arrived:
			c.Close()
		default:
			forget(l)
			return nil
		}
	}
}

func listenAddr(addr string) (netip.AddrPort, error) {
	bad := func(remedy string) error {
		return &OptionError{Option: "address", Value: strconv.Quote(addr), Remedy: remedy}
	}
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return netip.AddrPort{}, bad("must be ip:port or :port")
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return netip.AddrPort{}, bad("the port must be 0 to 65535")
	}
	ip := netip.IPv4Unspecified()
	if host != "" {
		if ip, err = netip.ParseAddr(host); err != nil {
			return netip.AddrPort{}, bad("must be an IP address of this machine and a port, or :port for all")
		}
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(port)), nil
}
