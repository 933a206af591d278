package relay

import (
	"fmt"
	"math"
	"testing"
	"time"
)

func channel(t testing.TB, seed uint64, name string, i Impairment) *Channel {
	t.Helper()
	c, err := NewChannel(ChannelConfig{Seed: seed, Name: name, Impairment: i})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// runs are the lengths of the runs of true.
func runs(lost []bool) (total int, lengths []int) {
	n := 0
	for _, l := range append(lost, false) {
		if l {
			n++
			total++
		} else if n > 0 {
			lengths = append(lengths, n)
			n = 0
		}
	}
	return total, lengths
}

func mean(v []int) float64 {
	sum := 0
	for _, x := range v {
		sum += x
	}
	return float64(sum) / float64(len(v))
}

// near checks got against want within a share of it.
func near(t *testing.T, what string, got, want, share float64) {
	t.Helper()
	if math.Abs(got-want) > share*want {
		t.Errorf("%s is %.5f, want %.5f ± %.0f %%", what, got, want, share*100)
	}
}

// Gilbert's chain keeps its loss rate and mean burst, and bursts have a
// geometric length (standard deviation √(m(m−1))). Ten independent keys are
// pooled, and the bounds are four standard errors of the pool: one key alone
// may well be three or four off, as with any generator.
func TestChainStatistics(t *testing.T) {
	const keys, bursts = 10, 500
	for _, c := range []struct{ loss, mean float64 }{{0.01, 10}, {0.05, 25}, {0.2, 3}, {0.45, 1}, {0.02, 100}, {0.3, 1.5}} {
		n := int(bursts * c.mean / c.loss)
		total, lengths := 0, []int(nil)
		for key := range uint64(keys) {
			ch := newChain(mix(1, key), c.loss, c.mean)
			lost := make([]bool, n)
			for i := range lost {
				lost[i] = ch.lost(uint64(i))
			}
			k, l := runs(lost)
			total, lengths = total+k, append(lengths, l...)
		}
		name := fmt.Sprintf("loss %v, mean %v: ", c.loss, c.mean)
		deviation := math.Sqrt(c.mean * (c.mean - 1))
		within(t, name+"mean burst", mean(lengths), c.mean, 4*deviation/math.Sqrt(float64(len(lengths))))
		// States k apart correlate by ρ^k, ρ = P(bad|bad) − P(bad|good).
		rho := 1 - 1/c.mean - c.loss/(c.mean*(1-c.loss))
		within(t, name+"loss", float64(total)/float64(keys*n), c.loss,
			4*math.Sqrt(c.loss*(1-c.loss)/float64(keys*n)*(1+rho)/(1-rho)))
		var square float64
		for _, l := range lengths {
			square += (float64(l) - c.mean) * (float64(l) - c.mean)
		}
		// The kurtosis of a geometric length is about 9, so the standard error
		// of its deviation is √(8/4N) of it.
		within(t, name+"deviation", math.Sqrt(square/float64(len(lengths))), deviation,
			4*deviation*math.Sqrt(2/float64(len(lengths))))
	}
}

// within checks got against want within a bound.
func within(t *testing.T, what string, got, want, bound float64) {
	t.Helper()
	if math.Abs(got-want) > bound+1e-9 {
		t.Errorf("%s is %.5f, want %.5f ± %.5f", what, got, want, bound)
	}
}

// The state at an index does not depend on how the chain came there.
func TestChainIsAFunctionOfItsIndex(t *testing.T) {
	for _, c := range []struct{ loss, mean float64 }{{0.01, 10}, {0.2, 200}, {0.45, 1}, {0.6, 1.6}} {
		forward, jumping := newChain(7, c.loss, c.mean), newChain(7, c.loss, c.mean)
		const n = 20000
		var want [n]bool
		for i := range want {
			want[i] = forward.lost(uint64(i))
		}
		for k := range n {
			i := k * 7919 % n
			if jumping.lost(uint64(i)) != want[i] {
				t.Fatalf("%+v: state %d differs after a jump", c, i)
			}
		}
		far := newChain(7, c.loss, c.mean)
		_ = far.lost(1 << 60) // as with slots since 1970
		_ = far.lost(math.MaxUint64)
		if far.lost(5) != want[5] {
			t.Errorf("%+v: state 5 differs after the far end", c)
		}
	}
}

// The same seed gives the same fates, another seed or name gives others.
func TestSameSeedSameFate(t *testing.T) {
	i := Impairment{Loss: 0.05, LossCommon: 0.3, Burst: Burst{Loss: 0.05, MeanMS: 10, Common: 0.3}, DelayMS: 20, JitterMS: 5,
		Reorder: Chance{0.05, 50}, Duplicate: Chance{0.05, 5}, Flip: Flip{Rate: 0.05}, RateBPS: 12e6}
	fates := func(seed uint64, name string) []Fate {
		c := channel(t, seed, name, i)
		f := make([]Fate, 5000)
		for n := range f {
			f[n] = c.Decide(uint64(n), time.Duration(n)*time.Millisecond, 1316)
		}
		return f
	}
	same := func(a, b []Fate) (n int) {
		for i := range a {
			if a[i] == b[i] {
				n++
			}
		}
		return n
	}
	a := fates(1, "a")
	if n := same(a, fates(1, "a")); n != len(a) {
		t.Errorf("the same seed and name: %d of %d fates are the same", n, len(a))
	}
	// Jitter differs always, unless both are lost.
	for _, b := range [][]Fate{fates(2, "a"), fates(1, "b")} {
		if n := same(a, b); n > len(a)/10 {
			t.Errorf("another seed or name: %d of %d fates are the same", n, len(a))
		}
	}
}

// One kind of impairment does not move the draws of another.
func TestKindsAreIndependent(t *testing.T) {
	plain := channel(t, 1, "a", Impairment{Burst: Burst{Loss: 0.1, MeanPackets: 5}})
	busy := channel(t, 1, "a", Impairment{Burst: Burst{Loss: 0.1, MeanPackets: 5}, Loss: 0.1, DelayMS: 5, JitterMS: 3,
		Reorder: Chance{0.2, 9}, Duplicate: Chance{0.2, 0}, Flip: Flip{Rate: 0.5}})
	for n := range uint64(5000) {
		now := time.Duration(n) * time.Millisecond
		if a, b := plain.Decide(n, now, 100).Drop == BurstOwn, busy.Decide(n, now, 100).Drop == BurstOwn; a != b {
			t.Fatalf("packet %d: burst %v alone, %v among others", n, a, b)
		}
	}
}

// Common loss: the whole loss is as set, the common part strikes all relays of
// a seed in the same slot, and only their own parts differ.
func TestCommonLoss(t *testing.T) {
	const n = 800_000
	for _, i := range []Impairment{
		{Loss: 0.05, LossCommon: 0.3},
		{Burst: Burst{Loss: 0.05, MeanMS: 10, Common: 0.3}},
	} {
		a, b := channel(t, 1, "a", i), channel(t, 1, "b", i)
		var lost, common, both, own int
		for k := range uint64(n) {
			now := time.Duration(k) * time.Millisecond
			x, y := a.Decide(k, now, 100).Drop, b.Decide(k, now, 100).Drop
			if x != Pass {
				lost++
			}
			isCommon := x == LossCommon || x == BurstCommon
			if isCommon {
				common++
				if y == Pass {
					t.Fatalf("slot %d: lost by all, but relay b passes it", k)
				}
			} else if x != Pass {
				own++
			}
			if x != Pass && y != Pass {
				both++
			}
		}
		near(t, fmt.Sprintf("%+v: loss", i), float64(lost)/n, 0.05, 0.1)
		near(t, "loss of the common process", float64(common)/n, 0.015, 0.15)
		q := float64(own) / n / (1 - 0.015)
		near(t, "loss of both", float64(both)/n, 0.015+(1-0.015)*q*q, 0.15)
	}
}

// Processes with different zeros of time share their slots through the offset.
func TestCommonOffset(t *testing.T) {
	i := Impairment{Burst: Burst{Loss: 0.2, MeanMS: 10, Common: 1}}
	const later = 1234 * time.Millisecond
	a, err := NewChannel(ChannelConfig{Seed: 1, Name: "a", Impairment: i, CommonOffset: later})
	if err != nil {
		t.Fatal(err)
	}
	b := channel(t, 1, "b", i)
	lost := 0
	for k := range uint64(10000) {
		now := time.Duration(k) * time.Millisecond
		x, y := a.Decide(k, now, 1).Drop, b.Decide(k, now+later, 1).Drop
		if x != y {
			t.Fatalf("slot %d: %v here, %v there", k, x, y)
		}
		if x != Pass {
			lost++
		}
	}
	if lost == 0 {
		t.Error("nothing was lost")
	}
}

func TestIndependentLoss(t *testing.T) {
	c := channel(t, 1, "a", Impairment{Loss: 0.1})
	lost := make([]bool, 500_000)
	for n := range lost {
		lost[n] = c.Decide(uint64(n), 0, 100).Drop == LossOwn // also when no time passes
	}
	total, lengths := runs(lost)
	near(t, "loss", float64(total)/float64(len(lost)), 0.1, 0.02)
	near(t, "mean run", mean(lengths), 1/0.9, 0.02)
}

func TestDelayJitterOrder(t *testing.T) {
	c := channel(t, 1, "a", Impairment{DelayMS: 30, JitterMS: 20})
	var last, low, high time.Duration
	low = time.Hour
	for n := range uint64(100_000) {
		now := time.Duration(n) * 500 * time.Microsecond
		f := c.Decide(n, now, 100)
		d := f.At - now
		if d < 30*time.Millisecond || d > 50*time.Millisecond || f.At < last {
			t.Fatalf("packet %d: delay %v, delivered at %v after %v", n, d, f.At, last)
		}
		last, low, high = f.At, min(low, d), max(high, d)
	}
	if low > 31*time.Millisecond || high < 49*time.Millisecond {
		t.Errorf("delays from %v to %v, want nearly 30 ms to 50 ms", low, high)
	}
}

func TestReorderDuplicateFlip(t *testing.T) {
	c := channel(t, 1, "a", Impairment{DelayMS: 10, Reorder: Chance{0.1, 50}, Duplicate: Chance{0.01, 5}, Flip: Flip{0.02, 16}})
	const n = 200_000
	var reordered, dups, flips int
	bits := map[int]int{}
	for k := range uint64(n) {
		now := time.Duration(k) * time.Millisecond
		f := c.Decide(k, now, 100)
		if f.At-now > 60*time.Millisecond || f.At-now < 10*time.Millisecond {
			t.Fatalf("packet %d: delay %v", k, f.At-now)
		}
		if f.At-now > 10*time.Millisecond {
			reordered++
		}
		if f.Dup {
			dups++
			if f.DupAt < f.At || f.DupAt > f.At+5*time.Millisecond {
				t.Fatalf("packet %d at %v, copy at %v", k, f.At, f.DupAt)
			}
		}
		if f.Flip >= 0 {
			flips++
			bits[f.Flip]++
			if f.Flip < 16*8 || f.Flip >= 100*8 {
				t.Fatalf("packet %d: bit %d", k, f.Flip)
			}
		}
		if s := c.Decide(k, now, 16); s.Flip >= 0 {
			t.Fatal("flip in a packet that ends before the first byte allowed")
		}
	}
	near(t, "reordered", float64(reordered)/n, 0.1, 0.03)
	near(t, "duplicates", float64(dups)/n, 0.01, 0.1)
	near(t, "flips", float64(flips)/n, 0.02, 0.1)
	if len(bits) < 650 {
		t.Errorf("flips hit %d of 672 bits", len(bits))
	}
}

func TestRateLimit(t *testing.T) {
	// 20 Mbit/s of 1250-byte IP packets into 10 Mbit/s, a queue of 50 ms.
	c := channel(t, 1, "a", Impairment{RateBPS: 10e6, QueueMS: 50, DelayMS: 5})
	const n = 20_000
	passed := 0
	var last, worst time.Duration
	for k := range uint64(n) {
		now := time.Duration(k) * 500 * time.Microsecond
		f := c.Decide(k, now, 1250-ipOverhead)
		if f.Drop == Queue {
			continue
		}
		passed++
		if f.At-last < time.Millisecond {
			t.Fatalf("packet %d leaves %v after the one before, 1 ms at this rate", k, f.At-last)
		}
		last, worst = f.At, max(worst, f.At-now)
	}
	near(t, "packets passed", float64(passed), n/2, 0.01)
	if worst < 54*time.Millisecond || worst > 55*time.Millisecond {
		t.Errorf("greatest delay %v, want queue and delay, 55 ms", worst)
	}
}

func TestWindowsAndSizes(t *testing.T) {
	c := channel(t, 1, "a", Impairment{MTU: 1280, Blackouts: []Blackout{{StartMS: 100, DurationMS: 20}, {StartMS: 1000, DurationMS: 10, PeriodMS: 50}}})
	for _, x := range []struct {
		at   float64
		size int
		want Reason
	}{
		{0, 1252, Pass}, {0, 1253, Size}, {99.9, 1, Pass}, {100, 1, Black}, {119.9, 1, Black}, {120, 1, Pass},
		{999, 1, Pass}, {1000, 1, Black}, {1009, 1, Black}, {1010, 1, Pass}, {1051, 1, Black}, {1999, 1, Pass}, {2005, 1, Black},
	} {
		if got := c.Decide(0, ms(x.at), x.size).Drop; got != x.want {
			t.Errorf("%d bytes at %v ms: %v, want %v", x.size, x.at, got, x.want)
		}
	}
	if err := c.Set(Impairment{Dead: true}); err != nil {
		t.Fatal(err)
	}
	if got := c.Decide(1, 0, 1).Drop; got != Dead {
		t.Errorf("dead: %v", got)
	}
	if err := c.Set(Impairment{Loss: 2}); err == nil || !c.Impairment().Dead {
		t.Errorf("a refused impairment changed something: %v", err)
	}
}

func TestPipe(t *testing.T) {
	p := NewPipe(channel(t, 1, "a", Impairment{Loss: 0.1, DelayMS: 20, JitterMS: 5, Reorder: Chance{0.1, 30}, Duplicate: Chance{0.1, 3}}))
	const n = 10_000
	copies := make([]int, n)
	var last time.Duration
	take := func(at time.Duration, pkt []byte) {
		if at < last {
			t.Fatalf("delivered at %v after %v", at, last)
		}
		last = at
		k := int(pkt[0])<<8 | int(pkt[1])
		copies[k]++
		if len(pkt) != 2+k%1000 {
			t.Fatalf("packet %d has %d bytes", k, len(pkt))
		}
	}
	pkt := make([]byte, 1002)
	for k := range n {
		now := time.Duration(k) * time.Millisecond
		if at, ok := p.Next(); ok && at < now-time.Millisecond {
			t.Fatalf("a packet due at %v is still here at %v", at, now)
		}
		p.Pop(now, take)
		pkt[0], pkt[1] = byte(k>>8), byte(k)
		p.Send(now, pkt[:2+k%1000])
	}
	p.Pop(time.Hour, take)
	p.Send(time.Hour, make([]byte, maxDatagram+1))
	s := p.Stats()
	if _, ok := p.Next(); ok || s.PacketsIn != n+1 || s.PacketsIn+s.Duplicated != s.PacketsOut+s.Dropped.Total() || s.Reordered == 0 || s.Dropped.Truncated != 1 {
		t.Errorf("stats %+v", s)
	}
	// What was delivered is what a channel of the same seed decides.
	c := channel(t, 1, "a", p.Impairment())
	for k := range copies {
		f := c.Decide(uint64(k), time.Duration(k)*time.Millisecond, 2+k%1000)
		want := 0
		if f.Drop == Pass {
			want = 1
			if f.Dup {
				want = 2
			}
		}
		if copies[k] != want {
			t.Fatalf("packet %d was delivered %d times, want %d", k, copies[k], want)
		}
	}
}

func TestPipeIsBounded(t *testing.T) {
	p := NewPipe(channel(t, 1, "a", Impairment{DelayMS: 1000}))
	for range maxQueued + 100 {
		p.Send(0, []byte{1})
	}
	if s := p.Stats(); s.Dropped.Overflow != 100 {
		t.Errorf("stats %+v", s)
	}
}

func TestPipeAllocations(t *testing.T) {
	p := NewPipe(channel(t, 1, "a", Impairment{Loss: 0.01, Burst: Burst{Loss: 0.05, MeanMS: 10, Common: 0.5}, DelayMS: 20, JitterMS: 5,
		Reorder: Chance{0.1, 30}, Duplicate: Chance{0.1, 3}, Flip: Flip{Rate: 0.1}, RateBPS: 20e6}))
	now := time.Duration(0)
	pkt := make([]byte, 1316)
	take := func(time.Duration, []byte) {}
	step := func() {
		now += time.Millisecond
		p.Pop(now, take)
		p.Send(now, pkt)
	}
	for range 1000 {
		step()
	}
	if n := testing.AllocsPerRun(5000, step); n != 0 {
		t.Errorf("%v allocations per packet", n)
	}
}

func BenchmarkPipe(b *testing.B) {
	p := NewPipe(channel(b, 1, "a", Impairment{Burst: Burst{Loss: 0.05, MeanMS: 10, Common: 0.3}, DelayMS: 20, JitterMS: 5, Reorder: Chance{0.01, 30}}))
	pkt := make([]byte, 1316)
	take := func(time.Duration, []byte) {}
	b.ReportAllocs()
	for i := range b.N {
		now := time.Duration(i) * time.Millisecond
		p.Pop(now, take)
		p.Send(now, pkt)
	}
}
