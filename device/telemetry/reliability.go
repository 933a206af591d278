package telemetry

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"quartet/device/control"
	"quartet/device/telemetry/measure"
)

// Goal is the availability that is aimed at: 26 s of a month without.
const Goal = 0.99999

const (
	slotLength = time.Hour
	slotCount  = 30 * 24
	// scopesAtMost bounds what renamed paths leave behind.
	scopesAtMost = 64
	// observedGap is the longest time between two looks that counts as observed.
	observedGap = 3 * time.Second
	// freshReport is how old a gateway's report may be.
	freshReport = 2 * time.Second
)

// slot is an hour of one scope.
type slot struct {
	Hour int64 `json:"h"` // since 1970, of the time line
	measure.ReliabilityWindow
}

// record is what is known of one scope.
type record struct {
	Scope string                    `json:"scope"`
	Name  string                    `json:"name"`
	Total measure.ReliabilityWindow `json:"total"`
	Slots []slot                    `json:"slots,omitempty"` // oldest first
	Seen  int64                     `json:"seen"`            // hour
	now   bool
}

// counts are the counters of a path at the last look.
type counts struct {
	lostHere, dropped, lost, delivered uint64
	known                              bool // the gateway reports
}

// reliability judges each second of each path, of each leg (its paths together)
// and of the pair (all legs together), as viewers would:
//
//   - A path is available while it is connected and, where a gateway reports, its
//     report is fresh. A second in which anything was lost on it, before repair,
//     is errored.
//   - A leg is available while one of its paths is. Its second is errored if all
//     its gateways that report lost something after all repair: what one of two
//     has, the merge behind them has.
//   - The pair is available while one leg is; its second is errored if every
//     available leg's is.
//
// Without a feed, and while the media plane does not answer, nothing is
// available. Time in which nobody looked (the box was off, or management was
// away) counts as not observed. All state is owned by the caller's goroutine.
type reliability struct {
	records []*record
	last    map[string]counts
	at      time.Duration // of the last look
	started bool
}

// load takes over what was saved: all hours, and the last one anew.
func (r *reliability) load(all, now []byte) {
	var list []*record
	if json.Unmarshal(all, &list) == nil {
		r.records = slices.DeleteFunc(list, func(x *record) bool { return x == nil })
	}
	list = nil
	if json.Unmarshal(now, &list) != nil {
		return
	}
	for _, x := range list {
		if x == nil || len(x.Slots) != 1 {
			continue
		}
		mine := r.scope(x.Scope, x.Name)
		mine.Total, mine.Seen = x.Total, x.Seen
		if n := len(mine.Slots); n > 0 && mine.Slots[n-1].Hour == x.Slots[0].Hour {
			mine.Slots[n-1] = x.Slots[0]
		} else {
			mine.Slots = append(mine.Slots, x.Slots[0])
		}
	}
}

// saveAll returns all hours; saveNow the last one alone, which is small and can
// be written each minute.
func (r *reliability) saveAll() []byte { return marshal(r.records) }

func (r *reliability) saveNow() []byte {
	list := make([]*record, 0, len(r.records))
	for _, x := range r.records {
		if n := len(x.Slots); n > 0 {
			y := *x
			y.Slots = x.Slots[n-1:]
			list = append(list, &y)
		}
	}
	return marshal(list)
}

func marshal(list []*record) []byte {
	b, err := json.Marshal(list)
	if err != nil {
		return nil
	}
	return b
}

// look judges the time since the last look. s is nil while the media plane does
// not answer. hour is that of the time of day.
func (r *reliability) look(mono time.Duration, hour int64, s *control.Status) {
	d := mono - r.at
	first := !r.started
	r.at, r.started = mono, true
	if s == nil {
		// It may be busy, or dead: the next answer tells by its uptime.
		if first || d > observedGap {
			return
		}
		for _, x := range r.records {
			if x.Seen >= hour-1 {
				x.add(hour, d, false, false)
			}
		}
		r.last = nil
		return
	}
	grown := map[string]counts{}
	for i := range s.Paths {
		p := &s.Paths[i]
		c := counts{dropped: p.SendDropped + p.QueueDropped}
		if a := p.Arrival; a != nil {
			c.known, c.lostHere, c.lost, c.delivered = true, a.LostHere, a.Merged.Lost, a.Merged.Delivered
		} else {
			c.lostHere = p.SendLoss
		}
		grown[p.Name] = c
	}
	before := r.last
	r.last = grown
	if first || d > observedGap || d <= 0 {
		return
	}
	feed := s.Input.State == control.InputOK
	type group struct{ up, errored, judged bool }
	legs := map[int]*group{}
	for i := range s.Paths {
		p := &s.Paths[i]
		now, was := grown[p.Name], before[p.Name]
		up := feed && p.State == control.PathUp && (p.Arrival == nil || p.Arrival.AgeMS < float64(freshReport/time.Millisecond))
		errored := now.lostHere > was.lostHere || now.dropped > was.dropped
		if before == nil {
			errored = false
		}
		r.scope(measure.ScopePath, p.Name).add(hour, d, up, errored)
		g := legs[p.Leg]
		if g == nil {
			g = &group{errored: true}
			legs[p.Leg] = g
		}
		g.up = g.up || up
		if up && now.known && before != nil {
			g.judged = true
			g.errored = g.errored && now.lost > was.lost
		}
	}
	pair := group{errored: true}
	for leg, g := range legs {
		errored := g.judged && g.errored
		r.scope(measure.ScopeLeg, fmt.Sprint(leg)).add(hour, d, g.up, errored)
		if g.up {
			pair.up = true
			pair.errored = pair.errored && errored
		}
	}
	if len(legs) > 0 {
		r.scope(measure.ScopePair, "all").add(hour, d, pair.up, pair.up && pair.errored)
	}
}

// scope finds a record, or makes one.
func (r *reliability) scope(scope, name string) *record {
	for _, x := range r.records {
		if x.Scope == scope && x.Name == name {
			return x
		}
	}
	x := &record{Scope: scope, Name: name}
	r.records = append(r.records, x)
	if len(r.records) > scopesAtMost {
		oldest := slices.MinFunc(r.records, func(a, b *record) int { return cmp.Compare(a.Seen, b.Seen) })
		if oldest != x {
			r.records = slices.DeleteFunc(r.records, func(y *record) bool { return y == oldest })
		}
	}
	return x
}

// add counts some time.
func (x *record) add(hour int64, d time.Duration, up, errored bool) {
	x.now, x.Seen = up, hour
	if n := len(x.Slots); n == 0 || x.Slots[n-1].Hour != hour {
		x.Slots = append(x.Slots, slot{Hour: hour})
		if len(x.Slots) > slotCount+1 {
			x.Slots = slices.Delete(x.Slots, 0, 1)
		}
	}
	for _, w := range []*measure.ReliabilityWindow{&x.Total, &x.Slots[len(x.Slots)-1].ReliabilityWindow} {
		w.Observed += d.Seconds()
		switch {
		case !up:
			w.Unavailable += d.Seconds()
		case errored:
			w.Errored += d.Seconds()
		}
	}
}

// window is the sum of the last hours.
func (x *record) window(hour int64, hours int64) (sum measure.ReliabilityWindow) {
	for _, s := range x.Slots {
		if s.Hour > hour-hours && s.Hour <= hour {
			sum.Observed += s.Observed
			sum.Unavailable += s.Unavailable
			sum.Errored += s.Errored
		}
	}
	return sum
}

// report is what is told of all scopes that were seen of late.
func (r *reliability) report(hour int64) []measure.Reliability {
	var list []measure.Reliability
	for _, x := range r.records {
		if x.Seen < hour-24 {
			continue // a path that is no more
		}
		list = append(list, measure.Reliability{Scope: x.Scope, Name: x.Name, Now: x.now, Observed: x.Total.Observed,
			Unavailable: x.Total.Unavailable, Errored: x.Total.Errored, Day: x.window(hour, 24), Month: x.window(hour, slotCount)})
	}
	slices.SortFunc(list, func(a, b measure.Reliability) int {
		order := map[string]int{measure.ScopePair: 0, measure.ScopeLeg: 1, measure.ScopePath: 2}
		return cmp.Or(cmp.Compare(order[a.Scope], order[b.Scope]), cmp.Compare(a.Name, b.Name))
	})
	return list
}
