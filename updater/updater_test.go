package updater

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quartet/updater/trust"
)

// An update from found to confirmed, in its window and not before.
func TestUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(10 * time.Hour) // ten in the morning
		r := rigged(t)
		r.publish("1.1.0", trust.Custom{Notes: "better"})
		r.start()
		defer func() { r.stop() }()
		st := r.until(time.Minute, "waiting", func(s Status) bool { return s.Waits != nil })
		if st.Waits.Why != Outside || st.Phase != Ready || st.Update.Version != "1.1.0" || st.Update.Notes != "better" || st.Update.Ring != "all" {
			t.Errorf("%+v %+v", st, st.Update)
		}
		r.until(17*time.Hour, "at 1.1.0", runs("1.1.0"))
		if now := time.Now(); now.Hour() != 2 || now.Minute() > 5 {
			t.Errorf("it is there at %v", now)
		}
		if got := r.events(); got != "found downloaded installing installed restarting confirmed" {
			t.Errorf("history: %s", got)
		}
		if r.reboots != 1 || r.rauc.Installs() != 1 || r.rauc.Left("B") != 3 {
			t.Errorf("%d restarts, %d installations, %d tries left", r.reboots, r.rauc.Installs(), r.rauc.Left("B"))
		}
		if names, _ := filepath.Glob(filepath.Join(r.bundles, "*")); len(names) != 0 {
			t.Errorf("left on the disk: %v", names)
		}
		// The next one goes to the other slot.
		r.publish("1.2.0", trust.Custom{})
		r.until(26*time.Hour, "at 1.2.0", runs("1.2.0"))
		if r.rauc.BootedSlot() != "A" {
			t.Errorf("1.2.0 is in %s", r.rauc.BootedSlot())
		}
	})
}

// F21, the logic of it: a version that passes no media, one that crashes before
// its updater runs, and one whose page is dead; the old one is back within two
// boots and three minutes, and the bundle is not tried again for ever.
func TestF21Broken(t *testing.T) {
	for name, tc := range map[string]struct {
		broken func(r *rig)
		tries  int
	}{
		"passes no media": {func(r *rig) {
			r.media = func(v string) Media {
				m := allUp(v)
				if v == "1.1.0" {
					m.Paths = []Path{{"1a", false, true}, {"1b", false, true}}
				}
				return m
			}
		}, 1},
		"media plane hangs": {func(r *rig) {
			r.media = func(v string) Media {
				if v == "1.1.0" {
					return Media{Management: true}
				}
				return allUp(v)
			}
		}, 1},
		"no page": {func(r *rig) {
			r.media = func(v string) Media {
				m := allUp(v)
				m.Management = v != "1.1.0"
				return m
			}
		}, 1},
		"crash loop": {func(r *rig) { r.crash["1.1.0"] = true }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rigged(t)
				tc.broken(r)
				r.publish("1.1.0", trust.Custom{})
				r.start()
				defer func() { r.stop() }()
				for n := range tc.tries {
					r.until(50*time.Hour, "restarting", func(s Status) bool { return s.Phase == Restarting })
					began, boots := time.Now(), r.reboots
					r.until(10*time.Minute, "back", func(s Status) bool { return s.Version == "1.0.0" && s.Trial == nil })
					if d, b := time.Since(began), r.reboots-boots; d > 3*time.Minute || b > 4 || tc.tries == 1 && b != 2 {
						t.Errorf("try %d: back after %v and %d boots", n, d, b)
					}
				}
				st := r.pass(60 * time.Hour)
				if len(r.outcomes()) != tc.tries || r.rauc.Running() != "1.0.0" || st.Update != nil {
					t.Errorf("outcomes %v, runs %s, wants %+v", r.outcomes(), r.rauc.Running(), st.Update)
				}
				if a := alarm(st, alarmFailed); a == nil || !strings.Contains(a.Text, "1.1.0") {
					t.Errorf("alarms %+v", st.Alarms)
				}
				if len(st.Refused) != 1 || st.Refused[0].Code != string(trust.FailedHere) {
					t.Errorf("refused %+v", st.Refused)
				}
				// Starts that end before the slot is marked good, as on flaky mains,
				// do not bring it back.
				r.stop()
				for i := range 4 {
					if slot, _ := r.rauc.PowerOn(); slot != "A" {
						t.Errorf("short start %d is of slot %s", i, slot)
					}
				}
				r.boot()
				// A repaired one is taken, and the alarm goes.
				r.publish("1.1.1", trust.Custom{})
				st = r.until(50*time.Hour, "at 1.1.1", runs("1.1.1"))
				if alarm(st, alarmFailed) != nil {
					t.Errorf("alarms %+v", st.Alarms)
				}
			})
		})
	}
}

// No destination is reachable during the trial: back, not held against the
// version, tried again later without writing the slot again, and then taken.
func TestInconclusive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		wan := true
		r.media = func(v string) Media {
			m := allUp(v)
			if !wan {
				m.Paths = []Path{{"1a", false, false}, {"1b", false, false}}
			}
			return m
		}
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		r.until(30*time.Hour, "restarting", func(s Status) bool { return s.Phase == Restarting })
		r.set(func() { wan = false })
		st := r.until(10*time.Minute, "back", func(s Status) bool { return s.Version == "1.0.0" && s.Trial == nil })
		if a := alarm(st, alarmInconclusive); a == nil || len(r.u.Blocked()) != 0 {
			t.Errorf("alarms %+v, blocked %v", st.Alarms, r.u.Blocked())
		}
		r.pass(10 * time.Minute)
		r.set(func() { wan = true })
		if got := r.rauc.Running(); got != "1.0.0" {
			t.Errorf("runs %s", got)
		}
		r.until(50*time.Hour, "at 1.1.0", runs("1.1.0"))
		if got := fmt.Sprint(r.outcomes()); got != "[inconclusive 1.1.0 confirmed 1.1.0]" || r.rauc.Installs() != 1 {
			t.Errorf("%s, %d installations", got, r.rauc.Installs())
		}
	})
}

// A version that cannot reach anything, while the old one can at once: three
// times, then it counts as broken. The waits between grow.
func TestInconclusiveIsHeldAgainst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.media = func(v string) Media {
			m := allUp(v)
			if v == "1.1.0" {
				m.Paths = []Path{{"1a", false, false}, {"1b", false, false}}
			}
			return m
		}
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		r.pass(10 * 24 * time.Hour)
		if got := r.outcomes(); len(got) != strikes || len(r.u.Blocked()) != 1 {
			t.Errorf("%v, blocked %v; history %s", got, r.u.Blocked(), r.events())
		}
	})
}

// Unclaimed, without input, without destinations: page and API are enough.
func TestUpdateWhileUnclaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.media = func(string) Media { return Media{Answers: true, Management: true} }
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		r.until(30*time.Hour, "at 1.1.0", runs("1.1.0"))
	})
}

// F20, the logic of it: the power goes at every single write of an update, be it
// the updater's, the trust's or RAUC's. Always a slot boots, and always the
// update comes to its end afterwards, with the right version confirmed.
func TestF20PowerCutAtEveryWrite(t *testing.T) {
	cuts := 0
	for step := 1; ; step++ {
		over := false
		synctest.Test(t, func(t *testing.T) {
			r := rigged(t)
			r.rauc.ActivateInstalled = step%4 == 3 // RAUC's default, too
			r.publish("1.1.0", trust.Custom{})
			r.power.left = step
			r.start()
			defer func() { r.stop() }()
			r.until(60*time.Hour, "at 1.1.0", runs("1.1.0"))
			if !r.power.off() {
				over = true
				return
			}
			cuts++
			r.cutAndBoot(step)
			r.until(80*time.Hour, "at 1.1.0 after the cut", runs("1.1.0"))
			if n := strings.Count(r.events(), string(Confirmed)); n > 1 {
				t.Errorf("step %d: confirmed %d times", step, n)
			}
			if len(r.u.Blocked()) != 0 {
				t.Errorf("step %d: blocked %v", step, r.u.Blocked())
			}
			// Cut again, right after: it stays.
			r.cutAndBoot(-1)
			r.until(time.Hour, "at 1.1.0 for good", runs("1.1.0"))
		})
		if over || t.Failed() {
			break
		}
	}
	t.Logf("%d cuts", cuts)
	if cuts < 40 && !t.Failed() {
		t.Errorf("only %d writes were cut", cuts)
	}
}

// The power goes at every write of the way back from a broken version, too.
func TestF20PowerCutOnTheWayBack(t *testing.T) {
	cuts := 0
	for step := 1; ; step++ {
		over := false
		synctest.Test(t, func(t *testing.T) {
			r := rigged(t)
			r.media = func(v string) Media {
				m := allUp(v)
				m.Management = v != "1.1.0"
				return m
			}
			r.publish("1.1.0", trust.Custom{})
			r.start()
			defer func() { r.stop() }()
			r.until(30*time.Hour, "restarting", func(s Status) bool { return s.Phase == Restarting })
			r.power.mu.Lock()
			r.power.left = step
			r.power.mu.Unlock()
			back := func(s Status) bool { return s.Version == "1.0.0" && s.Trial == nil && len(r.u.Blocked()) == 1 }
			r.until(time.Hour, "back", back)
			if !r.power.off() {
				over = true
				return
			}
			cuts++
			r.cutAndBoot(step)
			r.until(30*time.Hour, "back after the cut", back)
		})
		if over || t.Failed() {
			break
		}
	}
	t.Logf("%d cuts", cuts)
	if cuts < 8 && !t.Failed() {
		t.Errorf("only %d writes were cut", cuts)
	}
}

// Every healthy boot marks its slot good, so that ten starts in a row use up
// nothing; one that is not healthy does not. Both counters at zero still boot.
func TestEveryHealthyBootIsMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.start()
		for range 10 {
			r.pass(time.Minute)
			if r.rauc.Left("A") != 3 {
				t.Fatalf("%d tries left", r.rauc.Left("A"))
			}
			r.stop()
			r.boot()
		}
		r.set(func() { r.media = func(string) Media { return Media{} } })
		r.stop()
		r.boot()
		r.pass(10 * time.Minute)
		if r.rauc.Left("A") != 1 {
			t.Errorf("a box that is not healthy is marked good: %d left", r.rauc.Left("A"))
		}
		r.rauc.SetLeft("A", 0)
		r.rauc.SetLeft("B", 0)
		r.set(func() { r.media = allUp })
		r.stop()
		r.boot()
		r.pass(time.Minute)
		if r.rauc.Left("A") != 3 {
			t.Errorf("after both counters were zero: %d", r.rauc.Left("A"))
		}
		r.stop()
	})
}

// The boot loader gives up the confirmed slot by itself: an alarm, not silence.
func TestSlotChangesByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		r.until(30*time.Hour, "at 1.1.0", runs("1.1.0"))
		r.pass(time.Minute)
		r.rauc.SetLeft("B", 0)
		r.stop()
		r.policy.Mode = Manual // else it would be installed again at once
		r.boot()
		r.pass(time.Minute)
		r.stop() // management alone is started anew: the other slot is as dead as before
		r.start()
		st := r.pass(time.Minute)
		if a := alarm(st, alarmSlot); st.Version != "1.0.0" || a == nil || a.Severity != Major {
			t.Errorf("runs %s with the alarms %+v", st.Version, st.Alarms)
		}
	})
}

// Defer, now, and what they do not overrule.
func TestDeferAndNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		ctx := context.Background()
		for want, until := range map[string]time.Time{"over": time.Now().Add(-time.Hour), "30 days": time.Now().Add(31 * 24 * time.Hour)} {
			if _, err := r.u.Defer(ctx, DeferRequest{Actor: "ann", Until: until}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("deferred to %v: %v, want %q", until, err, want)
			}
		}
		if _, err := r.u.Defer(ctx, DeferRequest{Actor: "ann", Until: time.Now().Add(5 * 24 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
		st := r.pass(4*24*time.Hour + 12*time.Hour)
		if st.Version != "1.0.0" || st.Waits == nil || st.Waits.Why != Deferred || st.DeferredBy != "ann" {
			t.Errorf("%+v waits %+v", st, st.Waits)
		}
		if _, err := r.u.Now(ctx, NowRequest{Actor: "bob"}); err != nil {
			t.Fatal(err)
		}
		r.until(5*time.Minute, "at 1.1.0", runs("1.1.0"))
		if _, err := r.u.Now(ctx, NowRequest{Actor: "bob"}); err == nil || !strings.Contains(err.Error(), "no update") {
			t.Errorf("now with nothing to do: %v", err)
		}
		if _, err := r.u.Now(ctx, NowRequest{Actor: "bob", OverrideSibling: true}); err == nil || !strings.Contains(err.Error(), "reason") {
			t.Errorf("override without a reason: %v", err)
		}
		if len(r.audits) != 6 || r.audits[3].Actor != "bob" && r.audits[4].Actor != "bob" {
			t.Errorf("audit: %+v", r.audits)
		}
		h, err := r.u.History(ctx, 2)
		if err != nil || len(h) != 2 || h[0].Event != "confirmed" {
			t.Errorf("history %+v, %v", h, err)
		}
	})
}

// The time of day is not known: nothing is believed and nothing happens, with an
// alarm where an update waits; as soon as it is known, things go on.
func TestClockUnset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.publish("1.1.0", trust.Custom{})
		r.clockGood = false
		r.start()
		defer func() { r.stop() }()
		st := r.pass(60 * time.Hour)
		if !st.LastCheck.IsZero() || st.Update != nil || st.ClockGood {
			t.Errorf("%+v", st)
		}
		if _, err := r.u.Check(context.Background()); err == nil || !strings.Contains(err.Error(), "time of day") {
			t.Errorf("check: %v", err)
		}
		if _, err := r.u.Upload(context.Background(), "ann", strings.NewReader("")); err == nil || !strings.Contains(err.Error(), "time of day") {
			t.Errorf("upload: %v", err)
		}
		r.set(func() { r.clockGood = true })
		r.until(10*time.Minute, "downloaded", func(s Status) bool { return s.Phase == Ready })
		r.set(func() { r.clockGood = false })
		st = r.pass(50 * time.Hour)
		if st.Version != "1.0.0" || st.Waits == nil || st.Waits.Why != ClockUnset || alarm(st, alarmClock) == nil {
			t.Errorf("%+v waits %+v", st, st.Waits)
		}
		r.set(func() { r.clockGood = true })
		r.until(30*time.Hour, "at 1.1.0", runs("1.1.0"))
	})
}

// Home does not answer: the box goes on, tells after a week, and takes what it
// has on its disk already.
func TestHomeUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.source = unreachable{}
		r.start()
		st := r.pass(6 * 24 * time.Hour)
		if alarm(st, alarmHome) != nil || st.CheckError == "" || alarm(st, alarmRefused) != nil {
			t.Errorf("after six days: %+v, %q", st.Alarms, st.CheckError)
		}
		st = r.pass(30 * time.Hour)
		if a := alarm(st, alarmHome); a == nil || !strings.Contains(a.Text, "no route to host") {
			t.Errorf("after a week: %+v", st.Alarms)
		}
		if n := strings.Count(r.events(), "check-failed"); n != 1 {
			t.Errorf("%d lines of the same in the history", n)
		}
		r.stop()
		r.source = nil
		r.publish("1.1.0", trust.Custom{})
		r.boot()
		r.until(time.Hour, "downloaded", func(s Status) bool { return s.Phase == Ready || s.Version == "1.1.0" })
		r.until(30*time.Hour, "at 1.1.0", runs("1.1.0"))
		r.stop()
	})
}

// Rings: the canary first, the others when it is promoted to them.
func TestRingPromotion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		home, dir := newHome(t)
		canary, other := newRig(t, "Q4-0007", home, dir), newRig(t, "Q4-0008", home, dir)
		if err := home.SetRing("canary", []string{"Q4-0007"}); err != nil {
			t.Fatal(err)
		}
		if _, err := home.Add(bundle(t, "generic", "1.1.0"), trust.Custom{}); err != nil {
			t.Fatal(err)
		}
		if _, err := home.Promote("1.1.0", "canary", 0); err != nil {
			t.Fatal(err)
		}
		canary.start()
		other.start()
		defer func() { canary.stop(); other.stop() }()
		canary.until(30*time.Hour, "at 1.1.0", runs("1.1.0"))
		if st := other.pass(50 * time.Hour); st.Version != "1.0.0" || len(st.Refused) != 1 || st.Refused[0].Code != string(trust.OtherRing) {
			t.Errorf("the other box: %+v", st)
		}
		if _, err := home.Sign(false); err != nil {
			t.Fatal(err)
		}
		rel, err := home.Promote("1.1.0", "all", 48)
		if err != nil {
			t.Fatal(err)
		}
		turn := rel.Begins("Q4-0008")
		other.until(100*time.Hour, "at 1.1.0", runs("1.1.0"))
		if time.Now().Before(turn) {
			t.Errorf("it is done at %v, before its turn at %v", time.Now(), turn)
		}
	})
}

// What must be refused is refused with words, whichever way it comes.
func TestS8Refusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.floor = "0.9.0"
		for _, v := range []string{"0.8.0", "0.9.5"} {
			r.publish(v, trust.Custom{})
		}
		r.publish("1.1.0", trust.Custom{Expires: time.Now().Add(time.Hour)})
		if _, err := r.home.Add(bundle(t, "rock5b", "1.3.0"), trust.Custom{}); err != nil {
			t.Fatal(err)
		}
		pack := func(which string) []byte {
			var b bytes.Buffer
			if _, err := r.home.Pack(which, &b); err != nil {
				t.Fatal(err)
			}
			return b.Bytes()
		}
		files := map[string][]byte{"older": pack("0.9.5"), "below": pack("0.8.0"), "foreign": pack("1.3.0"), "expiring": pack("1.1.0")}
		r.policy.Mode = Manual
		r.start()
		defer func() { r.stop() }()
		time.Sleep(2 * time.Hour)
		altered := bytes.Clone(files["expiring"])
		altered[len(altered)-100] ^= 4
		for _, tc := range []struct{ what, word string }{
			{"older", "older than the 1.0.0 that runs"}, {"below", "below which this image never goes"}, {"foreign", "is for the board rock5b, and this is generic"}, {"expiring", "was to be taken before"},
		} {
			if _, err := r.u.Upload(context.Background(), "ann", bytes.NewReader(files[tc.what])); err == nil || !strings.Contains(err.Error(), tc.word) {
				t.Errorf("%s: %v, want %q", tc.what, err, tc.word)
			}
		}
		time.Sleep(15 * 24 * time.Hour)
		if _, err := r.u.Upload(context.Background(), "ann", bytes.NewReader(files["older"])); err == nil || !strings.Contains(err.Error(), "expired") {
			t.Errorf("metadata that has expired: %v", err)
		}
		r.pass(20 * time.Minute)
		if _, err := r.u.Check(context.Background()); err == nil || !strings.Contains(err.Error(), "timestamp.json expired") {
			t.Errorf("a repository that nobody signs: %v", err)
		}
		st := r.pass(time.Second)
		if alarm(st, alarmRefused) == nil {
			t.Errorf("alarms %+v", st.Alarms)
		}
		if _, err := r.home.Sign(true); err != nil {
			t.Fatal(err)
		}
		if _, err := r.u.Upload(context.Background(), "ann", bytes.NewReader(altered)); err == nil {
			t.Error("an altered file is taken")
		}
		if st = r.pass(time.Second); st.Update != nil || st.Version != "1.0.0" {
			t.Errorf("%+v", st)
		}
		if n := strings.Count(r.events(), "refused"); n < 6 {
			t.Errorf("%d refusals in the history: %s", n, r.events())
		}
	})
}

// A bundle that is not what its metadata says: hash, board and version have to
// agree, whoever signed what.
func TestBundleAndMetadataDisagree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		if _, err := r.home.Add(bundle(t, "generic", "1.1.0"), trust.Custom{}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.home.Promote("1.1.0", "all", 0); err != nil {
			t.Fatal(err)
		}
		r.rauc.Compatible = "quartet-other"
		r.start()
		defer func() { r.stop() }()
		st := r.pass(30 * time.Hour)
		if st.Version != "1.0.0" || len(r.u.Blocked()) != 1 || alarm(st, alarmInstall) == nil || r.rauc.Installs() != 0 {
			t.Errorf("%+v, blocked %v, history %s", st, r.u.Blocked(), r.events())
		}
	})
}

// A site without a way out: one file, promoted to nobody, in the next window.
func TestUploadWithoutRepository(t *testing.T) {
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
		time.Sleep(10 * time.Hour)
		r.start()
		defer func() { r.stop() }()
		r.pass(time.Minute)
		st, err := r.u.Upload(context.Background(), "ann", &b)
		if err != nil || st.Update == nil || !st.Update.Upload || st.Update.Version != "1.1.0" {
			t.Fatalf("%+v, %v", st, err)
		}
		st = r.pass(time.Minute)
		if st.Waits == nil || st.Waits.Why != Outside {
			t.Errorf("%+v", st.Waits)
		}
		r.until(20*time.Hour, "at 1.1.0", runs("1.1.0"))
		if !slices.ContainsFunc(r.audits, func(a Record) bool { return a.Action == "update.upload" && a.Actor == "ann" && a.Outcome == "done" }) {
			t.Errorf("audit %+v", r.audits)
		}
	})
}

// What was said or brought can be taken back until it has begun; and who is asked
// can change while it runs.
func TestCancelAndAnotherRepository(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		if _, err := r.home.Add(bundle(t, "generic", "1.1.0"), trust.Custom{}); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := r.home.Pack("1.1.0", &b); err != nil {
			t.Fatal(err)
		}
		home := trust.Folder(r.home.Public())
		r.source = unreachable{}
		time.Sleep(10 * time.Hour)
		r.start()
		defer func() { r.stop() }()
		r.pass(time.Minute)
		ctx := context.Background()
		if _, err := r.u.Cancel(ctx, CancelRequest{Actor: "ann"}); err == nil || !strings.Contains(err.Error(), "nothing to take back") {
			t.Errorf("%v", err)
		}
		if _, err := r.u.Upload(ctx, "ann", &b); err != nil {
			t.Fatal(err)
		}
		st, err := r.u.Cancel(ctx, CancelRequest{Actor: "ann"})
		left, _ := filepath.Glob(filepath.Join(r.bundles, "*"))
		if err != nil || st.Update != nil || len(left) > 0 {
			t.Fatalf("%+v, %v, %v", st.Update, left, err)
		}
		// Promoted to nobody, it is not taken: the repository is asked at once.
		r.u.SetRepository(home)
		if st = r.pass(time.Minute); st.CheckError != "" || !st.Repository || st.Update != nil {
			t.Errorf("%+v", st)
		}
		r.publish("1.2.0", trust.Custom{})
		if st, err = r.u.Check(ctx); err != nil || st.Update == nil || st.Update.Version != "1.2.0" {
			t.Fatalf("%+v, %v", st, err)
		}
		// "Now", said while the sibling grants nothing: it is taken back, too.
		r.u.SetSibling(deaf{})
		r.pass(time.Minute)
		if _, err := r.u.Now(ctx, NowRequest{Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		if st = r.pass(time.Minute); st.Waits == nil || st.Waits.Why != SiblingFirst || st.Sibling == nil || st.Sibling.Denied == "" {
			t.Fatalf("%+v", st)
		}
		if _, err := r.u.Cancel(ctx, CancelRequest{Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		r.u.SetSibling(nil)
		if st = r.pass(time.Minute); st.Waits == nil || st.Waits.Why != Outside || st.Sibling != nil {
			t.Errorf("%+v", st.Waits)
		}
		r.u.SetRepository(nil)
		if _, err := r.u.Check(ctx); !errors.Is(err, errNoRepository) {
			t.Errorf("%v", err)
		}
		if st = r.until(20*time.Hour, "at 1.2.0", runs("1.2.0")); len(st.Slots) != 2 || st.Slots[1].State != "booted" || st.Slots[1].Version != "1.2.0" || st.Slots[1].Status != "good" {
			t.Errorf("%+v", st.Slots)
		}
	})
}

// deaf is a sibling that grants nothing.
type deaf struct{}

func (deaf) Acquire(context.Context) error { return errors.New("the sibling does not answer") }
func (deaf) Release(context.Context) error { return nil }
func (deaf) Held() (time.Duration, bool)   { return 0, false }

// F29: a version on trial writes only its own file of the configuration and of
// the updater's state; back on the old one, both are as they were.
func TestF29RollbackFindsItsOwnFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := t.TempDir()
		write := func(name, text string) {
			if err := os.WriteFile(filepath.Join(config, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("box.v1.json", `{"version":1,"name":"studio 4"}`)
		r := rigged(t)
		r.media = func(v string) Media {
			m := allUp(v)
			switch v {
			case "1.0.0": // streams with the configuration that it finds in its file
				b, err := os.ReadFile(filepath.Join(config, "box.v1.json"))
				if err != nil || !strings.Contains(string(b), `"version":1`) {
					m.Paths = nil
				}
			case "2.0.0": // migrates, into a file of its own, and then does not work
				write("box.v2.json", `{"version":2,"title":"studio 4"}`)
				m.Paths = []Path{{"1a", false, true}}
			}
			return m
		}
		r.publish("2.0.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		r.until(30*time.Hour, "restarting", func(s Status) bool { return s.Phase == Restarting })
		mine, err := r.state.Read(stateFile)
		if err != nil {
			t.Fatal(err)
		}
		// The state of another schema: the new version writes its own file, and
		// has only trial.json in common with the old one.
		st := r.until(10*time.Minute, "back", func(s Status) bool { return s.Version == "1.0.0" && s.Trial == nil && s.Phase == Idle })
		if _, err := r.state.Read(stateFile); err != nil || len(mine) == 0 {
			t.Error(err)
		}
		if m := r.media("1.0.0"); !m.Streaming() {
			t.Error("the old version does not stream with its own configuration")
		}
		if _, err := os.Stat(filepath.Join(config, "box.v2.json")); err != nil {
			t.Error("the new version never migrated: this test shows nothing")
		}
		if len(r.u.Blocked()) != 1 || alarm(st, alarmFailed) == nil {
			t.Errorf("%+v", st)
		}
	})
}

// A state of damaged files: put aside, told, and the box goes on.
func TestDamagedFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.publish("1.1.0", trust.Custom{})
		for _, name := range []string{stateFile, TrialFile} {
			if err := r.state.Write(name, []byte(`{"schema":1,"phase":"re`)); err != nil {
				t.Fatal(err)
			}
		}
		r.start()
		defer func() { r.stop() }()
		r.until(30*time.Hour, "at 1.1.0", runs("1.1.0"))
		if n := strings.Count(r.events(), "damaged"); n != 2 {
			t.Errorf("history %s", r.events())
		}
	})
}

func FuzzParseState(f *testing.F) {
	f.Add([]byte(`{"schema":1,"phase":"idle"}`))
	f.Add([]byte(`{"schema":1,"phase":"ready","candidate":{"release":{"schema":1}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseState(b)
		if err == nil && s.Phase != Idle && s.Candidate == nil {
			t.Errorf("%q is taken", b)
		}
	})
}

func FuzzParseTrial(f *testing.F) {
	f.Add([]byte(`{"id":"a","stage":"trial","from_slot":"rootfs.0","to_slot":"rootfs.1","newer":true}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := ParseTrial(b)
		if err == nil && (v.ID == "" || v.FromSlot == v.ToSlot) {
			t.Errorf("%q is taken", b)
		}
	})
}

// While media are strained the download stands still, and it is said why.
func TestStrainedMediaAreSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		strained := true
		r.media = func(v string) Media {
			m := allUp(v)
			m.Strained = strained
			return m
		}
		r.policy.Mode = Fetch
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		r.until(time.Hour, "waiting for the media", func(s Status) bool { return s.Waits != nil && s.Waits.Why == MediaStrain && s.Waits.Text != "" })
		if st := r.pass(10 * time.Minute); st.Phase != Available {
			t.Errorf("%+v", st)
		}
		r.set(func() { strained = false })
		r.until(time.Hour, "downloaded", func(s Status) bool { return s.Phase == Ready && s.Waits != nil && s.Waits.Why == WantsWord })
	})
}
