package peers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"quartet/capture/mpegts"
	"quartet/capture/tsfile"
	"quartet/tests/chain"
)

// passes is how often a capture is played.
const passes = 3

// Real captures, played in a loop at their own rate, pass through box and
// gateway unchanged: the first pass byte for byte, the others but for the clocks,
// which all go on by the same step, and the continuity counters, which go on
// without one.
func TestCapturesPassUnchanged(t *testing.T) {
	t.Parallel()
	streams := filepath.Join("..", "..", "..", "shared", "streams")
	for _, name := range []string{"h264-1080i-eac3-dvbsub.ts", "dvbt-mpts-22mbps.ts"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(streams, name)
			file, err := os.ReadFile(path)
			if err != nil {
				t.Logf("%s is not here; a generated stream stands for it", name)
				path, file = encoded(t)
			}
			timed(t, func(t testing.TB) { passUnchanged(t, path, file) })
		})
	}
}

func passUnchanged(t testing.TB, path string, file []byte) {
	rate := pcrRate(t, file)
	once := time.Duration(float64(len(file)*8) / rate * float64(time.Second))
	c := chain.New(t, chain.Config{
		Paths: 2, OneGate: true, RateBPS: int64(rate * 1.05), Latency: roomy, Plan: plan(rate), RTT: 20 * ms, Seed: 8,
	})
	out := toFile(t, c.Gateways[0])
	ready(c)

	src, err := tsfile.New(tsfile.Config{Path: path, Loop: true, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	// What enters the box, and when each pass began.
	var begun []time.Duration
	var ends time.Duration
	in := sha256.New()
	entered, want := 0, passes*len(file)
	full := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		err := src.Run(ctx, mpegts.WriterFunc(func(at time.Duration, ts []byte) error {
			if entered >= want {
				return nil
			}
			for b := ts; len(b) > 0; b = b[packet:] {
				if entered%len(file) == 0 {
					begun = append(begun, at)
				}
				if entered += packet; entered == want {
					ts, ends = ts[:len(ts)-len(b)+packet], at
					break
				}
			}
			in.Write(ts)
			err := c.Sender.WriteTS(at, ts)
			if entered == want {
				close(full)
			}
			return err
		}))
		if err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	select {
	case <-full:
	case <-time.After(passes*once + 20*time.Second):
		t.Fatal("the source is too slow")
	}
	cancel()
	wg.Wait()
	defer func() {
		if t.Failed() {
			st := c.Gateways[0].Status()
			t.Logf("%d bytes of %d in the file; gateway: %+v %+v", size(out), want, st.Merged, st.Outputs)
			for _, p := range c.Sender.Paths() {
				t.Logf("path: %+v", p.Stats())
			}
		}
	}()
	until(t, 5*time.Second, "all of it is in the file", func() bool { return size(out) >= want })
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}

	// Through the chain unchanged.
	if sum := sha256.Sum256(got); !bytes.Equal(sum[:], in.Sum(nil)) {
		t.Errorf("%d of %d bytes came out, or not the same", len(got), want)
	}
	// At its own rate.
	stalls := src.Stats().Stalls
	took := ends - begun[0]
	if off := float64(took-passes*once) / float64(passes*once); off < -0.005 || off > 0.005 && stalls == 0 {
		t.Errorf("%d passes of %v took %v (%d stalls)", passes, once, took, stalls)
	}
	// The source changes only what it says.
	if !bytes.Equal(got[:len(file)], file) {
		t.Errorf("the first pass differs from the file from byte %d", same(got, file))
	}
	var step int64
	for n := 1; n < passes && len(got) >= want; n++ {
		moved := compare(t, file, got[n*len(file):(n+1)*len(file)])
		if n == 1 {
			step = moved
		}
		// 300 ticks of 27 MHz are one of PTS.
		if d := moved - int64(n)*step; d < -300 || d > 300 {
			t.Errorf("pass %d: clocks moved by %d ticks, want %d times %d", n, moved, n, step)
		}
	}
	if d := mpegts.TicksToDuration(step) - once; d < -5*ms || d > 5*ms {
		t.Errorf("the clocks move by %v each pass, which lasts %v", mpegts.TicksToDuration(step), once)
	}
	if f, g := breaks(file), breaks(got); g != passes*f {
		t.Errorf("%d continuity errors in %d passes, %d in the file", g, passes, f)
	}
	t.Logf("%.3f Mbit/s, %d passes of %v in %v, clocks +%v each", rate/1e6, passes, once.Round(ms), took.Round(ms), mpegts.TicksToDuration(step))
}

func breaks(ts []byte) uint64 {
	var cc mpegts.Continuity
	for ; len(ts) > 0; ts = ts[packet:] {
		cc.Check(mpegts.Packet(ts[:packet]))
	}
	return cc.Stats().Errors
}

// fields gives where a packet has its clocks: PCR and OPCR, PTS and DTS.
func fields(p []byte) (pcr, pts [][]byte) {
	payload := p[4:]
	if p[3]&0x20 != 0 {
		flags, b := p[5], p[6:]
		if p[4] == 0 {
			flags = 0
		}
		for _, bit := range []byte{0x10, 0x08} {
			if flags&bit != 0 {
				pcr, b = append(pcr, b[:6]), b[6:]
			}
		}
		payload = p[min(5+int(p[4]), packet):]
	}
	if p[1]&0x40 == 0 || p[3]&0xD0 != 0x10 || len(payload) < 19 || string(payload[:3]) != "\x00\x00\x01" || payload[6]&0xC0 != 0x80 {
		return pcr, nil // no PES header, scrambled, or cut
	}
	if payload[7]&0x80 != 0 {
		pts = append(pts, payload[9:14])
	}
	if payload[7]&0xC0 == 0xC0 {
		pts = append(pts, payload[14:19])
	}
	return pcr, pts
}

func pcrOf(b []byte) int64 {
	v := binary.BigEndian.Uint64(append([]byte{0, 0}, b[:6]...))
	return int64(v>>15)*300 + int64(v&0x1FF)
}

func ptsOf(b []byte) int64 {
	return int64(b[0]>>1&7)<<30 | int64(binary.BigEndian.Uint16(b[1:])>>1)<<15 | int64(binary.BigEndian.Uint16(b[3:])>>1)
}

// compare demands that a later pass is the file but for clocks and counters,
// and that all clocks have moved by the same time, which it returns in ticks of
// 27 MHz.
func compare(t testing.TB, file, pass []byte) (moved int64) {
	t.Helper()
	const wrap = 300 << 33
	known, differ, uneven := false, 0, 0
	for ; len(file) > 0; file, pass = file[packet:], pass[packet:] {
		a, b := bytes.Clone(file[:packet]), bytes.Clone(pass[:packet])
		apcr, apts := fields(a)
		bpcr, bpts := fields(b)
		if len(apcr) != len(bpcr) || len(apts) != len(bpts) {
			differ++
			continue
		}
		for i := range apcr {
			d := (pcrOf(bpcr[i]) - pcrOf(apcr[i]) + wrap) % wrap
			if !known {
				known, moved = true, d
			}
			if d != moved {
				uneven++
			}
			clear(apcr[i])
			clear(bpcr[i])
		}
		for i := range apts {
			d := (300*(ptsOf(bpts[i])-ptsOf(apts[i])) + wrap) % wrap
			if known && (d-moved > 150 || d-moved < -150) {
				uneven++
			}
			clear(apts[i])
			clear(bpts[i])
		}
		a[3], b[3] = a[3]&0xF0, b[3]&0xF0
		if !bytes.Equal(a, b) {
			differ++
		}
	}
	if differ+uneven > 0 || !known {
		t.Errorf("%d packets differ by more than clocks and counter, %d clocks moved otherwise than by %d ticks", differ, uneven, moved)
	}
	return moved
}

// pcrRate is the rate of a stream by the PCRs of the PID that has the first.
func pcrRate(t testing.TB, ts []byte) float64 {
	t.Helper()
	var first, last int64
	pid, from, to := -1, 0, 0
	for at := 0; at < len(ts); at += packet {
		p := ts[at : at+packet]
		pcr, _ := fields(p)
		if id := int(binary.BigEndian.Uint16(p[1:]) & 0x1FFF); len(pcr) > 0 && (pid < 0 || id == pid) && p[5]&0x10 != 0 {
			if v := pcrOf(pcr[0]); pid < 0 {
				pid, first, from = id, v, at
			} else {
				last, to = v, at
			}
		}
	}
	if to == 0 || last <= first {
		t.Fatal("no PCR, or it wraps")
	}
	return float64(to-from) * 8 / (float64(last-first) / 27e6)
}
