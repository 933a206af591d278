package updater

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"quartet/updater/rauc"
	"quartet/updater/sibling"
	"quartet/updater/trust"
)

// install brings a candidate that is on the disk into the other slot and has
// the box restart into it, as far as it may now. It returns when to look again.
func (u *Updater) install(ctx context.Context) time.Duration {
	s, policy, c := u.situation()
	d := policy.Install(s)
	u.setDecision(d)
	if !d.Go {
		u.giveBack(ctx)
		return u.until(d)
	}
	// Not busy yet: who asks for a lease and refuses one at the same time would
	// wait for its sibling as long as that for it.
	if wait := u.letGo(ctx, c); wait > 0 {
		return wait
	}
	phase, ok := u.begin(c)
	if !ok { // another candidate has come
		u.giveBack(ctx)
		return 0
	}
	defer u.end()
	if phase != Installed {
		err := u.write(ctx, c)
		u.setProgress(Progress{})
		if err != nil {
			u.giveBack(ctx)
			return u.installFailed(ctx, c, err)
		}
		u.setTrouble(alarmInstall, nil)
	}
	// It took minutes: all that allowed it may have changed.
	s, policy, _ = u.situation()
	if d := policy.Install(s); !d.Go && d.Why != Outside {
		u.setDecision(d)
		u.giveBack(ctx)
		return u.until(d)
	} else if open, _, _ := At(policy.Windows, s.Now, policy.Zone); !s.Said && !open {
		u.setDecision(d)
		u.giveBack(ctx)
		return u.until(d)
	}
	if wait := u.letGo(ctx, c); wait > 0 {
		return wait
	}
	if err := u.activate(ctx, c); err != nil {
		if ctx.Err() == nil {
			u.giveBack(ctx)
		}
		return u.installFailed(ctx, c, err)
	}
	return tick
}

// begin keeps everybody else from the candidate, if it still is the one.
func (u *Updater) begin(c Candidate) (Phase, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.state.Candidate == nil || u.state.Candidate.Release.SHA256 != c.Release.SHA256 {
		return "", false
	}
	u.busy = true
	return u.state.Phase, true
}

func (u *Updater) end() {
	u.mu.Lock()
	u.busy = false
	u.mu.Unlock()
}

// letGo asks the sibling for a lease, or for more time with it. It returns 0
// with the lease, without a sibling, or when an operator has taken the
// responsibility; else when to ask again.
func (u *Updater) letGo(ctx context.Context, c Candidate) time.Duration {
	pair := u.pair()
	if pair == nil {
		return 0
	}
	err := pair.Acquire(ctx)
	if ctx.Err() != nil {
		return again
	}
	if err == nil {
		_ = u.change(func(s *State) { s.LeaseWanted, s.LeaseDenied = time.Time{}, "" })
		return 0
	}
	u.mu.Lock()
	w := u.word()
	u.mu.Unlock()
	// Nobody takes the responsibility for both boxes off the air: what is out stays
	// out until it ends.
	var denied *sibling.Denied
	off := errors.As(err, &denied) && (denied.Reason == sibling.Lent || denied.Reason == sibling.Updating)
	if w != nil && w.OverrideSibling && !off {
		_ = u.change(func(s *State) {
			u.note(s, Entry{Event: "override", To: c.Release.Version.String(), Actor: w.Actor, Text: fmt.Sprintf("without the sibling's lease: %s (%v)", w.Reason, err)})
		})
		return 0
	}
	now := u.cfg.Clock.Now()
	why := sibling.Reason("")
	if denied != nil {
		why = denied.Reason
	}
	_ = u.change(func(s *State) {
		if s.LeaseWanted.IsZero() {
			s.LeaseWanted = now
		}
		if why != u.deniedFor || s.LeaseDenied == "" { // its text has minutes in it
			u.note(s, Entry{Event: "waits", To: c.Release.Version.String(), Text: err.Error()})
		}
		s.LeaseDenied = err.Error()
	})
	u.deniedFor = why
	const back = time.Minute
	u.setDecision(wait(SiblingFirst, now.Add(back), "%v", err))
	return back
}

// giveBack returns the lease to the sibling, if there is one.
func (u *Updater) giveBack(ctx context.Context) {
	pair := u.pair()
	if pair == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := pair.Release(ctx); err != nil {
		u.log.Info("the sibling's lease could not be given back; it ends by itself", "error", err)
	}
}

// errDisagrees: what RAUC and the metadata say of a bundle has to be the same.
func disagrees(format string, args ...any) error {
	return &trust.Refusal{Code: trust.Altered, Text: fmt.Sprintf(format, args...), Remedy: "tell whoever runs the repository"}
}

// write has RAUC check the bundle and write it to the other slot.
func (u *Updater) write(ctx context.Context, c Candidate) error {
	path := u.bundlePath(c.Release)
	// It may have been on the disk for weeks.
	if err := trust.Verify(ctx, path, c.Release); err != nil {
		return err
	}
	b, err := u.cfg.Installer.Inspect(ctx, path)
	if err != nil {
		return err
	}
	switch {
	case b.Compatible != u.cfg.Compatible:
		return disagrees("the bundle is for %q, its metadata says %v, and this box is %q", b.Compatible, c.Release.Boards, u.cfg.Compatible)
	case b.Version != c.Release.Version.String():
		return disagrees("the bundle is version %q, and its metadata says %s", b.Version, c.Release.Version)
	case c.Release.ManifestHash != "" && b.ManifestHash != "" && b.ManifestHash != c.Release.ManifestHash:
		return disagrees("the bundle's manifest has the hash %s, and its metadata says %s", b.ManifestHash, c.Release.ManifestHash)
	}
	if err := u.change(func(s *State) {
		s.Phase = Installing
		u.countWrite(s, c)
		u.note(s, Entry{Event: "installing", From: u.cfg.Version.String(), To: c.Release.Version.String()})
	}); err != nil {
		return err
	}
	hash := c.Release.ManifestHash
	if hash == "" {
		hash = b.ManifestHash
	}
	err = u.cfg.Installer.Install(ctx, path, hash, func(p rauc.Progress) {
		u.setProgress(Progress{What: "install", Done: int64(p.Percent), Total: 100, Text: p.Text})
	})
	if err != nil {
		return err
	}
	st, err := u.ask(ctx)
	if err != nil {
		return err
	}
	other, ok := st.Other()
	if !ok {
		return &rauc.Error{Code: rauc.Boot, Text: "RAUC does not know the slot that it has written", Remedy: "check its system.conf"}
	}
	return u.change(func(s *State) {
		s.Phase, s.Slot = Installed, other.Name
		s.SlotLost = "" // there is another system in it
		s.RetryAfter, s.RetryText = time.Time{}, ""
		if f, ok := s.Failures[c.Release.SHA256]; ok {
			f.Installs, f.Writes = 0, 0
			s.Failures[c.Release.SHA256] = f
		}
		u.note(s, Entry{Event: "installed", To: c.Release.Version.String(), Text: "in slot " + other.Name})
	})
}

// countWrite notes that the slot is about to be written. It is counted before, as
// what may end it leaves nobody to count: a box that is reset by the writing itself
// would be again and again, and the flash worn out. One cut of the power costs no
// wait; from the second on it is tried ever more rarely.
func (u *Updater) countWrite(s *State, c Candidate) {
	f := s.Failures[c.Release.SHA256]
	f.Version = c.Release.Version
	if f.Writes++; f.Writes > 1 {
		now := u.cfg.Clock.Now()
		f.At, f.Text = now, fmt.Sprintf("writing the other slot was begun %d times, and nobody has seen it end", f.Writes)
		s.RetryAfter, s.RetryText = now.Add(rarely(f.Writes-2)), f.Text
		s.Word = nil
	}
	s.fail(c.Release.SHA256, f)
}

// activate makes the slot the next to boot and restarts the box. From its
// first write on, trial.json tells whoever boots what this is about.
func (u *Updater) activate(ctx context.Context, c Candidate) error {
	st, err := u.ask(ctx)
	if err != nil {
		return err
	}
	booted, ok := st.Booted()
	u.mu.Lock()
	slot := u.state.Slot
	u.mu.Unlock()
	if !ok || booted.Name == slot {
		return &rauc.Error{Code: rauc.Boot, Text: fmt.Sprintf("the update is said to be in %s, which runs", slot), Remedy: "it is installed again"}
	}
	id := make([]byte, 8)
	rand.Read(id)
	lease := false
	if pair := u.pair(); pair != nil {
		_, lease = pair.Held()
	}
	t := Trial{
		ID: fmt.Sprintf("%x", id), Stage: StageActivating, FromSlot: booted.Name, ToSlot: slot,
		FromVersion: u.cfg.Version, ToVersion: c.Release.Version, SHA256: c.Release.SHA256,
		Started: u.cfg.Clock.Now(), BootID: u.cfg.BootID, Before: u.baseline(ctx), Lease: lease,
	}
	if err := u.setTrial(&t); err != nil {
		return err
	}
	if err := u.mark(ctx, rauc.Active, slot); err != nil {
		// It may have been done all the same, also where this process is told to end.
		back, cancel := context.WithTimeout(context.WithoutCancel(ctx), raucPatience)
		defer cancel()
		u.deactivate(back, t, booted.Name)
		return err
	}
	t.Stage = StageRestarting
	if err := u.setTrial(&t); err != nil {
		return err
	}
	_ = u.change(func(s *State) {
		u.note(s, Entry{Event: "restarting", From: t.FromVersion.String(), To: t.ToVersion.String(), Trial: t.ID})
	})
	// An alarm tells if it cannot be had; onTrial asks again.
	u.rebootFrom = time.Now()
	_ = u.reboot(ctx)
	return nil
}

// baseline is what works: whatever did in any of three looks, so that a path
// that is just dialling anew is not forgotten.
func (u *Updater) baseline(ctx context.Context) Media {
	all := u.look(ctx)
	for range 2 {
		select {
		case <-ctx.Done():
			return all
		case <-time.After(time.Second):
		}
		m := u.look(ctx)
		for _, p := range all.Paths {
			if q, ok := find(m.Paths, p.Name); !ok {
				m.Paths = append(m.Paths, p)
			} else if p.Up && !q.Up {
				for i := range m.Paths {
					m.Paths[i].Up = m.Paths[i].Up || m.Paths[i].Name == p.Name
				}
			}
		}
		m.Answers, m.Expected = m.Answers || all.Answers, m.Expected || all.Expected
		m.Input, m.Management = m.Input || all.Input, m.Management || all.Management
		all = m
	}
	return all
}

// reboot asks for a restart; once in a while, should nothing come of it.
func (u *Updater) reboot(ctx context.Context) error {
	if time.Now().Before(u.rebootAt) {
		return nil
	}
	u.rebootAt = time.Now().Add(2 * time.Minute)
	err := u.cfg.Reboot(ctx)
	u.setTrouble(alarmReboot, err)
	return err
}

// installFailed decides what becomes of a candidate that could not be
// installed, and returns when to look again.
func (u *Updater) installFailed(ctx context.Context, c Candidate, err error) time.Duration {
	if ctx.Err() != nil {
		return again
	}
	var r *rauc.Error
	isRAUC := errors.As(err, &r)
	u.mu.Lock()
	writing := u.state.Phase == Installing
	u.mu.Unlock()
	switch code := trust.CodeOf(err); {
	case isRAUC && (r.Code == rauc.Busy || r.Code == rauc.NoService && !writing):
		u.setTrouble(alarmInstall, err)
		if writing && u.change(func(s *State) { // it was not
			s.Phase, s.RetryAfter, s.RetryText = Ready, time.Time{}, ""
			f := s.Failures[c.Release.SHA256]
			f.Writes = max(f.Writes-1, 0)
			s.fail(c.Release.SHA256, f)
		}) != nil {
			return again
		}
		u.setDecision(wait(RetryLater, u.cfg.Clock.Now().Add(again), "%v", err))
		return again
	case isRAUC && r.Final(), code == trust.Altered && !errors.Is(err, fs.ErrNotExist) && u.disagreement(ctx, c):
		// The same bundle would fail again, here and everywhere.
		_ = u.change(func(s *State) {
			u.note(s, Entry{Event: "refused", From: u.cfg.Version.String(), To: c.Release.Version.String(), Text: err.Error()})
			s.fail(c.Release.SHA256, Failure{Version: c.Release.Version, Count: 1, Blocked: true, Text: err.Error(), At: u.cfg.Clock.Now()})
			s.drop()
		})
		u.setTrouble(alarmInstall, err)
		u.tidy(nil)
		return tick
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), code == trust.Altered:
		// The file is damaged or gone: RAUC takes it over as root's, too. An
		// upload has to be brought again.
		removeFile(u.bundlePath(c.Release))
		_ = u.change(func(s *State) {
			u.note(s, Entry{Event: "lost", To: c.Release.Version.String(), Text: err.Error()})
			if s.Phase = Available; c.Upload {
				s.drop()
			}
		})
		return tick
	}
	u.setTrouble(alarmInstall, err)
	if u.change(func(s *State) {
		// It is the box that fails here, not the bundle: tried again, ever more rarely.
		f := s.Failures[c.Release.SHA256]
		f.Version, f.Text, f.At = c.Release.Version, err.Error(), u.cfg.Clock.Now()
		back := rarely(f.Installs)
		f.Installs++
		f.Writes = 0 // this end was seen
		s.fail(c.Release.SHA256, f)
		u.note(s, Entry{Event: "install-failed", From: u.cfg.Version.String(), To: c.Release.Version.String(), Text: err.Error()})
		s.Phase, s.Slot = Ready, ""
		s.RetryAfter, s.RetryText = u.cfg.Clock.Now().Add(back), err.Error()
		s.Word = nil
	}) != nil {
		return again // the disk cannot be written: nothing is tried again at once
	}
	return tick
}

// disagreement tells whether the file is the signed one, so that what is wrong
// is in the bundle and not on the disk.
func (u *Updater) disagreement(ctx context.Context, c Candidate) bool {
	return trust.Verify(ctx, u.bundlePath(c.Release), c.Release) == nil
}
