package main

import (
	"encoding/binary"
	"time"

	"quartet/tests/relay"
)

// arqPath is one SRT path in virtual time: relay channels in both directions
// and a simple model of SRT's retransmission, after RETRANSMITALGO 0:
//
//   - the receiver asks for a packet as soon as a later one has come, and again
//     each max(20 ms, RTT/2) for all that are missing;
//   - the sender sends again whatever it is asked for, at once;
//   - requests and retransmissions meet the same network as all else;
//   - a packet is handed on exactly its latency after it would have come at the
//     best, in order; one that has not come by then is given up.
//
// What the model leaves out: reordering, timer granularity, congestion and
// flow control, and the time that programs take.
type arqPath struct {
	// set at start, never changed
	up, down *relay.Pipe
	owd      time.Duration // one way, without loss
	latency  time.Duration
	nakEvery time.Duration // 0: no retransmission at all
	deliver  func(at time.Duration, pkt []byte)
	giveUp   func(at time.Duration)

	slots   []arqSlot // by sequence, both ends
	next    uint32    // sender: next sequence number
	head    uint32    // receiver: next to hand on
	highest uint32    // receiver: one past the newest that came
	nakAt   time.Duration
	msg     []byte
	sent    uint64 // first copies
	resent  uint64
}

// arqSlot holds one packet at both ends.
type arqSlot struct {
	seq  uint32
	have bool // the receiver has it
	n    int
	at   time.Duration // when it was sent first
	pkt  [simPacketMax]byte
}

const (
	arqSlots = 1 << 12 // 4 s at 1000 packets/s
	arqHead  = 4
)

func newARQPath(name string, seed uint64, i relay.Impairment, owd, latency time.Duration, arq bool) (*arqPath, error) {
	p := &arqPath{owd: owd, latency: latency, slots: make([]arqSlot, arqSlots)}
	if arq {
		p.nakEvery = max(20*time.Millisecond, owd)
	}
	for d, pipe := range []**relay.Pipe{&p.up, &p.down} {
		ch, err := relay.NewChannel(relay.ChannelConfig{Seed: seed, Name: name, Direction: relay.Direction(d), Impairment: i})
		if err != nil {
			return nil, err
		}
		*pipe = relay.NewPipe(ch)
	}
	return p, nil
}

func (p *arqPath) slot(seq uint32) *arqSlot { return &p.slots[seq%arqSlots] }

// send takes a new packet.
func (p *arqPath) send(now time.Duration, pkt []byte) {
	s := p.slot(p.next)
	s.seq, s.have, s.at = p.next, false, now
	s.n = copy(s.pkt[:], pkt)
	p.next++
	p.sent++
	p.transmit(now, s)
}

func (p *arqPath) transmit(now time.Duration, s *arqSlot) {
	// The packet itself stays in its slot: both ends share the memory, and
	// only its number travels.
	p.msg = binary.BigEndian.AppendUint32(p.msg[:0], s.seq)
	p.up.Send(now, p.msg)
}

// step does what is due at now, which does not go back.
func (p *arqPath) step(now time.Duration) {
	p.down.Pop(now, func(_ time.Duration, nak []byte) {
		for ; len(nak) >= arqHead; nak = nak[arqHead:] {
			seq := binary.BigEndian.Uint32(nak)
			if s := p.slot(seq); s.seq == seq {
				p.resent++
				p.transmit(now, s)
			}
		}
	})
	p.up.Pop(now, func(_ time.Duration, msg []byte) { p.receive(now, binary.BigEndian.Uint32(msg)) })
	p.release(now)
	if p.nakEvery > 0 && now >= p.nakAt {
		p.nakAt = now + p.nakEvery
		p.ask(now, p.head, p.highest)
	}
}

// receive notes that a packet has come.
func (p *arqPath) receive(now time.Duration, seq uint32) {
	if seq < p.head {
		return // too late
	}
	p.slot(seq).have = true
	if seq >= p.highest {
		gap := p.highest
		p.highest = seq + 1
		if p.nakEvery > 0 {
			p.ask(now, gap, seq)
		}
	}
}

// ask sends a request for what is missing from one number up to another.
func (p *arqPath) ask(now time.Duration, from, to uint32) {
	p.msg = p.msg[:0]
	for seq := from; seq < to; seq++ {
		if p.slot(seq).have {
			continue
		}
		p.msg = binary.BigEndian.AppendUint32(p.msg, seq)
		if len(p.msg) == 300*arqHead {
			p.down.Send(now, p.msg)
			p.msg = p.msg[:0]
		}
	}
	if len(p.msg) > 0 {
		p.down.Send(now, p.msg)
	}
}

// release hands on what is due. A missing packet is given up when its own time
// is over.
func (p *arqPath) release(now time.Duration) {
	for p.head < p.next {
		s := p.slot(p.head)
		due := s.at + p.owd + p.latency
		if due > now {
			return
		}
		p.head++
		p.highest = max(p.highest, p.head)
		if s.have {
			p.deliver(due, s.pkt[:s.n])
		} else if p.giveUp != nil {
			p.giveUp(due)
		}
	}
}
