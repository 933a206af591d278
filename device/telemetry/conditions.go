package telemetry

import (
	"fmt"
	"time"

	"quartet/device/health"
	"quartet/device/telemetry/home"
)

// Conditions of telemetry itself.
const (
	DiskFailing   health.Code = "telemetry-disk"
	HomeAway      health.Code = "telemetry-unreachable"
	HomeRefuses   health.Code = "telemetry-refused"
	ClockUnknown  health.Code = "telemetry-clock-unset"
	ClockDisputed health.Code = "telemetry-clock-disputed"
	Losing        health.Code = "telemetry-losing"
)

// ResourceTelemetry is what the conditions are about.
const ResourceTelemetry = "telemetry"

// awayFor is how long home may be away before somebody is told; restarts of a
// Collector are no alarm.
const awayFor = 5 * time.Minute

// Catalogue returns the definitions of telemetry's conditions, for the list of
// the process that it runs in.
func Catalogue() []health.Definition {
	const s = time.Second
	return []health.Definition{
		{Code: DiskFailing, Severity: health.Minor, HoldOff: 30 * s,
			Text:   "The data disk fails; telemetry is held in memory",
			Remedy: "If it is full, see what fills it; if it is read-only or gives errors, replace the box's storage soon. Nothing is lost while home is reachable; a restart of the box now loses what is not sent."},
		{Code: HomeAway, Severity: health.Minor, HoldOn: s, HoldOff: s,
			Text:   "Home does not answer; telemetry is kept on disk",
			Remedy: "Check the endpoint, the network's way out to it (TCP, usually 4318), and that the Collector runs. A certificate that is refused is named in the reason. Fourteen days are kept in full."},
		{Code: HomeRefuses, Severity: health.Minor, HoldOn: s, HoldOff: 10 * s,
			Text:   "Home refuses telemetry",
			Remedy: "The reason says what home answered. 401 or 403: allow this box's certificate there. 404: the endpoint lacks a part of its path. 400: compare versions; single records are in quarantine. Nothing else is lost: it is kept until home takes it."},
		{Code: ClockUnknown, Severity: health.Warning, HoldOn: s, HoldOff: s,
			Text:   "The time of day is not known; telemetry is held until it is",
			Remedy: "Check the NTP servers and the way to them (UDP 123), or set the time by hand. Home's own clock is taken as soon as home answers."},
		{Code: ClockDisputed, Severity: health.Warning, HoldOn: 30 * s, HoldOff: 30 * s,
			Text:   "This box's clock and home's differ; telemetry goes by home's",
			Remedy: "Compare both with a clock that you trust, and correct the NTP servers of the one that is wrong."},
		{Code: Losing, Severity: health.Minor, HoldOn: 0, HoldOff: 300 * s,
			Text:   "There is no room for all telemetry; old records were thinned out",
			Remedy: "Bring home back, or free the data disk. Counters stay exact; other values of that time are sampled less often, and home is told of the gap."},
	}
}

// complain raises and clears the conditions.
func (t *Telemetry) complain(now time.Duration) {
	if t.cfg.Health == nil {
		return
	}
	m, e := t.metrics.Stats(), t.events.Stats()
	reason := m.Reason
	if reason == "" {
		reason = e.Reason
	}
	source, disputed := t.line.state()
	t.mu.Lock()
	if source == ClockUnset && t.heldSince < 0 {
		t.heldSince = now
	} else if source != ClockUnset {
		t.heldSince = -1
	}
	held := t.heldSince >= 0 && now-t.heldSince > time.Minute
	since := max(t.contact, t.started)
	away := t.settings.Enabled && t.lastErr != "" && now-since > awayFor
	lastErr := t.lastErr
	refusing := t.refusedAt >= 0 && now-t.refusedAt < awayFor
	refusal := t.lastRefusal
	for _, c := range t.couriers {
		if c != nil && c.Stats().State == home.Rejecting {
			refusing, refusal = true, c.Stats().Reason
		}
	}
	if !t.settings.Enabled {
		refusing = false
	}
	t.mu.Unlock()
	set := func(code health.Code, active bool, detail string) {
		t.cfg.Health.Set(t.cfg.HealthNow(), code, ResourceTelemetry, active, detail)
	}
	lost := m.Dropped + m.Thinned + m.Removed + e.Dropped + e.Removed
	set(DiskFailing, m.Failing || e.Failing, reason)
	set(HomeAway, away && !refusing, lastErr)
	set(HomeRefuses, refusing, refusal)
	set(ClockUnknown, held, "")
	set(ClockDisputed, disputed, "")
	set(Losing, lost > t.lost, fmt.Sprintf("%d records so far", lost))
	t.lost = lost
}
