package main

import (
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"quartet/device/config"
	"quartet/device/telemetry"
	"quartet/device/telemetry/home"
	"quartet/device/web"
)

// voice is web.Telemetry.
type voice struct {
	t       *telemetry.Telemetry
	metrics http.Handler
}

func newVoice(t *telemetry.Telemetry) voice {
	r := prometheus.NewRegistry()
	r.MustRegister(t.Collector())
	return voice{t, promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})}
}

func (v voice) State() web.TelemetryState {
	s := v.t.Status()
	w := web.TelemetryState{State: stateWord(s.State), Endpoint: s.Endpoint, QueuedRecords: int64(s.QueuedRecords + s.QueuedEvents), QueuedBytes: s.QueuedBytes,
		LastContact: s.LastContact, LastError: s.LastError, Gaps: int64(s.Gaps.Thinned + s.Gaps.Removed + s.Gaps.Dropped)}
	if w.QueuedRecords > 0 && s.OldestS > 0 {
		at := time.Now().Add(-time.Duration(s.OldestS * float64(time.Second))).UTC()
		w.OldestQueued = &at
	}
	return w
}

// stateWord is the page's word for a state.
func stateWord(s home.State) string {
	switch s {
	case telemetry.StateDisabled:
		return "off"
	case home.Idle, home.Sending:
		return "ok"
	case home.Rejecting:
		return "failing"
	}
	return "waiting"
}

func (v voice) Availability() (list []web.Availability) {
	for _, a := range v.t.Status().Reliability {
		name := a.Scope
		if a.Name != "" {
			name += "/" + a.Name
		}
		list = append(list, web.Availability{Resource: name, WindowS: a.Month.Observed, Percent: 100 * a.Month.Availability, Target: 100 * a.Goal, ErrorS: a.Month.Errored})
	}
	return list
}

func (v voice) History(q web.HistoryQuery) (h web.History, err error) {
	h = web.History{From: time.Unix(q.From, 0).UTC(), StepS: q.Step, Series: map[string]web.Series{}}
	if q.Series == "" {
		for _, name := range v.t.Series() {
			h.Series[name] = web.Series{}
		}
		return h, nil
	}
	r, err := v.t.History(strings.Split(q.Series, ","), time.Unix(q.From, 0), time.Unix(q.To, 0), time.Duration(q.Step)*time.Second)
	if err != nil {
		return h, config.Issues{{Path: "series", Problem: "cannot be shown: " + err.Error(), Remedy: "ask for less"}}
	}
	h.From = r.From.UTC()
	for name, line := range r.Series {
		h.Series[name] = web.Series{Unit: line.Unit, Points: line.Points}
	}
	return h, nil
}

func (v voice) Metrics() http.Handler { return v.metrics }

func (v voice) Configure(s web.TelemetrySettings) error {
	return v.t.Apply(telemetry.Settings{Enabled: s.Enabled, Endpoint: s.Endpoint, Interval: time.Duration(s.IntervalS) * time.Second})
}

// FactoryReset does nothing: what is queued lies in the data folder, which is
// wiped as a whole.
func (v voice) FactoryReset() error { return nil }
