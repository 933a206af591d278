package st2022

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"
)

// interval between source packets in the tests.
const interval = time.Millisecond

// source makes n RTP packets of 1 to 7 TS packets each.
func source(rng *rand.Rand, ssrc uint32, first uint16, firstTS uint32, n int) [][]byte {
	pkts := make([][]byte, n)
	for i := range pkts {
		p := make([]byte, rtpHeader+188*(1+rng.IntN(7)))
		p[0], p[1] = 0x80, 33
		binary.BigEndian.PutUint16(p[2:], first+uint16(i))
		binary.BigEndian.PutUint32(p[4:], firstTS+uint32(90*i))
		binary.BigEndian.PutUint32(p[8:], ssrc)
		for j := rtpHeader; j < len(p); j++ {
			p[j] = byte(rng.Uint32())
		}
		pkts[i] = p
	}
	return pkts
}

// sent is a packet on the wire.
type sent struct {
	at  time.Duration
	fec bool
	src int // index of the source packet
	pkt []byte
}

// encode runs all source packets through an encoder, one each interval, and
// returns the media and FEC packets in order of time.
func encode(t testing.TB, p Params, pkts [][]byte) []sent {
	t.Helper()
	var wire []sent
	e, err := NewEncoder(EncoderConfig{Params: p, ColumnSeq: 65530, RowSeq: 65520, Emit: func(k Kind, at time.Duration, pkt []byte) {
		wire = append(wire, sent{at: at, fec: true, pkt: bytes.Clone(pkt)})
	}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Second
	for i, pkt := range pkts {
		wire = append(wire, sent{at: now, src: i, pkt: pkt})
		if err := e.Add(now, pkt); err != nil {
			t.Fatal(err)
		}
		now += interval
	}
	for at, ok := e.Next(); ok; at, ok = e.Next() {
		e.Tick(at)
	}
	return wire
}

// decoded is what a decoder delivered.
type decoded struct {
	Delivery
	pkt []byte
}

func collect(t testing.TB, c DecoderConfig) (*Decoder, *[]decoded) {
	t.Helper()
	got := new([]decoded)
	c.Deliver = func(d *Delivery) {
		*got = append(*got, decoded{*d, bytes.Clone(d.Packet)})
	}
	d, err := NewDecoder(c)
	if err != nil {
		t.Fatal(err)
	}
	return d, got
}

// push gives a wire packet to the decoder and lets it deliver.
func push(d *Decoder, s sent) {
	d.Tick(s.at)
	if s.fec {
		d.PushFEC(s.at, s.pkt)
	} else {
		d.PushSource(s.at, s.pkt)
	}
}

func drain(d *Decoder) {
	for at, ok := d.Next(); ok; at, ok = d.Next() {
		d.Tick(at)
	}
}

func rngOf(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }
