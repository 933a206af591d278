package updater

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"regexp"
	"slices"
	"time"

	"quartet/updater/trust"
)

var bundleName = regexp.MustCompile(`^[0-9a-f]{64}\.(raucb|part|part\.upload)$`)

func removeFile(name string) { os.Remove(name) }

// errNoRepository: there is nobody to ask.
var errNoRepository = errors.New("no repository is configured; bring updates as a file (quartetctl update upload)")

// errClock: signatures with an expiry mean nothing to one who does not know
// the time.
var errClock = &trust.Refusal{Code: "clock", Text: "the time of day is not known to be right, so nobody can tell what has expired",
	Remedy: "it comes by itself with the network, or an admin sets it"}

// checkDue tells whether the repository is to be asked now.
func (u *Updater) checkDue() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.home != nil && u.cfg.Clock.Synchronised() && !time.Now().Before(u.nextCheck)
}

// box is what releases are judged by.
func (u *Updater) box() trust.Box {
	return trust.Box{Serial: u.cfg.Serial, Board: u.cfg.Board, Version: u.cfg.Version, Floor: u.cfg.Floor}
}

// check asks the repository, and takes what it offers for the candidate.
func (u *Updater) check(ctx context.Context) error {
	home := u.repository()
	if home == nil {
		return errNoRepository
	}
	if !u.cfg.Clock.Synchronised() {
		return errClock
	}
	u.checking.Lock()
	now := u.cfg.Clock.Now()
	repo, err := u.cfg.Metadata.Refresh(ctx, home, now)
	u.checking.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	u.planCheck(err)
	u.setTrouble(alarmRefused, onlyRefused(err))
	if err != nil {
		return errors.Join(err, u.change(func(s *State) {
			if s.FirstCheck.IsZero() {
				s.FirstCheck = now
			}
			if s.CheckError == "" || s.CheckCode != string(trust.CodeOf(err)) { // its text may have port numbers in it
				u.note(s, Entry{Event: "check-failed", Text: err.Error()})
			}
			s.LastCheck, s.CheckError, s.CheckCode = now, err.Error(), string(trust.CodeOf(err))
		}))
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	offer, refused := repo.Choose(u.box(), now, u.veto)
	u.refused = refused
	if u.state.Candidate == nil && !slices.ContainsFunc(refused, func(r trust.Refused) bool { return r.Code == trust.FailedHere }) {
		delete(u.trouble, alarmInstall) // what this box could not install is offered no more
	}
	return u.changeLocked(func(s *State) {
		if s.CheckError != "" {
			u.note(s, Entry{Event: "contact", Text: "the repository can be read again"})
		}
		if s.FirstCheck.IsZero() {
			s.FirstCheck = now
		}
		s.LastCheck, s.LastContact, s.CheckError, s.CheckCode = now, now, "", ""
		switch {
		case u.busy, u.trial != nil:
			// The candidate is under way, and of a new version it is what runs. What
			// home says now is asked for again afterwards.
			u.nextCheck = time.Time{}
		default:
			u.rejudge(s, repo, now)
			u.take(s, offer, until(repo))
		}
	})
}

// until is how long what a repository has signed holds.
func until(r *trust.Repository) time.Time {
	_, at := r.Expires()
	return at
}

// rejudge drops an upload that home has withdrawn since.
func (u *Updater) rejudge(s *State, repo *trust.Repository, now time.Time) {
	c := s.Candidate
	if c == nil || !c.Upload {
		return
	}
	if err := repo.Judge(brought(c.Release), u.box(), now); err != nil {
		u.note(s, Entry{Event: "withdrawn", From: u.cfg.Version.String(), To: c.Release.Version.String(), Text: err.Error()})
		s.drop()
	}
}

// brought is a release in the ring that a file's bearer has chosen. Who brings a
// file to a box has chosen the box: rings are for those that choose by themselves.
func brought(r trust.Release) trust.Release {
	r.Rings = map[string]trust.Ring{"upload": {Serials: []string{"*"}}}
	return r
}

// first is the earlier of two times, of which zero is never.
func first(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// onlyRefused lets through what somebody may have tampered with, or forgotten;
// an unreachable repository is another alarm.
func onlyRefused(err error) error {
	switch trust.CodeOf(err) {
	case trust.Altered, trust.Malformed, trust.Expired, trust.Rollback, trust.Missing:
		return err
	}
	return nil
}

// veto refuses what did not work on this box; the lock is held.
func (u *Updater) veto(r trust.Release) *trust.Refusal {
	f, ok := u.state.Failures[r.SHA256]
	if !ok || !f.Blocked {
		return nil
	}
	remedy := "add a repaired one"
	if f.Doubt {
		remedy += "; if the line was at fault, bring the same one as a file (quartetctl update upload)"
	}
	return &trust.Refusal{Code: trust.FailedHere, Text: fmt.Sprintf("%s (%s) did not work on this box: %s", r.Name, r.Version, f.Text), Remedy: remedy}
}

// take makes an offer the candidate. An upload stays, unless what is offered is
// newer; what was installed stays installed if it is still what is offered.
func (u *Updater) take(s *State, offer *trust.Offer, until time.Time) {
	have := s.Candidate
	switch {
	case offer == nil && (have == nil || have.Upload):
		return
	case offer == nil:
		u.note(s, Entry{Event: "withdrawn", From: u.cfg.Version.String(), To: have.Release.Version.String(), Text: "the repository does not offer it any more"})
		s.drop()
		u.stopDownload()
		return
	case have != nil && have.Release.SHA256 == offer.SHA256:
		// What is said about it may have changed: the spread, the ring.
		have.Release, have.Ring, have.Downgrade = offer.Release, offer.Ring, offer.Downgrade
		have.Expires = first(until, offer.Expires)
		return
	case have != nil && have.Upload && offer.Version.Compare(have.Release.Version) <= 0:
		return
	}
	word := s.Word
	s.drop()
	if have == nil {
		s.Word = word // "now" may be said before anything is known
	}
	s.Phase = Available
	u.nextFetch = time.Time{}
	s.Candidate = &Candidate{Release: offer.Release, Ring: offer.Ring, Downgrade: offer.Downgrade, Found: u.cfg.Clock.Now(), Expires: first(until, offer.Expires)}
	text := fmt.Sprintf("ring %s", offer.Ring)
	if offer.Downgrade {
		text += "; the way back is signed: " + offer.Release.Downgrade.Reason
	}
	u.note(s, Entry{Event: "found", From: u.cfg.Version.String(), To: offer.Version.String(), Text: text})
	u.stopDownload()
	if f, ok := s.Failures[offer.SHA256]; ok && f.Slow > 0 {
		s.RetryAfter, s.RetryText = f.At.Add(slowly(f.Slow)), f.Text
	} else if ok {
		s.RetryAfter, s.RetryText = f.At.Add(retryFailed), f.Text
	}
}

// stopDownload ends the download of another candidate; the lock is held.
func (u *Updater) stopDownload() {
	if u.interrupt != nil {
		u.interrupt()
	}
}

// planCheck sets when to ask next: regularly, every box at an instant of its
// own; sooner after an error; when the server says.
func (u *Updater) planCheck(err error) {
	u.mu.Lock()
	every := u.policy.Every
	u.mu.Unlock()
	h := fnv.New32a()
	h.Write([]byte(u.cfg.Serial))
	jitter := time.Duration(float64(h.Sum32()) / (1 << 32) * float64(every) / 5)
	next := every - every/10 + jitter
	var busy *trust.Busy
	switch {
	case errors.As(err, &busy) && busy.After > 0:
		next = min(max(busy.After, time.Minute), every)
	case err != nil:
		next = min(15*time.Minute+jitter/10, every)
	}
	u.mu.Lock()
	u.nextCheck = time.Now().Add(next)
	u.mu.Unlock()
}
