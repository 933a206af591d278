package gateway

import "time"

// tsPacket is the length of a transport stream packet (ISO/IEC 13818-1).
const tsPacket = 188

// nullsPerMessage is how many null packets a message carries.
const nullsPerMessage = 7

// filler measures the rate of the released feed and, while the feed is lost,
// tells when null packets are due at that rate. It is pure.
type filler struct {
	// the meter
	since time.Duration
	bytes int64
	bps   int64 // of the last full window
	last  time.Duration
	any   bool

	// while filling
	on      bool
	start   time.Duration
	emitted int64 // bytes
}

// rateWindow is the meter's window.
const rateWindow = time.Second

// released records n transport stream bytes that left at now.
func (f *filler) released(now time.Duration, n int) {
	f.on = false
	switch {
	case !f.any || now-f.last > rateWindow:
		// The first, or the first after a pause: start a window. The rate
		// before the pause stays until there is a new one.
		f.since, f.bytes, f.any = now, 0, true
	case now-f.since >= rateWindow:
		f.bps = f.bytes * 8 * int64(time.Second) / int64(now-f.since)
		f.since, f.bytes = now, 0
	}
	f.bytes += int64(n)
	f.last = now
}

// rate is the feed's rate in bit/s: of the last full window, or, in the first
// second, of what there is.
func (f *filler) rate() int64 {
	if f.bps == 0 && f.last-f.since > 100*time.Millisecond {
		return f.bytes * 8 * int64(time.Second) / int64(f.last-f.since)
	}
	return f.bps
}

// due is how many messages of null packets are due at now, when the feed has
// been silent. The first call after a release starts the filling at now. At
// most most are returned; the rest of a longer pause is forgotten, not made up
// for in a burst.
func (f *filler) due(now time.Duration, most int) int {
	rate := f.rate()
	if !f.any || rate == 0 {
		return 0
	}
	if !f.on {
		f.on, f.start, f.emitted = true, now, 0
		return 0
	}
	const message = nullsPerMessage * tsPacket
	// Duration × rate overflows after half an hour at 200 Mbit/s: restart the
	// count each minute.
	if now-f.start > time.Minute {
		f.start, f.emitted = now, 0
	}
	owed := int64(now-f.start)/1000*rate/8/1_000_000 - f.emitted
	n := int(owed / message)
	if n <= 0 {
		return 0
	}
	f.emitted += int64(n) * message
	return min(n, most)
}

// nullMessages returns most messages of null packets (PID 0x1FFF, payload
// only), all views of one.
func nullMessages(most int) [][]byte {
	var m [nullsPerMessage * tsPacket]byte
	for i := 0; i < len(m); i += tsPacket {
		p := m[i : i+tsPacket]
		p[0], p[1], p[2], p[3] = 0x47, 0x1F, 0xFF, 0x10
		for j := 4; j < tsPacket; j++ {
			p[j] = 0xFF
		}
	}
	out := make([][]byte, most)
	for i := range out {
		out[i] = m[:]
	}
	return out
}
