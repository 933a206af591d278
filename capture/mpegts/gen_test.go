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
