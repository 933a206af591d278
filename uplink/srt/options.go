package srt

// #include "shim.h"
import "C"

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/haivision/srtgo"
)

// Sizes of a packet, bytes.
const (
	// MaxPayload is the longest message: 1500 − IPv4 and UDP (28) − SRT (16).
	MaxPayload = 1456
	// TSPayload is seven TS packets, what every `ts` receiver expects.
	TSPayload = 1316

	udpHeaders    = 28 // IPv4 and UDP
	srtHeader     = 16
	defaultMSS    = 1500
	filterExtra   = 4 // header of libsrt's built-in packet filter
	maxStreamID   = 512
	minPassphrase = 10
	maxPassphrase = 79
	maxInterface  = 15
	maxFilter     = 64
)

// Options are the settings of a socket. The zero value is ready for use: a zero
// field stands for the default told beside it. In brackets: libsrt's name.
//
// Always set, with no field: TSBPDMODE, TLPKTDROP, DRIFTTRACER, NAKREPORT and
// ENFORCEDENCRYPTION on, live mode with its message API, GROUPCONNECT off,
// MINVERSION 1.3.0.
type Options struct {
	// Latency is the delay within which retransmission must succeed; the larger
	// of both ends counts. Default 120 ms, at most 65535 ms. With retransmission
	// alone it should be 4–5 round trips. [LATENCY]
	Latency time.Duration
	// ReceiveLatency is the delay of what is received here, where that is less than
	// Latency because only reports come back; the far end may ask for more.
	// Default: Latency. [RCVLATENCY]
	ReceiveLatency time.Duration
	// PayloadSize is the longest message in bytes. Default 1456 (less with a
	// smaller MSS or a packet filter); it is set on every socket because libsrt's
	// own default of 1316 refuses a tagged RTP packet, and lets a caller that asks
	// for a packet filter crash a listener. [PAYLOADSIZE]
	PayloadSize int

	// Passphrase of 10 to 79 bytes turns encryption on. [PASSPHRASE]
	Passphrase string
	// KeyLength is 16, 24 or 32 bytes of AES key. Default: 16 for a caller, the
	// caller's choice for a listener. [PBKEYLEN]
	KeyLength int
	// StreamID tells the listener what is wanted, at most 512 bytes. It travels
	// in clear and proves nothing. [STREAMID]
	StreamID string

	// MaxBW is the ceiling of the sending rate in bytes/s; -1 means none. Zero
	// means none too, unless InputBW or MinInputBW is set: then the ceiling is
	// the input rate and OverheadBW more. [MAXBW]
	MaxBW int64
	// InputBW is the rate of the input in bytes/s; 0 lets libsrt measure. [INPUTBW]
	InputBW int64
	// MinInputBW bounds the measured rate from below. [MININPUTBW]
	MinInputBW int64
	// OverheadBW is what retransmission may add, 5 to 100 percent. Default 25.
	// [OHEADBW]
	OverheadBW int

	// FC is how many packets may be in flight. Default 25600. [FC]
	FC int
	// SndBuf and RcvBuf are libsrt's buffers in bytes (1472 hold a packet of the
	// usual MSS). Default 8192 packets. See Sized. [SNDBUF, RCVBUF]
	SndBuf, RcvBuf int
	// UDPSndBuf and UDPRcvBuf are what the kernel is asked for, in bytes; it
	// grants no more than net.core.wmem_max and rmem_max. Default: libsrt's
	// 65536 and 12288000. [UDP_SNDBUF, UDP_RCVBUF]
	UDPSndBuf, UDPRcvBuf int

	// RetransmitAlgo 0 retransmits on every loss report: fewest losses, needs
	// spare capacity. 1 waits a round trip before it repeats: for a capped path.
	// [RETRANSMITALGO]
	RetransmitAlgo int
	// LossMaxTTL is how many packets later a reordered packet may come before it
	// is reported lost. Default 40; -1 means 0. [LOSSMAXTTL]
	LossMaxTTL int
	// SndDropDelay is how many ms beyond the latency the sender keeps trying; -1
	// means that it never drops. [SNDDROPDELAY]
	SndDropDelay int

	// ConnectTimeout bounds a call. Default 1.5 s. [CONNTIMEO]
	ConnectTimeout time.Duration
	// PeerIdleTimeout is after how much silence a connection counts as broken.
	// libsrt itself waits for 16 timer expiries, about 5 s, however short this is;
	// Send keeps the promise on its own while something is unacknowledged. A
	// side that only receives hears of it from libsrt. Default 2 s. [PEERIDLETIMEO]
	PeerIdleTimeout time.Duration

	// IPTOS is the type-of-service byte. Default 0x88 (AF41); -1 means 0. [IPTOS]
	IPTOS int
	// IPTTL is the hop limit, 1 to 255. Default: the system's. [IPTTL]
	IPTTL int
	// MSS is the largest IP packet, 116 to 1500. Default 1500. [MSS]
	MSS int
	// PacketFilter configures SRT's own XOR FEC, such as "fec,cols:10,rows:5". A
	// peer that asks for a filter is refused unless this is set. [PACKETFILTER]
	PacketFilter string

	// Interface binds to a network interface by name; needs CAP_NET_RAW on kernels
	// before 5.7.
	// [BINDTODEVICE]
	Interface string
	// LocalAddr is a caller's source address, "ip" or "ip:port".
	LocalAddr string

	// Backlog is how many callers may wait to be accepted. Default 64.
	Backlog int
}

const (
	defaultLatency     = 120 * time.Millisecond
	defaultConnect     = 1500 * time.Millisecond
	defaultIdle        = 2 * time.Second
	defaultFC          = 25600
	defaultBufPackets  = 8192
	defaultLossMaxTTL  = 40
	defaultTOS         = 0x88
	defaultOverhead    = 25
	defaultBacklog     = 64
	minVersion         = 0x010300
	maxLatency         = 65535 * time.Millisecond
	minFC              = 32
	minMSS             = 116
	handshakePollFirst = time.Millisecond
)

// withDefaults returns o with every zero field replaced by what it stands for.
func (o Options) withDefaults() Options {
	setDuration := func(p *time.Duration, v time.Duration) {
		if *p == 0 {
			*p = v
		}
	}
	setInt := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	setDuration(&o.Latency, defaultLatency)
	setDuration(&o.ReceiveLatency, o.Latency)
	setDuration(&o.ConnectTimeout, defaultConnect)
	setDuration(&o.PeerIdleTimeout, defaultIdle)
	setInt(&o.MSS, defaultMSS)
	setInt(&o.PayloadSize, o.maxPayload())
	setInt(&o.FC, defaultFC)
	setInt(&o.SndBuf, defaultBufPackets*(o.MSS-udpHeaders))
	setInt(&o.RcvBuf, defaultBufPackets*(o.MSS-udpHeaders))
	setInt(&o.LossMaxTTL, defaultLossMaxTTL)
	setInt(&o.IPTOS, defaultTOS)
	setInt(&o.OverheadBW, defaultOverhead)
	setInt(&o.Backlog, defaultBacklog)
	if o.MaxBW == 0 && o.InputBW == 0 && o.MinInputBW == 0 {
		o.MaxBW = -1
	}
	return o
}

// unpaced is a ceiling that nothing reaches. At libsrt's own "none", which is 1
// Gbit/s, its sending thread goes to sleep for 11 µs after each packet: between
// the packets of one batch that costs more than to send them.
const unpaced = 100_000_000_000 / 8

// ceiling is MaxBW as libsrt is told.
func ceiling(maxBW int64) int64 {
	if maxBW < 0 {
		return unpaced
	}
	return maxBW
}

// maxPayload is what fits in a packet of these options.
func (o Options) maxPayload() int {
	n := MaxPayload
	if o.MSS != 0 && o.MSS-udpHeaders-srtHeader < n {
		n = o.MSS - udpHeaders - srtHeader
	}
	if o.PacketFilter != "" {
		n -= filterExtra
	}
	return n
}

// Validate reports the first setting that is out of its range.
func (o Options) Validate() error {
	d := o.withDefaults()
	bad := func(name string, value any, remedy string) error {
		return &OptionError{Option: name, Value: fmt.Sprint(value), Remedy: remedy}
	}
	millis := func(name string, v, low, high time.Duration) error {
		if v < low || v > high {
			return bad(name, v, fmt.Sprintf("must be %v to %v", low, high))
		}
		return nil
	}
	span := func(name string, v, low, high int) error {
		if v < low || v > high {
			return bad(name, v, fmt.Sprintf("must be %d to %d", low, high))
		}
		return nil
	}
	const maxBytes = 1 << 30
	for _, err := range []error{
		millis("latency", d.Latency, time.Millisecond, maxLatency),
		millis("rcvlatency", d.ReceiveLatency, time.Millisecond, maxLatency),
		span("mss", d.MSS, minMSS, defaultMSS),
		span("payloadsize", d.PayloadSize, 1, max(1, d.maxPayload())),
		span("oheadbw", d.OverheadBW, 5, 100),
		span("fc", d.FC, minFC, maxPackets),
		span("sndbuf", d.SndBuf, minFC*defaultMSS, maxBytes),
		span("rcvbuf", d.RcvBuf, minFC*defaultMSS, maxBytes),
		span("udpsndbuf", d.UDPSndBuf, 0, maxBytes),
		span("udprcvbuf", d.UDPRcvBuf, 0, maxBytes),
		span("retransmitalgo", d.RetransmitAlgo, 0, 1),
		span("lossmaxttl", d.LossMaxTTL, -1, 10000),
		span("snddropdelay", d.SndDropDelay, -1, 60000),
		millis("conntimeo", d.ConnectTimeout, 10*time.Millisecond, time.Minute),
		millis("peeridletimeo", d.PeerIdleTimeout, 100*time.Millisecond, time.Minute),
		span("iptos", d.IPTOS, -1, 255),
		span("ipttl", d.IPTTL, 0, 255),
		span("backlog", d.Backlog, 1, 4096),
	} {
		if err != nil {
			return err
		}
	}
	switch {
	case d.Passphrase != "" && (len(d.Passphrase) < minPassphrase || len(d.Passphrase) > maxPassphrase):
		return bad("passphrase", fmt.Sprintf("(%d bytes)", len(d.Passphrase)), "must have 10 to 79 bytes")
	case d.KeyLength != 0 && d.KeyLength != 16 && d.KeyLength != 24 && d.KeyLength != 32:
		return bad("pbkeylen", d.KeyLength, "must be 16, 24 or 32")
	case len(d.StreamID) > maxStreamID:
		return bad("streamid", fmt.Sprintf("(%d bytes)", len(d.StreamID)), "must have at most 512 bytes")
	case strings.IndexByte(d.StreamID, 0) >= 0:
		return bad("streamid", strconv.Quote(d.StreamID), "must not contain a zero byte")
	case d.MaxBW < -1:
		return bad("maxbw", d.MaxBW, "must be bytes/s, or -1 for no ceiling")
	case d.InputBW < 0:
		return bad("inputbw", d.InputBW, "must be bytes/s, or 0 to measure")
	case d.MinInputBW < 0:
		return bad("mininputbw", d.MinInputBW, "must be bytes/s, or 0")
	case d.MaxBW > 0 && (d.InputBW > 0 || d.MinInputBW > 0):
		return bad("maxbw", d.MaxBW, "must be 0 when inputbw or mininputbw is set, which would be ignored")
	case d.RcvBuf > d.FC*(d.MSS-udpHeaders):
		return bad("fc", d.FC, fmt.Sprintf("must be at least %d, or rcvbuf at most %d", (d.RcvBuf+d.MSS-udpHeaders-1)/(d.MSS-udpHeaders), d.FC*(d.MSS-udpHeaders)))
	case len(d.PacketFilter) > maxFilter:
		return bad("packetfilter", d.PacketFilter, "must have at most 64 bytes")
	case len(d.Interface) > maxInterface || strings.ContainsAny(d.Interface, "/ \x00"):
		return bad("bindtodevice", strconv.Quote(d.Interface), "must be the name of a network interface, at most 15 bytes")
	}
	if _, err := d.source(); err != nil {
		return err
	}
	return nil
}

// source is the address a caller binds to; invalid when it is free.
func (o Options) source() (netip.AddrPort, error) {
	if o.LocalAddr == "" {
		return netip.AddrPort{}, nil
	}
	if ip, err := netip.ParseAddr(strings.Trim(o.LocalAddr, "[]")); err == nil {
		return netip.AddrPortFrom(ip.Unmap(), 0), nil
	}
	ap, err := netip.ParseAddrPort(o.LocalAddr)
	if err != nil {
		return netip.AddrPort{}, &OptionError{Option: "adapter", Value: strconv.Quote(o.LocalAddr), Remedy: "must be an IP address of this machine, such as 192.0.2.7 or 192.0.2.7:5000"}
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
}

// apply sets everything on a socket that is not yet bound.
func (o Options) apply(s *srtgo.SrtSocket, listener bool) error {
	d := o.withDefaults()
	a := applier{s: s}
	a.int("mss", C.SRTO_MSS, d.MSS) // first: libsrt turns the other sizes into packets by it
	a.int("fc", C.SRTO_FC, d.FC)
	a.int("sndbuf", C.SRTO_SNDBUF, d.SndBuf)
	a.int("rcvbuf", C.SRTO_RCVBUF, d.RcvBuf)
	if d.UDPSndBuf > 0 {
		a.int("udpsndbuf", C.SRTO_UDP_SNDBUF, d.UDPSndBuf)
	}
	if d.UDPRcvBuf > 0 {
		a.int("udprcvbuf", C.SRTO_UDP_RCVBUF, d.UDPRcvBuf)
	}
	a.int("payloadsize", C.SRTO_PAYLOADSIZE, d.PayloadSize)
	if d.PacketFilter != "" {
		a.string("packetfilter", C.SRTO_PACKETFILTER, d.PacketFilter)
	}
	a.bool("tsbpdmode", C.SRTO_TSBPDMODE, true)
	a.bool("tlpktdrop", C.SRTO_TLPKTDROP, true)
	a.bool("drifttracer", C.SRTO_DRIFTTRACER, true)
	a.bool("nakreport", C.SRTO_NAKREPORT, true)
	a.bool("enforcedencryption", C.SRTO_ENFORCEDENCRYPTION, true)
	a.int("minversion", C.SRTO_MINVERSION, minVersion)
	if _, err := s.GetSockOptInt(C.SRTO_GROUPCONNECT); err == nil { // only a libsrt with bonding knows it
		a.int("groupconnect", C.SRTO_GROUPCONNECT, 0)
	}
	a.int("latency", C.SRTO_LATENCY, int(d.Latency.Milliseconds()))
	if d.ReceiveLatency != d.Latency {
		a.int("rcvlatency", C.SRTO_RCVLATENCY, int(d.ReceiveLatency.Milliseconds()))
	}
	a.int64("maxbw", C.SRTO_MAXBW, ceiling(d.MaxBW))
	a.int64("inputbw", C.SRTO_INPUTBW, d.InputBW)
	a.int64("mininputbw", C.SRTO_MININPUTBW, d.MinInputBW)
	a.int("oheadbw", C.SRTO_OHEADBW, d.OverheadBW)
	a.int("retransmitalgo", C.SRTO_RETRANSMITALGO, d.RetransmitAlgo)
	a.int("lossmaxttl", C.SRTO_LOSSMAXTTL, max(0, d.LossMaxTTL))
	a.int("snddropdelay", C.SRTO_SNDDROPDELAY, d.SndDropDelay)
	a.int("conntimeo", C.SRTO_CONNTIMEO, int(d.ConnectTimeout.Milliseconds()))
	a.int("peeridletimeo", C.SRTO_PEERIDLETIMEO, int(d.PeerIdleTimeout.Milliseconds()))
	a.int("iptos", C.SRTO_IPTOS, max(0, d.IPTOS))
	if d.IPTTL > 0 {
		a.int("ipttl", C.SRTO_IPTTL, d.IPTTL)
	}
	if d.Interface != "" {
		a.string("bindtodevice", C.SRTO_BINDTODEVICE, d.Interface)
	}
	a.secret(d.Passphrase, d.KeyLength)
	if d.StreamID != "" && !listener {
		a.string("streamid", C.SRTO_STREAMID, d.StreamID)
	}
	return a.err
}

// applier keeps the first error, with the name of the option.
type applier struct {
	s   *srtgo.SrtSocket
	err error
}

func (a *applier) keep(name string, value any, err error) {
	if err == nil || a.err != nil {
		return
	}
	a.err = &OptionError{Option: name, Value: fmt.Sprint(value), Remedy: "libsrt refuses it", Err: err}
}

func (a *applier) int(name string, opt, v int) { a.keep(name, v, a.s.SetSockOptInt(opt, v)) }

func (a *applier) int64(name string, opt int, v int64) {
	a.keep(name, v, a.s.SetSockOptInt64(opt, v))
}

func (a *applier) bool(name string, opt int, v bool) { a.keep(name, v, a.s.SetSockOptBool(opt, v)) }

func (a *applier) string(name string, opt int, v string) {
	a.keep(name, strconv.Quote(v), a.s.SetSockOptString(opt, v))
}

func (a *applier) secret(passphrase string, keyLength int) {
	if passphrase == "" {
		return
	}
	if keyLength != 0 {
		a.int("pbkeylen", C.SRTO_PBKEYLEN, keyLength)
	}
	a.keep("passphrase", "(hidden)", a.s.SetSockOptString(C.SRTO_PASSPHRASE, passphrase))
}

// interfaceExists refuses a misspelt interface in words better than errno 19.
func interfaceExists(name string) error {
	if name == "" {
		return nil
	}
	if _, err := net.InterfaceByName(name); err != nil {
		return &OptionError{Option: "bindtodevice", Value: strconv.Quote(name), Remedy: "this machine has no such interface", Err: err}
	}
	return nil
}
