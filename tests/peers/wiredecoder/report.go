package wiredecoder

import (
	"encoding/binary"
	"hash/crc32"
	"time"
)

// path counts, for the reports, what one path did (sections 8 and 10).
type path struct {
	index   byte // as the box told it
	epoch   *epoch
	first   int64 // it counts from this sequence number on
	highest int64

	received, byOther, byParity, unrecovered, late uint64
}

func (r *Receiver) path(i int) *path {
	if r.paths[i] == nil {
		r.paths[i] = &path{index: 255}
	}
	return r.paths[i]
}

// saw notes a source packet that came on the path.
func (p *path) saw(e *epoch, at point) {
	if p.epoch != e {
		*p = path{index: p.index, epoch: e, first: at.seq, highest: at.seq}
		if e.begun {
			p.first = max(at.seq, e.turn)
		}
	}
	p.highest = max(p.highest, at.seq)
}

// settings reads the path's index from QRTS; the rest is not needed here.
func (p *path) settings(compound []byte) {
	for b := compound; len(b) >= 4; {
		n := 4 * (1 + int(binary.BigEndian.Uint16(b[2:])))
		if n > len(b) {
			return
		}
		if b[0] == 0x80 && b[1] == 204 && n >= 12+32 && string(b[8:12]) == "QRTS" && b[12] == 0 && b[13] < 64 {
			p.index = b[13]
		}
		b = b[n:]
	}
}

// account books a packet whose turn it is; nil: it is lost.
func (r *Receiver) account(e *epoch, seq int64, pkt *packet) {
	switch {
	case pkt == nil:
		r.Lost++
		e.lost++
	case pkt.from == 0:
		e.byParity++
		fallthrough
	default:
		r.Delivered++
		e.delivered++
		e.digest.add(seq, pkt.data)
	}
	for i, p := range r.paths {
		switch {
		case p.epoch != e || seq < p.first:
		case pkt == nil:
			p.unrecovered++
		case pkt.from>>i&1 == 1:
			p.received++
		case pkt.from == 0:
			p.byParity++
		default:
			p.byOther++
		}
	}
}

// digest adds up windows of 1024 packets (section 11).
type digest struct {
	number   int64 // sequence number ÷ 1024, unwrapped
	count    int
	sum      uint64
	begin    []byte // timestamp of the window's first packet
	complete [][]byte
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (d *digest) add(seq int64, pkt []byte) {
	if n := seq >> 10; n != d.number {
		*d = digest{number: n, complete: d.complete}
	}
	if seq&1023 == 0 {
		d.begin = pkt[4:8]
	}
	d.count++
	d.sum += uint64(crc32.Checksum(pkt, castagnoli))
	if d.count == 1024 {
		w := append([]byte(nil), d.begin...)
		w = append(w, byte(d.number&63), 0, 4, 0)
		d.complete = append(d.complete, binary.BigEndian.AppendUint64(w, d.sum))
		d.complete = d.complete[max(0, len(d.complete)-8):]
	}
}

// Report makes the message to send back on a path: RR, SDES, QRTP and QRTM. own
// is the SSRC of this receiver. Before anything came on the path all is zero,
// and RR has no block: the box must hear that somebody is there.
func (r *Receiver) Report(own uint32, from int) []byte {
	p := r.path(from)
	e := p.epoch
	if e == nil {
		e = &epoch{turn: 1}
	}
	u16, u32, u64 := binary.BigEndian.AppendUint16, binary.BigEndian.AppendUint32, binary.BigEndian.AppendUint64
	lost := p.byOther + p.byParity + p.unrecovered
	r.reports++

	b := u32([]byte{0x80, 201, 0, 1}, own)
	if p.epoch != nil {
		b = u32(u32([]byte{0x81, 201, 0, 7}, own), e.ssrc)
		b = u32(b, uint32(min(lost, 1<<23-1))) // fraction lost: left at 0
		b = u32(b, uint32(p.highest))
		b = append(b, make([]byte, 12)...) // jitter, LSR, DLSR: not known
	}

	name := "quartet-wiredecoder"
	sdes := append(u32(nil, own), 1, byte(len(name)))
	sdes = append(append(sdes, name...), 0)
	for len(sdes)%4 != 0 {
		sdes = append(sdes, 0)
	}
	b = append(u16(append(b, 0x81, 202), uint16(len(sdes)/4)), sdes...)

	d := []byte{0, p.index, 0, 0}
	d = u32(u32(d, e.ssrc), uint32(p.highest))
	d = u32(append(d, make([]byte, 8)...), r.reports) // skew and jitter: not known
	for _, v := range []uint64{p.received, lost, p.byOther, p.byParity, p.unrecovered, p.late, 0, 0, 0} {
		d = u64(d, v)
	}
	b = app(b, own, "QRTP", d)

	d = []byte{0, 0, byte(len(e.digest.complete)), 0}
	d = u32(u32(d, e.ssrc), uint32(e.turn-1))
	d = u32(u32(u32(d, 0), uint32(time.Duration(r.latency)*time.Second/90_000/time.Microsecond)), r.reports)
	for _, v := range []uint64{0, e.delivered, e.byParity, e.lost, 0, 0, r.Disagreeing, r.Refused, r.Epochs, 0} {
		d = u64(d, v)
	}
	for _, w := range e.digest.complete {
		d = append(d, w...)
	}
	b = app(b, own, "QRTM", d)
	return append(b, Tag(r.key, b)...)
}

func app(b []byte, own uint32, name string, data []byte) []byte {
	b = binary.BigEndian.AppendUint16(append(b, 0x80, 204), uint16((12+len(data))/4-1))
	b = append(binary.BigEndian.AppendUint32(b, own), name...)
	return append(b, data...)
}
