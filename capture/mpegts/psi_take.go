package mpegts

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/asticode/go-astits"
)

var errNoTable = errors.New("mpegts: section: table is not one that go-astits knows; nothing to do")

// parseSection lets go-astits parse one sound section of a PAT, PMT or SDT. It
// takes streams of packets only, so the section is put into packets of its own
// for it, on PID 0, where it takes any table. It has no state from one section
// to the next, and so nothing that could grow.
func parseSection(section []byte) (d *astits.DemuxerData, err error) {
	defer func() {
		// The parser is not ours and the bytes are a stranger's.
		if r := recover(); r != nil {
			d, err = nil, fmt.Errorf("mpegts: section of table 0x%02x, %d bytes: parser failed: %v; section ignored", section[0], len(section), r)
		}
	}()
	var ts []byte
	for rest, first := section, true; len(rest) > 0; first = false {
		p := NullPacket
		h := Packet(p[:])
		h.SetPID(PATPID)
		h.SetPUSI(first)
		h.SetCC(uint8(len(ts) / PacketSize))
		b := p[4:]
		if first {
			b[0], b = 0, b[1:] // pointer_field
		}
		rest = rest[copy(b, rest):]
		ts = append(ts, p[:]...)
	}
	dmx := astits.NewDemuxer(context.Background(), bytes.NewReader(ts), astits.DemuxerOptPacketSize(PacketSize))
	d, err = dmx.NextData()
	switch {
	case err != nil:
		return nil, fmt.Errorf("mpegts: section of table 0x%02x, %d bytes: %w; section ignored", section[0], len(section), err)
	case d.PAT == nil && d.PMT == nil && d.SDT == nil:
		return nil, errNoTable
	}
	return d, nil
}

// takePAT takes a section of the PAT, number of 0…last.
func (t *Tables) takePAT(d *astits.PATData, id tableID, number, last uint8) {
	if t.pat.id != id || t.pat.sections == nil {
		t.pat = pat{id: id, sections: map[uint8][]patEntry{}}
	}
	var list []patEntry
	for _, p := range d.Programs {
		pid := PID(p.ProgramMapID)
		switch {
		case p.ProgramNumber == 0: // the NIT's PID
		case pid < NITPID || pid == SDTPID || pid >= NullPID:
			t.stats.Refused++
		default:
			list = append(list, patEntry{p.ProgramNumber, pid})
		}
	}
	t.pat.sections[number] = list
	for i := 0; i <= int(last); i++ {
		if _, ok := t.pat.sections[uint8(i)]; !ok {
			return // the rest is to come
		}
	}
	t.applyPAT(last)
}

// applyPAT makes the complete PAT the list of programs.
func (t *Tables) applyPAT(last uint8) {
	old := t.programs
	t.programs = make(map[uint16]*Program, len(old))
	for pid, f := range t.follow {
		if f != nil {
			f.used = PID(pid) == PATPID || PID(pid) == SDTPID
		}
	}
	for i := 0; i <= int(last); i++ {
		for _, e := range t.pat.sections[uint8(i)] {
			if len(t.programs) >= maxPrograms {
				t.stats.OverLimit++
				continue
			}
			p := old[e.number]
			if p == nil || p.PMTPID != e.pid {
				p = &Program{Number: e.number, PMTPID: e.pid, PCRPID: NullPID}
			}
			t.programs[e.number] = p
			if t.follow[e.pid] == nil {
				t.follow[e.pid] = &tablePID{}
			}
			t.follow[e.pid].used = true
		}
	}
	for pid, f := range t.follow {
		if f != nil && !f.used {
			t.stats.add(f.sections.Stats())
			t.follow[pid] = nil
		}
	}
	// A PMT seen earlier may belong to a program that is new: look again.
	for id := range t.seen {
		if id.pid != PATPID && id.pid != SDTPID {
			delete(t.seen, id)
		}
	}
	t.generation++
}

func (t *Tables) takePMT(d *astits.PMTData) {
	p := t.programs[d.ProgramNumber]
	if p == nil || p.PMTPID != t.pid {
		return // a PMT that the PAT does not list
	}
	p.HasPMT, p.PCRPID = true, PID(d.PCRPID)
	p.Components = p.Components[:0]
	for _, s := range d.ElementaryStreams {
		p.Components = append(p.Components, Component{
			PID:        PID(s.ElementaryPID),
			StreamType: uint8(s.StreamType),
			Codec:      codec(uint8(s.StreamType), s.ElementaryStreamDescriptors),
			Language:   language(s.ElementaryStreamDescriptors),
		})
	}
	t.generation++
}

func (t *Tables) takeSDT(d *astits.SDTData, id tableID) {
	if t.sdt != id {
		t.sdt = id
		clear(t.services)
	}
	for _, s := range d.Services {
		for _, x := range s.Descriptors {
			if x.Service == nil {
				continue
			}
			if _, known := t.services[s.ServiceID]; !known && len(t.services) >= maxServices {
				t.stats.OverLimit++
				continue
			}
			t.services[s.ServiceID] = service{DVBText(x.Service.Name), DVBText(x.Service.Provider), x.Service.Type}
		}
	}
	t.generation++
}

// streamTypes names the stream types of ISO/IEC 13818-1 table 2-34 and of ATSC
// and SCTE that are met with.
var streamTypes = map[uint8]string{
	0x01: "mpeg1video", 0x02: "mpeg2video", 0x03: "mpeg1audio", 0x04: "mpeg2audio",
	0x0F: "aac", 0x10: "mpeg4video", 0x11: "aac-latm", 0x15: "metadata", 0x1B: "h264",
	0x21: "jpeg2000", 0x24: "h265", 0x32: "jpegxs", 0x33: "h266", 0x42: "avs",
	0x81: "ac3", 0x82: "scte27", 0x86: "scte35", 0x87: "eac3", 0xD1: "dirac", 0xEA: "vc1",
}

// registrations names the format identifiers of registration descriptors for
// streams of private type.
var registrations = map[uint32]string{
	fourCC("AC-3"): "ac3", fourCC("EAC3"): "eac3", fourCC("HEVC"): "h265", fourCC("Opus"): "opus",
	fourCC("BSSD"): "s302m", fourCC("CUEI"): "scte35", fourCC("KLVA"): "klv", fourCC("VC-1"): "vc1",
	fourCC("DTS1"): "dts", fourCC("DTS2"): "dts", fourCC("DTS3"): "dts", fourCC("AV01"): "av1",
	fourCC("ID3 "): "id3", fourCC("AC-4"): "ac4", fourCC("drac"): "dirac",
}

func fourCC(s string) uint32 {
	return uint32(s[0])<<24 | uint32(s[1])<<16 | uint32(s[2])<<8 | uint32(s[3])
}

// codec names what a component is: by its own descriptors where the type is
// private, else by its stream type.
func codec(streamType uint8, descriptors []*astits.Descriptor) string {
	if name := streamTypes[streamType]; name != "" && streamType < 0x80 {
		return name
	}
	for _, d := range descriptors {
		switch {
		case d.Tag == 0x6A:
			return "ac3"
		case d.Tag == 0x7A:
			return "eac3"
		case d.Tag == 0x7B:
			return "dts"
		case d.Tag == 0x7C:
			return "aac"
		case d.Tag == 0x59:
			return "dvbsub"
		case d.Tag == 0x56 || d.Tag == 0x46:
			return "teletext"
		case d.Registration != nil && registrations[d.Registration.FormatIdentifier] != "":
			return registrations[d.Registration.FormatIdentifier]
		}
	}
	return streamTypes[streamType]
}

// language returns the first language among a component's descriptors.
func language(descriptors []*astits.Descriptor) string {
	for _, d := range descriptors {
		var code []byte
		switch {
		case d.ISO639LanguageAndAudioType != nil:
			code = d.ISO639LanguageAndAudioType.Language
		case d.Subtitling != nil && len(d.Subtitling.Items) > 0:
			code = d.Subtitling.Items[0].Language
		case d.Teletext != nil && len(d.Teletext.Items) > 0:
			code = d.Teletext.Items[0].Language
		}
		if len(code) == 3 {
			return DVBText(code)
		}
	}
	return ""
}
