package updater

import (
	"context"
	"errors"
	"fmt"
	"os"
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
	u.mu.Lock()
	back := time.Until(u.nextFetch)
	u.mu.Unlock()
	if d.Go && back > 0 {
		at := s.Now.Add(back)
		d = wait(RetryLater, at, "%s; the next try is at %s", u.fetchText, policy.local(at))
	}
	u.setDecision(d)
	if !d.Go {
		return u.until(d)
	}
	u.tidy(&c.Release)
	further, err := u.download(ctx, home, c.Release)
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
		further = false // of what is fetched again from its beginning, or does not fit
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
	if further {
		u.failing = 0
	}
	u.failing++
	back = min(30*time.Second<<min(u.failing-1, 7), time.Hour)
	var busy *trust.Busy
	if errors.As(err, &busy) {
		back = max(back, busy.After)
	}
	u.fetchText = err.Error()
	u.mu.Lock()
	u.nextFetch = time.Now().Add(back)
	u.mu.Unlock()
	return 0
}

// until is how long to wait for a decision's instant.
func (u *Updater) until(d Decision) time.Duration {
	if d.Until.IsZero() {
		return again
	}
	return min(max(d.Until.Sub(u.cfg.Clock.Now()), time.Second), again)
}

// download runs one download beside a look at the media once a second. It ends early
// (context.Canceled) when another candidate comes, when the repository is to be asked
// again, and when it may not go on; what is there by then stays. further tells whether
// it has added to that.
func (u *Updater) download(ctx context.Context, home trust.Opener, r trust.Release) (further bool, err error) {
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
			// It may stand still for days beside strained media.
			if s, policy, _ := u.situation(); u.checkDue() || !policy.Download(s).Go {
				cancel()
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
	var had int64
	if info, err := os.Stat(trust.PartPath(u.cfg.Bundles, r)); err == nil {
		had = info.Size()
	}
	d := trust.Download{
		From: home, What: r, Folder: u.cfg.Bundles,
		Pace: &trust.Limiter{Rate: func() int64 { return u.pace.rate(time.Now()) }},
		Progress: func(done int64) {
			further = done > had // a server without ranges begins anew
			if now := time.Now(); now.Sub(told) >= time.Second || done == r.Length {
				told = now
				u.setProgress(Progress{What: "download", Done: done, Total: r.Length})
			}
		},
	}
	_, err = d.Run(ctx)
	return further, err
}
