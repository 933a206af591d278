package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"
)

// RTPOutput sends the box's RTP packets, headers byte for byte, to one or two
// destinations (SMPTE ST 2022-7). Because nothing is rewritten, the RTP of two
// gateways of one leg merges in any ST 2022-7 receiver.
type RTPOutput struct {
	Name         string
	Destinations []Destination
	// OnLoss can only be Stop: null packets would need sequence numbers that
	// the other gateway's stream does not have, and the pair would no longer
	// be identical.
	OnLoss OnLoss
}

// Title implements OutputConfig.
func (o *RTPOutput) Title() string { return o.Name }

// Check implements OutputConfig.
func (o *RTPOutput) Check() error {
	if o.OnLoss == Null {
		return errors.New("on_input_loss null: RTP null packets would carry sequence numbers of this gateway's own, " +
			"so the two RTP streams of the leg would no longer be identical and their merge would break; " +
			"use stop, or an output of type udp, srt or file")
	}
	if n := len(o.Destinations); n < 1 || n > 2 {
		return fmt.Errorf("%d destinations; give one or two", n)
	}
	return checkAll(o.Destinations)
}

func (o *RTPOutput) open(e *outputEnv) output {
	return newUDPOut("rtp", o.Name, o.Destinations, false, Stop, e)
}

// UDPOutput sends the plain transport stream, one datagram per packet of the
// box (n × 188 bytes).
type UDPOutput struct {
	Name        string
	Destination Destination
	OnLoss      OnLoss
}

// Title implements OutputConfig.
func (o *UDPOutput) Title() string { return o.Name }

// Check implements OutputConfig.
func (o *UDPOutput) Check() error { return o.Destination.check() }

func (o *UDPOutput) open(e *outputEnv) output {
	return newUDPOut("udp", o.Name, []Destination{o.Destination}, true, o.OnLoss, e)
}

func checkAll(ds []Destination) error {
	var errs []error
	for _, d := range ds {
		errs = append(errs, d.check())
	}
	return errors.Join(errs...)
}

// udpOut is an open RTP or UDP output. Its goroutine only opens the sockets:
// resolving a name may block, and an interface may come up later. Sending is
// one non-blocking system call per destination and tick, on the contribution's
// goroutine.
type udpOut struct {
	// set at start, never changed
	kind, name string
	strip      bool // send the payload without the RTP header
	loss       OnLoss
	log        *slog.Logger
	dests      []udpDest

	// owned by the contribution's goroutine
	st OutputStats
}

type udpDest struct {
	d    Destination
	sock atomic.Pointer[udpSocket]
	err  atomic.Pointer[string] // why it is not open

	// owned by the contribution's goroutine
	lastErr error
}

func newUDPOut(kind, name string, ds []Destination, strip bool, loss OnLoss, e *outputEnv) *udpOut {
	o := &udpOut{kind: kind, name: name, strip: strip, loss: loss, log: e.log, dests: make([]udpDest, len(ds))}
	for i, d := range ds {
		o.dests[i].d = d
	}
	return o
}

func (o *udpOut) onLoss() OnLoss { return o.loss }

func (o *udpOut) write(b *batch) {
	msgs := b.rtp
	if o.strip {
		msgs = b.ts
	}
	o.send(msgs)
}

func (o *udpOut) fill(nulls [][]byte) {
	for _, m := range nulls {
		o.st.NullPackets += uint64(len(m) / tsPacket)
	}
	o.send(nulls)
}

func (o *udpOut) send(msgs [][]byte) {
	for i := range o.dests {
		d := &o.dests[i]
		s := d.sock.Load()
		if s == nil {
			o.st.DroppedPackets += uint64(len(msgs))
			continue
		}
		n, err := s.send(msgs)
		for _, m := range msgs[:n] {
			o.st.SentBytes += uint64(len(m))
		}
		o.st.SentPackets += uint64(n)
		o.st.DroppedPackets += uint64(len(msgs) - n)
		d.lastErr = err
	}
}

func (o *udpOut) stats() OutputStats {
	st := o.st
	st.Name, st.Type, st.OnInputLoss, st.State = o.name, o.kind, o.loss.String(), "open"
	var dest, errs []string
	for i := range o.dests {
		d := &o.dests[i]
		dest = append(dest, d.d.Address)
		if d.sock.Load() == nil {
			st.State = "opening"
		}
		if e := d.err.Load(); e != nil {
			errs = append(errs, *e)
		} else if d.lastErr != nil {
			errs = append(errs, fmt.Sprintf("destination %s: %v", d.d.Address, d.lastErr))
		}
	}
	st.Destination, st.Error = strings.Join(dest, ", "), strings.Join(errs, "; ")
	return st
}

// run opens the sockets, trying again each second, and closes them at the end:
// the contribution writes no more by then.
func (o *udpOut) run(ctx context.Context) {
	defer func() {
		for i := range o.dests {
			if s := o.dests[i].sock.Swap(nil); s != nil {
				_ = s.close()
			}
		}
	}()
	for {
		missing := false
		for i := range o.dests {
			missing = !o.dests[i].tryOpen(ctx, o) || missing
		}
		if !missing {
			<-ctx.Done()
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

func (d *udpDest) tryOpen(ctx context.Context, o *udpOut) bool {
	if d.sock.Load() != nil {
		return true
	}
	addr, err := resolve(ctx, d.d)
	var s *udpSocket
	if err == nil {
		dest := d.d
		if dest.TTL == 0 && addr.Addr().IsMulticast() {
			dest.TTL = MulticastTTL
		}
		s, err = openUDP(dest, addr)
	}
	if err != nil {
		text := err.Error()
		if old := d.err.Swap(&text); (old == nil || *old != text) && ctx.Err() == nil {
			o.log.Warn("output cannot be opened; trying again each second", "output", o.name, "err", err)
		}
		return false
	}
	d.err.Store(nil)
	d.sock.Store(s)
	o.log.Info("output open", "output", o.name, "type", o.kind, "to", addr, "from", s.localAddr())
	return true
}

// String gives the configuration's word.
func (l OnLoss) String() string {
	if l == Null {
		return "null"
	}
	return "stop"
}
