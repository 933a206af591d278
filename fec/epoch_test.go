package fec

import (
	"encoding/binary"
	"testing"
	"time"
)

// feed pushes packets of streams of one packet a millisecond and ticks.
type feed struct {
	*rig
	t   testing.TB
	now time.Duration
}

func newFeed(t testing.TB, latency time.Duration, paths int) *feed {
	return &feed{rig: newRig(t, latency, paths), t: t, now: time.Second}
}

// run sends, for so many milliseconds, the next packet of each stream.
func (f *feed) run(ms int, ssrcs ...uint32) {
	for range ms {
		for _, ssrc := range ssrcs {
			f.Push(0, f.now, f.packet(ssrc))
		}
		f.Tick(f.now)
		f.now += time.Millisecond
	}
}

// packet returns what a stream sends now.
func (f *feed) packet(ssrc uint32) []byte {
	return streamPacket(ssrc, int(f.now/time.Millisecond)+int(ssrc)*1000)
}

// ssrcs returns the delivered SSRCs in order, each once per stretch, and fails
// on a disorder within.
func (f *feed) ssrcs() (list []uint32) {
	var last *Delivery
	for i := range f.got {
		d := &f.got[i]
		switch {
		case last == nil || d.SSRC != last.SSRC:
			if !d.Epoch {
				f.t.Errorf("SSRC %d begins without Epoch", d.SSRC)
			}
			list = append(list, d.SSRC)
		case d.Epoch || d.Seq != last.Seq+last.Count:
			f.t.Errorf("SSRC %d: packet %d after %d, Epoch %v", d.SSRC, d.Seq, last.Seq, d.Epoch)
		}
		if last != nil && d.Release < last.Release {
			f.t.Errorf("release %v after %v", d.Release, last.Release)
		}
		last = d
	}
	return list
}

func equalSSRCs(a []uint32, b ...uint32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// The new SSRC waits for its own release while the old one drains, and loses
// nothing.
func TestEpochDrainsTheOld(t *testing.T) {
	f := newFeed(t, 200*time.Millisecond, 1)
	f.run(500, 1)
	f.run(500, 2)
	f.run(300)
	if got := f.ssrcs(); !equalSSRCs(got, 1, 2) {
		t.Errorf("delivered SSRCs %v", got)
	}
	if s := f.Stats(); s.Delivered != 1000 || s.Lost+s.Cut+s.RefusedEpoch != 0 || s.Epochs != 2 || s.SSRC != 2 {
		t.Errorf("%+v", s)
	}
}

// A stray packet or two of another SSRC change nothing, nor do stray repairs.
func TestStrayPacketDoesNotSwitch(t *testing.T) {
	f := newFeed(t, 100*time.Millisecond, 1)
	f.run(300, 1)
	_, repair := codedStream(t, 3, 1, 4, 2)
	for i := range 3 {
		p := f.packet(2)
		binary.BigEndian.PutUint16(p[2:], uint16(i))
		f.Push(0, f.now, p)
		f.Push(0, f.now, p) // the same again is no further evidence
		f.Push(0, f.now, repair[i%2])
		f.run(300, 1)
	}
	f.run(300)
	if got := f.ssrcs(); !equalSSRCs(got, 1) {
		t.Errorf("delivered SSRCs %v", got)
	}
	if s := f.Stats(); s.Delivered != 1200 || s.Lost != 0 || s.Epochs != 1 {
		t.Errorf("%+v", s)
	}
}

// Stray packets do not keep a real new stream from being heard.
func TestStrayDoesNotBlockTheNext(t *testing.T) {
	f := newFeed(t, 300*time.Millisecond, 1)
	f.run(500, 1)
	f.Push(0, f.now, f.packet(9))
	f.run(1000, 2)
	f.run(400)
	if got := f.ssrcs(); !equalSSRCs(got, 1, 2) {
		t.Errorf("delivered SSRCs %v", got)
	}
	// The stray one keeps its place for as long as it might go on.
	if s := f.Stats(); s.Delivered < 1500-uint64(abandonAfter/time.Millisecond)-2 || s.Lost != 0 {
		t.Errorf("%+v", s)
	}
}

// Repair packets that name the new SSRC are evidence too.
func TestRepairsConfirmACandidate(t *testing.T) {
	f := newFeed(t, 50*time.Millisecond, 1)
	f.run(200, 1)
	first := int(f.now/time.Millisecond) + 2000
	source, repair := codedStream(t, 2, first, 4, 3)
	f.Push(0, f.now, source[0])
	for _, r := range repair {
		f.Push(0, f.now, r)
	}
	f.run(200)
	if got := f.ssrcs(); !equalSSRCs(got, 1, 2) {
		t.Errorf("delivered SSRCs %v", got)
	}
	if s := f.Stats(); s.Delivered != 204 || s.RecoveredParity != 3 {
		t.Errorf("%+v", s)
	}
}

// The old SSRC is refused for 60 s after it was replaced, then it may return.
func TestOldEpochIsRefusedFor60s(t *testing.T) {
	f := newFeed(t, 50*time.Millisecond, 1)
	f.run(200, 1)
	f.run(1000, 2)
	refusedFrom := f.now
	f.run(1000, 1, 2)
	if s := f.Stats(); s.RefusedEpoch != 1000 {
		t.Errorf("%d packets of the old SSRC refused, want 1000", s.RefusedEpoch)
	}
	for f.now < refusedFrom+57*time.Second {
		f.run(1000, 1, 2)
	}
	if got := f.ssrcs(); !equalSSRCs(got, 1, 2) {
		t.Errorf("delivered SSRCs %v", got)
	}
	f.run(5000, 1)
	f.run(100)
	if got := f.ssrcs(); !equalSSRCs(got, 1, 2, 1) {
		t.Errorf("delivered SSRCs %v", got)
	}
}

// Two senders at once, each with its own SSRC, and senders that change theirs
// all the time: the output switches once per SSRC at most, in order, memory
// stays bounded.
func TestFlappingEpochsAreBounded(t *testing.T) {
	f := newFeed(t, 50*time.Millisecond, 1)
	f.run(500, 1)
	f.run(5000, 1, 2)
	f.run(100)
	if got := f.ssrcs(); !equalSSRCs(got, 1, 2) {
		t.Errorf("two senders: delivered SSRCs %v", got)
	}
	if s := f.Stats(); s.Delivered < 5400 || s.Lost > 0 {
		t.Errorf("two senders: %+v", s)
	}

	f = newFeed(t, 100*time.Millisecond, 1)
	f.run(500, 1)
	for i := range uint32(200) {
		f.run(20, 100+i, 1)
	}
	f.run(300)
	list := f.ssrcs()
	seen := map[uint32]int{}
	for _, s := range list {
		seen[s]++
	}
	for ssrc, n := range seen {
		if n > 1 {
			t.Errorf("SSRC %d delivered %d times", ssrc, n)
		}
	}
	// Each switch takes the new one's D.
	if most := 4000/100 + 2; len(list) > most {
		t.Errorf("%d switches, want at most %d", len(list), most)
	}
	if used := f.pool.used(); used > 2*(1024+keep) {
		t.Errorf("%d buffers in use", used)
	}
}

// A candidate whose packets do not fit the window takes over early: nothing is
// lost, what the old one had is delivered first.
func TestCandidateOverflow(t *testing.T) {
	f := newFeed(t, 2*time.Second, 1)
	f.run(800, 1)
	f.run(3000, 2)
	f.run(2500)
	if got := f.ssrcs(); !equalSSRCs(got, 1, 2) {
		t.Errorf("delivered SSRCs %v", got)
	}
	if s := f.Stats(); s.Delivered != 3800 || s.Lost+s.Cut+s.Overflow != 0 || s.Forced == 0 {
		t.Errorf("%+v", s)
	}
	audit(t, f.Decoder)
}

// A sender that goes on under the old SSRC while a new one is confirmed is cut
// off where the new one began.
func TestOldSenderGoesOn(t *testing.T) {
	f := newFeed(t, 500*time.Millisecond, 1)
	f.run(1000, 1)
	began := f.now
	f.run(2000, 1, 2)
	f.run(600)
	if got := f.ssrcs(); !equalSSRCs(got, 1, 2) {
		t.Errorf("delivered SSRCs %v", got)
	}
	for _, d := range f.got {
		if at := d.Release - 500*time.Millisecond; d.SSRC == 1 && at > began+confirmScore*time.Millisecond || d.SSRC == 2 && d.Epoch && at > began+5*time.Millisecond {
			t.Fatalf("SSRC %d: released %v, the new one began at %v", d.SSRC, at, began)
		}
	}
	if s := f.Stats(); s.Lost != 0 || s.Delivered < 2990 || s.Cut > 0 {
		t.Errorf("%+v", s)
	}
}

// The sender's clock or numbering jumps without a new SSRC: after two seconds
// the stream goes on.
func TestJumpWithinAnEpoch(t *testing.T) {
	for name, jump := range map[string]struct{ seq, ts int }{
		"an hour ahead":             {1, 3600 * clockRate},
		"an hour back":              {1, -3600 * clockRate},
		"numbers back":              {-5000, 0},
		"numbers ahead":             {20000, 0},
		"both back":                 {-1000, -11 * clockRate},
		"seven hours, half a cycle": {30000, 7 * 3600 * clockRate},
	} {
		f := newFeed(t, 100*time.Millisecond, 2)
		n, ts := 0, uint32(12345)
		step := func(k int) {
			for range k {
				b := make([]byte, 100)
				fillPacket(b, uint16(n), ts, 4)
				f.Push(0, f.now, b)
				f.Push(1, f.now, b)
				f.Tick(f.now)
				n++
				ts += 90
				f.now += time.Millisecond
			}
		}
		step(3000)
		n += jump.seq
		ts += uint32(jump.ts)
		before := len(f.got)
		step(6000)
		f.run(200)
		var delivered int
		for _, d := range f.got[before:] {
			if !d.Lost {
				delivered++
			}
		}
		s := f.Stats()
		if delivered < 3900 || s.Restarts > 1 || s.Epochs != 1 {
			t.Errorf("%s: %d delivered of 6000 after it, %+v", name, delivered, s)
		}
		last := uint64(0)
		for _, d := range f.got {
			if d.Seq <= last {
				t.Fatalf("%s: packet %d after %d", name, d.Seq, last)
			}
			last = d.Seq + d.Count - 1
		}
	}
}

// One packet with a wrong timestamp does not hold up those behind it, and one
// with a wrong number does not move the window.
func TestOneWrongPacket(t *testing.T) {
	for name, wrong := range map[string]struct{ seq, ts int }{
		"8 s ahead":     {0, 8 * clockRate},
		"20 s ahead":    {0, 20 * clockRate},
		"8 s back":      {0, -8 * clockRate},
		"number ahead":  {30000, 0},
		"number behind": {-30000, 0},
		"both":          {30000, 9 * clockRate},
	} {
		f := newFeed(t, 100*time.Millisecond, 1)
		for n := range 3000 {
			b := streamPacket(1, n)
			if n == 1500 {
				fillPacket(b, uint16(n+wrong.seq), uint32(n*90+wrong.ts), 1)
			}
			f.Push(0, f.now, b)
			f.Tick(f.now)
			f.now += time.Millisecond
		}
		f.run(200)
		s := f.Stats()
		if s.Delivered < 2999 || s.Lost > 1 || s.Restarts > 0 || s.Forced > 0 {
			s.Paths = nil
			t.Errorf("%s: %+v", name, s)
		}
		for i, d := range f.got {
			want := time.Second + time.Duration(i)*time.Millisecond + 100*time.Millisecond
			if d.Release < want-3*time.Millisecond || d.Release > want+3*time.Millisecond {
				t.Errorf("%s: packet %d released at %v, want %v", name, i, d.Release, want)
				break
			}
		}
	}
}
