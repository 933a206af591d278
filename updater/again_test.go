package updater

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quartet/updater/rauc"
	"quartet/updater/trust"
)

// What is tried again and does not work is tried ever more rarely, whatever ends it.

// cutsAt takes the power away at a step of RAUC's, if a condition holds then.
func (r *rig) cutsAt(step string, when func() bool) {
	r.rauc.Step = func(what string) error {
		if what == step && when() {
			r.power.mu.Lock()
			r.power.left = 0
			r.power.mu.Unlock()
		}
		return r.power.step(what)
	}
}

// Writing the slot resets the box, each time: it is not off the air for ever.
func TestWritingResetsTheBox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.policy.Windows = nil
		resets, broken := 0, true
		r.cutsAt("write 60", func() bool {
			if broken {
				resets++
			}
			return broken
		})
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		alarmed := false
		for end := time.Now().Add(8 * 24 * time.Hour); time.Now().Before(end) && resets < 100; {
			r.until(9*24*time.Hour, "over", func(s Status) bool {
				alarmed = alarmed || alarm(s, alarmInstall) != nil
				return !time.Now().Before(end)
			})
			if r.power.off() {
				r.cutAndBoot(0)
			}
		}
		if resets < 6 || resets > 20 || !alarmed || len(r.u.Blocked()) != 0 {
			t.Errorf("%d resets in eight days, alarmed %v, %d blocked: %s", resets, alarmed, len(r.u.Blocked()), r.events())
		}
		broken = false
		st := r.until(30*time.Hour, "at 1.1.0", runs("1.1.0"))
		if alarm(st, alarmInstall) != nil {
			t.Errorf("%+v", st.Alarms)
		}
	})
}

// One cut of the power while the slot is written costs no wait, with an operator's
// word and without.
func TestOneCutWhileWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.policy.Windows = nil
		cut := true
		r.cutsAt("write 60", func() bool {
			was := cut
			cut = false
			return was
		})
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		r.until(time.Hour, "cut", func(Status) bool { return false })
		r.cutAndBoot(0)
		r.until(5*time.Minute, "at 1.1.0", runs("1.1.0"))
		if !strings.Contains(r.events(), "installing cut-short installing installed") {
			t.Error(r.events())
		}
	})
}

// dying is a RAUC whose service ends while it writes.
type dying struct {
	Installer
	dead     bool
	installs int
}

func (d *dying) Install(ctx context.Context, path, hash string, p func(rauc.Progress)) error {
	d.installs++
	if d.dead {
		return &rauc.Error{Code: rauc.NoService, Text: "RAUC has ended while it installed"}
	}
	return d.Installer.Install(ctx, path, hash, p)
}

func TestRAUCEndsWhileItWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.policy.Windows = nil
		d := &dying{Installer: r.rauc, dead: true}
		r.installer = d
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		st := r.pass(8 * 24 * time.Hour)
		if d.installs < 6 || d.installs > 20 || alarm(st, alarmInstall) == nil || len(r.u.Blocked()) != 0 {
			t.Errorf("%d installations, %+v: %s", d.installs, st.Alarms, r.events())
		}
		d.dead = false
		r.until(30*time.Hour, "at 1.1.0", runs("1.1.0"))
	})
}

// The disk is full from the moment on at which the slot is written: what cannot be
// remembered is not done again and again.
func TestFullDiskWhileItWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.policy.Windows = nil
		r.rauc.Step = func(what string) error {
			if what == "write 60" {
				r.set(func() { r.full = true })
			}
			return r.power.step(what)
		}
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		st := r.pass(24 * time.Hour)
		if n := r.rauc.Installs(); n != 1 || alarm(st, alarmDisk) == nil {
			t.Errorf("written %d times: %+v", n, st.Alarms)
		}
		r.rauc.Step = r.power.step
		r.set(func() { r.full = false })
		r.until(time.Hour, "at 1.1.0", runs("1.1.0"))
	})
}

// shop is a repository whose bundles are not as signed, or not to be had.
type shop struct {
	trust.Opener
	opened int
	err    error  // of Open
	file   string // what comes in place of the bundle; "": the bundle
	after  int64  // bytes after which the connection ends; 0: it does not
}

func (s *shop) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, int64, error) {
	s.opened++
	if s.err != nil {
		return nil, 0, s.err
	}
	b, start, err := s.Opener.Open(ctx, name, offset)
	if err != nil {
		return nil, 0, err
	}
	switch {
	case s.file != "":
		b.Close()
		b, err = os.Open(s.file)
		return b, 0, err
	case s.after > 0:
		return struct {
			io.Reader
			io.Closer
		}{io.LimitReader(b, s.after), b}, start, nil
	}
	return b, start, nil
}

// A download that fails is tried again when it was said to be.
func TestDownloadBacksOff(t *testing.T) {
	for name, tc := range map[string]struct {
		set      func(*shop)
		from, to int // of downloads begun in a day
	}{
		"busy": {func(s *shop) { s.err = &trust.Busy{Status: "503", After: 2 * time.Hour} }, 11, 13},
		"gone": {func(s *shop) { s.err = trust.ErrNotFound }, 20, 40},
		"line": {func(s *shop) { s.err = errors.New("no route to host") }, 20, 40},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rigged(t)
				s := &shop{Opener: trust.Folder(r.home.Public())}
				tc.set(s)
				r.source = s
				r.publish("1.1.0", trust.Custom{})
				r.start()
				defer func() { r.stop() }()
				st := r.pass(24 * time.Hour)
				if s.opened < tc.from || s.opened > tc.to {
					t.Errorf("%d downloads in a day, want %d to %d", s.opened, tc.from, tc.to)
				}
				if st.Waits == nil || st.Waits.Why != RetryLater || st.Waits.Until.Before(st.Time) {
					t.Errorf("%+v", st.Waits)
				}
				n := s.opened
				s.err = nil
				if _, err := r.u.Now(context.Background(), NowRequest{Actor: "ann"}); err != nil {
					t.Fatal(err)
				}
				r.until(time.Minute, "downloaded", func(st Status) bool { return st.Phase != Available })
				if s.opened != n+1 {
					t.Errorf("%d downloads at the word", s.opened-n)
				}
			})
		})
	}
}

// What is not the signed bundle is not fetched each minute, though each time all of
// it comes; a line that breaks off and gets further each time is.
func TestDownloadOfAnotherFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.publish("1.1.0", trust.Custom{})
		s := &shop{Opener: trust.Folder(r.home.Public()), file: bundle(t, "generic", "1.1.1")} // as long as the signed one
		r.source = s
		r.start()
		defer func() { r.stop() }()
		st := r.pass(24 * time.Hour)
		if s.opened < 20 || s.opened > 40 || alarm(st, alarmFetch) == nil {
			t.Errorf("%d downloads in a day: %+v", s.opened, st.Alarms)
		}
		before := s.opened
		s.file, s.after = "", 300
		begun := time.Now()
		if _, err := r.u.Now(context.Background(), NowRequest{Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		r.until(time.Hour, "downloaded", func(st Status) bool { return st.Phase != Available })
		if n := s.opened - before; n < 3 || time.Since(begun) > time.Duration(n)*40*time.Second {
			t.Errorf("%d downloads in %v", n, time.Since(begun))
		}
	})
}

// While media are strained for days the download stands still, and home is asked all
// the same: what it offers may have changed, and what the operator wants, too.
func TestStandingDownloadHearsNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.media = func(v string) Media {
			m := allUp(v)
			m.Strained = true
			return m
		}
		r.publish("1.1.0", trust.Custom{})
		r.start()
		defer func() { r.stop() }()
		r.until(time.Hour, "waiting for the media", func(s Status) bool { return s.Waits != nil && s.Waits.Why == MediaStrain })
		r.publish("1.2.0", trust.Custom{})
		r.until(8*time.Hour, "at the newer one", func(s Status) bool { return s.Update != nil && s.Update.Version == "1.2.0" })
		p := r.policy
		p.Mode = Manual
		if err := r.u.SetPolicy(p); err != nil {
			t.Fatal(err)
		}
		r.until(time.Minute, "waiting for a word", func(s Status) bool { return s.Waits != nil && s.Waits.Why == WantsWord })
	})
}

// Who asks home during a trial does not make the box forget what is on trial: of the
// new version, that is what runs.
func TestCheckDuringATrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.policy.Windows = nil
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
		r.until(time.Hour, "restarting", func(s Status) bool { return s.Phase == Restarting })
		r.set(func() { wan = false })
		r.until(10*time.Minute, "on trial", func(s Status) bool { return s.Version == "1.1.0" && s.Phase == OnTrial })
		if _, err := r.u.Check(context.Background()); err != nil {
			t.Fatal(err)
		}
		r.until(10*time.Minute, "back", func(s Status) bool { return s.Version == "1.0.0" && s.Trial == nil })
		st := r.pass(10 * time.Minute)
		if st.Update == nil || st.Phase != Installed || strings.Contains(r.events(), "withdrawn") {
			t.Errorf("%s, %+v: %s", st.Phase, st.Update, r.events())
		}
		r.set(func() { wan = true })
		r.until(50*time.Hour, "at 1.1.0", runs("1.1.0"))
		if r.rauc.Installs() != 1 {
			t.Errorf("%d installations", r.rauc.Installs())
		}
	})
}

// A line that falters in the one trial and is well a minute later has a good version
// blocked. Who knows of the line brings the same file, and it is tried again.
func TestUploadLiftsADoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t)
		r.policy.Windows = nil
		falters := true
		r.media = func(v string) Media {
			m := allUp(v)
			if falters && v == "1.1.0" {
				m.Paths[0].Up = false
			}
			return m
		}
		r.publish("1.1.0", trust.Custom{})
		var b bytes.Buffer
		if _, err := r.home.Pack("1.1.0", &b); err != nil {
			t.Fatal(err)
		}
		r.start()
		defer func() { r.stop() }()
		r.until(time.Hour, "blocked", func(Status) bool { return len(r.u.Blocked()) == 1 })
		st, err := r.u.Check(context.Background())
		if err != nil || len(st.Refused) != 1 || !strings.Contains(st.Refused[0].Text, "quartetctl update upload") {
			t.Errorf("%+v, %v", st.Refused, err)
		}
		r.set(func() { falters = false })
		r.pass(48 * time.Hour) // not by itself
		if st := r.pass(time.Minute); st.Version != "1.0.0" {
			t.Fatalf("runs %s", st.Version)
		}
		if _, err := r.u.Upload(context.Background(), "ann", &b); err != nil {
			t.Fatal(err)
		}
		r.until(time.Hour, "at 1.1.0", runs("1.1.0"))
	})
}
