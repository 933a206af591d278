package updater

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"quartet/device/durable"
	"quartet/updater/trust"
)

// Phase is where an update is.
type Phase string

const (
	Idle       Phase = "idle"       // there is none
	Available  Phase = "available"  // one is known, and not on the disk yet
	Ready      Phase = "ready"      // it is on the disk, checked
	Installing Phase = "installing" // RAUC writes the other slot
	Installed  Phase = "installed"  // the other slot has it; the box still boots this one
	// The rest is trial.json's: the update is made the next to boot, the box
	// restarts, the new version is on trial, the box goes back.
	Restarting Phase = "restarting"
	OnTrial    Phase = "trial"
	GoingBack  Phase = "going-back"
)

// stateFile belongs to this schema alone: a version on trial that has another
// writes another file, and after a rollback the older one finds its own.
const (
	stateSchema = 1
	stateFile   = "updater.v1.json"
)

const (
	maxHistory = 300
	maxBlocked = 50
)

// State is what an Updater has to remember but for a trial.
type State struct {
	Schema    int        `json:"schema"`
	Phase     Phase      `json:"phase"`               // Idle to Installed
	Candidate *Candidate `json:"candidate,omitempty"` // of every phase but Idle
	Slot      string     `json:"slot,omitempty"`      // that has it, in phase Installed

	DeferUntil time.Time `json:"defer_until,omitzero"`
	DeferredBy string    `json:"deferred_by,omitempty"`
	Word       *Word     `json:"word,omitempty"` // an operator has said "now"

	Failures   map[string]Failure `json:"failures,omitempty"`  // by SHA-256 of the bundle
	Aftermath  *Aftermath         `json:"aftermath,omitempty"` // what is still to be found out about a trial
	RetryAfter time.Time          `json:"retry_after,omitzero"`
	RetryText  string             `json:"retry_text,omitempty"`

	LastCheck   time.Time `json:"last_check,omitzero"`    // that had an answer or not
	LastContact time.Time `json:"last_contact,omitzero"`  // that ended well
	CheckError  string    `json:"check_error,omitempty"`  // of the last one
	CheckCode   string    `json:"check_code,omitempty"`   // its trust.Code
	FirstCheck  time.Time `json:"first_check,omitzero"`   // ever: counts when there was no contact yet
	LeaseWanted time.Time `json:"lease_wanted,omitzero"`  // since when a lease could not be had
	LeaseDenied string    `json:"lease_denied,omitempty"` // why, the last time
	BootID      string    `json:"boot_id,omitempty"`      // of the boot that was marked good last
	Slots       string    `json:"slots,omitempty"`        // slot that ran then
	SlotLost    string    `json:"slot_lost,omitempty"`    // the boot loader gave the other one up by itself; the text says so, until it is written

	History []Entry `json:"history,omitempty"` // newest last
}

// Candidate is an update that the box wants.
type Candidate struct {
	Release   trust.Release `json:"release"`
	Ring      string        `json:"ring,omitempty"`
	Downgrade bool          `json:"downgrade,omitempty"`
	Upload    bool          `json:"upload,omitempty"` // somebody brought it
	Found     time.Time     `json:"found"`
	// Expires is when what was signed about it ends; checks move it on. Of an upload
	// only its own limit counts: somebody has chosen it while all was valid.
	Expires time.Time `json:"expires,omitzero"`
}

// Word is an operator's "now": it opens the window, and no more. It holds for
// one update, and a day.
type Word struct {
	Actor string    `json:"actor"`
	At    time.Time `json:"at"`
	// OverrideSibling has the box go without a lease, for a reason.
	OverrideSibling bool   `json:"override_sibling,omitempty"`
	Reason          string `json:"reason,omitempty"`
}

// Failure is what is held against a bundle on this box. Each kind has a count of
// its own: a power cut is no reason to distrust a bundle that RAUC once had no room
// for.
type Failure struct {
	Version trust.Version `json:"version"`
	Blocked bool          `json:"blocked"` // not tried again
	// Doubt: blocked because the old version did better a minute later. That may have
	// been the line, so a person who brings the file again may have it tried again.
	Doubt    bool      `json:"doubt,omitempty"`
	Text     string    `json:"text"`
	At       time.Time `json:"at"`
	Count    int       `json:"count"`              // trials that the old version showed to be its fault
	Slow     int       `json:"slow,omitempty"`     // trials that nobody could judge, for the growing wait
	Falls    int       `json:"falls,omitempty"`    // trials that the boot loader gave up
	Cuts     int       `json:"cuts,omitempty"`     // cut short while it was made the next to boot
	Installs int       `json:"installs,omitempty"` // installations and restarts in a row that the box could not do, likewise
	Writes   int       `json:"writes,omitempty"`   // of the slot, in a row, of which nobody has seen the end, likewise
}

// Aftermath remembers a trial that left a doubt until the old version has shown
// whether it does better.
type Aftermath struct {
	SHA256  string        `json:"sha256"`
	Version trust.Version `json:"version"`
	Before  Media         `json:"before"`
	Text    string        `json:"text"`
	// Final: the far end answered, and the new version could not: once is enough.
	Final bool `json:"final,omitempty"`
	// BootID is of the boot in which the old version shows it.
	BootID string `json:"boot_id,omitempty"`
}

// Entry is one line of the history.
type Entry struct {
	Time  time.Time `json:"time"`
	Event string    `json:"event"` // one word: found, downloaded, refused, installed, restarting, confirmed, …
	// From and To are versions; empty where an event has none.
	From  string `json:"from,omitempty"`
	To    string `json:"to,omitempty"`
	Actor string `json:"actor,omitempty"` // who, if it was a person
	Text  string `json:"text,omitempty"`
	Trial string `json:"trial,omitempty"` // id, for outcomes
}

// ParseState reads the state's file.
func ParseState(data []byte) (State, error) {
	var s State
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return State{}, fmt.Errorf("%s: %w", stateFile, err)
	}
	if s.Schema != stateSchema {
		return State{}, fmt.Errorf("%s: schema %d is not %d", stateFile, s.Schema, stateSchema)
	}
	switch s.Phase {
	case Idle:
		s.Candidate = nil
	case Available, Ready, Installing, Installed:
		if s.Candidate == nil {
			return State{}, fmt.Errorf("%s: phase %s without a candidate", stateFile, s.Phase)
		}
		if err := s.Candidate.Release.Check(); err != nil {
			return State{}, fmt.Errorf("%s: candidate: %w", stateFile, err)
		}
	case Restarting, OnTrial, GoingBack:
		return State{}, fmt.Errorf("%s: phase %s belongs to %s", stateFile, s.Phase, TrialFile)
	default:
		return State{}, fmt.Errorf("%s: phase %q does not exist", stateFile, s.Phase)
	}
	if len(s.History) > maxHistory {
		s.History = s.History[len(s.History)-maxHistory:]
	}
	return s, nil
}

// loadState returns what the folder has. problem tells of a damaged file,
// which is put aside: the update under way is forgotten then, not the slots.
func loadState(f durable.Folder) (s State, problem, err error) {
	fresh := State{Schema: stateSchema, Phase: Idle}
	data, err := f.Read(stateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil, nil
	}
	if err != nil {
		return fresh, nil, fmt.Errorf("updater: %w", err)
	}
	if s, err = ParseState(data); err != nil {
		return fresh, err, errors.Join(f.Rename(stateFile, stateFile+".damaged"), f.Sync())
	}
	return s, nil, nil
}

// saveState makes a state the present one.
func saveState(f durable.Folder, s State) error {
	data, err := json.Marshal(s)
	if err == nil {
		err = durable.Save(f, stateFile, data)
	}
	if err != nil {
		return fmt.Errorf("updater: %w", err)
	}
	return nil
}

// trim forgets the oldest lines of the history, and never how the last trial
// ended: an alarm goes by it.
func (s *State) trim() {
	over := len(s.History) - maxHistory
	if over <= 0 {
		return
	}
	last, ok := s.lastOutcome()
	s.History = slices.Clone(s.History[over:])
	if kept, still := s.lastOutcome(); ok && (!still || kept != last) {
		s.History[0] = last
	}
}

// has tells whether the history has an event of a trial.
func (s *State) has(event, trial string) bool {
	return slices.ContainsFunc(s.History, func(e Entry) bool { return e.Trial == trial && e.Event == event })
}

// clone is a copy that shares nothing that is changed in place.
func (s State) clone() State {
	s.History = slices.Clone(s.History)
	failures := make(map[string]Failure, len(s.Failures))
	for k, v := range s.Failures {
		failures[k] = v
	}
	s.Failures = failures
	return s
}

// fail notes a failure of a bundle. The oldest make room.
func (s *State) fail(sha string, f Failure) {
	if len(s.Failures) >= maxBlocked {
		oldest := ""
		for k, v := range s.Failures {
			if oldest == "" || v.At.Before(s.Failures[oldest].At) {
				oldest = k
			}
		}
		delete(s.Failures, oldest)
	}
	s.Failures[sha] = f
}

// drop forgets the candidate and all that was wanted with it.
func (s *State) drop() {
	s.Phase, s.Candidate, s.Slot, s.Word = Idle, nil, "", nil
	s.LeaseWanted, s.LeaseDenied = time.Time{}, ""
	s.RetryAfter, s.RetryText = time.Time{}, ""
}
