package updater

import (
	"context"
	"fmt"
	"time"

	"quartet/updater/rauc"
)

const (
	raucPatience  = 5 * time.Second    // between questions to a RAUC that does not answer
	renewEvery    = 5 * time.Minute    // the sibling's lease, during a trial
	retryFailed   = 24 * time.Hour     // after a trial that the boot loader gave up
	fallBacks     = 2                  // of a bundle until it is blocked
	strikes       = 3                  // inconclusive trials that the old version showed to be the new one's fault
	cutShort      = 5                  // power cuts at the word to restart, of a bundle until it is blocked
	restartWithin = 30 * time.Minute   // after the word: else it is taken back
	maxStarts     = 3                  // of the updater in one boot of a trial
	maxReturns    = 3                  // from a version that was judged to the one before
	maxSlow       = 7 * 24 * time.Hour // longest wait after inconclusive trials
)

// rarely is the wait after n failures in a row that were the box's.
func rarely(n int) time.Duration { return min(30*time.Minute<<min(n, 6), 24*time.Hour) }

// slowly is the wait after the n-th inconclusive trial in a row.
func slowly(n int) time.Duration {
	return min(24*time.Hour<<min(max(n-1, 0), 3), maxSlow)
}

// settle finds out after a start which slot runs and what that means. It
// returns 0 when it knows, else when to try again.
func (u *Updater) settle(ctx context.Context) time.Duration {
	st, err := u.ask(ctx)
	if ctx.Err() != nil {
		return raucPatience
	}
	booted, ok := st.Booted()
	switch {
	case err == nil && st.Installing(): // begun by the process before this one
		return raucPatience
	case err == nil && !ok:
		err = &rauc.Error{Code: rauc.Boot, Text: "RAUC does not know which slot runs", Remedy: "check rauc.slot on the kernel's command line"}
	}
	u.setTrouble(alarmRAUC, err)
	if err != nil {
		u.leave(ctx)
		return raucPatience
	}
	u.mu.Lock()
	u.booted = booted
	trial := u.trial
	u.mu.Unlock()
	if trial == nil {
		// A disk that cannot be written keeps no start from being marked good.
		u.bootNoted = u.settleBoot(booted) == nil
	} else if u.settleTrial(ctx, *trial, booted) != nil { // the disk
		u.leave(ctx)
		return raucPatience
	} else {
		u.bootNoted = true
	}
	u.settled = true
	return 0
}

// leave restarts a new version that cannot be judged, once its time is up: the boot
// loader counts restarts. The old one goes on as it is.
func (u *Updater) leave(ctx context.Context) {
	u.mu.Lock()
	onTrial := u.trial != nil && u.trial.Stage != StageDecided && u.trial.ToVersion.Compare(u.cfg.Version) == 0
	deadline := u.policy.Deadline
	u.mu.Unlock()
	if onTrial && time.Since(u.startedAt) >= deadline {
		_ = u.reboot(ctx)
	}
}

// settleBoot puts right what an ordinary start finds.
func (u *Updater) settleBoot(booted rauc.Slot) error {
	return u.change(func(s *State) {
		if s.Slots != "" && s.Slots != booted.Name && s.BootID != u.cfg.BootID {
			u.note(s, Entry{Event: "slot-changed", To: u.cfg.Version.String(),
				Text: fmt.Sprintf("the boot loader has started %s, and it was %s before, without an update", booted.Name, s.Slots)})
			s.SlotLost = fmt.Sprintf("the boot loader gave up slot %s and has started %s with version %s", s.Slots, booted.Name, u.cfg.Version)
			s.Slots = booted.Name
		}
		c := s.Candidate
		switch {
		case c == nil:
		case c.Release.Version.Compare(u.cfg.Version) == 0, !c.Downgrade && c.Release.Version.Compare(u.cfg.Version) < 0:
			s.drop() // another version's memory: what it wanted is here
		case s.Phase == Installing:
			s.Phase, s.Slot = Ready, "" // written again from the start
			u.note(s, Entry{Event: "cut-short", To: c.Release.Version.String(), Text: "the other slot was being written"})
			if f := s.Failures[c.Release.SHA256]; f.Writes > 1 {
				u.trouble[alarmInstall] = f.Text + "; look at the board's disk and its supply"
			}
		case s.Phase == Installed && s.Slot == booted.Name:
			s.Phase, s.Slot = Ready, ""
		}
	})
}

// settleTrial finds out how far a trial has come.
func (u *Updater) settleTrial(ctx context.Context, t Trial, booted rauc.Slot) error {
	sameBoot := t.BootID == u.cfg.BootID
	switch {
	case booted.Name == t.ToSlot && t.Stage != StageDecided && t.ToVersion.Compare(u.cfg.Version) != 0:
		t.StartedIn, t.Boots = u.cfg.BootID, t.Boots+1
		t.Stage, t.Verdict = StageDecided, Verdict{Outcome: Broken,
			Text: fmt.Sprintf("the bundle said it was %s, and what runs says it is %s", t.ToVersion, u.cfg.Version)}
		return u.setTrial(&t)
	case booted.Name == t.ToSlot && t.Stage == StageDecided: // onTrial goes on with it
		if t.StartedIn == u.cfg.BootID || t.Verdict.Outcome == Confirmed {
			return nil
		}
		t.StartedIn = u.cfg.BootID
		if t.Boots++; t.Boots > maxReturns {
			// For ever from one slot to the other and back would be worse.
			t.Verdict.Text += "; the version before does not start any more, so this one stays"
			return u.over(ctx, t, t.Verdict)
		}
		return u.setTrial(&t)
	case booted.Name == t.ToSlot:
		t.Stage = StageTrial
		if t.StartedIn != u.cfg.BootID {
			t.StartedIn, t.Starts = u.cfg.BootID, 0
			t.Boots++
		}
		if u.cfg.Up != nil {
			t.BeganS = u.cfg.Up().Seconds()
		}
		t.Starts++
		if t.Starts > maxStarts {
			t.Stage, t.Verdict = StageDecided, Verdict{Outcome: Broken, Text: fmt.Sprintf("the updater has ended %d times", maxStarts)}
		}
		return u.setTrial(&t)
	case booted.Name != t.FromSlot:
		return u.over(ctx, t, Verdict{Outcome: FellBack, Text: "the box has started from " + booted.Name + ", which is neither the old slot nor the new one"})
	case t.Stage == StageDecided && t.Verdict.Outcome != Confirmed:
		return u.over(ctx, t, t.Verdict)
	case t.Stage == StageActivating:
		// Cut short between two writes. Whether the boot loader knows of the new
		// slot already, nobody can tell: it is told of this one, or it would start
		// the new one some day without a trial. Then it is begun again, and counted.
		err := u.undo(ctx, t, booted.Name)
		u.setTrouble(alarmRAUC, err)
		if err != nil {
			return err
		}
		if err := u.change(func(s *State) {
			s.BootID = ""
			if s.Candidate == nil || s.Candidate.Release.SHA256 != t.SHA256 || s.has("cut-short", t.ID) {
				return
			}
			if !sameBoot {
				f := s.Failures[t.SHA256]
				f.Version, f.At, f.Text = t.ToVersion, u.cfg.Clock.Now(), "it was cut short while the new slot was made the next to boot"
				f.Cuts++
				f.Blocked = f.Cuts >= cutShort
				s.fail(t.SHA256, f)
				s.Phase, s.Slot = Ready, ""
				u.note(s, Entry{Event: "cut-short", To: t.ToVersion.String(), Text: "it is installed again", Trial: t.ID})
			}
		}); err != nil {
			return err
		}
		return u.setTrial(nil)
	case sameBoot: // this process has been restarted before the box was
		return nil
	}
	text := fmt.Sprintf("the boot loader has gone back to %s", t.FromSlot)
	if t.Boots == 0 {
		text += ": the new version never came as far as its updater"
	}
	return u.over(ctx, t, Verdict{Outcome: FellBack, Text: text})
}

// onTrial goes on with a trial, and returns when to look again.
func (u *Updater) onTrial(ctx context.Context, t Trial) time.Duration {
	u.mu.Lock()
	booted, policy := u.booted.Name, u.policy
	u.mu.Unlock()
	switch {
	case booted != t.ToSlot && t.Stage == StageActivating:
		// RAUC would neither do it nor undo it. The box is on the air: no restart.
		return u.deactivate(ctx, t, booted)
	case booted != t.ToSlot: // about to restart into it
		return u.restart(ctx, t, booted)
	case t.Stage == StageDecided && t.Verdict.Outcome == Confirmed:
		return u.keep(ctx, t)
	case t.Stage == StageDecided:
		return u.goBack(ctx, t)
	}
	m := u.look(ctx)
	now := time.Now()
	if ctx.Err() != nil {
		return tick
	}
	// After the look: it may take long, and the trial is short.
	defer u.renew(ctx, t)
	isWell, v := well(t.Before, m), conclude(t.Before, m)
	switch {
	case isWell && u.wellSince.IsZero():
		u.wellSince = now
	case !isWell && u.unwell:
		u.wellSince = time.Time{} // one bad look is forgiven: a path may falter with any version
	}
	u.unwell = !isWell
	switch {
	case isWell || v.Outcome != Broken:
		u.brokenFrom, u.doubted = time.Time{}, false
	case u.brokenFrom.IsZero():
		u.brokenFrom, u.doubted = now, v.Doubt
	default:
		// One look that is blind makes nothing certain that the others left in doubt.
		u.doubted = u.doubted || v.Doubt
	}
	v.Doubt = u.doubted
	age := now.Sub(u.startedAt)
	switch {
	case isWell && now.Sub(u.wellSince) >= policy.Hold:
		t.Verdict = Verdict{Outcome: Confirmed, Text: "what worked before works again"}
	case age < policy.Deadline, !u.wellSince.IsZero():
		// One that has come up late gets its hold.
		return tick
	case v.Outcome == Broken && now.Sub(u.brokenFrom) >= policy.Hold/2:
		t.Verdict = v
	case age < policy.patience():
		return tick
	case v.Outcome == Broken: // only just now: that blocks nothing for ever
		t.Verdict = Verdict{Outcome: Inconclusive, Text: v.Text}
	default:
		t.Verdict = v
	}
	t.Stage = StageDecided
	if u.setTrial(&t) != nil { // the disk: nothing is decided that would not be remembered
		if now.Sub(u.startedAt) > 2*policy.Deadline {
			_ = u.reboot(ctx)
		}
		return tick
	}
	return 0
}

// restart has the box restart into the new version. What could not be had at once
// (the network helper, whose it is, may be starting anew) is asked for again, with
// the sibling's lease; not for ever, as the window and the lease do not last.
func (u *Updater) restart(ctx context.Context, t Trial, booted string) time.Duration {
	now := time.Now()
	if u.rebootFrom.IsZero() { // a process that died in between has asked
		u.rebootFrom = now
	}
	if now.Before(u.rebootAt) {
		return tick
	}
	late := now.Sub(u.rebootFrom) > restartWithin || u.cfg.Clock.Now().Sub(t.Started) > 2*restartWithin
	if pair := u.pair(); t.Lease && pair != nil && !late {
		if err := pair.Acquire(ctx); err != nil {
			u.log.Warn("the sibling's lease is gone before the restart", "error", err)
			late = ctx.Err() == nil
		}
	}
	if !late {
		_ = u.reboot(ctx)
		return tick
	}
	return u.deactivate(ctx, t, booted)
}

// deactivate makes the slot that runs the next to boot, and only then forgets the
// trial: a new version must not start without one.
func (u *Updater) deactivate(ctx context.Context, t Trial, booted string) time.Duration {
	if t.Stage != StageActivating {
		// Whoever comes in between goes on with taking it back. If the disk refuses
		// that, the boot loader is told all the same.
		t.Stage = StageActivating
		_ = u.setTrial(&t)
	}
	err := u.undo(ctx, t, booted)
	u.setTrouble(alarmRAUC, err)
	if err == nil {
		err = u.change(func(s *State) {
			s.BootID = ""
			if !u.rebootFrom.IsZero() {
				u.notRestarted(s, t)
			}
		})
	}
	if err == nil && !u.rebootFrom.IsZero() {
		u.rebootFrom = time.Time{}
		u.giveBack(ctx)
	}
	if err == nil {
		err = u.setTrial(nil)
	}
	if err != nil {
		return raucPatience
	}
	return 0
}

// notRestarted notes that the box was asked to restart, and did not. It is the
// box's fault, like an installation that fails, and is tried as rarely: each try
// writes the boot loader's environment, and keeps the sibling waiting.
func (u *Updater) notRestarted(s *State, t Trial) {
	now := u.cfg.Clock.Now()
	f := s.Failures[t.SHA256]
	f.Version, f.At, f.Text = t.ToVersion, now, "the box did not restart when it was asked to"
	s.RetryAfter, s.RetryText = now.Add(rarely(f.Installs)), f.Text
	f.Installs++
	s.fail(t.SHA256, f)
	s.Word = nil
	u.note(s, Entry{Event: "not-restarted", From: t.FromVersion.String(), To: t.ToVersion.String(), Trial: t.ID, Text: f.Text + "; it is tried again later"})
}

// undo makes the slot that runs the boot loader's only choice again. Left behind it
// in the order, the new one would start some day, without a trial. The starts of
// the one that runs have to be counted anew, so this one is marked good again.
func (u *Updater) undo(ctx context.Context, t Trial, booted string) error {
	if err := u.markOnce(ctx, "undo "+t.ID, rauc.Active, booted); err != nil {
		return err
	}
	if err := u.markOnce(ctx, "undo "+t.ID, rauc.Bad, t.ToSlot); err != nil {
		return err
	}
	u.markedGood = false
	delete(u.told, told(thisBoot, rauc.Good, rauc.Booted))
	return nil
}

// renew has the sibling's lease last while a trial lasts.
func (u *Updater) renew(ctx context.Context, t Trial) {
	pair := u.pair()
	if !t.Lease || pair == nil || time.Now().Before(u.nextRenew) {
		return
	}
	u.nextRenew = time.Now().Add(renewEvery)
	if err := pair.Acquire(ctx); err != nil {
		u.log.Info("the sibling's lease could not be renewed", "error", err)
	}
}

// keep makes the new version the one.
func (u *Updater) keep(ctx context.Context, t Trial) time.Duration {
	err := u.markOnce(ctx, t.ID, rauc.Good, rauc.Booted)
	u.setTrouble(alarmRAUC, err)
	if err != nil || u.over(ctx, t, t.Verdict) != nil {
		return raucPatience
	}
	u.markedGood = true
	return 0
}

// goBack makes the old slot the next to boot, and restarts.
func (u *Updater) goBack(ctx context.Context, t Trial) time.Duration {
	if time.Now().Before(u.rebootAt) {
		return tick
	}
	u.log.Warn("the new version goes", "outcome", t.Verdict.Outcome, "text", t.Verdict.Text)
	// This slot is marked bad by the old version, once that runs: RAUC takes a bad
	// slot out of the boot loader's order, and the old one may not start.
	err := u.mark(ctx, rauc.Active, t.FromSlot)
	u.setTrouble(alarmRAUC, err)
	// If that failed, the boot loader's counter is what is left.
	_ = u.reboot(ctx)
	return tick
}

// healthy marks the slot good once page, API and media plane answer: the boot
// loader counts every start, also of a slot that was confirmed long ago. It
// also ends what an inconclusive trial has left open.
func (u *Updater) healthy(ctx context.Context) {
	m := u.look(ctx)
	now := time.Now()
	u.mu.Lock()
	policy, after, booted := u.policy, u.state.Aftermath, u.booted.Name
	done := u.state.BootID == u.cfg.BootID
	u.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	if after != nil && (after.BootID != u.cfg.BootID || now.Sub(u.startedAt) > policy.patience() && u.afterSince.IsZero()) {
		// The old version does no better in the time that the new one had, or nobody
		// has seen it: it was not the new one's fault.
		if u.change(func(s *State) { s.Aftermath = nil }) != nil {
			return
		}
		after = nil
	}
	if !m.Answers || !m.Management {
		u.wellSince, u.afterSince = time.Time{}, time.Time{}
		return
	}
	if u.wellSince.IsZero() {
		u.wellSince = now
	}
	if !done && now.Sub(u.wellSince) >= policy.Hold {
		err := u.markOnce(ctx, thisBoot, rauc.Good, rauc.Booted)
		u.setTrouble(alarmRAUC, err)
		if err != nil {
			return
		}
		if u.change(func(s *State) { s.BootID, s.Slots = u.cfg.BootID, booted }) != nil {
			return
		}
		done = true
	}
	if after != nil {
		switch {
		case well(after.Before, m):
			if u.afterSince.IsZero() {
				u.afterSince = now
			}
			if now.Sub(u.afterSince) < policy.Hold { // as long as the new one had to
				return
			}
			if u.change(func(s *State) { u.holdAgainst(s, *after) }) != nil {
				return
			}
		default:
			u.afterSince = time.Time{}
			return
		}
	}
	u.markedGood = done
}
