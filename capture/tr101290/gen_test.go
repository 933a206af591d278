package tr101290

import (
	"bytes"
	"testing"
	"time"

	"quartet/capture/mpegts"
)

// PIDs of the generated stream.
const (
	pidPMT1  mpegts.PID = 0x100
	pidVideo mpegts.PID = 0x101
	pidAudio mpegts.PID = 0x102
	pidCue   mpegts.PID = 0x103
	pidText  mpegts.PID = 0x104
	pidPMT2  mpegts.PID = 0x200
	pidRadio mpegts.PID = 0x201
	pidECM   mpegts.PID = 0x300
	pidEMM   mpegts.PID = 0x301
	pidStray mpegts.PID = 0x400
)

const ms = time.Millisecond

// gen sends a transport stream of constant rate to a Monitor, packet by packet
// in virtual time, with a Tick every 20 ms.
type gen struct {
	t    testing.TB
	m    *Monitor
	rate float64       // bit/s
	base mpegts.PCR    // at time 0
	late time.Duration // added to arrival

	n     int64         // packets' places so far
	pause time.Duration // places that were left out, as time
	cc    map[mpegts.PID]uint8
	items []*item
	queue []mpegts.Packet
	tick  time.Duration
	raw   []byte // of all packets sent, if keep
	keep  bool

	edit func(p mpegts.Packet) bool // nil, or changes a packet and says whether it is sent
	pcr  func(v mpegts.PCR) mpegts.PCR
}

// item is something that is sent every so often.
type item struct {
	name  string
	every time.Duration
	next  time.Duration
	make  func() []mpegts.Packet
	off   bool
}

func newMonitor(t testing.TB, cfg Config) *Monitor {
	t.Helper()
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// newGen returns a stream of two services with all tables, everything as the
// standard wants it.
func newGen(t testing.TB, cfg Config) *gen {
	t.Helper()
	g := &gen{t: t, m: newMonitor(t, cfg), rate: 3e6, base: 12345, cc: map[mpegts.PID]uint8{}}
	pat := section(0x00, 1, 0, 0, 0, entries(0, 0x10, 1, pidPMT1, 2, pidPMT2))
	pmt1 := section(0x02, 1, 0, 0, 0, cat(
		[]byte{0xE1, 0x01, 0xF0, 6, 0x09, 4, 1, 0, 0xE3, 0x00},
		component(0x1B, pidVideo), component(0x0F, pidAudio, 0x0A, 4, 'e', 'n', 'g', 0),
		component(0x86, pidCue, 0x05, 4, 'C', 'U', 'E', 'I'), component(0x06, pidText, 0x56, 5, 'e', 'n', 'g', 9, 0)))
	pmt2 := section(0x02, 2, 0, 0, 0, cat([]byte{0xE2, 0x01, 0xF0, 0}, component(0x04, pidRadio)))
	g.every("PAT", 100*ms, func() []mpegts.Packet { return packed(mpegts.PATPID, pat) })
	g.every("PMT1", 100*ms, func() []mpegts.Packet { return packed(pidPMT1, pmt1) })
	g.every("PMT2", 100*ms, func() []mpegts.Packet { return packed(pidPMT2, pmt2) })
	g.every("PCR1", 30*ms, func() []mpegts.Packet { return []mpegts.Packet{clockPacket(pidVideo)} })
	g.every("PCR2", 35*ms, func() []mpegts.Packet { return []mpegts.Packet{clockPacket(pidRadio)} })
	g.every("video", 40*ms, func() []mpegts.Packet {
		return append([]mpegts.Packet{g.pes(pidVideo, 0xE0)}, many(pidVideo, 5)...)
	})
	g.every("audio", 100*ms, func() []mpegts.Packet { return append([]mpegts.Packet{g.pes(pidAudio, 0xC0)}, many(pidAudio, 3)...) })
	g.every("radio", 72*ms, func() []mpegts.Packet { return append([]mpegts.Packet{g.pes(pidRadio, 0xC0)}, many(pidRadio, 2)...) })
	g.every("ECM", 500*ms, func() []mpegts.Packet { return packed(pidECM, section(0x80, 0, 0, 0, 0, make([]byte, 20))) })
	g.every("EMM", 500*ms, func() []mpegts.Packet { return packed(pidEMM, section(0x82, 0, 0, 0, 0, make([]byte, 20))) })
	g.every("CAT", 300*ms, func() []mpegts.Packet {
		return packed(mpegts.CATPID, section(0x01, 0xFFFF, 0, 0, 0, []byte{0x09, 4, 1, 0, 0xE3, 0x01}))
	})
	g.si("NIT", 5*time.Second, mpegts.NITPID, section(0x40, 7, 0, 0, 0, []byte{0xF0, 0, 0xF0, 0}))
	g.si("NIT other", 5*time.Second, mpegts.NITPID, section(0x41, 8, 0, 0, 0, []byte{0xF0, 0, 0xF0, 0}))
	g.si("BAT", 5*time.Second, mpegts.SDTPID, section(0x4A, 9, 0, 0, 0, []byte{0xF0, 0, 0xF0, 0}))
	g.si("SDT", time.Second, mpegts.SDTPID, section(0x42, 1, 0, 0, 0, services(1, "One", 2, "Radio")))
	g.si("SDT other", 5*time.Second, mpegts.SDTPID, section(0x46, 2, 0, 0, 0, services(7, "Other")))
	for s := uint16(1); s <= 2; s++ {
		for n := range byte(2) {
			name := string(rune('0'+s)) + "pf"[n:n+1]
			g.si("EIT "+name, time.Second, mpegts.EITPID, section(0x4E, s, 0, n, 1, []byte{0, 1, 0, 1, 1, 0x4E}))
			g.si("EIT other "+name, 5*time.Second, mpegts.EITPID, section(0x4F, s, 0, n, 1, []byte{0, 2, 0, 1, 1, 0x4F}))
		}
	}
	g.si("EIT schedule", 5*time.Second, mpegts.EITPID, section(0x50, 1, 0, 0, 0, []byte{0, 1, 0, 1, 0, 0x50}))
	g.si("RST", 7*time.Second, mpegts.RSTPID, []byte{0x71, 0x70, 9, 0, 1, 0, 1, 0, 1, 0, 1, 4})
	g.si("TDT", 10*time.Second, mpegts.TDTPID, []byte{0x70, 0x70, 5, 0xE4, 0x09, 0x12, 0x34, 0x56})
	g.si("TOT", 10*time.Second, mpegts.TDTPID, tot())
	return g
}

// every adds an item. Items begin a little after each other.
func (g *gen) every(name string, d time.Duration, f func() []mpegts.Packet) {
	g.items = append(g.items, &item{name: name, every: d, next: time.Duration(len(g.items)) * ms, make: f})
}

// si adds a table, 30 ms behind the one before, so that no two sections of a
// table are too near.
func (g *gen) si(name string, d time.Duration, pid mpegts.PID, s []byte) {
	g.every(name, d, func() []mpegts.Packet { return packed(pid, s) })
	g.items[len(g.items)-1].next = time.Duration(len(g.items)) * 30 * ms
}

func (g *gen) item(name string) *item {
	g.t.Helper()
	for _, i := range g.items {
		if i.name == name {
			return i
		}
	}
	g.t.Fatalf("no item %q", name)
	return nil
}

// off stops an item, on lets it go on.
func (g *gen) off(names ...string) {
	g.t.Helper()
	for _, n := range names {
		g.item(n).off = true
	}
}

func (g *gen) on(names ...string) {
	g.t.Helper()
	for k, n := range names {
		g.item(n).off = false
		g.item(n).next = g.at() + time.Duration(k)*40*ms
	}
}

// at is when the next packet is sent.
func (g *gen) at() time.Duration {
	return g.pause + time.Duration(float64(g.n)*packetBits/g.rate*1e9)
}

// clock is the PCR of the next packet.
func (g *gen) clock() mpegts.PCR {
	return g.base.Add(mpegts.DurationToTicks(g.pause) + int64(float64(g.n)*packetBits/g.rate*mpegts.PCRHz+0.5))
}

// run sends for a time.
func (g *gen) run(d time.Duration) {
	for end := g.at() + d; g.at() < end; {
		g.step()
	}
}

// step sends the next packet.
func (g *gen) step() {
	if len(g.queue) == 0 {
		for _, i := range g.items {
			if g.at() >= i.next {
				i.next += i.every
				if !i.off {
					g.queue = append(g.queue, i.make()...)
				}
			}
		}
	}
	p := mpegts.Packet(mpegts.AppendNull(nil, 1))
	if len(g.queue) > 0 {
		p, g.queue = g.queue[0], g.queue[1:]
	}
	g.send(p)
}

// send gives a packet its counter and its clock, and sends it.
func (g *gen) send(p mpegts.Packet) {
	if pid := p.PID(); pid != mpegts.NullPID {
		if p.HasPayload() {
			g.cc[pid]++
		}
		p.SetCC(g.cc[pid])
	}
	if _, ok := p.PCR(); ok {
		v := g.clock()
		if g.pcr != nil {
			v = g.pcr(v)
		}
		p.SetPCR(v)
	}
	if g.edit == nil || g.edit(p) {
		g.write(p)
	}
	g.n++
}

// write sends a packet as it is, in the present place.
func (g *gen) write(p mpegts.Packet) {
	at := g.at() + g.late
	for g.tick += 20 * ms; g.tick < at; g.tick += 20 * ms {
		g.m.Tick(g.tick)
	}
	g.tick -= 20 * ms
	if g.keep {
		g.raw = append(g.raw, p...)
	}
	if err := g.m.WriteTS(at, p); err != nil {
		g.t.Fatal(err)
	}
}

// silence sends nothing for a time; the stream's own clock goes on.
func (g *gen) silence(d time.Duration) {
	end := g.at() + d
	for t := g.at(); t < end; t += 20 * ms {
		g.m.Tick(t)
	}
	g.tick = end
	g.pause += d
	for _, i := range g.items {
		i.next += d
	}
}

// want compares the counts of all checks.
func (g *gen) want(counts map[Check]uint64) {
	g.t.Helper()
	want(g.t, g.m, counts)
}

func want(t testing.TB, m *Monitor, counts map[Check]uint64) {
	t.Helper()
	consistent(t, m)
	for c, s := range m.Checks() {
		if s.Count != counts[Check(c)] {
			t.Errorf("%s %s: %d errors, want %d (first %v, last %v, PID %#x)", s.Clause, s.Check, s.Count, counts[Check(c)], s.First, s.Last, s.PID)
		}
	}
}

// active tells whether a check is active.
func (g *gen) active(c Check) bool { return g.m.Checks()[c].Active }

// pes starts a PES packet with a PTS half a second from now.
func (g *gen) pes(pid mpegts.PID, stream byte) mpegts.Packet {
	p := dataPacket(pid)
	p.SetPUSI(true)
	copy(p[4:], []byte{0, 0, 1, stream, 0, 0, 0x80, 0x80, 5, 0x21, 0, 1, 0, 1})
	p.SetPTS(g.clock().Timestamp().Add(mpegts.PTSHz / 2))
	return p
}

func dataPacket(pid mpegts.PID) mpegts.Packet {
	p := mpegts.Packet(mpegts.AppendNull(nil, 1))
	p.SetPID(pid)
	return p
}

func many(pid mpegts.PID, n int) (list []mpegts.Packet) {
	for range n {
		list = append(list, dataPacket(pid))
	}
	return list
}

func clockPacket(pid mpegts.PID) mpegts.Packet {
	p := dataPacket(pid)
	p[3] |= 0x20
	p[4], p[5] = 7, 0x10
	p.SetPCR(0)
	return p
}

// packed cuts a section into packets.
func packed(pid mpegts.PID, s []byte) (list []mpegts.Packet) {
	for first := true; len(s) > 0; first = false {
		p := dataPacket(pid)
		p.SetPUSI(first)
		b := p.Payload()
		if first {
			b[0], b = 0, b[1:]
		}
		s = s[copy(b, s):]
		list = append(list, p)
	}
	return list
}

// section builds a section with CRC_32.
func section(table byte, extension uint16, version, number, last byte, body []byte) []byte {
	n := 5 + len(body) + 4
	b := []byte{table, 0xB0 | byte(n>>8), byte(n), byte(extension >> 8), byte(extension), 0xC1 | version<<1, number, last}
	return withCRC(append(b, body...))
}

func withCRC(b []byte) []byte {
	c := mpegts.CRC32(b)
	return append(b, byte(c>>24), byte(c>>16), byte(c>>8), byte(c))
}

// tot is a time_offset_section, which has a CRC without the section syntax.
func tot() []byte {
	return withCRC([]byte{0x73, 0x70, 11, 0xE4, 0x09, 0x12, 0x34, 0x56, 0xF0, 0})
}

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func entries(pairs ...mpegts.PID) (b []byte) {
	for i := 0; i < len(pairs); i += 2 {
		b = append(b, byte(pairs[i]>>8), byte(pairs[i]), 0xE0|byte(pairs[i+1]>>8), byte(pairs[i+1]))
	}
	return b
}

func component(streamType byte, pid mpegts.PID, descriptors ...byte) []byte {
	return append([]byte{streamType, 0xE0 | byte(pid>>8), byte(pid), 0xF0, byte(len(descriptors))}, descriptors...)
}

func services(numbersAndNames ...any) []byte {
	b := []byte{0, 1, 0xFF}
	for i := 0; i < len(numbersAndNames); i += 2 {
		number, name := numbersAndNames[i].(int), numbersAndNames[i+1].(string)
		d := append([]byte{0x48, byte(3 + len(name)), 1, 0, byte(len(name))}, name...)
		b = append(append(b, byte(number>>8), byte(number), 0xFC, 0x80, byte(len(d))), d...)
	}
	return b
}
