package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"quartet/capture"
	"quartet/capture/mpegts"
	capsrt "quartet/capture/srt"
	"quartet/capture/tr101290"
	"quartet/capture/tsfile"
	"quartet/capture/udp"
	"quartet/device/control"
)

// quiet is how long no packets have come when a monitor must be told the time.
const quiet = 100 * time.Millisecond

// tap is a monitor beside the way of the packets.
type tap struct {
	*tr101290.Monitor
	last    atomic.Int64       // when packets came last
	framing mpegts.FramerStats // as handed on; owned by the watcher, as is:
	ticked  time.Duration      // when tick was called last
}

// newTap returns nil for settings that are nil: monitoring is switched off.
func newTap(cfg *tr101290.Config) (*tap, error) {
	if cfg == nil {
		return nil, nil
	}
	m, err := tr101290.New(*cfg)
	return &tap{Monitor: m}, err
}

// WriteTS implements mpegts.Writer.
func (t *tap) WriteTS(at time.Duration, ts []byte) error {
	t.last.Store(int64(at))
	return t.Monitor.WriteTS(at, ts)
}

// tick tells the time while no packets come, and what the framer found.
func (t *tap) tick(now time.Duration, s mpegts.FramerStats) {
	// Each of these moves the monitor's clock, so that packets that have arrived
	// and are on their way here would be a little early: only if there is need.
	if s.SyncLosses != t.framing.SyncLosses || s.SyncByteErrs != t.framing.SyncByteErrs {
		t.Framing(now, s)
	}
	t.framing = s
	// Who was not scheduled for a while lets the packets come first that wait in
	// the sockets, with their instants.
	late := now-t.ticked > 2*watchEvery
	t.ticked = now
	if now-time.Duration(t.last.Load()) > quiet && !late {
		t.Tick(now)
	}
}

// watched is a source whose packets a tap sees as they come, before the guard
// fills a gap.
type watched struct {
	capture.Source
	tap *tap
}

// Run implements capture.Source.
func (s watched) Run(ctx context.Context, w mpegts.Writer) error {
	return s.Source.Run(ctx, mpegts.WriterFunc(func(at time.Duration, ts []byte) error {
		_ = s.tap.WriteTS(at, ts) // never fails
		return w.WriteTS(at, ts)
	}))
}

// framing is what a source's framer found; nothing for those that have none.
func framing(source capture.Source) mpegts.FramerStats {
	switch s := source.(type) {
	case *capsrt.Source:
		return s.Stats().Framer
	case *udp.Source:
		return s.Stats().Framer
	case *tsfile.Source:
		return s.Stats().Framer
	}
	return mpegts.FramerStats{}
}

// counter counts what is wrong with the feed on its way to the sender where
// monitoring is switched off.
type counter struct {
	next       mpegts.Writer     // set at start, never changed
	continuity mpegts.Continuity // owned by the goroutine that writes

	errors, transport atomic.Uint64 // for those who look on
}

// WriteTS implements mpegts.Writer.
func (m *counter) WriteTS(at time.Duration, ts []byte) error {
	for i := 0; i+mpegts.PacketSize <= len(ts); i += mpegts.PacketSize {
		m.continuity.Check(mpegts.Packet(ts[i : i+mpegts.PacketSize]))
	}
	st := m.continuity.Stats()
	m.errors.Store(st.Errors)
	m.transport.Store(st.TransportErrors)
	return m.next.WriteTS(at, ts)
}

// damage is how many continuity errors and error flags the feed came with.
func (c *chain) damage() (continuity, transport uint64) {
	if c.in == nil {
		return c.counter.errors.Load(), c.counter.transport.Load()
	}
	list := c.in.Checks()
	return list[tr101290.ContinuityCountError].Count, list[tr101290.TransportError].Count
}

// Probe implements control.Media.
func (b *box) Probe(where string) (control.Probe, error) {
	t := b.chain.in
	switch where {
	case control.AtInput:
	case control.AtOutput:
		t = b.chain.out
	default:
		return control.Probe{}, control.ErrNoPlace
	}
	if t == nil {
		return control.Probe{}, errors.New("monitoring is switched off: set input.monitor.enabled to true and restart quartetd")
	}
	stream, err := json.Marshal(t.Stats())
	return control.Probe{Where: where, Time: time.Now(), Stream: stream}, err
}

// shownServices, shownCues bound what the status tells; a probe tells all.
const (
	shownServices = 16
	shownCues     = 8
)

// monitorStatus is the part of a monitor's knowledge that the status shows. wall
// turns process times into wall-clock times.
func monitorStatus(t *tap, wall func(time.Duration) time.Time) *control.Monitor {
	if t == nil {
		return nil
	}
	st := t.Stats()
	m := &control.Monitor{
		Synced: st.Synced, Packets: st.Packets, BitrateBPS: st.RateBPS, NullShare: st.NullShare,
		Checks: []control.StreamCheck{}, Services: []control.StreamService{}, Clocks: []control.StreamClock{}, Cues: []control.StreamCue{},
	}
	for _, c := range st.Checks {
		if c.Priority == 3 && !c.Measured {
			continue // switched off
		}
		k := control.StreamCheck{
			Clause: c.Clause, Name: c.Check.String(), Priority: c.Priority, Measured: c.Measured, Active: c.Active, Count: c.Count, PID: -1,
		}
		if c.Count > 0 {
			at := wall(c.Last)
			k.Last = &at
		}
		if c.PID != mpegts.NullPID {
			k.PID = int(c.PID)
		}
		switch m.Checks = append(m.Checks, k); c.Priority {
		case 1:
			m.Priority1 += c.Count
		case 2:
			m.Priority2 += c.Count
		default:
			m.Priority3 += c.Count
		}
	}
	for i := range st.Services[:min(len(st.Services), shownServices)] {
		m.Services = append(m.Services, serviceStatus(&st.Services[i]))
	}
	m.OtherServices = len(st.Services) - len(m.Services)
	for _, c := range st.Clocks {
		if len(c.Programs) > 0 {
			m.Clocks = append(m.Clocks, control.StreamClock{
				PID: int(c.PID), IntervalMS: c.Interval.Mean, LongestMS: c.Interval.Max, JitterMS: c.JitterMS,
				Constant: c.Constant, AccuracyNS: max(-c.AccuracyMinNS, c.AccuracyMaxNS),
			})
		}
	}
	for _, c := range st.Cues[max(0, len(st.Cues)-shownCues):] {
		m.Cues = append(m.Cues, cueStatus(&c, wall))
	}
	return m
}

func serviceStatus(p *mpegts.Program) control.StreamService {
	s := control.StreamService{Number: int(p.Number), Name: p.Name, Provider: p.Provider, PMTPID: int(p.PMTPID), PCRPID: -1, Components: []control.StreamComponent{}}
	if p.HasPMT && p.PCRPID != mpegts.NullPID {
		s.PCRPID = int(p.PCRPID)
	}
	for _, c := range p.Components {
		s.Components = append(s.Components, control.StreamComponent{PID: int(c.PID), Kind: string(c.Kind), Codec: c.Codec, Language: c.Language})
	}
	return s
}

func cueStatus(c *tr101290.Cue, wall func(time.Duration) time.Time) control.StreamCue {
	q := control.StreamCue{
		Time: wall(c.At), PID: int(c.PID), Command: c.Command, Encrypted: c.Encrypted, EventID: c.EventID, Cancel: c.Cancel,
		Out: c.OutOfNetwork, Immediate: c.Immediate, DurationMS: c.DurationMS,
	}
	for _, s := range c.Segments {
		q.Segments = append(q.Segments, segmentName(s))
	}
	return q
}

func segmentName(s tr101290.Segment) string {
	if s.Type != "" {
		return s.Type
	}
	return fmt.Sprintf("type %#02x", s.TypeID)
}
