package capture

import (
	"errors"
	"fmt"
	"time"

	"quartet/capture/mpegts"
)

// LossAction is what goes on while the feed is lost (on_input_loss).
type LossAction string

const (
	// LossNull fills with null packets at the last measured rate.
	LossNull LossAction = "null"
	// LossStop fills with null packets until StopAfter, then falls silent, so
	// that the other box of a pair takes over.
	LossStop LossAction = "stop"
	// LossPass adds nothing: something behind the guard fills (a slate).
	LossPass LossAction = "pass"
)

const (
	// DefaultLostAfter is the silence after which a feed counts as lost.
	DefaultLostAfter = 500 * time.Millisecond

	// fillPackets is the number of null packets sent at one instant: as many as
	// an ordinary datagram carries.
	fillPackets = 7
	fillBits    = fillPackets * mpegts.PacketSize * 8
	// fillBehind bounds what is made up for after a late Tick.
	fillBehind = 100 * time.Millisecond
	// settle is the time a source gets to hand over what waits in its socket
	// after this process was not scheduled.
	settle = 50 * time.Millisecond
)

// GuardConfig is what a Guard is made of.
type GuardConfig struct {
	// LostAfter is the silence after which the feed counts as lost. 0:
	// DefaultLostAfter.
	LostAfter time.Duration
	// OnLoss is what goes on meanwhile. "": LossNull.
	OnLoss LossAction
	// StopAfter is how long after the last packet LossStop falls silent.
	StopAfter time.Duration
	// IdleRate is the rate in bit/s of null packets when no feed has been seen
	// yet. 0: nothing is sent until the first packet.
	IdleRate int64
	// OnEvent takes events, in order; it must not call the Guard.
	OnEvent func(Event)
}

func (c *GuardConfig) check() error {
	if c.LostAfter == 0 {
		c.LostAfter = DefaultLostAfter
	}
	if c.OnLoss == "" {
		c.OnLoss = LossNull
	}
	if c.OnEvent == nil {
		c.OnEvent = func(Event) {}
	}
	switch {
	case c.LostAfter < 10*time.Millisecond:
		return fmt.Errorf("capture: LostAfter %v: must be at least 10ms", c.LostAfter)
	case c.OnLoss != LossNull && c.OnLoss != LossStop && c.OnLoss != LossPass:
		return fmt.Errorf("capture: OnLoss %q: must be null, stop or pass", c.OnLoss)
	case c.StopAfter < 0:
		return fmt.Errorf("capture: StopAfter %v: must not be negative", c.StopAfter)
	case c.IdleRate < 0:
		return fmt.Errorf("capture: IdleRate %d: must not be negative", c.IdleRate)
	}
	return nil
}

// Stats is what an Input and its Guard know of a feed.
type Stats struct {
	Present       bool    `json:"present"`          // packets arrive
	TSPackets     uint64  `json:"ts_packets"`       // received from the source
	RateBPS       int64   `json:"rate_bps"`         // over the last two seconds with packets
	LastPacketMS  float64 `json:"last_packet_ms"`   // age of the last packet at the last Tick; -1: none yet
	Losses        uint64  `json:"losses"`           // times the feed was lost
	OutageMS      float64 `json:"outage_ms"`        // sum of all outages that have ended
	NullPackets   uint64  `json:"null_packets"`     // sent in place of the feed
	Silenced      bool    `json:"silenced"`         // on_input_loss stop is in force
	SourceStarts  uint64  `json:"source_starts"`    // times the source was started
	SourceFailure string  `json:"source_failure"`   // why it failed last; "" while it runs
	SourceAgainMS float64 `json:"source_again_ms"`  // wait before the next start; 0 while it runs
	LateTicks     uint64  `json:"late_ticks_count"` // process was not scheduled for half of LostAfter
}

type guardState uint8

const (
	waiting guardState = iota // no packet yet, not yet called lost
	present
	filling // lost; null packets or, with LossPass, nothing
	silent  // lost and StopAfter is over
)

// Guard watches a feed on its way to next. It is pure: instants come in with
// the packets and with Tick. Use by one goroutine at a time.
type Guard struct {
	cfg  GuardConfig
	next mpegts.Writer

	state    guardState
	last     time.Duration // of the last packet, or the start
	lastOut  time.Duration // last instant given to next
	lastTick time.Duration
	graceEnd time.Duration // not lost before: the process was not scheduled
	rate     rateMeter

	fill     int64         // rate in bit/s of null packets
	fillAt   time.Duration // instant of the next ones
	fillFrac int64         // remainder of fillAt, in 1/fill ns
	nulls    []byte

	stats Stats
}

// NewGuard returns a Guard that starts at now and writes to next.
func NewGuard(cfg GuardConfig, now time.Duration, next mpegts.Writer) (*Guard, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if next == nil {
		return nil, errors.New("capture: no writer")
	}
	g := &Guard{cfg: cfg, next: next, last: now, lastOut: now, lastTick: now}
	g.nulls = mpegts.AppendNull(nil, fillPackets)
	return g, nil
}

// WriteTS takes n×188 bytes that arrived at at, and hands them on at once. An
// instant earlier than one already handed on is moved up to it.
func (g *Guard) WriteTS(at time.Duration, ts []byte) error {
	if len(ts) == 0 {
		return nil
	}
	if g.state != present {
		g.returned(at)
	}
	g.last = max(g.last, at)
	g.rate.add(at, len(ts))
	g.stats.TSPackets += uint64(len(ts) / mpegts.PacketSize)
	g.lastOut = max(g.lastOut, at)
	return g.next.WriteTS(g.lastOut, ts)
}

func (g *Guard) returned(at time.Duration) {
	lost := g.state != waiting
	outage := max(at-g.last, 0)
	g.state = present
	g.stats.Silenced = false
	// The rate before an outage says nothing about what comes now.
	g.rate = rateMeter{}
	if lost {
		g.stats.OutageMS += milliseconds(outage)
		g.cfg.OnEvent(Event{Kind: InputReturned, At: at, Outage: outage, Rate: g.fill})
	}
}

// Tick notices a loss and sends the null packets that are due at now. Its error
// is the writer's.
func (g *Guard) Tick(now time.Duration) error {
	if now-g.lastTick > g.cfg.LostAfter/2 {
		g.stats.LateTicks++
		g.graceEnd = now + settle
	}
	g.lastTick = now
	outage := now - g.last
	if g.state <= present && outage >= g.cfg.LostAfter && now >= g.graceEnd {
		g.lost(now, outage)
	}
	if g.state == filling && g.cfg.OnLoss == LossStop && outage >= g.cfg.StopAfter {
		g.state = silent
		g.stats.Silenced = true
		g.cfg.OnEvent(Event{Kind: InputSilenced, At: now, Outage: outage, Rate: g.fill})
	}
	if g.state == filling && g.fill > 0 && g.cfg.OnLoss != LossPass {
		return g.sendNulls(now)
	}
	return nil
}

func (g *Guard) lost(now, outage time.Duration) {
	if g.state == waiting {
		g.fill = g.cfg.IdleRate
	} else if g.fill == 0 || g.rate.span() >= rateBucket {
		g.fill = g.rate.rate() // else a few packets between two losses: the rate before them is better
	}
	g.state = filling
	g.stats.Losses++
	g.fillAt, g.fillFrac = max(now, g.lastOut), 0
	g.cfg.OnEvent(Event{Kind: InputLost, At: now, Outage: outage, Rate: g.fill})
}

// sendNulls writes what is due, spaced exactly as the rate says.
func (g *Guard) sendNulls(now time.Duration) error {
	if now-g.fillAt > fillBehind {
		g.fillAt, g.fillFrac = now-fillBehind, 0
	}
	for g.fillAt <= now {
		g.lastOut = max(g.lastOut, g.fillAt)
		if err := g.next.WriteTS(g.lastOut, g.nulls); err != nil {
			return err
		}
		g.stats.NullPackets += fillPackets
		g.fillAt += time.Duration(fillBits * int64(time.Second) / g.fill)
		g.fillFrac += fillBits * int64(time.Second) % g.fill
		if g.fillFrac >= g.fill {
			g.fillFrac -= g.fill
			g.fillAt++
		}
	}
	return nil
}

// Next returns when Tick has something to do.
func (g *Guard) Next() time.Duration {
	// Often enough to notice that the process was not scheduled.
	next := g.lastTick + g.cfg.LostAfter/4
	switch g.state {
	case waiting, present:
		if due := max(g.last+g.cfg.LostAfter, g.graceEnd); due > g.lastTick {
			next = min(next, due)
		}
	case filling:
		if g.cfg.OnLoss == LossStop {
			next = min(next, g.last+g.cfg.StopAfter)
		}
		if g.fill > 0 && g.cfg.OnLoss != LossPass {
			next = min(next, g.fillAt)
		}
	}
	return next
}

// Stats returns the counts since the start.
func (g *Guard) Stats() Stats {
	s := g.stats
	s.Present = g.state == present
	s.RateBPS = g.rate.rate()
	s.LastPacketMS = -1
	if s.TSPackets > 0 {
		s.LastPacketMS = milliseconds(max(g.lastTick-g.last, 0))
	}
	return s
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
