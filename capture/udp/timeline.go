package udp

import "time"

// The legs of a merge share one time line. A packet's place on it is its
// arrival on a leg less that leg's offset, and its release comes Delay later.
// While legs agree it does not matter which one is asked; where they do not,
// one path has become longer or shorter, and the place that continues the
// packets before it is taken, while the other leg's offset is learnt anew. So
// releases go on without a step when a path changes or a leg dies, without
// trust in RTP timestamps, which many senders set carelessly.
type timeline struct {
	started bool
	idx     uint64        // of the last packet released
	place   time.Duration // its place
	step    time.Duration // average from index to index

	slewed   time.Duration // last call of steer
	slewRest time.Duration // in ns·ppm
	lateFrom time.Duration // start of the running second of lateMin
	lateMin  time.Duration
	late     int
}

// legClock is what is known of a leg's place on the time line.
type legClock struct {
	known   bool
	off     time.Duration // how much later it arrives
	samples int
	strays  int // differences beyond offJump in a row, negative for negative ones
}

const (
	// The first offSamples differences are averaged; then the offset follows the
	// median by at most offStep per packet, so that bursts do not move it;
	// offStrays differences beyond offJump in a row are believed at once.
	offSamples = 16
	offStep    = 50 * time.Microsecond
	offJump    = 5 * time.Millisecond
	offStrays  = 16
	// slewPPM is how fast the time line moves back while packets are held longer
	// than Delay; a receiver of MPEG clocks must follow it.
	slewPPM = 100
	// alive is the silence after which a leg no longer leads.
	alive = time.Second
)

// due returns the release instant of a packet held.
func (m *Merger) due(s *slot) time.Duration {
	if m.early {
		return s.at[s.first] + m.cfg.Delay
	}
	place, _ := m.locate(s)
	return place + m.cfg.Delay
}

// locate returns a packet's place on the time line by what has arrived so far,
// and the leg that gives it, −1 for none.
func (m *Merger) locate(s *slot) (place time.Duration, by int8) {
	t := &m.time
	expected := t.place + t.step*time.Duration(s.idx-t.idx)
	by = -1
	for i := range m.legs {
		l := &m.legs[i]
		if s.arrived&(1<<i) == 0 || !l.clock.known {
			continue
		}
		at := s.at[i] - l.clock.off
		better := at < place
		if d := at - place; by >= 0 && t.started && (d > offJump || d < -offJump) {
			better = distance(at, expected) < distance(place, expected)
		}
		if by < 0 || better {
			place, by = at, int8(i)
		}
	}
	if by < 0 {
		return s.at[s.first], s.first
	}
	// A leg that has just begun to disagree and is not contradicted, for the
	// packet came on no other, is not asked either.
	if s.arrived == 1<<by && m.legs[by].clock.strays != 0 && distance(place, expected) > offJump {
		return expected, -1
	}
	return place, by
}

func distance(a, b time.Duration) time.Duration { return max(a-b, b-a) }

// located notes the place of a packet that is released now.
func (m *Merger) located(s *slot) {
	t := &m.time
	if n := s.idx - t.idx; t.started && n > 0 && n < jumpPackets {
		t.step += ((s.place-t.place)/time.Duration(n) - t.step) / 64
	}
	t.started, t.idx, t.place = true, s.idx, s.place
	for i := range m.legs {
		if s.arrived&(1<<i) != 0 {
			m.learn(i, s)
		}
	}
}

// learn takes how much later than its place a packet came on a leg.
func (m *Merger) learn(leg int, s *slot) {
	c := &m.legs[leg].clock
	d := s.at[leg] - s.place - c.off
	if !c.known {
		*c = legClock{known: true, off: d, samples: 1}
		return
	}
	if leg == int(s.by) {
		if s.arrived != 1<<leg {
			c.strays = 0
		}
		return
	}
	switch {
	case d > offJump:
		c.strays = max(c.strays, 0) + 1
	case d < -offJump:
		c.strays = min(c.strays, 0) - 1
	default:
		c.strays = 0
	}
	switch {
	case c.strays >= offStrays || c.strays <= -offStrays:
		c.strays = 0
		c.off += d
	case c.samples < offSamples:
		c.samples++
		c.off += d / time.Duration(c.samples)
	case s.by >= 0:
		// Only the difference between legs is known: their mean stays, so that
		// the time line does not wander.
		d = max(-offStep, min(offStep, d)) / 2
		c.off += d
		m.legs[s.by].clock.off -= d
	}
}

// lead returns the smallest offset of the legs that are heard.
func (m *Merger) lead() time.Duration {
	var lead time.Duration
	found := false
	for i := range m.legs {
		l := &m.legs[i]
		if l.clock.known && l.heard+alive >= m.cur.heard && (!found || l.clock.off < lead) {
			lead, found = l.clock.off, true
		}
	}
	return lead
}

// steer moves the time line slowly back to where the leading leg has offset 0.
func (m *Merger) steer(now time.Duration) {
	t := &m.time
	elapsed := now - t.slewed
	t.slewed = now
	lead := m.lead()
	if lead >= 0 || elapsed <= 0 || elapsed > time.Second {
		return
	}
	t.slewRest += elapsed * slewPPM
	m.shift(min(-lead, t.slewRest/1_000_000))
	t.slewRest %= 1_000_000
}

// overdue notices that packets never come in time for their release: the leg
// that led is gone and the one left is later than Delay. They would be late for
// ever, so the time line moves by what they were late at the least within a
// second.
func (m *Merger) overdue(now, late time.Duration) {
	t := &m.time
	if t.late == 0 || late < t.lateMin {
		t.lateMin = late
	}
	t.late++
	if now-t.lateFrom < time.Second {
		return
	}
	if t.lateMin > 0 && t.late > 1 {
		m.shift(-t.lateMin)
	}
	t.lateFrom, t.late = now, 0
}

// shift moves the time line d earlier.
func (m *Merger) shift(d time.Duration) {
	m.time.place -= d
	for i := range m.legs {
		m.legs[i].clock.off += d
	}
}
