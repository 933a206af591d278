package rtp

import (
	"encoding/binary"
	"fmt"

	"github.com/pion/rtcp"
)

const appHeaderSize = 12

// SenderInfo is the part of an RTCP sender report (RFC 3550 §6.4.1) that
// describes the sender.
type SenderInfo struct {
	NTP       uint64 // see NTP
	Timestamp uint32 // RTP timestamp of the same instant
	Packets   uint32 // source packets sent in this epoch
	Octets    uint32 // their payload, bytes
}

// Report is one RTCP compound packet (RFC 3550 §6.1) as the two ends exchange
// them on an rtp-fec connection, tagged like every other message:
//
//	box → gateway:  SR, SDES(CNAME), APP QRTS              every 200 ms
//	gateway → box:  RR, SDES(CNAME), APP QRTP, APP QRTM    every 200 ms
//	box → gateway:  RR (no blocks), SDES, APP QPRB         preflight
//	gateway → box:  RR (no blocks), SDES, APP QPRA         as QPRB arrives
//
// Any of the APP packets may be left out or be sent together with the others,
// QPRB last. A receiver skips RTCP packets that it does not know.
type Report struct {
	SSRC   uint32 // of who sends the report
	CNAME  string // of who sends the report; empty when sending = "quartet-" + SSRC in hex
	Sender *SenderInfo
	Blocks []rtcp.ReceptionReport // at most 31

	Settings *Settings
	Path     *PathReport
	Merged   *MergedReport
	Answer   *ProbeAnswer
	Probe    *Probe

	Skipped int // packets of unknown type, name, subtype or version; on receipt only
}

// Append appends the compound packet, without tag, to dst. It is an SR if
// Sender is set, else an RR.
func (r *Report) Append(dst []byte) ([]byte, error) {
	start := len(dst)
	var first rtcp.Packet = &rtcp.ReceiverReport{SSRC: r.SSRC, Reports: r.Blocks}
	if s := r.Sender; s != nil {
		first = &rtcp.SenderReport{
			SSRC: r.SSRC, NTPTime: s.NTP, RTPTime: s.Timestamp,
			PacketCount: s.Packets, OctetCount: s.Octets, Reports: r.Blocks,
		}
	}
	cname := r.CNAME
	if cname == "" {
		cname = fmt.Sprintf("quartet-%08x", r.SSRC)
	}
	head, err := rtcp.Marshal([]rtcp.Packet{first, rtcp.NewCNAMESourceDescription(r.SSRC, cname)})
	if err != nil {
		return nil, fmt.Errorf("rtp: report: %w", err)
	}
	dst = append(dst, head...)
	if r.Settings != nil {
		if dst, err = r.app(dst, nameSettings, r.Settings.append); err != nil {
			return nil, err
		}
	}
	if r.Path != nil {
		if dst, err = r.app(dst, namePath, r.Path.append); err != nil {
			return nil, err
		}
	}
	if r.Merged != nil {
		if dst, err = r.app(dst, nameMerged, r.Merged.append); err != nil {
			return nil, err
		}
	}
	if r.Answer != nil {
		if dst, err = r.app(dst, nameAnswer, r.Answer.append); err != nil {
			return nil, err
		}
	}
	if p := r.Probe; p != nil {
		pad := p.Size - TagSize - (len(dst) - start) - appHeaderSize - probeSize
		if pad < 0 || p.Size > MaxMessage || p.Size%4 != 0 {
			return nil, fmt.Errorf("rtp: probe: Size %d: want a multiple of 4 from %d to %d", p.Size, p.Size-min(pad, 0), MaxMessage)
		}
		dst, err = r.app(dst, nameProbe, func(b []byte) ([]byte, error) {
			b = append(b, appVersion, 0)
			b = binary.BigEndian.AppendUint16(b, uint16(p.Size))
			b = binary.BigEndian.AppendUint32(b, p.ID)
			return append(b, make([]byte, pad)...), nil
		})
		if err != nil {
			return nil, err
		}
	}
	if n := len(dst) - start + TagSize; n > MaxMessage {
		return nil, fmt.Errorf("rtp: report: message of %d bytes: want at most %d: fewer blocks or windows", n, MaxMessage)
	}
	return dst, nil
}

// app appends one APP packet with the data that the function given appends, a
// multiple of 4 bytes.
func (r *Report) app(dst []byte, name string, data func([]byte) ([]byte, error)) ([]byte, error) {
	start := len(dst)
	dst = append(dst, rtpVersion<<6, byte(rtcp.TypeApplicationDefined), 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, r.SSRC)
	dst = append(dst, name...)
	dst, err := data(dst)
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint16(dst[start+2:], uint16((len(dst)-start)/4-1))
	return dst, nil
}

// ParseReport reads a compound packet whose tag has been checked and cut off.
// The result shares no memory with pkt. Errors wrap ErrMalformed.
func ParseReport(pkt []byte) (*Report, error) {
	if len(pkt)+TagSize > MaxMessage {
		return nil, malformed("RTCP compound of %d bytes, want at most %d", len(pkt), MaxMessage-TagSize)
	}
	if len(pkt) == 0 {
		return nil, malformed("empty RTCP compound")
	}
	r := &Report{}
	for rest := pkt; len(rest) > 0; {
		var h rtcp.Header
		if err := h.Unmarshal(rest); err != nil {
			return nil, malformed("RTCP header at byte %d: %v", len(pkt)-len(rest), err)
		}
		n := (int(h.Length) + 1) * 4
		if n > len(rest) {
			return nil, malformed("RTCP packet type %d at byte %d has %d bytes, %d are left", h.Type, len(pkt)-len(rest), n, len(rest))
		}
		isFirst := len(rest) == len(pkt)
		if isFirst && h.Type != rtcp.TypeSenderReport && h.Type != rtcp.TypeReceiverReport {
			return nil, malformed("RTCP compound begins with packet type %d, want 200 (SR) or 201 (RR)", h.Type)
		}
		if err := r.packet(h, rest[:n], isFirst, len(pkt)); err != nil {
			return nil, err
		}
		rest = rest[n:]
	}
	return r, nil
}

// packet takes in one packet of a compound of pktLen bytes.
func (r *Report) packet(h rtcp.Header, b []byte, isFirst bool, pktLen int) error {
	switch h.Type {
	case rtcp.TypeSenderReport:
		var sr rtcp.SenderReport
		if err := sr.Unmarshal(b); err != nil {
			return malformed("SR: %v", err)
		}
		if isFirst {
			r.SSRC = sr.SSRC
			r.Sender = &SenderInfo{NTP: sr.NTPTime, Timestamp: sr.RTPTime, Packets: sr.PacketCount, Octets: sr.OctetCount}
		}
		r.Blocks = append(r.Blocks, sr.Reports...)
	case rtcp.TypeReceiverReport:
		var rr rtcp.ReceiverReport
		if err := rr.Unmarshal(b); err != nil {
			return malformed("RR: %v", err)
		}
		if isFirst {
			r.SSRC = rr.SSRC
		}
		r.Blocks = append(r.Blocks, rr.Reports...)
	case rtcp.TypeSourceDescription:
		var sd rtcp.SourceDescription
		if err := sd.Unmarshal(b); err != nil {
			return malformed("SDES: %v", err)
		}
		for _, c := range sd.Chunks {
			for _, it := range c.Items {
				if it.Type == rtcp.SDESCNAME && c.Source == r.SSRC {
					r.CNAME = it.Text
				}
			}
		}
	case rtcp.TypeApplicationDefined:
		return r.application(b, pktLen)
	default:
		r.Skipped++
	}
	return nil
}

// application takes in one APP packet.
func (r *Report) application(b []byte, pktLen int) error {
	var app rtcp.ApplicationDefined
	if err := app.Unmarshal(b); err != nil {
		return malformed("APP: %v", err)
	}
	if app.SubType != 0 || len(app.Data) == 0 || app.Data[0] != appVersion {
		r.Skipped++ // of a later version, or not ours
		return nil
	}
	switch app.Name {
	case nameSettings:
		r.Settings = &Settings{}
		return r.Settings.parse(app.Data)
	case namePath:
		r.Path = &PathReport{}
		return r.Path.parse(app.Data)
	case nameMerged:
		r.Merged = &MergedReport{}
		return r.Merged.parse(app.Data)
	case nameAnswer:
		r.Answer = &ProbeAnswer{}
		return r.Answer.parse(app.Data)
	case nameProbe:
		r.Probe = &Probe{}
		return r.Probe.parse(app.Data, pktLen)
	default:
		r.Skipped++
		return nil
	}
}
