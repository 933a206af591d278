package updater

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"quartet/device/durable"
	"quartet/updater/rauc"
	"quartet/updater/sibling"
	"quartet/updater/trust"
)

// Record is one action for the audit log.
type Record struct {
	Actor, Action, Target, Outcome, Detail string
}

// Config is what an Updater is made of. What is not said to be optional is
// needed.
type Config struct {
	Serial     string
	Board      string
	Compatible string               // of RAUC's bundles; "": quartet-BOARD
	Version    trust.Version        // what runs
	Floor      trust.Version        // the oldest that this image goes back to; none: any
	BootID     string               // another one after each restart of the system
	Up         func() time.Duration // since the kernel's start; nil: nobody knows

	Folder     durable.Folder // for what must be remembered
	Witness    durable.Folder // on another partition, for the word that a version is on trial; nil: none
	Bundles    string         // folder on the data partition, for bundles
	Metadata   Metadata
	Repository trust.Opener // at the start; nil: none; updates come as uploads
	Installer  Installer
	Probe      Probe
	Clock      Clock
	Sibling    Sibling                         // at the start; nil: the box is not one of a pair
	Reboot     func(ctx context.Context) error // asks for it; returns before it happens
	Policy     Policy
	Audit      func(Record) // nil: nobody is told
	// Changed is called when Status may have changed, from any goroutine; it
	// must not block. nil: nobody is told.
	Changed func()
	Log     *slog.Logger // nil: nothing is logged
}

// Updater is the machine. It may be used by several goroutines; Run is its own.
type Updater struct {
	// set at start, never changed
	cfg  Config
	log  *slog.Logger
	pace pace
	wake chan struct{} // capacity 1: something has changed

	checking sync.Mutex // metadata: one refresh at a time

	mu        sync.Mutex
	state     State
	trial     *Trial
	policy    Policy
	home      trust.Opener       // nil: none
	sibling   Sibling            // nil: none
	slots     []rauc.Slot        // as RAUC said last
	primary   string             // the slot to be started next, likewise
	decision  Decision           // the last one
	booted    rauc.Slot          // since boot is settled
	progress  Progress           // of what is under way
	interrupt context.CancelFunc // ends the download under way; nil: there is none
	busy      bool               // installing, activating: nothing else may touch the candidate
	trouble   map[string]string  // what is wrong now, by alarm
	refused   []trust.Refused    // releases that were refused at the last check
	media     Media              // the last look
	lookedAt  time.Time
	nextCheck time.Time // by the process's clock
	nextFetch time.Time // likewise: a download has failed, and is not tried before

	// owned by Run
	settled    bool      // boot has been dealt with
	bootNoted  bool      // and what it means is in the state
	markedGood bool      // in this boot
	wellSince  time.Time // since when all has been well; zero: it is not
	unwell     bool      // the look before this one was not well
	brokenFrom time.Time // since when every look of a trial has shown a fault of the box's; zero: the last did not
	doubted    bool      // one of them left a doubt, see Verdict
	afterSince time.Time // since when all that an inconclusive trial could not do has been well
	startedAt  time.Time // of Run, by the process's clock
	failing    int       // downloads in a row that failed and got no further
	fetchText  string    // why the last one did
	rebootAt   time.Time
	rebootFrom time.Time // since when the restart into a new version has been asked for; zero: it has not
	nextRenew  time.Time
	told       map[string]bool // marks that RAUC has set and that are not to be set again, see markOnce

	deniedFor sibling.Reason // why there was no lease, the last time

	uploading atomic.Bool // a file is brought
}

// Progress is how far a download or an installation is.
type Progress struct {
	What  string `json:"what,omitempty"` // download, install
	Done  int64  `json:"done,omitempty"` // bytes, or percent of an installation
	Total int64  `json:"total,omitempty"`
	Text  string `json:"text,omitempty"`
}

// New returns an Updater with what its folder remembers.
func New(cfg Config) (*Updater, error) {
	missing := ""
	switch {
	case cfg.Serial == "":
		missing = "Serial"
	case cfg.Board == "":
		missing = "Board"
	case cfg.Version.IsZero():
		missing = "Version"
	case cfg.BootID == "":
		missing = "BootID"
	case cfg.Folder == nil:
		missing = "Folder"
	case cfg.Bundles == "":
		missing = "Bundles"
	case cfg.Metadata == nil:
		missing = "Metadata"
	case cfg.Installer == nil:
		missing = "Installer"
	case cfg.Probe == nil:
		missing = "Probe"
	case cfg.Clock == nil:
		missing = "Clock"
	case cfg.Reboot == nil:
		missing = "Reboot"
	}
	if missing != "" {
		return nil, fmt.Errorf("updater: Config.%s is missing", missing)
	}
	if err := cfg.Policy.Check(); err != nil {
		return nil, fmt.Errorf("updater: %w", err)
	}
	if cfg.Compatible == "" {
		cfg.Compatible = "quartet-" + cfg.Board
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	u := &Updater{cfg: cfg, log: cfg.Log, wake: make(chan struct{}, 1), trouble: map[string]string{}, told: map[string]bool{}, policy: cfg.Policy.withDefaults(),
		home: cfg.Repository, sibling: cfg.Sibling}
	u.pace.policy = u.policy
	s, problem, err := loadState(cfg.Folder)
	if err != nil {
		return nil, err
	}
	if problem != nil {
		u.log.Error("what the updater remembered is damaged and was put aside", "error", problem)
		s.History = append(s.History, Entry{Time: cfg.Clock.Now(), Event: "damaged", Text: problem.Error()})
	}
	u.state = s.clone()
	t, problem, err := loadTrial(cfg.Folder)
	if err != nil {
		return nil, err
	}
	if problem != nil {
		u.log.Error("the file of the trial is damaged and was put aside", "error", problem)
		u.state.History = append(u.state.History, Entry{Time: cfg.Clock.Now(), Event: "damaged", Text: problem.Error()})
	}
	u.trial = t
	if t == nil && len(s.History) > 0 {
		// Left from a cut of the power. A folder that remembers nothing may be
		// memory in place of the partition, and then the note is all there is.
		u.witness(nil)
	}
	return u, nil
}

// SetPolicy changes when updates happen; an installation that has begun goes on.
func (u *Updater) SetPolicy(p Policy) error {
	if err := p.Check(); err != nil {
		return err
	}
	u.mu.Lock()
	u.policy = p.withDefaults()
	u.pace.mu.Lock()
	u.pace.policy = u.policy
	u.pace.mu.Unlock()
	u.mu.Unlock()
	u.kick()
	return nil
}

// SetRepository has the updater ask another repository from now on; nil: none.
// It is asked at once. A download from the one before ends, and goes on from
// where it is if the new one has the same bundle.
func (u *Updater) SetRepository(r trust.Opener) {
	u.mu.Lock()
	u.home, u.nextCheck, u.nextFetch = r, time.Time{}, time.Time{}
	u.stopDownload()
	u.mu.Unlock()
	u.kick()
}

// repository is whom to ask now; nil: nobody.
func (u *Updater) repository() trust.Opener {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.home
}

// SetSibling pairs the box with another one; nil: with none. A lease of the one
// before ends by itself.
func (u *Updater) SetSibling(s Sibling) {
	u.mu.Lock()
	first := u.sibling == nil && s != nil
	u.sibling = s
	waits := !u.state.LeaseWanted.IsZero()
	u.mu.Unlock()
	// A process that starts is told of the sibling that it had: what has waited for
	// that for days goes on waiting.
	if waits && !first {
		_ = u.change(func(s *State) { s.LeaseWanted, s.LeaseDenied = time.Time{}, "" })
	}
	u.kick()
}

// pair is the sibling now; nil: there is none.
func (u *Updater) pair() Sibling {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.sibling
}

// ask asks RAUC how things are, and keeps what it says of the slots.
func (u *Updater) ask(ctx context.Context) (rauc.Status, error) {
	st, err := u.cfg.Installer.Status(ctx)
	if err == nil && st.Slots != nil {
		u.mu.Lock()
		u.slots, u.primary = st.Slots, st.Primary
		u.mu.Unlock()
	}
	return st, err
}

// mark has RAUC mark a slot, and looks at what came of it.
func (u *Updater) mark(ctx context.Context, m rauc.Mark, slot string) error {
	if err := u.cfg.Installer.Mark(ctx, m, slot); err != nil {
		return err
	}
	_, _ = u.ask(ctx) // for those who look; what matters asks anew
	return nil
}

// markOnce is mark for what is done again when something after it failed: each mark
// is a write of the boot loader's environment, and a disk that is full for a night
// must not wear that out. why names the occasion.
func (u *Updater) markOnce(ctx context.Context, why string, m rauc.Mark, slot string) error {
	key := told(why, m, slot)
	if u.told[key] {
		return nil
	}
	err := u.mark(ctx, m, slot)
	u.told[key] = err == nil
	return err
}

// thisBoot is markOnce's occasion of an ordinary start.
const thisBoot = "boot"

func told(why string, m rauc.Mark, slot string) string { return why + " " + string(m) + " " + slot }

// Busy tells whether the box is about to restart for an update, or on trial:
// then it must not let its sibling restart. For sibling.Config.Busy.
func (u *Updater) Busy() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.busy || u.trial != nil
}

// kick has Run look again.
func (u *Updater) kick() {
	select {
	case u.wake <- struct{}{}:
	default:
	}
	if u.cfg.Changed != nil {
		u.cfg.Changed()
	}
}

// change makes a new state the present one, on the disk first.
func (u *Updater) change(f func(s *State)) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.changeLocked(f)
}

func (u *Updater) changeLocked(f func(s *State)) error {
	s := u.state.clone()
	f(&s)
	s.trim()
	if was, is := u.state.Candidate, s.Candidate; was != nil && (is == nil || is.Release.SHA256 != was.Release.SHA256) {
		delete(u.trouble, alarmFetch) // they were its
		delete(u.trouble, alarmInstall)
	}
	err := saveState(u.cfg.Folder, s)
	u.setTroubleLocked(alarmDisk, err)
	if err != nil {
		return err
	}
	u.state = s
	if u.cfg.Changed != nil {
		u.cfg.Changed()
	}
	return nil
}

// note adds a line to a state's history. The same line twice in a row is one.
func (u *Updater) note(s *State, e Entry) {
	e.Time = u.cfg.Clock.Now()
	if n := len(s.History); n > 0 {
		last := s.History[n-1]
		last.Time = e.Time
		if last == e && e.Actor == "" {
			return
		}
	}
	s.History = append(s.History, e)
	u.log.Info("update", "event", e.Event, "from", e.From, "to", e.To, "actor", e.Actor, "text", e.Text)
}

func (u *Updater) setTrouble(alarm string, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.setTroubleLocked(alarm, err)
}

func (u *Updater) setTroubleLocked(alarm string, err error) {
	if err == nil {
		delete(u.trouble, alarm)
		return
	}
	if u.trouble[alarm] != err.Error() {
		u.log.Warn("updater", "alarm", alarm, "error", err)
	}
	u.trouble[alarm] = err.Error()
}
