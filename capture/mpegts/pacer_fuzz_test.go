package mpegts

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"
)

// FuzzPacer drives a Pacer with any pattern of PCRs, bursts, pauses and
// breaks. What must hold always: every packet comes out once, in order and
// unchanged; instants do not go back, are never before arrival, and while Pop
// is called in time no packet is held for longer than the bound.
func FuzzPacer(f *testing.F) {
	f.Add([]byte{0, 10, 20, 30, 1, 2, 3}, uint64(1), uint8(20), uint8(100))
	f.Add([]byte{255, 255, 0, 0, 128, 7, 7, 7}, uint64(2), uint8(1), uint8(1))
	f.Add(bytes.Repeat([]byte{0x15, 0x40, 0x03}, 60), uint64(3), uint8(50), uint8(60))
	f.Add(bytes.Repeat([]byte{0x07, 0x05}, 200), uint64(4), uint8(5), uint8(30))
	f.Fuzz(func(t *testing.T, ops []byte, seed uint64, latency, limit uint8) {
		r := rand.New(rand.NewPCG(seed, 0))
		cfg := PacerConfig{
			Latency:    time.Duration(latency) * time.Millisecond,
			MaxLatency: time.Duration(limit) * time.Millisecond,
			PCRPID:     PID(seed % 3 * 0x100),
		}
		p := NewPacer(cfg)
		var queue []byte
		var arrived []time.Duration
		var now, last, start time.Duration
		start = time.Duration(seed%7) * 1000 * time.Hour
		now = start
		out := 0
		emit := func(at time.Duration, ts []byte) {
			if !bytes.Equal(ts, queue[:PacketSize]) {
				t.Fatalf("packet %d is not the one that is next", out)
			}
			if at < last || at < arrived[0] || at > now || at > arrived[0]+p.maxLatency {
				t.Fatalf("packet %d: arrived %v, emitted %v, after %v, now %v, bound %v", out, arrived[0], at, last, now, p.maxLatency)
			}
			last = at
			queue, arrived = queue[PacketSize:], arrived[1:]
			out++
		}
		pcr := PCR(PCRModulus - PCRHz)
		for _, op := range ops {
			// Time passes: usually as the PCR says, sometimes not.
			step := time.Duration(op>>4) * time.Millisecond
			if op>>4 == 15 {
				step = time.Duration(r.IntN(3000)) * time.Millisecond
			}
			for end := now + step; now < end; {
				now = min(now+time.Duration(1+r.IntN(5000))*time.Microsecond, end)
				if at, ok := p.Next(); ok && at <= now {
					before := out
					p.Pop(at, emit)
					if out == before {
						t.Fatalf("due at %v, and nothing came at that instant", at)
					}
				}
				p.Pop(now, emit)
				if at, ok := p.Next(); ok && at <= now {
					t.Fatalf("still due at %v, now %v", at, now)
				}
			}
			pcr = pcr.Add(DurationToTicks(step))
			var ts []byte
			for range 1 + int(op&7) {
				q := dataPacket(PID(r.IntN(3))*0x100, uint8(r.Uint32()))
				if r.IntN(4) == 0 {
					q = pcrPacket(PID(r.IntN(3))*0x100, pcr)
					q.SetDiscontinuity(r.IntN(20) == 0)
					if op&8 != 0 && r.IntN(8) == 0 {
						pcr = PCR(r.Uint64N(PCRModulus))
					}
					if r.IntN(50) == 0 {
						pcr = pcr.Add(r.Int64N(2*PCRHz) - PCRHz)
					}
				}
				ts = append(ts, q...)
			}
			if op&7 == 7 && r.IntN(4) == 0 {
				ts = bytes.Repeat(ts, 30)
			}
			queue = append(queue, ts...)
			for range len(ts) / PacketSize {
				arrived = append(arrived, now)
			}
			p.Push(now, ts)
			p.Pop(now, emit)
		}
		now += 10 * time.Second
		p.Pop(now, emit)
		if st := p.Stats(); len(queue) != 0 || st.Dropped != 0 || st.Packets != uint64(out) || st.Buffered != 0 {
			t.Fatalf("%d bytes left, %+v", len(queue), st)
		}
	})
}
