package tr101290

import (
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"quartet/capture/mpegts"
)

// consistent looks into a Monitor: every absence that goes on is counted once,
// every index leads back to its PID, everything is within its bounds.
func consistent(t testing.TB, m *Monitor) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	var open [CheckCount]int
	count := func(a absence, c Check) {
		if a.open {
			open[c]++
		}
	}
	if m.lost != 0 {
		open[TSSyncLoss]++
	}
	count(m.pat, PATError2)
	count(m.cat, CATError)
	for _, w := range m.pmts {
		count(w.absence, PMTError2)
	}
	for _, w := range m.watches {
		count(w.absence, PIDError)
	}
	for _, s := range m.stamps {
		count(s.absence, PTSError)
	}
	clocks := 0
	for i, c := range m.clocks {
		if c != nil {
			clocks++
			count(c.gap, PCRRepetitionError)
			if int(m.pids[c.pid].clock) != i+1 {
				t.Errorf("clock %d is of PID %#x, which has %d", i, c.pid, m.pids[c.pid].clock)
			}
		}
	}
	count(m.si.nit, NITActualError)
	count(m.si.sdt, SDTActualError)
	count(m.si.tdt, TDTError)
	count(m.si.eit[0], EITActualError)
	count(m.si.eit[1], EITActualError)
	for i, e := range m.si.list {
		switch {
		case e.key&pairKey != 0:
			count(e.absence, EITPFError)
		default:
			count(e.absence, SIRepetitionError)
			if e.also != noCheck {
				count(e.absence, e.also)
			}
		}
		if m.si.subs[e.key] != i {
			t.Errorf("sub-table %d is known as %d", i, m.si.subs[e.key])
		}
	}
	listed := map[mpegts.PID]bool{}
	for _, pid := range m.list {
		if listed[pid] {
			t.Errorf("PID %#x is listed twice", pid)
		}
		listed[pid] = true
	}
	for pid := range m.pids {
		s := &m.pids[pid]
		if s.flags&pidReported != 0 {
			open[UnreferencedPID]++
		}
		if i := int(s.feed); i != 0 && (i > len(m.feeds) || m.feeds[i-1].pid != mpegts.PID(pid)) ||
			int(s.clock) > len(m.clocks) || s.clock != 0 && m.clocks[s.clock-1] == nil ||
			int(s.stamp) > len(m.stamps) || s.stamp != 0 && m.stamps[s.stamp-1].pid != mpegts.PID(pid) ||
			int(s.watch) > len(m.watches) || s.watch != 0 && m.watches[s.watch-1].pid != mpegts.PID(pid) {
			t.Errorf("PID %#x: %+v", pid, *s)
		}
		if seen := s.flags&pidSeen != 0; seen != listed[mpegts.PID(pid)] {
			t.Errorf("PID %#x: seen %v, listed %v", pid, seen, !seen)
		}
		if s.flags&pidPlain != 0 && s.feed != 0 {
			t.Errorf("PID %#x is not looked into", pid)
		}
	}
	for c := range open {
		if open[c] != m.tallies[c].open {
			t.Errorf("%v: %d go on, counted are %d", Check(c), open[c], m.tallies[c].open)
		}
	}
	if len(m.feeds) > 7+256+maxCuePIDs || clocks > maxClocks || len(m.si.list) > maxSubTables || len(m.si.subs) != len(m.si.list) ||
		len(m.list) > mpegts.PIDCount || len(m.stamps) > mpegts.PIDCount || len(m.watches) > mpegts.PIDCount || len(m.pmts) > 256 {
		t.Errorf("%d feeds, %d clocks, %d sub-tables, %d PIDs, %d stamps, %d watches, %d PMTs",
			len(m.feeds), clocks, len(m.si.list), len(m.list), len(m.stamps), len(m.watches), len(m.pmts))
	}
}

// TestBounded: a stream that wants memory does not get it.
func TestBounded(t *testing.T) {
	before := heap()
	m := newMonitor(t, everything)
	r := rand.New(rand.NewPCG(5, 6))
	cc := map[mpegts.PID]uint8{}
	now := time.Duration(0)
	send := func(list ...mpegts.Packet) {
		for _, p := range list {
			cc[p.PID()]++
			p.SetCC(cc[p.PID()])
			now += 20 * time.Microsecond
			if err := m.WriteTS(now, p); err != nil {
				t.Fatal(err)
			}
		}
	}
	for round := range 3 {
		// Programs without end, each with components without end.
		for n := range byte(50) {
			var body []mpegts.PID
			for i := range 250 {
				body = append(body, mpegts.PID(int(n)*250+i+1), mpegts.PID(0x20+(int(n)*250+i+round)%0x1F00))
			}
			send(packed(0, section(0x00, 1, byte(round), n, 49, entries(body...)))...)
		}
		for n := range 600 {
			body := []byte{0xE0 | byte(r.IntN(32)), byte(r.IntN(256)), 0xF0, 0}
			for range 190 {
				body = append(body, component([]byte{0x1B, 0x0F, 0x86, 0x06}[r.IntN(4)], mpegts.PID(r.IntN(0x2000)))...)
			}
			send(packed(mpegts.PID(0x20+(n+round)%0x1F00), section(0x02, uint16(n+1), byte(round), 0, 0, body))...)
		}
		// PCRs, sections without end, and messages, on every PID.
		for pid := range mpegts.NullPID {
			send(clockPacket(pid), clockPacket(pid))
			p := dataPacket(pid)
			p.SetPUSI(true)
			p[4], p[5], p[6], p[7] = 0, 2, 0xBF, 0xFD
			send(append([]mpegts.Packet{p}, many(pid, 20)...)...)
		}
		// Service information about everything.
		for n := range 5000 {
			send(packed(mpegts.EITPID, section(0x4F, uint16(n), 0, byte(n&1), 1, []byte{byte(n >> 4), byte(n), 0, 1, 1, 0x4F}))...)
			send(packed(mpegts.SDTPID, section(0x46, uint16(n), 0, byte(n), 255, []byte{byte(n >> 4), byte(n), 0xFF}))...)
			send(packed(mpegts.CATPID, section(0x01, 0xFFFF, byte(n&31), byte(n), 255, cat([]byte{0x09, 4, 1, 0}, []byte{0xE0 | byte(n>>8&31), byte(n)})))...)
		}
		consistent(t, m)
	}
	s := m.Stats()
	if len(s.PIDs) != maxListed || s.OtherPIDs != mpegts.PIDCount-1-maxListed || len(s.Clocks) != maxClocks {
		t.Errorf("%d PIDs listed and %d others, %d clocks", len(s.PIDs), s.OtherPIDs, len(s.Clocks))
	}
	if used := int(heap()) - int(before); used > 16<<20 {
		t.Errorf("%d KiB in use", used>>10)
	} else {
		t.Logf("%d KiB in use", used>>10)
	}
	// A minute later the stream is an ordinary one again.
	g := newGen(t, Config{})
	g.m = m
	g.pause = now
	g.tick = now
	for _, i := range g.items {
		i.next += now
	}
	g.run(3 * time.Minute)
	s = m.Stats()
	if len(s.Services) != 2 || len(s.PIDs) > 20 || s.OtherPIDs != 0 || len(s.Clocks) != 2 {
		t.Errorf("%d services, %d PIDs, %d others, %d clocks", len(s.Services), len(s.PIDs), s.OtherPIDs, len(s.Clocks))
	}
	for _, c := range s.Checks {
		if c.Active {
			t.Errorf("still active: %+v", c)
		}
	}
	runtime.KeepAlive(m)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// TestTablesThatNeverStay: a new PAT in every packet costs no more than it may.
func TestTablesThatNeverStay(t *testing.T) {
	m := newMonitor(t, Config{})
	now := time.Duration(0)
	for n := range 60000 {
		p := packed(0, section(0x00, uint16(n), byte(n&31), 0, 0, entries(1, mpegts.PID(0x20+n%1000))))[0]
		p.SetCC(uint8(n))
		now += 30 * time.Microsecond
		if err := m.WriteTS(now, p); err != nil {
			t.Fatal(err)
		}
	}
	// 1.8 s, and so at most two windows' worth and one begun.
	if g := m.tables.Generation(); g > 2*maxParsed {
		t.Errorf("%d PATs were parsed", g)
	}
	consistent(t, m)
}

// TestConcurrentStats: whoever looks on does not disturb.
func TestConcurrentStats(t *testing.T) {
	g := newGen(t, everything)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := json.Marshal(g.m.Stats()); err != nil {
					t.Error(err)
				}
				_ = g.m.Checks()
			}
		})
	}
	g.run(10 * time.Second)
	close(stop)
	wg.Wait()
	g.want(nil)
}

// TestAllocs: a packet costs no allocation, whatever it carries, once its PID
// and its tables are known.
func TestAllocs(t *testing.T) {
	g := newGen(t, everything)
	g.run(12 * time.Second)
	g.keep = true
	g.every("cue", 500*ms, func() []mpegts.Packet { return packed(pidCue, message(t, cueThree)) })
	g.run(11 * time.Second)
	ts := g.raw
	m := g.m
	now, at := g.at(), 0
	span := time.Duration(float64(7*packetBits) / g.rate * 1e9)
	step := func() {
		now += span
		if at+7*mpegts.PacketSize > len(ts) {
			at = 0 // a seam: errors of 1.4 and 2.3b, which cost nothing either
		}
		if err := m.WriteTS(now, ts[at:at+7*mpegts.PacketSize]); err != nil {
			t.Fatal(err)
		}
		m.Tick(now)
		at += 7 * mpegts.PacketSize
	}
	if n := testing.AllocsPerRun(2*len(ts)/(7*mpegts.PacketSize), step); n != 0 {
		t.Errorf("%v allocations for seven packets", n)
	}
	if n := testing.AllocsPerRun(100, func() { _ = m.Checks() }); n != 0 {
		t.Errorf("%v allocations for Checks", n)
	}
}

// FuzzMonitor: any bytes, in any grouping, at any time. The first bytes say how
// long the packets take and what is switched on.
func FuzzMonitor(f *testing.F) {
	g := newGen(f, everything)
	g.keep = true
	g.every("cue", 300*ms, func() []mpegts.Packet { return packed(pidCue, message(f, cueThree)) })
	g.every("stray", 50*ms, func() []mpegts.Packet { return many(pidStray, 1) })
	g.edit = func(p mpegts.Packet) bool { return p.PID() != mpegts.NullPID }
	g.run(1500 * ms)
	for n := 0; n+40*mpegts.PacketSize <= len(g.raw); n += 40 * mpegts.PacketSize {
		f.Add(append([]byte{byte(n), 7, 1}, g.raw[n:n+40*mpegts.PacketSize]...))
		f.Add(append([]byte{byte(n), 200, 0}, g.raw[n:n+40*mpegts.PacketSize]...))
	}
	var sections []byte
	for _, i := range g.items {
		for _, p := range i.make() {
			sections = append(sections, p...)
		}
	}
	f.Add(append([]byte{1, 60, 3}, sections...))
	for _, s := range []string{cueOpportunity, cueInsert, cueThree} {
		f.Add(append([]byte{1, 60, 5}, message(f, s)...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 3 {
			return
		}
		step := time.Duration(b[1])*time.Duration(b[1])*20*time.Microsecond + 1 // up to 1.3 s
		seed, mode := uint64(b[0]), b[2]
		b = b[3:]
		if mode&4 != 0 {
			var s splice
			parseSplice(&s, b)
		}
		m := newMonitor(t, Config{Priority3: mode&1 != 0, DataPIDPeriod: time.Duration(mode>>4&1) * time.Second})
		r := rand.New(rand.NewPCG(seed, 1))
		now := time.Duration(0)
		cc := map[mpegts.PID]uint8{}
		// A stream that makes sense, so that there is something to break.
		for i := range 3 {
			for n := 0; n+mpegts.PacketSize <= len(sections); n += mpegts.PacketSize {
				p := mpegts.Packet(append([]byte{}, sections[n:n+mpegts.PacketSize]...))
				cc[p.PID()]++
				p.SetCC(cc[p.PID()])
				now += ms
				_ = m.WriteTS(now, p)
			}
			if mode&8 != 0 && i == 1 {
				now += 2 * time.Second
				m.Tick(now)
			}
		}
		for pass := range 2 {
			for rest := b; len(rest) >= mpegts.PacketSize; {
				n := min(1+r.IntN(7), len(rest)/mpegts.PacketSize) * mpegts.PacketSize
				ts := append([]byte{}, rest[:n]...)
				rest = rest[n:]
				for i := 0; i < n; i += mpegts.PacketSize {
					if mode&2 == 0 {
						ts[i] = mpegts.SyncByte
					}
					repair(mpegts.Packet(ts[i:i+mpegts.PacketSize]), r)
				}
				now += time.Duration(r.Int64N(int64(step)))
				_ = m.WriteTS(now, ts)
				if r.IntN(4) == 0 {
					now += time.Duration(r.Int64N(int64(step)))
					m.Tick(now)
				}
				if r.IntN(64) == 0 {
					m.Framing(now, mpegts.FramerStats{SyncLosses: uint64(r.IntN(3)), SyncByteErrs: uint64(r.IntN(5)), Locked: r.IntN(2) == 0})
				}
			}
			consistent(t, m)
			s := m.Stats()
			if _, err := json.Marshal(s); err != nil {
				t.Fatal(err)
			}
			if mode&8 != 0 && pass == 0 {
				now += time.Duration(r.Int64N(int64(2 * time.Minute)))
				m.Tick(now)
			}
		}
		for _, c := range m.Checks() {
			if c.Count == 0 && c.Active || c.Last < c.First || c.Last > now || c.Priority == 3 && mode&1 == 0 && c.Count > 0 {
				t.Errorf("%+v", c)
			}
		}
	})
}

// repair gives a section that fits into its packet the CRC it needs, half of the
// time, so that what is behind the CRC is reached.
func repair(p mpegts.Packet, r *rand.Rand) {
	b := p.Payload()
	if !p.PUSI() || len(b) < 8 || b[0] != 0 || r.IntN(2) == 0 {
		return
	}
	s := b[1:]
	n := 3 + int(s[1]&0x0F)<<8 + int(s[2])
	if n >= 8 && n <= len(s) {
		binary.BigEndian.PutUint32(s[n-4:], mpegts.CRC32(s[:n-4]))
	}
}
