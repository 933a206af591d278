package engine

import (
	"errors"
	"fmt"
	"sort"

	"quartet/capture/mpegts"
)

// Slate is a short stretch of encoded picture and silence that can be sent over
// and over without a seam: whole PES packets, each with its place in time.
type Slate struct {
	units  []unit
	length int64 // ticks of one pass: frames × their time
	first  mpegts.Timestamp
	frames int
}

// unit is a PES packet or a table, and when it is due: ticks after the first
// picture's DTS.
type unit struct {
	due     int64
	packets []byte
}

// ParseSlate reads what `quartet-engine --make-slate` wrote with c. Sound that
// lies outside the pictures' time is left out, so that passes do not overlap.
func ParseSlate(ts []byte, c *Config) (*Slate, error) {
	s := &Slate{}
	open := map[mpegts.PID]int{} // unit that a PID's packets belong to
	pes := map[mpegts.PID]bool{c.Mux.VideoPID: true}
	for _, a := range c.Audio {
		pes[a.PID] = true
	}
	var lowest mpegts.Timestamp // PTS of the pictures
	var last int64
	var sound []int // units that may be left out
	for ; len(ts) >= mpegts.PacketSize; ts = ts[mpegts.PacketSize:] {
		p := mpegts.Packet(ts[:mpegts.PacketSize])
		if !p.Valid() {
			return nil, errors.New("engine: slate: not a transport stream")
		}
		pid := p.PID()
		if pid == mpegts.NullPID || pid == mpegts.SDTPID || !p.HasPayload() {
			continue
		}
		if !pes[pid] {
			if len(s.units) > 0 || p.PUSI() {
				s.units = append(s.units, unit{last, append([]byte{}, p...)})
			}
			continue
		}
		if p.PUSI() {
			pts, ok := p.PTS()
			if !ok {
				return nil, fmt.Errorf("engine: slate: PES without PTS on PID %d", pid)
			}
			dts, ok := p.DTS()
			if !ok {
				dts = pts
			}
			if pid == c.Mux.VideoPID {
				if s.frames == 0 {
					if !p.RandomAccess() {
						return nil, errors.New("engine: slate: does not begin with a key frame")
					}
					s.first, lowest = dts, pts
				}
				s.frames++
				if pts.Diff(lowest) < 0 {
					lowest = pts
				}
				last = dts.Diff(s.first) * 300
			}
			open[pid] = len(s.units)
			s.units = append(s.units, unit{last, nil})
			if pid != c.Mux.VideoPID {
				sound = append(sound, len(s.units)-1)
			}
		}
		if i, ok := open[pid]; ok {
			s.units[i].packets = append(s.units[i].packets, p...)
		}
	}
	if s.frames == 0 {
		return nil, errors.New("engine: slate: has no picture")
	}
	s.length = int64(s.frames) * c.Frame()
	for _, i := range sound {
		pts, _ := mpegts.Packet(s.units[i].packets[:mpegts.PacketSize]).PTS()
		if at := pts.Diff(lowest) * 300; at < 0 || at >= s.length {
			s.units[i].packets = nil
		} else {
			s.units[i].due = at
		}
	}
	sort.SliceStable(s.units, func(i, j int) bool { return s.units[i].due < s.units[j].due })
	for i := range s.units {
		s.units[i].due = max(s.units[i].due, 0)
	}
	return s, nil
}
