package srt

// #include "shim.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/haivision/srtgo"
)

// Dial calls addr ("host:port") and returns when the handshake is done, at the
// latest after Options.ConnectTimeout (looking up a name not counted), or at once
// when ctx ends. A *RejectError says why there is no connection, an *OptionError
// which setting is wrong.
func Dial(ctx context.Context, addr string, o Options) (*Conn, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := interfaceExists(o.Interface); err != nil {
		return nil, err
	}
	src, err := o.source()
	if err != nil {
		return nil, err
	}
	to, err := resolve(ctx, addr, src.Addr())
	if err != nil {
		return nil, err
	}

	c := &Conn{opts: o.withDefaults()}
	if err := newSocket(func(s *srtgo.SrtSocket) io.Closer {
		c.sock, c.id = s, C.SRTSOCKET(s.GetSocket())
		return c
	}); err != nil {
		return nil, err
	}
	if err := c.call(ctx, addr, to, src, o); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Conn) call(ctx context.Context, addr string, to, src netip.AddrPort, o Options) error {
	if err := c.begin(addr, to, src, o); err != nil {
		return err
	}
	probe := startProbe(to, src, o.Interface)
	defer probe.stop()

	// libsrt keeps the deadline; ours is for the case that it does not.
	deadline := time.NewTimer(c.opts.ConnectTimeout + time.Second)
	defer deadline.Stop()
	wait, unsure := handshakePollFirst, 0
	poll := time.NewTimer(wait)
	defer poll.Stop()
	for {
		state, reason, err := c.progress()
		switch {
		case err != nil:
			return err
		case state == C.SRTS_CONNECTED:
			err := c.learn()
			c.remote = to
			return err
		case state == C.SRTS_CONNECTING:
		case reason == 0 && unsure < 10:
			unsure++ // for a moment before it is connected, libsrt calls a socket broken
		default:
			return &RejectError{Addr: addr, Code: reason, Words: RejectWords(reason)}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("srt: %s: %w", addr, ctx.Err())
		case r := <-probe.found:
			r.Addr = addr
			return r
		case <-deadline.C:
			return &RejectError{Addr: addr, Code: RejectTimeout, Words: RejectWords(RejectTimeout)}
		case <-poll.C:
			wait = min(2*wait, 8*time.Millisecond)
			poll.Reset(wait)
		}
	}
}

// begin sends the first handshake packet.
func (c *Conn) begin(addr string, to, src netip.AddrPort, o Options) error {
	c.asking.Lock()
	defer c.asking.Unlock()
	if c.askEnd != nil {
		return c.askEnd
	}
	if err := o.apply(c.sock, false); err != nil {
		return err
	}
	for _, opt := range []int{C.SRTO_SNDSYN, C.SRTO_RCVSYN} {
		if r := C.q_set_bool(c.id, C.int(opt), 0); r.err != 0 {
			return libError("non-blocking mode", r)
		}
	}
	local := func(what string, r C.q_ret) error {
		return &RejectError{Addr: addr, Code: RejectLocal, Words: RejectWords(RejectLocal), Err: libError(what, r)}
	}
	if to.Addr().Is6() {
		if err := c.sock.SetSockOptInt(C.SRTO_IPV6ONLY, 1); err != nil {
			return &OptionError{Option: "ipv6only", Value: "1", Remedy: "libsrt refuses it", Err: err}
		}
	}
	if !src.IsValid() {
		src = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
		if to.Addr().Is6() {
			src = netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
		}
	}
	if r := C.q_bind(c.id, cAddr(src)); r.err != 0 {
		return local("source address "+src.String(), r)
	}
	protect(addrPort(C.q_sockname(c.id)))
	if r := C.q_connect(c.id, cAddr(to)); r.err != 0 {
		return local("call "+to.String(), r)
	}
	return nil
}

// protect guards the UDP socket bound to local against handshakes that lie.
// Without it connections work, but a hostile far end can exhaust memory.
func protect(local netip.AddrPort) {
	if err := guard(local); err != nil {
		logs.say(slog.LevelWarn, "srt: "+local.String()+" is not guarded against hostile handshakes: "+err.Error())
	}
}

func (c *Conn) progress() (state C.SRT_SOCKSTATUS, reason int, err error) {
	c.asking.Lock()
	defer c.asking.Unlock()
	if c.askEnd != nil {
		return 0, 0, c.askEnd
	}
	state = C.srt_getsockstate(c.id)
	if state != C.SRTS_CONNECTED && state != C.SRTS_CONNECTING {
		reason = int(C.srt_getrejectreason(c.id))
	}
	return state, reason, nil
}

// resolve turns "host:port" into an address of the source's family.
func resolve(ctx context.Context, addr string, src netip.Addr) (netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return netip.AddrPort{}, &OptionError{Option: "address", Value: strconv.Quote(addr), Remedy: "must be host:port", Err: err}
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || port == 0 {
		return netip.AddrPort{}, &OptionError{Option: "port", Value: strconv.Quote(service), Remedy: "must be 1 to 65535"}
	}
	if host == "" {
		return netip.AddrPort{}, &OptionError{Option: "address", Value: strconv.Quote(addr), Remedy: "must name a host"}
	}
	fits := func(ip netip.Addr) bool { return !src.IsValid() || src.Is4() == ip.Is4() }
	var found []netip.Addr
	if ip, err := netip.ParseAddr(host); err == nil {
		found = []netip.Addr{ip}
	} else {
		found, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if ctx.Err() != nil {
			return netip.AddrPort{}, fmt.Errorf("srt: %s: %w", addr, ctx.Err())
		}
		if err != nil {
			code := RejectNameServer
			var dns *net.DNSError
			if errors.As(err, &dns) && dns.IsNotFound {
				code = RejectNameNotFound
			}
			return netip.AddrPort{}, &RejectError{Addr: addr, Code: code, Words: RejectWords(code), Err: err}
		}
	}
	for _, ip := range found {
		if ip = ip.Unmap(); fits(ip) {
			return netip.AddrPortFrom(ip, uint16(port)), nil
		}
	}
	return netip.AddrPort{}, &RejectError{Addr: addr, Code: RejectLocal, Words: "the source address " + src.String() + " and the far end are of different IP versions"}
}

func zoneName(index uint32) string {
	if i, err := net.InterfaceByIndex(int(index)); err == nil {
		return i.Name
	}
	return strconv.FormatUint(uint64(index), 10)
}

func zoneIndex(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	n, _ := strconv.ParseUint(zone, 10, 32)
	return uint32(n)
}
