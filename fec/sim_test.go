package fec

import (
	"container/heap"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"
)

// simPath is one path of a simulation: what the network does to what is sent
// on it. Times are the network's; the receiver's clock may run differently.
type simPath struct {
	stream   int // repair stream that it carries
	delay    time.Duration
	jitter   time.Duration // uniform, reorders
	offset   time.Duration // configured delay, told to the decoder
	from, to time.Duration // when it is up; to 0: for ever
	lose     func(at time.Duration) bool
	dup      float64
	mangle   func(pkt []byte) []byte
	late     func(at time.Duration) time.Duration // more delay
}

// simConfig is a whole simulation.
type simConfig struct {
	seed     uint64
	params   Params
	rate     float64 // source packets/s
	length   time.Duration
	latency  time.Duration
	paths    []simPath
	size     int     // payload bytes; 0: 188
	drift    float64 // how much faster the receiver's clock runs
	ssrc     uint32
	seq      uint16
	ts       uint32
	start    time.Duration // when the sender starts
	quiet    func(at time.Duration) bool
	tick     time.Duration
	packets  int // MaxPackets
	reparams func(n int, e *Encoder)
}

// outcome is what a simulation gave.
type outcome struct {
	sent      int
	delivered int
	lost      int
	wrong     int // delivered with other bytes than sent
	disorder  int
	epochs    int
	first     uint64
	last      uint64
	lostSeqs  []uint64
	stats     DecoderStats
	enc       EncoderStats
}

type event struct {
	at    time.Duration
	order int
	path  int
	pkt   []byte
}

type events []event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(event)) }
func (q *events) Pop() any     { x := (*q)[len(*q)-1]; *q = (*q)[:len(*q)-1]; return x }

// sim joins a sender, a network and a decoder. Several senders may feed one
// network.
type sim struct {
	t     testing.TB
	cfg   simConfig
	rng   *rand.Rand
	dec   *Decoder
	queue events
	order int
	free  [][]byte
	out   outcome
	now   time.Duration // network's
	onOut func(*Delivery)
}

func newSim(t testing.TB, c simConfig) *sim {
	t.Helper()
	if c.size == 0 {
		c.size = 188
	}
	if c.tick == 0 {
		c.tick = time.Millisecond
	}
	s := &sim{t: t, cfg: c, rng: rand.New(rand.NewPCG(c.seed, 1))}
	d, err := NewDecoder(DecoderConfig{Latency: c.latency, MaxPackets: c.packets, MaxPacket: max(rtpHeader+c.size, DefaultMaxPacket), Deliver: s.deliver})
	if err != nil {
		t.Fatal(err)
	}
	s.dec = d
	for i, p := range c.paths {
		d.SetPath(i, p.offset, true)
	}
	return s
}

// local is the receiver's clock at the network's time at.
func (s *sim) local(at time.Duration) time.Duration {
	return at + time.Duration(float64(at)*s.cfg.drift)
}

func (s *sim) deliver(d *Delivery) {
	if d.Epoch {
		s.out.epochs++
	}
	if s.out.delivered+s.out.lost == 0 || d.Epoch {
		s.out.first = d.Seq
	} else if d.Seq != s.out.last+1 {
		s.out.disorder++
	}
	s.out.last = d.Seq + d.Count - 1
	if s.onOut != nil {
		s.onOut(d)
	}
	if d.Lost {
		s.out.lost += int(d.Count)
		if len(s.out.lostSeqs) < 10 {
			s.out.lostSeqs = append(s.out.lostSeqs, d.Seq)
		}
		return
	}
	s.out.delivered++
	if !checkPacket(d.Packet) || uint16(d.Seq) != binary.BigEndian.Uint16(d.Packet[2:]) {
		s.out.wrong++
	}
}

// fillPacket writes a source packet whose payload follows from its header.
func fillPacket(b []byte, seq uint16, ts, ssrc uint32) {
	b[0], b[1] = 0x80, SourcePT
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[4:], ts)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	x := uint64(seq)<<32 ^ uint64(ts) ^ uint64(ssrc)<<16 ^ 0x9e3779b97f4a7c15
	for i := rtpHeader; i < len(b); i += 8 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		for j := i; j < min(i+8, len(b)); j++ {
			b[j] = byte(x >> (8 * (j - i)))
		}
	}
}

func checkPacket(b []byte) bool {
	w := make([]byte, len(b))
	fillPacket(w, binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:]))
	return string(w) == string(b)
}

// sendOn puts a packet on a path.
func (s *sim) sendOn(path int, at time.Duration, pkt []byte) {
	p := &s.cfg.paths[path]
	if at < p.from || p.to > 0 && at >= p.to || p.lose != nil && p.lose(at) {
		return
	}
	n := 1
	if p.dup > 0 && s.rng.Float64() < p.dup {
		n = 2
	}
	for range n {
		due := at + p.delay + p.offset
		if p.jitter > 0 {
			due += time.Duration(s.rng.Int64N(int64(p.jitter)))
		}
		if p.late != nil {
			due += p.late(at)
		}
		var b []byte
		if k := len(s.free); k > 0 {
			b, s.free = s.free[k-1], s.free[:k-1]
		}
		b = append(b[:0], pkt...)
		if p.mangle != nil {
			b = p.mangle(b)
		}
		s.order++
		heap.Push(&s.queue, event{due, s.order, path, b})
	}
}

// until runs the receiver up to the network's time at.
func (s *sim) until(at time.Duration) {
	for s.now <= at {
		for len(s.queue) > 0 && s.queue[0].at <= s.now {
			e := heap.Pop(&s.queue).(event)
			s.dec.Push(e.path, s.local(e.at), e.pkt)
			s.free = append(s.free, e.pkt)
		}
		s.dec.Tick(s.local(s.now))
		s.now += s.cfg.tick
	}
}

// run sends the configured stream and lets the decoder drain.
func (s *sim) run() outcome {
	c := s.cfg
	s.stream(c.start, c.length, c.ssrc, c.seq, c.ts)
	s.until(s.now + c.latency + 5*time.Second)
	s.out.stats = s.dec.Stats()
	return s.out
}

// stream sends one epoch of length from start on.
func (s *sim) stream(start, length time.Duration, ssrc uint32, seq uint16, ts uint32) {
	c := s.cfg
	cfg := EncoderConfig{Params: c.params, MaxPacket: rtpHeader + c.size, Emit: func(stream int, at time.Duration, pkt []byte) {
		for i, p := range c.paths {
			if p.stream == stream {
				s.sendOn(i, at, pkt)
			}
		}
	}}
	for i := range max(1, c.params.Streams) {
		cfg.SSRC = append(cfg.SSRC, uint32(0xF000+i))
		cfg.Seq = append(cfg.Seq, uint16(s.rng.Uint32()))
	}
	e, err := NewEncoder(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	pkt := make([]byte, rtpHeader+c.size)
	gap := time.Duration(float64(time.Second) / c.rate)
	next := start + c.tick
	for n := 0; ; n++ {
		at := start + time.Duration(n)*gap
		if at >= start+length {
			break
		}
		if c.quiet != nil && c.quiet(at) {
			e.Tick(at)
		} else {
			if c.reparams != nil {
				c.reparams(s.out.sent, e)
			}
			fillPacket(pkt, seq, ts+uint32(ticks(at)), ssrc)
			if err := e.Add(at, pkt); err != nil {
				s.t.Fatal(err)
			}
			for i := range c.paths {
				s.sendOn(i, at, pkt)
			}
			seq++
			s.out.sent++
		}
		if at >= next {
			s.until(at)
			next = at + c.tick
		}
	}
	e.Tick(start + length + 5*time.Second)
	e.Tick(start + length + 5*time.Second)
	s.until(start + length)
	s.out.enc = e.Stats()
}

// clean fails the test unless everything sent was delivered, in order, as sent.
func (o *outcome) clean(t testing.TB) {
	t.Helper()
	if o.lost != 0 || o.delivered != o.sent {
		st := o.stats
		st.Paths = nil
		t.Errorf("sent %d, delivered %d, lost %d (from %v): want none lost; %+v", o.sent, o.delivered, o.lost, o.lostSeqs, st)
	}
	o.sound(t)
}

// sound fails the test if anything was delivered that was not sent so.
func (o *outcome) sound(t testing.TB) {
	t.Helper()
	if o.wrong != 0 || o.disorder != 0 {
		t.Errorf("%d packets with wrong bytes, %d out of order", o.wrong, o.disorder)
	}
}

// gilbert returns a Gilbert–Elliott loss process over time: bad for burst on
// the mean, so often that the share of lost time is loss. It is a function of
// time, asked in no falling order.
func gilbert(rng *rand.Rand, loss float64, burst time.Duration) func(time.Duration) bool {
	if loss == 0 {
		return func(time.Duration) bool { return false }
	}
	good := time.Duration(float64(burst) * (1 - loss) / loss)
	draw := func(mean time.Duration) time.Duration { return time.Duration(rng.ExpFloat64() * float64(mean)) }
	bad, until := false, draw(good)
	return func(at time.Duration) bool {
		for at >= until {
			if bad = !bad; bad {
				until += draw(burst)
			} else {
				until += draw(good)
			}
		}
		return bad
	}
}

// outage is a loss process: everything sent in [from, to) is lost.
func outage(from, to time.Duration) func(time.Duration) bool {
	return func(at time.Duration) bool { return at >= from && at < to }
}
