package telemetry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"quartet/device/control"
	"quartet/device/health"
	"quartet/device/telemetry/history"
	"quartet/device/telemetry/measure"
	"quartet/device/telemetry/system"
)

const (
	askTimeout = 2 * time.Second // for quartetd's status
	saveEvery  = time.Minute     // clock and reliability
)

// look is one round: ask the media plane, judge the second, tend the logs, and
// every interval make a sample.
func (t *Telemetry) look(ctx context.Context) {
	now := t.clock.Monotonic()
	was, _ := t.line.state()
	t.line.look(t.clock)
	is, _ := t.line.state()

	ask, cancel := context.WithTimeout(ctx, askTimeout)
	s, err := t.cfg.Box.Status(ask)
	cancel()
	if ctx.Err() != nil {
		return
	}
	t.mu.Lock()
	t.boxErr = err
	if err == nil {
		t.status, t.statusAt = s, now
	}
	interval := cmp.Or(t.settings.Interval, DefaultInterval)
	t.mu.Unlock()
	var box *control.Status
	if err == nil {
		box = &s
		// Told to a fraction of a second each time: only a restart is a change.
		if start := now - time.Duration(s.UptimeS*float64(time.Second)); t.boxStart < 0 || start-t.boxStart > 2*time.Second || t.boxStart-start > 2*time.Second {
			t.boxStart = max(0, start)
		}
	}
	hour := t.resolve(history.Stamp{Boot: t.boot, Monotonic: now, Wall: t.clock.Wall()}).Unix() / 3600
	t.judge.look(now, hour, box)
	reports := t.judge.report(hour)
	t.mu.Lock()
	t.reports = reports
	t.mu.Unlock()

	if t.sampledAt == 0 || now-t.sampledAt >= interval-t.cfg.Look/2 {
		t.sampledAt = now
		t.sample(now, box)
	}
	t.metrics.Tick(now)
	_ = t.metrics.Sync() // a disk that fails shows in the stats
	t.events.Tick(now)
	_ = t.events.Sync()
	t.refused.Tick(now)
	if now-t.savedAt >= saveEvery || was != is {
		t.savedAt = now
		t.save(hour)
	}
	t.complain(now)
	if was != is {
		t.poke(t.wake[0])
		t.poke(t.wake[1])
	}
}

// sample makes a record of metrics.
func (t *Telemetry) sample(now time.Duration, box *control.Status) {
	reading := t.cfg.Machine.Read()
	t.measureEnergy(now, &reading, box)
	snap := &measure.Snapshot{Box: box, System: reading, Energy: t.energy, Self: t.self(now)}
	t.mu.Lock()
	snap.Reliability = t.reports
	t.energyNow = t.energy
	t.mu.Unlock()
	if box != nil {
		snap.Conditions = append(snap.Conditions, box.Active...)
	}
	if t.cfg.Health != nil {
		snap.Conditions = append(snap.Conditions, control.Views(t.cfg.Health.Active(), t.cfg.Wall)...)
	}
	if t.cfg.Update != nil {
		snap.Update = t.cfg.Update()
	}
	if t.cfg.Board != nil {
		snap.Board = t.cfg.Board()
	}
	m := measure.Take(snap)
	t.latest.Store(m)
	if t.union.Add(m) {
		p, err := appendPreamble(t.boot, t.union.Series)
		if err != nil {
			t.log.Error("telemetry: series cannot be written", "error", err)
			return
		}
		t.preamble.Store(&p)
	}
	s := sample{Mono: now, Wall: t.clock.Wall(), Kept: t.clock.Synchronised(), Box: t.boxStart, Manage: t.started,
		Series: t.union.Series, Values: t.union.Values}
	if box == nil {
		s.Box = -1
	}
	t.metrics.Append(now, kindSample, s.append(nil))
	_ = t.metrics.Sync() // a disk that fails shows in the stats
	t.history.Add(history.Stamp{Boot: t.boot, Monotonic: now, Wall: s.Wall}, s.Series, s.Values)
	t.poke(t.wake[0])
	t.oldest = t.oldestQueued(now)
}

// oldestQueued is the age of the oldest record of metrics that home does not
// have.
func (t *Telemetry) oldestQueued(now time.Duration) time.Duration {
	list, err := t.metrics.After(t.metrics.Acked(), 1)
	if err != nil || len(list) == 0 {
		return 0
	}
	if h := &t.head; h.seq != list[0].Seq || h.epoch != list[0].Epoch {
		boot, series, err := parsePreamble(list[0].Preamble)
		s := sample{Series: series}
		if err != nil || s.parseSample(list[0].Data) != nil {
			return 0
		}
		h.epoch, h.seq, h.boot, h.mono = list[0].Epoch, list[0].Seq, boot, s.Mono
	}
	boot, mono := t.head.boot, t.head.mono
	if boot == t.boot {
		return now - mono
	}
	then, a := t.line.at(boot, mono)
	today, b := t.line.at(t.boot, now)
	if a == ClockUnset || b == ClockUnset {
		return now // at least
	}
	return max(now, today.Sub(then))
}

// measureEnergy adds up the power of the box. Without a sensor that is the
// supply's it is not known, and nothing is guessed.
func (t *Telemetry) measureEnergy(now time.Duration, r *system.Reading, box *control.Status) {
	watts, known := supply(r.Sensors)
	d := now - t.energyAt
	if t.energyAt > 0 && known && t.energy.Known && d < time.Minute {
		t.energy.Joules += (watts + t.energy.Watts) / 2 * d.Seconds()
		if box != nil && measure.Streaming(box) {
			t.energy.StreamedHours += d.Hours()
		}
	}
	t.energyAt, t.energy.Known, t.energy.Watts = now, known, watts
}

// supply is the power that the whole box takes: the sensor that is named after
// it, or the only one there is.
func supply(sensors []system.Sensor) (watts float64, known bool) {
	n := 0
	for _, s := range sensors {
		if s.Kind != system.Power {
			continue
		}
		for _, word := range []string{"supply", "input", "vin", "total", "dc_in"} {
			if strings.Contains(strings.ToLower(s.ID), word) {
				return s.Value, true
			}
		}
		watts = s.Value
		n++
	}
	return watts, n == 1
}

// self is how telemetry itself is.
func (t *Telemetry) self(now time.Duration) measure.Self {
	m, e := t.metrics.Stats(), t.events.Stats()
	cpu, resident := t.cfg.Self()
	s := measure.Self{Queued: m.Last - m.Acked, QueuedEvents: e.Last - e.Acked, DiskBytes: m.Bytes + e.Bytes, MemoryRecords: m.MemoryRecords + e.MemoryRecords,
		DiskFailing: m.Failing || e.Failing, OldestSeconds: t.oldest.Seconds(), Lost: m.Dropped + m.Thinned + m.Removed + e.Dropped + e.Removed,
		ProcessCPU: cpu, ProcessResident: resident}
	source, disputed := t.line.state()
	s.ClockTrusted = source != ClockUnset && !disputed
	t.mu.Lock()
	defer t.mu.Unlock()
	s.Reachable = t.contact >= 0 && t.lastErr == ""
	for i, c := range t.couriers {
		if c == nil {
			continue
		}
		st := c.Stats()
		s.Retries += st.Retries
		s.Refused += st.Refused
		if i == 0 {
			s.Sent = st.Accepted
		} else {
			s.SentEvents = st.Accepted
		}
	}
	return s
}

// event puts an event into the log, durable at once, and sends it.
func (t *Telemetry) event(e *event) {
	now := t.clock.Monotonic()
	if e.Boot == "" {
		e.Boot, e.Mono = t.boot, now
	}
	e.Wall, e.Kept = t.clock.Wall(), t.clock.Synchronised()
	t.events.Append(now, kindEvent, e.data())
	_ = t.events.Sync() // a disk that fails shows in the stats, and it is sent from memory
	t.poke(t.wake[1])
}

// Audit keeps and sends a record of what somebody did. It returns when the
// record is on disk.
func (t *Telemetry) Audit(r AuditRecord) { t.event(r.event()) }

// follow takes over quartetd's events. Those from before this process are asked
// for too, from the last one that is in the log.
func (t *Telemetry) follow(ctx context.Context) {
	for ctx.Err() == nil {
		t.mu.Lock()
		after := t.origin
		t.mu.Unlock()
		begun := t.clock.Monotonic()
		err := t.cfg.Box.Events(ctx, after, true, func(e control.Event, missed uint64) error {
			if missed > 0 {
				t.event(&event{Name: EventGap, Severity: health.Warning,
					Text:  fmt.Sprintf("%d events of the media plane are missing: they came faster than they were read, or management was away", missed),
					Attrs: []attr{{"quartet.gap.signal", "logs"}, {"quartet.gap.records", fmt.Sprint(missed)}}})
			}
			n := conditionEvent(e.Kind, &e.Condition, "quartetd")
			n.Origin = e.ID
			n.Boot, n.Mono = t.boot, t.when(e.Time, begun)
			t.event(n)
			t.mu.Lock()
			t.origin = e.ID
			t.mu.Unlock()
			return nil
		})
		if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, control.ErrUnreachable) {
			t.log.Warn("telemetry: events of the media plane", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// when is the monotonic time of an event of quartetd. Its time of day is by a
// clock that may have been wrong; only what came before this process asked has
// to go by it, since what comes now is now.
func (t *Telemetry) when(at time.Time, begun time.Duration) time.Duration {
	now := t.clock.Monotonic()
	age := t.clock.Wall().Sub(at)
	if age < 0 || now-begun > 5*time.Second || age > now {
		return now
	}
	return now - age
}

// followHealth takes over the events of management's own list.
func (t *Telemetry) followHealth(ctx context.Context) {
	var seq uint64
	for ctx.Err() == nil {
		list, _, more := t.cfg.Health.Ring().After(seq)
		for i := range list {
			seq = list[i].Seq
			v := control.Views([]health.Condition{list[i].Condition}, t.cfg.Wall)
			n := conditionEvent(list[i].Kind, &v[0], "quartet-manage")
			n.Boot, n.Mono = t.boot, max(0, t.clock.Monotonic()-max(0, t.cfg.HealthNow()-list[i].Time))
			t.event(n)
		}
		select {
		case <-more:
		case <-ctx.Done():
		}
	}
}
