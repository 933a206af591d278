package demo

import (
	"time"

	"quartet/tests/ledger"
	"quartet/tests/relay"
)

// The network between box and gateways: 30 ms of round trip, and never quiet.
var (
	quiet = relay.Impairment{DelayMS: 15, JitterMS: 2}
	// Bursts of 8 ms on average take 3 % of every path's packets, all the time; a
	// tenth of that hits all paths at the same instant.
	bursts = relay.Impairment{DelayMS: 15, JitterMS: 2, Burst: relay.Burst{Loss: 0.03, MeanMS: 8, Common: 0.1}}
	dead   = relay.Impairment{DelayMS: 15, Dead: true}
)

// act is one part of the play; it lasts a share of the whole.
type act struct {
	share float64
	words string
	dead  []int // relays that let nothing through
}

var acts = []act{
	{0.30, "bursts on every path (3 % lost, 8 ms each, some on all at once)", nil},
	{0.25, "bursts, and one path of each leg is dead (1a, 2b)", []int{0, 3}},
	{0.10, "bursts on every path", nil},
	{0.20, "bursts, and leg 2 is cut off entirely", []int{2, 3}},
	{0.15, "bursts on every path", nil},
}

// recovery is what a leg gets to come back after a cut: the box dials again
// within 1 s, SRT fills its latency, and the gateway finds its clock.
const recovery = 4 * time.Second

// setTrouble plays the act that belongs to elapsed. Without an end the play
// repeats each minute.
func (d *demo) setTrouble(elapsed time.Duration) {
	length := d.opts.Duration
	if length == 0 {
		length = time.Minute
		elapsed %= length
	}
	at := time.Duration(0)
	for i, a := range acts {
		at += time.Duration(a.share * float64(length))
		if elapsed < at || i == len(acts)-1 {
			d.play(a)
			return
		}
	}
}

func (d *demo) play(a act) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.trouble == a.words {
		return
	}
	d.trouble = a.words
	down := map[int]bool{}
	for _, i := range a.dead {
		down[i] = true
	}
	for i, r := range d.relays {
		imp := bursts
		if down[i] {
			imp = dead
		}
		r.SetBoth(imp)
	}
	now := d.now()
	cut := down[2] && down[3]
	if n := len(d.cuts); n > 0 && d.cuts[n-1].To == 0 && !cut {
		d.cuts[n-1].To = now + recovery
	} else if cut {
		// What was on its way when the cut came is lost with it.
		d.cuts = append(d.cuts, ledger.Span{From: now - d.opts.Latency - 200*time.Millisecond})
	}
}

// endTrouble closes an open cut.
func (d *demo) endTrouble() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.cuts); n > 0 && d.cuts[n-1].To == 0 {
		d.cuts[n-1].To = d.now() + recovery
	}
}
