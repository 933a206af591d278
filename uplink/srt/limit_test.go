package srt

import (
	"net/netip"
	"testing"
	"time"
)

func TestLimiter(t *testing.T) {
	var l limiter
	ip := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	count := func(addr netip.Addr, n int, now time.Duration) (ok int) {
		for range n {
			if l.allow(addr, now) {
				ok++
			}
		}
		return ok
	}
	if got := count(ip(1), 10000, time.Second); got != 2*callsPerSource {
		t.Errorf("%d of a burst", got)
	}
	if got := count(ip(2), 10, time.Second); got != 10 {
		t.Errorf("another source suffers: %d of 10", got)
	}
	ok := 0
	for i := range 10000 { // ten seconds of a flood
		if l.allow(ip(1), time.Second+time.Duration(i)*time.Millisecond) {
			ok++
		}
	}
	if ok < 10*callsPerSource-1 || ok > 10*callsPerSource+1 {
		t.Errorf("%d in ten seconds", ok)
	}
	l, ok = limiter{}, 0
	for i := range 100000 { // from everywhere, within a second
		if l.allow(ip(i), time.Duration(i)*10*time.Microsecond) {
			ok++
		}
	}
	if ok > 3*callsPerPort || len(l.sources) > sourcesKept {
		t.Errorf("%d callers from everywhere, %d sources kept", ok, len(l.sources))
	}
	if !l.allow(ip(1), time.Hour) {
		t.Error("refused after an hour of quiet")
	}
}
