package srt

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// probeAfter is how long a call goes unanswered before the probe asks.
const probeAfter = 300 * time.Millisecond

// probe finds out why a far end is silent. libsrt's UDP socket is not connected,
// so the kernel keeps ICMP's answers from it, such as "port unreachable" from a
// host without a listener, and libsrt itself passes over a missing route; a
// connected socket is told. The probe sends the first packet of an SRT handshake,
// which a listener answers and forgets.
type probe struct {
	found  chan *RejectError // what it found out, if anything
	cancel context.CancelFunc
	done   sync.WaitGroup
}

func startProbe(to, src netip.AddrPort, device string) *probe {
	ctx, cancel := context.WithCancel(context.Background())
	p := &probe{found: make(chan *RejectError, 1), cancel: cancel}
	p.done.Add(1)
	go func() {
		defer p.done.Done()
		wait := time.NewTimer(probeAfter)
		defer wait.Stop()
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		if r := diagnosis(ask(ctx, to, src, device)); r != nil {
			p.found <- r
		}
	}()
	return p
}

// stop ends the probe and waits for it.
func (p *probe) stop() {
	p.cancel()
	p.done.Wait()
}

// diagnosis turns what the probe met into a reason; nil if it says nothing.
func diagnosis(err error) *RejectError {
	var code int
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return &RejectError{Code: RejectRefused, Words: RejectWords(RejectRefused)}
	case errors.Is(err, syscall.EHOSTUNREACH):
		code = RejectUnreachable
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		code = RejectLocal
	default:
		return nil
	}
	var number syscall.Errno
	errors.As(err, &number)
	return &RejectError{Code: code, Words: RejectWords(code), Err: number}
}

// ask waits until the far end answers, in whatever way, or ctx ends.
func ask(ctx context.Context, to, src netip.AddrPort, device string) error {
	d := net.Dialer{}
	if src.IsValid() {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(src.Addr(), 0))
	}
	if device != "" {
		d.Control = func(_, _ string, raw syscall.RawConn) error {
			var err error
			if e := raw.Control(func(fd uintptr) { err = bindToDevice(fd, device) }); e != nil {
				return e
			}
			return err
		}
	}
	conn, err := d.DialContext(ctx, "udp", to.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := conn.Write(induction()); err != nil {
		return err
	}
	var answer [64]byte
	_, err = conn.Read(answer[:])
	return err
}

// induction is the first packet of a caller's handshake (SRT RFC draft,
// §3.2.1 and §4.3.1.1): control type 0, version 4, socket type datagram.
func induction() []byte {
	b := make([]byte, 64)
	put := func(at int, v uint32) { binary.BigEndian.PutUint32(b[at:], v) }
	var id [8]byte
	rand.Read(id[:])
	put(0, 0x80000000)                                    // control, handshake
	put(16, 4)                                            // version
	put(20, 2)                                            // encryption 0, extension: datagram
	put(24, binary.BigEndian.Uint32(id[:])&0x7fffffff)    // initial sequence number
	put(28, defaultMSS)                                   // MTU
	put(32, defaultBufPackets)                            // flow window
	put(36, 1)                                            // induction
	put(40, binary.BigEndian.Uint32(id[4:])&0x3fffffff|1) // socket id
	return b
}
