package mpegts

import (
	"slices"
	"testing"
	"time"
)

// stuffed is what a Stuffer sent.
type stuffed struct {
	at  []time.Duration
	pkt []Packet
}

func (s *stuffed) WriteTS(at time.Duration, ts []byte) error {
	s.at = append(s.at, at)
	s.pkt = append(s.pkt, append(Packet{}, ts...))
	return nil
}

func payload(pid PID, n byte) []byte {
	p := append([]byte{}, NullPacket[:]...)
	Packet(p).SetPID(pid)
	p[20] = n
	return p
}

// checkClock requires that every PCR is what the slot's place says, to a tick,
// and that no two are further apart than allowed.
func (s *stuffed) checkClock(t *testing.T, rate int64, base PCR, longest time.Duration) {
	t.Helper()
	last := time.Duration(-1)
	for i, p := range s.pkt {
		v, ok := p.PCR()
		if !ok {
			continue
		}
		want := base.Add(int64(float64(i) * PacketSize * 8 * PCRHz / float64(rate)))
		if d := v.Diff(want); d < -1 || d > 1 {
			t.Fatalf("packet %d: PCR is %d ticks off", i, d)
		}
		if last >= 0 && s.at[i]-last > longest {
			t.Fatalf("packet %d: %v without a PCR", i, s.at[i]-last)
		}
		last = s.at[i]
	}
}

// The rate is exact, PCRs are where they belong, also over the wrap, and every
// counter is in order.
func TestStufferConstantRate(t *testing.T) {
	const rate = 3_333_333
	base := PCR(PCRModulus - PCRHz) // wraps after a second
	var out stuffed
	s := NewStuffer(StufferConfig{RateBPS: rate, PCRPID: 257, Base: base}, time.Second, &out)
	for now := time.Second; now <= 11*time.Second; now += 3 * time.Millisecond {
		for k := range byte(3) {
			s.Push(payload(257+PID(k), k))
		}
		if err := s.Tick(now); err != nil {
			t.Fatal(err)
		}
	}
	seconds := (out.at[len(out.at)-1] - out.at[0]).Seconds()
	if got := float64(len(out.at)-1) * PacketSize * 8 / seconds; got < rate-1 || got > rate+1 {
		t.Errorf("%.1f bit/s, want %d", got, rate)
	}
	out.checkClock(t, rate, base, 40*time.Millisecond)
	var cc Continuity
	for _, p := range out.pkt {
		cc.Check(p)
	}
	if st := cc.Stats(); st.Errors > 0 || st.Duplicates > 0 || st.PIDs != 3 {
		t.Errorf("%+v", st)
	}
	if st := s.Stats(); st.Dropped > 0 || st.Jumps > 0 || st.Nulls == 0 || st.OwnPCRs != st.PCRs {
		t.Errorf("%+v", st)
	}
}

// A packet that brings a PCR gets the slot's, and none of our own comes beside.
func TestStufferTakesThePCRsPlace(t *testing.T) {
	var out stuffed
	s := NewStuffer(StufferConfig{RateBPS: 1_504_000, PCRPID: 257}, 0, &out)
	for now := time.Duration(0); now < 2*time.Second; now += 20 * time.Millisecond {
		p := payload(257, 0)
		p[3], p[4], p[5] = 0x30, 7, 0x10
		putPCR(p[6:12], 12345)
		s.Push(p)
		if err := s.Tick(now); err != nil {
			t.Fatal(err)
		}
	}
	out.checkClock(t, 1_504_000, 0, 40*time.Millisecond)
	if st := s.Stats(); st.OwnPCRs > 2 {
		t.Errorf("%+v", st)
	}
}

// A change of rate is a bend of the line, not a step of the clock.
func TestStufferChangesRate(t *testing.T) {
	var out stuffed
	s := NewStuffer(StufferConfig{RateBPS: 8_000_000, PCRPID: 257}, 0, &out)
	for now := time.Duration(0); now < 4*time.Second; now += time.Millisecond {
		if now == 2*time.Second {
			s.SetRate(2_000_000)
		}
		if err := s.Tick(now); err != nil {
			t.Fatal(err)
		}
	}
	for i, p := range out.pkt {
		if v, ok := p.PCR(); ok {
			if d := v.Diff(PCR(0).Add(DurationToTicks(out.at[i]))); d < -2 || d > 2 {
				t.Fatalf("packet %d: PCR %d ticks off its instant", i, d)
			}
			if p.Discontinuity() {
				t.Fatal("a change of rate is called a discontinuity")
			}
		}
	}
	if n, want := len(out.pkt), int((8_000_000+2_000_000)*2/(PacketSize*8)); n < want-6 || n > want+2 {
		t.Errorf("%d packets, want %d", n, want)
	}
}

// After a standstill the clock jumps with the time, says so once, and nothing
// bursts.
func TestStufferSkips(t *testing.T) {
	var out stuffed
	s := NewStuffer(StufferConfig{RateBPS: 4_000_000, PCRPID: 257}, 0, &out)
	for _, now := range []time.Duration{0, 50 * time.Millisecond, 900 * time.Millisecond, 950 * time.Millisecond, time.Second} {
		if err := s.Tick(now); err != nil {
			t.Fatal(err)
		}
	}
	marks := 0
	for i, p := range out.pkt {
		if v, ok := p.PCR(); ok {
			if d := v.Diff(PCR(0).Add(DurationToTicks(out.at[i]))); d < -2 || d > 2 {
				t.Fatalf("PCR %d ticks off its instant", d)
			}
			if p.Discontinuity() {
				marks++
			}
		}
	}
	if n := len(out.pkt); marks != 1 || n > 410 || s.Stats().Jumps != 1 {
		t.Errorf("%d marks, %d packets, %+v", marks, n, s.Stats())
	}
}

// More than the rate carries is dropped at a bound and counted.
func TestStufferIsBounded(t *testing.T) {
	var out stuffed
	s := NewStuffer(StufferConfig{RateBPS: 1_504_000, PCRPID: 257}, 0, &out)
	for i := range 3000 {
		s.Push(payload(257, byte(i)))
	}
	if st := s.Stats(); st.Waiting != 1000 || st.Dropped != 2000 {
		t.Errorf("%+v", st)
	}
	s.Discard()
	if s.Waiting() != 0 {
		t.Error("something waits")
	}
}

func TestStufferAllocates(t *testing.T) {
	s := NewStuffer(StufferConfig{RateBPS: 8_000_000, PCRPID: 257}, 0, WriterFunc(func(time.Duration, []byte) error { return nil }))
	now, p := time.Duration(0), payload(257, 1)
	step := func() {
		now += 2 * time.Millisecond
		s.Push(p)
		_ = s.Tick(now)
	}
	for range 1000 {
		step()
	}
	if n := testing.AllocsPerRun(1000, step); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What is pushed first goes before what waits, each PID in its own order, and
// the clock goes before both.
func TestStufferPushFirst(t *testing.T) {
	var pids []PID
	s := NewStuffer(StufferConfig{RateBPS: 1_504_000, PCRPID: 100}, 0, WriterFunc(func(_ time.Duration, ts []byte) error {
		p := Packet(ts)
		if p.PID() != NullPID {
			pids = append(pids, p.PID())
		}
		return nil
	}))
	packet := func(pid PID) []byte {
		p := Packet(append([]byte{}, NullPacket[:]...))
		p.SetPID(pid)
		return p
	}
	for range 3 {
		s.Push(packet(200))
	}
	s.PushFirst(packet(300))
	s.PushFirst(packet(300))
	if s.Waiting() != 5 {
		t.Errorf("%d wait", s.Waiting())
	}
	if err := s.Tick(10 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if want := []PID{100, 300, 300, 200, 200, 200}; !slices.Equal(pids, want) {
		t.Errorf("%v, want %v", pids, want)
	}
	// Before a picture that carries the clock, too: tables come before their key
	// frame.
	pids = nil
	key := Packet(packet(100))
	key[3], key[4], key[5] = 0x30, 7, 0x10
	s.Push(key)
	s.PushFirst(packet(300))
	if err := s.Tick(13 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if want := []PID{300, 100}; !slices.Equal(pids, want) {
		t.Errorf("%v, want %v", pids, want)
	}
	s.PushFirst(packet(300))
	s.Discard()
	if s.Waiting() != 0 {
		t.Errorf("%d wait after Discard", s.Waiting())
	}
}
