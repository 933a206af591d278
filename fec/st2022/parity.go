package st2022

import (
	"crypto/subtle"
)

// parity is the XOR over some source packets, built in the place of the FEC
// packet that will carry it.
type parity struct {
	buf  []byte // RTP header, FEC header, payload
	n    int    // bytes of payload so far: the longest of the packets
	head Header // of a column that waits to be sent
	rtp         // XOR of the header fields: ts, bits, mpt
	len  uint16 // XOR of the lengths
}

func newParity(maxPacket int) parity {
	return parity{buf: make([]byte, maxPacket+fecHeader)}
}

func (p *parity) reset() { p.n, p.len, p.rtp = 0, 0, rtp{} }

// add mixes in a source packet. payload is all that follows the fixed header.
func (p *parity) add(r rtp, payload []byte) {
	p.ts ^= r.ts
	p.bits ^= r.bits
	p.mpt ^= r.mpt
	p.len ^= uint16(len(payload))
	p.n = xorLonger(p.buf[rtpHeader+fecHeader:], p.n, payload)
}

// packet completes the FEC packet; it is valid until the next add.
func (p *parity) packet(h Header, r rtp) []byte {
	r.bits = p.bits
	r.mpt |= p.mpt & 0x80 // M; the payload type is recovered from the FEC header
	putRTP(p.buf, r)
	h.Extended = true
	h.LengthRecovery, h.PTRecovery, h.TSRecovery = p.len, p.mpt&0x7F, p.ts
	h.Append(p.buf[rtpHeader:rtpHeader])
	return p.buf[:rtpHeader+fecHeader+p.n]
}

// xorLonger mixes src into dst, whose first n bytes count and whose rest is
// taken as zero. It returns how many bytes count now.
func xorLonger(dst []byte, n int, src []byte) int {
	m := min(n, len(src))
	subtle.XORBytes(dst, dst[:m], src[:m])
	if len(src) > n {
		copy(dst[n:], src[n:])
		n = len(src)
	}
	return n
}

// fec is a received FEC packet that may still repair something.
type fec struct {
	base   uint64 // unwrapped SNBase
	offset uint64
	na     uint64
	kind   Kind
	rtp           // XOR of the protected packets' fields: ts, bits, mpt
	len    uint16 // XOR of their lengths
	buf    []byte
	n      int // bytes of payload
}

func (f *fec) last() uint64 { return f.base + (f.na-1)*f.offset }

// covers tells whether seq is one of the protected packets.
func (f *fec) covers(seq uint64) bool {
	d := seq - f.base
	return seq >= f.base && d%f.offset == 0 && d/f.offset < f.na
}

// set reads the packet; the caller has checked that it fits.
func (f *fec) set(base uint64, r rtp, h Header, payload []byte) {
	f.base, f.offset, f.na, f.kind = base, uint64(h.Offset), uint64(h.NA), h.Kind
	f.rtp = rtp{ts: h.TSRecovery, bits: r.bits, mpt: r.mpt&0x80 | h.PTRecovery}
	f.len = h.LengthRecovery
	f.n = copy(f.buf, payload)
}
