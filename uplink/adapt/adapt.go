package adapt

import (
	"fmt"
	"slices"
	"time"
)

const (
	// share is what is used of a capacity that was found: a line that is full
	// delays, and retransmissions need room.
	share = 0.85
	// undershoot is the share for the first time after a fall: what has piled up
	// must drain.
	undershoot = 0.65
	drains     = 1500 * time.Millisecond
	// headers is what SRT, UDP, IP, RTP and tag add to a transport stream.
	headers = 1.07
	// again is how soon the rate may fall again: what was decided must show first.
	again = 600 * time.Millisecond
	// Up: after calm for so long, by so much, so often.
	calm     = 10 * time.Second
	step     = 0.05
	stepTime = 5 * time.Second
	// A rise that strains a path makes the next ones wait: at first this long,
	// twice as long each time, until a rise has held.
	firstPatience = 20 * time.Second
	lastPatience  = 5 * time.Minute
	// asleep is the time between two looks from which on what lies between them
	// tells nothing of the lines.
	asleep = 300 * time.Millisecond
	// trial is how long something that was given back must hold.
	trial = 3 * time.Second
)

// Config says between what the encoder's rate may move.
type Config struct {
	Min, Max int64   // bit/s, of the transport stream
	Overhead float64 // share of parity on a path that carries it
}

// PathDecision is what a path is to carry.
type PathDecision struct {
	Name    string
	Parity  bool // let repair packets through
	Carries bool // let anything through
}

// Decision is what is to be done.
type Decision struct {
	Rate  int64 // bit/s, of the transport stream
	Paths []PathDecision
	// Events say in words what has changed since the last decision, and why.
	Events []string
}

// Adapter decides. Not safe for concurrent use.
type Adapter struct {
	cfg Config // set at start, never changed

	rate     int64
	paths    map[string]*path
	began    bool
	looked   time.Duration // last
	fell     time.Duration // when the rate was lowered last; since then:
	drained  bool          // the undershoot has been taken back
	before   int64         // rate before it
	low      float64       // capacity that the last fall went by, bit/s
	rose     time.Duration // when it was raised last, or lowered
	rising   bool          // the last change was upwards, and has not held yet
	patience time.Duration
	wait     time.Duration // no rise before
}

// New returns an Adapter that begins at the highest rate.
func New(cfg Config) (*Adapter, error) {
	if cfg.Min < 1 || cfg.Max < cfg.Min || !(cfg.Overhead >= 0) {
		return nil, fmt.Errorf("adapt: rates from %d to %d bit/s with %g of parity: the lowest must be positive and not above the highest", cfg.Min, cfg.Max, cfg.Overhead)
	}
	return &Adapter{cfg: cfg, rate: cfg.Max, drained: true, paths: map[string]*path{}, patience: firstPatience}, nil
}

// SetConfig changes the bounds while it runs. A rate that was the highest is the
// highest again.
func (a *Adapter) SetConfig(cfg Config) {
	if a.rate == a.cfg.Max {
		a.rate = cfg.Max
	}
	a.cfg = cfg
	a.rate = min(max(a.rate, cfg.Min), cfg.Max)
}

// Look takes a sample of all paths, some five times a second, and decides.
func (a *Adapter) Look(now time.Duration, samples []Sample) Decision {
	if !a.began {
		a.began, a.rose = true, now
	}
	if now-a.looked > asleep {
		// This process stood still, and with it all that is measured here.
		for _, p := range a.paths {
			p.n, p.signs, p.misses = 0, 0, 0
		}
	}
	a.looked = now
	var d Decision
	for _, s := range samples {
		p := a.paths[s.Name]
		if p == nil {
			p = &path{parity: true, carries: true, patience: firstPatience, last: s, since: now}
			a.paths[s.Name] = p
		}
		p.look(now, s, a.need(a.rate, p.parity && s.Parity))
	}
	a.shed(now, samples, &d)
	a.follow(now, samples, &d)
	a.giveBack(now, samples, &d)
	d.Rate = a.rate
	for _, s := range samples {
		p := a.paths[s.Name]
		d.Paths = append(d.Paths, PathDecision{s.Name, p.parity, p.carries})
	}
	return d
}

// need is what a path has to carry, in bit/s on the wire.
func (a *Adapter) need(rate int64, parity bool) float64 {
	n := float64(rate) * headers
	if parity {
		n *= 1 + a.cfg.Overhead
	}
	return n
}

// live are the paths of each leg that are up, by leg.
func (a *Adapter) live(samples []Sample) map[int][]*path {
	legs := map[int][]*path{}
	for _, s := range samples {
		if s.Up && s.Tells {
			legs[s.Leg] = append(legs[s.Leg], a.paths[s.Name])
		}
	}
	return legs
}

// shed takes parity, and then everything, from paths that are strained.
func (a *Adapter) shed(now time.Duration, samples []Sample, d *Decision) {
	for leg, paths := range a.live(samples) {
		best := bestOf(paths)
		for _, p := range paths {
			if !p.strained || !p.carries {
				continue
			}
			if p.tried > 0 && now-p.tried < trial { // what was given back was too much
				p.patience = min(2*p.patience, lastPatience)
			}
			switch {
			case p.parity && p.last.Parity && a.cfg.Overhead > 0:
				p.parity = false
				d.say("path %s: sheds its parity: it carries %s", p.last.Name, mbit(p.carried))
			case p != best && best != nil && !best.strained && now-p.since >= window && p.over && p.known*share < a.need(a.rate, false):
				// Its leg is served by another: what this one loses is of no use.
				p.carries = false
				d.say("path %s: is shed: it carries %s, leg %d goes on over path %s", p.last.Name, mbit(p.carried), leg, best.last.Name)
			default:
				continue
			}
			p.restore, p.tried = now+p.patience, 0
			p.since = now // what was decided must show first
		}
	}
}

// bestOf is the path that carries most for certain: one that is not strained,
// else the one with the largest capacity.
func bestOf(paths []*path) *path {
	var best *path
	for _, p := range paths {
		if !p.carries {
			continue
		}
		if best == nil || best.strained && !p.strained || best.strained == p.strained && p.known > best.known {
			best = p
		}
	}
	return best
}

// follow lowers the rate to the weakest leg's best path at once, and raises it
// slowly.
func (a *Adapter) follow(now time.Duration, samples []Sample, d *Decision) {
	legs := a.live(samples)
	low, strained := 0.0, false // capacity that was found; 0: none
	var why *path
	estimate := int64(0)
	for _, paths := range legs {
		best := bestOf(paths)
		if best == nil {
			continue
		}
		if e := best.last.Estimate; e > 0 && float64(e) > best.carried && (estimate == 0 || e < estimate) {
			estimate = e
		}
		if !best.strained {
			continue
		}
		strained = true
		if why == nil || best.known < low {
			low, why = best.known, best
		}
	}
	wait := again
	if why != nil && !why.over {
		wait = drains + again // it carries what it is given by now, and drains
	}
	switch {
	case len(legs) == 0:
		return
	case strained && (now-a.fell >= wait || a.fell == 0):
		rate := a.clamp(low * undershoot / headers)
		if rate >= a.rate {
			rate = a.clamp(float64(a.rate) * share) // it does not carry what it was thought to
		}
		if rate >= a.rate {
			return
		}
		if a.rising && now-a.rose < calm {
			a.patience = min(2*a.patience, lastPatience)
		}
		d.say("encoder: from %s to %s: path %s, the best of leg %d, carries %s", mbit(float64(a.rate)), mbit(float64(rate)), why.last.Name, why.last.Leg, mbit(low))
		if a.drained {
			a.before = a.rate
		}
		a.low = low
		a.rate, a.fell, a.rose, a.drained, a.rising = rate, now, now, false, false
		a.wait = now + a.patience
	case strained:
	case !a.drained && now-a.fell >= drains:
		a.drained = true
		if rate := min(a.clamp(a.low*share/headers), a.before); rate > a.rate {
			d.say("encoder: from %s to %s: what had piled up is sent", mbit(float64(a.rate)), mbit(float64(rate)))
			a.rate, a.rose = rate, now
		}
	case !a.drained || a.rate >= a.cfg.Max || now < a.wait || now-a.rose < stepTime || !a.calm(now, legs):
		if a.rising && now-a.rose >= calm {
			a.rising, a.patience = false, firstPatience
		}
	default:
		rate := min(int64(float64(a.rate)*(1+step)), a.cfg.Max)
		if estimate > 0 && a.need(rate, false) > float64(estimate)*share {
			return // the line is said not to have that
		}
		d.say("encoder: from %s to %s: all legs are calm", mbit(float64(a.rate)), mbit(float64(rate)))
		a.rate, a.rose, a.rising = rate, now, true
	}
}

// calm tells whether no leg's best path was strained of late.
func (a *Adapter) calm(now time.Duration, legs map[int][]*path) bool {
	for _, paths := range legs {
		best := bestOf(paths)
		if best == nil || best.strained || now-best.since < calm {
			return false
		}
	}
	return true
}

// giveBack lets a path carry again what it had shed: first itself, then parity,
// one thing at a time.
func (a *Adapter) giveBack(now time.Duration, samples []Sample, d *Decision) {
	for _, s := range samples {
		p := a.paths[s.Name]
		switch {
		case !s.Up:
			if !p.carries || !p.parity { // the next connection begins anew
				p.carries, p.parity, p.restore, p.tried, p.patience = true, true, 0, 0, firstPatience
			}
		case p.tried > 0 && now-p.tried >= 10*trial:
			p.tried, p.patience = 0, firstPatience // it has held
		case p.strained || now < p.restore || p.carries && p.parity || p.tried > 0 && now-p.tried < trial:
		case !p.carries:
			p.carries, p.tried, p.known = true, now, 0
			p.restore = now + trial
			d.say("path %s: is tried again", s.Name)
		case now-p.since >= calm:
			p.parity, p.tried = true, now
			p.restore = now + trial
			d.say("path %s: carries parity again", s.Name)
		}
	}
}

func (a *Adapter) clamp(rate float64) int64 {
	return min(max(int64(rate), a.cfg.Min), a.cfg.Max)
}

func (d *Decision) say(format string, args ...any) {
	d.Events = append(d.Events, fmt.Sprintf(format, args...))
	slices.Sort(d.Events) // legs come in no order
}

func mbit(bps float64) string { return fmt.Sprintf("%.2f Mbit/s", bps/1e6) }
