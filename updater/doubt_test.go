package updater

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quartet/updater/sibling"
	"quartet/updater/trust"
)

// What is wrong while a version is on trial may be wrong with any version. It goes
// back, and is held against the new one only if the old one does better.
func TestFailedIsAskedOfTheOldVersion(t *testing.T) {
	up, refused := []Path{{"1a", true, true}, {"1b", true, true}}, []Path{{"1a", false, true}, {"1b", true, true}}
	for name, tc := range map[string]struct {
		then    []Path // with any version, from the trial on
		blocked int
	}{
		"the far end has another passphrase": {refused, 0},
		"somebody has removed the path":      {up[1:], 0},
		"the new version was it":             {nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rigged(t)
				var changed, mended bool
				r.media = func(v string) Media {
					m := allUp(v)
					changed = changed || v == "1.1.0"
					switch {
					case mended:
					case tc.then == nil && v == "1.1.0":
						m.Paths = refused
					case tc.then != nil && changed:
						m.Paths = tc.then
					}
					return m
				}
				r.publish("1.1.0", trust.Custom{})
				r.start()
				defer func() { r.stop() }()
				r.until(30*time.Hour, "restarting", func(s Status) bool { return s.Phase == Restarting })
				r.until(10*time.Minute, "back", func(s Status) bool { return s.Version == "1.0.0" && s.Trial == nil })
				r.pass(10 * time.Minute)
				if got := fmt.Sprint(r.outcomes()); got != "[failed 1.1.0]" || len(r.u.Blocked()) != tc.blocked {
					t.Errorf("%s, %d blocked, want %d: %s", got, len(r.u.Blocked()), tc.blocked, r.events())
				}
				r.set(func() { mended = true })
				st := r.pass(60 * time.Hour)
				if want := []string{"1.1.0", "1.0.0"}[tc.blocked]; st.Version != want {
					t.Errorf("days later %s runs, want %s: %s", st.Version, want, r.events())
				}
			})
		})
	}
}

// What ends a trial on the spot is not asked of anybody.
func TestSilentIsFinal(t *testing.T) {
	for _, m := range []Media{{Management: true}, {Answers: true}} {
		if v := conclude(allUp(""), m); v.Outcome != Broken || v.Doubt {
			t.Errorf("%+v: %+v", m, v)
		}
	}
}

// A full disk does not wear out the boot loader's memory: each mark is a write.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.full = true
		r.start()
		defer func() { r.stop() }()
		st := r.pass(6 * time.Hour)
		if n := len(r.rauc.Marks()); n != 1 || alarm(st, alarmDisk) == nil {
			t.Errorf("%d marks in six hours: %v, %+v", n, r.rauc.Marks(), st.Alarms)
		}
		r.publish("1.1.0", trust.Custom{})
		r.set(func() { r.full = false })
		st = r.until(60*time.Hour, "at 1.1.0", runs("1.1.0"))
		if alarm(st, alarmDisk) != nil {
			t.Errorf("%+v", st.Alarms)
		}
	})
}

// The disk is full when a trial is over: the same.
func TestFullDiskAfterATrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.media = func(v string) Media {
			m := allUp(v)
			m.Answers = v == "1.0.0"
			if !m.Answers {
				r.full = true // and it fills the disk; the lock is held
			}
			return m
		}
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		r.until(30*time.Hour, "on trial", func(s Status) bool { return s.Version == "1.1.0" })
		r.until(30*time.Minute, "back", func(s Status) bool { return s.Version == "1.0.0" })
		r.pass(6 * time.Hour)
		before := len(r.rauc.Marks())
		r.pass(6 * time.Hour)
		if n := len(r.rauc.Marks()) - before; n != 0 {
			t.Errorf("%d marks while the disk is full", n)
		}
		r.set(func() { r.full = false })
		r.until(time.Hour, "over", func(s Status) bool { return s.Trial == nil })
		if r.rauc.BootedSlot() != "A" || r.u.trial != nil {
			t.Errorf("%s runs", r.rauc.BootedSlot())
		}
	})
}

// A restart that cannot be had is no fault of the bundle's, and does not come at
// noon because nobody could do it at night.
func TestRestartNotHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.stuck = errors.New("the network helper does not answer")
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		r.until(30*time.Hour, "restarting", func(s Status) bool { return s.Phase == Restarting })
		st := r.until(2*time.Hour, "given up", func(s Status) bool { return s.Trial == nil })
		if st.Phase != Installed || alarm(st, alarmReboot) == nil || !strings.Contains(r.events(), "not-restarted") || strings.Contains(r.events(), "install-failed") {
			t.Errorf("%+v\n%s", st, r.events())
		}
		if m := r.rauc.Marks(); !slices.Contains(m, "bad rootfs.1") || r.rauc.Left("B") != 0 {
			t.Errorf("%v, %d starts left for B", m, r.rauc.Left("B"))
		}
		r.pass(3 * time.Hour) // the window is over
		r.set(func() { r.stuck = nil })
		if st = r.pass(12 * time.Hour); st.Version != "1.0.0" {
			t.Errorf("restarted outside the window: %s", r.events())
		}
		r.until(30*time.Hour, "at 1.1.0", runs("1.1.0"))
	})
}

// All day long: each try writes the boot loader's environment.
func TestRestartNotHadForDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.policy.Windows = nil
		r.stuck = errors.New("the network helper does not answer")
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		r.pass(7 * 24 * time.Hour)
		if n := strings.Count(r.events(), "not-restarted"); n < 5 || n > 15 || len(r.rauc.Marks()) > 5*n || len(r.u.Blocked()) != 0 {
			t.Errorf("%d tries, %d marks, %+v", n, len(r.rauc.Marks()), r.u.Blocked())
		}
		r.set(func() { r.stuck = nil })
		r.until(30*time.Hour, "at 1.1.0", runs("1.1.0"))
	})
}

// What has been taken back by halves when the process ends is taken back, and no
// restart comes of it.
func TestTakenBackByHalves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.stuck = errors.New("the network helper does not answer")
		fails := false
		r.rauc.Step = func(what string) error {
			if what == "mark bad B" && fails {
				return errors.New("fw_setenv failed")
			}
			return r.power.step(what)
		}
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		r.until(30*time.Hour, "restarting", func(s Status) bool { return s.Phase == Restarting })
		fails = true
		r.pass(40 * time.Minute)
		r.set(func() { r.stuck = nil })
		r.stop()
		r.start()
		r.pass(10 * time.Minute)
		fails = false
		r.until(30*time.Hour, "at 1.1.0", runs("1.1.0"))
		if got := fmt.Sprint(r.outcomes()); got != "[confirmed 1.1.0]" || r.reboots != 1 {
			t.Errorf("%s, %d restarts: %s", got, r.reboots, r.events())
		}
	})
}

// One look that is blind does not make sure what the others left in doubt.
func TestBlindLookLeavesDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		var begun time.Time
		r.media = func(v string) Media {
			m := allUp(v)
			if v == "1.1.0" && begun.IsZero() {
				begun = time.Now()
			}
			if !begun.IsZero() {
				m.Paths[0].Up = false // with any version
			}
			if v == "1.1.0" && time.Since(begun) > 57*time.Second {
				return Media{}
			}
			return m
		}
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		r.until(30*time.Hour, "on trial", func(s Status) bool { return s.Version == "1.1.0" })
		r.until(10*time.Minute, "back", func(s Status) bool { return s.Version == "1.0.0" && s.Trial == nil })
		r.pass(10 * time.Minute)
		if got := fmt.Sprint(r.outcomes()); got != "[failed 1.1.0]" || len(r.u.Blocked()) != 0 {
			t.Errorf("%s, %d blocked", got, len(r.u.Blocked()))
		}
	})
}

// What the old version shows counts in its first start after the trial, and in the
// time that the new one had.
func TestAftermathEnds(t *testing.T) {
	for name, late := range map[string]time.Duration{"the old one is slow": 10 * time.Minute, "the box is switched off": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rigged(t)
				var back time.Time
				r.media = func(v string) Media {
					m := allUp(v)
					switch {
					case v == "1.1.0":
						m.Paths[0].Up = false
						back = time.Now()
					case !back.IsZero() && time.Since(back) < late:
						return Media{}
					}
					return m
				}
				r.publish("1.1.0", trust.Custom{})
				r.start()
				defer func() { r.stop() }()
				r.until(30*time.Hour, "on trial", func(s Status) bool { return s.Version == "1.1.0" })
				r.until(10*time.Minute, "back", func(s Status) bool { return s.Version == "1.0.0" && s.Trial == nil })
				if late == 0 {
					r.stop()
					r.boot()
				}
				r.pass(time.Hour)
				if len(r.u.Blocked()) != 0 || r.u.state.Aftermath != nil {
					t.Errorf("%+v, %+v", r.u.Blocked(), r.u.state.Aftermath)
				}
			})
		})
	}
}

// lent is a sibling that is out itself.
type lent struct{ asked int }

func (l *lent) Acquire(context.Context) error {
	l.asked++
	return &sibling.Denied{Reason: sibling.Lent, Text: fmt.Sprintf("it is out for %d minutes more", 30-l.asked)}
}
func (*lent) Release(context.Context) error { return nil }
func (*lent) Held() (time.Duration, bool)   { return 0, false }

// Whoever goes without the sibling's lease does not go while that has this box's.
func TestOverrideKeepsOneOnTheAir(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		out := &lent{}
		r.sibling = func() Sibling { return out }
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		r.pass(10 * time.Minute)
		if _, err := r.u.Now(context.Background(), NowRequest{Actor: "ann", OverrideSibling: true, Reason: "it is in repair"}); err != nil {
			t.Fatal(err)
		}
		st := r.pass(time.Hour)
		if st.Version != "1.0.0" || r.reboots != 0 || out.asked == 0 {
			t.Errorf("%+v, asked %d times", st, out.asked)
		}
		// Its text is another one each time, and that is one line.
		if n := strings.Count(r.events(), "waits"); n != 1 {
			t.Errorf("%d lines of the same: %s", n, r.events())
		}
	})
}

// What the box cannot do is not the bundle's fault: it is tried until it can.
func TestInstallationsFailForDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		broken := true
		r.rauc.Step = func(what string) error {
			if broken && strings.HasPrefix(what, "write") {
				return errors.New("no space left on device")
			}
			return r.power.step(what)
		}
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		st := r.pass(8 * 24 * time.Hour)
		n := strings.Count(r.events(), "install-failed")
		if n < 5 || n > 30 || len(r.u.Blocked()) != 0 || alarm(st, alarmInstall) == nil {
			t.Errorf("%d failures, %d blocked, %+v: %s", n, len(r.u.Blocked()), st.Alarms, r.events())
		}
		broken = false
		st = r.until(60*time.Hour, "at 1.1.0", runs("1.1.0"))
		if alarm(st, alarmInstall) != nil {
			t.Errorf("%+v", st.Alarms)
		}
	})
}

// A box that has a fall of the boot loader's behind it, and failures of RAUC, tries
// once more: they are counted apart.
func TestFailuresAreCountedApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		fails := 3
		r.rauc.Step = func(what string) error {
			if fails > 0 && strings.HasPrefix(what, "write") {
				fails--
				return errors.New("no space left on device")
			}
			return r.power.step(what)
		}
		r.crash["1.1.0"] = true
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		r.until(100*time.Hour, "fallen back", func(Status) bool { return slices.Contains(r.outcomes(), "fell-back 1.1.0") })
		if len(r.u.Blocked()) != 0 {
			t.Errorf("blocked after one fall: %+v", r.u.Blocked())
		}
		r.set(func() { r.crash["1.1.0"] = false })
		r.until(100*time.Hour, "at 1.1.0", runs("1.1.0"))
	})
}

// What runs is not what was said to be in the bundle: back, before it is found and
// installed for ever.
func TestBundleSaysAnotherVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.says = map[string]string{"1.1.0": "1.0.5"}
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		r.pass(60 * time.Hour)
		if got := fmt.Sprint(r.outcomes()); got != "[failed 1.1.0]" || r.version != "1.0.0" || len(r.u.Blocked()) != 1 || r.reboots != 2 {
			t.Errorf("%s, %s runs, %d restarts: %+v", got, r.version, r.reboots, r.u.state.History)
		}
	})
}

// One file at a time; and a download's tidying does not take away what comes in.
func TestOneUploadAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		if _, err := r.home.Add(bundle(t, "generic", "1.1.0"), trust.Custom{}); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := r.home.Pack("1.1.0", &b); err != nil {
			t.Fatal(err)
		}
		r.source = unreachable{}
		r.start()
		defer func() { r.stop() }()
		r.pass(time.Minute)
		in, out := io.Pipe()
		done := make(chan error)
		go func() {
			_, err := r.u.Upload(context.Background(), "ann", in)
			done <- err
		}()
		if _, err := out.Write(b.Bytes()[:b.Len()-10]); err != nil {
			t.Fatal(err)
		}
		if _, err := r.u.Upload(context.Background(), "bob", bytes.NewReader(b.Bytes())); err == nil || !strings.Contains(err.Error(), "another file") {
			t.Errorf("a second one at the same time: %v", err)
		}
		r.u.tidy(nil)
		if _, err := out.Write(b.Bytes()[b.Len()-10:]); err != nil {
			t.Fatal(err)
		}
		out.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A file that was packed before the box's last look at home is old, and no attack.
func TestUploadOlderThanSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		if _, err := r.home.Add(bundle(t, "generic", "1.1.0"), trust.Custom{}); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := r.home.Pack("1.1.0", &b); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if _, err := r.home.Sign(true); err != nil {
			t.Fatal(err)
		}
		r.start()
		defer func() { r.stop() }()
		r.pass(10 * time.Minute)
		_, err := r.u.Upload(context.Background(), "ann", &b)
		if err == nil || !strings.Contains(err.Error(), "packed before") || !strings.Contains(err.Error(), "pack it again") {
			t.Error(err)
		}
	})
}

// Noise does not push out how the last trial ended.
func TestHistoryKeepsTheOutcome(t *testing.T) {
	s := State{History: []Entry{{Event: "found"}, {Event: string(Broken), To: "1.1.0"}}}
	for range 3 {
		for range 2 * maxHistory {
			s.History = append(s.History, Entry{Event: "check-failed"})
		}
		s.trim()
		e, ok := s.lastOutcome()
		if len(s.History) != maxHistory || !ok || e.To != "1.1.0" {
			t.Errorf("%d lines, %+v", len(s.History), e)
		}
	}
}

// Who does not answer a look may be short of processor: that is no reason to
// download faster.
func TestPaceWithoutAnswer(t *testing.T) {
	p := &pace{policy: Policy{RateStreaming: 100, RateIdle: 1000}}
	p.look(allUp(""), time.Time{})
	for _, m := range []Media{{}, allUp("")} {
		p.look(m, time.Time{})
		if got := p.rate(time.Time{}.Add(time.Hour)); got != 100 {
			t.Errorf("%+v: %d B/s", m, got)
		}
	}
}
