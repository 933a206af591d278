package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"quartet/device/audit"
	"quartet/device/health"
	"quartet/device/telemetry/measure"
	"quartet/device/web"
	"quartet/updater"
	"quartet/updater/trust"
)

// updates hosts the updater: it is web.Updater, tells conditions, telemetry and
// audit log of what happens, and takes settings over while it runs.
type updates struct {
	// set at start, never changed
	up       *updater.Updater // nil: the box cannot update itself
	why      error            // why not, or why it takes none; errNoImage on a machine that is none
	version  string           // of the program, for want of the image's
	board    string
	hold     time.Duration // of a trial; 0: the updater's own
	pair     *pairing
	monitor  *health.Monitor
	since    func() time.Duration
	journal  *audit.Log
	journals func(error) // a record could not be written
	log      *slog.Logger
	poke     chan struct{} // capacity 1: something has changed

	mu         sync.Mutex // guards what follows
	configured bool       // settings have been applied
	repository string     // that is asked
	transport  *http.Transport

	// owned by follow
	seen  updater.Entry // the newest that has been told
	codes []health.Code
}

// changed is updater.Config.Changed.
func (u *updates) changed() {
	select {
	case u.poke <- struct{}{}:
	default:
	}
}

// Run runs the updater, and follows what it does, until ctx ends.
func (u *updates) Run(ctx context.Context) error {
	if u.up == nil {
		off := !errors.Is(u.why, errNoImage)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			u.monitor.Set(u.since(), "update-off", web.Updates, off, u.why.Error())
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	}
	var group sync.WaitGroup
	group.Go(func() { u.follow(ctx) })
	err := u.up.Run(ctx)
	group.Wait()
	return err
}

// follow tells of what the updater does.
func (u *updates) follow(ctx context.Context) {
	for _, d := range web.Catalogue() {
		if strings.HasPrefix(string(d.Code), "update-") && d.Code != "update-off" {
			u.codes = append(u.codes, d.Code)
		}
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		u.tell(ctx)
		select {
		case <-ctx.Done():
			u.tell(context.WithoutCancel(ctx)) // the last words before a restart
			return
		case <-tick.C:
		case <-u.poke:
		}
	}
}

func (u *updates) tell(ctx context.Context) {
	s, err := u.up.Status(ctx)
	if err != nil {
		return
	}
	now := u.since()
	if u.why != nil {
		u.monitor.Set(now, "update-off", web.Updates, true, u.why.Error())
	}
	for _, code := range u.codes {
		i := slices.IndexFunc(s.Alarms, func(a updater.Alarm) bool { return a.Code == string(code) })
		text := ""
		if i >= 0 {
			text = s.Alarms[i].Text
		}
		u.monitor.Set(now, code, web.Updates, i >= 0, text)
	}
	h, err := u.up.History(ctx, 0)
	if err != nil {
		return
	}
	fresh := h
	if i := slices.Index(h, u.seen); i >= 0 {
		fresh = h[:i]
	}
	if len(h) > 0 {
		u.seen = h[0]
	}
	for _, e := range slices.Backward(fresh) {
		u.record(e)
	}
}

// chatty are events that belong into the history and no further.
var chatty = []string{"waits", "interrupted", "contact", "check-failed", "download-failed"}

// record puts an event of the updater's own into the audit log, and so sends it
// home. What a person asks for is recorded where he asks.
func (u *updates) record(e updater.Entry) {
	if e.Actor != "" || slices.Contains(chatty, e.Event) {
		return
	}
	detail := e.Text
	if e.From != "" || e.To != "" {
		detail = strings.TrimSpace(fmt.Sprintf("%s → %s  %s", e.From, e.To, e.Text))
	}
	outcome := audit.Done
	switch e.Event {
	case string(updater.Broken), string(updater.FellBack), string(updater.Inconclusive), "install-failed":
		outcome = "failed"
	case "refused":
		outcome = "refused"
	}
	if _, err := u.journal.Append(audit.Record{Time: e.Time, Actor: "updater", Action: "update." + e.Event, Target: "update", Outcome: outcome, Detail: detail}); err != nil {
		u.journals(err)
	}
}

// close ends idle connections.
func (u *updates) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.transport != nil {
		u.transport.CloseIdleConnections()
	}
}

// State implements web.Updater.
func (u *updates) State(ctx context.Context) web.Update {
	if u.up == nil {
		return web.Update{Reason: u.why.Error(), Running: u.version, Board: u.board, Phase: string(updater.Idle), Mode: string(updater.Manual), Zone: "UTC"}
	}
	s, err := u.up.Status(ctx)
	if err != nil { // it never fails: it looks into memory
		return web.Update{Reason: err.Error(), Running: u.version, Phase: string(updater.Idle), Mode: string(updater.Manual), Zone: "UTC"}
	}
	return updateView(s)
}

// updateView is the page's form of the updater's status.
func updateView(s updater.Status) web.Update {
	v := web.Update{Available: true, Running: s.Version, Board: s.Board, Phase: string(s.Phase), Mode: string(s.Mode), Windows: s.Windows, Zone: s.Zone,
		DeferUntil: instant(s.DeferUntil), DeferredBy: s.DeferredBy, Repository: s.Repository, LastCheck: instant(s.LastCheck), CheckError: s.CheckError,
		NextCheck: instant(s.NextCheck), ClockGood: s.ClockGood}
	for _, sl := range s.Slots {
		w := web.Slot{Name: sl.Boot, State: "unknown", Version: sl.Version, Next: sl.Next}
		switch {
		case sl.State == "booted":
			w.State = "running"
		case sl.Status != "":
			w.State = sl.Status
		}
		v.Slots = append(v.Slots, w)
	}
	if o := s.Update; o != nil {
		v.Offer = &web.UpdateOffer{Version: o.Version, Downgrade: o.Downgrade, Ring: o.Ring, Upload: o.Upload, Notes: o.Notes, Bytes: o.Bytes, Found: o.Found}
	}
	if p := s.Progress; p != nil {
		v.Progress = &web.UpdateProgress{What: p.What, Done: p.Done, Total: p.Total, Text: p.Text}
		if p.Total > 0 {
			v.Progress.Percent = 100 * float64(p.Done) / float64(p.Total)
		}
	}
	if w := s.Waits; w != nil {
		v.Waits = &web.UpdateWait{Why: string(w.Why), Text: w.Text, Until: instant(w.Until)}
	}
	if t := s.Trial; t != nil {
		v.Trial = &web.UpdateTrial{From: t.From, To: t.To, Stage: string(t.Stage), Outcome: t.Outcome, Text: t.Text}
	}
	if b := s.Sibling; b != nil {
		v.Sibling = &web.UpdateSibling{Held: b.Held, Wanted: instant(b.Wanted), Denied: b.Denied}
	}
	for _, r := range s.Refused {
		v.Refused = append(v.Refused, web.UpdateRefused{Version: r.Version, Code: r.Code, Text: r.Text})
	}
	return v
}

func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// History implements web.Updater.
func (u *updates) History(ctx context.Context, limit int) (list []web.UpdateEntry, err error) {
	if u.up == nil {
		return nil, nil
	}
	h, err := u.up.History(ctx, limit)
	for _, e := range h {
		list = append(list, web.UpdateEntry{Time: e.Time, Event: e.Event, From: e.From, To: e.To, Actor: e.Actor, Text: e.Text})
	}
	return list, err
}

// ask asks something of the updater; its words are for the one who asks.
func (u *updates) ask(do func() (updater.Status, error)) error {
	if u.up == nil {
		r := &web.Refusal{Text: "this box cannot update itself: " + u.why.Error(), Remedy: "install a Quartet image"}
		if !errors.Is(u.why, errNoImage) {
			r.Remedy = "restart the box; if that does not help, send its support bundle"
		}
		return r
	}
	_, err := do()
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var r *trust.Refusal
	if errors.As(err, &r) {
		return &web.Refusal{Text: r.Text, Remedy: r.Remedy}
	}
	text, remedy, _ := strings.Cut(err.Error(), "; ")
	return &web.Refusal{Text: text, Remedy: remedy}
}

// Check implements web.Updater.
func (u *updates) Check(ctx context.Context) error {
	return u.ask(func() (updater.Status, error) { return u.up.Check(ctx) })
}

// Now implements web.Updater.
func (u *updates) Now(ctx context.Context, actor string, q web.UpdateNow) error {
	return u.ask(func() (updater.Status, error) {
		return u.up.Now(ctx, updater.NowRequest{Actor: actor, OverrideSibling: q.OverrideSibling, Reason: q.Reason})
	})
}

// Defer implements web.Updater.
func (u *updates) Defer(ctx context.Context, actor string, until time.Time) error {
	return u.ask(func() (updater.Status, error) {
		return u.up.Defer(ctx, updater.DeferRequest{Actor: actor, Until: until})
	})
}

// Cancel implements web.Updater.
func (u *updates) Cancel(ctx context.Context, actor string) error {
	return u.ask(func() (updater.Status, error) { return u.up.Cancel(ctx, updater.CancelRequest{Actor: actor}) })
}

// Upload implements web.Updater.
func (u *updates) Upload(ctx context.Context, actor string, r io.Reader) error {
	return u.ask(func() (updater.Status, error) { return u.up.Upload(ctx, actor, r) })
}

// measure is what telemetry tells of updates; nil: there is no updater.
func (u *updates) measure() *measure.Update {
	if u.up == nil {
		return nil
	}
	s, err := u.up.Status(context.Background())
	if err != nil {
		return nil
	}
	m := &measure.Update{Version: s.Version, Board: s.Board, Slot: s.Slot, Phase: string(s.Phase), Offered: s.Update != nil, CheckedAgo: -1}
	if !s.LastCheck.IsZero() && s.CheckError == "" {
		m.CheckedAgo = max(0, s.Time.Sub(s.LastCheck).Seconds())
	}
	if s.Waits != nil {
		m.Waits = string(s.Waits.Why)
	}
	if p := s.Progress; p != nil && p.Total > 0 {
		m.Progress, m.ProgressOf = float64(p.Done)/float64(p.Total), p.What
	}
	for _, sl := range s.Slots {
		m.Slots = append(m.Slots, measure.Slot{Name: sl.Boot, Version: sl.Version, Good: sl.Status == "good"})
	}
	return m
}

// spoken is the updater on its socket: what is asked there goes into the audit
// log here, as what is asked on the page does in package web.
type spoken struct {
	updater.Service
	journal  *audit.Log
	journals func(error)
}

func (s spoken) note(actor, action, detail string, err error) {
	r := audit.Record{Actor: actor, Source: "socket", Action: "update." + action, Target: "update", Outcome: audit.Done, Detail: detail}
	if err != nil {
		r.Outcome, r.Detail = "refused", strings.TrimPrefix(detail+": "+err.Error(), ": ")
	}
	if _, err := s.journal.Append(r); err != nil {
		s.journals(err)
	}
}

func (s spoken) Now(ctx context.Context, r updater.NowRequest) (updater.Status, error) {
	st, err := s.Service.Now(ctx, r)
	detail := r.Reason
	if r.OverrideSibling {
		detail = "without the sibling's lease: " + detail
	}
	s.note(r.Actor, "now", detail, err)
	return st, err
}

func (s spoken) Defer(ctx context.Context, r updater.DeferRequest) (updater.Status, error) {
	st, err := s.Service.Defer(ctx, r)
	detail := ""
	if !r.Until.IsZero() {
		detail = r.Until.Format(time.RFC3339)
	}
	s.note(r.Actor, "defer", detail, err)
	return st, err
}

func (s spoken) Cancel(ctx context.Context, r updater.CancelRequest) (updater.Status, error) {
	st, err := s.Service.Cancel(ctx, r)
	s.note(r.Actor, "cancel", "", err)
	return st, err
}

func (s spoken) Upload(ctx context.Context, actor string, r io.Reader) (updater.Status, error) {
	st, err := s.Service.Upload(ctx, actor, r)
	detail := ""
	if st.Update != nil {
		detail = st.Update.Version
	}
	s.note(actor, "upload", detail, err)
	return st, err
}
