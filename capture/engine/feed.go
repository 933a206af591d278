package engine

import (
	"context"
	"time"

	"quartet/capture/mpegts"
)

// Feed is the origin of a transport stream that is transcoded: another
// capture.Source.
type Feed interface {
	Run(ctx context.Context, w mpegts.Writer) error
}

const (
	firstFeedWait = 200 * time.Millisecond
	lastFeedWait  = 5 * time.Second
	steadyFeed    = 10 * time.Second
	// feedHold is how old packets may be when the engine gets them: older ones
	// would only delay those that follow.
	feedHold = 500 * time.Millisecond
)

// runFeed brings the feed to whichever process runs, until ctx ends or the feed
// ends by itself. What fails is started again.
func (s *Source) runFeed(ctx context.Context) {
	for wait := firstFeedWait; ctx.Err() == nil; wait = min(2*wait, lastFeedWait) {
		began := s.cfg.Now()
		err := s.cfg.Feed.Run(ctx, s.pipe)
		text := "the feed has ended"
		if err != nil {
			text = err.Error()
		}
		if ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		said := s.st.feed
		s.st.feed = text
		s.mu.Unlock()
		if said != text { // the same failure is said once
			s.cfg.Log.Warn("feed", "err", text)
		}
		if err == nil {
			return
		}
		if s.cfg.Now()-began >= steadyFeed {
			wait = firstFeedWait
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}
