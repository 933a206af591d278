package capture

import "time"

const (
	rateBucket  = 100 * time.Millisecond
	rateBuckets = 20
)

// rateMeter measures the rate of a feed over the last two seconds that had
// packets. It does not fall while nothing arrives: it tells what the feed was.
type rateMeter struct {
	started bool
	first   time.Duration // first instant that counts
	last    time.Duration // last instant that counts
	bucket  int64         // number of last's bucket since time zero
	bytes   [rateBuckets]int64
}

// add counts n bytes at at. Instants that go backwards count as the last one.
func (m *rateMeter) add(at time.Duration, n int) {
	if !m.started {
		// The first packets mark where the measurement begins: a rate is bytes
		// between two instants.
		*m = rateMeter{started: true, first: at, last: at, bucket: int64(at / rateBucket)}
		return
	}
	m.last = max(m.last, at)
	now := int64(m.last / rateBucket)
	for gap := min(now-m.bucket, rateBuckets); gap > 0; gap-- {
		m.bytes[uint64(now-gap+1)%rateBuckets] = 0
	}
	m.bucket = now
	m.bytes[uint64(now)%rateBuckets] += int64(n)
}

// span returns the time that the measurement covers.
func (m *rateMeter) span() time.Duration {
	return m.last - max(m.first, time.Duration(m.bucket-rateBuckets+1)*rateBucket)
}

// rate returns bit/s, 0 before there are two instants.
func (m *rateMeter) rate() int64 {
	span := m.span()
	if span <= 0 {
		return 0
	}
	var sum int64
	for _, b := range m.bytes {
		sum += b
	}
	return int64(float64(sum) * 8 * float64(time.Second) / float64(span))
}
