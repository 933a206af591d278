package main

import (
	"bytes"
	"context"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"quartet/device/config"
	"quartet/tests/tsgen"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseOptions(t *testing.T) {
	o, err := parse(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if len(o.systems) != 13 || len(o.cells()) != 12 || o.seeds != 10 || !o.parts["ramp"] {
		t.Errorf("%d systems, %d cells, %d seeds: want 13, 12 and 10", len(o.systems), len(o.cells()), o.seeds)
	}
	o, err = parse([]string{"--quick", "--seeds", "7", "--systems", "srt,quartet-1,srt-algo0"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if o.seeds != 7 || len(o.rtts) != 1 || o.pairs != 2 {
		t.Errorf("%d seeds, %d round trips, %d pairs: --quick must leave what is given", o.seeds, len(o.rtts), o.pairs)
	}
	// A family and one of its systems: none comes twice.
	if len(o.systems) != 5 {
		t.Errorf("%v chosen, want five", o.systems)
	}
	for _, bad := range []string{
		"--seeds 0", "--rate 0", "--links loss7", "--systems x", "--rtt 5,x", "--rtt 2000", "--parts loss,all", "--latency 10", "rest", "--ramp 0", "--streams 3",
	} {
		if _, err := parse(strings.Fields(bad), io.Discard); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	var help bytes.Buffer
	if _, err := parse([]string{"--help"}, &help); err == nil || !strings.Contains(help.String(), "--quick") && !strings.Contains(help.String(), "-quick") {
		t.Errorf("--help says %q", help.String())
	}
}

func TestWavesHoldEverySystemOnce(t *testing.T) {
	o, _ := parse(nil, io.Discard)
	for _, streams := range []int{4, 7, 13, 100} {
		o.streams = streams
		seen := map[string]int{}
		for _, w := range o.waves() {
			used := 0
			for _, s := range w {
				seen[s.ID]++
				used += s.Paths
			}
			if used > streams || used == 0 {
				t.Errorf("a run of %d path streams, at most %d are allowed", used, streams)
			}
		}
		for _, s := range o.systems {
			if seen[s.ID] != 1 {
				t.Errorf("%d streams: %s runs %d times", streams, s.ID, seen[s.ID])
			}
		}
	}
}

func TestCellsAreValidImpairments(t *testing.T) {
	o, _ := parse(nil, io.Discard)
	for _, c := range o.cells() {
		i := c.impairment(o.rateBPS)
		if err := i.Validate(); err != nil {
			t.Errorf("%s: %v", c.id(), err)
		}
		if got := 2 * i.DelayMS; got != float64(c.RTT.Milliseconds()) {
			t.Errorf("%s: delays make %v ms", c.id(), got)
		}
		if b := i.Burst; b.Loss > 0 {
			near(t, "mean burst, ms", b.MeanMS, 26.32, 0.01)
		} else if i.Loss == 0 {
			t.Errorf("%s loses nothing", c.id())
		}
	}
}

func TestNumbersOfTheStream(t *testing.T) {
	s := tsgen.New(10_000_000, 3)
	numbered := 0
	for n := range uint64(5000) {
		k, ok := numberOf(s.Next(nil, 1))
		if ok && k != n {
			t.Fatalf("packet %d is numbered %d", n, k)
		}
		if ok {
			numbered++
		}
	}
	if numbered < 4900 || numbered == 5000 {
		t.Errorf("%d of 5000 packets are numbered: all but the tables should be", numbered)
	}
	if _, ok := numberOf(make([]byte, 188)); ok {
		t.Error("an empty packet has a number")
	}
	long := append([]byte{0x47, 0x01, 0x01, 0x30, 183}, make([]byte, 183)...)
	if _, ok := numberOf(long); ok {
		t.Error("a packet full of adaptation field has a number")
	}
}

// A sink must count what is missing, twice, out of order and strange.
func TestSinkCounts(t *testing.T) {
	f, err := newFeed(10_000_000, 1, time.Second, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.run(t.Context())
	if n := f.count.Load(); n != f.limit || n < 900 {
		t.Fatalf("%d datagrams fed in a second, want %d", n, f.limit)
	}
	k := &sink{feed: f, got: newBits(f.limit * tsPerDatagram)}
	again := tsgen.New(10_000_000, 1)
	var held []byte
	for d := range f.limit {
		b := again.Next(nil, tsPerDatagram)
		switch {
		case d == 100, d == 101, d == 300: // lost
		case d == 200:
			held = b
		case d == 205:
			k.take(f.sentAt[d].Load()+30e6, b, 0, f.limit)
			k.take(f.sentAt[d].Load()+30e6, held, 0, f.limit)
			k.take(f.sentAt[d].Load()+30e6, b, 0, f.limit)
		default:
			k.take(f.sentAt[d].Load()+30e6, b, 0, f.limit)
		}
	}
	strange := tsgen.New(10_000_000, 1)
	for range 20 * f.limit {
		strange.Next(held[:0], 1)
	}
	k.take(0, strange.Next(nil, 7), 0, f.limit)
	m := k.missing(10, f.limit-10)
	if m.Lost < 18 || m.Lost > 21 || m.Runs != 2 || m.Max < 12 || m.Max > 14 {
		t.Errorf("%+v: want three datagrams lost in two gaps", m)
	}
	if k.again < 6 || k.swapped < 6 || k.swapped > 7 || k.foreign < 5 {
		t.Errorf("%d twice, %d out of order, %d strange: want about seven each", k.again, k.swapped, k.foreign)
	}
	near(t, "delay", k.delay.quantileMS(0.9), 30, 0.1)
}

// The sockets' way: what is fed arrives at a sink, stamped by the kernel.
func TestFeedReachesSinks(t *testing.T) {
	f, err := newFeed(10_000_000, 1, 500*time.Millisecond, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSinks(2, f)
	if err != nil {
		t.Fatal(err)
	}
	to, err := newFeed(10_000_000, 1, 500*time.Millisecond, []netip.AddrPort{s.all[0].addr, s.all[1].addr})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range s.all {
		k.feed = to
	}
	f.close()
	s.from.Store(0)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { s.run(ctx); close(done) }()
	to.run(ctx)
	if !eventually(ctx, 5*time.Second, func() bool {
		return s.all[0].count.Load() == to.limit && s.all[1].count.Load() == to.limit
	}) {
		t.Errorf("%d and %d datagrams of %d arrived", s.all[0].count.Load(), s.all[1].count.Load(), to.limit)
	}
	if n := s.drops(); n != 0 {
		t.Errorf("%d datagrams dropped by the kernel", n)
	}
	stop()
	<-done
	for _, k := range s.all {
		if m := k.missing(0, to.limit); m.Lost != 0 || m.Sent == 0 {
			t.Errorf("%+v: want nothing lost", m)
		}
		if p := k.delay.quantileMS(0.5); p > 50 {
			t.Errorf("median delay over the loopback %v ms", p)
		}
	}
}

func TestCommandsOfPeers(t *testing.T) {
	o, _ := parse(nil, io.Discard)
	s := slot{sys: must(chosen("rist-2"))[0]}
	free := must(ports(6))
	s.in, s.out, s.near, s.far = free[0], free[1], free[2:4], free[4:6]
	receive, send, err := s.commands(o, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range s.far {
		if !strings.Contains(strings.Join(receive, " "), a.String()+"?buffer=250") {
			t.Errorf("the receiver does not listen on %v: %v", a, receive)
		}
	}
	for _, a := range s.near {
		if !strings.Contains(strings.Join(send, " "), a.String()+"?buffer=250&weight=0") {
			t.Errorf("the sender does not send a copy to %v: %v", a, send)
		}
	}
	s.sys = must(chosen("srt-algo0"))[0]
	receive, send, _ = s.commands(o, 0)
	if strings.Contains(strings.Join(receive, " "), "retransmitalgo") || !strings.Contains(strings.Join(send, " "), "latency=250&retransmitalgo=0") {
		t.Errorf("receiver %v, sender %v: the algorithm is the sender's", receive, send)
	}
}

// Quartet's documents must pass the programs' own checks.
func TestQuartetDocuments(t *testing.T) {
	o, _ := parse(nil, io.Discard)
	o.bin = "bin"
	for _, sys := range must(chosen("quartet,quartet-2-wide,quartet-4-wide")) {
		s := slot{sys: sys, dir: t.TempDir()}
		free := must(ports(7))
		s.in, s.out, s.http, s.far, s.near = free[0], free[1], free[2], free[3:4], free[3:7]
		receive, send, err := s.commands(o, 60*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		checkDocuments(t, send[3], receive[3])
	}
}

func checkDocuments(t *testing.T, box, gateway string) {
	t.Helper()
	b, err := os.ReadFile(box)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := config.ParseBox(b); err != nil {
		t.Errorf("%s: %v", box, err)
	}
	if b, err = os.ReadFile(gateway); err != nil {
		t.Fatal(err)
	}
	if _, _, err := config.ParseGateway(b); err != nil {
		t.Errorf("%s: %v", gateway, err)
	}
}

func TestParseBench(t *testing.T) {
	const text = "goos: linux\nBenchmarkPacketPath-2   \t  512345\t      2345 ns/op\t 561.23 MB/s\t       0 B/op\t       0 allocs/op\n" +
		"BenchmarkPacketPath-2 100 2545 ns/op 1 MB/s 8 B/op 1 allocs/op\nBenchmarkPacketPathOther-2 1 9 ns/op 0 B/op 0 allocs/op\nPASS\n"
	r, err := parseBench(text)
	if err != nil || !slices.Equal(r.NSPerPacket, []float64{2345, 2545}) || r.Median != 2445 || r.Allocs != 1 || r.Bytes != 8 {
		t.Errorf("%+v, %v", r, err)
	}
	for _, bad := range []string{"", "PASS\n", "BenchmarkPacketPath-2 100 x ns/op 1 B/op\n"} {
		if _, err := parseBench(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestParseLibraries(t *testing.T) {
	for text, want := range map[string]string{
		"\tlibsrt-gnutls.so.1.5 => /lib/x (0x1)\n\tlibgnutls.so.30 => /lib/y\n\tlibc.so.6 => /z\n": "libsrt-gnutls.so.1.5, libgnutls.so.30",
		"\tlibgnutls.so.30 => /lib/y\n": "libgnutls.so.30 (libsrt is linked in statically)",
		"\tlibrist.so.4 => /lib/y\n":    "librist.so.4",
		"not a dynamic executable":      "none of libsrt, librist, GnuTLS, OpenSSL",
	} {
		if got := parseLibraries(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func waveOf(cell string, seed int, lost map[string]uint64, spoilt ...string) waveRun {
	r := waveRun{Cell: cell, Seed: seed}
	r.Spoilt = spoilt
	for _, id := range []string{"quartet-1", "quartet-2", "srt-default"} {
		r.Systems = append(r.Systems, systemRun{System: id, missing: missing{Sent: 70000, Lost: lost[id], Runs: lost[id] / 7, Max: 7}, PayloadBytes: 1000, WireBytes: 2100})
	}
	return r
}

func lossOptions() options {
	o, _ := parse([]string{"--systems", "quartet-1,quartet-2,srt-default", "--rtt", "60", "--links", "loss5", "--seeds", "4"}, io.Discard)
	return o
}

func TestSumAndGoals(t *testing.T) {
	o := lossOptions()
	var runs []waveRun
	for seed := 1; seed <= 4; seed++ {
		runs = append(runs, waveOf("rtt60-loss5", seed, map[string]uint64{"srt-default": 700 + 70*uint64(seed), "quartet-1": 1400}))
	}
	runs = append(runs, waveOf("rtt60-loss5", 1, map[string]uint64{"quartet-2": 70000}, "the machine stood still"))
	res := new(lossResult)
	res.sum(o, runs)
	if res.Runs != 4 || res.Spoilt != 1 || len(res.Missing) != 0 {
		t.Errorf("%d runs count, %d spoilt, missing %v", res.Runs, res.Spoilt, res.Missing)
	}
	q2 := res.Cells[0].find("quartet-2")
	if q2.Lost != 0 || q2.Total != 40000 || q2.Residual.High != 3.0/40000 || q2.Seeds != 4 {
		t.Errorf("%+v: a spoilt run counted?", q2)
	}
	near(t, "wire", q2.Wire, 2.1, 1e-9)
	near(t, "per path", q2.PerPath, 0.05, 1e-9)
	verdicts := map[string]string{}
	for _, g := range lossGoals(o, res) {
		verdicts[g.Where+" "+g.Goal] = g.Verdict
	}
	for where, want := range map[string]string{
		"rtt60-loss5, quartet-2 against srt-default 10 × less residual loss than the best peer of all": met,
		"rtt60-loss5, quartet-1 against srt-default one path never worse than plain SRT":               missed,
	} {
		if verdicts[where] != want {
			t.Errorf("%s: %q, want %q; all: %v", where, verdicts[where], want, verdicts)
		}
	}
}

func TestRunsOfUnequalDelayAreSpoilt(t *testing.T) {
	r := waveOf("rtt60-loss5", 1, nil)
	for i := range r.Systems {
		r.Systems[i].DelayP50MS = 285
	}
	if r.judgeDelays(280*time.Millisecond, 20*time.Millisecond); len(r.Spoilt) != 0 {
		t.Errorf("5 ms more than configured: %v", r.Spoilt)
	}
	r.Systems[1].DelayP50MS = 305
	if r.judgeDelays(280*time.Millisecond, 20*time.Millisecond); len(r.Spoilt) != 1 {
		t.Errorf("25 ms more than configured: %v", r.Spoilt)
	}
}

func TestTenfold(t *testing.T) {
	result := func(lost, total float64) *systemResult {
		return &systemResult{System: "x", Seeds: 1, Lost: lost, Total: total, Residual: estimate([]tally{{lost, total}})}
	}
	for _, c := range []struct {
		q, p *systemResult
		want string
	}{
		{result(0, 1e5), result(100, 1e5), met},
		{result(0, 1e5), result(1, 1e5), open},
		{result(20, 1e5), result(100, 1e5), missed},
		{result(0, 1e5), result(0, 1e5), none},
	} {
		if g := tenfold("cell", "peer", c.q, c.p); g.Verdict != c.want {
			t.Errorf("%v against %v: %s, want %s", c.q.Residual, c.p.Residual, g.Verdict, c.want)
		}
	}
}

func TestRunsAreKeptAndResumed(t *testing.T) {
	o := lossOptions()
	o.out = t.TempDir()
	l, err := openRuns(o)
	if err != nil {
		t.Fatal(err)
	}
	l.add(waveOf("rtt60-loss5", 1, nil))
	l.add(waveOf("rtt60-loss5", 2, nil, "spoilt"))
	l.file.WriteString(`{"cell":"torn`)
	l.file.Close()
	o.resume = true
	if l, err = openRuns(o); err != nil {
		t.Fatal(err)
	}
	l.file.Close()
	if !l.has("rtt60-loss5", 1, 0) || l.has("rtt60-loss5", 2, 0) || l.has("rtt60-loss5", 3, 0) || len(l.runs) != 2 {
		t.Errorf("%d runs resumed", len(l.runs))
	}
	o.overhead++
	if _, err := openRuns(o); err == nil {
		t.Error("runs of other settings were taken")
	}
}

func TestReportIsWritten(t *testing.T) {
	o := lossOptions()
	o.out, o.bin = t.TempDir(), "none"
	r := &report{Started: time.Now(), Settings: settingsOf(o), Machine: lookAtMachine(o, 0)}
	r.Loss = new(lossResult)
	r.Loss.sum(o, []waveRun{waveOf("rtt60-loss5", 1, map[string]uint64{"srt-default": 70})})
	r.Virtual = &virtualResult{Packets: 1, Cells: []virtualCell{{Cell: "rtt60-loss5", Link: "loss5", Systems: []virtualSystem{{Title: "x", Residual: Estimate{High: 1e-3}}}}}}
	r.Cost = &costResult{Runs: []costRun{{Kind: "srt", GB: 0.1, SendCPU: 10, RecvCPU: 10}, {Kind: "quartet", GB: 0.1, SendCPU: 12, RecvCPU: 20, SendMem: memory{PeakMB: 30}}}}
	r.Cost.sum()
	r.Ramp = &rampResult{Most: 2, Steps: []rampStep{{Contributions: 2, OK: true}}}
	r.Packet = &packetResult{NSPerPacket: []float64{2000}, Median: 2000}
	if err := r.write(o); err != nil {
		t.Fatal(err)
	}
	md, _ := os.ReadFile(filepath.Join(o.out, "report.md"))
	for _, want := range []string{"RTT 60 ms, 5 % independent", "srt-live-transmit, default", "1.20 ×", "2000 ns", "Extrapolated", "in real time", "missed"} {
		if !strings.Contains(string(md), want) {
			t.Errorf("the report does not say %q:\n%s", want, md)
		}
	}
	if js, err := os.ReadFile(filepath.Join(o.out, "report.json")); err != nil || !bytes.Contains(js, []byte(`"residual"`)) {
		t.Errorf("report.json: %v", err)
	}
}

func TestCostPairs(t *testing.T) {
	spoilt := costRun{Kind: "srt", Pair: 0, SendCPU: 100, RecvCPU: 100}
	spoilt.Spoilt = []string{"stall"}
	res := &costResult{Runs: []costRun{
		spoilt, {Kind: "srt", Pair: 0, SendCPU: 10, RecvCPU: 10}, {Kind: "quartet", Pair: 0, SendCPU: 11, RecvCPU: 30},
		{Kind: "quartet", Pair: 1, SendCPU: 18, RecvCPU: 20}, {Kind: "srt", Pair: 1, SendCPU: 20, RecvCPU: 10},
	}}
	res.sum()
	q := res.Sides[1]
	if q.Runs != 2 || q.SendRatio != (Estimate{1.0, 0.9, 1.1}) || q.RecvRatio.Value != 2.5 {
		t.Errorf("%+v: want ratios 1.1 and 0.9 of pairs, whatever was spoilt", q)
	}
	if s := res.Sides[0]; s.Runs != 2 || s.SendCPU.Value != 15 {
		t.Errorf("%+v: want the repeated run in the spoilt one's place", s)
	}
}

func TestStepOfRampConcludes(t *testing.T) {
	ok := rampStep{BeyondP99: 4}
	late, lossy := rampStep{BeyondP99: 6}, rampStep{Lost: 7}
	for _, s := range []*rampStep{&ok, &late, &lossy} {
		s.conclude()
	}
	if !ok.OK || late.OK || lossy.OK {
		t.Errorf("%q, %q, %q", ok.Why, late.Why, lossy.Why)
	}
}
