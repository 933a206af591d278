package health

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

const (
	// maxConditions bounds the list, cleared ones included.
	maxConditions = 512
	// changeEvery is the shortest time between two events of a condition whose
	// text changes while it is active.
	changeEvery = 5 * time.Second
	// ringSize is the number of events kept for readers.
	ringSize = 1024
)

// Monitor holds the list of conditions.
type Monitor struct {
	// set at start, never changed
	defs map[Code]*definition
	ring *Ring

	mu    sync.Mutex
	list  map[key]*state
	stats Stats
}

type definition struct {
	Definition
	rank int // place in the catalogue
}

type key struct {
	code     Code
	resource string
}

// state is a condition and what is pending about it.
type state struct {
	Condition
	def      *definition
	detail   string
	bad      bool // last observation, after the threshold
	turning  bool // a hold timer runs: bad differs from Active
	since    time.Duration
	reported time.Duration // time of the last event
	raised   bool          // was ever raised; else it is not in the list yet
}

// Stats counts what the monitor holds and has seen.
type Stats struct {
	Warning  int    `json:"warning"`
	Minor    int    `json:"minor"`
	Major    int    `json:"major"`
	Critical int    `json:"critical"`
	Events   uint64 `json:"events_total"`
	Refused  uint64 `json:"observations_refused_total"` // unknown code, or the list was full
}

// New returns a monitor of the given definitions, usually Catalogue().
func New(catalogue []Definition) *Monitor {
	m := &Monitor{defs: make(map[Code]*definition, len(catalogue)), list: map[key]*state{}, ring: NewRing(ringSize)}
	for i, d := range catalogue {
		m.defs[d.Code] = &definition{Definition: d, rank: i}
	}
	return m
}

// Ring returns the events.
func (m *Monitor) Ring() *Ring { return m.ring }

// Set tells that a condition is observed (bad) or not. detail completes the
// text: "Not connected" + ": wrong passphrase". Repeating an observation is
// cheap; observe at least once a second, and Tick in between.
func (m *Monitor) Set(now time.Duration, code Code, resource string, bad bool, detail string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.state(code, resource, bad)
	if s == nil {
		return
	}
	if bad {
		s.detail = detail
	}
	s.observe(now, bad)
	m.step(now, s)
}

// Measure is Set for a code with thresholds.
func (m *Monitor) Measure(now time.Duration, code Code, resource string, value float64, detail string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.defs[code]
	if d == nil {
		m.stats.Refused++
		return
	}
	bad := d.beyond(value, d.Set)
	s := m.state(code, resource, bad)
	if s == nil {
		return
	}
	if !bad && s.bad {
		bad = !d.beyond(d.Clear, value) // within the hysteresis: as before
	}
	s.Value, s.detail = value, detail
	s.observe(now, bad)
	m.step(now, s)
}

// beyond tells whether a lies on the bad side of b.
func (d *definition) beyond(a, b float64) bool {
	if d.Set < d.Clear {
		return a < b
	}
	return a > b
}

// state finds or makes the state of a condition; nil if there is nothing to
// keep (never raised and not observed) or no room.
func (m *Monitor) state(code Code, resource string, bad bool) *state {
	k := key{code, resource}
	if s := m.list[k]; s != nil {
		return s
	}
	d := m.defs[code]
	if d == nil {
		m.stats.Refused++
		return nil
	}
	if !bad {
		return nil
	}
	if len(m.list) >= maxConditions && !m.evict() {
		m.stats.Refused++
		return nil
	}
	s := &state{def: d, Condition: Condition{Code: code, Resource: resource, Severity: d.Severity, Remedy: d.Remedy, Unit: d.Unit}}
	m.list[k] = s
	return s
}

// evict makes room by forgetting what cleared longest ago.
func (m *Monitor) evict() bool {
	var oldest *state
	for _, s := range m.list {
		if !s.Active && !s.bad && (oldest == nil || s.Changed < oldest.Changed) {
			oldest = s
		}
	}
	if oldest == nil {
		return false
	}
	delete(m.list, key{oldest.Code, oldest.Resource})
	return true
}

// observe starts or stops the hold timer.
func (s *state) observe(now time.Duration, bad bool) {
	s.bad = bad
	switch {
	case bad == s.Active:
		s.turning = false
	case !s.turning:
		s.turning, s.since = true, now
	}
}

// due is when the hold timer runs out.
func (s *state) due() time.Duration {
	if s.Active {
		return s.since + s.def.HoldOff
	}
	return s.since + s.def.HoldOn
}

// step raises, changes or clears a condition if it is time to.
func (m *Monitor) step(now time.Duration, s *state) {
	switch {
	case s.turning && !s.Active && m.masked(s, true):
		s.since = now // the hold-on starts when the cause is gone
	case s.turning && now >= s.due():
		s.turning = false
		s.Active = !s.Active
		if s.Active {
			s.Count++
			s.Raised, s.Cleared = now, 0
			if !s.raised {
				s.First, s.raised = now, true
			}
			s.Text = s.text()
			m.emit(now, s, Raised)
		} else {
			s.Cleared = now
			m.emit(now, s, Cleared)
		}
	case s.Active && s.bad && s.Text != s.text() && now >= s.reported+changeEvery:
		s.Text = s.text()
		m.emit(now, s, Changed)
	}
	if !s.raised && !s.bad {
		delete(m.list, key{s.Code, s.Resource})
	}
}

func (s *state) text() string {
	if s.detail == "" {
		return s.def.Text
	}
	return s.def.Text + ": " + s.detail
}

// masked tells whether a condition that explains s is active, or, with
// pending, about to be.
func (m *Monitor) masked(s *state, pending bool) bool {
	for _, code := range s.def.MaskedBy {
		for _, resource := range [...]string{s.Resource, ResourceInput, ResourceBox} {
			if by := m.list[key{code, resource}]; by != nil && by != s && (by.Active || pending && by.bad) {
				return true
			}
		}
	}
	return false
}

func (m *Monitor) emit(now time.Duration, s *state, kind EventKind) {
	s.Changed, s.reported = now, now
	s.Masked = s.Active && m.masked(s, false)
	m.stats.Events++
	m.ring.add(Event{Time: now, Kind: kind, Condition: s.Condition})
}

// Note records something that happened and is not a condition: a reload, a
// change of plan, a reconnection.
func (m *Monitor) Note(now time.Duration, code Code, resource, text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stats.Events++
	m.ring.add(Event{Time: now, Kind: Note, Condition: Condition{Code: code, Resource: resource, Severity: Info, Text: text, Raised: now, Changed: now}})
}

// Forget clears everything about a resource that is no longer there, such as a
// path that was removed from the configuration.
func (m *Monitor) Forget(now time.Duration, resource string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, s := range m.list {
		if k.resource != resource {
			continue
		}
		if s.Active {
			s.Active, s.turning, s.bad, s.Cleared = false, false, false, now
			m.emit(now, s, Cleared)
		}
		delete(m.list, k)
	}
}

// Tick raises and clears what has waited long enough.
func (m *Monitor) Tick(now time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	// Causes first, so that what they mask is not raised in the same tick.
	for _, s := range m.ordered(func(*state) bool { return true }) {
		m.step(now, s)
	}
}

// Next tells when Tick has something to do, if no observation comes before.
func (m *Monitor) Next() (time.Duration, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var at time.Duration
	found := false
	for _, s := range m.list {
		if s.turning && (s.Active || !m.masked(s, true)) && (!found || s.due() < at) {
			at, found = s.due(), true
		}
	}
	return at, found
}

// Active returns the active conditions: worst first, then in triage order.
func (m *Monitor) Active() []Condition {
	return m.conditions(func(s *state) bool { return s.Active })
}

// All returns the active conditions as Active does, then the cleared ones, the
// last cleared first.
func (m *Monitor) All() []Condition {
	cleared := m.conditions(func(s *state) bool { return s.raised && !s.Active })
	slices.SortStableFunc(cleared, func(a, b Condition) int { return cmp.Compare(b.Cleared, a.Cleared) })
	return append(m.Active(), cleared...)
}

// Worst is the highest severity of the active conditions, Info if there is
// none.
func (m *Monitor) Worst() Severity {
	worst := Info
	for _, c := range m.Active() {
		worst = max(worst, c.Severity)
	}
	return worst
}

func (m *Monitor) conditions(want func(*state) bool) []Condition {
	m.mu.Lock()
	defer m.mu.Unlock()
	states := m.ordered(want)
	list := make([]Condition, len(states))
	for i, s := range states {
		s.Masked = s.Active && m.masked(s, false)
		list[i] = s.Condition
	}
	slices.SortStableFunc(list, func(a, b Condition) int {
		if a.Masked != b.Masked {
			return cmp.Compare(b2i(a.Masked), b2i(b.Masked))
		}
		return cmp.Compare(b.Severity, a.Severity)
	})
	return list
}

// ordered returns states in triage order, then by resource.
func (m *Monitor) ordered(want func(*state) bool) []*state {
	var list []*state
	for _, s := range m.list {
		if want(s) {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b *state) int {
		return cmp.Or(cmp.Compare(a.def.rank, b.def.rank), cmp.Compare(a.Resource, b.Resource))
	})
	return list
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Stats returns the counters.
func (m *Monitor) Stats() Stats {
	active := m.Active()
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.stats
	for _, c := range active {
		switch c.Severity {
		case Warning:
			s.Warning++
		case Minor:
			s.Minor++
		case Major:
			s.Major++
		case Critical:
			s.Critical++
		}
	}
	return s
}
