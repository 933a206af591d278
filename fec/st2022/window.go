package st2022

import "time"

// unwrap finds the full number nearest to the newest one.
func (d *Decoder) unwrap(seq uint16) uint64 {
	return d.newest + uint64(int64(int16(seq-uint16(d.newest))))
}

func (d *Decoder) slot(seq uint64) *slot { return &d.slots[seq&(2*d.half-1)] }

// buf is the whole room for the packet seq.
func (d *Decoder) buf(seq uint64) []byte {
	i := int(seq&(2*d.half-1)) * d.max
	return d.bufs[i : i+d.max]
}

// has tells whether the packet seq is here, waiting or as history.
func (d *Decoder) has(seq uint64) bool {
	s := d.slot(seq)
	return s.n > 0 && s.seq == seq
}

func (d *Decoder) put(seq uint64, n int) *slot {
	s := d.slot(seq)
	*s = slot{seq: seq, n: int32(n)}
	return s
}

// nextTimed finds the first packet from seq on that has an instant of its own;
// the newest always has.
func (d *Decoder) nextTimed(seq uint64) uint64 {
	for !(d.has(seq) && d.slot(seq).timed) {
		seq++
	}
	return seq
}

// due is the release of the head, which is not beyond the newest. What did not
// arrive is due evenly between its neighbours.
func (d *Decoder) due() time.Duration {
	if d.has(d.head) && d.slot(d.head).timed {
		return max(d.last, d.slot(d.head).due)
	}
	next := d.nextTimed(d.head)
	gap := d.slot(next).due - d.last
	if gap <= 0 || !d.begun {
		return max(d.last, d.slot(next).due)
	}
	return d.last + gap/time.Duration(next-d.head+1)
}

// release delivers the head.
func (d *Decoder) release(due time.Duration) {
	d.out = Delivery{Seq: d.head, SSRC: d.ssrc, Release: due, Epoch: d.epoch}
	if d.has(d.head) {
		s := d.slot(d.head)
		d.out.Packet, d.out.Recovered = d.buf(d.head)[:s.n], s.fixed
		d.stats.Delivered++
		if s.fixed {
			d.stats.Recovered++
		}
	} else {
		d.out.Lost = true
		d.stats.Lost++
	}
	d.head++
	d.last, d.begun, d.epoch = due, true, false
	d.deliver(&d.out)
}

// restart begins an epoch with the packet r.
func (d *Decoder) restart(r rtp) {
	clear(d.slots)
	d.running, d.begun, d.epoch = true, false, true
	d.waiting, d.strangeN = 0, 0
	d.ssrc = r.ssrc
	// High above 0, so that nothing near it wraps.
	d.head = (d.newest>>16+2)<<16 | uint64(r.seq)
	d.newest = d.head
	d.last = 0
	d.stats.Epochs++
}

// probe keeps packets that do not belong to the stream until enough of them
// follow one another; then they are the stream (RFC 3550, appendix A.1).
func (d *Decoder) probe(now time.Duration, r rtp, pkt []byte) {
	d.stats.Strange++
	if d.strangeN > 0 {
		last, _ := parseRTP(d.strange[d.strangeN-1])
		if last.ssrc != r.ssrc || last.seq+1 != r.seq {
			d.strangeN = 0
		}
	}
	d.lengths[d.strangeN] = copy(d.strange[d.strangeN], pkt)
	d.strangeN++
	if d.strangeN < probation {
		return
	}
	for d.head <= d.newest {
		d.release(d.due())
	}
	first, _ := parseRTP(d.strange[0])
	d.restart(first)
	for i := range probation {
		p := d.strange[i][:d.lengths[i]]
		r, _ := parseRTP(p)
		d.take(now, d.unwrap(r.seq), r, p)
	}
}

// missing counts the protected packets that are not here, up to two, and tells
// one of them.
func (d *Decoder) missing(f *fec) (n int, at uint64) {
	for i, seq := uint64(0), f.base; i < f.na; i, seq = i+1, seq+f.offset {
		if !d.has(seq) {
			n, at = n+1, seq
			if n == 2 {
				return
			}
		}
	}
	return
}

// filled uses the FEC packets that wait for the packet seq, then those that
// wait for what they repaired, and so on.
func (d *Decoder) filled(now time.Duration, seq uint64) {
	for again := true; again; {
		again = false
		for i := 0; i < d.waiting; i++ {
			f := &d.fecs[i]
			if f.base+d.half < d.head {
				d.drop(i)
				i--
				continue
			}
			if !again && seq != all && !f.covers(seq) {
				continue
			}
			switch n, at := d.missing(f); n {
			case 0:
				d.drop(i)
				i--
			case 1:
				if d.repair(now, i, at) {
					again = true
				}
				i-- // the packet was used up
			}
		}
		seq = all
	}
}

// all stands for any sequence number.
const all = ^uint64(0)

// drop gives up a waiting FEC packet, keeping its buffer.
func (d *Decoder) drop(i int) {
	d.waiting--
	d.fecs[i], d.fecs[d.waiting] = d.fecs[d.waiting], d.fecs[i]
}

// evict gives up the oldest waiting FEC packet.
func (d *Decoder) evict() {
	oldest := 0
	for i := range d.waiting {
		if d.fecs[i].last() < d.fecs[oldest].last() {
			oldest = i
		}
	}
	d.stats.FECDropped++
	d.drop(oldest)
}

// repair makes the one missing packet of the i-th FEC packet, which is used up.
// It refuses results that cannot be right: lengths that lie, parity left beyond
// the length, another payload type or a timestamp far away.
func (d *Decoder) repair(now time.Duration, i int, seq uint64) bool {
	f := &d.fecs[i]
	defer d.drop(i)
	d.slot(seq).n = 0 // whatever is there is a window older
	buf := d.buf(seq)
	payload := buf[rtpHeader:]
	n := copy(payload, f.buf[:f.n])
	x, length := f.rtp, f.len
	for k, s := uint64(0), f.base; k < f.na; k, s = k+1, s+f.offset {
		if s == seq {
			continue
		}
		p := d.buf(s)[:d.slot(s).n]
		r, _ := parseRTP(p)
		x.ts ^= r.ts
		x.bits ^= r.bits
		x.mpt ^= r.mpt
		length ^= uint16(len(p) - rtpHeader)
		if len(p)-rtpHeader > n {
			d.stats.Refused++
			return false
		}
		xorLonger(payload, n, p[rtpHeader:])
	}
	far := int32(x.ts - d.ts)
	if int(length) > n || x.mpt&0x7F != d.mpt&0x7F || far > maxTSDistance || far < -maxTSDistance || !zero(payload[length:n]) {
		d.stats.Refused++
		return false
	}
	putRTP(buf, rtp{seq: uint16(seq), ts: x.ts, ssrc: d.ssrc, bits: x.bits, mpt: x.mpt})
	s := d.put(seq, rtpHeader+int(length))
	s.fixed = true
	if seq > d.newest {
		d.newest = seq
		s.due, s.timed = now+d.latency, true
	}
	return true
}

func zero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}
