package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"quartet/device/config"
	"quartet/uplink"
	"quartet/uplink/rtp"
	"quartet/uplink/srt"
)

// What part ramp runs: contributions of 10 Mbit/s that come over two paths
// with AES-256 and 10 % of parity, as a gateway hears its own path and its
// peer's.
const (
	rampPaths   = 2
	rampRateBPS = 10_000_000
	rampLatency = 200 * time.Millisecond
	rampParity  = 10
	rampP99MS   = 5 // delay beyond the configured latency at which a step fails
)

// rampStep is one number of contributions at one gateway on one core.
type rampStep struct {
	Contributions int     `json:"contributions"`
	Core          float64 `json:"core"`          // share of one core that the gateway used
	CPUPerGB      float64 `json:"cpu_s_per_gb"`  // TS payload times two streams
	BeyondP50     float64 `json:"beyond_p50_ms"` // delay beyond the configured latency
	BeyondP99     float64 `json:"beyond_p99_ms"`
	Lost          uint64  `json:"lost"` // TS packets, all outputs
	Sent          uint64  `json:"sent"`
	Memory        memory  `json:"memory"`
	Generator     float64 `json:"generator"` // processors that this program used for sending
	OK            bool    `json:"ok"`
	Why           string  `json:"why,omitempty"`
	machineState
}

// rampResult is part four.
type rampResult struct {
	Steps  []rampStep `json:"steps"`
	Cores  int        `json:"cores"`        // of the machine
	Most   int        `json:"most"`         // contributions carried, measured
	Limit  string     `json:"limit"`        // what ended the ramp
	Extra  float64    `json:"extrapolated"` // contributions at 80 % of a core, from the share at Most
	Failed []string   `json:"failed,omitempty"`
}

// rampLoad is the share of a core up to which part ramp extrapolates.
const rampLoad = 0.8

func measureRamp(ctx context.Context, o options) (*rampResult, error) {
	res := &rampResult{Cores: runtime.NumCPU(), Limit: "the end of --ramp"}
	say("ramp: one gateway on one core, %v contributions", o.ramp)
	defer pinSelf(pinSelf(nil)) // back to what it was
	for _, n := range o.ramp {
		var step rampStep
		var err error
		for range o.attempts {
			if step, err = runRamp(ctx, o, n); ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err == nil && (step.OK || len(step.Spoilt) == 0) {
				break
			}
		}
		if err != nil {
			res.Failed = append(res.Failed, fmt.Sprintf("%d contributions: %v", n, err))
			res.Limit = err.Error()
			break
		}
		say("ramp: %d contributions: %.0f %% of a core, p99 %+.1f ms, %d lost, generator %.0f %% %s", n, 100*step.Core, step.BeyondP99, step.Lost, 100*step.Generator, step.Why)
		res.Steps = append(res.Steps, step)
		if !step.OK {
			res.Limit = step.Why
			break
		}
		res.Most = n
		if step.Core > 0 {
			res.Extra = float64(n) * rampLoad / step.Core
		}
	}
	return res, nil
}

// pinSelf keeps this program off the last core, which the gateway has, or sets
// the given cores again. It returns those that were in force before.
func pinSelf(to *unix.CPUSet) *unix.CPUSet {
	before := new(unix.CPUSet)
	if unix.SchedGetaffinity(0, before) != nil || runtime.NumCPU() < 2 {
		return before
	}
	if to == nil {
		to = new(unix.CPUSet)
		*to = *before
		to.Clear(runtime.NumCPU() - 1)
	}
	for _, tid := range ownThreads() {
		unix.SchedSetaffinity(tid, to)
	}
	return before
}

// rampBench is a step under way.
type rampBench struct {
	o       options
	n       int
	dir     string
	feed    *feed
	sinks   *sinks
	gate    *program
	senders []*uplink.Sender
	start   time.Time
	wg      sync.WaitGroup
	stop    context.CancelFunc
}

func runRamp(ctx context.Context, o options, n int) (rampStep, error) {
	r := rampStep{Contributions: n}
	dir, err := os.MkdirTemp("", "quartet-bench-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	srt.Startup()
	defer srt.Cleanup()
	b := &rampBench{o: o, n: n, dir: dir, start: time.Now()}
	defer b.end()
	if err := b.begin(ctx); err != nil {
		return r, err
	}
	up := func() bool {
		for _, s := range b.sinks.all {
			if !s.flowing() {
				return false
			}
		}
		for _, s := range b.senders {
			for _, p := range s.Paths() {
				if p.Stats().Arrival == nil {
					return false
				}
			}
		}
		return true
	}
	if !eventually(ctx, connectWithin, up) {
		return r, fmt.Errorf("not every path is up after %v: %s", connectWithin, b.gate.tail())
	}
	if err := pause(ctx, 2*time.Second); err != nil {
		return r, err
	}
	return r, b.measure(ctx, &r)
}

func (b *rampBench) begin(ctx context.Context) error {
	ctx, b.stop = context.WithCancel(ctx)
	free, err := ports(1)
	if err != nil {
		return err
	}
	listen := free[0].String()
	if b.feed, err = newFeed(rampRateBPS, 1, connectWithin+b.o.rampTime+8*time.Second, nil); err != nil {
		return err
	}
	if b.sinks, err = newSinks(b.n, b.feed); err != nil {
		return err
	}
	b.wg.Go(func() { b.sinks.run(ctx) })
	if err := b.startGateway(listen); err != nil {
		return err
	}
	for i := range b.n {
		if err := b.addSender(ctx, i, listen); err != nil {
			return err
		}
	}
	b.feed.give = func(_ int64, datagram []byte) {
		at := time.Since(b.start)
		for _, s := range b.senders {
			s.WriteTS(at, datagram)
		}
	}
	b.wg.Go(func() { b.feed.run(ctx) })
	return nil
}

func rampKey(i int) []byte { return bytes.Repeat([]byte{byte(i + 1)}, 32) }

func rampStream(i, path int) string { return fmt.Sprintf("contribution-%d-path-%d", i, path) }

// startGateway starts one gateway for all contributions, on the last core.
func (b *rampBench) startGateway(listen string) error {
	g := config.Default[config.Gateway]()
	g.Version, g.Name, g.HTTP.Listen, g.Log.Level = config.SchemaVersion, "ramp", "", "warn"
	l := config.Default[config.Listener]()
	l.Name, l.Address = "srt", listen
	g.Listeners = []config.Listener{l}
	for i := range b.n {
		k := config.Default[config.Contribution]()
		k.Name, k.Key = fmt.Sprintf("c%d", i), config.Secret(hex.EncodeToString(rampKey(i)))
		k.LatencyMS, k.MaxBitrateKbps = config.Milliseconds(rampLatency.Milliseconds()), rampRateBPS/1000
		for path := range rampPaths {
			in := config.Default[config.GatewayInput]()
			in.Name, in.Listener, in.StreamID = fmt.Sprintf("p%d", path), "srt", rampStream(i, path)
			in.Passphrase, in.KeyLength = costPhrase, costKeyLength
			k.Inputs = append(k.Inputs, in)
		}
		out := config.Default[config.GatewayOutput]()
		out.Name, out.Type, out.URL = "out", config.TypeUDP, "udp://"+b.sinks.all[i].addr.String()
		k.Outputs = []config.GatewayOutput{out}
		g.Contributions = append(g.Contributions, k)
	}
	file := filepath.Join(b.dir, "gateway.json")
	if err := os.WriteFile(file, config.Encode(&g), 0o600); err != nil {
		return err
	}
	var err error
	b.gate, err = start("quartet-gateway", filepath.Join(b.dir, "gateway.log"),
		"taskset", "-c", fmt.Sprint(runtime.NumCPU()-1), filepath.Join(b.o.bin, "quartet-gateway"), "run", "--config", file)
	return err
}

// addSender makes a contribution's sender, in this process.
func (b *rampBench) addSender(ctx context.Context, i int, listen string) error {
	key, err := rtp.DeriveTagKey(rampKey(i))
	if err != nil {
		return err
	}
	plan, err := uplink.NewPlan(uplink.Demand{
		BitrateBPS: rampRateBPS, PacketsPerMessage: tsPerDatagram, Latency: rampLatency,
		OverheadPercent: rampParity, Streams: rampPaths, RTT: 10 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	cfg := uplink.SenderConfig{
		Now: func() time.Duration { return time.Since(b.start) }, Plan: plan, PacketsPerMessage: tsPerDatagram, Key: key,
	}
	for path := range rampPaths {
		o := srt.Options{Latency: plan.SRTLatency, StreamID: rampStream(i, path), Passphrase: costPhrase, KeyLength: costKeyLength}
		cfg.Paths = append(cfg.Paths, uplink.PathConfig{
			Name: fmt.Sprint(path), Leg: 1, SRTLatency: plan.SRTLatency,
			Dialer: uplink.NewSRTCaller(listen, o.Sized(plan.WireBPS, 10*time.Millisecond)),
		})
	}
	s, err := uplink.NewSender(cfg)
	if err != nil {
		return err
	}
	b.senders = append(b.senders, s)
	b.wg.Go(func() { s.Run(ctx) })
	return nil
}

func (b *rampBench) measure(ctx context.Context, r *rampStep) error {
	pids := []int{b.gate.pid()}
	busy, drops := lookAtCPU(), b.sinks.drops()+udpDrops(pids)
	gate, own := cpuSeconds(b.gate.pid()), cpuSeconds(os.Getpid())
	begun, from := time.Now(), b.feed.count.Load()
	b.feed.clearStall()
	b.sinks.from.Store(from)
	if err := pause(ctx, b.o.rampTime); err != nil {
		return err
	}
	to := b.feed.count.Load()
	b.sinks.to.Store(to)
	took := time.Since(begun).Seconds()
	r.Core, r.Generator = (cpuSeconds(b.gate.pid())-gate)/took, (cpuSeconds(os.Getpid())-own)/took
	r.StallMS, r.Idle = b.feed.stallMS(), lookAtCPU().idleShare(busy)
	r.Dropped = b.sinks.drops() + udpDrops(pids) - drops
	r.Memory = memoryOf(b.gate.pid())
	if err := pause(ctx, rampLatency+200*time.Millisecond); err != nil {
		return err
	}
	if b.gate.ended() {
		return fmt.Errorf("the gateway ended: %w: %s", b.gate.err, b.gate.tail())
	}
	b.end()
	r.CPUPerGB = r.Core * took / (float64(to-from) * datagramBytes * rampPaths * float64(b.n) / 1e9)
	var all delays
	for _, k := range b.sinks.all {
		m := k.missing(from, to)
		r.Lost, r.Sent = r.Lost+m.Lost, r.Sent+m.Sent
		for i, n := range k.delay.counts {
			all.counts[i] += n
		}
		all.n += k.delay.n
	}
	latency := rampLatency.Seconds() * 1000
	r.BeyondP50, r.BeyondP99 = all.quantileMS(0.5)-latency, all.quantileMS(0.99)-latency
	r.judge(b.o, b.feed.refused.Load())
	r.conclude()
	return nil
}

// conclude says whether the step was carried.
func (r *rampStep) conclude() {
	switch {
	case len(r.Spoilt) > 0:
		r.Why = "the machine or the generator: " + r.Spoilt[0]
	case r.Lost > 0:
		r.Why = fmt.Sprintf("%d TS packets lost", r.Lost)
	case r.BeyondP99 > rampP99MS:
		r.Why = fmt.Sprintf("delay %.1f ms beyond the configured latency at p99, more than %d", r.BeyondP99, rampP99MS)
	}
	r.OK = r.Why == ""
}

func (b *rampBench) end() {
	b.stop()
	b.wg.Wait()
	if b.feed != nil {
		b.feed.close()
	}
	if b.gate != nil {
		stopAll([]*program{b.gate})
	}
}
