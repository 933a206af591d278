package mpegts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

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
		case p.ProgramNumber == 0 && pid >= NITPID && pid < NullPID:
			list = append(list, patEntry{0, pid})
		case p.ProgramNumber == 0:
			t.stats.Refused++
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
	t.network = NITPID
	for pid, f := range t.follow {
		if f != nil {
			f.used = slices.Contains(fixedPIDs[:], PID(pid))
		}
	}
	for i := 0; i <= int(last); i++ {
		for _, e := range t.pat.sections[uint8(i)] {
			if e.number == 0 {
				t.network = e.pid
				continue
			}
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
		if !slices.Contains(fixedPIDs[:], id.pid) {
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
	p.CAPIDs = accessPIDs(nil, d.ProgramDescriptors)
	p.Components = p.Components[:0]
	for _, s := range d.ElementaryStreams {
		name := codec(uint8(s.StreamType), s.ElementaryStreamDescriptors)
		p.Components = append(p.Components, Component{
			PID:        PID(s.ElementaryPID),
			StreamType: uint8(s.StreamType),
			Codec:      name,
			Kind:       kindOf(name),
			Language:   language(s.ElementaryStreamDescriptors),
			Still:      still(s.ElementaryStreamDescriptors),
			CAPIDs:     accessPIDs(nil, s.ElementaryStreamDescriptors),
		})
	}
	t.generation++
}

// takeCAT takes the descriptors of a section of the CAT. go-astits knows no CAT.
func (t *Tables) takeCAT(b []byte, id tableID) {
	if t.cat != id {
		t.cat, t.access = id, nil
	}
	list := slices.Clone(t.access)
	for len(b) >= 2 && len(b) >= 2+int(b[1]) {
		if b[0] == 0x09 {
			list = accessPID(list, b[2:2+int(b[1])])
		}
		b = b[2+int(b[1]):]
	}
	if len(b) > 0 {
		t.stats.Refused++
	}
	if len(list) > maxAccess {
		t.stats.OverLimit++
		list = list[:maxAccess]
	}
	t.access = list
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
