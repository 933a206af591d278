package updater

import (
	"sync"
	"time"
)

// pace decides how fast a download may be. While media are strained it stands
// still; afterwards it begins slowly and comes back to its limit within
// minutes, so that, if it was the cause, it finds out gently.
type pace struct {
	mu        sync.Mutex
	streaming bool
	strained  bool
	calmSince time.Time // since when media have not been strained; zero: they never were
	policy    Policy
}

const (
	standStill = 30 * time.Second // after the last strain
	slowStart  = 4                // begins at this part of the limit
	recovery   = 2 * time.Minute  // from there to the limit
)

// look takes in how media are.
func (p *pace) look(m Media, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.streaming = !m.Answers || m.Streaming() // who does not answer may be short of processor
	if m.Strained {
		p.calmSince = now
	}
	p.strained = m.Strained
}

// rate is the bytes a second at an instant.
func (p *pace) rate(now time.Time) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := p.policy.RateIdle
	if p.streaming {
		limit = p.policy.RateStreaming
	}
	calm := now.Sub(p.calmSince)
	switch {
	case p.strained || !p.calmSince.IsZero() && calm < standStill:
		return 0
	case limit < 0 && (p.calmSince.IsZero() || calm > standStill+recovery):
		return -1
	case limit < 0:
		limit = 2_500_000
	}
	if p.calmSince.IsZero() || calm > standStill+recovery {
		return limit
	}
	part := float64(calm-standStill) / float64(recovery)
	return int64(float64(limit) * (1 + part*(slowStart-1)) / slowStart)
}
