package fec

import (
	"testing"
	"time"
)

// A path that becomes slower by more than D allows for loses nothing as long as
// no other one is ahead of it: what it brings is released late, and after a
// while the clock follows, so that D is whole again.
func TestPathBecomesSlower(t *testing.T) {
	for _, slower := range []time.Duration{15 * time.Millisecond, 150 * time.Millisecond, 190 * time.Millisecond} {
		const latency, step, end = 10 * time.Millisecond, 1000, 4000
		d := newRig(t, latency, 1)
		for n := range end {
			at := time.Duration(n) * time.Millisecond
			if n >= step {
				at += slower
			}
			d.Push(0, at, streamPacket(1, n))
			d.Tick(at)
		}
		d.Tick(time.Minute)
		s := d.Stats()
		if s.Delivered != end || s.Lost != 0 || s.Restarts != 0 || s.Paths[0].Late != 0 {
			t.Errorf("slower by %v: %d delivered of %d, %d lost, %d late, %d restarts", slower, s.Delivered, end, s.Lost, s.Paths[0].Late, s.Restarts)
		}
		if s.Overdue == 0 || s.Overdue > 520 {
			t.Errorf("slower by %v: %d overdue; want about half a second of them, then none", slower, s.Overdue)
		}
		for i, x := range d.got {
			if i > 0 && x.Release < d.got[i-1].Release {
				t.Fatalf("packet %d is released before the one before it", i)
			}
		}
	}
}

// A path that is later than D by its handshake carries the stream alone when the
// other one dies.
func TestLatePathTakesOver(t *testing.T) {
	const latency, by = 20 * time.Millisecond, 60 * time.Millisecond
	d := newRig(t, latency, 2)
	for n := range 6000 {
		at := time.Duration(n) * time.Millisecond
		if n < 2000 {
			d.Push(0, at, streamPacket(1, n))
		}
		if late := n - int(by/time.Millisecond); late >= 0 {
			d.Push(1, at, streamPacket(1, late))
		}
		d.Tick(at)
	}
	s := d.Stats()
	if s.Lost != 0 || s.Restarts != 0 || s.Delivered < 5900 {
		t.Errorf("%d delivered, %d lost, %d restarts", s.Delivered, s.Lost, s.Restarts)
	}
	if s.Paths[1].Late < 1900 || s.Overdue > 600 {
		t.Errorf("%d late on the slower path while the other lived, %d overdue after it", s.Paths[1].Late, s.Overdue)
	}
}

// A packet that a newer one has overtaken, or that is later than any receiver
// behind bears, stays lost.
func TestOvertakenPacketStaysLost(t *testing.T) {
	const latency = 10 * time.Millisecond
	d := newRig(t, latency, 1)
	push := func(n int, late time.Duration) {
		at := time.Duration(n)*time.Millisecond + late
		d.Push(0, at, streamPacket(1, n))
		d.Tick(at)
	}
	for n := range 100 {
		push(n, 0)
	}
	push(101, 30*time.Millisecond)
	push(100, 31*time.Millisecond) // overtaken, and too late
	push(102, maxOverdue+latency+time.Millisecond)
	push(400, 0)
	d.Tick(time.Second)
	s := d.Stats()
	if s.Overdue != 1 || s.Paths[0].Late != 2 || s.Delivered != 102 {
		t.Errorf("%d overdue, want 1; %d late, want 2; %d delivered, want 102", s.Overdue, s.Paths[0].Late, s.Delivered)
	}
}
