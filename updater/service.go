package updater

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"quartet/updater/trust"
)

// Service is the updater for page, API and command line. Its errors are words
// for the one who asked.
type Service interface {
	// Status returns how things stand.
	Status(ctx context.Context) (Status, error)
	// Check asks the repository now, and returns what became of it.
	Check(ctx context.Context) (Status, error)
	// Now lets the update happen outside its window, as soon as it can.
	Now(ctx context.Context, r NowRequest) (Status, error)
	// Defer puts it off to an instant; the zero time takes that back.
	Defer(ctx context.Context, r DeferRequest) (Status, error)
	// Upload takes an update in one file (quartetctl repo pack). It is checked
	// as any other and waits for the window.
	Upload(ctx context.Context, actor string, r io.Reader) (Status, error)
	// Cancel takes back what a person has said or brought and what has not begun:
	// an uploaded update, or the word "now".
	Cancel(ctx context.Context, r CancelRequest) (Status, error)
	// History returns the last entries, newest first; limit 0: all.
	History(ctx context.Context, limit int) ([]Entry, error)
}

// NowRequest is an operator's word.
type NowRequest struct {
	Actor           string `json:"actor"`
	OverrideSibling bool   `json:"override_sibling,omitempty"` // go without the sibling's lease
	Reason          string `json:"reason,omitempty"`           // needed for that
}

// DeferRequest puts updates off.
type DeferRequest struct {
	Actor string    `json:"actor"`
	Until time.Time `json:"until,omitzero"`
}

// CancelRequest takes back "now", or an upload.
type CancelRequest struct {
	Actor string `json:"actor"`
}

// SlotView is one of the two places of the software.
type SlotView struct {
	Name    string `json:"name"`              // rootfs.0
	Boot    string `json:"boot"`              // the boot loader's name for it: A
	State   string `json:"state"`             // booted, active, inactive
	Status  string `json:"status,omitempty"`  // good, bad; "": RAUC cannot tell
	Version string `json:"version,omitempty"` // that lies there; "": not known
	Next    bool   `json:"next,omitempty"`    // the box starts from it next
}

// Status is how things stand.
type Status struct {
	Serial     string       `json:"serial"`
	Board      string       `json:"board"`
	Version    string       `json:"version"` // that runs
	Slot       string       `json:"slot,omitempty"`
	Slots      []SlotView   `json:"slots,omitempty"`
	Phase      Phase        `json:"phase"`
	Update     *Update      `json:"update,omitempty"` // none: there is nothing newer
	Progress   *Progress    `json:"progress,omitempty"`
	Waits      *Waits       `json:"waits,omitempty"` // for what, if it waits
	Trial      *TrialView   `json:"trial,omitempty"`
	Mode       Mode         `json:"mode"`
	Windows    []string     `json:"windows,omitempty"`
	Zone       string       `json:"zone"`
	DeferUntil time.Time    `json:"defer_until,omitzero"`
	DeferredBy string       `json:"deferred_by,omitempty"`
	Repository bool         `json:"repository"` // one is configured
	LastCheck  time.Time    `json:"last_check,omitzero"`
	CheckError string       `json:"check_error,omitempty"`
	NextCheck  time.Time    `json:"next_check,omitzero"`
	Sibling    *SiblingView `json:"sibling,omitempty"`
	Refused    []Refused    `json:"refused,omitempty"`
	Alarms     []Alarm      `json:"alarms,omitempty"`
	Time       time.Time    `json:"time"`
	ClockGood  bool         `json:"clock_synchronised"`
}

// Update is the update that the box wants.
type Update struct {
	Version   string    `json:"version"`
	Downgrade bool      `json:"downgrade,omitempty"`
	Ring      string    `json:"ring,omitempty"`
	Upload    bool      `json:"upload,omitempty"`
	Notes     string    `json:"notes,omitempty"`
	Bytes     int64     `json:"bytes"`
	Found     time.Time `json:"found"`
}

// Waits says what an update waits for.
type Waits struct {
	Why   Why       `json:"why"`
	Text  string    `json:"text"`
	Until time.Time `json:"until,omitzero"`
}

// TrialView is a trial under way.
type TrialView struct {
	From    string `json:"from"`
	To      string `json:"to"`
	Stage   Stage  `json:"stage"`
	Outcome string `json:"outcome,omitempty"`
	Text    string `json:"text,omitempty"`
}

// SiblingView is how the pair stands.
type SiblingView struct {
	Held   bool      `json:"held"` // this box has the lease
	Wanted time.Time `json:"wanted,omitzero"`
	Denied string    `json:"denied,omitempty"`
}

// Refused is a release that this box does not take.
type Refused struct {
	Version string `json:"version"`
	Code    string `json:"code"`
	Text    string `json:"text"`
}

// Status implements Service.
func (u *Updater) Status(context.Context) (Status, error) {
	held := false
	pair := u.pair()
	if pair != nil {
		_, held = pair.Held()
	}
	good := u.cfg.Clock.Synchronised()
	u.mu.Lock()
	defer u.mu.Unlock()
	s := &u.state
	now := u.cfg.Clock.Now()
	st := Status{
		Serial: u.cfg.Serial, Board: u.cfg.Board, Version: u.cfg.Version.String(), Slot: u.booted.Name, Phase: s.Phase,
		Mode: u.policy.Mode, Zone: u.policy.Zone.String(), DeferUntil: s.DeferUntil, DeferredBy: s.DeferredBy,
		Repository: u.home != nil, LastCheck: s.LastCheck, CheckError: s.CheckError,
		Refused: refusedView(u.refused), Alarms: u.alarms(now), Time: now, ClockGood: good,
	}
	if !now.Before(s.DeferUntil) {
		st.DeferUntil, st.DeferredBy = time.Time{}, ""
	}
	if u.home != nil && !u.nextCheck.IsZero() {
		st.NextCheck = now.Add(max(time.Until(u.nextCheck), 0))
	}
	for _, w := range u.policy.Windows {
		st.Windows = append(st.Windows, w.String())
	}
	if c := s.Candidate; c != nil {
		st.Update = &Update{Version: c.Release.Version.String(), Downgrade: c.Downgrade, Ring: c.Ring, Upload: c.Upload, Notes: c.Release.Notes, Bytes: c.Release.Length, Found: c.Found}
	}
	if u.progress.What != "" {
		p := u.progress
		st.Progress = &p
	}
	if d := u.decision; !d.Go && d.Why != Nothing && s.Candidate != nil && u.trial == nil {
		st.Waits = &Waits{Why: d.Why, Text: d.Text, Until: d.Until}
	}
	if u.interrupt != nil && u.pace.rate(time.Now()) == 0 {
		st.Waits = &Waits{Why: MediaStrain, Text: "the download stands still while a path loses packets or is late, and for 30 s afterwards: the streams come first"}
	}
	if t := u.trial; t != nil {
		st.Phase = OnTrial
		switch {
		case t.Stage == StageActivating, t.Stage == StageRestarting:
			st.Phase = Restarting
		case t.Stage == StageDecided && t.Verdict.Outcome != Confirmed:
			st.Phase = GoingBack
		}
		st.Trial = &TrialView{From: t.FromVersion.String(), To: t.ToVersion.String(), Stage: t.Stage, Outcome: string(t.Verdict.Outcome), Text: t.Verdict.Text}
	}
	for _, sl := range u.slots {
		if sl.BootName == "" {
			continue
		}
		v := SlotView{Name: sl.Name, Boot: sl.BootName, State: sl.State, Status: sl.BootStatus, Version: sl.Version, Next: sl.Name == u.primary}
		if sl.Name == u.booted.Name { // what runs knows itself better
			v.Version = st.Version
		}
		st.Slots = append(st.Slots, v)
	}
	if pair != nil {
		st.Sibling = &SiblingView{Held: held, Wanted: s.LeaseWanted, Denied: s.LeaseDenied}
	}
	return st, nil
}

// Check implements Service.
func (u *Updater) Check(ctx context.Context) (Status, error) {
	if err := u.check(ctx); err != nil {
		return Status{}, err
	}
	u.kick()
	return u.Status(ctx)
}

// Now implements Service.
func (u *Updater) Now(ctx context.Context, r NowRequest) (_ Status, err error) {
	defer func() {
		detail := r.Reason
		if r.OverrideSibling {
			detail = "without the sibling's lease: " + detail
		}
		u.audit(r.Actor, "update.now", u.cfg.Serial, err, detail)
	}()
	switch {
	case r.Actor == "" || len(r.Actor) > 100 || len(r.Reason) > 500:
		return Status{}, errors.New("actor is missing, or a text is too long")
	case r.OverrideSibling && r.Reason == "":
		return Status{}, errors.New("reason is missing: whoever goes without the sibling's lease says why")
	}
	u.mu.Lock()
	onTrial, known := u.trial != nil, u.state.Candidate != nil
	u.mu.Unlock()
	if onTrial {
		return Status{}, errors.New("an update is under way already")
	}
	if !known && u.repository() != nil {
		if err := u.check(ctx); err != nil {
			return Status{}, err
		}
		u.mu.Lock()
		known = u.state.Candidate != nil
		u.mu.Unlock()
	}
	if !known {
		return Status{}, fmt.Errorf("there is no update for this box: %s runs", u.cfg.Version)
	}
	err = u.change(func(s *State) {
		s.Word = &Word{Actor: r.Actor, At: u.cfg.Clock.Now(), OverrideSibling: r.OverrideSibling, Reason: r.Reason}
		to := ""
		if s.Candidate != nil {
			to = s.Candidate.Release.Version.String()
		}
		text := "outside the maintenance window"
		if r.OverrideSibling {
			text += ", without the sibling's lease: " + r.Reason
		}
		u.nextFetch = time.Time{}
		u.note(s, Entry{Event: "now", To: to, Actor: r.Actor, Text: text})
	})
	if err != nil {
		return Status{}, err
	}
	u.kick()
	return u.Status(ctx)
}

// Defer implements Service.
func (u *Updater) Defer(ctx context.Context, r DeferRequest) (_ Status, err error) {
	defer func() { u.audit(r.Actor, "update.defer", u.cfg.Serial, err, r.Until.Format(time.RFC3339)) }()
	u.mu.Lock()
	policy := u.policy
	u.mu.Unlock()
	now := u.cfg.Clock.Now()
	switch {
	case r.Actor == "" || len(r.Actor) > 100:
		return Status{}, errors.New("actor is missing or too long")
	case !r.Until.IsZero() && !r.Until.After(now):
		return Status{}, fmt.Errorf("until: %s is over; name an instant to come", policy.local(r.Until))
	case r.Until.Sub(now) > policy.MaxDefer:
		return Status{}, fmt.Errorf("until: %s is more than %d days ahead; defer it again later", policy.local(r.Until), int(policy.MaxDefer.Hours()/24))
	}
	err = u.change(func(s *State) {
		s.DeferUntil, s.DeferredBy = r.Until, r.Actor
		text := "until " + policy.local(r.Until)
		if r.Until.IsZero() {
			s.DeferredBy, text = "", "not any more"
		}
		s.Word = nil
		u.note(s, Entry{Event: "deferred", Actor: r.Actor, Text: text})
	})
	if err != nil {
		return Status{}, err
	}
	u.kick()
	return u.Status(ctx)
}

// Cancel implements Service.
func (u *Updater) Cancel(ctx context.Context, r CancelRequest) (_ Status, err error) {
	defer func() { u.audit(r.Actor, "update.cancel", u.cfg.Serial, err, "") }()
	if r.Actor == "" || len(r.Actor) > 100 {
		return Status{}, errors.New("actor is missing or too long")
	}
	u.mu.Lock()
	s := &u.state
	switch {
	case u.busy || u.trial != nil:
		err = errors.New("the update has begun, and goes to its end: if it does not work, the box goes back by itself")
	case s.Candidate != nil && s.Candidate.Upload:
		err = u.changeLocked(func(s *State) {
			u.note(s, Entry{Event: "cancelled", To: s.Candidate.Release.Version.String(), Actor: r.Actor, Text: "the uploaded file is removed"})
			s.drop()
		})
		if err == nil {
			u.tidy(nil)
		}
	case u.word() != nil:
		u.stopDownload()
		err = u.changeLocked(func(s *State) {
			s.Word = nil
			u.note(s, Entry{Event: "cancelled", Actor: r.Actor, Text: "it waits for its window again"})
		})
	default:
		err = errors.New(`there is nothing to take back: nobody has said "now" or brought a file; to put updates off, defer them`)
	}
	u.mu.Unlock()
	if err != nil {
		return Status{}, err
	}
	u.kick()
	return u.Status(ctx)
}

// Upload implements Service.
func (u *Updater) Upload(ctx context.Context, actor string, r io.Reader) (_ Status, err error) {
	to := ""
	defer func() { u.audit(actor, "update.upload", u.cfg.Serial, err, to) }()
	if actor == "" || len(actor) > 100 {
		return Status{}, errors.New("actor is missing or too long")
	}
	if !u.cfg.Clock.Synchronised() {
		return Status{}, errClock
	}
	if !u.uploading.CompareAndSwap(false, true) {
		return Status{}, errors.New("another file is being brought; wait until that one is here, or has failed")
	}
	defer u.uploading.Store(false)
	u.mu.Lock()
	under := u.busy || u.trial != nil
	u.mu.Unlock()
	if under {
		return Status{}, errors.New("an update is under way; bring the file when it is over")
	}
	a, err := trust.ReadArchive(r)
	if err != nil {
		return Status{}, u.refuseUpload(actor, "", err)
	}
	now := u.cfg.Clock.Now()
	u.checking.Lock()
	repo, err := u.cfg.Metadata.Refresh(ctx, a, now)
	u.checking.Unlock()
	if err != nil {
		var old *trust.Refusal
		if errors.As(err, &old) && old.Code == trust.Rollback {
			// Of a repository that would be a reason to distrust it. A file only
			// waited too long on a desk.
			e := *old
			e.Text, e.Remedy = "the file was packed before what this box has seen since: "+old.Text, "pack it again (quartetctl repo sign, then repo pack)"
			err = &e
		}
		return Status{}, u.refuseUpload(actor, "", err)
	}
	rel, err := a.Find(repo)
	if err == nil {
		to = rel.Version.String()
		err = repo.Judge(brought(rel), u.box(), now)
	}
	if err == nil {
		u.mu.Lock()
		if why := u.veto(rel); why != nil && !u.state.Failures[rel.SHA256].Doubt {
			err = why
		}
		u.mu.Unlock()
	}
	if err != nil {
		return Status{}, u.refuseUpload(actor, to, err)
	}
	if _, err := a.Save(ctx, u.cfg.Bundles, rel); err != nil {
		return Status{}, u.refuseUpload(actor, to, err)
	}
	u.mu.Lock()
	if u.busy || u.trial != nil {
		err = errors.New("an update is under way; bring the file when it is over")
	} else {
		u.stopDownload()
		err = u.changeLocked(func(s *State) {
			s.drop()
			if f, ok := s.Failures[rel.SHA256]; ok && f.Blocked {
				f.Blocked, f.Doubt = false, false
				s.Failures[rel.SHA256] = f
			}
			s.Phase = Ready
			s.Candidate = &Candidate{Release: rel, Upload: true, Downgrade: rel.Version.Compare(u.cfg.Version) < 0, Found: now,
				Expires: rel.Expires}
			u.note(s, Entry{Event: "uploaded", From: u.cfg.Version.String(), To: to, Actor: actor})
		})
	}
	u.mu.Unlock()
	if err != nil {
		return Status{}, err
	}
	u.kick()
	return u.Status(ctx)
}

// refuseUpload notes a refusal and returns it.
func (u *Updater) refuseUpload(actor, to string, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return errors.Join(err, u.change(func(s *State) {
		u.note(s, Entry{Event: "refused", From: u.cfg.Version.String(), To: to, Actor: actor, Text: err.Error()})
	}))
}

// History implements Service.
func (u *Updater) History(_ context.Context, limit int) ([]Entry, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	h := slices.Clone(u.state.History)
	slices.Reverse(h)
	if limit > 0 && len(h) > limit {
		h = h[:limit]
	}
	return h, nil
}

// Blocked returns the bundles that are not tried again on this box, by SHA-256.
func (u *Updater) Blocked() map[string]Failure {
	u.mu.Lock()
	defer u.mu.Unlock()
	m := maps.Clone(u.state.Failures)
	maps.DeleteFunc(m, func(_ string, f Failure) bool { return !f.Blocked })
	return m
}
