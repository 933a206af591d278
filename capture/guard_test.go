package capture

import (
	"errors"
	"math"
	"testing"
	"time"

	"quartet/capture/mpegts"
)

const ms = time.Millisecond

// sink records what a writer got.
type sink struct {
	packets, nulls int
	last           time.Duration
	backwards      int
	at             []time.Duration // of null packets
	err            error
}

func (s *sink) WriteTS(at time.Duration, ts []byte) error {
	if at < s.last {
		s.backwards++
	}
	s.last = at
	for ; len(ts) >= mpegts.PacketSize; ts = ts[mpegts.PacketSize:] {
		if mpegts.Packet(ts[:mpegts.PacketSize]).PID() == mpegts.NullPID {
			s.nulls++
			s.at = append(s.at, at)
		} else {
			s.packets++
		}
	}
	return s.err
}

// datagram returns n TS packets of PID 0x100.
func datagram(n int) []byte {
	b := mpegts.AppendNull(nil, n)
	for i := 0; i < len(b); i += mpegts.PacketSize {
		mpegts.Packet(b[i : i+mpegts.PacketSize]).SetPID(0x100)
	}
	return b
}

// bench is a Guard in virtual time.
type bench struct {
	*Guard
	t      *testing.T
	out    sink
	now    time.Duration
	events []Event
}

func newBench(t *testing.T, cfg GuardConfig) *bench {
	b := &bench{t: t, now: time.Hour}
	cfg.OnEvent = func(e Event) { b.events = append(b.events, e) }
	g, err := NewGuard(cfg, b.now, &b.out)
	if err != nil {
		t.Fatal(err)
	}
	b.Guard = g
	return b
}

// advance ticks whenever Next says, and at the end.
func (b *bench) advance(d time.Duration) {
	b.t.Helper()
	end := b.now + d
	for steps := 0; ; steps++ {
		next := b.Next()
		if next <= b.now && steps > 1_000_000 {
			b.t.Fatalf("Next stands still at %v", next)
		}
		if next >= end {
			break
		}
		b.now = max(b.now, next)
		if err := b.Tick(b.now); err != nil {
			b.t.Fatal(err)
		}
	}
	b.now = end
	if err := b.Tick(b.now); err != nil {
		b.t.Fatal(err)
	}
}

// feed sends datagrams of seven packets at rate bit/s for d.
func (b *bench) feed(rate int64, d time.Duration) {
	b.t.Helper()
	step := time.Duration(fillBits * int64(time.Second) / rate)
	for end := b.now + d; b.now < end; {
		if err := b.WriteTS(b.now, datagram(7)); err != nil {
			b.t.Fatal(err)
		}
		b.advance(step)
	}
}

func (b *bench) kinds() (k []EventKind) {
	for _, e := range b.events {
		k = append(k, e.Kind)
	}
	return k
}

func TestLossIsFilledAtTheLastRate(t *testing.T) {
	const rate = 8_000_000
	b := newBench(t, GuardConfig{})
	b.feed(rate, 3*time.Second)
	if got := b.Stats().RateBPS; math.Abs(float64(got-rate)) > rate/500 {
		t.Errorf("measured %d bit/s, want %d", got, rate)
	}
	if len(b.events) != 0 || b.out.nulls != 0 {
		t.Fatalf("events %v and %d null packets while the feed is there", b.events, b.out.nulls)
	}
	lastPacket := b.last
	b.advance(10 * time.Second)
	if len(b.events) != 1 || b.events[0].Kind != InputLost {
		t.Fatalf("events %v, want input_lost", b.kinds())
	}
	e := b.events[0]
	if got := e.At - lastPacket; got < DefaultLostAfter || got > DefaultLostAfter+ms {
		t.Errorf("lost %v after the last packet, want %v", got, DefaultLostAfter)
	}
	span := b.now - e.At
	got := float64(b.out.nulls*mpegts.PacketSize*8) / span.Seconds()
	if math.Abs(got-rate) > rate/200 {
		t.Errorf("null packets at %.0f bit/s, want %d", got, rate)
	}
	for i := fillPackets; i < len(b.out.at); i += fillPackets {
		if d := b.out.at[i] - b.out.at[i-fillPackets]; d < 1300*time.Microsecond || d > 1330*time.Microsecond {
			t.Fatalf("null packets %d: %v after the ones before, want 1.316ms", i, d)
		}
	}
	b.feed(rate, time.Second)
	if len(b.events) != 2 || b.events[1].Kind != InputReturned {
		t.Fatalf("events %v, want lost, returned", b.kinds())
	}
	if want := b.events[1].At - lastPacket; b.events[1].Outage != want {
		t.Errorf("outage %v, want %v", b.events[1].Outage, want)
	}
	nulls := b.out.nulls
	b.feed(rate, time.Second)
	if b.out.nulls != nulls {
		t.Error("null packets go on after the return")
	}
	if b.out.backwards != 0 {
		t.Errorf("%d instants went backwards", b.out.backwards)
	}
	if s := b.Stats(); !s.Present || s.Losses != 1 || s.OutageMS < 10_000 {
		t.Errorf("stats %+v", s)
	}
}

func TestStopFallsSilent(t *testing.T) {
	b := newBench(t, GuardConfig{LostAfter: 300 * ms, OnLoss: LossStop, StopAfter: 2 * time.Second})
	b.feed(4_000_000, 2*time.Second)
	last := b.last
	b.advance(5 * time.Second)
	if k := b.kinds(); len(k) != 2 || k[0] != InputLost || k[1] != InputSilenced {
		t.Fatalf("events %v", k)
	}
	if d := b.events[1].At - last; d < 2*time.Second || d > 2*time.Second+2*ms {
		t.Errorf("silent %v after the last packet, want 2s", d)
	}
	if end := b.out.at[len(b.out.at)-1] - last; end > 2*time.Second+ms {
		t.Errorf("last null packet %v after the last packet", end)
	}
	if !b.Stats().Silenced {
		t.Error("Silenced not told")
	}
	b.feed(4_000_000, 100*ms)
	if s := b.Stats(); s.Silenced || !s.Present {
		t.Errorf("after the return: %+v", s)
	}
}

func TestStopAtOnceAndPassSendNothing(t *testing.T) {
	for _, cfg := range []GuardConfig{{OnLoss: LossStop}, {OnLoss: LossPass}} {
		b := newBench(t, cfg)
		b.feed(4_000_000, time.Second)
		b.advance(3 * time.Second)
		if b.out.nulls != 0 {
			t.Errorf("%s: %d null packets", cfg.OnLoss, b.out.nulls)
		}
		if len(b.events) == 0 || b.events[0].Kind != InputLost {
			t.Errorf("%s: events %v", cfg.OnLoss, b.kinds())
		}
	}
}

func TestNeverSeenIsLostAndIdleRateFills(t *testing.T) {
	b := newBench(t, GuardConfig{IdleRate: 1_000_000})
	b.advance(1500 * ms)
	if k := b.kinds(); len(k) != 1 || k[0] != InputLost {
		t.Fatalf("events %v", k)
	}
	if got := b.out.nulls * mpegts.PacketSize * 8; got < 980_000 || got > 1_020_000 {
		t.Errorf("%d bits of null packets in 1 s, want 1,000,000", got)
	}
	silent := newBench(t, GuardConfig{})
	silent.advance(time.Second)
	if silent.out.nulls != 0 {
		t.Errorf("%d null packets although no rate is known", silent.out.nulls)
	}
}

// A feed that shows a few packets between two outages must not make the fill
// rate collapse.
func TestFlappingFeedKeepsItsRate(t *testing.T) {
	const rate = 6_000_000
	b := newBench(t, GuardConfig{})
	b.feed(rate, 3*time.Second)
	for range 5 {
		b.advance(2 * time.Second)
		b.feed(rate, 10*ms)
	}
	b.advance(2 * time.Second)
	for _, e := range b.events {
		if math.Abs(float64(e.Rate-rate)) > rate/100 {
			t.Errorf("%s: rate %d, want %d", e.Kind, e.Rate, rate)
		}
	}
	if b.Stats().Losses != 6 {
		t.Errorf("%d losses, want 6", b.Stats().Losses)
	}
}

// When the process was stopped, packets wait in the socket: that is no loss.
func TestLateTickIsNoLoss(t *testing.T) {
	b := newBench(t, GuardConfig{})
	b.feed(4_000_000, time.Second)
	b.now += 3 * time.Second // SIGSTOP, SIGCONT
	if err := b.Tick(b.now); err != nil {
		t.Fatal(err)
	}
	b.feed(4_000_000, time.Second)
	if len(b.events) != 0 {
		t.Errorf("events %v", b.kinds())
	}
	if b.Stats().LateTicks != 1 {
		t.Errorf("late ticks %d, want 1", b.Stats().LateTicks)
	}
	// Nor does a stall hide a real loss for longer than it must.
	b.now += 3 * time.Second
	b.advance(settle + ms)
	if k := b.kinds(); len(k) != 1 || k[0] != InputLost {
		t.Errorf("events %v, want input_lost", k)
	}
	if b.out.nulls > 7*200 {
		t.Errorf("%d null packets at once", b.out.nulls)
	}
}

func TestLateTickWhileFillingDoesNotBurst(t *testing.T) {
	b := newBench(t, GuardConfig{})
	b.feed(8_000_000, time.Second)
	b.advance(time.Second)
	before := b.out.nulls
	b.now += 10 * time.Second
	if err := b.Tick(b.now); err != nil {
		t.Fatal(err)
	}
	if got := b.out.nulls - before; got > 600 { // 100 ms are 532
		t.Errorf("%d null packets after a stall", got)
	}
}

func TestInstantsDoNotGoBackwards(t *testing.T) {
	b := newBench(t, GuardConfig{})
	b.feed(8_000_000, time.Second)
	b.advance(time.Second) // null packets up to now
	if err := b.WriteTS(b.now-20*ms, datagram(7)); err != nil {
		t.Fatal(err)
	}
	if b.out.backwards != 0 {
		t.Error("an instant went backwards")
	}
}

func TestRateOfAVariableFeed(t *testing.T) {
	b := newBench(t, GuardConfig{})
	b.feed(20_000_000, 5*time.Second)
	b.feed(5_000_000, 5*time.Second)
	if got := b.Stats().RateBPS; math.Abs(float64(got-5_000_000)) > 50_000 {
		t.Errorf("rate %d, want that of the last two seconds, 5,000,000", got)
	}
}

func TestWriterErrorComesBack(t *testing.T) {
	b := newBench(t, GuardConfig{})
	b.out.err = errors.New("full")
	if err := b.WriteTS(b.now, datagram(1)); !errors.Is(err, b.out.err) {
		t.Errorf("error %v", err)
	}
	b = newBench(t, GuardConfig{IdleRate: 1_000_000})
	b.out.err = errors.New("full")
	if err := b.Tick(b.now + time.Second); err != nil {
		t.Fatal(err) // grace
	}
	if err := b.Tick(b.now + time.Second + settle); !errors.Is(err, b.out.err) {
		t.Errorf("error %v", err)
	}
}

func TestGuardConfigIsChecked(t *testing.T) {
	for _, cfg := range []GuardConfig{
		{LostAfter: ms}, {OnLoss: "loop"}, {StopAfter: -1}, {IdleRate: -1},
	} {
		if _, err := NewGuard(cfg, 0, &sink{}); err == nil {
			t.Errorf("%+v accepted", cfg)
		}
	}
	if _, err := NewGuard(GuardConfig{}, 0, nil); err == nil {
		t.Error("nil writer accepted")
	}
}

func TestGuardDoesNotAllocate(t *testing.T) {
	var out counter
	g, err := NewGuard(GuardConfig{}, 0, &out)
	if err != nil {
		t.Fatal(err)
	}
	d := datagram(7)
	var now time.Duration
	if n := testing.AllocsPerRun(1000, func() {
		now += ms
		g.WriteTS(now, d)
		g.Tick(now)
	}); n != 0 {
		t.Errorf("%v allocations per packet", n)
	}
	if n := testing.AllocsPerRun(1000, func() {
		now += 10 * ms
		g.Tick(now)
	}); n != 0 {
		t.Errorf("%v allocations per tick while filling", n)
	}
	if out == 0 {
		t.Error("nothing came through")
	}
}

// counter counts bytes.
type counter int

func (c *counter) WriteTS(_ time.Duration, ts []byte) error {
	*c += counter(len(ts))
	return nil
}
