package srt

import (
	"net/netip"
	"sync"
	"time"
)

// Handshakes that a listener looks into. Each costs libsrt buffers and time on
// the thread that also serves the port's streams, before any passphrase is
// checked; a caller's address is proven by then (SRT's cookie).
const (
	callsPerSource = 50 // a second, and twice that at once
	callsPerPort   = 200
	sourcesKept    = 1024
)

// limiter counts a port's callers: a token bucket for each source address and
// one for all. No clock of its own.
type limiter struct {
	mu      sync.Mutex
	all     bucket
	sources map[netip.Addr]*bucket
}

type bucket struct {
	spent float64 // tokens taken and not yet refilled
	last  time.Duration
}

// drain lets time pass and tells whether a token is left.
func (b *bucket) drain(now time.Duration, perSecond float64) bool {
	if dt := now - b.last; dt > 0 {
		b.spent = max(0, b.spent-dt.Seconds()*perSecond)
		b.last = now
	}
	return b.spent <= 2*perSecond-1
}

// allow tells whether a caller from ip is heard at now.
func (l *limiter) allow(ip netip.Addr, now time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sources[ip]
	if s == nil {
		if len(l.sources) >= sourcesKept {
			for k, b := range l.sources {
				if b.drain(now, callsPerSource); b.spent == 0 {
					delete(l.sources, k)
				}
			}
		}
		if len(l.sources) >= sourcesKept {
			clear(l.sources) // the bucket for all still holds
		}
		if l.sources == nil {
			l.sources = map[netip.Addr]*bucket{}
		}
		s = &bucket{last: now}
		l.sources[ip] = s
	}
	if !s.drain(now, callsPerSource) || !l.all.drain(now, callsPerPort) {
		return false
	}
	s.spent++
	l.all.spent++
	return true
}
