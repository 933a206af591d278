package updater

import (
	"context"
	"fmt"

	"quartet/updater/rauc"
)

// over writes a trial's outcome into the history and ends it. It may be called
// twice for the same trial.
func (u *Updater) over(ctx context.Context, t Trial, v Verdict) error {
	if v.Outcome != Confirmed {
		err := u.stay(ctx, t)
		u.setTrouble(alarmRAUC, err)
		if err != nil {
			return err
		}
	}
	now := u.cfg.Clock.Now()
	u.mu.Lock()
	booted := u.booted.Name
	u.mu.Unlock()
	err := u.change(func(s *State) {
		if s.has(string(v.Outcome), t.ID) {
			return
		}
		u.note(s, Entry{Event: string(v.Outcome), From: t.FromVersion.String(), To: t.ToVersion.String(), Text: v.Text, Trial: t.ID})
		s.Word = nil
		f := s.Failures[t.SHA256]
		f.Version, f.Text, f.At = t.ToVersion, v.Text, now
		wanted := s.Candidate != nil && s.Candidate.Release.SHA256 == t.SHA256
		switch v.Outcome {
		case Confirmed:
			delete(s.Failures, t.SHA256)
			s.Aftermath = nil
			s.drop()
			s.BootID, s.Slots = u.cfg.BootID, t.ToSlot
			return
		case Broken, Inconclusive:
			if booted == t.ToSlot { // there is nothing to go back to: it stays, and is not found again
				s.Aftermath, s.Slots = nil, booted
				s.fail(t.SHA256, f)
				s.drop()
				return
			}
			if v.Outcome == Broken && !v.Doubt {
				f.Count++
				f.Blocked = true
				break
			}
			f.Slow++
			s.Aftermath = &Aftermath{SHA256: t.SHA256, Version: t.ToVersion, Before: t.Before, Text: v.Text, Final: v.Outcome == Broken, BootID: u.cfg.BootID}
			if wanted { // the slot has it: next time it need only be booted
				s.Phase, s.Slot = Installed, t.ToSlot
				s.RetryAfter, s.RetryText = now.Add(slowly(f.Slow)), v.Text
			}
		case FellBack, Undecided:
			f.Falls++
			f.Blocked = f.Falls >= fallBacks
			if wanted {
				s.Phase, s.Slot = Ready, ""
				s.RetryAfter, s.RetryText = now.Add(retryFailed), v.Text
			}
		}
		s.fail(t.SHA256, f)
		if f.Blocked && wanted {
			s.drop()
		}
		s.Slots = t.FromSlot
	})
	if err != nil {
		return err
	}
	if err := u.setTrial(nil); err != nil {
		return err
	}
	if t.Lease {
		u.giveBack(ctx)
	}
	u.mu.Lock()
	idle := u.state.Phase == Idle
	u.mu.Unlock()
	if idle {
		u.tidy(nil)
	}
	return nil
}

// stay makes the slot that runs the boot loader's first choice, and the one that
// has failed none: after a way back by the boot loader alone that one is still the
// first, and some short starts later it would be tried again, without a trial.
func (u *Updater) stay(ctx context.Context, t Trial) error {
	u.mu.Lock()
	booted := u.booted.Name
	u.mu.Unlock()
	if err := u.markOnce(ctx, t.ID, rauc.Active, booted); err != nil {
		return err
	}
	if booted != t.FromSlot {
		return nil
	}
	return u.markOnce(ctx, t.ID, rauc.Bad, t.ToSlot)
}

// holdAgainst counts a trial that left a doubt against the new version, because the
// old one could at once what that could not.
func (u *Updater) holdAgainst(s *State, a Aftermath) {
	s.Aftermath = nil
	f, ok := s.Failures[a.SHA256]
	if !ok {
		return
	}
	f.Count++
	f.Blocked = a.Final || f.Count >= strikes
	f.Doubt = f.Blocked
	s.fail(a.SHA256, f)
	text := fmt.Sprintf("%s; with the old version all works at once (%d of %d)", a.Text, f.Count, strikes)
	if a.Final {
		text = a.Text + "; with the old version all works at once: it is not tried again by itself"
	}
	u.note(s, Entry{Event: "held-against", To: a.Version.String(), Text: text})
	if f.Blocked && s.Candidate != nil && s.Candidate.Release.SHA256 == a.SHA256 {
		s.drop()
	}
}
