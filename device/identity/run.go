package identity

import (
	"context"
	"crypto/x509"
	"errors"
	"time"
)

const (
	tick        = time.Minute
	saveEvery   = time.Hour
	firstRetry  = 5 * time.Minute
	longRetry   = 6 * time.Hour
	retryFactor = 2
)

// renewal is how the last try went. Identity.mu guards it.
type renewal struct {
	err   error
	after time.Time // not before that; zero: at once
	wait  time.Duration
}

func (r renewal) text() string {
	if r.err == nil {
		return ""
	}
	return r.err.Error()
}

// renewAfter is when a certificate's renewal begins: at two thirds of its life.
func renewAfter(c *x509.Certificate) time.Time {
	return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) / 3 * 2).UTC()
}

// Run saves the clock's floor each hour and renews the device certificate at
// two thirds of its life, until ctx ends. A renewal that fails is tried again
// after 5 minutes, then ever longer up to 6 hours; Status says so meanwhile. It
// returns nil when ctx ends.
func (i *Identity) Run(ctx context.Context) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var saved time.Time
	for {
		if now := time.Now(); saved.IsZero() || now.Sub(saved) >= saveEvery {
			if i.cfg.Clock.Synchronised() {
				saved = now
			}
			if err := i.cfg.Clock.Save(); err != nil {
				i.log.Warn("the time could not be kept", "err", err)
			}
		}
		i.renewIfDue(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// renewIfDue renews once if it is time to.
func (i *Identity) renewIfDue(ctx context.Context) {
	now := i.cfg.Clock.Now()
	i.mu.Lock()
	st, r := i.state, i.renewal
	i.mu.Unlock()
	if st.EST == nil || now.Before(r.after) {
		return
	}
	chain, err := parseCertificates([]byte(st.Certificate))
	if err != nil || now.Before(renewAfter(chain[0])) {
		return
	}
	err = i.Renew(ctx)
	if err == nil || ctx.Err() != nil {
		return
	}
	r.err = err
	r.wait = min(max(r.wait*retryFactor, firstRetry), longRetry)
	var pending *Pending
	if errors.As(err, &pending) {
		r.wait = max(pending.RetryAfter, tick)
	}
	r.after = now.Add(r.wait)
	i.mu.Lock()
	i.renewal = r
	i.mu.Unlock()
	i.log.Warn("the device certificate could not be renewed", "err", err, "expires", chain[0].NotAfter, "next_try_in", r.wait.String())
}
