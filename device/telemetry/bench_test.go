package telemetry

import (
	"context"
	"testing"
	"time"

	"quartet/device/control"
	"quartet/device/telemetry/home"
	"quartet/device/telemetry/spool"
)

// inService makes a status that of a box in service: four paths to gateways that
// report, the stream watched at both ends.
func inService(s *control.Status) {
	monitor := func() *control.Monitor {
		m := &control.Monitor{Synced: true, BitrateBPS: 10_000_000, Clocks: []control.StreamClock{{PID: 256, IntervalMS: 20.123, JitterMS: 0.7, Constant: true, AccuracyNS: 31}}}
		for i, clause := range []string{"1.1", "1.2", "1.3.a", "1.4", "1.5.a", "1.6", "2.1", "2.2", "2.3a", "2.3b", "2.4", "2.5"} {
			m.Checks = append(m.Checks, control.StreamCheck{Clause: clause, Name: "a_check", Priority: 1 + i/6, Measured: true})
		}
		return m
	}
	s.Input.Monitor, s.Output.Monitor = monitor(), monitor()
	s.Paths = nil
	for i, name := range []string{"1a", "1b", "2a", "2b"} {
		s.Paths = append(s.Paths, control.Path{Name: name, Leg: 1 + i/2, State: control.PathUp, Arrival: &control.Arrival{}})
	}
}

// goOn makes the counters those after n times ten seconds.
func goOn(s *control.Status, i int) {
	n := uint64(i)
	s.UptimeS = 10 * float64(i)
	s.Input.Packets, s.Input.JitterMS = n*66_000, float64(i%7)+0.123
	for j := range s.Paths {
		p := &s.Paths[j]
		p.RTTMS, p.BitrateBPS, p.Sent, p.Retransmits, p.SendLoss = 20+float64(i%13)*0.377, 11_000_000+int64(i*37%1000), n*10_400, n*3, n*3
		p.Arrival = &control.Arrival{AgeMS: 100.5, Received: n * 10_390, LostHere: n * 3, ByOther: n * 3, SkewMS: 1.25, JitterMS: 0.318,
			Merged: control.Merged{Delivered: n * 9_500, ByParity: n, MarginMS: 43.1, LatencyMS: 500, BitrateBPS: 10_000_000}}
	}
}

// BenchmarkLook is what ten seconds cost a box: a round with a sample, and the
// request in which it goes home.
func BenchmarkLook(b *testing.B) {
	m, c := newMedia(), newClock(true)
	m.change(inService)
	disk := &memory{files: map[string][]byte{}}
	t, err := New(Config{Box: m, Machine: c, Clock: c, FS: func(string) spool.FS { return disk }})
	if err != nil {
		b.Fatal(err)
	}
	q := &sampleQueue{reader: reader{log: t.metrics}, t: t}
	i := 0
	for b.Loop() {
		i++
		c.mu.Lock()
		c.begin = c.begin.Add(-10 * time.Second)
		c.mu.Unlock()
		m.change(func(s *control.Status) { goOn(s, i) })
		t.look(context.Background())
		if _, n, err := q.Next(mostSamples); err != nil || n == 0 {
			b.Fatal(n, err)
		}
		q.Accepted(home.Outcome{})
	}
}
