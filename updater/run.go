package updater

import (
	"context"
	"path/filepath"
	"time"

	"quartet/updater/trust"
)

const (
	tick  = 2 * time.Second // while something is on trial or about to happen
	again = time.Minute     // while an update waits
)

// Run works until ctx ends. It returns nil then; while it runs, nothing that
// goes wrong ends it.
func (u *Updater) Run(ctx context.Context) error {
	u.startedAt = time.Now()
	for {
		wait := u.turn(ctx)
		if ctx.Err() != nil {
			return nil
		}
		t := time.NewTimer(max(wait, 10*time.Millisecond))
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-u.wake:
			t.Stop()
		case <-t.C:
		}
	}
}

// turn does what is due, and returns when to look again.
func (u *Updater) turn(ctx context.Context) time.Duration {
	if !u.settled {
		if wait := u.settle(ctx); wait > 0 {
			return wait
		}
	}
	u.mu.Lock()
	trial, deadline := u.trial, u.policy.Deadline
	u.mu.Unlock()
	if trial != nil {
		return u.onTrial(ctx, *trial)
	}
	wait := again
	if !u.bootNoted {
		u.bootNoted = u.settleBoot(u.booted) == nil
	}
	if !u.markedGood {
		u.healthy(ctx)
		wait = tick
		// First this start has to count as good. A box that does not become
		// well may need the next version all the more.
		if !u.markedGood && time.Since(u.startedAt) < deadline {
			return wait
		}
	}
	if !u.bootNoted {
		return wait // the disk: what the state says may not hold
	}
	if u.checkDue() {
		_ = u.check(ctx) // it is in the state
	}
	u.mu.Lock()
	phase := u.state.Phase
	u.mu.Unlock()
	var d time.Duration
	switch phase {
	case Idle:
		u.setDecision(Decision{})
		return wait
	case Available:
		d = u.fetch(ctx)
	case Ready, Installing, Installed:
		d = u.install(ctx)
	case Restarting, OnTrial, GoingBack: // trial.json's, above
		return wait
	}
	if d > 0 {
		return min(d, wait)
	}
	return 0
}

// situation is what decisions depend on now.
func (u *Updater) situation() (Situation, Policy, Candidate) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := Situation{
		Now: u.cfg.Clock.Now(), ClockGood: u.cfg.Clock.Synchronised(),
		DeferUntil: u.state.DeferUntil, RetryAfter: u.state.RetryAfter, Said: u.word() != nil,
	}
	var c Candidate
	if u.state.Candidate != nil {
		c = *u.state.Candidate
		s.Upload, s.Expires = c.Upload, c.Expires
		s.Begins = c.Release.Begins(u.cfg.Serial)
	}
	return s, u.policy, c
}

// word is an operator's "now" if it still counts; the lock is held.
func (u *Updater) word() *Word {
	w := u.state.Word
	if w == nil || u.cfg.Clock.Now().Sub(w.At) > 24*time.Hour {
		return nil
	}
	return w
}

func (u *Updater) setDecision(d Decision) {
	u.mu.Lock()
	changed := u.decision != d
	u.decision = d
	u.mu.Unlock()
	if changed && u.cfg.Changed != nil {
		u.cfg.Changed()
	}
}

func (u *Updater) setProgress(p Progress) {
	u.mu.Lock()
	u.progress = p
	u.mu.Unlock()
	if u.cfg.Changed != nil {
		u.cfg.Changed()
	}
}

// look looks at the media. Without a look they count as not answering.
func (u *Updater) look(ctx context.Context) Media {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	m, err := u.cfg.Probe.Media(ctx)
	if err != nil {
		u.log.Debug("the media plane could not be looked at", "error", err)
		m = Media{}
	}
	u.mu.Lock()
	u.media, u.lookedAt = m, time.Now()
	u.mu.Unlock()
	u.pace.look(m, time.Now())
	return m
}

// audit tells of what a person did.
func (u *Updater) audit(actor, action, target string, err error, detail string) {
	if u.cfg.Audit == nil {
		return
	}
	outcome := "done"
	if err != nil {
		outcome = "refused: " + err.Error()
	}
	u.cfg.Audit(Record{Actor: actor, Action: action, Target: target, Outcome: outcome, Detail: detail})
}

// bundlePath is where a candidate's bundle lies.
func (u *Updater) bundlePath(r trust.Release) string { return trust.Path(u.cfg.Bundles, r) }

// tidy removes all bundles but those of a release; nil: all.
func (u *Updater) tidy(keep *trust.Release) {
	if u.uploading.Load() {
		return // what it has written so far is there, too; the next time
	}
	names, err := filepath.Glob(filepath.Join(u.cfg.Bundles, "*"))
	if err != nil {
		return
	}
	for _, n := range names {
		if keep != nil && (n == trust.Path(u.cfg.Bundles, *keep) || n == trust.PartPath(u.cfg.Bundles, *keep)) {
			continue
		}
		if bundleName.MatchString(filepath.Base(n)) {
			removeFile(n)
		}
	}
}
