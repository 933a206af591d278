package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"quartet/device/telemetry/history"
	"quartet/device/telemetry/home"
	"quartet/device/telemetry/measure"
)

// States besides home.State's.
const (
	StateDisabled home.State = "disabled"
	StateHeld     home.State = "held" // until the time of day is known
)

// Status is what GET /telemetry shows.
type Status struct {
	State         home.State     `json:"state"` // disabled, held, idle, sending, retrying, rejecting
	Endpoint      string         `json:"endpoint,omitempty"`
	IntervalS     float64        `json:"interval_s"`
	QueuedRecords uint64         `json:"queued_records"` // of metrics
	QueuedEvents  uint64         `json:"queued_events"`
	QueuedBytes   int64          `json:"queued_bytes"` // on disk, with what is kept for the history
	OldestS       float64        `json:"oldest_s"`     // age of the oldest record that is queued
	LastContact   *time.Time     `json:"last_contact,omitempty"`
	LastError     string         `json:"last_error,omitempty"`
	Sent          uint64         `json:"sent_records_total"`
	SentEvents    uint64         `json:"sent_events_total"`
	Retries       uint64         `json:"retries_total"`
	Rejected      int64          `json:"rejected_points_total"` // by requests that were accepted otherwise
	Quarantined   uint64         `json:"quarantined_records_total"`
	LastRefusal   string         `json:"last_refusal,omitempty"`
	Gaps          Gaps           `json:"gaps"`
	Disk          Disk           `json:"disk"`
	Clock         ClockStatus    `json:"clock"`
	Reliability   []Availability `json:"availability"`
	Energy        *EnergyStatus  `json:"energy,omitempty"` // nil: no sensor tells
}

// Gaps is what home will not get in full.
type Gaps struct {
	Thinned uint64 `json:"thinned_records_total"`
	Removed uint64 `json:"removed_records_total"`
	Dropped uint64 `json:"dropped_records_total"` // from memory
}

// Disk is how the logs are.
type Disk struct {
	Bytes         int64  `json:"bytes"`
	Cap           int64  `json:"cap_bytes"`
	Failing       bool   `json:"failing"`
	Reason        string `json:"reason,omitempty"`
	MemoryRecords int    `json:"memory_records"`
}

// ClockStatus is how the time of day is known.
type ClockStatus struct {
	Source   string `json:"source"`
	Disputed bool   `json:"disputed"` // by home
}

// Availability is reliability as a person wants to see it.
type Availability struct {
	Scope     string  `json:"scope"` // path, leg, pair
	Name      string  `json:"name"`
	Available bool    `json:"available"`
	Goal      float64 `json:"goal"`
	Day       Window  `json:"day"`
	Month     Window  `json:"month"` // of 30 days
	// LeftS is how many seconds may still be missing in these 30 days.
	LeftS float64 `json:"budget_left_s"`
}

// Window is reliability over some time.
type Window struct {
	measure.ReliabilityWindow
	Availability float64 `json:"availability"` // 0…1
}

// EnergyStatus is what the box takes.
type EnergyStatus struct {
	Watts             float64  `json:"watts"`
	WattHours         float64  `json:"watt_hours"`
	StreamedHours     float64  `json:"streamed_hours"`
	PerStreamedHourWh *float64 `json:"watt_hours_per_streamed_hour,omitempty"`
}

const month = 30 * 24 * time.Hour

// Status returns how telemetry is.
func (t *Telemetry) Status() Status {
	m, e, q := t.metrics.Stats(), t.events.Stats(), t.refused.Stats()
	source, disputed := t.line.state()
	t.mu.Lock()
	defer t.mu.Unlock()
	s := Status{
		State: home.Idle, Endpoint: t.settings.Endpoint, IntervalS: t.settings.Interval.Seconds(),
		QueuedRecords: m.Last - m.Acked, QueuedEvents: e.Last - e.Acked, QueuedBytes: m.Bytes + e.Bytes,
		LastError: t.lastErr, LastRefusal: t.lastRefusal, Quarantined: q.Last,
		Gaps:        Gaps{Thinned: m.Thinned, Removed: m.Removed + e.Removed, Dropped: m.Dropped + e.Dropped},
		Disk:        Disk{Bytes: m.Bytes + e.Bytes + q.Bytes, Cap: Cap + capEvent + capQuar, Failing: m.Failing || e.Failing, Reason: m.Reason, MemoryRecords: m.MemoryRecords + e.MemoryRecords},
		Clock:       ClockStatus{Source: source, Disputed: disputed},
		Reliability: []Availability{},
	}
	if s.IntervalS == 0 {
		s.IntervalS = DefaultInterval.Seconds()
	}
	if s.Disk.Reason == "" {
		s.Disk.Reason = e.Reason
	}
	if v, ok := t.find("quartet.telemetry.oldest"); ok && s.QueuedRecords > 0 {
		s.OldestS = v
	}
	if t.contact >= 0 {
		at := t.resolve(history.Stamp{Boot: t.boot, Monotonic: t.contact, Wall: t.clock.Wall().Add(t.contact - t.clock.Monotonic())})
		s.LastContact = &at
	}
	worse := map[home.State]int{"": 0, home.Idle: 1, home.Sending: 2, home.Retrying: 3, home.Rejecting: 4}
	for i, c := range t.couriers {
		if c == nil {
			continue
		}
		st := c.Stats()
		if worse[st.State] > worse[s.State] {
			s.State = st.State
		}
		s.Retries += st.Retries
		s.Rejected += st.Rejected
		if i == 0 {
			s.Sent = st.Accepted
		} else {
			s.SentEvents = st.Accepted
		}
	}
	switch {
	case !t.settings.Enabled:
		s.State = StateDisabled
	case source == ClockUnset && s.State != home.Retrying && s.State != home.Rejecting:
		s.State = StateHeld
	}
	for _, r := range t.reports {
		a := Availability{Scope: r.Scope, Name: r.Name, Available: r.Now, Goal: Goal, Day: window(r.Day), Month: window(r.Month)}
		a.LeftS = (1-Goal)*month.Seconds() - r.Month.Unavailable
		s.Reliability = append(s.Reliability, a)
	}
	if g := t.energyNow; g.Known {
		s.Energy = &EnergyStatus{Watts: g.Watts, WattHours: g.Joules / 3600, StreamedHours: g.StreamedHours}
		if g.StreamedHours > 0 {
			per := g.Joules / 3600 / g.StreamedHours
			s.Energy.PerStreamedHourWh = &per
		}
	}
	return s
}

func window(w measure.ReliabilityWindow) Window { return Window{w, w.Availability()} }

func (t *Telemetry) find(id string) (float64, bool) {
	if m := t.latest.Load(); m != nil {
		return m.Find(id)
	}
	return 0, false
}

// Collector shows the newest sample to Prometheus.
func (t *Telemetry) Collector() prometheus.Collector { return measure.NewCollector(t.latest.Load) }

// History answers questions about the last day: see history.Query. Names of
// series are those of measure.Series.ID.
func (t *Telemetry) History(names []string, from, to time.Time, step time.Duration) (history.Result, error) {
	return t.history.Query(names, from, to, step)
}

// Series returns the names of the series that History knows.
func (t *Telemetry) Series() []string { return t.history.IDs() }
