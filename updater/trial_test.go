package updater

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quartet/device/durable"
	"quartet/device/durable/powercut"
	"quartet/updater/rauc"
	"quartet/updater/trust"
)

// What a trial forgives, and how long it waits. ages are from the new version's
// first look on.
func TestTrialsLooks(t *testing.T) {
	deaf := []Path{{"1a", false, true}, {"1b", true, true}} // the far end answers, and nothing arrives
	dark := []Path{{"1a", false, false}, {"1b", false, false}}
	up := []Path{{"1a", true, true}, {"1b", true, true}}
	for name, tc := range map[string]struct {
		paths       func(age time.Duration) []Path
		outcome     Outcome
		after, till time.Duration // of the verdict, from the first look on
	}{
		"falters now and then": {func(age time.Duration) []Path {
			if age/tick%5 == 3 {
				return deaf
			}
			return up
		}, Confirmed, 20 * time.Second, 30 * time.Second},
		"deaf from the start": {func(time.Duration) []Path { return deaf }, Broken, 58 * time.Second, 64 * time.Second},
		"comes up at the last moment, in two steps": {func(age time.Duration) []Path {
			switch {
			case age < 57*time.Second:
				return dark
			case age < 64*time.Second:
				return deaf
			}
			return up
		}, Confirmed, 82 * time.Second, 90 * time.Second},
		"the network takes its time": {func(age time.Duration) []Path {
			if age < 85*time.Second {
				return dark
			}
			return up
		}, Confirmed, 103 * time.Second, 110 * time.Second},
		"no network": {func(time.Duration) []Path { return dark }, Inconclusive, 98 * time.Second, 104 * time.Second},
		"now the box's fault, now not": {func(age time.Duration) []Path {
			if age/tick%2 == 0 {
				return dark
			}
			return deaf
		}, Inconclusive, 98 * time.Second, 104 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rigged(t)
				var begun, decided time.Time
				r.media = func(v string) Media {
					m := allUp(v)
					if v == "1.1.0" && decided.IsZero() {
						if begun.IsZero() {
							begun = time.Now()
						}
						m.Paths = tc.paths(time.Since(begun))
					}
					return m
				}
				r.publish("1.1.0", trust.Custom{})
				r.start()
				defer func() { r.stop() }()
				r.until(30*time.Hour, "restarting", func(s Status) bool { return s.Phase == Restarting })
				r.until(10*time.Minute, "decided", func(s Status) bool {
					return s.Version == "1.1.0" && (s.Trial == nil || s.Trial.Stage == StageDecided)
				})
				took := time.Since(begun)
				r.set(func() { decided = time.Now() })
				r.until(10*time.Minute, "over", func(s Status) bool { return s.Trial == nil })
				if got, want := fmt.Sprint(r.outcomes()), fmt.Sprintf("[%s 1.1.0]", tc.outcome); got != want || took < tc.after || took > tc.till {
					t.Errorf("%s after %v, want %s after %v to %v", got, took, want, tc.after, tc.till)
				}
			})
		})
	}
}

// The version before does not start any more: the new one, broken or not, is all
// there is. It does not go back for ever.
func TestNothingToGoBackTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.media = func(v string) Media {
			m := allUp(v)
			if v == "1.1.0" {
				m.Paths[0].Up = false
			}
			return m
		}
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		r.until(30*time.Hour, "restarting", func(s Status) bool { return s.Phase == Restarting })
		r.crash["1.0.0"] = true
		r.until(time.Hour, "it stays", runs("1.1.0"))
		boots := r.reboots
		r.pass(24 * time.Hour)
		if r.reboots != boots {
			t.Errorf("started %d times more", r.reboots-boots)
		}
		said := slices.ContainsFunc(r.u.state.History, func(e Entry) bool { return strings.Contains(e.Text, "does not start any more") })
		if got := fmt.Sprint(r.outcomes()); got != "[failed 1.1.0]" || !said {
			t.Errorf("%s: %+v", got, r.u.state.History)
		}
	})
}

// RAUC fails to make the slot the next to boot, or says so: the one that runs is
// made so before the trial is forgotten.
func TestActivationIsUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		failed := false
		r.rauc.Step = func(what string) error {
			if what == "mark active B" && !failed {
				failed = true
				return errors.New("fw_setenv failed")
			}
			return nil
		}
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		r.until(60*time.Hour, "at 1.1.0", runs("1.1.0"))
		if m := r.rauc.Marks(); !failed || !slices.Contains(m, "active rootfs.0") || !slices.Contains(m, "bad rootfs.1") {
			t.Errorf("marks %v", m)
		}
	})
}

// RAUC can write nothing for an hour: the box goes on as it is, says so, and does
// not restart for it.
func TestActivationWithoutRAUC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		var since time.Time
		r.rauc.Step = func(what string) error {
			if !strings.HasPrefix(what, "mark active") {
				return nil
			}
			if since.IsZero() {
				since = time.Now()
			}
			if time.Since(since) < time.Hour {
				return errors.New("fw_setenv failed")
			}
			return nil
		}
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		r.until(30*time.Hour, "an alarm", func(s Status) bool { return alarm(s, alarmRAUC) != nil })
		r.pass(30 * time.Minute)
		if r.reboots != 0 {
			t.Errorf("the box was restarted %d times", r.reboots)
		}
		st := r.until(60*time.Hour, "at 1.1.0", runs("1.1.0"))
		if r.reboots != 1 || alarm(st, alarmRAUC) != nil {
			t.Errorf("%d restarts, alarms %+v", r.reboots, st.Alarms)
		}
	})
}

// The guard restarts a box whose trial has no verdict in time, whose updater dies
// or hangs before it can begin, and one that was told to go and is still there;
// not one that is confirmed, nor another version.
func TestLeft(t *testing.T) {
	const late, early = 4 * time.Minute, 30 * time.Second
	for _, c := range []struct {
		stage     Stage
		outcome   Outcome
		startedIn string
		version   string
		up        time.Duration
		ends      int
		began     float64
		want      string
	}{
		{StageTrial, Undecided, "b", "1.1.0", late, 0, 0, "nobody has confirmed it"},
		{StageRestarting, Undecided, "", "1.1.0", late, 0, 0, "nobody has confirmed it"},
		{StageTrial, Undecided, "b", "1.0.0", late, 9, 0, ""},
		{StageDecided, Broken, "b", "1.1.0", late, 0, 0, "nobody has confirmed it"},
		{StageDecided, Inconclusive, "b", "1.1.0", late, 0, 0, "nobody has confirmed it"},
		{StageDecided, Inconclusive, "b", "1.0.0", late, 0, 0, ""},
		{StageDecided, Confirmed, "b", "1.1.0", late, 9, 0, ""},
		{StageRestarting, Undecided, "", "1.1.0", early, 0, 0, ""},
		{StageRestarting, Undecided, "", "1.1.0", early, 2, 0, ""},
		{StageRestarting, Undecided, "", "1.1.0", early, 3, 0, "ended 3 times"},
		{StageActivating, Undecided, "", "1.1.0", early, 4, 0, "ended 4 times"},
		{StageRestarting, Undecided, "", "1.0.0", early, 4, 0, ""}, // the old version's updater
		{StageRestarting, Undecided, "", "1.1.0", 199 * time.Second, 0, 0, ""},
		{StageRestarting, Undecided, "", "1.1.0", 200 * time.Second, 0, 0, "has not begun 200 s"},
		{StageDecided, Broken, "b", "1.1.0", 200 * time.Second, 0, 0, "was to go back"},
		{StageDecided, Confirmed, "b", "1.1.0", 200 * time.Second, 0, 0, ""},
		{StageTrial, Undecided, "b", "1.1.0", 200 * time.Second, 3, 0, ""},              // it counts by itself
		{StageTrial, Undecided, "a", "1.1.0", 200 * time.Second, 0, 0, "has not begun"}, // in the boot before
		{StageTrial, Undecided, "a", "1.1.0", early, 3, 0, "ended 3 times"},
		{StageTrial, Undecided, "b", "1.1.0", late, 0, 199, ""},                        // it has begun late, and gets its time
		{StageTrial, Undecided, "b", "1.1.0", 352 * time.Second, 0, 199, "nobody has"}, // the last look
		{StageTrial, Undecided, "b", "1.1.0", 201 * time.Second, 0, 40, "nobody has"},  // its loop stands still
		{StageTrial, Undecided, "b", "1.1.0", 140 * time.Second, 0, 40, ""},
		{StageTrial, Undecided, "b", "1.1.0", 352 * time.Second, 0, 300, "nobody has"}, // begun again
	} {
		var f durable.Folder = powercut.New()
		v, err := trust.ParseVersion("1.1.0")
		if err != nil {
			t.Fatal(err)
		}
		if err := saveTrial(f, Trial{ID: "1", Stage: c.stage, FromSlot: "rootfs.0", ToSlot: "rootfs.1", ToVersion: v,
			StartedIn: c.startedIn, BeganS: c.began, Verdict: Verdict{Outcome: c.outcome}}); err != nil {
			t.Fatal(err)
		}
		got, err := Left(f, Watch{Version: c.version, BootID: "b", Up: c.up, Ends: c.ends})
		if err != nil || !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
	if got, err := Left(powercut.New(), Watch{Version: "1.1.0", BootID: "b", Up: late, Ends: 9}); err != nil || got != "" {
		t.Errorf("without a trial: %q, %v", got, err)
	}
}

// A new version that cannot mount the partition of trial.json is found by the note
// on the other one, which comes and goes with the trial.
func TestWitness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		on := func(version string, up time.Duration) string {
			t.Helper()
			why, err := Left(powercut.New(), Watch{Version: version, BootID: "b", Up: up, Witness: r.witness})
			if err != nil {
				t.Fatal(err)
			}
			return why
		}
		if why := on("1.1.0", time.Hour); why != "" {
			t.Errorf("before: %s", why)
		}
		r.until(30*time.Hour, "restarting", func(s Status) bool { return s.Phase == Restarting })
		if why := on("1.1.0", 20*time.Second); !strings.Contains(why, "data partition") {
			t.Errorf("1.1.0 on trial without its partition: %q", why)
		}
		if why := on("1.0.0", time.Hour); why != "" {
			t.Errorf("the old version: %s", why)
		}
		r.until(time.Hour, "at 1.1.0", runs("1.1.0"))
		if why := on("1.1.0", time.Hour); why != "" {
			t.Errorf("confirmed: %s", why)
		}
		// Left from a cut of the power: the next start with the partition removes it.
		if err := durable.Save(r.witness, WitnessFile, []byte("1.1.0\n")); err != nil {
			t.Fatal(err)
		}
		r.stop()
		r.boot()
		if why := on("1.1.0", time.Hour); why != "" {
			t.Errorf("started again: %s", why)
		}
	})
}

// RAUC does not answer once the box is back on the old version: that goes on as it
// is, and the trial ends when RAUC is there again.
func TestBackWithoutRAUC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.crash["1.1.0"] = true
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		r.until(30*time.Hour, "restarting", func(s Status) bool { return s.Phase == Restarting })
		r.rauc.SetDead(&rauc.Error{Code: rauc.NoService, Text: "no RAUC"})
		r.until(time.Hour, "back", func(s Status) bool { return s.Version == "1.0.0" && r.reboots > 0 })
		boots := r.reboots
		st := r.pass(time.Hour)
		if r.reboots != boots || alarm(st, alarmRAUC) == nil {
			t.Errorf("%d restarts more, alarms %+v", r.reboots-boots, st.Alarms)
		}
		r.rauc.SetDead(nil)
		r.until(time.Hour, "over", func(s Status) bool { return s.Trial == nil })
		if got := fmt.Sprint(r.outcomes()); got != "[fell-back 1.1.0]" {
			t.Error(got)
		}
	})
}

// What nobody vouches for any more is not installed, whoever says "now": it may
// have been withdrawn since.
func TestStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.policy.Mode = Manual
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		ctx := context.Background()
		r.until(10*time.Hour, "known", func(s Status) bool { return s.Phase == Available })
		r.u.SetRepository(unreachable{})
		r.pass(20 * 24 * time.Hour)
		if _, err := r.u.Now(ctx, NowRequest{Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		st := r.pass(2 * time.Hour)
		if st.Version != "1.0.0" || st.Waits == nil || st.Waits.Why != Stale {
			t.Errorf("%+v waits %+v", st, st.Waits)
		}
		if _, err := r.home.Sign(true); err != nil {
			t.Fatal(err)
		}
		r.u.SetRepository(trust.Folder(r.home.Public()))
		r.until(time.Hour, "at 1.1.0", runs("1.1.0"))
	})
}

// A file that somebody has brought waits for its window; meanwhile home signs the
// way back from it.
func TestUploadIsWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		for _, v := range []string{"0.9.0", "1.1.0"} {
			if _, err := r.home.Add(bundle(t, "generic", v), trust.Custom{}); err != nil {
				t.Fatal(err)
			}
		}
		var b bytes.Buffer
		if _, err := r.home.Pack("1.1.0", &b); err != nil {
			t.Fatal(err)
		}
		r.start()
		defer func() { r.stop() }()
		r.pass(10 * time.Hour) // past the window
		if _, err := r.u.Upload(context.Background(), "ann", &b); err != nil {
			t.Fatal(err)
		}
		withdrawn, err := trust.ParseVersion("1.1.0")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.home.Promote("0.9.0", "all", 0); err != nil {
			t.Fatal(err)
		}
		if _, err := r.home.Downgrade("0.9.0", []trust.Version{withdrawn}, "green pictures"); err != nil {
			t.Fatal(err)
		}
		st := r.pass(60 * time.Hour)
		if st.Version != "1.0.0" || st.Update != nil || !strings.Contains(r.events(), "uploaded withdrawn") {
			t.Errorf("%+v, %s", st.Update, r.events())
		}
	})
}
