package tr101290

import (
	"encoding/hex"
	"time"

	"quartet/capture/mpegts"
)

// cueLog is how many messages are kept.
const cueLog = 64

// cues is a ring of messages and what was counted besides.
type cues struct {
	ring  [cueLog]cueEntry
	count uint64 // messages logged since the start
	stats CueStats
}

type cueEntry struct {
	at, last time.Duration
	repeats  uint64
	sum      uint32 // CRC of the section
	pid      mpegts.PID
	splice   splice
}

// cue takes a section of table_id 0xFC.
func (m *Monitor) cue(pid mpegts.PID, b []byte) {
	c := &m.cues
	if mpegts.CRC32(b) != 0 {
		c.stats.CRCErrors++
		return
	}
	n := len(b)
	if n < 4 {
		return // by chance: no room for a CRC
	}
	sum := uint32(b[n-4])<<24 | uint32(b[n-3])<<16 | uint32(b[n-2])<<8 | uint32(b[n-1])
	// Messages are sent several times; only what is new is logged.
	for i := range c.ring[:min(c.count, cueLog)] {
		if e := &c.ring[i]; e.sum == sum && e.pid == pid && m.now-e.last < cueRepeat {
			e.repeats++
			e.last = m.now
			return
		}
	}
	e := &c.ring[c.count%cueLog]
	var s splice
	switch ok := parseSplice(&s, b); {
	case !ok:
		c.stats.Malformed++
		return
	case !s.encrypted && s.command == spliceNull && s.n == 0:
		c.stats.Heartbeats++
		return
	}
	*e = cueEntry{at: m.now, last: m.now, sum: sum, pid: pid, splice: s}
	c.count++
}

// cueRepeat is how long the same message is a repeat of the one logged.
const cueRepeat = time.Minute

// export makes the log readable, oldest first.
func (c *cues) export(programOf func(mpegts.PID) int) []Cue {
	list := []Cue{}
	for i := c.count - min(c.count, cueLog); i < c.count; i++ {
		e := &c.ring[i%cueLog]
		s := &e.splice
		x := Cue{
			At: e.at, Last: e.last, Repeats: e.repeats, PID: e.pid, Program: programOf(e.pid), Encrypted: s.encrypted,
			Cancel: s.cancel, OutOfNetwork: s.out, Immediate: s.immediate, AutoReturn: s.auto,
			UniqueProgramID: s.program, Avail: s.avail, AvailsExpected: s.avails, MoreSegments: s.more,
		}
		if !s.encrypted {
			x.Command = spliceNames[s.command]
			if x.Command == "" {
				x.Command = "reserved_0x" + hex.EncodeToString([]byte{s.command})
			}
		}
		if s.hasEvent {
			x.EventID = &s.event
		}
		if s.hasPTS {
			x.PTS = &s.pts
		}
		if s.timed {
			x.DurationMS = ms90(s.duration)
		}
		for _, g := range s.segments[:s.n] {
			y := Segment{
				EventID: g.event, Cancel: g.cancel, TypeID: g.kind, Type: segmentNames[g.kind], Number: g.number, Expected: g.expected,
				UPIDType: g.upidType, UPID: hex.EncodeToString(g.upid[:min(int(g.upidLen), maxUPID)]), UPIDCut: g.upidLen > maxUPID,
			}
			if g.timed {
				y.DurationMS = ms90(g.duration)
			}
			x.Segments = append(x.Segments, y)
		}
		list = append(list, x)
	}
	return list
}

// ms90 converts ticks of 90 kHz to milliseconds.
func ms90(ticks uint64) *float64 {
	v := float64(ticks) / (mpegts.PTSHz / 1000)
	return &v
}
