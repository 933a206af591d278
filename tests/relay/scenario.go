package relay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"
)

// Scenario is a JSON document of relays and of what changes when:
//
//	{
//	  "seed": 1,
//	  "relays": [
//	    {"name": "1a", "listen": "127.0.0.1:7001", "upstream": "127.0.0.1:9001",
//	     "both": {"delay_ms": 20}, "up": {"burst": {"loss": 0.01, "mean_packets": 10}}},
//	    {"name": "1b", "listen": "127.0.0.1:7002", "upstream": "127.0.0.1:9002"}
//	  ],
//	  "steps": [
//	    {"at_ms": 10000, "relays": ["1a"], "both": {"dead": true}, "note": "path 1a is cut"},
//	    {"at_ms": 20000, "relays": ["1a"], "both": {"dead": false}}
//	  ]
//	}
//
// "both", "up" and "down" are [Impairment] objects, applied in this order; they
// set the fields they name and leave the others.
type Scenario struct {
	Seed   uint64      `json:"seed"`
	Relays []RelaySpec `json:"relays"`
	Steps  []Step      `json:"steps,omitempty"`
}

// RelaySpec is a relay and its impairments at the start. Listen and Upstream
// are IP address and port.
type RelaySpec struct {
	Name     string `json:"name"`
	Listen   string `json:"listen"`
	Upstream string `json:"upstream"`
	Patch
}

// Patch changes impairments.
type Patch struct {
	Both json.RawMessage `json:"both,omitempty"`
	Up   json.RawMessage `json:"up,omitempty"`
	Down json.RawMessage `json:"down,omitempty"`
}

// Step changes relays at a time counted from the group's zero.
type Step struct {
	AtMS   float64  `json:"at_ms"`
	Relays []string `json:"relays,omitempty"` // names; empty: all
	Reset  bool     `json:"reset,omitempty"`  // first remove every impairment
	Note   string   `json:"note,omitempty"`   // for the log
	Patch
}

// maxScenario bounds a scenario's text.
const maxScenario = 1 << 20

// ParseScenario reads a scenario. Unknown fields, trailing data, unknown names
// and senseless values are errors that name the place.
func ParseScenario(text []byte) (*Scenario, error) {
	if len(text) > maxScenario {
		return nil, fmt.Errorf("scenario has %d bytes: give at most %d", len(text), maxScenario)
	}
	s := new(Scenario)
	if err := decodeStrict(text, s); err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	_, err := s.Configs()
	return s, err
}

func decodeStrict(text []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON value: remove it")
	}
	return nil
}

// apply returns both directions' impairments after the patch.
func (p Patch) apply(i [2]Impairment) ([2]Impairment, error) {
	for _, part := range []struct {
		field  string
		object []byte
		d      Direction
	}{{"both", p.Both, Up}, {"both", p.Both, Down}, {"up", p.Up, Up}, {"down", p.Down, Down}} {
		if len(part.object) == 0 {
			continue
		}
		changed, err := i[part.d].Patch(part.object)
		if err != nil {
			return i, fmt.Errorf("%s: %w", part.field, err)
		}
		i[part.d] = changed
	}
	return i, nil
}

// Configs turns the scenario into what Group.Add takes, in the order of Relays.
func (s *Scenario) Configs() ([]Config, error) {
	if len(s.Relays) == 0 {
		return nil, errors.New("scenario: relays is empty: give at least one")
	}
	configs := make([]Config, len(s.Relays))
	state := make([][2]Impairment, len(s.Relays))
	names := map[string]int{}
	for n, r := range s.Relays {
		if _, twice := names[r.Name]; twice || r.Name == "" {
			return nil, fmt.Errorf("scenario: relays[%d].name is %q: give each relay a name of its own", n, r.Name)
		}
		names[r.Name] = n
		listen, err := netip.ParseAddrPort(r.Listen)
		if err != nil {
			return nil, fmt.Errorf("scenario: relays[%d].listen: %w", n, err)
		}
		upstream, err := netip.ParseAddrPort(r.Upstream)
		if err != nil {
			return nil, fmt.Errorf("scenario: relays[%d].upstream: %w", n, err)
		}
		if state[n], err = r.apply(state[n]); err != nil {
			return nil, fmt.Errorf("scenario: relays[%d].%w", n, err)
		}
		configs[n] = Config{Name: r.Name, Listen: listen, Upstream: upstream, Up: state[n][Up], Down: state[n][Down]}
	}
	last := 0.0
	for k, step := range s.Steps {
		if !(step.AtMS >= last && step.AtMS <= maxMS) {
			return nil, fmt.Errorf("scenario: steps[%d].at_ms is %v: sort the steps by time, from 0 to %d", k, step.AtMS, maxMS)
		}
		last = step.AtMS
		who := make([]int, 0, len(s.Relays))
		for _, name := range step.Relays {
			n, ok := names[name]
			if !ok {
				return nil, fmt.Errorf("scenario: steps[%d].relays names %q: no relay has this name", k, name)
			}
			who = append(who, n)
		}
		if len(step.Relays) == 0 {
			for n := range s.Relays {
				who = append(who, n)
			}
		}
		slices.Sort(who)
		for _, n := range slices.Compact(who) {
			if step.Reset {
				state[n] = [2]Impairment{}
			}
			var err error
			if state[n], err = step.apply(state[n]); err != nil {
				return nil, fmt.Errorf("scenario: steps[%d].%w", k, err)
			}
			for d := range state[n] {
				configs[n].Schedule = append(configs[n].Schedule, Change{At: ms(step.AtMS), Direction: Direction(d), Impairment: state[n][d]})
			}
		}
	}
	return configs, nil
}

// Group binds all relays of the scenario.
func (s *Scenario) Group(c GroupConfig) (*Group, error) {
	configs, err := s.Configs()
	if err != nil {
		return nil, err
	}
	c.Seed = s.Seed
	g, err := NewGroup(c)
	if err != nil {
		return nil, err
	}
	for _, c := range configs {
		if _, err := g.Add(c); err != nil {
			g.Close()
			return nil, err
		}
	}
	return g, nil
}

// Relays of the group, in the order they were added.
func (g *Group) Relays() []*Relay {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.relays)
}

// Apply changes running relays at once: a step without a time, patched onto
// what is set now. Steps of a schedule that come later still set all fields.
func (g *Group) Apply(step Step) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	byName := map[string]*Relay{}
	for _, r := range g.relays {
		byName[r.cfg.Name] = r
	}
	who := g.relays
	if len(step.Relays) > 0 {
		who = nil
		for _, name := range step.Relays {
			r := byName[name]
			if r == nil {
				return fmt.Errorf("relays names %q: no relay has this name", name)
			}
			who = append(who, r)
		}
	}
	next := make([][2]Impairment, len(who))
	for n, r := range who {
		if !step.Reset {
			next[n] = [2]Impairment{r.pipes[Up].Impairment(), r.pipes[Down].Impairment()}
		}
		var err error
		if next[n], err = step.apply(next[n]); err != nil {
			return fmt.Errorf("relay %s: %w", r.cfg.Name, err)
		}
	}
	for n, r := range who {
		for d := range next[n] {
			_ = r.pipes[d].Set(next[n][d]) // validated by apply
		}
	}
	return nil
}

// ParseStep reads one step, such as a line of commands.
func ParseStep(text []byte) (Step, error) {
	var s Step
	if len(text) > maxScenario {
		return s, fmt.Errorf("step has %d bytes: give at most %d", len(text), maxScenario)
	}
	err := decodeStrict(text, &s)
	return s, err
}

// Epoch makes the group's zero of time an instant of the wall clock, so that
// several processes agree on it. Steps of the clock after the call do not count.
func Epoch(zero time.Time) func() time.Duration {
	start := time.Now()
	since := start.Round(0).Sub(zero.Round(0))
	return func() time.Duration { return since + time.Since(start) }
}
