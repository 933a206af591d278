package tr101290

import (
	"encoding/binary"
	"sync"
	"time"

	"quartet/capture/mpegts"
)

const (
	// batch is how many packets are looked at under one lock.
	batch = 256
	// stall is the silence from which on absences are not judged: what is
	// missing then is everything, and that is check 1.1's matter.
	stall = 100 * time.Millisecond
	// never is an instant that does not come.
	never = time.Duration(1<<63 - 1)
)

// Reasons for which the stream counts as lost (1.1).
const (
	lostSync    = 1 << iota // two corrupted sync bytes in a row
	lostSilence             // nothing arrives
	lostFraming             // whoever finds the packets has lost them
)

// Monitor applies the checks to one transport stream. Its methods may be called
// from several goroutines; whoever writes the packets keeps their order, and an
// instant before one already known counts as that one. Create it with New.
type Monitor struct {
	cfg  Config               // set at start, never changed
	emit func(section []byte) // m.section, made once

	mu sync.Mutex // for all that follows

	now      time.Duration // latest instant known
	started  bool          // a packet has come
	arrived  time.Duration // when the last packet came
	resumed  time.Duration // since when the stream has been there without a break
	complete time.Duration // from when on the tables can be expected to be known
	lost     uint8         // reasons
	bad      int           // corrupted sync bytes in a row
	good     int           // good ones in a row, while lost
	framer   mpegts.FramerStats

	tallies [CheckCount]tally
	crc     [crcTables]uint64

	index     int64  // packets so far, whatever they were: the position in the stream
	losses    uint64 // times that packets are known to be missing
	transport uint64 // packets with transport_error_indicator

	cc     mpegts.Continuity
	pids   [mpegts.PIDCount]pidState
	list   []mpegts.PID // those that have been seen
	clocks []*clock     // pidState.clock is the index + 1
	stamps []stamp      // pidState.stamp is the index + 1
	feeds  []*feed      // pidState.feed is the index + 1
	feed   *feed        // whose section is in work

	tables     *mpegts.Tables
	generation uint64 // of the tables when references were made of them
	rebuildAt  time.Duration
	parsed     int // sections parsed in this window
	programs   []mpegts.Program
	referenced []mpegts.PID
	watches    []watch
	pmts       []pmtWatch

	pat, cat    absence
	scrambledAt time.Duration // when the last scrambled packet came
	scrambling  bool          // one has come of late: a CAT is expected
	si          si
	cues        cues

	nextScan    time.Duration
	windowStart time.Duration
	windows     uint64
	window      counts // at its start
	last        lastWindow
}

// counts are those whose difference over a window is told.
type counts struct{ packets, nulls uint64 }

// lastWindow is what the last complete window showed.
type lastWindow struct {
	rate float64 // bit/s
	null float64 // share of null packets, 0…1
}

// New returns a Monitor. The error names the setting that cannot be.
func New(cfg Config) (*Monitor, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	m := &Monitor{
		cfg: cfg, tables: mpegts.NewTables(), nextScan: never,
		list: make([]mpegts.PID, 0, mpegts.PIDCount), si: newSI(), referenced: make([]mpegts.PID, 0, 256),
	}
	m.emit = m.section
	for pid := range mpegts.PID(lowPIDs) {
		m.pids[pid].flags |= pidExempt
	}
	m.pids[mpegts.NullPID].flags |= pidExempt
	m.pids[psipPID].flags |= pidExempt
	for _, pid := range cfg.PrivatePIDs {
		m.pids[pid].flags |= pidExempt
	}
	m.rebuild()
	return m, nil
}

// WriteTS takes n·188 bytes of packets that arrived at the instant at, and
// never fails. It is a mpegts.Writer, but takes packets with a bad sync byte
// too: it counts them (1.1, 1.2).
func (m *Monitor) WriteTS(at time.Duration, ts []byte) error {
	for len(ts) >= mpegts.PacketSize {
		n := min(len(ts)/mpegts.PacketSize, batch) * mpegts.PacketSize
		m.mu.Lock()
		m.arrive(at)
		m.packets(ts[:n:n])
		m.mu.Unlock()
		ts = ts[n:]
	}
	return nil
}

// Tick tells the time while no packets come: once every 100 ms is plenty.
func (m *Monitor) Tick(now time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = max(m.now, now)
	if !m.started {
		return
	}
	quiet := m.now - m.arrived
	if quiet > m.cfg.Silence {
		m.lose(lostSilence)
	}
	if quiet <= stall {
		m.follow()
	}
	m.roll()
}

// arrive takes that packets have come at the instant at.
func (m *Monitor) arrive(at time.Duration) {
	m.now = max(m.now, at)
	if !m.started {
		m.started = true
		m.windowStart = m.now
		m.resume()
	} else if m.now-m.arrived > m.cfg.Silence {
		m.lose(lostSilence) // if no Tick has noticed
	}
	m.arrived = m.now
	m.regain(lostSilence | lostFraming)
	m.follow()
	m.roll()
}

// follow does what is due at m.now.
func (m *Monitor) follow() {
	if m.tables.Generation() != m.generation && m.now >= m.rebuildAt {
		m.rebuild()
	}
	if m.now > m.nextScan && m.lost == 0 {
		m.scan()
	}
}

// packets looks at whole packets.
func (m *Monitor) packets(ts []byte) {
	for ; len(ts) >= mpegts.PacketSize; ts = ts[mpegts.PacketSize:] {
		p := ts[:mpegts.PacketSize:mpegts.PacketSize]
		h := binary.BigEndian.Uint32(p)
		m.index++
		if h>>24 != mpegts.SyncByte || m.lost != 0 {
			if !m.syncByte(h>>24 == mpegts.SyncByte) {
				continue
			}
		} else if m.bad > 0 {
			m.bad = 0
		}
		pid := mpegts.PID(h>>8) & 0x1FFF
		if h&headError != 0 {
			m.cc.Check(mpegts.Packet(p))
			m.transport++
			m.fail(TransportError, pid)
			continue // none of its bits can be trusted
		}
		s := &m.pids[pid]
		s.packets++
		s.at = m.now
		if pid == mpegts.NullPID {
			if s.flags&pidSeen == 0 {
				m.meet(pid, s)
			}
			continue
		}
		if m.cc.Check(mpegts.Packet(p)) == mpegts.Broken {
			m.losses++
			m.fail(ContinuityCountError, pid)
		}
		if h&headScrambling != 0 {
			m.scrambled(pid, s)
		}
		if s.flags&pidPlain == 0 || h&headAdaptation != 0 || h&headStart != 0 && s.stamp != 0 {
			m.look(mpegts.Packet(p), h, pid, s)
		}
	}
}

// syncByte takes a corrupted sync byte, or any while sync is lost, and reports
// whether the packet can be looked at.
func (m *Monitor) syncByte(ok bool) bool {
	switch {
	case ok:
		if m.good++; m.good < syncGood {
			return false
		}
		m.good, m.bad = 0, 0
		m.regain(lostSync)
		return true
	}
	m.good = 0
	if m.lost&lostSync != 0 {
		return false // in search of sync, a byte that is none is no error
	}
	m.losses++
	m.fail(SyncByteError, mpegts.NullPID)
	if m.bad++; m.bad >= syncBad {
		m.lose(lostSync)
	}
	return false
}

// Framing takes the counts of the Framer that finds the packets. It drops those
// with a bad sync byte, so that this Monitor does not see them (1.1, 1.2). Call
// it before WriteTS when they may have changed.
func (m *Monitor) Framing(at time.Duration, s mpegts.FramerStats) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = max(m.now, at)
	old := m.framer
	m.framer = s
	if s.SyncLosses < old.SyncLosses || s.SyncByteErrs < old.SyncByteErrs {
		return // another Framer: its counts are where to start from
	}
	if n := s.SyncByteErrs - old.SyncByteErrs; n > 0 {
		m.losses++
		m.failN(SyncByteError, mpegts.NullPID, n)
	}
	if n := s.SyncLosses - old.SyncLosses; n > 0 {
		m.lose(lostFraming)
		if n > 1 {
			m.failN(TSSyncLoss, mpegts.NullPID, n-1)
		}
	}
	if s.Locked {
		m.regain(lostFraming)
	}
}

// lose takes that the stream is lost, for a reason of its own or one more.
func (m *Monitor) lose(reason uint8) {
	if m.lost == 0 {
		m.fail(TSSyncLoss, mpegts.NullPID)
		m.tallies[TSSyncLoss].open++
	}
	m.lost |= reason
}

// regain takes that reasons are gone.
func (m *Monitor) regain(reasons uint8) {
	if m.lost&reasons == 0 {
		return
	}
	if m.lost &^= reasons; m.lost == 0 {
		t := &m.tallies[TSSyncLoss]
		t.open--
		t.live = m.now
		m.resume()
	}
}

// resume begins anew: nothing is expected to have come before now.
func (m *Monitor) resume() {
	m.resumed = m.now
	m.complete = m.now + tablesPatience
	m.cc.Forget()
	m.restart(&m.pat, PATError2)
	m.restart(&m.cat, CATError)
	m.scrambling = false
	for i := range m.pmts {
		m.restart(&m.pmts[i].absence, PMTError2)
	}
	for i := range m.watches {
		m.restart(&m.watches[i].absence, PIDError)
	}
	for i := range m.stamps {
		m.stamps[i].rest(m)
	}
	for _, c := range m.clocks {
		if c != nil {
			c.rest(m)
		}
	}
	for _, f := range m.feeds {
		f.sections.Reset()
	}
	m.si.resume(m)
	m.nextScan = m.now
}
