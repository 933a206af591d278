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

// probe finds out whether a silent far end is a host without a listener. libsrt's
// UDP socket is not connected, so the kernel keeps the ICMP answer "port
// unreachable" from it; a connected one is told. The probe sends the first packet
// of an SRT handshake, which a listener answers and forgets.
type probe struct {
	refused chan struct{} // closed when the port is known to be closed
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

func startProbe(to, src netip.AddrPort, device string) *probe {
	ctx, cancel := context.WithCancel(context.Background())
	p := &probe{refused: make(chan struct{}), cancel: cancel}
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
		if portClosed(ctx, to, src, device) {
			close(p.refused)
		}
	}()
	return p
}

// stop ends the probe and waits for it.
func (p *probe) stop() {
	p.cancel()
	p.done.Wait()
}

// portClosed tells whether the far end answers that the port is closed; no answer
// within ctx counts as no.
func portClosed(ctx context.Context, to, src netip.AddrPort, device string) bool {
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
		return false
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := conn.Write(induction()); err != nil {
		return errors.Is(err, syscall.ECONNREFUSED)
	}
	var answer [64]byte
	_, err = conn.Read(answer[:])
	return errors.Is(err, syscall.ECONNREFUSED)
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
