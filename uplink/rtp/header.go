package rtp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"quartet/capture/mpegts"
)

const (
	// HeaderSize is the length in bytes of an RTP header without CSRCs and
	// extension (RFC 3550 §5.1).
	HeaderSize = 12
	// PayloadTypeTS is the static payload type of an MPEG-2 transport stream,
	// MP2T (RFC 3551 §6).
	PayloadTypeTS = 33
	// ClockRate is the rate in Hz of MP2T's RTP clock (RFC 3551 §6).
	ClockRate = 90000
	// MaxTSPackets is the largest number of TS packets in one source packet.
	MaxTSPackets = 7
	// MaxSourcePacket is the length in bytes of the longest source packet.
	MaxSourcePacket = HeaderSize + MaxTSPackets*mpegts.PacketSize
	// MaxMessage is the length in bytes of the longest message, tag included:
	// the SRT payload size that both ends set.
	MaxMessage = 1456

	rtpVersion = 2
)

// ErrMalformed is wrapped by every error about a packet that does not follow
// the format it should have.
var ErrMalformed = errors.New("malformed packet")

func malformed(format string, args ...any) error {
	return fmt.Errorf("rtp: %w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// Header holds the fields of an RTP header (RFC 3550 §5.1) that carry
// information for us. CSRCs and extensions are skipped over.
//
//	offset  bits  field
//	0       2     version, 2
//	0       1     P: padding follows the payload; 0 in our source packets
//	0       1     X: an extension follows; 0 in our source packets
//	0       4     CC: number of CSRCs; 0 in our source packets
//	1       1     M: timestamp discontinuity (RFC 2250 §2)
//	1       7     PT: payload type
//	2       16    sequence number
//	4       32    timestamp, 90 kHz
//	8       32    SSRC
type Header struct {
	PayloadType uint8
	Marker      bool
	Seq         Seq
	Timestamp   uint32
	SSRC        uint32
}

// Put writes the header, 12 bytes without padding, extension and CSRCs, to the
// start of dst, which must have room for it.
func (h Header) Put(dst []byte) {
	_ = dst[HeaderSize-1]
	dst[0] = rtpVersion << 6
	dst[1] = h.PayloadType & 0x7f
	if h.Marker {
		dst[1] |= 0x80
	}
	binary.BigEndian.PutUint16(dst[2:], uint16(h.Seq))
	binary.BigEndian.PutUint32(dst[4:], h.Timestamp)
	binary.BigEndian.PutUint32(dst[8:], h.SSRC)
}

// fixed reads the first 12 bytes of pkt, which must have them.
func fixed(pkt []byte) Header {
	_ = pkt[HeaderSize-1]
	return Header{
		PayloadType: pkt[1] & 0x7f,
		Marker:      pkt[1]&0x80 != 0,
		Seq:         Seq(binary.BigEndian.Uint16(pkt[2:])),
		Timestamp:   binary.BigEndian.Uint32(pkt[4:]),
		SSRC:        binary.BigEndian.Uint32(pkt[8:]),
	}
}

// Parse reads any RTP packet (RFC 3550 §5.1) and returns its header and its
// payload: a view of pkt without CSRCs, header extension and padding. Errors
// wrap ErrMalformed.
func Parse(pkt []byte) (Header, []byte, error) {
	if len(pkt) < HeaderSize {
		return Header{}, nil, malformed("%d bytes: an RTP packet has at least %d", len(pkt), HeaderSize)
	}
	if v := pkt[0] >> 6; v != rtpVersion {
		return Header{}, nil, malformed("RTP version %d, want %d", v, rtpVersion)
	}
	start, end := HeaderSize, len(pkt)
	start += 4 * int(pkt[0]&0x0f)
	if start > end {
		return Header{}, nil, malformed("CSRC count %d needs %d bytes, the packet has %d", pkt[0]&0x0f, start, end)
	}
	if pkt[0]&0x10 != 0 { // RFC 3550 §5.3.1
		if start+4 > end {
			return Header{}, nil, malformed("header extension cut off: needs %d bytes, the packet has %d", start+4, end)
		}
		words := int(binary.BigEndian.Uint16(pkt[start+2:]))
		start += 4 + 4*words
		if start > end {
			return Header{}, nil, malformed("header extension of %d words needs %d bytes, the packet has %d", words, start, end)
		}
	}
	if pkt[0]&0x20 != 0 {
		pad := int(pkt[end-1])
		if pad == 0 || pad > end-start {
			return Header{}, nil, malformed("padding of %d bytes behind a header of %d in a packet of %d: want 1 to %d",
				pad, start, end, end-start)
		}
		end -= pad
	}
	return fixed(pkt), pkt[start:end:end], nil
}

// ParseTS reads an RTP packet with payload type 33 that carries whole TS
// packets (RFC 2250 §2), as an RTP input receives it: CSRCs, extension and
// padding are allowed. It returns the header and the TS packets, a view of
// pkt. Errors wrap ErrMalformed.
func ParseTS(pkt []byte) (Header, []byte, error) {
	h, ts, err := Parse(pkt)
	if err != nil {
		return Header{}, nil, err
	}
	if h.PayloadType != PayloadTypeTS {
		return Header{}, nil, malformed("payload type %d, want %d (MP2T)", h.PayloadType, PayloadTypeTS)
	}
	if err := CheckTS(ts); err != nil {
		return Header{}, nil, err
	}
	return h, ts, nil
}

// ParseSource reads a source packet of our own wire format: a header of
// exactly 12 bytes with payload type 33, then 1 to 7 TS packets. It returns the
// header and the TS packets, a view of pkt. Errors wrap ErrMalformed.
func ParseSource(pkt []byte) (Header, []byte, error) {
	if len(pkt) < HeaderSize {
		return Header{}, nil, malformed("%d bytes: a source packet has at least %d", len(pkt), HeaderSize+mpegts.PacketSize)
	}
	if pkt[0] != rtpVersion<<6 {
		return Header{}, nil, malformed("first byte %#02x, want 0x80: version 2, no padding, extension or CSRC", pkt[0])
	}
	h := fixed(pkt)
	if h.PayloadType != PayloadTypeTS {
		return Header{}, nil, malformed("payload type %d, want %d (MP2T)", h.PayloadType, PayloadTypeTS)
	}
	if len(pkt) > MaxSourcePacket {
		return Header{}, nil, malformed("%d bytes: a source packet has at most %d", len(pkt), MaxSourcePacket)
	}
	ts := pkt[HeaderSize:]
	if err := CheckTS(ts); err != nil {
		return Header{}, nil, err
	}
	return h, ts, nil
}

// CheckTS reports whether ts is one or more whole TS packets, each beginning
// with the sync byte (ISO/IEC 13818-1 §2.4.3.2). Errors wrap ErrMalformed.
func CheckTS(ts []byte) error {
	if len(ts) == 0 || len(ts)%mpegts.PacketSize != 0 {
		return malformed("%d payload bytes, want a multiple of %d", len(ts), mpegts.PacketSize)
	}
	for i := 0; i < len(ts); i += mpegts.PacketSize {
		if ts[i] != mpegts.SyncByte {
			return malformed("TS packet %d begins with %#02x, want sync byte %#02x", i/mpegts.PacketSize, ts[i], mpegts.SyncByte)
		}
	}
	return nil
}

// IsRTCP reports whether a packet that shares a connection with RTP is RTCP:
// its second byte, an RTCP packet type, is 200 to 207 (RFC 5761 §4; no RTP
// payload type of ours reads so, with the marker bit or without).
func IsRTCP(pkt []byte) bool {
	return len(pkt) >= 8 && pkt[0]>>6 == rtpVersion && pkt[1] >= 200 && pkt[1] <= 207
}

// PayloadTypeOf returns the payload type of an RTP packet, −1 if it is too
// short, of another version, or RTCP.
func PayloadTypeOf(pkt []byte) int {
	if len(pkt) < HeaderSize || pkt[0]>>6 != rtpVersion || IsRTCP(pkt) {
		return -1
	}
	return int(pkt[1] & 0x7f)
}

// Ticks returns d in periods of the 90 kHz RTP clock, rounded down. It is exact
// for every d: a difference of two results never drifts.
func Ticks(d time.Duration) int64 {
	sec := floorDiv(int64(d), int64(time.Second))
	rest := int64(d) - sec*int64(time.Second) // 0 ≤ rest < 1 s
	return sec*ClockRate + rest*9/100_000     // 90 kHz · 1 ns = 9/100000
}

// TicksDuration returns the length of n periods of the 90 kHz RTP clock,
// rounded down to a nanosecond.
func TicksDuration(n int64) time.Duration {
	sec := floorDiv(n, ClockRate)
	rest := n - sec*ClockRate
	return time.Duration(sec)*time.Second + time.Duration(rest*100_000/9)
}
