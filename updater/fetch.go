package updater

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quartet/updater/trust"
)

// watchEvery is how often media are looked at during a download.
const watchEvery = time.Second

// fetch downloads the candidate if it may, and returns when to look again.
func (u *Updater) fetch(ctx context.Context) time.Duration {
	s, policy, c := u.situation()
	d := policy.Download(s)
	home := u.repository()
	if d.Go && home == nil {
		d = wait(RetryLater, time.Time{}, "no repository is configured")
	}
	u.setDecision(d)
	if !d.Go {
		return u.until(d)
	}
	u.tidy(&c.Release)
	err := u.download(ctx, home, c.Release)
	u.setProgress(Progress{})
	switch code := trust.CodeOf(err); {
	case ctx.Err() != nil:
		return again
	case err == nil:
		u.failing = 0
		u.setTrouble(alarmFetch, nil)
		if u.change(func(s *State) {
			if s.Candidate == nil || s.Candidate.Release.SHA256 != c.Release.SHA256 || s.Phase != Available {
				return
			}
			s.Phase = Ready
			u.note(s, Entry{Event: "downloaded", To: c.Release.Version.String(), Text: fmt.Sprintf("%d bytes, SHA-256 as signed", c.Release.Length)})
		}) != nil {
			return again // the disk: what is there would be read and hashed anew at once
		}
		return 0
	case errors.Is(err, context.Canceled): // another candidate
		return 0
	case code == trust.Altered, code == trust.NoSpace, code == trust.Missing:
		u.setTrouble(alarmFetch, err)
		_ = u.change(func(s *State) {
			u.note(s, Entry{Event: "download-failed", To: c.Release.Version.String(), Text: err.Error()})
		})
	default:
		u.log.Info("the download is interrupted", "error", err)
		_ = u.change(func(s *State) {
			u.note(s, Entry{Event: "interrupted", To: c.Release.Version.String(), Text: "the download goes on from where it is"})
		})
	}
	u.failing++
	back := min(30*time.Second<<min(u.failing-1, 7), time.Hour)
	var busy *trust.Busy
	if errors.As(err, &busy) {
		back = max(back, busy.After)
	}
	u.setDecision(wait(RetryLater, u.cfg.Clock.Now().Add(back), "%v; the next try is at %s", err, policy.local(u.cfg.Clock.Now().Add(back))))
	return back
}

// until is how long to wait for a decision's instant.
func (u *Updater) until(d Decision) time.Duration {
	if d.Until.IsZero() {
		return again
	}
	return min(max(d.Until.Sub(u.cfg.Clock.Now()), time.Second), again)
}

// download runs one download beside a look at the media once a second.
func (u *Updater) download(ctx context.Context, home trust.Opener, r trust.Release) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	u.mu.Lock()
	u.interrupt = cancel
	u.mu.Unlock()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		t := time.NewTicker(watchEvery)
		defer t.Stop()
		for {
			if u.markedGood {
				u.look(ctx)
			} else { // Run, whose business it is, waits for this goroutine's end
				u.healthy(ctx)
			}
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
		}
	}()
	defer func() {
		cancel()
		<-watched
		u.mu.Lock()
		u.interrupt = nil
		u.mu.Unlock()
	}()
	var told time.Time
	d := trust.Download{
		From: home, What: r, Folder: u.cfg.Bundles,
		Pace: &trust.Limiter{Rate: func() int64 { return u.pace.rate(time.Now()) }},
		Progress: func(done int64) {
			u.failing = 0 // it gets ahead
			if now := time.Now(); now.Sub(told) >= time.Second || done == r.Length {
				told = now
				u.setProgress(Progress{What: "download", Done: done, Total: r.Length})
			}
		},
	}
	_, err := d.Run(ctx)
	return err
}
