package web

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// historyShown is how many lines of the history an answer has.
const historyShown = 100

// getUpdate shows how updates stand, and what was.
func (s *Server) getUpdate(c *call) (UpdateInfo, error) {
	h, err := s.cfg.Updater.History(c.r.Context(), historyShown)
	return UpdateInfo{Update: s.cfg.Updater.State(c.r.Context()), Pin: s.cfg.Identity.Describe().DeviceKey, History: h}, err
}

func (s *Server) checkUpdate(c *call) (Update, error) {
	c.target = "update"
	return s.updated(c, s.cfg.Updater.Check(c.r.Context()))
}

func (s *Server) updateNow(c *call, q UpdateNow) (Update, error) {
	c.target, c.detail = "update", q.Reason
	if q.OverrideSibling && q.Reason == "" {
		return Update{}, invalid("reason", "", "is missing", "whoever goes without the sibling's lease says why")
	}
	if q.OverrideSibling {
		c.detail = "without the sibling's lease: " + q.Reason
	}
	return s.updated(c, s.cfg.Updater.Now(c.r.Context(), c.actor(), q))
}

func (s *Server) deferUpdate(c *call, q UpdateDefer) (Update, error) {
	c.target, c.detail = "update", q.Until
	var until time.Time
	if q.Until != "" {
		var err error
		if until, err = time.Parse(time.RFC3339, q.Until); err != nil {
			return Update{}, invalid("until", string(quote(clip(q.Until))), "is not a time", "write it as 2026-12-24T18:00:00+01:00, or leave it empty to let updates happen again")
		}
	}
	return s.updated(c, s.cfg.Updater.Defer(c.r.Context(), c.actor(), until))
}

func (s *Server) cancelUpdate(c *call) (Update, error) {
	c.target = "update"
	return s.updated(c, s.cfg.Updater.Cancel(c.r.Context(), c.actor()))
}

// uploadUpdate takes an update in one file. One at a time: each fills the disk.
func (s *Server) uploadUpdate(c *call, file io.Reader) (Update, error) {
	c.target = "update"
	if !s.uploading.CompareAndSwap(false, true) {
		return Update{}, fail(http.StatusConflict, typeConflict, "another file is being uploaded", "wait until it is there")
	}
	defer s.uploading.Store(false)
	u, err := s.updated(c, s.cfg.Updater.Upload(c.r.Context(), c.actor(), file))
	if u.Offer != nil {
		c.detail = u.Offer.Version
	}
	return u, err
}

// updated is what there is after something was asked of the updater.
func (s *Server) updated(c *call, err error) (Update, error) {
	if err != nil {
		return Update{}, err
	}
	s.hub.wake()
	return s.cfg.Updater.State(c.r.Context()), nil
}

// setTime sets the clock.
func (s *Server) setTime(c *call, q SetTime) (None, error) {
	c.target, c.detail = "clock", q.Time
	t, err := time.Parse(time.RFC3339, q.Time)
	if err != nil {
		return None{}, invalid("time", string(quote(clip(q.Time))), "is not a time", "write it as 2026-12-24T18:00:00+01:00")
	}
	return None{}, s.cfg.Network.SetTime(c.r.Context(), t, q.Force)
}

// silence is how long an upload may say nothing.
const silence = 30 * time.Second

// patient reads a body that may take long, as long as it goes on coming.
type patient struct {
	body    io.Reader
	control *http.ResponseController
}

func (p patient) Read(b []byte) (int, error) {
	// What is not supported is a test's recorder: then there are no deadlines.
	if err := p.control.SetReadDeadline(time.Now().Add(silence)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	n, err := p.body.Read(b)
	if err != nil {
		// What is done with it now may take longer: the deadline would end the request.
		_ = p.control.SetReadDeadline(time.Time{})
		_ = p.control.SetWriteDeadline(time.Now().Add(writeTime))
	}
	return n, err
}
