package adapt

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

const mega = 1_000_000.0

// line is a path's way to its far end: a rate, a queue that delays and then
// drops, losses by chance. Lost packets are sent again.
type line struct {
	capacity float64 // bit/s
	loss     float64 // by chance
	up       bool
	s        Sample

	queue   float64 // bits that wait in the network
	unacked float64 // bits that were lost and wait to be sent again
	recent  float64 // bit/s that it is given
	dropped float64 // bits that were too late for everybody
	chance  *rand.Rand
}

const (
	tick     = 20 * time.Millisecond
	buffered = 0.150 // s, the network's queue
	baseRTT  = 40 * time.Millisecond
	tooLate  = 0.3 // s behind which a packet is of no use
	bits     = 1400 * 8
)

// pass lets a tick go by with so much given, in bit/s.
func (l *line) pass(given float64) {
	t := tick.Seconds()
	l.recent = given
	l.s.At += tick
	offered := given*t + l.unacked
	l.unacked = 0
	l.s.Sent += uint64(given * t / bits)
	l.queue += offered
	served := min(l.queue, l.capacity*t)
	l.queue -= served
	lost := served * l.loss
	if over := l.queue - buffered*l.capacity; over > 0 {
		l.queue -= over
		lost += over
	}
	l.s.Lost += uint64(lost/bits + l.chance.Float64())
	l.s.Bytes += uint64(offered / 8)
	l.s.Acked += uint64(max(0, served-served*l.loss) / 8)
	l.s.Total += uint64(offered/bits + l.chance.Float64())
	l.unacked += lost
	// What would wait for longer than the latency is dropped by the sender.
	if most := tooLate * l.capacity; l.queue+l.unacked > most {
		l.dropped += l.queue + l.unacked - most
		l.unacked = max(0, most-l.queue)
		l.s.Dropped++
	}
	l.s.RTT = baseRTT + time.Duration(l.queue/l.capacity*float64(time.Second))
	l.s.Buffer = l.s.RTT + 10*time.Millisecond
	if given > 0 {
		l.s.Buffer += time.Duration(l.unacked / given * float64(time.Second))
	}
	l.s.Up, l.s.Tells, l.s.Parity = l.up, true, true
}

// world is a box with four lines, two of a leg.
type world struct {
	t      *testing.T
	a      *Adapter
	lines  []*line
	now    time.Duration
	d      Decision
	events []string
	trace  []int64 // the rate, each 200 ms
}

func newWorld(t *testing.T, low, high float64) *world {
	t.Helper()
	a, err := New(Config{Min: int64(low * mega), Max: int64(high * mega), Overhead: 0.1})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, a: a}
	for i := range 4 {
		w.lines = append(w.lines, &line{capacity: 1000 * mega, up: true, chance: rand.New(rand.NewPCG(7, uint64(i))), s: Sample{Name: fmt.Sprintf("%d%c", 1+i/2, 'a'+i%2), Leg: 1 + i/2}})
	}
	w.d = Decision{Rate: int64(high * mega)}
	for _, l := range w.lines {
		w.d.Paths = append(w.d.Paths, PathDecision{l.s.Name, true, true})
	}
	return w
}

func (w *world) run(d time.Duration) *world {
	for end := w.now + d; w.now < end; {
		w.now += tick
		for i, l := range w.lines {
			given := 0.0
			if p := w.d.Paths[i]; p.Carries && l.up {
				given = float64(w.d.Rate) * headers
				if p.Parity {
					given *= 1.1
				}
			}
			l.pass(given)
		}
		if w.now%(200*time.Millisecond) != 0 {
			continue
		}
		var list []Sample
		for _, l := range w.lines {
			list = append(list, l.s)
		}
		w.d = w.a.Look(w.now, list)
		w.trace = append(w.trace, w.d.Rate)
		for _, e := range w.d.Events {
			w.events = append(w.events, fmt.Sprintf("%5.1f s  %s", w.now.Seconds(), e))
		}
	}
	return w
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Errorf(format+"\n%s", append(args, strings.Join(w.events, "\n"))...)
}

// drops counts what was lost for good over a time.
func (w *world) drops(d time.Duration) (total float64) {
	for _, l := range w.lines {
		l.dropped = 0
	}
	w.run(d)
	for _, l := range w.lines {
		total += l.dropped
	}
	return total
}

// Every path falls to half of what the stream needs: the rate is down within a
// second, within two nothing is lost any more, and it stays so. As the paths
// recover, the rate does, slowly.
func TestCliff(t *testing.T) {
	for _, high := range []float64{3, 10, 60} {
		w := newWorld(t, high/8, high)
		w.run(20 * time.Second)
		if w.d.Rate != int64(high*mega) || len(w.events) > 0 {
			w.fail("%g: in calm %d", high, w.d.Rate)
		}
		for _, l := range w.lines {
			l.capacity = 0.5 * high * headers * mega
		}
		w.run(time.Second)
		if float64(w.d.Rate) > 0.5*high*mega {
			w.fail("%g: a second later still %d", high, w.d.Rate)
		}
		w.run(time.Second)
		if lost := w.drops(18 * time.Second); lost > 0 {
			w.fail("%g: %.0f kbit lost behind two seconds", high, lost/1000)
		}
		if r := float64(w.d.Rate) / mega; r < 0.33*high || r > 0.5*high {
			w.fail("%g: settles at %.2f", high, r)
		}
		// Rises that are too much are few, and fewer and fewer.
		before := len(w.events)
		w.run(10 * time.Minute)
		if n := len(w.events) - before; n > 60 {
			w.fail("%g: %d changes in ten minutes", high, n)
		}
		for _, l := range w.lines {
			l.capacity = 1000 * mega
		}
		w.run(30 * time.Second)
		if r := float64(w.d.Rate) / mega; r > 0.8*high {
			w.fail("%g: up too fast: %.2f", high, r)
		}
		w.run(12 * time.Minute)
		if w.d.Rate != int64(high*mega) {
			w.fail("%g: recovers to %d only", high, w.d.Rate)
		}
		for i, p := range w.d.Paths {
			if !p.Carries || !p.Parity {
				w.fail("%g: path %d has not recovered", high, i)
			}
		}
		for i := 1; i < len(w.trace); i++ {
			if up := float64(w.trace[i]) / float64(w.trace[i-1]); up > 1.06 && w.trace[i] > int64(0.5*high*mega) {
				w.fail("%g: a step up of %.2f", high, up)
			}
		}
	}
}

// A weak path sheds its parity, then itself, and the encoder goes on; a whole leg
// that is weak takes the encoder along, as far as its best path.
func TestWeakPath(t *testing.T) {
	w := newWorld(t, 1, 10).run(20 * time.Second)
	defer func() { t.Log(strings.Join(w.events, "\n")) }()
	w.lines[0].capacity = 11 * mega // carries the stream, not its parity
	w.run(10 * time.Second)
	if w.d.Rate != 10*mega || w.d.Paths[0].Parity || !w.d.Paths[0].Carries || !w.d.Paths[1].Parity {
		w.fail("parity: %+v", w.d)
	}
	w.lines[0].capacity = 6 * mega
	w.run(4 * time.Second)
	if w.d.Rate != 10*mega || w.d.Paths[0].Carries || !w.d.Paths[1].Carries {
		w.fail("itself: %+v", w.d)
	}
	if lost := w.lines[1].dropped + w.lines[2].dropped + w.lines[3].dropped; lost > 0 {
		w.fail("others lose %g", lost)
	}
	w.lines[1].capacity = 8 * mega // now the leg's best
	w.run(20 * time.Second)
	if r := float64(w.d.Rate) / mega; r > 8 || r < 5 {
		w.fail("the leg's best: %.2f", r)
	}
	// A dead leg is no measure.
	w.lines[0].up, w.lines[1].up = false, false
	w.run(5 * time.Minute)
	if w.d.Rate != 10*mega {
		w.fail("without the leg: %+v", w.d)
	}
}

// The weaker leg decides.
func TestMinimumOverLegs(t *testing.T) {
	w := newWorld(t, 1, 10).run(15 * time.Second)
	w.lines[0].capacity, w.lines[1].capacity = 9*mega, 3*mega
	w.lines[2].capacity, w.lines[3].capacity = 5*mega, 4*mega
	w.run(30 * time.Second)
	if r := float64(w.d.Rate) / mega; r > 5 || r < 3 {
		w.fail("%.2f, and the second leg carries 5", r)
	}
}

// What chance takes is not the line's end; nor is a path without a way back, a
// path that comes and goes, or an idle one. The rate keeps to its bounds.
func TestNoReasonToAdapt(t *testing.T) {
	w := newWorld(t, 1, 10)
	for _, l := range w.lines {
		l.loss = 0.05
	}
	w.run(2 * time.Minute)
	if len(w.events) > 0 {
		w.fail("loss by chance")
	}
	w = newWorld(t, 1, 10).run(10 * time.Second)
	for i := range 20 {
		w.lines[i%4].up = i%2 == 0
		w.lines[i%4].s = Sample{Name: w.lines[i%4].s.Name, Leg: w.lines[i%4].s.Leg}
		w.run(3 * time.Second)
	}
	if len(w.events) > 0 {
		w.fail("reconnections")
	}
	a, _ := New(Config{Min: 1 * mega, Max: 10 * mega, Overhead: 0.1})
	for i := range 100 {
		d := a.Look(time.Duration(i)*200*time.Millisecond, []Sample{{Name: "rtp", Leg: 1, Up: true, At: time.Duration(i) * time.Second, Dropped: uint64(i)}})
		if d.Rate != 10*mega || len(d.Events) > 0 || !d.Paths[0].Carries {
			t.Fatalf("%+v", d)
		}
	}
	w = newWorld(t, 4, 10).run(10 * time.Second)
	for _, l := range w.lines {
		l.capacity = 2 * mega
	}
	w.run(time.Minute)
	if w.d.Rate != 4*mega {
		w.fail("below the lowest: %d", w.d.Rate)
	}
	w.a.SetConfig(Config{Min: 5 * mega, Max: 8 * mega, Overhead: 0.1})
	if w.run(time.Second); w.d.Rate != 5*mega {
		w.fail("other bounds: %d", w.d.Rate)
	}
	for _, c := range []Config{{}, {Min: 2, Max: 1}, {Min: 1, Max: 2, Overhead: -1}} {
		if _, err := New(c); err == nil {
			t.Errorf("accepted: %+v", c)
		}
	}
}

// A burst of misses, as a gateway has that was not scheduled for some
// milliseconds, stays in sight for a window and is no line's end, however often
// that happens and on however many paths; misses that go on are.
func TestMisses(t *testing.T) {
	const due = 11 // packets a look, at 1.5 Mbit/s
	report := func(w *world, missed uint64) {
		for _, l := range w.lines {
			l.s.Reported = true
			l.s.Missed += missed
			l.s.Received += due - missed
		}
		w.run(200 * time.Millisecond)
	}
	w := newWorld(t, 0.4, 1.5)
	for i := range 600 {
		missed := uint64(0)
		if i%7 < 2 { // the burst may fall between two reports
			missed = 3
		}
		report(w, missed)
	}
	if len(w.events) > 0 {
		w.fail("bursts of misses")
	}
	for range 5 {
		report(w, 3)
	}
	if w.d.Paths[0].Parity {
		w.fail("a second of misses, and parity is not shed: %+v", w.d)
	}
	for range 5 {
		report(w, 3)
	}
	if w.d.Rate >= 1.5*mega {
		w.fail("two seconds of misses, and the rate is not lowered: %+v", w.d)
	}
}

// libsrt's estimate holds a rise back, and no more than that.
func TestEstimate(t *testing.T) {
	w := newWorld(t, 1, 10).run(15 * time.Second)
	for _, l := range w.lines {
		l.capacity = 4 * mega
	}
	w.run(20 * time.Second)
	low := w.d.Rate
	for _, l := range w.lines {
		l.capacity, l.s.Estimate = 1000*mega, 6*mega
	}
	w.run(10 * time.Minute)
	if r := float64(w.d.Rate); r > 6*mega || r <= float64(low) {
		w.fail("%g with an estimate of 6", r)
	}
	for _, l := range w.lines {
		l.s.Estimate = 1 * mega // disproved: it carries more
	}
	w.run(10 * time.Minute)
	if w.d.Rate != 10*mega {
		w.fail("a wrong estimate holds it at %d", w.d.Rate)
	}
}

// Of the estimates of both legs the smaller one counts, whichever leg it is.
func TestEstimateOfTheWeakestLeg(t *testing.T) {
	for weak := range 2 {
		w := newWorld(t, 1, 10).run(15 * time.Second)
		for _, l := range w.lines {
			l.capacity = 4 * mega
		}
		w.run(20 * time.Second)
		low := float64(w.d.Rate)
		for i, l := range w.lines {
			l.capacity, l.s.Estimate = 1000*mega, 100*mega
			if i/2 == weak {
				l.s.Estimate = 6 * mega
			}
		}
		w.run(10 * time.Minute)
		if r := float64(w.d.Rate); r > 6*mega || r <= low {
			w.fail("leg %d: %g with an estimate of 6", weak+1, r)
		}
	}
}

// A road that has become longer for good, by a way around, is no line that is
// full; but one that stays full is not taken for that.
func TestRoundTripOfAnotherWay(t *testing.T) {
	p := &path{parity: true, carries: true}
	s := Sample{Name: "a", Up: true, Tells: true, RTT: baseRTT, Buffer: baseRTT}
	look := func(now, rtt time.Duration) {
		s.At, s.RTT, s.Buffer = now, rtt, rtt
		s.Bytes += 100_000
		s.Acked, s.Sent, s.Total = s.Bytes, s.Sent+70, s.Total+70
		p.look(now, s, 4*mega)
	}
	const step = 200 * time.Millisecond
	now := step
	for ; now < 5*time.Second; now += step {
		look(now, baseRTT)
	}
	for rtt := baseRTT; now < 30*time.Second; now += step { // a queue that grows and grows
		rtt += 5 * time.Millisecond
		look(now, rtt)
	}
	if !p.strained || p.base != baseRTT {
		t.Errorf("strained %t, base %v, with a queue that grows", p.strained, p.base)
	}
	long := p.last.RTT
	for end := now + 2*baseFor; now < end; now += step {
		look(now, long)
	}
	if p.strained || p.base != long {
		t.Errorf("strained %t, base %v, with another way of %v", p.strained, p.base, long)
	}
}
