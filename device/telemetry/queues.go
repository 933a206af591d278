package telemetry

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"quartet/device/health"
	"quartet/device/telemetry/home"
	"quartet/device/telemetry/measure"
	"quartet/device/telemetry/spool"
)

// A request has at most so many records, and is made of at most about so many
// bytes of the log: a megabyte of protobuf, less than any server's limit.
const (
	mostSamples = 40
	mostEvents  = 400
	readAhead   = 64 << 10
)

// reader walks a log for a queue. It is owned by the courier's goroutine.
type reader struct {
	log   *spool.Log
	ahead []spool.Record // read, not acknowledged
	count int            // of them in the last batch
	body  []byte         // of the last batch
}

// peek returns at most n of the oldest records.
func (r *reader) peek(n int) ([]spool.Record, error) {
	if len(r.ahead) == 0 {
		list, err := r.log.After(r.log.Acked(), readAhead)
		if err != nil {
			return nil, fmt.Errorf("the disk does not hand out what is to be sent: %w", err)
		}
		r.ahead = list
	}
	return r.ahead[:min(n, len(r.ahead))], nil
}

// done acknowledges the last batch.
func (r *reader) done() []spool.Record {
	list := r.ahead[:r.count]
	if len(list) > 0 {
		r.log.Ack(list[len(list)-1])
	}
	r.ahead = r.ahead[r.count:]
	r.count, r.body = 0, nil
	return list
}

// sampleQueue brings metrics home.
type sampleQueue struct {
	reader
	t *Telemetry

	preamble []byte // that boot and series were read of
	boot     string
	series   []measure.Series
	bad      uint64 // records that could not be understood
}

// schema reads a record's preamble, if it is another than the last.
func (q *sampleQueue) schema(r *spool.Record) error {
	if q.preamble != nil && bytes.Equal(q.preamble, r.Preamble) {
		return nil
	}
	boot, series, err := parsePreamble(r.Preamble)
	if err != nil {
		return err
	}
	q.preamble, q.boot, q.series = r.Preamble, boot, series
	return nil
}

// Next implements home.Queue.
func (q *sampleQueue) Next(n int) ([]byte, int, error) {
	list, err := q.peek(n)
	if err != nil {
		return nil, 0, err
	}
	var send []home.Metrics
	q.count = 0
	for i := range list {
		r := &list[i]
		s := sample{}
		err := q.schema(r)
		if err == nil {
			s.Boot, s.Series = q.boot, q.series
			err = s.parseSample(r.Data)
		}
		if err != nil { // of a version to come, or damaged in a way that its checksum does not show
			q.bad++
			q.count++
			continue
		}
		at, clock := q.t.line.at(s.Boot, s.Mono)
		if clock == ClockUnset {
			break
		}
		m := home.Metrics{Epoch: r.Epoch.String(), Number: r.Seq, Time: at, Boot: s.Boot, Clock: clock, Series: s.Series, Values: s.Values}
		for since, mono := range map[measure.Since]time.Duration{measure.Boot: 0, measure.Box: s.Box, measure.Manage: s.Manage} {
			if mono >= 0 {
				m.Starts[since], _ = q.t.line.at(s.Boot, mono)
			}
		}
		send = append(send, m)
		q.count++
	}
	if q.count > 0 && len(send) == 0 {
		q.done() // nothing of it can be sent
		return q.Next(n)
	}
	if len(send) == 0 {
		return nil, 0, nil
	}
	q.body, err = home.EncodeMetrics(q.t.resource(), send)
	return q.body, q.count, err
}

// Accepted implements home.Queue. What is missing is told as an event.
func (q *sampleQueue) Accepted(o home.Outcome) {
	body := q.body
	list := q.done()
	if o.Rejected > 0 {
		q.t.quarantine(home.SignalMetrics, fmt.Sprintf("%d points rejected: %s", o.Rejected, o.Reason), body)
	}
	var missing uint64
	for i := range list {
		missing += list[i].Missing
	}
	if missing > 0 {
		q.t.gap(list, missing)
	}
}

// Refused implements home.Queue.
func (q *sampleQueue) Refused(reason string) {
	body := q.body
	q.done()
	q.t.quarantine(home.SignalMetrics, reason, body)
}

// eventQueue brings alarms and audit home.
type eventQueue struct {
	reader
	t *Telemetry
}

// Next implements home.Queue.
func (q *eventQueue) Next(n int) ([]byte, int, error) {
	list, err := q.peek(n)
	if err != nil {
		return nil, 0, err
	}
	var send []home.Event
	q.count = 0
	for i := range list {
		r := &list[i]
		e, err := parseEvent(r.Data)
		if err != nil {
			e = event{Boot: q.t.boot, Name: EventGap, Severity: health.Warning, Text: "A record cannot be understood: it was written by another version"}
		}
		at, clock := q.t.line.at(e.Boot, e.Mono)
		if clock == ClockUnset {
			break
		}
		uid := fmt.Sprintf("%s-%d", r.Epoch, r.Seq)
		if r.Missing > 0 {
			gap := event{Boot: e.Boot, Mono: e.Mono, Name: EventGap, Severity: health.Warning,
				Text:  fmt.Sprintf("%d alarms or audit records before this moment are missing: there was no room for them", r.Missing),
				Attrs: []attr{{"quartet.gap.signal", home.SignalLogs}, {"quartet.gap.records", fmt.Sprint(r.Missing)}}}
			send = append(send, gap.send("gap-"+uid, at, clock))
		}
		send = append(send, e.send(uid, at, clock))
		q.count++
	}
	if len(send) == 0 {
		return nil, 0, nil
	}
	q.body, err = home.EncodeEvents(q.t.resource(), send)
	return q.body, q.count, err
}

// Accepted implements home.Queue.
func (q *eventQueue) Accepted(o home.Outcome) {
	body := q.body
	q.done()
	if o.Rejected > 0 {
		q.t.quarantine(home.SignalLogs, fmt.Sprintf("%d records rejected: %s", o.Rejected, o.Reason), body)
	}
}

// Refused implements home.Queue.
func (q *eventQueue) Refused(reason string) {
	body := q.body
	q.done()
	q.t.quarantine(home.SignalLogs, reason, body)
}

// quarantine keeps what home does not want, with the reason: the request's body
// as it was sent, before compression.
func (t *Telemetry) quarantine(signal, reason string, body []byte) {
	b := binary.AppendUvarint(nil, uint64(len(reason)))
	b = append(b, reason...)
	b = append(b, '/')
	b = append(b, signal...)
	b = append(b, '\n')
	t.refused.Append(t.clock.Monotonic(), kindRefuse, append(b, body...))
	_ = t.refused.Sync() // it is a copy for whoever looks for the reason
	t.mu.Lock()
	t.lastRefusal = reason
	t.refusedAt = t.clock.Monotonic()
	t.mu.Unlock()
	t.log.Warn("home refused telemetry; it is in quarantine", "signal", signal, "reason", reason)
}

// gap tells home of records that it will never get.
func (t *Telemetry) gap(list []spool.Record, missing uint64) {
	first, last := &list[0], &list[len(list)-1]
	text := fmt.Sprintf("%d records of metrics are missing among or before the %d that follow", missing, len(list))
	reason := "lost"
	if last.Level > 0 || first.Level > 0 {
		reason = "thinned"
		text += ": there was no room for all of them while home was away; counters are exact, other values were sampled less often"
	}
	e := &event{Name: EventGap, Severity: health.Warning, Text: text, UID: fmt.Sprintf("gap-%s-%d", first.Epoch, first.Seq), Attrs: []attr{
		{"quartet.gap.signal", home.SignalMetrics}, {"quartet.gap.reason", reason}, {"quartet.gap.records", fmt.Sprint(missing)},
		{"quartet.gap.first", fmt.Sprintf("%s-%d", first.Epoch, first.Seq)}, {"quartet.gap.last", fmt.Sprintf("%s-%d", last.Epoch, last.Seq)}}}
	var s sample
	if boot, series, err := parsePreamble(last.Preamble); err == nil {
		s.Series = series
		if s.parseSample(last.Data) == nil {
			if at, clock := t.line.at(boot, s.Mono); clock != ClockUnset {
				e.Attrs = append(e.Attrs, attr{"quartet.gap.until", at.Format(time.RFC3339)})
			}
		}
	}
	t.event(e)
}
