package engine

import (
	"testing"
	"time"

	"quartet/capture/mpegts"
	"quartet/capture/tr101290"
)

// bed runs a splicer in virtual time.
type bed struct {
	t     *testing.T
	now   time.Duration
	rec   recorder
	s     *splicer
	run   *stream
	at    time.Duration // of the run's next frame
	asked int
	late  func(frame int) time.Duration // what a frame comes late by
	seams []Origin
}

func newBed(t *testing.T, slate bool) *bed {
	c := testConfig()
	b := &bed{t: t, now: time.Second, late: func(int) time.Duration { return 0 }}
	b.s = newSplicer(spliceConfig{
		pcrPID: 257, pmtPID: 256, sound: []mpegts.PID{258}, rate: c.Mux.RateBPS, lead: c.lead(), frame: c.Frame(),
		si:       mpegts.AppendSDT(nil, mpegts.Service{ID: 1, Name: "x"}),
		tables:   c.standIn(),
		keyFrame: func() { b.asked++; b.run.key = true },
		switched: func(_ time.Duration, _, to Origin) { b.seams = append(b.seams, to) },
	}, b.now, &b.rec)
	if slate {
		b.s.setSlate(testSlate(&c))
	}
	return b
}

// start begins a run whose timestamps start anywhere.
func (b *bed) start(first mpegts.Timestamp) {
	b.run, b.at = newStream(first), b.now+100*time.Millisecond
}

// stop ends the run, in the middle of a frame if told.
func (b *bed) stop(half bool) {
	if half {
		f := b.run.frame()
		b.s.engine(b.now, f[:mpegts.PacketSize*(len(f)/mpegts.PacketSize/2)])
	}
	b.run = nil
	b.s.runEnds(b.now)
}

// pass lets time pass in steps of 4 ms.
func (b *bed) pass(d time.Duration) {
	b.t.Helper()
	for end := b.now + d; b.now < end; b.now += 4 * time.Millisecond {
		for b.run != nil && b.at+b.late(b.run.frames) <= b.now {
			b.s.engine(b.now, b.run.frame())
			b.at += 40 * time.Millisecond
		}
		if err := b.s.tick(b.now); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bed) origins(want ...Origin) {
	b.t.Helper()
	if len(b.seams) != len(want) {
		b.t.Fatalf("on air were %v, want %v", b.seams, want)
	}
	for i := range want {
		if b.seams[i] != want[i] {
			b.t.Fatalf("on air were %v, want %v", b.seams, want)
		}
	}
}

// The engine dies in mid-frame, is replaced by a run whose clock is elsewhere,
// and again: no receiver sees a seam.
func TestSpliceRunsAndSlate(t *testing.T) {
	b := newBed(t, true)
	b.pass(time.Second)
	b.start(324_000_000)
	b.pass(3 * time.Second)
	died := b.now
	b.stop(true)
	b.pass(3 * time.Second) // more than a pass of the slate
	if gap := b.rec.longestGap(died - 100*time.Millisecond); gap > 300*time.Millisecond {
		t.Errorf("%v without a picture", gap)
	}
	b.start(mpegts.PTSModulus - 90_000) // wraps after a second
	b.pass(4 * time.Second)
	b.stop(false)
	b.pass(5 * time.Second)
	b.origins(FromSlate, FromEngine, FromSlate, FromEngine, FromSlate)
	b.rec.sound(t, testConfig().Mux.RateBPS, 5)
	if st := b.s.Stats(); st.LateFrames > 0 || st.Stuffer.Dropped > 0 || st.Stuffer.Jumps > 0 {
		t.Errorf("%+v", st)
	}
}

// The next run may be there before a missing picture is missed, with timestamps
// that are not far from those of the one that died: nothing of it goes out on
// that one's clock.
func TestSpliceNextRunAtOnce(t *testing.T) {
	for _, slate := range []bool{true, false} {
		for _, off := range []mpegts.Timestamp{0, 60_000} {
			b := newBed(t, slate)
			b.pass(time.Second)
			b.start(324_000_000)
			b.pass(3 * time.Second)
			last := b.run.first + mpegts.Timestamp(b.run.frames*3600)
			b.stop(false)
			b.start(last - off)
			b.pass(4 * time.Second)
			if slate {
				b.origins(FromSlate, FromEngine, FromSlate, FromEngine)
			} else {
				b.origins(FromEngine, FromNothing, FromEngine)
			}
			b.rec.sound(t, testConfig().Mux.RateBPS, 5)
			if st := b.s.Stats(); st.LateFrames > 0 || st.Moves > 0 || st.Stuffer.Dropped > 0 || st.Stuffer.Jumps > 0 {
				t.Errorf("%+v", st)
			}
		}
	}
}

// Without a slate there are clock, tables of ours and stuffing, until the engine
// comes: within half a second of its first frame.
func TestSpliceWithoutSlate(t *testing.T) {
	b := newBed(t, false)
	b.pass(time.Second)
	b.start(90_000)
	b.pass(100*time.Millisecond + 500*time.Millisecond)
	b.origins(FromEngine)
	b.pass(time.Second)
	b.stop(false)
	b.pass(time.Second)
	b.origins(FromEngine, FromNothing)
	// Nobody misses the tables meanwhile (TR 101 290 1.3, 1.5: half a second).
	last := map[mpegts.PID]time.Duration{mpegts.PATPID: b.rec.at[0], 256: b.rec.at[0]}
	for i, at := range b.rec.at {
		pid := mpegts.Packet(b.rec.ts[i*mpegts.PacketSize : (i+1)*mpegts.PacketSize]).PID()
		if before, ok := last[pid]; ok {
			last[pid] = at
			if at-before > 500*time.Millisecond {
				t.Errorf("at %v: no table on PID %d for %v", at, pid, at-before)
			}
		}
	}
	for pid, at := range last {
		if d := b.now - at; d > 500*time.Millisecond {
			t.Errorf("no table on PID %d for the last %v", pid, d)
		}
	}
}

// The engine may stand still, or send tables as rarely as it likes: nobody misses
// them, they come whole, before the key frame they are for, and are never those
// of a stand-in when the stream's own are known.
func TestSpliceTables(t *testing.T) {
	for phase := range 5 { // of the stand-in's tables, when the engine goes on air
		long := phase%2 == 1
		b := newBed(t, false)
		b.pass(300*time.Millisecond + time.Duration(phase)*tablesEvery/5)
		b.start(90_000)
		b.run.long = long
		b.pass(700 * time.Millisecond)
		b.origins(FromEngine)
		b.run.noTables = true
		b.pass(2 * time.Second)
		if long { // a run that dies in the middle of a table
			pmt := b.run.tables()[mpegts.PacketSize:]
			b.s.engine(b.now, pmt[:mpegts.PacketSize])
		}
		b.pass(2 * time.Second)
		m, err := tr101290.New(tr101290.Config{})
		if err != nil {
			t.Fatal(err)
		}
		last, longest, aired := b.rec.at[0], time.Duration(0), false
		version := map[mpegts.PID]uint8{}
		for i, at := range b.rec.at {
			p := mpegts.Packet(b.rec.ts[i*mpegts.PacketSize : (i+1)*mpegts.PacketSize])
			_ = m.WriteTS(at, p)
			switch pid := p.PID(); {
			case (pid == mpegts.PATPID || pid == 256) && p.PUSI():
				version[pid] = p.Payload()[6] >> 1 & 0x1F
				longest, last = max(longest, at-last), at
			case pid == 257 && p.RandomAccess() && !aired:
				aired = true
				if version[mpegts.PATPID] != 1 || version[256] != 1 {
					t.Errorf("long %t: the first key frame comes with tables of versions %v, want 1", long, version)
				}
			}
			if aired && version[256] != 1 {
				t.Fatalf("long %t: at %v: a stand-in's table", long, at)
			}
		}
		if limit := tablesEvery + 20*time.Millisecond; !aired || longest > limit {
			t.Errorf("long %t: on air %t, %v without a table, want %v at the most", long, aired, longest, limit)
		}
		for _, c := range m.Checks() {
			switch c.Check {
			case tr101290.PATError2, tr101290.PMTError2, tr101290.CRCError, tr101290.ContinuityCountError:
				if c.Count > 0 {
					t.Errorf("long %t: %s: %d", long, c.Check, c.Count)
				}
			}
		}
	}
}

// This process was not scheduled. The frames of that time wait in the socket: the
// engine stays on air.
func TestSpliceStandstillOfOurs(t *testing.T) {
	b := newBed(t, true)
	b.start(324_000_000)
	b.pass(2 * time.Second)
	b.now += 400 * time.Millisecond
	if err := b.s.tick(b.now); err != nil { // before who reads the socket gets its turn
		t.Fatal(err)
	}
	b.pass(time.Second)
	b.origins(FromSlate, FromEngine)

	// Behind passes of the slate that were slept through it begins anew, and does
	// not play them all at once.
	b.stop(false)
	b.pass(time.Second)
	b.origins(FromSlate, FromEngine, FromSlate)
	b.now += 5 * time.Second
	before := len(b.rec.pic)
	b.pass(200 * time.Millisecond)
	if n := len(b.rec.pic) - before; n == 0 || n > 12 {
		t.Errorf("%d pictures in the 200 ms behind a standstill, want some 5", n)
	}
	if st := b.s.Stats().Stuffer; st.Dropped > 0 || st.Jumps == 0 {
		t.Errorf("%+v", st)
	}
}

// Sound that comes late for good moves the timestamps, once.
func TestSpliceLateSound(t *testing.T) {
	b := newBed(t, true)
	b.start(324_000_000)
	b.pass(2 * time.Second)
	if st := b.s.Stats(); st.LateSounds > 0 || st.SoundMS <= 0 {
		t.Fatalf("%+v", st)
	}
	b.run.behind = 300 * time.Millisecond
	b.pass(10 * time.Second)
	st := b.s.Stats()
	if st.Moves != 1 || st.LateSounds < lateSounds || st.LateSounds > 2*lateSounds || st.SoundMS < 0 {
		t.Errorf("%+v", st)
	}
	b.origins(FromSlate, FromEngine)
}

// A run that stands still and comes back, as after SIGSTOP and SIGCONT, is
// looked at anew.
func TestSpliceStandstill(t *testing.T) {
	b := newBed(t, true)
	b.start(324_000_000)
	b.late = func(n int) time.Duration {
		if n >= 100 {
			return 700 * time.Millisecond
		}
		return 0
	}
	b.pass(10 * time.Second)
	b.origins(FromSlate, FromEngine, FromSlate, FromEngine)
	b.rec.sound(t, testConfig().Mux.RateBPS, 5)
}

// Frames that come late for good move the timestamps; a single late one does not.
func TestSpliceLateFrames(t *testing.T) {
	b := newBed(t, true)
	b.start(324_000_000)
	b.late = func(n int) time.Duration {
		switch {
		case n == 60:
			return 190 * time.Millisecond
		case n >= 150:
			return 180 * time.Millisecond
		}
		return 0
	}
	b.pass(5 * time.Second)
	if st := b.s.Stats(); st.Moves != 0 || st.LateFrames == 0 {
		t.Errorf("%+v", st)
	}
	b.pass(10 * time.Second)
	st := b.s.Stats()
	if st.Moves != 1 || st.LateFrames > 20 || st.LeadMS < 0 {
		t.Errorf("%+v", st)
	}
	b.origins(FromSlate, FromEngine)
}

// Muted, there is a clock and no picture; silent, nothing, and the clock says
// that it has jumped.
func TestSpliceMuted(t *testing.T) {
	b := newBed(t, true)
	b.start(324_000_000)
	b.pass(2 * time.Second)
	b.s.mute(b.now, true, false)
	muted := len(b.rec.pic)
	b.pass(time.Second)
	if n := len(b.rec.pic); n != muted {
		t.Errorf("%d pictures while muted", n-muted)
	}
	b.s.mute(b.now, true, true)
	silent := len(b.rec.at)
	b.pass(2 * time.Second)
	if n := len(b.rec.at); n != silent {
		t.Errorf("%d packets while silent", n-silent)
	}
	b.s.mute(b.now, false, false)
	b.pass(2 * time.Second)
	if len(b.rec.pic) == muted {
		t.Error("no picture after it")
	}
	marks := 0
	for i := range b.rec.at {
		if mpegts.Packet(b.rec.ts[i*188:(i+1)*188]).Discontinuity() && b.rec.at[i] > 0 {
			marks++
		}
	}
	if marks != 1 {
		t.Errorf("%d discontinuities marked, want 1", marks)
	}
}

func TestSpliceAllocates(t *testing.T) {
	c := testConfig()
	s := newSplicer(spliceConfig{pcrPID: 257, pmtPID: 256, sound: []mpegts.PID{258}, rate: 8_000_000, lead: c.lead(), frame: c.Frame(),
		keyFrame: func() {}, switched: func(time.Duration, Origin, Origin) {}}, 0, mpegts.WriterFunc(func(time.Duration, []byte) error { return nil }))
	run := newStream(90_000)
	var frames [][]byte
	for range 2000 {
		frames = append(frames, run.frame())
	}
	now, n := time.Duration(0), 0
	step := func() {
		now += 40 * time.Millisecond
		s.engine(now, frames[n%len(frames)])
		n++
		_ = s.tick(now)
	}
	for range 100 {
		step()
	}
	if s.origin != FromEngine {
		t.Fatal(s.origin)
	}
	if n := testing.AllocsPerRun(500, step); n != 0 {
		t.Errorf("%v allocations for a frame", n)
	}
}

// Another slate may come while one is on air, of another length: the stream goes
// on without a step.
func TestSpliceOtherSlate(t *testing.T) {
	c := testConfig()
	var cc mpegts.Continuity
	pictures := 0
	var last mpegts.Timestamp
	s := newSplicer(spliceConfig{
		pcrPID: 257, pmtPID: 256, sound: []mpegts.PID{258}, rate: 1_200_000, lead: c.lead(), frame: c.Frame(), keyFrame: func() {}, switched: func(time.Duration, Origin, Origin) {},
	}, 0, mpegts.WriterFunc(func(at time.Duration, ts []byte) error {
		p := mpegts.Packet(ts)
		if v := cc.Check(p); v == mpegts.Broken || v == mpegts.Duplicate {
			t.Errorf("at %v, PID %d: continuity", at, p.PID())
		}
		if dts, ok := p.PTS(); ok && p.PID() == 257 { // no B frames here
			if d := dts.Diff(last); pictures > 0 && (d <= 0 || d > 9000) {
				t.Errorf("at %v: %d after the picture before", at, d)
			}
			last = dts
			pictures++
		}
		return nil
	}))
	short := *testSlate(&c)
	short.units, short.length = short.units[:len(short.units)/4], short.length/4
	long := testSlate(&c)
	s.setSlate(long)
	for now := time.Duration(0); now < 8*time.Second; now += 4 * time.Millisecond {
		switch now {
		case 3600 * time.Millisecond: // near the end of a pass
			s.setSlate(&short)
		case 5200 * time.Millisecond:
			s.setSlate(long)
		}
		if err := s.tick(now); err != nil {
			t.Fatal(err)
		}
	}
	if pictures < 180 {
		t.Errorf("%d pictures in 8 s", pictures)
	}
	s.setSlate(nil)
	if s.Stats().Origin != FromNothing {
		t.Errorf("%+v", s.Stats())
	}
}
