package mpegts

import "time"

// Hysteresis of sync acquisition (ETSI TR 101 290 5.2.1, check 1.1).
const (
	syncGood = 5 // sync bytes in a row that make the lock
	syncBad  = 2 // corrupted sync bytes in a row that lose it
)

// lookahead is what the search needs to see from a candidate's first byte to
// the fifth sync byte, at the widest spacing.
const lookahead = (syncGood-1)*204 + 1

// spacings are the distances from sync byte to sync byte that are recognised:
// plain packets; packets with a 4-byte arrival time before each (M2TS); with
// 16 bytes of Reed-Solomon parity behind each (ETSI EN 300 429).
var spacings = [...]int{PacketSize, 192, 204}

// FramerStats counts what a Framer did.
type FramerStats struct {
	Packets      uint64 `json:"packets"`        // handed on
	SyncLosses   uint64 `json:"sync_losses"`    // TR 101 290 1.1: lock lost after two bad sync bytes in a row
	SyncByteErrs uint64 `json:"sync_byte_errs"` // TR 101 290 1.2: packets dropped for a bad sync byte while locked
	SkippedBytes uint64 `json:"skipped_bytes"`  // bytes outside packets: garbage, or before the lock
	Locked       bool   `json:"locked"`         //
	Spacing      int    `json:"spacing"`        // bytes from packet to packet: 188, 192 or 204; 0 before the first lock
}

// Framer finds the packets in a stream of bytes or in datagrams, and hands
// them on, aligned, to a Writer. Extra bytes between packets (192- and
// 204-byte forms) are stripped.
//
// In a stream it locks at the fifth sync byte in a row at one spacing, and
// loses the lock at the second bad one in a row; the packets that made the lock
// are handed on. A single packet with a bad sync byte is dropped and counted.
// A datagram that holds nothing but whole packets is taken as it is.
//
// It copies only where packets straddle two inputs or must be stripped, and
// holds back at most lookahead bytes. Not safe for concurrent use.
type Framer struct {
	w       Writer // set at start, never changed
	locked  bool
	spacing int
	good    int // sync bytes in a row while aligned datagrams come, up to syncGood
	bad     int // bad sync bytes in a row while locked
	debt    int // bytes between packets still to be skipped
	held    int // bytes in hold that wait for more
	hold    [lookahead + PacketSize + 204]byte
	strip   [64 * PacketSize]byte // packets of a 192- or 204-byte form, made adjacent
	stats   FramerStats
}

// NewFramer returns a Framer that writes to w.
func NewFramer(w Writer) *Framer { return &Framer{w: w} }

// Stats returns the counts since the start.
func (f *Framer) Stats() FramerStats {
	s := f.stats
	s.Locked, s.Spacing = f.locked, f.spacing
	return s
}

// Locked reports whether packets are being found (TR 101 290 1.1).
func (f *Framer) Locked() bool { return f.locked }

// Reset forgets alignment and held bytes, as after a gap in the stream. Counts
// stay, and no sync loss is counted.
func (f *Framer) Reset() {
	f.stats.SkippedBytes += uint64(f.held)
	f.locked, f.good, f.bad, f.debt, f.held = false, 0, 0, 0, 0
}

// Datagram takes one datagram that arrived at the instant at. Besides whole
// packets it may carry bytes in front of them, or be a slice of a stream that
// cuts packets anywhere. It returns the Writer's error.
func (f *Framer) Datagram(at time.Duration, b []byte) error {
	if f.held == 0 && f.debt == 0 && aligned(b, 0, PacketSize) {
		f.spacing = PacketSize
		f.confirm(len(b) / PacketSize)
		return f.write(at, b)
	}
	return f.oddDatagram(at, b)
}

func (f *Framer) oddDatagram(at time.Duration, b []byte) error {
	n := len(b)
	lead := n % PacketSize
	switch {
	case lead > 0 && f.continues(b):
	case aligned(b, lead, PacketSize):
		return f.whole(at, b, lead, PacketSize)
	case n%192 == 0 && aligned(b, 4, 192):
		return f.whole(at, b, 4, 192)
	case n%204 == 0 && aligned(b, 0, 204):
		return f.whole(at, b, 0, 204)
	}
	return f.Stream(at, b)
}

// continues reports whether b goes on where held packets were cut.
func (f *Framer) continues(b []byte) bool {
	if f.held == 0 || f.hold[0] != SyncByte || f.locked && f.spacing != PacketSize {
		return false
	}
	next := (PacketSize - f.held%PacketSize) % PacketSize
	for i := next; i < len(b); i += PacketSize {
		if b[i] != SyncByte {
			return false
		}
	}
	return next < len(b)
}

// whole takes a datagram of whole packets that start at lead.
func (f *Framer) whole(at time.Duration, b []byte, lead, spacing int) error {
	f.drop(f.held)
	f.held, f.debt, f.spacing = 0, 0, spacing
	n := (len(b) - lead + spacing - PacketSize) / spacing
	f.confirm(n)
	if !f.locked && (lead > 0 || spacing != PacketSize) {
		f.drop(len(b)) // too little evidence yet that these are packets
		return nil
	}
	if spacing == PacketSize {
		f.drop(lead)
		return f.write(at, b[lead:])
	}
	return f.writeWide(at, b[lead:], n)
}

// aligned reports whether b holds whole packets from start to its end.
func aligned(b []byte, start, spacing int) bool {
	if len(b) < start+PacketSize {
		return false
	}
	if spacing == PacketSize && (len(b)-start)%PacketSize != 0 {
		return false
	}
	for i := start; i < len(b); i += spacing {
		if b[i] != SyncByte {
			return false
		}
	}
	return true
}

// confirm counts n good sync bytes of a datagram that came aligned.
func (f *Framer) confirm(n int) {
	f.bad = 0
	f.good = min(f.good+n, syncGood)
	if f.good == syncGood {
		f.locked = true
	}
}

func (f *Framer) drop(n int) { f.stats.SkippedBytes += uint64(n) }

// Stream takes the next bytes of a stream, cut anywhere, that arrived at the
// instant at. A packet is handed on with the instant of its last byte. It
// returns the Writer's error.
func (f *Framer) Stream(at time.Duration, b []byte) error {
	for f.held > 0 && len(b) > 0 {
		// Join what was held with as much of b as fits, until b alone goes on.
		old := f.held
		n := copy(f.hold[old:], b)
		used, err := f.scan(at, f.hold[:old+n])
		if err != nil {
			f.held = 0
			return err
		}
		if used >= old {
			b, f.held = b[used-old:], 0
			break
		}
		f.held = copy(f.hold[:], f.hold[used:old+n])
		b = b[n:]
	}
	if len(b) == 0 {
		return nil
	}
	used, err := f.scan(at, b)
	if err != nil {
		return err
	}
	f.held = copy(f.hold[:], b[used:])
	return nil
}

// scan works through b and returns how many bytes are done with. The rest,
// fewer than lookahead+PacketSize bytes, must come again with more behind it.
func (f *Framer) scan(at time.Duration, b []byte) (int, error) {
	pos := 0
	for {
		if f.debt > 0 {
			n := min(f.debt, len(b)-pos)
			pos, f.debt = pos+n, f.debt-n
		}
		if !f.locked {
			skip, found := f.search(b[pos:])
			f.drop(skip)
			pos += skip
			if !found {
				return pos, nil
			}
			f.locked, f.good, f.bad = true, syncGood, 0
		}
		n := 0 // packets in a row, from pos
		for p := pos; p+PacketSize <= len(b) && b[p] == SyncByte; p += f.spacing {
			n++
		}
		if n > 0 {
			f.bad = 0
			var err error
			if f.spacing == PacketSize {
				err = f.write(at, b[pos:pos+n*PacketSize])
			} else {
				err = f.writeWide(at, b[pos:], n)
			}
			pos += n * f.spacing
			if pos > len(b) {
				pos, f.debt = len(b), pos-len(b)
			}
			if err != nil {
				return pos, err
			}
		}
		if pos+PacketSize > len(b) {
			return pos, nil
		}
		// A bad sync byte.
		f.stats.SyncByteErrs++
		if f.bad++; f.bad >= syncBad {
			f.locked, f.good, f.bad = false, 0, 0
			f.stats.SyncLosses++
			continue // search from here
		}
		f.drop(PacketSize)
		pos, f.debt = pos+PacketSize, f.spacing-PacketSize
	}
}

// search looks for syncGood sync bytes in a row. It returns the offset of the
// first of them, or, not found, how many bytes can be given up for good.
func (f *Framer) search(b []byte) (int, bool) {
	for i := 0; i < len(b); i++ {
		if b[i] != SyncByte {
			continue
		}
		for _, s := range spacings {
			n := 1
			for n < syncGood && i+n*s < len(b) && b[i+n*s] == SyncByte {
				n++
			}
			if n == syncGood {
				f.spacing = s
				return i, true
			}
			if i+n*s >= len(b) {
				return i, false // still possible: wait for more
			}
		}
	}
	return len(b), false
}

func (f *Framer) write(at time.Duration, ts []byte) error {
	f.stats.Packets += uint64(len(ts) / PacketSize)
	return f.w.WriteTS(at, ts)
}

// writeWide hands on the n packets that start at multiples of the spacing in b.
func (f *Framer) writeWide(at time.Duration, b []byte, n int) error {
	for n > 0 {
		k := min(n, len(f.strip)/PacketSize)
		for i := range k {
			copy(f.strip[i*PacketSize:], b[i*f.spacing:i*f.spacing+PacketSize])
		}
		if err := f.write(at, f.strip[:k*PacketSize]); err != nil {
			return err
		}
		n -= k
		b = b[min(k*f.spacing, len(b)):]
	}
	return nil
}
