package main

import (
	"fmt"
	"reflect"
	"slices"

	"quartet/capture/engine"
	"quartet/cmd/internal/boxplan"
	"quartet/device/control"
	"quartet/uplink"
)

// apply puts a loaded configuration into force and changes only what it
// changes: FEC, keys and message size at the next packet or block, a path's far
// end or socket by a second connection beside the first. changed says what, in
// words.
func (b *box) apply(next loaded) (changed []string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	was, set, doc := &b.set, next.set, next.doc
	if fixed := boxplan.NeedsRestart(b.doc, doc); len(fixed) > 0 {
		return nil, &control.RestartNeeded{Fields: fixed}
	}
	// All that can fail comes before all that takes effect.
	redial := map[int]uplink.Dialer{}
	defer func() {
		if err != nil {
			for _, d := range redial {
				d.Close()
			}
		}
	}()
	for i := range set.paths {
		p, q := &was.paths[i], &set.paths[i]
		if p.connects(q, doc.Paths[i].SRT) {
			q.srt = p.srt // its buffers may be larger, and stay so
			continue
		}
		if q.kind == listens && p.addr == q.addr {
			return nil, fmt.Errorf("paths[%d] (%s): what listens on a port cannot change while running: restart quartetd, or choose another port", i, q.Name)
		}
		d, err := q.dialer()
		if err != nil {
			return nil, fmt.Errorf("paths[%d]: %w", i, err)
		}
		redial[i] = d
	}
	s := b.chain.sender
	if !reflect.DeepEqual(was.plan, set.plan) {
		if err := s.SetPlan(set.plan); err != nil {
			return nil, err
		}
		changed = append(changed, "plan: "+set.plan.String())
	}
	if set.perMessage != was.perMessage {
		if err := s.SetPacketsPerMessage(set.perMessage); err != nil {
			return nil, err // unreachable: a document's 1 to 7 are the packetizer's
		}
		changed = append(changed, fmt.Sprintf("%d TS packets per message", set.perMessage))
	}
	if set.key != was.key || !slices.Equal(set.accept, was.accept) {
		s.SetKey(set.key, set.accept)
		if set.key != was.key {
			changed = append(changed, "contribution key")
		} else {
			changed = append(changed, "accepted contribution keys")
		}
	}
	if source, ok := b.chain.source.(*engine.Source); ok && set.source.engine.Mux.RateBPS != was.source.engine.Mux.RateBPS {
		bps := set.source.engine.Mux.RateBPS
		if a := b.chain.adapter; a == nil {
			if err := source.SetRate(bps); err != nil {
				return nil, err // unreachable: build has checked it
			}
		}
		changed = append(changed, fmt.Sprintf("encoder: %d kbit/s", bps/1000))
	}
	if a := b.chain.adapter; a != nil && set.adapt != nil {
		a.setConfig(*set.adapt)
	}
	for i := range set.paths {
		if d := redial[i]; d != nil {
			s.Paths()[i].Replace(d)
			changed = append(changed, "path "+set.paths[i].Name+": the old connection goes on until a new one is up")
		}
	}
	b.doc, b.set = doc, set
	return changed, nil
}
