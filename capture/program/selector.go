package program

import (
	"fmt"
	"slices"

	"quartet/capture/mpegts"
)

// MaxAudio is how many sounds of a programme are taken.
const MaxAudio = 8

// Choice is what is taken of a stream.
type Choice struct {
	Service uint16 // programme number
	PMTPID  mpegts.PID
	PCRPID  mpegts.PID
	Video   *mpegts.Component // nil: the programme has none that is taken
	Audio   []mpegts.Component
}

// same tells whether a decoder of one is a decoder of the other.
func (c *Choice) same(d *Choice) bool {
	alike := func(a, b mpegts.Component) bool { return a.PID == b.PID && a.Codec == b.Codec }
	return c.Service == d.Service && c.PMTPID == d.PMTPID && c.PCRPID == d.PCRPID && (c.Video == nil) == (d.Video == nil) &&
		(c.Video == nil || alike(*c.Video, *d.Video)) && slices.EqualFunc(c.Audio, d.Audio, alike)
}

// Config says what may be taken.
type Config struct {
	Service int // programme number; 0: the first with a picture that may be taken
	// Codecs are those that can be decoded, named as mpegts.Component.Codec is.
	Codecs []string
}

// Selector takes a programme out of a stream. Not safe for concurrent use.
type Selector struct {
	cfg Config // set at start, never changed

	tables  *mpegts.Tables
	known   uint64 // generation of the tables that choice was made of
	looked  bool
	take    [mpegts.PIDCount]bool
	choice  Choice
	changes uint64
	reason  string // why there is nothing to take

	scrambled map[mpegts.PID]uint64 // packets in a row, of those taken
}

// New returns a Selector.
func New(cfg Config) *Selector {
	s := &Selector{cfg: cfg, tables: mpegts.NewTables(), scrambled: map[mpegts.PID]uint64{}, reason: "no transport stream has come"}
	s.take[mpegts.PATPID] = true
	return s
}

// Push takes the next packets, n·188 bytes, and hands on the runs of those that
// were chosen. emit must not keep them.
func (s *Selector) Push(ts []byte, emit func(ts []byte)) {
	s.tables.Push(ts)
	if g := s.tables.Generation(); g != s.known || !s.looked {
		s.known, s.looked = g, true
		s.choose()
	}
	from := 0
	for i := 0; i+mpegts.PacketSize <= len(ts); i += mpegts.PacketSize {
		p := mpegts.Packet(ts[i : i+mpegts.PacketSize])
		if pid := p.PID(); s.take[pid] && !p.TransportError() && s.clear(pid, p) {
			continue
		}
		if i > from {
			emit(ts[from:i])
		}
		from = i + mpegts.PacketSize
	}
	if n := len(ts) - len(ts)%mpegts.PacketSize; n > from {
		emit(ts[from:n])
	}
}

// clear notes whether a component is scrambled; such packets are of no use.
func (s *Selector) clear(pid mpegts.PID, p mpegts.Packet) bool {
	if p.Scrambling() == 0 {
		if s.scrambled[pid] > 0 && p.HasPayload() {
			delete(s.scrambled, pid)
		}
		return true
	}
	s.scrambled[pid]++
	return false
}

// Choice returns what is taken; the number grows with every change that needs
// another decoder. 0: nothing yet. The result is not to be changed.
func (s *Selector) Choice() (Choice, uint64) { return s.choice, s.changes }

// scrambledAfter is how many packets in a row tell that a component is not clear.
const scrambledAfter = 50

// Problem says in words why there is nothing to decode; "" if there is.
func (s *Selector) Problem() string {
	if s.reason != "" {
		return s.reason
	}
	if v := s.choice.Video; v != nil && s.scrambled[v.PID] > scrambledAfter {
		return fmt.Sprintf("the picture of programme %d (PID %d) is scrambled: it can be passed through, not decoded", s.choice.Service, v.PID)
	}
	return ""
}

// choose looks for the programme in the tables.
func (s *Selector) choose() {
	list := s.tables.Programs()
	var c Choice
	reason := ""
	switch i := slices.IndexFunc(list, func(p mpegts.Program) bool { return int(p.Number) == s.cfg.Service }); {
	case len(list) == 0:
		reason = "the stream has no PAT with programmes"
	case s.cfg.Service > 0 && i < 0:
		reason = fmt.Sprintf("the stream has no programme %d; it has %s", s.cfg.Service, numbers(list))
	case s.cfg.Service > 0:
		c, reason = s.of(&list[i])
	default:
		for i := range list {
			if c, reason = s.of(&list[i]); reason == "" {
				break
			}
		}
	}
	s.reason = reason
	if reason != "" {
		c = Choice{}
	}
	if s.choice.same(&c) {
		return
	}
	s.choice = c
	s.changes++
	clear(s.scrambled)
	s.take = [mpegts.PIDCount]bool{}
	s.take[mpegts.PATPID] = true
	if c.Service == 0 {
		return
	}
	for _, a := range c.Audio {
		s.take[a.PID] = true
	}
	s.take[c.PMTPID], s.take[c.Video.PID] = true, true
	if c.PCRPID != mpegts.NullPID {
		s.take[c.PCRPID] = true
	}
}

// of is what would be taken of a programme, or why nothing.
func (s *Selector) of(p *mpegts.Program) (c Choice, reason string) {
	if !p.HasPMT {
		return c, fmt.Sprintf("programme %d has no PMT", p.Number)
	}
	c = Choice{Service: p.Number, PMTPID: p.PMTPID, PCRPID: p.PCRPID}
	other := ""
	for i := range p.Components {
		k := &p.Components[i]
		known := slices.Contains(s.cfg.Codecs, k.Codec)
		switch {
		case k.PID < mpegts.NITPID || k.PID >= mpegts.NullPID:
		case k.Kind == mpegts.KindVideo && !known:
			other = k.Codec
		case k.Kind == mpegts.KindVideo && c.Video == nil:
			c.Video = k
		case k.Kind == mpegts.KindAudio && known && len(c.Audio) < MaxAudio:
			c.Audio = append(c.Audio, *k)
		}
	}
	switch {
	case c.Video != nil:
		return c, ""
	case other != "":
		return c, fmt.Sprintf("the picture of programme %d is %s, for which there is no decoder here", p.Number, other)
	}
	return c, fmt.Sprintf("programme %d has no picture", p.Number)
}

// numbers lists the programmes that there are, not all of a large multiplex.
func numbers(list []mpegts.Program) string {
	text := ""
	for i, p := range list {
		if i == 8 {
			return text + " and more"
		}
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprint(p.Number)
	}
	return text
}
