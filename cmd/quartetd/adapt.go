package main

import (
	"context"
	"sync"
	"time"

	"quartet/capture/engine"
	"quartet/uplink"
	"quartet/uplink/adapt"
)

// adaptEvery is how often the paths are looked at: their counters are read five
// times a second.
const adaptEvery = 100 * time.Millisecond

// rater is what is adapted: *engine.Source.
type rater interface{ SetRate(bps int64) error }

var _ rater = (*engine.Source)(nil)

// adapter lets the encoder's rate follow the paths.
type adapter struct {
	// set at start, never changed
	sender *uplink.Sender
	source rater

	mu   sync.Mutex // guards all below
	cfg  adapt.Config
	a    *adapt.Adapter
	rate int64 // in force
}

func newAdapter(cfg adapt.Config, sender *uplink.Sender, source rater) (*adapter, error) {
	a, err := adapt.New(cfg)
	return &adapter{sender: sender, source: source, cfg: cfg, a: a, rate: cfg.Max}, err
}

// bounds are the lowest and the highest rate.
func (a *adapter) bounds() (low, high int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cfg.Min, a.cfg.Max
}

// setConfig changes the bounds; the rate follows within a tick.
func (a *adapter) setConfig(cfg adapt.Config) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cfg = cfg
	a.a.SetConfig(cfg)
}

func (a *adapter) run(ctx context.Context, now func() time.Duration, note func(string)) {
	t := time.NewTicker(adaptEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			a.look(now(), note)
		}
	}
}

// look takes a sample of all paths and does what is decided.
func (a *adapter) look(now time.Duration, note func(string)) {
	var list []adapt.Sample
	for _, p := range a.sender.Paths() {
		list = append(list, sampleOf(p.Stats()))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	d := a.a.Look(now, list)
	if d.Rate != a.rate {
		if err := a.source.SetRate(d.Rate); err != nil {
			note("the encoder's rate cannot be changed: " + err.Error())
		}
		a.rate = d.Rate
	}
	for i, p := range a.sender.Paths() {
		p.SetLoad(d.Paths[i].Carries, d.Paths[i].Parity)
	}
	for _, e := range d.Events {
		note(e)
	}
}

// sampleOf is what the adapter is told of a path.
func sampleOf(st uplink.PathStats) adapt.Sample {
	s := adapt.Sample{Name: st.Name, Leg: st.Leg, Up: st.State == uplink.StateUp, Dropped: st.Dropped + st.Stale, Parity: st.Profile == uplink.ProfileRTPFEC.String()}
	if st.Link == nil || st.Link.SRT == nil {
		s.Up = s.Up && st.Link != nil
		return s
	}
	l := st.Link.SRT
	s.Tells = true
	s.At = time.Duration(l.MSTimestamp) * time.Millisecond
	s.Dropped += uint64(max(0, l.PktSndDropTotal))
	s.Bytes, s.Total = l.ByteSentTotal, uint64(max(0, l.PktSentTotal))
	// What was sent, is not waiting for an acknowledgement and was not given up.
	s.Acked = uint64(max(0, int64(l.ByteSentUniqueTotal)-l.ByteSndBuf-int64(l.ByteSndDropTotal)))
	s.Buffer = time.Duration(l.MSSndBuf) * time.Millisecond
	s.RTT = time.Duration(l.MSRTT * float64(time.Millisecond))
	s.Sent, s.Lost = uint64(max(0, l.PktSentUniqueTotal)), uint64(max(0, l.PktSndLossTotal))
	s.Estimate = int64(l.MbpsBandwidth * 1e6)
	if r := st.Arrival; r != nil && r.Age < 1000 {
		// What came too late came: a connection whose handshake was held up, or a
		// gateway that was not scheduled, and a lower rate would help neither. A line
		// that delays because it is full shows it by its round trip.
		s.Reported, s.Received, s.Missed = true, r.Received, r.LostHere-min(r.Late, r.LostHere)
	}
	return s
}
