package updater

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"time"

	"quartet/device/durable"
	"quartet/updater/trust"
)

// TrialFile is the one file that every version reads and writes, older and
// newer: fields are added to it, and none ever changes its meaning or becomes
// required. It exists from the moment before a new slot is made the next to
// boot until the outcome is in the history.
const TrialFile = "trial.json"

// WitnessFile, in Config.Witness, has the version on trial: a new version that
// cannot mount the partition of trial.json would not know that it is on trial.
const WitnessFile = "trial"

// Stage is how far a trial is.
type Stage string

const (
	StageActivating Stage = "activating" // about to make the slot the next to boot
	StageRestarting Stage = "restarting" // done; about to restart
	StageTrial      Stage = "trial"      // the new version runs
	StageDecided    Stage = "decided"    // Verdict says how it ended
)

// Trial is an update between the decision to restart and its outcome.
type Trial struct {
	ID          string        `json:"id"`
	Stage       Stage         `json:"stage"`
	FromSlot    string        `json:"from_slot"`
	ToSlot      string        `json:"to_slot"`
	FromVersion trust.Version `json:"from_version"`
	ToVersion   trust.Version `json:"to_version"`
	SHA256      string        `json:"sha256"` // of the bundle
	Started     time.Time     `json:"started"`
	BootID      string        `json:"boot_id"` // of the boot that began it
	Boots       int           `json:"boots"`   // of the new version that came as far as its updater
	// Starts counts the starts of the updater within StartedIn, a boot of the
	// new version: one that dies again and again never comes to its deadline.
	Starts    int    `json:"starts,omitempty"`
	StartedIn string `json:"started_in,omitempty"`
	// BeganS: when it began to judge, the last time, in seconds since the kernel's
	// start; for the guard (Left). 0: not known.
	BeganS  float64 `json:"began_s,omitempty"`
	Before  Media   `json:"before"` // what worked
	Verdict Verdict `json:"verdict"`
	// Lease: the sibling has granted one, which is to be given back.
	Lease bool `json:"lease,omitempty"`
}

var slotPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}\.[0-9]{1,3}$`)

// ParseTrial reads the trial's file. Fields that it does not know are a newer
// version's, and stay out of it.
func ParseTrial(data []byte) (Trial, error) {
	var t Trial
	if err := json.Unmarshal(data, &t); err != nil {
		return Trial{}, fmt.Errorf("%s: %w", TrialFile, err)
	}
	if !slotPattern.MatchString(t.FromSlot) || !slotPattern.MatchString(t.ToSlot) || t.FromSlot == t.ToSlot || t.ID == "" {
		return Trial{}, fmt.Errorf("%s: from_slot %q and to_slot %q are no two slots, or there is no id", TrialFile, t.FromSlot, t.ToSlot)
	}
	switch t.Stage {
	case StageActivating, StageRestarting, StageTrial, StageDecided:
	default:
		return Trial{}, fmt.Errorf("%s: stage %q does not exist", TrialFile, t.Stage)
	}
	return t, nil
}

// loadTrial returns the trial, nil if there is none. problem tells of a damaged
// file, which is put aside.
func loadTrial(f durable.Folder) (t *Trial, problem, err error) {
	data, err := f.Read(TrialFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("updater: %w", err)
	}
	v, err := ParseTrial(data)
	if err != nil {
		return nil, err, errors.Join(f.Rename(TrialFile, TrialFile+".damaged"), f.Sync())
	}
	return &v, nil, nil
}

func saveTrial(f durable.Folder, t Trial) error {
	data, err := json.Marshal(t)
	if err == nil {
		err = durable.Save(f, TrialFile, data)
	}
	if err != nil {
		return fmt.Errorf("updater: %w", err)
	}
	return nil
}

func removeTrial(f durable.Folder) error {
	if err := durable.Remove(f, TrialFile); err != nil {
		return fmt.Errorf("updater: %w", err)
	}
	return nil
}

// setTrial makes a trial the present one, on the disk first; nil ends it.
func (u *Updater) setTrial(t *Trial) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	var err error
	if t == nil {
		err = removeTrial(u.cfg.Folder)
	} else {
		err = saveTrial(u.cfg.Folder, *t)
	}
	u.setTroubleLocked(alarmDisk, err)
	if err != nil {
		return err
	}
	u.witness(t)
	if t != nil {
		c := *t
		t = &c
	}
	u.trial = t
	return nil
}

// witness tells the other partition whether there is a trial. It is for the guard
// alone (Left), and a trial goes on without it.
func (u *Updater) witness(t *Trial) {
	var err error
	switch {
	case u.cfg.Witness == nil:
	case t == nil:
		err = durable.Remove(u.cfg.Witness, WitnessFile)
	case t.Stage == StageActivating:
		err = durable.Save(u.cfg.Witness, WitnessFile, []byte(t.ToVersion.String()+"\n"))
	}
	if err != nil {
		u.log.Warn("updater: the trial's second note", "error", err)
	}
}
