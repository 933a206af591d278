package tr101290

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"quartet/capture/mpegts"
)

// recording reads a broadcast capture beside the project; nil when it is not
// there.
func recording(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "streams", name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// play sends a recording by its own clock, several times in a row without a
// seam.
func play(t testing.TB, m *Monitor, ts []byte, passes int) {
	t.Helper()
	line := mpegts.NewTimeline(0)
	line.Add(ts)
	var r mpegts.Restamper
	n := int64(len(ts) / mpegts.PacketSize)
	var p [mpegts.PacketSize]byte
	for pass := range passes {
		for k := range n {
			copy(p[:], ts[k*mpegts.PacketSize:])
			r.Restamp(p[:])
			if err := m.WriteTS(mpegts.TicksToDuration(line.At(int64(pass)*n+k)), p[:]); err != nil {
				t.Fatal(err)
			}
		}
		r.Loop(int64(pass+1) * line.Ticks())
	}
}

// TestRecordings: real streams trip what is wrong with them and nothing else.
// What is in them was found out without this package, packet by packet.
func TestRecordings(t *testing.T) {
	for _, c := range []struct {
		name     string
		passes   int
		counts   tallies
		services map[uint16]string
		clocks   int
		rate     float64 // 0: not constant
		null     float64
	}{
		// One PID (0x243) is named by no table. The longest gaps are, of PAT
		// 0.33 s, PMT 0.48 s, PTS 0.28 s, PCR of a program 43 ms.
		{"dvbt-mpts-22mbps.ts", 1, tallies{UnreferencedPID: 1}, map[uint16]string{
			3401: "Rai 1", 3402: "Rai 2", 3403: "Rai 3 TGR Emilia Romagna", 3404: "Rai Radio1", 3405: "Rai Radio2", 3406: "Rai Radio3",
			3410: "Test HEVC main10", 3411: "Rai News 24"}, 9, 22.3942e6, 0.032},
		{"h264-1080i-eac3-dvbsub.ts", 1, nil, map[uint16]string{257: "France 2"}, 1, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			ts := recording(t, c.name)
			if ts == nil {
				t.Skip("the capture is not here")
			}
			m := newMonitor(t, everything)
			play(t, m, ts, c.passes)
			want(t, m, c.counts)
			s := m.Stats()
			for _, p := range s.Services {
				if c.services[p.Number] != p.Name || !p.HasPMT {
					t.Errorf("%+v", p)
				}
			}
			if len(s.Services) != len(c.services) || len(s.Clocks) != c.clocks || math.Abs(s.NullShare-c.null) > 0.01 {
				t.Errorf("%d services, %d clocks, null share %v", len(s.Services), len(s.Clocks), s.NullShare)
			}
			measured := 0
			for _, k := range s.Clocks {
				t.Logf("%+v", k)
				if k.Constant {
					measured++
					if math.Abs(k.RateBPS-c.rate) > c.rate*60e-6 || k.AccuracyMaxNS > 200 || k.AccuracyMinNS < -200 {
						t.Errorf("%+v", k)
					}
				}
			}
			if (measured > 0) != (c.rate > 0) {
				t.Errorf("%d clocks measured", measured)
			}
		})
	}
}

// TestRecordingsLooped: in a minute of each nothing is wrong but the accuracy of
// PCRs at the seams: a pass is as long as the first program's clock says, and
// those of others run up to 35 ppm faster.
func TestRecordingsLooped(t *testing.T) {
	for _, name := range []string{"dvbt-mpts-22mbps.ts", "h264-1080i-eac3-dvbsub.ts"} {
		t.Run(name, func(t *testing.T) {
			ts := recording(t, name)
			if ts == nil {
				t.Skip("the capture is not here")
			}
			m := newMonitor(t, Config{})
			play(t, m, ts, 45)
			consistent(t, m)
			for _, c := range m.Checks() {
				if c.Count > 0 && c.Check != PCRAccuracyError {
					t.Errorf("%+v", c)
				}
			}
		})
	}
}

// BenchmarkMonitor: a stream of many PIDs in datagrams of seven packets, from
// memory that the processor's caches do not hold.
func BenchmarkMonitor(b *testing.B) {
	g := newGen(b, Config{})
	g.rate = 50e6
	for i := range 8 {
		g.every("more", 2*ms, func() []mpegts.Packet { return many(mpegts.PID(0x500+i), 3) })
	}
	g.keep = true
	g.run(10 * time.Second)
	for _, c := range []struct {
		name string
		ts   []byte
		cfg  Config
	}{
		{"generated", g.raw, Config{}},
		{"generated-priority3", g.raw, everything},
		{"dvbt", recording(b, "dvbt-mpts-22mbps.ts"), Config{}},
		{"dvbt-priority3", recording(b, "dvbt-mpts-22mbps.ts"), everything},
	} {
		b.Run(c.name, func(b *testing.B) {
			if c.ts == nil {
				b.Skip("the capture is not here")
			}
			m := newMonitor(b, c.cfg)
			const chunk = 7 * mpegts.PacketSize
			ts := c.ts[:len(c.ts)/chunk*chunk]
			for len(ts) < 64<<20 {
				ts = append(ts, ts...)
			}
			// Before: all PIDs and tables are known.
			now, at := time.Duration(0), 0
			step := func() {
				now += 300 * time.Microsecond
				_ = m.WriteTS(now, ts[at:at+chunk])
				if at += chunk; at == len(ts) {
					at = 0
				}
			}
			for range len(c.ts) / chunk {
				step()
			}
			b.SetBytes(chunk)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				step()
			}
		})
	}
}
