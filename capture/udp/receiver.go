package udp

import (
	"fmt"
	"net/netip"
	"time"

	"quartet/capture/mpegts"
	"quartet/fec/st2022"
	"quartet/uplink/rtp"
)

const (
	// senderHold is how long a leg's sender must be silent before another one is
	// taken: two streams mixed are no stream.
	senderHold = 100 * time.Millisecond
	// formatChange is how many datagrams in a row it takes to believe that a
	// sender has gone over from TS to RTP or back: a piece of a packet can look
	// like RTP by chance.
	formatChange = 8
	// fecPacket is the longest RTP packet that ST 2022-1 repairs.
	fecPacket = 1500
	// maxEarly bounds the FEC packets held.
	maxEarly = 1024
)

// receiver is what happens to datagrams behind the sockets. It is pure: instants
// come in with the datagrams and with tick.
type receiver struct {
	// set at start, never changed
	legs    []receiverLeg
	merger  *Merger         // nil: one leg with FEC, whose decoder orders
	decoder *st2022.Decoder // nil: no FEC
	framer  *mpegts.Framer
	w       mpegts.Writer
	window  time.Duration

	early []recoveryPacket // FEC packets that wait for the media they belong to, oldest first
	spare [][]byte         // their buffers
	last  time.Duration    // last instant written
	err   error            // the writer's
	rtp   bool             // the input is RTP
}

type recoveryPacket struct {
	at  time.Duration
	buf []byte
}

type receiverLeg struct {
	format Format
	source netip.Addr // only sender; zero: any

	sender   peer
	locked   bool
	heard    time.Duration // the sender's last datagram of the right kind
	rtp      bool          // the sender sends RTP
	contrary int           // datagrams in a row of the other format
	counters datagramCounters
}

// datagramCounters is what a leg counts of datagrams.
type datagramCounters struct {
	Datagrams     uint64 `json:"datagrams"`      // received, whatever became of them
	Bytes         uint64 `json:"bytes"`          // in them
	Malformed     uint64 `json:"malformed"`      // neither TS nor RTP that carries TS; on two legs: not RTP
	OtherSender   uint64 `json:"other_sender"`   // refused: not from the leg's source or sender
	Truncated     uint64 `json:"truncated"`      // longer than 9216 bytes
	SenderChanges uint64 `json:"sender_changes"` // another sender took over after a silence
	FECDatagrams  uint64 `json:"fec_datagrams"`  // on the ports of columns and rows
}

// receiverConfig is what a receiver is made of.
type receiverConfig struct {
	addrs     []Address
	window    time.Duration // Config.Window
	fecWindow time.Duration
	// Bounds of the packets held; 0: for 200 Mbit/s (merge) and 60 Mbit/s (FEC).
	mergePackets, fecPackets int
}

func newReceiver(c receiverConfig, w mpegts.Writer) (*receiver, error) {
	r := &receiver{w: w, window: c.window}
	r.framer = mpegts.NewFramer(mpegts.WriterFunc(r.write))
	fec := false
	for _, a := range c.addrs {
		r.legs = append(r.legs, receiverLeg{format: a.Format, source: a.Source})
		fec = fec || a.FEC
	}
	var err error
	if fec {
		if c.fecPackets == 0 {
			c.fecPackets = max(512, int(c.fecWindow*6000/time.Second))
		}
		r.decoder, err = st2022.NewDecoder(st2022.DecoderConfig{
			Latency: c.fecWindow, MaxPackets: c.fecPackets, MaxPacket: fecPacket, Deliver: r.deliver,
		})
		if err != nil {
			return nil, err
		}
	}
	if !fec || len(c.addrs) > 1 {
		if c.mergePackets == 0 && len(c.addrs) > 1 {
			c.mergePackets = maxMaxPackets
		}
		r.merger, err = NewMerger(MergerConfig{Legs: len(c.addrs), Delay: c.window, MaxPackets: c.mergePackets, Emit: r.merged})
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

// kind is what a datagram holds.
type kind uint8

const (
	kindBad   kind = iota
	kindTS         // whole TS packets
	kindLoose      // TS packets, but cut or with other bytes around them
	kindRTP        // RTP that carries TS packets
)

// classify looks at a datagram. header and payload are set for kindRTP.
func classify(b []byte, f Format) (k kind, h rtp.Header, payload []byte) {
	if len(b) == 0 {
		return kindBad, h, nil
	}
	if b[0]>>6 == 2 && !rtp.IsRTCP(b) {
		if h, payload, err := rtp.Parse(b); err == nil && wholeTS(payload) {
			return kindRTP, h, payload
		}
	}
	if f == FormatRTP {
		return kindBad, h, nil
	}
	if len(b)%mpegts.PacketSize == 0 && synced(b, mpegts.PacketSize) {
		return kindTS, h, nil
	}
	if looksTS(b) {
		return kindLoose, h, nil
	}
	return kindBad, h, nil
}

// wholeTS tells whether b is whole TS packets, plain or of 204 bytes.
func wholeTS(b []byte) bool {
	n := len(b)
	return n >= mpegts.PacketSize && (n%mpegts.PacketSize == 0 && synced(b, mpegts.PacketSize) || n%204 == 0 && synced(b, 204))
}

// looksTS tells whether b shows sync bytes at the distance of TS packets (188
// bytes; 192 and 204 with time or parity beside them), all through.
func looksTS(b []byte) bool {
	n := len(b)
	if wholeTS(b) {
		return true
	}
	for _, spacing := range [...]int{mpegts.PacketSize, 192, 204} {
		for off := 0; off < spacing && off+spacing < n; off++ {
			if b[off] == mpegts.SyncByte && synced(b[off:], spacing) {
				return true
			}
		}
	}
	return false
}

func synced(b []byte, spacing int) bool {
	for i := 0; i < len(b); i += spacing {
		if b[i] != mpegts.SyncByte {
			return false
		}
	}
	return true
}

// media takes a datagram of a leg's media port.
func (r *receiver) media(leg int, d *datagram) {
	l := &r.legs[leg]
	l.counters.Datagrams++
	l.counters.Bytes += uint64(len(d.data))
	if !d.whole {
		l.counters.Truncated++
		return
	}
	if l.source.IsValid() && d.from.ip != l.source.As16() {
		l.counters.OtherSender++
		return
	}
	k, h, payload := classify(d.data, l.format)
	if len(r.legs) > 1 && k != kindRTP {
		k = kindBad // without sequence numbers there is nothing to merge by
	}
	if !r.admit(l, d, k) {
		return
	}
	if k != kindBad && (k == kindRTP) != l.rtp {
		if l.contrary++; l.contrary < formatChange {
			k = kindBad
		} else {
			l.rtp = !l.rtp
		}
	} else {
		l.contrary = 0
	}
	r.rtp = l.rtp
	switch {
	case !l.rtp && len(r.legs) == 1:
		r.frame(d.at, d.data) // a piece too small to show anything, or damage: the framer tells
	case k != kindRTP:
		l.counters.Malformed++
	case r.merger != nil:
		r.merger.Push(leg, d.at, h, d.data, payload)
	default:
		r.decoder.PushSource(d.at, d.data)
	}
}

// admit tells whether a datagram is of the leg's sender, and takes a new one
// when the one before is silent.
func (r *receiver) admit(l *receiverLeg, d *datagram, k kind) bool {
	same := l.locked && d.from == l.sender
	switch {
	case same && k == kindBad:
		return true
	case same:
		l.heard = d.at
		return true
	case k == kindBad:
		l.counters.Malformed++
		return false
	case l.locked && d.at-l.heard < senderHold:
		l.counters.OtherSender++
		return false
	}
	if l.locked {
		l.counters.SenderChanges++
		r.framer.Reset()
	}
	l.locked, l.sender, l.heard, l.rtp, l.contrary = true, d.from, d.at, k == kindRTP, 0
	return true
}

// recovery takes a datagram of a leg's column or row port.
func (r *receiver) recovery(leg int, d *datagram) {
	l := &r.legs[leg]
	l.counters.FECDatagrams++
	switch {
	case !d.whole:
		l.counters.Truncated++
	case l.source.IsValid() && d.from.ip != l.source.As16(), l.locked && d.from.ip != l.sender.ip:
		l.counters.OtherSender++
	case len(r.early) < maxEarly && len(d.data) <= fecPacket+st2022.Overhead:
		var buf []byte
		if n := len(r.spare); n > 0 {
			buf, r.spare = r.spare[n-1], r.spare[:n-1]
		}
		r.early = append(r.early, recoveryPacket{d.at, append(buf[:0], d.data...)})
	default:
		l.counters.Malformed++
	}
}

// recoverDue gives the decoder the FEC packets that belong to what has been read
// and to what the merger has released: earlier, it would repair what is only
// still on its way here.
func (r *receiver) recoverDue(now time.Duration) {
	var hold time.Duration
	if r.merger != nil {
		hold = r.window
	}
	n := 0
	for n < len(r.early) && r.early[n].at+hold <= now {
		r.decoder.PushFEC(r.early[n].at+hold, r.early[n].buf)
		r.spare = append(r.spare, r.early[n].buf)
		n++
	}
	r.early = append(r.early[:0], r.early[n:]...)
}

// merged takes an RTP packet from the Merger.
func (r *receiver) merged(at time.Duration, pkt, payload []byte) {
	if r.decoder != nil {
		r.decoder.PushSource(at, pkt)
		return
	}
	r.frame(at, payload)
}

// deliver takes an RTP packet from the FEC decoder.
func (r *receiver) deliver(d *st2022.Delivery) {
	if d.Lost {
		return
	}
	if _, payload, err := rtp.Parse(d.Packet); err == nil {
		r.frame(d.Release, payload)
	}
}

func (r *receiver) frame(at time.Duration, b []byte) {
	if err := r.framer.Datagram(at, b); err != nil && r.err == nil {
		r.err = fmt.Errorf("udp: writer: %w", err)
	}
}

func (r *receiver) write(at time.Duration, ts []byte) error {
	r.last = max(r.last, at)
	return r.w.WriteTS(r.last, ts)
}

// tick hands on what is due at now.
func (r *receiver) tick(now time.Duration) error {
	if r.merger != nil {
		r.merger.Tick(now)
	}
	if r.decoder != nil {
		r.recoverDue(now)
		r.decoder.Tick(now)
	}
	return r.err
}
