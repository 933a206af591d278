package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"quartet/device/control"
	"quartet/device/health"
	"quartet/device/telemetry/home"
	"quartet/device/telemetry/measure"
	"quartet/device/telemetry/system"
)

// box is one of the fleet. Its queue is in memory: what a disk costs is the
// box's affair, not the Collector's.
type box struct {
	serial string
	start  time.Time
	wake   chan struct{}
	rand   *rand.Rand

	mu      sync.Mutex
	status  control.Status
	queue   []home.Metrics
	number  uint64
	pending int
	points  int
	last    time.Time // when the newest accepted record was made
	behind  time.Time // when the queue became empty last
}

// status is that of a box in service: four paths to gateways that report, both
// monitors.
func newBox(n int) *box {
	b := &box{serial: fmt.Sprintf("Q%05d", n), start: time.Now(), wake: make(chan struct{}, 1), rand: rand.New(rand.NewPCG(uint64(n), 1))}
	monitor := func() *control.Monitor {
		m := &control.Monitor{Synced: true, BitrateBPS: 10_000_000, Clocks: []control.StreamClock{{PID: 256, Constant: true}}}
		for i, clause := range []string{"1.1", "1.2", "1.3.a", "1.4", "1.5.a", "1.6", "2.1", "2.2", "2.3a", "2.3b", "2.4", "2.5"} {
			m.Checks = append(m.Checks, control.StreamCheck{Clause: clause, Name: "check_" + clause, Priority: 1 + i/6, Measured: true})
		}
		return m
	}
	b.status = control.Status{Name: b.serial, Input: control.Input{State: control.InputOK, BitrateBPS: 10_000_000, Monitor: monitor()}, Output: control.Output{Monitor: monitor()}}
	for i, name := range []string{"1a", "1b", "2a", "2b"} {
		b.status.Paths = append(b.status.Paths, control.Path{Name: name, Leg: 1 + i/2, State: control.PathUp, Arrival: &control.Arrival{}})
	}
	return b
}

// sample puts one record into the queue.
func (b *box) sample() {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &b.status
	s.UptimeS = time.Since(b.start).Seconds()
	s.Input.Packets += 66_000
	for i := range s.Paths {
		p := &s.Paths[i]
		p.RTTMS = 20 + b.rand.Float64()*5
		p.BitrateBPS = 11_000_000 + b.rand.Int64N(1000)
		p.Sent += 10_400
		p.Retransmits += b.rand.Uint64N(10)
		p.Arrival.Received += 10_390
		p.Arrival.ByOther += b.rand.Uint64N(5)
		p.Arrival.Merged.Delivered += 9_500
	}
	snap := &measure.Snapshot{Box: s, System: system.Reading{Uptime: time.Since(b.start), CPUs: 4, Load: b.rand.Float64(),
		CPU:      []system.CPUTime{{Mode: "user", Seconds: s.UptimeS}, {Mode: "system", Seconds: s.UptimeS / 3}, {Mode: "idle", Seconds: s.UptimeS * 3}},
		Memory:   system.Memory{Total: 2 << 30, Free: 1 << 30, Available: 1 << 30},
		Networks: []system.Network{{Name: "eth0", Up: true, RxBytes: b.number, TxBytes: b.number * 13_000_000}, {Name: "eth1", Up: true}},
		Sensors:  []system.Sensor{{Kind: system.Temperature, ID: "soc", Value: 50 + b.rand.Float64()}}}}
	for _, scope := range []string{measure.ScopePair, measure.ScopeLeg, measure.ScopePath} {
		for i := range map[string]int{measure.ScopePair: 1, measure.ScopeLeg: 2, measure.ScopePath: 4}[scope] {
			snap.Reliability = append(snap.Reliability, measure.Reliability{Scope: scope, Name: fmt.Sprint(i), Now: true, Observed: s.UptimeS})
		}
	}
	if b.rand.IntN(50) == 0 {
		snap.Conditions = []control.Condition{{Code: "path-loss", Resource: "path/1a", Severity: health.Minor, Active: true}}
	}
	m := measure.Take(snap)
	b.number++
	b.points = len(m.Series) + 1
	b.queue = append(b.queue, home.Metrics{Epoch: "fleet", Number: b.number, Time: time.Now(), Boot: "boot", Clock: "synchronised", Series: m.Series, Values: m.Values})
}

// Next implements home.Queue.
func (b *box) Next(n int) ([]byte, int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pending = min(n, len(b.queue))
	if b.pending == 0 {
		b.behind = time.Now()
		return nil, 0, nil
	}
	body, err := home.EncodeMetrics([]home.Attr{{Name: "service.name", Value: "quartet"}, {Name: "service.instance.id", Value: b.serial}}, b.queue[:b.pending])
	return body, b.pending, err
}

// Accepted implements home.Queue.
func (b *box) Accepted(home.Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = b.queue[b.pending-1].Time
	b.queue = append([]home.Metrics{}, b.queue[b.pending:]...)
}

// Refused implements home.Queue.
func (b *box) Refused(string) { b.Accepted(home.Outcome{}) }

// run samples and sends until ctx ends.
func (b *box) run(ctx context.Context, client *home.Client, courier *home.Courier, interval time.Duration) {
	var group sync.WaitGroup
	group.Go(func() { courier.Run(ctx, client, b.wake) })
	// Boxes are switched on at any moment.
	begin := time.NewTimer(time.Duration(b.rand.Float64() * float64(interval)))
	defer begin.Stop()
	select {
	case <-begin.C:
	case <-ctx.Done():
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		b.sample()
		select {
		case b.wake <- struct{}{}:
		default:
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	group.Wait()
	client.Close()
}

func tlsOf(conf *tls.Config) func() (*tls.Config, error) {
	return func() (*tls.Config, error) { return conf, nil }
}
