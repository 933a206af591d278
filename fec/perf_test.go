package fec

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"testing"
	"time"
)

// tape is a second and more of what a sender sends and a network leaves of it,
// in order of arrival, to be played in a loop: sequence numbers and timestamps
// are shifted by whole turns of the tape.
type tape struct {
	step    time.Duration
	source  [][]byte
	encoder *Encoder
	n       int
}

func newTape(t testing.TB, p Params, emit func(int, time.Duration, []byte)) *tape {
	t.Helper()
	if emit == nil {
		emit = func(int, time.Duration, []byte) {}
	}
	c := EncoderConfig{Params: p, Emit: emit}
	for i := range p.Streams {
		c.SSRC, c.Seq = append(c.SSRC, uint32(i)), append(c.Seq, 0)
	}
	e, err := NewEncoder(c)
	if err != nil {
		t.Fatal(err)
	}
	x := &tape{step: time.Millisecond, encoder: e}
	for i := range 256 {
		b := make([]byte, DefaultMaxPacket)
		fillPacket(b, uint16(i), 0, 77)
		x.source = append(x.source, b)
	}
	return x
}

// next returns the next source packet and its time; its payload repeats.
func (x *tape) next() ([]byte, time.Duration) {
	b := x.source[x.n%len(x.source)]
	b[2], b[3] = byte(x.n>>8), byte(x.n)
	ts := uint32(x.n) * 90
	b[4], b[5], b[6], b[7] = byte(ts>>24), byte(ts>>16), byte(ts>>8), byte(ts)
	at := time.Duration(x.n) * x.step
	x.n++
	return b, at
}

// network plays a sender into a decoder over paths that lose.
type network struct {
	*tape
	dec   *Decoder
	rng   *rand.Rand
	paths int
	loss  float64
	bad   []int // packets still to be lost, per path
	lost  int
}

func newNetwork(t testing.TB, p Params, paths int, loss float64) *network {
	t.Helper()
	n := &network{rng: rand.New(rand.NewPCG(1, 1)), paths: paths, loss: loss, bad: make([]int, paths)}
	d, err := NewDecoder(DecoderConfig{Latency: 300 * time.Millisecond, Deliver: func(x *Delivery) {
		if x.Lost {
			n.lost++
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	n.dec = d
	for i := range paths {
		d.SetPath(i, 0, true)
	}
	n.tape = newTape(t, p, func(stream int, at time.Duration, pkt []byte) {
		for i := stream; i < paths; i += p.Streams {
			n.push(i, at, pkt)
		}
	})
	return n
}

func (n *network) push(path int, at time.Duration, pkt []byte) {
	if n.bad[path] > 0 {
		n.bad[path]--
		return
	}
	if n.rng.Float64() < n.loss {
		n.bad[path] = 5
	}
	n.dec.Push(path, at, pkt)
}

func (n *network) step() {
	pkt, at := n.next()
	if err := n.encoder.Add(at, pkt); err != nil {
		panic(err)
	}
	for i := range n.paths {
		n.push(i, at, pkt)
	}
	n.dec.Tick(at)
}

// Nothing on the packet path allocates once the buffers are there, with loss
// and recovery on.
func TestNoAllocationPerPacket(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for _, p := range []Params{{K: 64, R: 6, Streams: 4}, {K: 20, R: 2, Streams: 1}, {K: 100, R: 77, Streams: 2}, {K: 64, Streams: 1}} {
		x := newTape(t, p, nil)
		if n := testing.AllocsPerRun(5000, func() {
			pkt, at := x.next()
			if err := x.encoder.Add(at, pkt); err != nil {
				t.Fatal(err)
			}
			x.encoder.Tick(at + x.step/2)
			x.encoder.Next()
		}); n != 0 {
			t.Errorf("%+v: %v allocations per Add and Tick", p, n)
		}

		net := newNetwork(t, p, 4, 0.08)
		for range 20000 {
			net.step()
		}
		before := net.dec.Stats().RecoveredParity
		if n := testing.AllocsPerRun(20000, net.step); n != 0 {
			t.Errorf("%+v: %v allocations per packet over four paths", p, n)
		}
		if s := net.dec.Stats(); p.R > 0 && s.RecoveredParity == before && p.K != 20 {
			t.Errorf("%+v: nothing was recovered meanwhile", p)
		}
	}
}

func BenchmarkEncoder(b *testing.B) {
	for _, p := range []Params{{K: 64, R: 6, Streams: 1}, {K: 64, R: 6, Streams: 4}, {K: 64, R: 16, Streams: 4}} {
		b.Run(fmt.Sprintf("%d+%dx%d", p.K, p.R, p.Streams), func(b *testing.B) {
			x := newTape(b, p, nil)
			b.SetBytes(DefaultMaxPacket)
			b.ReportAllocs()
			for b.Loop() {
				pkt, at := x.next()
				if err := x.encoder.Add(at, pkt); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecoder reports the time per source packet of the stream, that is
// for its copies on all paths and their repair packets.
func BenchmarkDecoder(b *testing.B) {
	for _, c := range []struct {
		paths int
		loss  float64
	}{{1, 0}, {4, 0}, {1, 0.002}, {4, 0.05}} {
		b.Run(fmt.Sprintf("%dpaths/loss%v", c.paths, c.loss), func(b *testing.B) {
			// What the encoder makes is recorded, so that its cost is not in.
			const turns = 16 * 64
			p := Params{K: 64, R: 6, Streams: c.paths}
			n := newNetwork(b, p, c.paths, c.loss)
			type arrival struct {
				path int
				pkt  []byte
				step int
			}
			var all []arrival
			step := 0
			rec := func(path int, pkt []byte) {
				all = append(all, arrival{path, append([]byte(nil), pkt...), step})
			}
			x := newTape(b, p, func(stream int, _ time.Duration, pkt []byte) { rec(stream, pkt) })
			for step = range turns {
				pkt, at := x.next()
				if err := x.encoder.Add(at, pkt); err != nil {
					b.Fatal(err)
				}
				for i := range c.paths {
					rec(i, pkt)
				}
			}
			b.SetBytes(DefaultMaxPacket)
			b.ReportAllocs()
			round, i, last := 0, 0, 0
			for b.Loop() {
				for ; i < len(all) && all[i].step == last; i++ {
					a := &all[i]
					shift(a.pkt, turns, round)
					n.push(a.path, time.Duration(round*turns+last)*x.step, a.pkt)
				}
				n.dec.Tick(time.Duration(round*turns+last) * x.step)
				if last++; last == turns {
					round, i, last = round+1, 0, 0
				}
			}
		})
	}
}

// shift moves a recorded packet by turns packets; the recording begins anew
// with each round. Recovered symbols are then not those of the packets, and
// fail their check, at the same cost.
func shift(pkt []byte, turns, round int) {
	if round == 0 {
		return
	}
	put := func(at, size int, by int) {
		for i := at + size - 1; i >= at; i-- {
			by += int(pkt[i])
			pkt[i] = byte(by)
			by >>= 8
		}
	}
	put(4, 4, turns*90)
	if pkt[1]&0x7f == SourcePT {
		put(2, 2, turns)
	} else {
		put(16, 2, turns)
	}
}
