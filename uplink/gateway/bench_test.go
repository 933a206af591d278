package gateway

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"quartet/fec"
	"quartet/tests/tsgen"
	"quartet/uplink/rtp"
	"quartet/uplink/srt"
)

const (
	benchRate = 10_000_000 // bit/s per contribution
	benchFor  = 10 * time.Second
	senderEnv = "QUARTET_GATEWAY_BENCH_SENDER" // address, key, contributions, paths
)

// benchParams is 10 % of parity on each of the paths.
func benchParams(paths int) fec.Params {
	return fec.Params{K: 64, R: 6, Streams: paths, MaxBlock: 70 * time.Millisecond}
}

// benchSender is the other process of BenchmarkContributions: many boxes. It
// ends with its standard input.
func benchSender(spec string) {
	var addr, key string
	var n, paths int
	if _, err := fmt.Sscanf(spec, "%s %s %d %d", &addr, &key, &n, &paths); err != nil {
		panic(err)
	}
	tk, err := rtp.DeriveTagKey([]byte(key))
	if err != nil {
		panic(err)
	}
	srt.Startup()
	for i := range n {
		var conns []*srt.Conn
		for j := range paths {
			c, err := srt.Dial(context.Background(), addr, srt.Options{
				StreamID: streamID(i, j), Passphrase: pass, KeyLength: 32, Latency: pathLatency,
			}.Sized(2*benchRate, 0))
			if err != nil {
				panic(err)
			}
			conns = append(conns, c)
		}
		go benchBox(tk, uint32(i+1), conns)
	}
	_, _ = os.Stdin.Read(make([]byte, 1))
	os.Exit(0)
}

func streamID(contribution, path int) string {
	return "c" + strconv.Itoa(contribution) + "p" + strconv.Itoa(path)
}

func benchBox(key rtp.TagKey, ssrc uint32, conns []*srt.Conn) {
	tagger := rtp.NewTagger(key)
	out := make([][][]byte, len(conns))
	msg := func(pkt []byte) []byte { return tagger.AppendTag(bytes.Clone(pkt), pkt) }
	enc, err := fec.NewEncoder(fec.EncoderConfig{
		Params: benchParams(len(conns)), SSRC: make([]uint32, len(conns)), Seq: make([]uint16, len(conns)),
		Emit: func(s int, _ time.Duration, pkt []byte) { out[s] = append(out[s], msg(pkt)) },
	})
	if err != nil {
		panic(err)
	}
	pk, err := rtp.NewPacketizer(rtp.PacketizerConfig{SSRC: ssrc, Emit: func(at time.Duration, pkt []byte) {
		m := msg(pkt)
		for i := range out {
			out[i] = append(out[i], m)
		}
		_ = enc.Add(at, pkt)
	}})
	if err != nil {
		panic(err)
	}
	stream := tsgen.New(benchRate, uint64(ssrc))
	start := clock()
	in := srt.NewBatch(8)
	var buf []byte
	for now := range time.Tick(5 * time.Millisecond) {
		_ = now
		now := clock()
		for start+stream.At(stream.Count()) <= now {
			at := start + stream.At(stream.Count())
			buf = stream.Next(buf[:0], 1)
			_ = pk.WriteTS(at, buf)
		}
		enc.Tick(now)
		for i, c := range conns {
			_, _ = c.Send(out[i])
			out[i] = out[i][:0]
			_, _ = c.Recv(in)
		}
	}
}

// BenchmarkContributions tells how many contributions of 10 Mbit/s one core
// carries: SRT with AES-256, tags, merge, parity at hand, two RTP
// destinations. The boxes run in a process of their own; the gateway's
// processor time is what counts.
func BenchmarkContributions(b *testing.B) {
	for _, c := range []struct {
		n, paths int
		tick     time.Duration
	}{{8, 2, 2 * time.Millisecond}, {8, 2, time.Millisecond}, {4, 4, 2 * time.Millisecond}} {
		b.Run(fmt.Sprintf("n=%d/paths=%d/tick=%v", c.n, c.paths, c.tick), func(b *testing.B) {
			for b.Loop() {
				benchContributions(b, c.n, c.paths, c.tick)
			}
		})
	}
}

func benchContributions(b *testing.B, n, paths int, tick time.Duration) {
	sink := newReceiver(b)
	key := strings.Repeat("k", 32)
	cfg := Config{Listeners: oneListener(20 * time.Millisecond), Tick: tick, Log: slog.New(slog.DiscardHandler)}
	for i := range n {
		k := Contribution{
			Name: strconv.Itoa(i), Keys: [][]byte{[]byte(key)}, Latency: 500 * time.Millisecond,
			// The sinks are ports where nothing listens, but for one: the
			// benchmark is of the gateway, not of who receives.
			Outputs: []OutputConfig{&RTPOutput{Name: "rtp", Destinations: []Destination{{Address: freePort(b)}, {Address: freePort(b)}}}},
		}
		if i == 0 {
			k.Outputs = append(k.Outputs, &RTPOutput{Name: "sink", Destinations: []Destination{{Address: sink.addr()}}})
		}
		for j := range paths {
			k.Inputs = append(k.Inputs, listening(streamID(i, j), pass))
		}
		cfg.Contributions = append(cfg.Contributions, k)
	}
	g, stop := startGateway(b, cfg)
	defer stop()
	sender := exec.Command(os.Args[0])
	sender.Env = append(os.Environ(), senderEnv+"="+fmt.Sprintf("%s %s %d %d", g.Addr(loopback), key, n, paths))
	sender.Stderr = os.Stderr
	in, err := sender.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := sender.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = in.Close(); _ = sender.Wait() }()
	count := func() (delivered, lost uint64, late float64) {
		for _, k := range g.Status(context.Background()).Contributions {
			delivered += k.Merged.Delivered
			lost += k.Merged.Lost
			late = max(late, k.TickLateMS)
		}
		return
	}
	eventually(b, 30*time.Second, "all stream", func() bool {
		for _, k := range g.Status(context.Background()).Contributions {
			if k.State != Streaming {
				return false
			}
		}
		return true
	})
	before, lost0, _ := count()
	cpu0, t0 := cpuTime(), time.Now()
	<-time.After(benchFor)
	wall, cpu := time.Since(t0), cpuTime()-cpu0
	after, lost1, late := count()
	packets := float64(after - before)
	carried := packets * 1316 * 8 / wall.Seconds() / benchRate // contributions really carried
	perContribution := cpu.Seconds() / wall.Seconds() / carried
	b.ReportMetric(1/perContribution, "contributions/core")
	b.ReportMetric(cpu.Seconds()*1e6/packets, "µs-cpu/packet")
	b.ReportMetric(cpu.Seconds()/(packets*1316/1e9), "cpu-s/GB-out")
	b.ReportMetric(cpu.Seconds()/(packets*1316*float64(paths)/1e9), "cpu-s/GB-in")
	b.ReportMetric(float64(lost1-lost0), "lost")
	b.ReportMetric(late, "tick-late-ms")
	b.ReportMetric(0, "ns/op")
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkTurn is the gateway's own part without libsrt and sockets: two
// paths, per source packet released.
func BenchmarkTurn(b *testing.B) { benchTurn(b, false) }

// BenchmarkMonitoredTurn is the same with a monitor of what is released.
func BenchmarkMonitoredTurn(b *testing.B) { benchTurn(b, true) }

func benchTurn(b *testing.B, monitor bool) {
	now := time.Second
	key := make([]byte, 32)
	c, err := newContribution(Contribution{
		Name: "v", Keys: [][]byte{key}, Latency: 100 * time.Millisecond, Monitor: monitor,
		Inputs:  []Input{{Name: "a", Offset: 40 * time.Millisecond}, {Name: "b", Offset: 40 * time.Millisecond}},
		Outputs: []OutputConfig{&discard{}},
	}, func() time.Duration { return now }, DefaultTick, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	tk, _ := rtp.DeriveTagKey(key)
	tagger := rtp.NewTagger(tk)
	var conns [2]*fakeConn
	for i := range conns {
		conns[i] = &fakeConn{now: &now, latency: 40 * time.Millisecond}
		c.addLink(c.paths[i], &link{conn: conns[i], gone: make(chan struct{})})
	}
	c.report.next = 1 << 62
	stream := tsgen.New(benchRate, 1)
	var msgs [2][]delayed
	enc, _ := fec.NewEncoder(fec.EncoderConfig{
		Params: benchParams(2), SSRC: make([]uint32, 2), Seq: make([]uint16, 2),
		Emit: func(s int, at time.Duration, pkt []byte) {
			msgs[s] = append(msgs[s], delayed{at, tagger.AppendTag(bytes.Clone(pkt), pkt)})
		},
	})
	pk, _ := rtp.NewPacketizer(rtp.PacketizerConfig{SSRC: 1, Emit: func(at time.Duration, pkt []byte) {
		m := tagger.AppendTag(bytes.Clone(pkt), pkt)
		for i := range msgs {
			msgs[i] = append(msgs[i], delayed{at, m})
		}
		_ = enc.Add(at, pkt)
	}})
	start := now
	var buf []byte
	more := func() {
		for i := range msgs {
			msgs[i] = msgs[i][:0]
		}
		for range 7 * 2000 {
			at := start + stream.At(stream.Count())
			buf = stream.Next(buf[:0], 1)
			_ = pk.WriteTS(at, buf)
			enc.Tick(at)
		}
		for i := range conns {
			conns[i].queue = msgs[i]
		}
	}
	b.ReportAllocs()
	out := c.outs[0].(*discard)
	for b.Loop() {
		n := out.packets
		for out.packets == n {
			if len(conns[0].queue) == 0 && len(conns[1].queue) == 0 {
				b.StopTimer()
				more()
				b.StartTimer()
			}
			now += DefaultTick
			c.turn(now)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(out.packets), "ns/packet")
}
