package engine

import (
	"slices"
	"time"

	"quartet/capture/mpegts"
)

// Origin says where what is sent comes from.
type Origin string

// Origins.
const (
	FromNothing Origin = "nothing" // stuffing, clock and tables only
	FromSlate   Origin = "slate"
	FromEngine  Origin = "engine"
)

const (
	// slateAfter is the time without a picture after which the slate begins
	// (ACCEPTANCE F12: 300 ms); frames that a loaded machine delays by less are
	// no reason.
	slateAfter = 240 * time.Millisecond
	// A new run's first frames come in a rush or late. It is looked at for so
	// long, and so many frames, before it goes on air at its next key frame,
	// which is asked for two frames earlier.
	settleFor    = 200 * time.Millisecond
	settleFrames = 6
	settleSounds = 16
	// askAgain is when a key frame that was asked for is asked for again.
	askAgain = 400 * time.Millisecond
	// siEvery is how often the SDT is sent (ETSI EN 300 468: 2 s).
	siEvery = time.Second
	// tablesEvery is how often PAT and PMT are sent, whatever an origin does: one
	// that stands still a little would exceed what TR 101 290 allows (0.5 s).
	tablesEvery = 100 * time.Millisecond
	// strayed is how far a run's timestamps may move from the clock before it
	// counts as a new one.
	strayed = time.Second
	// lateFrames in a row without one in time move the run's timestamps, and so
	// do lateSounds, of all PIDs together.
	lateFrames = 12
	lateSounds = 32
	// soundSlack is how much later than before it goes on air a run's sound may
	// come: the engine waits for picture and sound that are later than usual
	// (genlock's lateAfter, soundLate), and the multiplexer for both.
	soundSlack = 80 * time.Millisecond
)

// spliceConfig is what a splicer is made of.
type spliceConfig struct {
	pcrPID mpegts.PID // also the picture's
	pmtPID mpegts.PID
	sound  []mpegts.PID
	rate   int64
	lead   time.Duration // from a frame's first packet to its DTS
	ahead  time.Duration // see SoundAhead
	frame  int64         // ticks
	si     []byte        // packets sent every siEvery
	tables []byte        // PAT and PMT, sent while no origin has given any
	// keyFrame asks the engine for one; switched is told what is on air. Both
	// must return at once.
	keyFrame func()
	switched func(at time.Duration, from, to Origin)
}

// SpliceStats counts what was sent, and from where.
type SpliceStats struct {
	Origin     Origin              `json:"origin"`
	Switches   uint64              `json:"switches"`      // of origin
	SlateMS    float64             `json:"slate_ms"`      // time that the slate or nothing was on air, after the first switch to the engine
	LateFrames uint64              `json:"late_frames"`   // came after their DTS
	Moves      uint64              `json:"moves"`         // times a run's timestamps were moved for it
	LeadMS     float64             `json:"lead_ms"`       // of the last frame: what its DTS was ahead of the clock
	SoundMS    float64             `json:"sound_lead_ms"` // the same of the last sound
	LateSounds uint64              `json:"late_sounds"`   // came after their PTS
	Stuffer    mpegts.StufferStats `json:"stuffer"`
}

// splicer makes one stream of the engine's runs and the slate. The output's
// clock runs on by itself, so there is nothing to mark at a seam: PTS and DTS
// of each origin are moved onto that clock, and every PID goes on where the
// origin before has ended. Pure; not safe for concurrent use.
type splicer struct {
	cfg   spliceConfig
	out   *mpegts.Stuffer
	stamp mpegts.Restamper
	slate *Slate

	origin Origin
	since  time.Duration
	aired  bool
	muted  bool // nothing but clock and stuffing
	silent bool // nothing at all

	pids  map[mpegts.PID]*pidState
	video *pidState

	// the engine's run
	run      runState
	lastTick time.Duration
	grace    time.Duration // not silent before: this process was not scheduled

	// the slate's pass
	pass int64 // clock at which the pass's first picture is due to leave
	next int   // unit

	siAt     time.Duration
	tablesAt time.Duration
	runPSI   psi // the run's latest
	slatePSI psi
	stats    SpliceStats
	buf      []byte
}

// pidState is where the output of a PID has come to.
type pidState struct {
	open bool // within this origin
	last int64
	seen bool
}

// runState is what is known of one run of the engine.
type runState struct {
	seen    bool
	began   time.Duration
	last    time.Duration    // a picture's start
	pts     mpegts.Timestamp // of that picture
	ref     mpegts.Timestamp // of the first picture
	late    [settleFrames]int64
	frames  int
	sounds  [settleSounds]int64 // how late sound comes, like late
	heard   int
	asked   time.Duration
	overdue int
	unheard int // sounds in a row that came after their time
}

func newSplicer(cfg spliceConfig, now time.Duration, w mpegts.Writer) *splicer {
	s := &splicer{cfg: cfg, origin: FromNothing, since: now, lastTick: now, siAt: now, tablesAt: now, pids: map[mpegts.PID]*pidState{}}
	s.out = mpegts.NewStuffer(mpegts.StufferConfig{RateBPS: cfg.rate, PCRPID: cfg.pcrPID, Base: mpegts.PCRHz}, now, w)
	s.video = &pidState{}
	s.pids[cfg.pcrPID] = s.video
	for _, p := range cfg.sound {
		s.pids[p] = &pidState{}
	}
	return s
}

// runEnds is told when the process is gone: what comes next is another run, with
// timestamps of its own. That may be there before slateAfter is over, so this one
// leaves the air now.
func (s *splicer) runEnds(now time.Duration) {
	s.run = runState{last: s.run.last}
	if s.origin == FromEngine {
		s.leave(now)
	}
}

// engine takes packets of the run that arrived at an instant.
func (s *splicer) engine(at time.Duration, ts []byte) {
	for ; len(ts) >= mpegts.PacketSize; ts = ts[mpegts.PacketSize:] {
		s.enginePacket(at, mpegts.Packet(ts[:mpegts.PacketSize]))
	}
}

func (s *splicer) enginePacket(at time.Duration, p mpegts.Packet) {
	pid := p.PID()
	if pid == mpegts.NullPID || pid == mpegts.SDTPID {
		return
	}
	if pid == s.cfg.pcrPID && p.PUSI() {
		s.picture(at, p)
	}
	if pid == mpegts.PATPID || pid == s.cfg.pmtPID {
		s.runPSI.take(p)
		return
	}
	if p.PUSI() && pid != s.cfg.pcrPID && s.pids[pid] != nil && s.run.seen {
		if pts, ok := p.PTS(); ok {
			r := &s.run
			r.sounds[r.heard%settleSounds] = s.out.Clock(at) - pts.Diff(r.ref)*300 + mpegts.DurationToTicks(s.cfg.ahead)
			r.heard++
		}
	}
	if s.origin == FromEngine {
		s.through(p)
	}
}

// picture looks at the start of a frame: whether the run is in time, and
// whether it can go on air here.
func (s *splicer) picture(at time.Duration, p mpegts.Packet) {
	r := &s.run
	dts, ok := p.DTS()
	if !ok {
		if dts, ok = p.PTS(); !ok {
			return
		}
	}
	if !r.seen {
		r.seen, r.began, r.ref = true, at, dts
	}
	r.last = at
	if pts, ok := p.PTS(); ok {
		r.pts = pts
	}
	clock := s.out.Clock(at)
	r.late[r.frames%settleFrames] = clock - dts.Diff(r.ref)*300
	r.frames++
	if s.origin == FromEngine {
		s.check(at, clock, dts)
		return
	}
	if s.muted {
		return
	}
	if p.RandomAccess() && r.frames >= settleFrames && at-r.began >= settleFor {
		s.air(at, dts)
		return
	}
	if r.frames < settleFrames-2 || at-r.began < settleFor*2/3 {
		return
	}
	if r.asked == 0 || at-r.asked >= askAgain {
		r.asked = at
		s.cfg.keyFrame()
	}
}

// due returns the clock at which a frame with DTS ref is to be shown: so late
// that frames and sounds, as they came of late, are there before their time.
func (s *splicer) due() int64 {
	r := &s.run
	worst := slices.Max(r.late[:min(r.frames, settleFrames)]) + mpegts.DurationToTicks(s.cfg.lead)
	if r.heard > 0 {
		worst = max(worst, slices.Max(r.sounds[:min(r.heard, settleSounds)])+mpegts.DurationToTicks(soundSlack))
	}
	return worst
}

// air puts the engine on air; its next picture has this DTS.
func (s *splicer) air(at time.Duration, dts mpegts.Timestamp) {
	r := &s.run
	s.begin(at, FromEngine, s.due()+dts.Diff(r.ref)*300, dts)
}

// begin makes an origin the one on air: its picture with this DTS gets the
// given place on the clock, or the one behind what was last sent.
func (s *splicer) begin(at time.Duration, o Origin, due int64, dts mpegts.Timestamp) {
	if s.video.seen {
		// A whole frame would be added to the delay until the next seam.
		due = max(due, s.video.last+s.cfg.frame/4)
	}
	s.stamp.Loop(mpegts.PCRHz + due - int64(dts)*300)
	for _, p := range s.pids {
		p.open = false
	}
	s.run.overdue, s.run.unheard = 0, 0
	s.become(at, o)
}

func (s *splicer) become(at time.Duration, o Origin) {
	if o == s.origin {
		return
	}
	from := s.origin
	if s.aired && from != FromEngine {
		s.stats.SlateMS += float64(at-s.since) / float64(time.Millisecond)
	}
	s.aired = s.aired || o == FromEngine
	s.origin, s.since = o, at
	s.tablesAt = at // a receiver gets them before the key frame
	s.stats.Switches++
	s.cfg.switched(at, from, o)
}

// check sees to it that frames come before they are to be shown.
func (s *splicer) check(at time.Duration, clock int64, dts mpegts.Timestamp) {
	ahead := s.place(dts, clock) - clock
	s.stats.LeadMS = float64(ahead) * 1000 / mpegts.PCRHz
	if d := mpegts.TicksToDuration(ahead); d > strayed || d < -strayed {
		s.run = runState{last: at} // the run's clock has jumped
		s.leave(at)
		return
	}
	if ahead >= 0 {
		s.run.overdue = 0
	} else {
		s.run.overdue++
		s.stats.LateFrames++
	}
	if s.run.overdue >= lateFrames || s.run.unheard >= lateSounds {
		s.stats.Moves++
		s.begin(at, FromEngine, s.due()+dts.Diff(s.run.ref)*300, dts)
		s.cfg.keyFrame()
	}
}

// place is where a DTS lies on the output's clock, near a given instant.
func (s *splicer) place(dts mpegts.Timestamp, near int64) int64 {
	base := mpegts.PCR(0).Add(mpegts.PCRHz + near).Timestamp()
	return near + dts.Add(s.stamp.Offset()).Diff(base)*300
}

// through lets one packet of the origin on air through, if its PID is open: from
// the first PES packet that lies behind what the PID has sent.
func (s *splicer) through(p mpegts.Packet) {
	s.buf = append(s.buf[:0], p...)
	q := mpegts.Packet(s.buf)
	st := s.pids[q.PID()]
	if st == nil {
		s.out.Push(q)
		return
	}
	if q.PUSI() {
		if t, ok := q.PTS(); ok && st != s.video && s.origin == FromEngine {
			q.SetPTS(t.Add(-int64(s.cfg.ahead) * mpegts.PTSHz / int64(time.Second)))
		}
		t, ok := q.DTS()
		if !ok {
			t, ok = q.PTS()
		}
		if ok {
			at := s.place(t, s.clockNear(st))
			switch {
			case st.open, st != s.video && (!st.seen || at > st.last), st == s.video && q.RandomAccess():
				st.open, st.seen, st.last = true, true, at
			}
		}
	}
	if !st.open {
		return
	}
	s.stamp.Restamp(q)
	if st == s.video {
		s.out.Push(q)
		return
	}
	// Sound is small and comes last: it does not wait for a key frame to pass.
	if q.PUSI() && st.seen {
		ahead := st.last - s.out.Clock(s.lastTick)
		s.stats.SoundMS = float64(ahead) * 1000 / mpegts.PCRHz
		switch {
		case s.origin != FromEngine:
		case ahead < 0:
			s.stats.LateSounds++
			s.run.unheard++
		default:
			s.run.unheard = 0
		}
	}
	s.out.PushFirst(q)
}

// clockNear is an instant near which a PID's timestamps lie.
func (s *splicer) clockNear(st *pidState) int64 {
	if st.seen {
		return max(st.last, s.out.Clock(s.lastTick))
	}
	return s.out.Clock(s.lastTick)
}

// leave takes the engine off the air.
func (s *splicer) leave(now time.Duration) {
	if s.slate == nil || s.muted {
		s.become(now, FromNothing)
		return
	}
	s.startSlate(now)
}

func (s *splicer) startSlate(now time.Duration) {
	s.pass, s.next = s.out.Clock(now), 0
	s.begin(now, FromSlate, s.pass+mpegts.DurationToTicks(s.cfg.lead), s.slate.first)
}

// setSlate gives the slate, nil for none. In place of another one that is on air
// it begins at once.
func (s *splicer) setSlate(sl *Slate) {
	s.slate = sl
	switch {
	case s.origin != FromSlate:
	case sl == nil:
		s.become(s.lastTick, FromNothing)
	default:
		s.startSlate(s.lastTick)
	}
}

// mute sends stuffing and clock alone, or nothing at all (silent), until it is
// taken back. The engine comes back at a key frame.
func (s *splicer) mute(now time.Duration, muted, silent bool) {
	s.muted, s.silent = muted, silent
	if muted && s.origin != FromNothing {
		s.out.Discard()
		s.become(now, FromNothing)
	}
}

// tick sends what is due at now. Its error is the writer's.
func (s *splicer) tick(now time.Duration) error {
	if now-s.lastTick > slateAfter/3 {
		s.grace = now + slateAfter/3 // what waits in the socket comes first
	}
	s.lastTick = now
	if s.silent {
		s.out.Skip(now)
		return nil
	}
	switch s.origin {
	case FromEngine:
		if now-s.run.last >= slateAfter && now >= s.grace {
			s.runLost(now)
		}
	case FromNothing:
		if s.slate != nil && !s.muted && now-s.run.last >= slateAfter {
			s.startSlate(now)
		}
	}
	if s.origin == FromSlate {
		s.playSlate(now)
	}
	if now >= s.siAt && len(s.cfg.si) > 0 {
		s.out.Push(s.cfg.si)
		s.siAt = now + siEvery
	}
	if now >= s.tablesAt {
		s.out.PushFirst(s.tables())
		s.tablesAt = now + tablesEvery
	}
	return s.out.Tick(now)
}

// tables returns PAT and PMT of the origin on air.
func (s *splicer) tables() []byte {
	switch {
	case s.origin == FromEngine && s.runPSI.whole():
		return s.runPSI.packets()
	case s.origin == FromSlate && s.slatePSI.whole():
		return s.slatePSI.packets()
	}
	return s.cfg.tables
}

// runLost is when no picture has come for too long. The run may come back; then
// it is looked at anew.
func (s *splicer) runLost(now time.Duration) {
	s.run = runState{last: s.run.last}
	s.leave(now)
}

// playSlate hands on the slate's units that are due.
func (s *splicer) playSlate(now time.Duration) {
	clock := s.out.Clock(now)
	for {
		if s.next == len(s.slate.units) {
			s.pass += s.slate.length
			s.next = 0
			if clock-s.pass > s.slate.length { // a standstill of ours
				s.startSlate(now)
			} else {
				s.stamp.Loop(s.stamp.OffsetTicks() + s.slate.length)
			}
		}
		u := &s.slate.units[s.next]
		if s.pass+u.due > clock {
			return
		}
		for ts := u.packets; len(ts) >= mpegts.PacketSize; ts = ts[mpegts.PacketSize:] {
			p := mpegts.Packet(ts[:mpegts.PacketSize])
			if pid := p.PID(); pid == mpegts.PATPID || pid == s.cfg.pmtPID {
				s.slatePSI.take(p)
				continue
			}
			s.through(p)
		}
		s.next++
	}
}

// Stats returns the counts since the start.
func (s *splicer) Stats() SpliceStats {
	st := s.stats
	st.Origin, st.Stuffer = s.origin, s.out.Stats()
	if s.aired && s.origin != FromEngine {
		st.SlateMS += float64(s.lastTick-s.since) / float64(time.Millisecond)
	}
	return st
}
