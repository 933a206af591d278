package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"quartet/capture"
	"quartet/capture/engine"
	"quartet/capture/mpegts"
	"quartet/capture/sdi"
	"quartet/device/config"
	"quartet/device/control"
	"quartet/device/health"
	"quartet/uplink"
)

const (
	watchEvery = 200 * time.Millisecond
	// Reports come every 200 ms: after three in a row are missing, nothing may
	// be arriving. With the condition's own hold an alarm comes within 2 s.
	reportMissing = 600 * time.Millisecond
	// engineStarts is the time that the media engine gets for its first start.
	engineStarts = 15 * time.Second
	// lossWindow is what rates and loss are averaged over.
	lossWindow = 500 * time.Millisecond
)

// watcher turns the parts' counters into conditions. It only reads.
type watcher struct {
	box *box

	health *health.Monitor
	log    *slog.Logger // of conditions; nil: none

	mu      sync.Mutex // guards all below
	paths   map[string]*pathWatch
	input   inputWatch
	logged  uint64 // number of the last event of the health monitor that was logged
	ours    ours
	senses  senseWatch
	failure string // last one of the source that was logged
}

// sample is what the watcher looks at.
type sample struct {
	doc       *config.Box
	plan      uplink.Plan
	present   bool // the feed arrives
	input     control.Input
	clockless bool // the feed has no PCR that paces it
	streams   *ends
	limits    limits
	senses    senses
	paths     []uplink.PathStats
}

// inputWatch is what the watcher remembers of the input.
type inputWatch struct {
	at     time.Duration
	errors uint64
	rate   float64 // errors/s
}

// pathWatch is what the watcher remembers of a path.
type pathWatch struct {
	at                     time.Duration
	last                   uplink.PathStats
	lossPercent            float64
	overload               bool
	lossy, differs, badTag bool
	mtu                    bool
	late                   bool // all that comes is too late
	maxRTT                 float64
	rates                  pathRates
	flowed                 time.Duration // how long packets had been sent before this window
}

func newWatcher(b *box, m *health.Monitor) *watcher {
	return &watcher{box: b, health: m, paths: map[string]*pathWatch{}}
}

func (w *watcher) run(ctx context.Context) {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			w.look(w.box.opts.now())
		}
	}
}

func (w *watcher) note(text string) {
	w.health.Note(w.box.opts.now(), "", health.ResourceBox, text)
}

// reloaded takes the outcome of a reload.
func (w *watcher) reloaded(changed []string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	} else {
		w.note("configuration reloaded: " + cmp.Or(strings.Join(changed, "; "), "nothing changed"))
	}
	w.health.Set(w.box.opts.now(), health.ConfigInvalid, health.ResourceBox, err != nil, text)
	if err == nil {
		w.health.Set(w.box.opts.now(), health.ConfigRestored, health.ResourceBox, false, "")
	}
}

// rates gives what a path did of late.
func (w *watcher) rates(path string) (r pathRates) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.paths[path]; p != nil {
		r = p.rates
		r.lossHere = p.lossPercent
	}
	return r
}

// pathRates are averages over the last window.
type pathRates struct {
	bps      int64
	sendLoss float64 // %, packets the far end asked for again
	lossHere float64 // %, packets that did not arrive on this path in time
}

// inputEvent takes events from the input's guard.
func (w *watcher) inputEvent(e capture.Event) {
	text := string(e.Kind)
	level := slog.LevelWarn
	switch e.Kind {
	case capture.SourceFailed:
		text = fmt.Sprintf("input failed: %v", e.Err)
		// A source is tried again for ever; the same failure is said once.
		w.mu.Lock()
		again := w.failure == text
		w.failure = text
		w.mu.Unlock()
		if again {
			return
		}
	case capture.InputReturned:
		text, level = fmt.Sprintf("input returned after %v", e.Outage.Round(time.Millisecond)), slog.LevelInfo
		w.mu.Lock()
		w.failure = ""
		w.mu.Unlock()
	case capture.InputLost:
		text = "input lost"
	case capture.InputSilenced:
		text = "input lost for long: silent now, as on_input_loss says"
	}
	w.box.opts.log.Log(context.Background(), level, text, "rate_bps", e.Rate)
	w.health.Note(e.At, health.InputLost, health.ResourceInput, text)
}

// look takes a sample and judges it.
func (w *watcher) look(now time.Duration) {
	doc, set := w.box.current()
	c := &w.box.chain
	if c.in != nil {
		c.in.tick(now, framing(c.feed))
		c.out.tick(now, mpegts.FramerStats{})
	}
	s := sample{doc: doc, plan: set.plan, input: w.box.inputStatus(doc), streams: c.checks(), limits: set.limits}
	if set.limits.watched {
		s.senses = c.sense()
	}
	s.present = s.input.State == control.InputOK
	if p := c.sender.Stats().Pacer; p != nil {
		s.clockless = p.PCRPID == 0
	}
	for _, p := range c.sender.Paths() {
		s.paths = append(s.paths, p.Stats())
	}
	w.observe(now, &s)
}

// observe sets all conditions by a sample taken at now.
func (w *watcher) observe(now time.Duration, s *sample) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lookAtInput(now, s)
	w.lookAtStreams(now, s)
	w.lookAtSenses(now, s.limits, &s.senses)
	w.lookAtInterfaces(now, s.doc)
	type leg struct{ paths, working int }
	legs := map[int]*leg{}
	for i, st := range s.paths {
		p := w.paths[st.Name]
		if p == nil {
			p = &pathWatch{last: st, at: now}
			w.paths[st.Name] = p
		}
		if now-p.at >= lossWindow {
			p.measure(now, st)
		}
		working := w.lookAtPath(now, st, p, s.plan, s.doc.Paths[i], s.doc.Output.RTTMS)
		l := legs[st.Leg]
		if l == nil {
			l = &leg{}
			legs[st.Leg] = l
		}
		l.paths++
		if working {
			l.working++
		}
	}
	carrying := 0
	for _, l := range legs {
		if l.working > 0 {
			carrying++
		}
	}
	others := "no other leg carries the feed"
	if carrying > 0 {
		others = "another leg carries the feed"
	}
	for n, l := range legs {
		w.health.Set(now, health.LegDown, health.Leg(n), l.working == 0, others)
		w.health.Set(now, health.LegUnprotected, health.Leg(n), l.working == 1 && l.paths > 1, "")
	}
	w.health.Tick(now)
	w.logEvents()
}

// logEvents writes conditions as they are raised and cleared: who only has the
// log must find there what the list said.
func (w *watcher) logEvents() {
	events, _, _ := w.health.Ring().After(w.logged)
	for _, e := range events {
		w.logged = e.Seq
		c := &e.Condition
		switch {
		case w.log == nil || c.Masked:
		case e.Kind == health.Raised:
			level := slog.LevelWarn
			if c.Severity >= health.Major {
				level = slog.LevelError
			}
			w.log.Log(context.Background(), level, "condition raised", "code", c.Code, "resource", c.Resource, "severity", c.Severity.String(), "text", c.Text)
		case e.Kind == health.Cleared:
			w.log.Info("condition cleared", "code", c.Code, "resource", c.Resource)
		}
	}
}

// lookAtInput sets the feed's conditions.
func (w *watcher) lookAtInput(now time.Duration, s *sample) {
	h, in := w.health, &s.input
	lost := !s.present
	if e := in.Engine; e != nil {
		// One fault, one alarm: what the engine's death takes along is its own. At
		// the start it gets the time that GStreamer may need.
		down := !e.Up && (e.Starts > 1 || now > engineStarts)
		lost = e.Up && !e.InputPresent
		h.Set(now, health.EngineDown, health.ResourceInput, down, e.Reason)
		h.Set(now, health.RateReduced, health.ResourceBox, e.HighestBPS > e.RateBPS,
			fmt.Sprintf("%.1f of %.1f Mbit/s", float64(e.RateBPS)/1e6, float64(e.HighestBPS)/1e6))
		h.Set(now, health.SlateOnAir, health.ResourceInput, e.OnAir != string(engine.FromEngine) && e.Up && e.InputPresent && now > engineStarts, e.Reason)
	}
	if e := in.Engine; e != nil {
		w.lookAtSignal(now, e, s.doc)
	}
	h.Set(now, health.InputLost, health.ResourceInput, lost, in.Reason)
	limit := s.doc.Output.MaxBitrateKbps.BitsPerSecond()
	h.Set(now, health.InputOverrate, health.ResourceInput, in.BitrateBPS > limit*102/100,
		fmt.Sprintf("%.1f Mbit/s, planned for %.1f", float64(in.BitrateBPS)/1e6, float64(limit)/1e6))
	h.Set(now, health.InputNoClock, health.ResourceInput, s.present && s.clockless, "")

	if span := now - w.input.at; span >= lossWindow {
		errors := in.ContinuityErrors + in.TransportErrors
		w.input.rate = float64(errors-w.input.errors) / span.Seconds()
		w.input.at, w.input.errors = now, errors
	}
	h.Measure(now, health.InputErrors, health.ResourceInput, w.input.rate, "")

	missing := ""
	for _, l := range in.Legs {
		if l.State != control.InputOK {
			missing = l.URL
		}
	}
	h.Set(now, health.InputUnprotected, health.ResourceInput, s.present && missing != "", missing+" is missing")
}

// signalCodes are the conditions of a capture device, by what it says.
var signalCodes = map[string]health.Code{
	string(sdi.Missing): health.DeviceMissing, string(sdi.Refused): health.DeviceMissing, string(sdi.Busy): health.DeviceBusy,
	string(sdi.NoSignal): health.SignalNone, string(sdi.Unlocked): health.SignalUnlocked, string(sdi.Unsupported): health.SignalFormat,
}

// lookAtSignal sets the conditions of the capture device and the sound card.
func (w *watcher) lookAtSignal(now time.Duration, e *control.Engine, doc *config.Box) {
	h, code, text := w.health, health.Code(""), ""
	if g := e.Signal; g != nil {
		code, text = signalCodes[g.State], g.Text
		// The kernel lets two programs open a device, and one take its frames.
		if code == "" && !e.InputPresent && strings.Contains(e.Reason, "busy") {
			code, text = health.DeviceBusy, e.Reason
		}
	}
	for _, c := range []health.Code{health.DeviceMissing, health.DeviceBusy, health.SignalNone, health.SignalUnlocked, health.SignalFormat} {
		h.Set(now, c, health.ResourceInput, c == code, text)
	}
	silent := doc.Input.AudioDevice != "" && e.Up && code == "" && e.InputPresent && !e.SoundPresent
	h.Set(now, health.SoundLost, health.ResourceInput, silent, e.SoundReason)
}

// lookAtPath sets a path's conditions and tells whether it delivers.
func (w *watcher) lookAtPath(now time.Duration, st uplink.PathStats, p *pathWatch, plan uplink.Plan, doc config.Path, rtt config.Milliseconds) bool {
	h, res := w.health, health.Path(st.Name)
	down := st.State != uplink.StateUp
	h.Set(now, health.PathDown, res, down, st.Reason)
	h.Set(now, health.PathPending, res, !down && st.Reason != "", st.Reason)

	silent := false
	detail := ""
	upFor := now - time.Duration(st.UpSince*float64(time.Second))
	first := reportMissing // when the first report may be expected
	if st.Link != nil && st.Link.SRT != nil {
		// The far end hears of the stream no sooner than SRT hands it over.
		first += time.Duration(st.Link.SRT.MSSndTsbPdDelay) * time.Millisecond
	}
	switch {
	case down || upFor < first:
	case doc.Profile == config.ProfileRTPFEC && st.Arrival == nil:
		silent, detail = true, "no report since it connected"
	case doc.Profile == config.ProfileRTPFEC && st.Arrival.Age > reportMissing.Seconds()*1000:
		silent, detail = true, fmt.Sprintf("last report %.1f s ago", st.Arrival.Age/1000)
	case st.Link != nil && st.Link.SRT != nil && float64(st.Link.SRT.MSSndBuf) > 2*reportMissing.Seconds()*1000:
		silent, detail = true, "nothing is acknowledged"
	}
	h.Set(now, health.PathUnreported, res, silent, detail)
	h.Set(now, health.PathOverload, res, p.overload, "")
	h.Set(now, health.PathShed, res, st.Shed, "")
	h.Set(now, health.PathBare, res, st.Bare, "")
	late := ""
	if p.late {
		late = "they come too late: a new connection is made, or else raise output.latency_ms here and at the gateway"
	}
	h.Measure(now, health.PathLoss, res, p.lossPercent, late)
	h.Set(now, health.PathMTU, res, p.mtu, "reports pass, full packets do not")
	h.Set(now, health.PathKey, res, p.badTag, "")
	h.Set(now, health.GatewayLossy, res, p.lossy, "")
	h.Set(now, health.DigestMismatch, res, p.differs, "")
	rttPlanned := float64(rtt)
	h.Set(now, health.PathRTT, res, rttPlanned > 0 && p.maxRTT > 1.5*rttPlanned+5 && plan.SRTLatency > 0,
		fmt.Sprintf("%.0f ms, planned for %.0f ms", p.maxRTT, rttPlanned))
	return !down && !silent && !p.mtu && !p.late && !st.Shed
}

// measure compares with a window ago.
func (p *pathWatch) measure(now time.Duration, st uplink.PathStats) {
	before, span := p.last, now-p.at
	p.at, p.last = now, st
	p.rates.bps = int64(float64(st.SentBytes-before.SentBytes) * 8 / span.Seconds())
	p.rates.sendLoss = 0
	dropped := st.Dropped + st.Stale - before.Dropped - before.Stale
	sent := st.Sent - before.Sent
	p.overload = false
	p.lossy, p.differs, p.badTag, p.mtu, p.late = false, false, false, false, false
	if l, b := st.Link, before.Link; l != nil && l.SRT != nil && b != nil && b.SRT != nil && l.SRT.MSTimestamp > b.SRT.MSTimestamp {
		p.maxRTT = l.SRT.MSRTT
		if n := l.SRT.PktSentUniqueTotal - b.SRT.PktSentUniqueTotal; n > 0 {
			p.rates.sendLoss = 100 * float64(l.SRT.PktSndLossTotal-b.SRT.PktSndLossTotal) / float64(n)
		}
		dropped += uint64(max(0, l.SRT.PktSndDropTotal-b.SRT.PktSndDropTotal))
	}
	// A path that loses every fifth packet before any repair carries less than
	// it is given, whatever its queue says.
	p.overload = dropped > 0 && dropped*200 > sent || p.rates.sendLoss > 20
	// A far end with another key reports all the same, but not in our eyes.
	p.badTag = st.Refused > before.Refused
	a, b := st.Arrival, before.Arrival
	if st.Connects != before.Connects || a == nil || b == nil || b.Age > 1000 || a.Received < b.Received || a.Merged.Delivered < b.Merged.Delivered {
		// What the far end missed while the path was away belongs to that alarm.
		p.lossPercent, p.flowed = 0, 0
		return
	}
	received, lost := a.Received-b.Received, a.LostHere-b.LostHere
	if n := received + lost; n > 0 {
		p.lossPercent = 100 * float64(lost) / float64(n)
	} else {
		p.lossPercent = 0
	}
	p.lossy = a.Merged.Lost > b.Merged.Lost
	p.differs = a.Digest.Different > b.Digest.Different
	p.badTag = p.badTag || a.BadTag-b.BadTag > 10 && a.BadTag-b.BadTag > received/10
	// Reports are fresh, much was sent, and nothing of it came. The far end counts
	// a packet when it releases it, D after it was sent: so the flow must have
	// gone on for that and a window.
	held := time.Duration(a.Merged.Latency * float64(time.Millisecond))
	flowing := sent >= 5
	nothing := flowing && p.flowed > held && received == 0 && !p.badTag && a.Age < 1000 && dropped == 0
	// What comes too late gets through: a connection whose handshake was held up
	// (see uplink's tardiness), or a network that is slower than was planned for.
	p.late = nothing && a.Late > b.Late
	p.mtu = nothing && !p.late
	if p.flowed += span; !flowing {
		p.flowed = 0
	}
}

// lookAtInterfaces warns when the paths of a leg share a network interface that
// the configuration names.
func (w *watcher) lookAtInterfaces(now time.Duration, doc *config.Box) {
	users := map[string]int{}
	for _, p := range doc.Paths {
		if p.Interface != "" {
			users[fmt.Sprint(p.Leg, "/", p.Interface)]++
		}
	}
	shared := ""
	for name, n := range users {
		if n > 1 {
			shared = name
		}
	}
	w.health.Set(now, health.SharedInterface, health.ResourceBox, shared != "", "leg/interface "+shared)
}
