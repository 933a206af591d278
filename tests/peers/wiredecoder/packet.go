package wiredecoder

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

const (
	rtpSize    = 12
	repairSize = 22 // a repair packet without its symbol
	tagSize    = 8
	tsSize     = 188
	sourcePT   = 33
	repairPT   = 98 // the default, and the only one that this receiver knows

	longestSymbol = 3 + rtpSize + 7*tsSize
)

func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// TagKey derives the tag key of a contribution (section 3). HKDF of one block
// is two HMACs: extract with a salt of zeros, expand with the info and 1.
func TagKey(contribution []byte) []byte {
	return mac(mac(make([]byte, sha256.Size), contribution), []byte("quartet-tag-v0"), []byte{1})
}

// Tag returns the tag of a packet.
func Tag(key, pkt []byte) []byte { return mac(key, pkt)[:tagSize] }

// Check returns the packet of a message whose tag is right.
func Check(key, msg []byte) (pkt []byte, ok bool) {
	n := len(msg) - tagSize
	if n <= 0 || !hmac.Equal(Tag(key, msg[:n]), msg[n:]) {
		return nil, false
	}
	return msg[:n], true
}

// kind of a packet, by its second byte.
type kind int

const (
	unknown kind = iota
	sourceKind
	repairKind
	rtcpKind
)

func kindOf(pkt []byte) kind {
	switch {
	case len(pkt) < 2:
		return unknown
	case pkt[1] >= 200 && pkt[1] <= 207:
		return rtcpKind
	case pkt[1]&0x7F == sourcePT:
		return sourceKind
	case pkt[1]&0x7F == repairPT:
		return repairKind
	}
	return unknown
}

// source is what the header of a source packet says (section 4).
type source struct {
	seq       uint16
	timestamp uint32
	ssrc      uint32
}

// parseSource reads a source packet; what section 13 has dropped is not ok.
func parseSource(pkt []byte) (h source, ok bool) {
	n := len(pkt) - rtpSize
	if n < tsSize || n > 7*tsSize || n%tsSize != 0 || pkt[0] != 0x80 || pkt[1]&0x7F != sourcePT {
		return h, false
	}
	for ts := pkt[rtpSize:]; len(ts) > 0; ts = ts[tsSize:] {
		if ts[0] != 0x47 {
			return h, false
		}
	}
	return source{binary.BigEndian.Uint16(pkt[2:]), binary.BigEndian.Uint32(pkt[4:]), binary.BigEndian.Uint32(pkt[8:])}, true
}

// repair is a repair packet (section 5).
type repair struct {
	timestamp uint32
	ssrc      uint32 // of the source packets
	isn       uint16
	k, n, esi int
	symbol    []byte
}

func parseRepair(pkt []byte) (r repair, ok bool) {
	if len(pkt) < repairSize+3+rtpSize || len(pkt) > repairSize+longestSymbol || pkt[0] != 0x81 {
		return r, false
	}
	r = repair{
		timestamp: binary.BigEndian.Uint32(pkt[4:]), ssrc: binary.BigEndian.Uint32(pkt[12:]), isn: binary.BigEndian.Uint16(pkt[16:]),
		k: int(pkt[18]), n: int(pkt[19]), esi: int(pkt[20]), symbol: pkt[repairSize:],
	}
	return r, r.k >= 1 && r.k <= 254 && r.n >= 1 && r.n <= r.k && r.esi >= r.k && r.esi <= 254 && pkt[21] == 0
}

// adui is a source packet as a symbol of the code, without its padding.
func adui(pkt []byte) []byte {
	return append([]byte{0, byte(len(pkt) >> 8), byte(len(pkt))}, pkt...)
}

// packetOf takes the source packet out of a symbol with its padding.
func packetOf(symbol []byte) (pkt []byte, ok bool) {
	l := int(symbol[1])<<8 | int(symbol[2])
	if symbol[0] != 0 || l < rtpSize || 3+l > len(symbol) {
		return nil, false
	}
	for _, b := range symbol[3+l:] {
		if b != 0 {
			return nil, false
		}
	}
	return symbol[3 : 3+l], true
}
