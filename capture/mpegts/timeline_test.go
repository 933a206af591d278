package mpegts

import (
	"math"
	"testing"
)

func newTimeline(pid PID, ts []byte) *Timeline {
	t := NewTimeline(pid)
	for len(ts) > 0 { // in pieces, as a reader would
		n := min(len(ts), 1000*PacketSize)
		t.Add(ts[:n])
		ts = ts[n:]
	}
	return t
}

// TestTimelineCBR: every packet of a constant-rate stream is where its number
// says, over the wrap of the PCR and from pass to pass.
func TestTimelineCBR(t *testing.T) {
	const rate, n = 10e6, 40000
	x := newTimeline(0, testStream(rate, n))
	tick := packetBits / rate * PCRHz
	if pid, ok := x.PCRPID(); pid != 0x100 || !ok || x.Packets() != n {
		t.Errorf("clock %#x, %d packets", pid, x.Packets())
	}
	if d := float64(x.Ticks()) - n*tick; math.Abs(d) > 2 {
		t.Errorf("a pass lasts %d ticks, %.1f more than it should", x.Ticks(), d)
	}
	if math.Abs(x.Rate()-rate) > 10 || x.Duration() != TicksToDuration(x.Ticks()) {
		t.Errorf("rate %f, duration %v", x.Rate(), x.Duration())
	}
	last := int64(-1)
	for i := int64(0); i < 3*n; i++ {
		at := x.At(i)
		if d := float64(at) - float64(i)*tick; math.Abs(d) > 6 || at <= last {
			t.Fatalf("packet %d is due at %d, %.1f ticks off", i, at, d)
		}
		last = at
	}
	for _, i := range []int64{n - 1, 0, n / 2, 5, n/2 + 1, 3 * n} { // in any order
		if d := float64(x.At(i)) - float64(i)*tick; math.Abs(d) > 6 {
			t.Errorf("packet %d: %.1f ticks off", i, d)
		}
	}
}

// TestTimelineVBR: packets are spread evenly between PCRs.
func TestTimelineVBR(t *testing.T) {
	var ts []byte
	at := PCR(PCRModulus - PCRHz/10)
	sizes := []int{50, 10, 200, 30, 80}
	for _, n := range sizes {
		ts = append(ts, pcrPacket(0x100, at)...)
		for range n - 1 {
			ts = append(ts, dataPacket(0x101, 0)...)
		}
		at = at.Add(PCRHz / 25)
	}
	x := newTimeline(0x100, ts)
	i, start := int64(0), 0.0
	for k, n := range sizes {
		step := PCRHz / 25 / float64(n)
		if k == len(sizes)-1 {
			step = PCRHz / 25 / float64(sizes[k-1]) // no PCR behind: the rate before goes on
		}
		for j := range n {
			if d := float64(x.At(i)) - start - float64(j)*step; math.Abs(d) > 1 {
				t.Fatalf("packet %d is %.1f ticks off", i, d)
			}
			i++
		}
		start += PCRHz / 25
	}
}

// TestTimelineBreaks: a jump of the time base is bridged at the rate around it.
func TestTimelineBreaks(t *testing.T) {
	const rate = 10e6
	tick := packetBits / rate * PCRHz
	for _, c := range []struct {
		name string
		jump int64
		flag bool
	}{
		{"back", -PCRHz, false},
		{"forward 5 s", 5 * PCRHz, false},
		{"forward an hour", 3600 * PCRHz, false},
		{"forward 90 ms, announced", 90 * PCRHz / 1000, true},
		{"back 20 ms, announced", -20 * PCRHz / 1000, true},
		{"none, announced", 0, true},
	} {
		g := &genStream{pid: 0x100, rate: rate, pcrEvery: 200, base: PCRModulus - PCRHz}
		var ts []byte
		for i := range 20000 {
			if i == 10000 {
				g.base, g.flagNext = g.base.Add(c.jump), c.flag
			}
			ts, _ = g.next(ts)
		}
		x := newTimeline(0x100, ts)
		for i := int64(0); i < 20000; i++ {
			if d := float64(x.At(i)) - float64(i)*tick; math.Abs(d) > 200 {
				t.Fatalf("%s: packet %d is %.0f ticks off", c.name, i, d)
			}
		}
	}
}

func TestTimelineWithoutClock(t *testing.T) {
	for _, ts := range [][]byte{nil, NullPacket[:], pcrPacket(0x100, 5), append(pcrPacket(0x100, 5), pcrPacket(0x100, 5)...)} {
		x := newTimeline(0, ts)
		if x.Ticks() != 0 || x.At(3) != 0 || x.Rate() != 0 || x.Duration() != 0 {
			t.Errorf("%d packets: %d ticks, packet 3 at %d", x.Packets(), x.Ticks(), x.At(3))
		}
	}
	x := newTimeline(0x200, testStream(10e6, 1000))
	if _, ok := x.PCRPID(); ok || x.Ticks() != 0 {
		t.Error("a clock on a PID that is not there")
	}
}

// FuzzTimeline: whatever the PCRs say, instants do not go back and passes
// follow each other.
func FuzzTimeline(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 9, 3, 0, 0, 0, 40, 3, 0, 0, 0, 80})
	f.Fuzz(func(t *testing.T, b []byte) {
		x := NewTimeline(0)
		at := PCR(0)
		for ; len(b) >= 5; b = b[5:] {
			at = at.Add(int64(int32(uint32(b[1])<<24|uint32(b[2])<<16|uint32(b[3])<<8|uint32(b[4]))) >> (b[0] & 15))
			p := pcrPacket(PID(0x100)+PID(b[0]>>7), at)
			p.SetDiscontinuity(b[0]&0x40 != 0)
			x.Add(p)
			x.Add(AppendNull(nil, int(b[0]>>4&3)))
		}
		if x.Ticks() < 0 || x.Ticks() > 0 && x.Packets() == 0 {
			t.Fatalf("%d ticks of %d packets", x.Ticks(), x.Packets())
		}
		last := int64(0)
		for i := range 3 * x.Packets() {
			if at := x.At(i); at < last {
				t.Fatalf("packet %d: %d after %d", i, at, last)
			} else {
				last = at
			}
		}
		if x.Ticks() > 0 && x.At(5*x.Packets()) != 5*x.Ticks() {
			t.Fatal("passes do not follow each other")
		}
		_ = x.Duration()
	})
}
