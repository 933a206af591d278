package srt

// #include "shim.h"
import "C"

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"github.com/haivision/srtgo"
)

// Conn is an SRT connection. Its methods may be called from any goroutine; Send,
// Recv and Stats do not hinder each other, Close waits for the call in progress
// (none of them waits for the network) and everything after it gets ErrClosed.
type Conn struct {
	// set before the connection is handed out, never changed
	id         C.SRTSOCKET
	sock       *srtgo.SrtSocket // dialled; nil if accepted. Kept alive: its finalizer closes id
	remote     netip.AddrPort
	local      netip.AddrPort
	streamID   string
	latency    time.Duration
	peerDelay  time.Duration
	keyLength  int
	peerVer    uint32
	maxPayload int
	opts       Options   // as used, with defaults
	made       time.Time // after libsrt's own start of the connection

	sending   sync.Mutex
	sendBuf   []byte
	sendLen   []C.int32_t
	sendAge   []C.int64_t // µs
	sendEnd   error       // set once the connection is broken or closed
	checked   time.Time   // when Send last looked for signs of life
	receiving sync.Mutex
	recvEnd   error
	lostAt    time.Time // when Recv first saw the connection broken
	asking    sync.Mutex
	askEnd    error
	counters  C.SRT_TRACEBSTATS
	signs     int64 // what was heard from the peer so far
	heard     time.Time
	last      Stats
}

// Limits of one crossing into C.
const (
	sendBatch = 64
	slot      = MaxPayload // libsrt wants room for its longest message

	silenceCheck = 250 * time.Millisecond
)

// Send hands over msgs in order without waiting and returns how many libsrt took.
// ErrWouldBlock means that its buffer is full: the rest may be tried again later.
// An error matching ErrBroken, or ErrClosed, is for good. A *SizeError means that
// one message does not fit a packet and none was sent. The messages are copied.
func (c *Conn) Send(msgs [][]byte) (int, error) { return c.SendAged(msgs, nil) }

// SendAged is Send for messages that should have been sent a while ago: ages[i]
// before now. They bear the time of their age, so the far end hands them on when
// it would have if they had been sent in time: a stall of the sender costs
// retransmission time and shifts nothing. nil, and ages below zero, mean now. What
// is older than the connection counts as being as old as it.
func (c *Conn) SendAged(msgs [][]byte, ages []time.Duration) (int, error) {
	for i, m := range msgs {
		if len(m) == 0 || len(m) > c.maxPayload {
			return 0, &SizeError{Index: i, Size: len(m), Max: c.maxPayload}
		}
	}
	c.sending.Lock()
	defer c.sending.Unlock()
	if c.sendEnd != nil {
		return 0, c.sendEnd
	}
	if c.silent() {
		c.sendEnd = ErrBroken
		return 0, c.sendEnd
	}
	sent := 0
	for sent < len(msgs) {
		part := msgs[sent:min(sent+sendBatch, len(msgs))]
		c.sendBuf, c.sendLen, c.sendAge = c.sendBuf[:0], c.sendLen[:0], c.sendAge[:0]
		oldest := time.Since(c.made)
		for i, m := range part {
			c.sendBuf = append(c.sendBuf, m...)
			c.sendLen = append(c.sendLen, C.int32_t(len(m)))
			age := time.Duration(0)
			if ages != nil {
				age = min(ages[sent+i], oldest)
			}
			c.sendAge = append(c.sendAge, C.int64_t(age.Microseconds()))
		}
		r := C.q_send(c.id, (*C.char)(unsafe.Pointer(&c.sendBuf[0])), &c.sendLen[0], &c.sendAge[0], C.int32_t(len(part)))
		sent += int(r.n)
		switch r.err {
		case 0:
		case C.SRT_EASYNCSND:
			return sent, ErrWouldBlock
		default:
			c.sendEnd = brokenError(r.err)
			return sent, c.sendEnd
		}
	}
	return sent, nil
}

// silent tells whether nothing has come from the peer for PeerIdleTimeout while
// something is unacknowledged. It looks four times a second at most; c.sending is
// held.
func (c *Conn) silent() bool {
	now := time.Now()
	gap := now.Sub(c.checked)
	if gap < silenceCheck {
		return false
	}
	c.checked = now
	c.asking.Lock()
	defer c.asking.Unlock()
	if c.askEnd != nil {
		return false
	}
	if r := C.q_stats(c.id, &c.counters); r.err != 0 {
		return false // the next call tells
	}
	signs := int64(c.counters.pktRecvTotal) + int64(c.counters.pktRecvACKTotal) + int64(c.counters.pktRecvNAKTotal)
	if signs != c.signs || c.counters.pktSndBuf == 0 || gap > 4*silenceCheck {
		c.signs, c.heard = signs, now
		return false
	}
	return now.Sub(c.heard) > c.opts.PeerIdleTimeout
}

// Batch receives messages. It is the caller's, made once and used again; one
// batch serves any number of connections in turn.
type Batch struct {
	buf  []byte
	size []C.int32_t
	late []C.int64_t
	n    int
}

// NewBatch makes room for up to max messages at a time (1456 bytes each).
func NewBatch(max int) *Batch {
	if max < 1 {
		max = 1
	}
	return &Batch{buf: make([]byte, max*slot), size: make([]C.int32_t, max), late: make([]C.int64_t, max)}
}

// Len is how many messages the last Recv brought.
func (b *Batch) Len() int { return b.n }

// Msg is message i of the last Recv; it is valid until the next.
func (b *Batch) Msg(i int) []byte {
	at, n := i*slot, int(b.size[i])
	return b.buf[at : at+n : at+n]
}

// Late is how long before the end of the last Recv message i was due, by the
// sender's timestamp plus the latency: its exact instant of delivery, however
// rarely Recv is called.
func (b *Batch) Late(i int) time.Duration {
	return time.Duration(b.late[i]) * time.Microsecond
}

// Recv fetches every message that is due, up to the size of b, without waiting,
// and returns how many; zero and no error mean that there is none now. After the
// connection is lost, what had arrived is still delivered in its time; then the
// error matches ErrBroken.
func (c *Conn) Recv(b *Batch) (int, error) {
	c.receiving.Lock()
	defer c.receiving.Unlock()
	b.n = 0
	if c.recvEnd != nil {
		return 0, c.recvEnd
	}
	r := C.q_recv(c.id, (*C.char)(unsafe.Pointer(&b.buf[0])), slot, C.int32_t(len(b.size)), &b.size[0], &b.late[0])
	b.n = int(r.n)
	if r.err == 0 || b.n > 0 { // an error comes again at the next call
		return b.n, nil
	}
	if c.lostAt.IsZero() {
		c.lostAt = time.Now()
	}
	if r.err == C.SRT_ECONNLOST && time.Since(c.lostAt) < c.latency+100*time.Millisecond {
		if left := C.q_get_int(c.id, C.SRTO_RCVDATA); left.err == 0 && left.n > 0 {
			return 0, nil
		}
	}
	c.recvEnd = brokenError(r.err)
	return 0, c.recvEnd
}

// Stats returns the connection's counters. On an error they are the last that
// could be read.
func (c *Conn) Stats() (Stats, error) {
	c.asking.Lock()
	defer c.asking.Unlock()
	if c.askEnd != nil {
		return c.last, c.askEnd
	}
	if r := C.q_stats(c.id, &c.counters); r.err != 0 {
		c.askEnd = brokenError(r.err)
		return c.last, c.askEnd
	}
	c.last.read(&c.counters)
	return c.last, nil
}

// Unacknowledged is how many packets are in the send buffer: not sent, or sent
// and not yet acknowledged.
func (c *Conn) Unacknowledged() (int, error) {
	c.asking.Lock()
	defer c.asking.Unlock()
	if c.askEnd != nil {
		return 0, c.askEnd
	}
	r := C.q_get_int(c.id, C.SRTO_SNDDATA)
	if r.err != 0 {
		return 0, brokenError(r.err)
	}
	return int(r.n), nil
}

// Flush waits until the far end has acknowledged everything, the connection
// breaks, or ctx ends. Close alone forgets what is still in the send buffer.
func (c *Conn) Flush(ctx context.Context) error {
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	for {
		n, err := c.Unacknowledged()
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

// StreamID is what the caller asked for. From a listener's side it is the peer's
// word: untrusted bytes.
func (c *Conn) StreamID() string { return c.streamID }

// RemoteAddr is the peer.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.remote }

// LocalAddr is this end.
func (c *Conn) LocalAddr() netip.AddrPort { return c.local }

// Latency is the negotiated delay of what we receive.
func (c *Conn) Latency() time.Duration { return c.latency }

// PeerLatency is the negotiated delay of what we send.
func (c *Conn) PeerLatency() time.Duration { return c.peerDelay }

// Encrypted tells whether both directions are encrypted.
func (c *Conn) Encrypted() bool { return c.keyLength > 0 }

// KeyLength is the length of the AES key in bytes: 16, 24, 32, or 0 in clear.
func (c *Conn) KeyLength() int { return c.keyLength }

// MaxPayload is the longest message that Send takes here.
func (c *Conn) MaxPayload() int { return c.maxPayload }

// PeerVersion is the peer's libsrt version, such as 0x010501.
func (c *Conn) PeerVersion() uint32 { return c.peerVer }

// Check judges the buffers as Options.Check does, with the latency that was
// negotiated, which is the peer's if it asked for more.
func (c *Conn) Check(bitrate int64, rtt time.Duration) error {
	o := c.opts
	o.Latency = max(c.latency, c.peerDelay)
	return o.Check(bitrate, rtt)
}

// Close ends the connection; the far end is told. What the far end has not yet
// acknowledged is forgotten: see Flush. Further calls do nothing.
func (c *Conn) Close() error {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.receiving.Lock()
	defer c.receiving.Unlock()
	c.asking.Lock()
	defer c.asking.Unlock()
	if errors.Is(c.sendEnd, ErrClosed) {
		return nil
	}
	c.sendEnd, c.recvEnd, c.askEnd = ErrClosed, ErrClosed, ErrClosed
	if c.sock != nil {
		c.sock.Close()
		runtime.SetFinalizer(c.sock, nil)
	} else {
		C.q_close(c.id)
	}
	forget(c)
	return nil
}

// learn reads what the handshake settled. The caller holds no lock: the
// connection is not handed out yet. It fails when the connection is gone already.
func (c *Conn) learn() error {
	c.asking.Lock()
	defer c.asking.Unlock()
	if c.askEnd != nil {
		return c.askEnd
	}
	for _, o := range []int{C.SRTO_SNDSYN, C.SRTO_RCVSYN} {
		if r := C.q_set_bool(c.id, C.int(o), 0); r.err != 0 {
			return libError("non-blocking mode", r)
		}
	}
	c.remote, c.local = addrPort(C.q_peername(c.id)), addrPort(C.q_sockname(c.id))
	get := func(opt int) int { return max(0, int(C.q_get_int(c.id, C.int(opt)).n)) }
	c.made = time.Now()
	c.latency = time.Duration(get(C.SRTO_RCVLATENCY)) * time.Millisecond
	c.peerDelay = time.Duration(get(C.SRTO_PEERLATENCY)) * time.Millisecond
	c.peerVer = uint32(get(C.SRTO_PEERVERSION))
	if get(C.SRTO_RCVKMSTATE) == C.SRT_KM_S_SECURED && get(C.SRTO_SNDKMSTATE) == C.SRT_KM_S_SECURED {
		c.keyLength = get(C.SRTO_PBKEYLEN)
	}
	c.maxPayload = get(C.SRTO_PAYLOADSIZE)
	if mss := get(C.SRTO_MSS); mss > 0 {
		c.maxPayload = min(c.maxPayload, mss-udpHeaders-srtHeader)
	}
	c.streamID = c.text(C.SRTO_STREAMID)
	if f := c.text(C.SRTO_PACKETFILTER); f != "" && c.opts.PacketFilter == "" {
		return &OptionError{Option: "packetfilter", Value: f, Remedy: "the peer asks for a packet filter, and none is set here"}
	}
	return nil
}

func (c *Conn) text(opt int) string {
	var buf [maxStreamID + 1]C.char
	r := C.q_get_str(c.id, C.int(opt), &buf[0], C.int32_t(len(buf)))
	if r.err != 0 || r.n <= 0 {
		return ""
	}
	return C.GoStringN(&buf[0], C.int(min(int(r.n), maxStreamID)))
}

func addrPort(a C.q_addr) netip.AddrPort {
	var ip netip.Addr
	raw := *(*[16]byte)(unsafe.Pointer(&a.ip[0]))
	switch a.family {
	case 4:
		ip = netip.AddrFrom4([4]byte(raw[:4]))
	case 6:
		ip = netip.AddrFrom16(raw).Unmap()
		if a.scope != 0 && ip.Is6() {
			ip = ip.WithZone(zoneName(uint32(a.scope)))
		}
	default:
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ip, uint16(a.port))
}

func cAddr(ap netip.AddrPort) C.q_addr {
	var a C.q_addr
	a.port = C.uint16_t(ap.Port())
	ip := ap.Addr()
	if ip.Is4() {
		a.family = 4
		v4 := ip.As4()
		for i, b := range v4 {
			a.ip[i] = C.uint8_t(b)
		}
		return a
	}
	a.family = 6
	a.scope = C.uint32_t(zoneIndex(ip.Zone()))
	for i, b := range ip.As16() {
		a.ip[i] = C.uint8_t(b)
	}
	return a
}
