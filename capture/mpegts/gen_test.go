package mpegts

import "time"

// genStream makes a stream whose every packet's send time is known.
type genStream struct {
	pid      PID
	rate     float64 // bits per second
	pcrEvery int     // packets from PCR to PCR
	base     PCR     // PCR at time 0
	noPCR    bool
	flagNext bool // set discontinuity_indicator with the next PCR

	n     int
	t     float64 // send time of the next packet, source seconds
	cc    [PIDCount]uint8
	since int
}

// next appends a packet to dst and returns its send time by the source's clock.
func (g *genStream) next(dst []byte) ([]byte, time.Duration) {
	sent := time.Duration(g.t * 1e9)
	var p Packet
	if g.since == 0 && !g.noPCR {
		p = pcrPacket(g.pid, g.base.Add(int64(g.t*PCRHz+0.5)))
		p.SetCC(g.cc[g.pid])
		p.SetDiscontinuity(g.flagNext)
		g.flagNext = false
	} else {
		p = dataPacket(g.pid, g.cc[g.pid])
	}
	g.cc[g.pid]++
	g.since = (g.since + 1) % g.pcrEvery
	g.n++
	g.t += packetBits / g.rate
	return append(dst, p...), sent
}

func dataPacket(pid PID, cc uint8) Packet {
	p := make(Packet, PacketSize)
	p[0], p[3] = SyncByte, 0x10
	p.SetPID(pid)
	p.SetCC(cc)
	for i := 4; i < PacketSize; i++ {
		p[i] = byte(i)
	}
	return p
}

func pcrPacket(pid PID, pcr PCR) Packet {
	p := dataPacket(pid, 0)
	p[3] |= 0x20
	p[4], p[5] = 7, 0x10
	p.SetPCR(pcr)
	return p
}

// afOnly is a packet with an adaptation field and no payload.
func afOnly(pid PID, cc uint8) Packet {
	p := make(Packet, PacketSize)
	p[0], p[3], p[4] = SyncByte, 0x20, 183
	p.SetPID(pid)
	p.SetCC(cc)
	for i := 6; i < PacketSize; i++ {
		p[i] = 0xFF
	}
	return p
}

// pesPacket starts a PES packet with a PTS, and a DTS unless it equals pts.
func pesPacket(pid PID, pts, dts Timestamp) Packet {
	p := dataPacket(pid, 0)
	p.SetPUSI(true)
	h := []byte{0, 0, 1, 0xE0, 0, 0, 0x80, 0x80, 5, 0x21, 0, 1, 0, 1}
	if pts != dts {
		h = []byte{0, 0, 1, 0xE0, 0, 0, 0x80, 0xC0, 10, 0x31, 0, 1, 0, 1, 0x11, 0, 1, 0, 1}
	}
	copy(p[4:], h)
	p.SetPTS(pts)
	p.SetDTS(dts)
	return p
}

// testStream is a stream of n packets at constant rate: PAT and PMT, video with
// PCR and timestamps, audio, a PID of PCRs without payload, repeated packets
// and null packets.
func testStream(rate float64, n int) []byte {
	tick := packetBits / rate * PCRHz
	pat := section(0x00, 1, 0, 0, 0, []byte{0, 1, 0xE0 | 0x10, 0x00})
	pmt := section(0x02, 1, 0, 0, 0, []byte{0xE1, 0x00, 0xF0, 0,
		0x1B, 0xE1, 0x00, 0xF0, 0,
		0x0F, 0xE1, 0x01, 0xF0, 6, 10, 4, 'e', 'n', 'g', 0})
	var cc [PIDCount]uint8
	var ts []byte
	emit := func(p Packet) {
		pid := p.PID()
		if p.HasPayload() {
			cc[pid]++
		}
		p.SetCC(cc[pid])
		ts = append(ts, p...)
	}
	const base = PCRModulus - PCRHz/2 // wraps after half a second
	for i := 0; i < n; i++ {
		at := int64(float64(i)*tick + 0.5)
		pcr := PCR(base).Add(at)
		switch k := i % 200; {
		case k == 0:
			emit(pcrPacket(0x100, pcr))
		case k == 1:
			emit(sectionPacket(PATPID, pat))
		case k == 2:
			emit(sectionPacket(0x1000, pmt))
		case k == 3:
			emit(pesPacket(0x100, pcr.Timestamp().Add(9000), pcr.Timestamp().Add(5400)))
		case k == 4:
			emit(pesPacket(0x101, pcr.Timestamp().Add(7000), pcr.Timestamp().Add(7000)))
		case k == 5:
			p := afOnly(0x102, 0)
			p[5] = 0x18
			p.SetPCR(pcr)
			p.SetOPCR(pcr.Add(-PCRHz))
			emit(p)
		case k == 7:
			ts = append(ts, ts[len(ts)-PacketSize:]...) // a packet sent twice
		case k%10 == 9:
			ts = AppendNull(ts, 1)
		case k%3 == 0:
			emit(dataPacket(0x101, 0))
		default:
			emit(dataPacket(0x100, 0))
		}
	}
	return ts
}

// section builds a section with CRC_32.
func section(table uint8, extension uint16, version, number, last uint8, body []byte) []byte {
	n := 5 + len(body) + 4
	b := []byte{table, 0xB0 | byte(n>>8), byte(n), byte(extension >> 8), byte(extension), 0xC1 | version<<1, number, last}
	b = append(b, body...)
	c := CRC32(b)
	return append(b, byte(c>>24), byte(c>>16), byte(c>>8), byte(c))
}

// sectionPacket holds one short section.
func sectionPacket(pid PID, s []byte) Packet {
	return sectionPackets(pid, 0, s)[0]
}

// sectionPackets cuts a section into packets.
func sectionPackets(pid PID, cc uint8, s []byte) (list []Packet) {
	for first := true; len(s) > 0; first = false {
		p := Packet(AppendNull(nil, 1))
		p.SetPID(pid)
		p.SetCC(cc)
		p.SetPUSI(first)
		b := p.Payload()
		if first {
			b[0], b = 0, b[1:]
		}
		s = s[copy(b, s):]
		list = append(list, p)
		cc++
	}
	return list
}
