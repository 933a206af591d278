package mpegts

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// capture is a stream to try everything on.
type capture struct {
	name     string
	ts       []byte
	pids     int
	programs int
	rate     float64
}

// captures returns the broadcast captures beside the project, and in their
// absence generated streams in their place.
func captures(t *testing.T) []capture {
	t.Helper()
	list := []capture{
		{"dvbt-mpts-22mbps.ts", nil, 41, 0, 22.39e6},
		{"h264-1080i-eac3-dvbsub.ts", nil, 0, 1, 0},
	}
	for i, c := range list {
		b, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "streams", c.name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			list[i] = capture{"generated instead of " + c.name, testStream(22.39e6, 20000), 5, 1, 22.39e6}
		case err != nil:
			t.Fatal(err)
		default:
			list[i].ts = b
		}
	}
	return list
}

// TestCaptures: real streams are found whole in any pieces, hold what is known
// of them, and loop without a seam.
func TestCaptures(t *testing.T) {
	for _, c := range captures(t) {
		t.Run(c.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 1))
			out := &collector{t: t}
			f := NewFramer(out)
			for in := c.ts; len(in) > 0; {
				n := min(1+r.IntN(3000), len(in))
				if err := f.Stream(0, in[:n]); err != nil {
					t.Fatal(err)
				}
				in = in[n:]
			}
			if s := f.Stats(); !bytes.Equal(out.ts, c.ts) || s.SyncLosses != 0 || s.SkippedBytes != 0 {
				t.Fatalf("%d of %d bytes found, %+v", len(out.ts), len(c.ts), s)
			}

			var k Continuity
			scan(&k, c.ts)
			ks := k.Stats()
			if ks.Errors != 0 {
				t.Errorf("%+v", ks)
			}
			if n := ks.PIDs; c.pids != 0 && n != c.pids && n+1 != c.pids { // with or without the null PID
				t.Errorf("%d PIDs, want %d", n, c.pids)
			}

			x := NewTables()
			x.Push(c.ts)
			programs := x.Programs()
			if s := x.Stats(); s.CRCErrors+s.Malformed+s.Refused != 0 || len(programs) == 0 {
				t.Errorf("%+v", s)
			}
			if c.programs != 0 && len(programs) != c.programs {
				t.Errorf("%d programs", len(programs))
			}
			for _, p := range programs {
				t.Logf("%+v", p)
			}

			tl := newTimeline(0, c.ts)
			pid, ok := tl.PCRPID()
			t.Logf("%d packets, %d PIDs, clock %#x, %v a pass, %.0f bit/s", tl.Packets(), ks.PIDs, pid, tl.Duration(), tl.Rate())
			if !ok || c.rate != 0 && (tl.Rate() < c.rate*0.999 || tl.Rate() > c.rate*1.001) {
				t.Errorf("rate %.0f", tl.Rate())
			}

			testLoop(t, c, tl)
		})
	}
}

// testLoop loops a capture, through a network with jitter, and paces it again.
func testLoop(t *testing.T, c capture, tl *Timeline) {
	const passes = 12
	var r Restamper
	all := looped(&r, c.ts, passes, tl.Ticks())
	var k Continuity
	scan(&k, all)
	if s := k.Stats(); s.Errors != 0 {
		t.Errorf("%d passes: %+v", passes, s)
	}
	last := map[PID]PCR{}
	for i := 0; i < len(all); i += PacketSize {
		p := Packet(all[i : i+PacketSize])
		if v, ok := p.PCR(); ok {
			if o, seen := last[p.PID()]; seen {
				if d := v.Diff(o); d <= 0 || d > PCRHz/10 {
					t.Errorf("packet %d: PCR of PID %#x moves by %d ticks", i/PacketSize, p.PID(), d)
				}
			}
			last[p.PID()] = v
		}
	}

	pid, _ := tl.PCRPID()
	s := newSim(t, PacerConfig{PCRPID: pid, Latency: 40 * time.Millisecond})
	delay := uniform(9, 20*time.Millisecond)
	n := int64(len(all) / PacketSize)
	var pcr []int
	for i := int64(0); i < n; i += 7 {
		k := min(7, n-i)
		var sent []time.Duration
		for j := range k {
			sent = append(sent, TicksToDuration(tl.At(i+j)))
			p := Packet(all[(i+j)*PacketSize : (i+j+1)*PacketSize])
			if _, ok := p.PCR(); ok && p.PID() == pid {
				pcr = append(pcr, int(i+j))
			}
		}
		at := sent[k-1]
		s.push(at+delay(at), all[i*PacketSize:(i+k)*PacketSize], sent)
	}
	s.drain()
	st := s.p.Stats()
	from := s.now / 2
	clock, _ := s.only(pcr).residual(from)
	whole, _ := s.residual(from)
	t.Logf("paced: PCRs within %v, all packets %v, longest hold %v, %+v", clock, whole, s.maxHeld, st)
	if clock > time.Millisecond || st.Jumps+st.Relocks+st.Dropped != 0 || s.maxHeld > 100*time.Millisecond {
		t.Errorf("paced: PCRs within %v, longest hold %v, %+v", clock, s.maxHeld, st)
	}
	if st.CBR && whole > time.Millisecond {
		t.Errorf("paced: packets within %v", whole)
	}
}
