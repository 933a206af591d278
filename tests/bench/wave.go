package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"quartet/device/control"
	"quartet/tests/relay"
	"quartet/uplink/gateway"
)

// systemRun is what one system did with one seed.
type systemRun struct {
	System string `json:"system"`
	missing
	Again   uint64 `json:"again"`   // TS packets that came out twice
	Swapped uint64 `json:"swapped"` // out of order
	Foreign uint64 `json:"foreign"` // not of the feed

	PayloadBytes uint64 `json:"payload_bytes"` // TS that went in
	WireBytes    uint64 `json:"wire_bytes"`    // UDP payload towards the receiver, all paths
	WirePackets  uint64 `json:"wire_packets"`
	BackBytes    uint64 `json:"back_bytes"` // and back
	LinkLost     uint64 `json:"link_lost"`  // packets that the relay dropped, towards the receiver

	DelayP50MS float64 `json:"delay_p50_ms"`
	DelayP99MS float64 `json:"delay_p99_ms"`
	CPUSeconds float64 `json:"cpu_s"` // of both programs
	Plan       string  `json:"plan,omitempty"`
	ByParity   uint64  `json:"by_parity,omitempty"` // packets that the gateway repaired
	Late       uint64  `json:"late,omitempty"`      // copies that came too late for it
}

// waveRun is one run: some systems side by side, one seed.
type waveRun struct {
	Cell    string      `json:"cell"`
	Seed    int         `json:"seed"`
	Wave    int         `json:"wave"`
	Systems []systemRun `json:"systems"`
	machineState
}

// machineState is how the machine behaved meanwhile.
type machineState struct {
	StallMS   float64  `json:"stall_ms"`     // longest delay of the feed
	LateShare float64  `json:"late_share"`   // packets that the relay sent over 1 ms late
	Dropped   uint64   `json:"kernel_drops"` // datagrams lost in the machine's own sockets
	Idle      float64  `json:"idle"`         // share of the processors
	Spoilt    []string `json:"spoilt,omitempty"`
}

// wave is a run under way.
type wave struct {
	o     options
	cell  cell
	seed  int
	dir   string
	slots []*slot
	feed  *feed
	sinks *sinks
	group *relay.Group
	wg    sync.WaitGroup
	stop  context.CancelFunc
}

// connectWithin bounds the wait for every system to pass packets.
const connectWithin = 12 * time.Second

// runWave starts the systems, waits until all of them pass packets over an
// unimpaired relay, impairs it, lets that settle, and measures.
func runWave(ctx context.Context, o options, c cell, seed, number int, systems []system) (waveRun, error) {
	r := waveRun{Cell: c.id(), Seed: seed, Wave: number}
	dir, err := os.MkdirTemp("", "quartet-bench-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	w := &wave{o: o, cell: c, seed: seed, dir: dir}
	defer w.end()
	if err := w.begin(ctx, systems); err != nil {
		return r, err
	}
	if err := w.connect(ctx); err != nil {
		return r, err
	}
	for _, s := range w.slots {
		for _, l := range s.relays {
			if err := l.SetBoth(c.impairment(o.rateBPS)); err != nil {
				return r, err
			}
		}
	}
	if err := pause(ctx, o.warmup); err != nil {
		return r, err
	}
	return r, w.measure(ctx, &r)
}

// begin opens everything and starts the programs.
func (w *wave) begin(ctx context.Context, systems []system) error {
	ctx, w.stop = context.WithCancel(ctx)
	need := 0
	for _, s := range systems {
		need += 1 + s.farPorts()
	}
	free, err := ports(need)
	if err != nil {
		return err
	}
	take := func() netip.AddrPort {
		p := free[0]
		free = free[1:]
		return p
	}
	var in []netip.AddrPort
	for _, sys := range systems {
		s := &slot{sys: sys, dir: w.dir, in: take()}
		in = append(in, s.in)
		for range sys.farPorts() {
			s.far = append(s.far, take())
		}
		if s.http, err = tcpPort(); err != nil {
			return err
		}
		w.slots = append(w.slots, s)
	}
	length := connectWithin + w.o.warmup + w.o.seconds + w.o.latency + 4*time.Second
	// The seed of the picture does not matter; that of the relay does.
	if w.feed, err = newFeed(w.o.rateBPS, uint64(w.seed), length, in); err != nil {
		return err
	}
	if w.sinks, err = newSinks(len(systems), w.feed); err != nil {
		return err
	}
	w.wg.Go(func() { w.sinks.run(ctx) })
	if w.group, err = relay.NewGroup(relay.GroupConfig{Seed: uint64(w.seed)}); err != nil {
		return err
	}
	for i, s := range w.slots {
		s.out = w.sinks.all[i].addr
		if err := w.addRelays(s); err != nil {
			return err
		}
	}
	w.wg.Go(func() { w.group.Run(ctx) })
	if err := w.launch(); err != nil {
		return err
	}
	w.wg.Go(func() { w.feed.run(ctx) })
	return nil
}

// addRelays gives a system its paths. Path i has the same name, so the same
// fate, in every system.
func (w *wave) addRelays(s *slot) error {
	clean := relay.Impairment{DelayMS: w.cell.RTT.Seconds() * 1000 / 2}
	for i := range s.sys.Paths {
		r, err := w.group.Add(relay.Config{
			Name: fmt.Sprintf("path %d", i+1), Listen: netip.MustParseAddrPort("127.0.0.1:0"),
			Upstream: s.far[i%len(s.far)], Up: clean, Down: clean,
		})
		if err != nil {
			return err
		}
		s.relays = append(s.relays, r)
		s.near = append(s.near, r.Addr())
	}
	return nil
}

// launch starts all receivers, then all senders.
func (w *wave) launch() error {
	sends := make([][]string, len(w.slots))
	for i, s := range w.slots {
		receive, send, err := s.commands(w.o, w.cell.RTT)
		if err != nil {
			return err
		}
		sends[i] = send
		if err := s.start("receive", receive); err != nil {
			return err
		}
	}
	for i, s := range w.slots {
		if err := s.start("send", sends[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *slot) start(role string, argv []string) error {
	p, err := start(s.sys.ID+" "+role, filepath.Join(s.dir, s.sys.ID+"-"+role+".log"), argv...)
	if err != nil {
		return err
	}
	s.progs = append(s.progs, p)
	return nil
}

// connect waits until every system passes packets on all its paths.
func (w *wave) connect(ctx context.Context) error {
	ok := func(i int, s *slot) bool {
		if !w.sinks.all[i].flowing() {
			return false
		}
		for _, r := range s.relays {
			if r.Stats().Up.PacketsOut < 100 {
				return false
			}
		}
		return true
	}
	all := func() bool {
		for i, s := range w.slots {
			if !ok(i, s) {
				return false
			}
		}
		return true
	}
	if eventually(ctx, connectWithin, all) {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var dead []string
	for i, s := range w.slots {
		if !ok(i, s) {
			dead = append(dead, fmt.Sprintf("%s (%s)", s.sys.ID, s.words()))
		}
	}
	return fmt.Errorf("not passing packets after %v: %s", connectWithin, strings.Join(dead, "; "))
}

// words are what a system's programs said last.
func (s *slot) words() string {
	var all []string
	for _, p := range s.progs {
		if t := p.tail(); t != "" {
			all = append(all, p.name+": "+t)
		}
	}
	return strings.Join(all, "; ")
}

// snapshot is what is counted at the start and at the end of the measurement.
type snapshot struct {
	relays [][]relay.Stats // by slot
	cpu    []float64
	drops  uint64
	busy   cpuUse
}

func (w *wave) look() snapshot {
	s := snapshot{busy: lookAtCPU(), drops: w.sinks.drops()}
	var pids []int
	for _, l := range w.slots {
		var st []relay.Stats
		for _, r := range l.relays {
			st = append(st, r.Stats())
			s.drops += st[len(st)-1].KernelDrops
		}
		s.relays = append(s.relays, st)
		cpu := 0.0
		for _, p := range l.progs {
			cpu += cpuSeconds(p.pid())
		}
		s.cpu = append(s.cpu, cpu)
		pids = append(pids, pidsOf(l.progs)...)
	}
	s.drops += udpDrops(pids)
	return s
}

// measure takes the figures.
func (w *wave) measure(ctx context.Context, r *waveRun) error {
	before := w.look()
	w.feed.clearStall()
	from := w.feed.count.Load()
	w.sinks.from.Store(from)
	if err := pause(ctx, w.o.seconds); err != nil {
		return err
	}
	to := w.feed.count.Load()
	w.sinks.to.Store(to)
	after := w.look()
	// The last ones are repaired under the same conditions as all others.
	if err := pause(ctx, w.o.latency+2*w.cell.RTT+300*time.Millisecond); err != nil {
		return err
	}
	r.StallMS = w.feed.stallMS()
	r.Idle = after.busy.idleShare(before.busy)
	r.Dropped = after.drops - before.drops
	for _, s := range w.slots {
		for _, p := range s.progs {
			if p.ended() {
				return fmt.Errorf("%s ended: %w: %s", p.name, p.err, p.tail())
			}
		}
	}
	for i, s := range w.slots {
		sr := systemRun{System: s.sys.ID, CPUSeconds: after.cpu[i] - before.cpu[i], PayloadBytes: (to - from) * datagramBytes}
		s.ask(ctx, &sr)
		r.Systems = append(r.Systems, sr)
	}
	w.end()
	var late, sent uint64
	for i := range w.slots {
		sr, k := &r.Systems[i], w.sinks.all[i]
		sr.missing = k.missing(from, to)
		sr.Again, sr.Swapped, sr.Foreign = k.again, k.swapped, k.foreign
		sr.DelayP50MS, sr.DelayP99MS = k.delay.quantileMS(0.5), k.delay.quantileMS(0.99)
		for j, a := range after.relays[i] {
			b := before.relays[i][j]
			sr.WireBytes += a.Up.BytesIn - b.Up.BytesIn
			sr.WirePackets += a.Up.PacketsIn - b.Up.PacketsIn
			sr.BackBytes += a.Down.BytesIn - b.Down.BytesIn
			sr.LinkLost += a.Up.Dropped.Total() - b.Up.Dropped.Total()
			late += a.Up.LateOver1MS + a.Down.LateOver1MS - b.Up.LateOver1MS - b.Down.LateOver1MS
			sent += a.Up.PacketsOut + a.Down.PacketsOut - b.Up.PacketsOut - b.Down.PacketsOut
		}
	}
	r.LateShare = float64(late) / float64(max(sent, 1))
	r.judge(w.o, w.feed.refused.Load())
	r.judgeDelays(w.o.latency+w.cell.RTT/2, w.o.delay)
	return nil
}

// judgeDelays holds every system to the latency that all have, but for a limit.
// On a stalled machine quartetd's input hold grows and libsrt takes a late
// handshake for the network's delay; then the latencies are no longer equal.
func (r *waveRun) judgeDelays(configured, limit time.Duration) {
	for _, s := range r.Systems {
		if over := s.DelayP50MS - configured.Seconds()*1000; over > limit.Seconds()*1000 {
			r.Spoilt = append(r.Spoilt, fmt.Sprintf("%s delayed by %.0f ms more than configured", s.System, over))
		}
	}
}

// judge says why a run does not count, if it does not.
func (m *machineState) judge(o options, refused uint64) {
	bad := func(format string, args ...any) { m.Spoilt = append(m.Spoilt, fmt.Sprintf(format, args...)) }
	if limit := o.stall.Seconds() * 1000; m.StallMS > limit {
		bad("the feed stalled for %.0f ms (limit %.0f)", m.StallMS, limit)
	}
	if m.LateShare > o.lateness {
		bad("the relay sent %.1f %% of its packets over 1 ms late (limit %.1f)", 100*m.LateShare, 100*o.lateness)
	}
	if m.Dropped+refused > 0 {
		bad("the kernel dropped %d datagrams", m.Dropped+refused)
	}
}

// ask has Quartet tell its plan and what its gateway did.
func (s *slot) ask(ctx context.Context, sr *systemRun) {
	if s.sys.Family != familyQuartet {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	client := control.NewClient(s.control())
	defer client.Close()
	if st, err := client.Status(ctx); err == nil {
		p := st.Plan
		sr.Plan = fmt.Sprintf("K %d + %d, SRT %.0f ms (%.1f RTT), FEC %.0f ms, stagger %.0f ms", p.K, p.Rows, p.SRTLatencyMS, p.ARQRounds, p.FECBoundMS, p.StaggerMS)
		if p.Rows == 0 {
			sr.Plan = fmt.Sprintf("no parity, SRT %.0f ms (%.1f RTT), stagger %.0f ms", p.SRTLatencyMS, p.ARQRounds, p.StaggerMS)
		}
	}
	if st, err := gatewayStatus(ctx, s.http); err == nil && len(st.Contributions) == 1 {
		m := st.Contributions[0].Merged
		sr.ByParity, sr.Late = m.RecoveredParity, m.Late
	}
}

// gatewayStatus asks a gateway over HTTP.
func gatewayStatus(ctx context.Context, addr netip.AddrPort) (st gateway.Status, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr.String()+"/status", nil)
	if err != nil {
		return st, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return st, err
	}
	defer resp.Body.Close()
	return st, json.NewDecoder(resp.Body).Decode(&st)
}

// end stops everything; it may be called twice.
func (w *wave) end() {
	var all []*program
	for _, s := range w.slots {
		all = append(all, s.progs...)
	}
	stopAll(all)
	if w.stop != nil {
		w.stop()
	}
	w.wg.Wait()
	if w.feed != nil {
		w.feed.close()
	}
	if w.group != nil {
		w.group.Close()
	}
}
