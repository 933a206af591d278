package fec

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTicksAndSpan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Int64Range(-1<<45, 1<<45).Draw(t, "ticks")
		// span rounds towards zero, so one tick may be missing on the way back.
		if back := ticks(span(x)); back < min(x, x-1) && x > 0 || back > x && x > 0 || x-back > 1 || back-x > 1 {
			t.Fatalf("ticks(span(%d)) = %d", x, back)
		}
	})
	if span(90000) != time.Second || ticks(time.Hour) != 3600*clockRate || span(-45000) != -time.Second/2 {
		t.Error("a second is 90000 ticks")
	}
}

// Every packet of a stream with gaps, seen out of order, gets its number back,
// at any wrap of either counter.
func TestUnwrapFollowsAStream(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perSecond := rapid.IntRange(50, 12000).Draw(t, "rate")
		seq0 := uint64(oneCycle) + uint64(rapid.Uint16().Draw(t, "seq"))
		ts0 := int64(1)<<32 + int64(rapid.Uint32().Draw(t, "ts"))
		behind := rapid.IntRange(0, perSecond/2).Draw(t, "behind") // half a second
		var u unwrapper
		at := func(n int) (uint64, int64, time.Duration) {
			ts := int64(n) * clockRate / int64(perSecond)
			return seq0 + uint64(n), ts0 + ts, span(ts)
		}
		s, ts, now := at(0)
		u.start(uint16(s), uint32(ts), now)
		check := func(n int, now time.Duration) {
			s, ts, _ := at(n)
			gotTS := u.timestamp(uint32(ts), now)
			if gotTS != ts {
				t.Fatalf("packet %d: timestamp %d, want %d", n, gotTS, ts)
			}
			if got := u.sequence(uint16(s), gotTS); got != s {
				t.Fatalf("packet %d: sequence %d, want %d", n, got, s)
			}
			if !u.plausible(s, gotTS) {
				t.Fatalf("packet %d is held to be implausible", n)
			}
			u.accept(s, gotTS, now)
		}
		n := 0
		for range rapid.IntRange(1, 8).Draw(t, "stretches") {
			for range rapid.IntRange(perSecond/2, perSecond).Draw(t, "packets") {
				n++
				_, _, now := at(n)
				check(n, now)
				if late := n - behind; behind > 0 && late > 0 && n%7 == 0 {
					check(late, now)
				}
			}
			gap := rapid.IntRange(0, 20*perSecond).Draw(t, "gap") // up to 20 s
			if gap > pauseReach && gap%(1<<16) < pauseReach {
				gap += pauseReach // else it would look like a pause
			}
			n += gap
		}
	})
}

// A timestamp keeps its turn through a silence of days.
func TestUnwrapTimestampAfterSilence(t *testing.T) {
	for _, silence := range []time.Duration{time.Hour, 7 * time.Hour, 14 * time.Hour, 30 * 24 * time.Hour} {
		var u unwrapper
		u.start(1, 1<<32-10, time.Second)
		now := time.Second + silence
		want := u.ts + ticks(silence) + 50*clockRate/1000 // and some drift
		if got := u.timestamp(uint32(want), now); got != want {
			t.Errorf("after %v: %d, want %d", silence, got, want)
		}
	}
}

// One stray packet far ahead is not believed, two that agree are.
func TestUnwrapJumpNeedsAWitness(t *testing.T) {
	var u unwrapper
	u.start(100, 1000, 0)
	for i := range 2000 {
		u.accept(u.seq+1, u.ts+90, time.Duration(i)*time.Millisecond)
	}
	far := u.seq + 20000
	if u.plausible(far, u.ts+90) {
		t.Error("a jump of 20000 was believed")
	}
	if !u.plausible(u.seq+1, u.ts+90) {
		t.Error("the next packet was not")
	}
	if u.plausible(far+200, u.ts+90) {
		t.Error("a second jump, elsewhere, was believed")
	}
	if !u.plausible(far+201, u.ts+90) {
		t.Error("a jump with a witness was not")
	}
}
