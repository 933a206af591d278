package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"quartet/device/config"
	"quartet/device/control"
)

// What part cost runs: four AES-256 streams of 20 Mbit/s.
const (
	costPaths     = 4
	costRateBPS   = 20_000_000
	costLatency   = 500 * time.Millisecond // the documents' default
	costParity    = 10                     // percent, the documents' default
	costHold      = 20 * time.Millisecond  // input.jitter_ms, the documents' default
	costKeyLength = 32
	costPhrase    = "passphrase-of-the-benchmark"
)

// costKind is a side of the comparison.
type costKind struct {
	ID, Title string
	quartet   bool
	overhead  int
}

var costKinds = []costKind{
	{"srt", "4 × srt-live-transmit", false, 0},
	{"quartet", "quartetd and 4 × quartet-gateway, parity 10 %", true, costParity},
	{"quartet-r0", "quartetd and 4 × quartet-gateway, r = 0", true, 0},
}

// costRun is one run of one side.
type costRun struct {
	Kind      string  `json:"kind"`
	Pair      int     `json:"pair"`
	GB        float64 `json:"gb"`       // TS payload, times four streams, 10⁹ bytes
	SendCPU   float64 `json:"send_cpu"` // s per GB, all sending programs
	RecvCPU   float64 `json:"recv_cpu"` // all receiving programs
	SendMem   memory  `json:"send_mem"` // of the largest sending program
	RecvMem   memory  `json:"recv_mem"`
	BeyondP50 float64 `json:"beyond_p50_ms"` // delay beyond the configured latency
	BeyondP99 float64 `json:"beyond_p99_ms"`
	Lost      uint64  `json:"lost"` // TS packets, all four outputs
	Sent      uint64  `json:"sent"`
	machineState
}

// costResult is part three.
type costResult struct {
	Runs   []costRun     `json:"runs"`
	Sides  []costSummary `json:"sides"`
	Spoilt int           `json:"spoilt"`
	Failed []string      `json:"failed,omitempty"`
}

// costSummary is a side over all its runs; ratios are to srt-live-transmit's
// run of the same pair.
type costSummary struct {
	Kind      string   `json:"kind"`
	Title     string   `json:"title"`
	Runs      int      `json:"runs"`
	Calm      int      `json:"calm"` // runs that the machine did not spoil: delay and loss are theirs
	SendCPU   Estimate `json:"send_cpu_s_per_gb"`
	RecvCPU   Estimate `json:"recv_cpu_s_per_gb"`
	SendRatio Estimate `json:"send_ratio"`
	RecvRatio Estimate `json:"recv_ratio"`
	SendPeak  float64  `json:"send_peak_mb"`
	SendAnon  float64  `json:"send_anon_mb"`
	RecvPeak  float64  `json:"recv_peak_mb"`
	RecvAnon  float64  `json:"recv_anon_mb"`
	BeyondP50 float64  `json:"beyond_p50_ms"`
	BeyondP99 float64  `json:"beyond_p99_ms"`
	WorstP99  float64  `json:"beyond_p99_worst_ms"`
	Lost      uint64   `json:"lost"`
	Sent      uint64   `json:"sent"`
}

// measureCost runs the sides in turn, in another order each time.
func measureCost(ctx context.Context, o options) (*costResult, error) {
	say("cost: %d rounds of %d runs of %v", o.pairs, len(costKinds), o.costTime)
	res := new(costResult)
	for pair := range o.pairs {
		order := slices.Clone(costKinds)
		if pair%2 == 1 {
			slices.Reverse(order)
		}
		for _, k := range order {
			for try := 1; ; try++ {
				r, err := runCost(ctx, o, k)
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				r.Pair = pair
				if err == nil {
					say("cost: round %d %s: send %.1f, receive %.1f CPU-s/GB, p99 %+.1f ms, %d lost %v", pair+1, k.ID, r.SendCPU, r.RecvCPU, r.BeyondP99, r.Lost, r.Spoilt)
					res.Runs = append(res.Runs, r)
					if len(r.Spoilt) == 0 {
						break
					}
					res.Spoilt++
				} else {
					say("cost: round %d %s failed: %v", pair+1, k.ID, err)
					res.Failed = append(res.Failed, fmt.Sprintf("%s: %v", k.ID, err))
				}
				if try == o.attempts {
					break
				}
			}
		}
	}
	res.sum()
	if len(res.Runs) == 0 {
		return res, errors.New("cost: no run came about")
	}
	return res, nil
}

// sum pools the runs. CPU time tells something also of a run that a stall
// elsewhere spoilt; delay and loss do not.
func (res *costResult) sum() {
	for _, k := range costKinds {
		s := costSummary{Kind: k.ID, Title: k.Title}
		var send, recv, sendRatio, recvRatio, p50, p99 []float64
		for _, r := range res.Runs {
			if r.Kind != k.ID || res.superseded(r) {
				continue
			}
			s.Runs++
			send, recv = append(send, r.SendCPU), append(recv, r.RecvCPU)
			s.SendPeak, s.SendAnon = max(s.SendPeak, r.SendMem.PeakMB), max(s.SendAnon, r.SendMem.AnonMB)
			s.RecvPeak, s.RecvAnon = max(s.RecvPeak, r.RecvMem.PeakMB), max(s.RecvAnon, r.RecvMem.AnonMB)
			if len(r.Spoilt) == 0 {
				s.Calm++
				p50, p99 = append(p50, r.BeyondP50), append(p99, r.BeyondP99)
				s.WorstP99 = max(s.WorstP99, r.BeyondP99)
				s.Lost, s.Sent = s.Lost+r.Lost, s.Sent+r.Sent
			}
			if b := res.partner(r); b != nil && b.SendCPU > 0 && b.RecvCPU > 0 {
				sendRatio, recvRatio = append(sendRatio, r.SendCPU/b.SendCPU), append(recvRatio, r.RecvCPU/b.RecvCPU)
			}
		}
		s.SendCPU, s.RecvCPU = medianBounds(send), medianBounds(recv)
		s.SendRatio, s.RecvRatio = medianBounds(sendRatio), medianBounds(recvRatio)
		s.BeyondP50, s.BeyondP99 = median(p50), median(p99)
		res.Sides = append(res.Sides, s)
	}
}

// superseded tells whether a spoilt run was repeated.
func (res *costResult) superseded(r costRun) bool {
	last := r
	for _, x := range res.Runs {
		if x.Kind == r.Kind && x.Pair == r.Pair {
			last = x
		}
	}
	return len(r.Spoilt) > 0 && last.SendCPU != r.SendCPU
}

// partner is srt-live-transmit's run of the same round.
func (res *costResult) partner(r costRun) *costRun {
	for i := range res.Runs {
		if x := &res.Runs[i]; x.Kind == costKinds[0].ID && x.Pair == r.Pair && !res.superseded(*x) {
			return x
		}
	}
	return nil
}

// costBench is a run under way.
type costBench struct {
	o        options
	kind     costKind
	dir      string
	in       []netip.AddrPort
	far      []netip.AddrPort
	feed     *feed
	sinks    *sinks
	senders  []*program
	gates    []*program
	wg       sync.WaitGroup
	stop     context.CancelFunc
	expected time.Duration // latency as configured
}

func runCost(ctx context.Context, o options, k costKind) (costRun, error) {
	r := costRun{Kind: k.ID}
	dir, err := os.MkdirTemp("", "quartet-bench-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	c := &costBench{o: o, kind: k, dir: dir, expected: costLatency}
	defer c.end()
	if err := c.begin(ctx); err != nil {
		return r, err
	}
	up := func() bool {
		for _, s := range c.sinks.all {
			if !s.flowing() {
				return false
			}
		}
		return true
	}
	if !eventually(ctx, connectWithin, up) {
		return r, fmt.Errorf("no output after %v: %s", connectWithin, c.words())
	}
	if err := pause(ctx, min(3*time.Second, o.costTime)); err != nil {
		return r, err
	}
	return r, c.measure(ctx, &r)
}

func (c *costBench) begin(ctx context.Context) error {
	ctx, c.stop = context.WithCancel(ctx)
	free, err := ports(2 * costPaths)
	if err != nil {
		return err
	}
	c.far, c.in = free[:costPaths], free[costPaths:]
	if c.kind.quartet {
		c.in = c.in[:1]
	}
	if c.feed, err = newFeed(costRateBPS, 1, connectWithin+2*c.o.costTime+5*time.Second, c.in); err != nil {
		return err
	}
	if c.sinks, err = newSinks(costPaths, c.feed); err != nil {
		return err
	}
	c.wg.Go(func() { c.sinks.run(ctx) })
	if c.kind.quartet {
		err = c.startQuartet()
	} else {
		err = c.startSRT()
	}
	if err != nil {
		return err
	}
	c.wg.Go(func() { c.feed.run(ctx) })
	return nil
}

func (c *costBench) startSRT() error {
	secure := []string{"passphrase=" + costPhrase, fmt.Sprintf("pbkeylen=%d", costKeyLength), fmt.Sprintf("latency=%d", costLatency.Milliseconds())}
	for i := range costPaths {
		listen := append([]string{"mode=listener"}, secure...)
		p, err := start("srt receive", c.log("receive", i), srtProgram(query("srt://"+c.far[i].String(), listen...), "udp://"+c.sinks.all[i].addr.String())...)
		if err != nil {
			return err
		}
		c.gates = append(c.gates, p)
	}
	for i := range costPaths {
		call := append([]string{"mode=caller"}, secure...)
		p, err := start("srt send", c.log("send", i), srtProgram(fmt.Sprintf("udp://:%d", c.in[i].Port()), query("srt://"+c.far[i].String(), call...))...)
		if err != nil {
			return err
		}
		c.senders = append(c.senders, p)
	}
	return nil
}

func (c *costBench) log(what string, i int) string {
	return filepath.Join(c.dir, fmt.Sprintf("%s-%d.log", what, i))
}

func (c *costBench) control() string { return filepath.Join(c.dir, "box.sock") }

// startQuartet starts a box with two legs of two paths, and four gateways.
func (c *costBench) startQuartet() error {
	const key = config.Secret("5252525252525252525252525252525252525252525252525252525252525252")
	b := config.Default[config.Box]()
	b.Confidence.Enabled = false // nobody else decodes
	b.Version, b.Name = config.SchemaVersion, "cost"
	b.Input.Type, b.Input.URL = config.TypeUDP, "udp://"+c.in[0].String()
	b.Output.Key, b.Output.OverheadPercent = key, c.kind.overhead
	b.Control.Socket, b.Log.Level = c.control(), "warn"
	for i := range costPaths {
		p := config.Default[config.Path]()
		p.Name, p.Leg, p.URL = fmt.Sprint(i+1), 1+i/2, "srt://"+c.far[i].String()
		p.StreamID, p.Passphrase, p.KeyLength = fmt.Sprintf("path-%d", i+1), costPhrase, costKeyLength
		b.Paths = append(b.Paths, p)

		g := config.Default[config.Gateway]()
		g.Version, g.Name, g.HTTP.Listen, g.Log.Level = config.SchemaVersion, "cost", "", "warn"
		l := config.Default[config.Listener]()
		l.Name, l.Address = "srt", c.far[i].String()
		g.Listeners = []config.Listener{l}
		k := config.Default[config.Contribution]()
		k.Name, k.Key = "cost", key
		in := config.Default[config.GatewayInput]()
		in.Name, in.Listener, in.StreamID, in.Passphrase, in.KeyLength = "box", "srt", p.StreamID, costPhrase, costKeyLength
		k.Inputs = []config.GatewayInput{in}
		out := config.Default[config.GatewayOutput]()
		out.Name, out.Type, out.URL = "out", config.TypeUDP, "udp://"+c.sinks.all[i].addr.String()
		k.Outputs = []config.GatewayOutput{out}
		g.Contributions = []config.Contribution{k}
		file := filepath.Join(c.dir, fmt.Sprintf("gateway-%d.json", i))
		if err := os.WriteFile(file, config.Encode(&g), 0o600); err != nil {
			return err
		}
		p1, err := start("quartet-gateway", c.log("gateway", i), filepath.Join(c.o.bin, "quartet-gateway"), "run", "--config", file)
		if err != nil {
			return err
		}
		c.gates = append(c.gates, p1)
	}
	file := filepath.Join(c.dir, "box.json")
	if err := os.WriteFile(file, config.Encode(&b), 0o600); err != nil {
		return err
	}
	p, err := start("quartetd", c.log("quartetd", 0), filepath.Join(c.o.bin, "quartetd"), "run", "--config", file, "--data", filepath.Join(c.dir, "data"))
	c.senders = append(c.senders, p)
	return err
}

func (c *costBench) measure(ctx context.Context, r *costRun) error {
	total := func(ps []*program) (s float64) {
		for _, p := range ps {
			s += cpuSeconds(p.pid())
		}
		return s
	}
	pids := append(pidsOf(c.senders), pidsOf(c.gates)...)
	busy, drops := lookAtCPU(), c.sinks.drops()+udpDrops(pids)
	send, recv := total(c.senders), total(c.gates)
	from := c.feed.count.Load()
	c.feed.clearStall()
	c.sinks.from.Store(from)
	if err := pause(ctx, c.o.costTime); err != nil {
		return err
	}
	to := c.feed.count.Load()
	c.sinks.to.Store(to)
	send, recv = total(c.senders)-send, total(c.gates)-recv
	r.StallMS, r.Idle = c.feed.stallMS(), lookAtCPU().idleShare(busy)
	r.Dropped = c.sinks.drops() + udpDrops(pids) - drops
	if err := pause(ctx, c.expected+200*time.Millisecond); err != nil {
		return err
	}
	for _, p := range append(slices.Clone(c.senders), c.gates...) {
		if p.ended() {
			return fmt.Errorf("%s ended: %w: %s", p.name, p.err, p.tail())
		}
	}
	r.GB = float64(to-from) * datagramBytes * costPaths / 1e9
	r.SendCPU, r.RecvCPU = send/r.GB, recv/r.GB
	for _, p := range c.senders {
		r.SendMem = larger(r.SendMem, memoryOf(p.pid()))
	}
	for _, p := range c.gates {
		r.RecvMem = larger(r.RecvMem, memoryOf(p.pid()))
	}
	if c.kind.quartet {
		if err := c.allUp(ctx); err != nil {
			return err
		}
	}
	c.end()
	var all delays
	for _, k := range c.sinks.all {
		m := k.missing(from, to)
		r.Lost, r.Sent = r.Lost+m.Lost, r.Sent+m.Sent
		for i, n := range k.delay.counts {
			all.counts[i] += n
		}
		all.n += k.delay.n
	}
	r.BeyondP50 = all.quantileMS(0.5) - c.expected.Seconds()*1000
	r.BeyondP99 = all.quantileMS(0.99) - c.expected.Seconds()*1000
	r.judge(c.o, c.feed.refused.Load())
	return nil
}

// allUp checks that the box really sent encrypted on four paths.
func (c *costBench) allUp(ctx context.Context) error {
	client := control.NewClient(c.control())
	defer client.Close()
	st, err := client.Status(ctx)
	if err != nil {
		return err
	}
	for _, p := range st.Paths {
		if p.State != control.PathUp || !p.Encrypted || p.Connects != 1 {
			return fmt.Errorf("path %s: state %s, encrypted %t, %d connects: want an encrypted path up from its first connection on", p.Name, p.State, p.Encrypted, p.Connects)
		}
	}
	return nil
}

func larger(a, b memory) memory {
	return memory{max(a.PeakMB, b.PeakMB), max(a.AnonMB, b.AnonMB)}
}

func (c *costBench) words() (s string) {
	for _, p := range append(slices.Clone(c.senders), c.gates...) {
		if t := p.tail(); t != "" {
			s += p.name + ": " + t + "; "
		}
	}
	return s
}

func (c *costBench) end() {
	stopAll(append(slices.Clone(c.senders), c.gates...))
	c.stop()
	c.wg.Wait()
	if c.feed != nil {
		c.feed.close()
	}
}
