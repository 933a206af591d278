package network

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// TrialTime is how long a change waits to be confirmed.
const TrialTime = 120 * time.Second

const (
	turn       = time.Second      // how often Run looks at the clock
	reloadTime = 10 * time.Second // what networkd may take
	retryAfter = 5 * time.Second  // between attempts to make the system as it should be
	minToken   = 16
	maxToken   = 128
)

// KeeperConfig is what a Keeper is made of.
type KeeperConfig struct {
	Store    *Store
	System   System
	Hostname string               // of a box whose settings name none
	Boot     string               // tells this start of the machine from others
	Now      func() time.Duration // since that start
	Wall     func() time.Time     // nil: time.Now
	Log      *slog.Logger         // nil: nothing is logged
}

// Keeper keeps the system as the settings say, and settings under trial no
// longer than TrialTime unless they are confirmed.
//
// What the store says holds: every step is written first, then done, and a
// Keeper that starts makes the system as it finds the store. So it may be
// killed at any point. A trial belongs to one start of the machine: after a
// reboot or a power cut the confirmed settings hold again at once, from the
// first packet on, because whoever locked himself out pulls the plug.
type Keeper struct {
	// set at start, never changed
	cfg   KeeperConfig
	turns atomic.Uint64

	mu      sync.Mutex // one change at a time; held while networkd reloads
	current *Settings
	trial   *trial // nil: none
	unsaved bool   // the end of a trial is not on disk yet
	askew   bool   // the system is not yet as it should be
	tried   time.Duration
	problem string // in words, for the page
}

// NewKeeper returns a Keeper; Start, then Run.
func NewKeeper(cfg KeeperConfig) *Keeper {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Wall == nil {
		cfg.Wall = time.Now
	}
	return &Keeper{cfg: cfg, current: Default()}
}

// Start reads the store and makes the system as it says. Its error means that
// this did not work yet; Run goes on trying.
func (k *Keeper) Start(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var problem error
	k.current, problem = k.cfg.Store.settings()
	t, err := k.cfg.Store.trial()
	problem = errors.Join(problem, err)
	if problem != nil {
		k.problem = problem.Error()
		k.cfg.Log.Error("settings", "err", problem)
	}
	switch {
	case err != nil:
		k.unsaved = true
	case t == nil:
	case slices.Equal(Encode(t.settings), Encode(k.current)):
		k.unsaved = true // confirmed, and ended before the trial was removed
	case t.Boot != k.cfg.Boot:
		k.cfg.Log.Warn("the machine was restarted before a change was confirmed: the settings before it hold again", "changed", t.Changed)
		k.unsaved = true
	case k.cfg.Now() >= t.Deadline:
		k.cfg.Log.Warn("a change was not confirmed in time: the settings before it hold again", "changed", t.Changed)
		k.unsaved = true
	default:
		k.trial = t
	}
	return errors.Join(k.forget(), k.converge(ctx))
}

// Run takes back what is not confirmed in time, until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	t := time.NewTicker(turn)
	defer t.Stop()
	for {
		k.Tick(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// Turns counts Run's turns: what the watchdog goes by.
func (k *Keeper) Turns() uint64 { return k.turns.Load() }

// Tick does what is due. Run calls it every second.
func (k *Keeper) Tick(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.cfg.Now()
	if k.trial != nil && now >= k.trial.Deadline {
		k.cfg.Log.Warn("a change was not confirmed in time: the settings before it hold again", "changed", k.trial.Changed)
		if err := k.back(ctx); err != nil {
			k.cfg.Log.Error("taking a change back", "err", err)
		}
	} else if (k.askew || k.unsaved) && now >= k.tried+retryAfter {
		if err := errors.Join(k.forget(), k.converge(ctx)); err != nil {
			k.cfg.Log.Error("applying settings; trying again", "err", err)
		}
	}
	k.turns.Add(1)
}

// wanted are the settings that hold now.
func (k *Keeper) wanted() *Settings {
	if k.trial != nil {
		return k.trial.settings
	}
	return k.current
}

// forget removes an ended trial from the disk. If that fails (a full or broken
// disk) the box goes on: after a reboot the trial does not count anyhow, and
// after a restart of this process its deadline takes it back again.
func (k *Keeper) forget() error {
	if !k.unsaved {
		return nil
	}
	k.tried = k.cfg.Now()
	if err := k.cfg.Store.end(); err != nil {
		k.problem = err.Error()
		return err
	}
	k.unsaved = false
	return nil
}

// converge makes the system as it should be.
func (k *Keeper) converge(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reloadTime)
	defer cancel()
	s := k.wanted()
	k.askew, k.tried = true, k.cfg.Now()
	err := k.cfg.System.Install(Render(s, k.cfg.Hostname))
	if err == nil {
		err = k.cfg.System.Reload(ctx, s.vlanNames())
	}
	if err != nil {
		k.problem = "the settings could not be applied: " + err.Error()
		return fmt.Errorf("network: apply the settings: %w", err)
	}
	if k.askew = false; strings.HasPrefix(k.problem, "the settings could not be applied") {
		k.problem = ""
	}
	return nil
}

// vlanNames are the VLANs there should be.
func (s *Settings) vlanNames() (names []string) {
	for n := range s.Interfaces {
		if _, _, ok := vlanOf(s.Interfaces[n].Name); ok {
			names = append(names, s.Interfaces[n].Name)
		}
	}
	return names
}

// Pending is a change under trial.
type Pending struct {
	Token    string    `json:"token,omitempty"` // confirms it; shown to the one who made the change only
	Deadline time.Time `json:"deadline"`
	// Remaining counts down without the wall clock.
	Remaining float64  `json:"remaining_s"`
	Changed   []string `json:"changed"`   // interfaces; "*": all without an entry
	Addresses []string `json:"addresses"` // that the box has for certain under the new settings
	Hostname  string   `json:"hostname"`
	// Moved says that the interface changes over which the request came: the
	// confirmation must come over a changed one.
	Moved    bool     `json:"moved"`
	Warnings []string `json:"warnings,omitempty"`
}

func (k *Keeper) pending() *Pending {
	t := k.trial
	if t == nil {
		return nil
	}
	left := max(t.Deadline-k.cfg.Now(), 0)
	p := &Pending{Deadline: k.cfg.Wall().Add(left).Round(time.Second), Remaining: left.Round(100 * time.Millisecond).Seconds(), Changed: t.Changed, Moved: t.Moved, Addresses: []string{}}
	if p.Hostname = t.settings.Hostname; p.Hostname == "" {
		p.Hostname = k.cfg.Hostname
	}
	for _, a := range t.settings.addresses() {
		p.Addresses = append(p.Addresses, a.String())
	}
	if p.Changed == nil {
		p.Changed = []string{}
	}
	return p
}

// Current is what Get returns.
type Current struct {
	Settings *Settings `json:"settings"` // the confirmed ones
	Hostname string    `json:"hostname"` // theirs, or the box's own
	Trial    *Settings `json:"trial,omitempty"`
	Pending  *Pending  `json:"pending,omitempty"` // without its token
}

// Get returns the confirmed settings and the change under trial.
func (k *Keeper) Get() Current {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := Current{Settings: k.current, Hostname: k.current.Hostname, Pending: k.pending()}
	if c.Hostname == "" {
		c.Hostname = k.cfg.Hostname
	}
	if k.trial != nil {
		c.Trial = k.trial.settings
	}
	return c
}

// Problem says in words what is wrong with the settings, "" if nothing is.
func (k *Keeper) Problem() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.problem
}

// Apply puts settings under trial: they hold at once, or answerFirst later if they
// change the interface over which the request came, and are taken back after
// TrialTime unless Confirm comes. token is what Confirm will have to show, 16
// to 128 characters; empty: one is made. via is the box's own address at which
// the request came; the zero Addr or a loopback address: not over a network.
// Settings equal to the confirmed ones change nothing and return nil.
func (k *Keeper) Apply(ctx context.Context, s *Settings, token string, via netip.Addr) (*Pending, error) {
	warnings, err := s.Validate()
	if err != nil {
		return nil, err
	}
	if token == "" {
		token = rand.Text()
	}
	if len(token) < minToken || len(token) > maxToken {
		return nil, &Error{Code: CodeBad, Text: fmt.Sprintf("the token has %d characters; make one of %d to %d at random", len(token), minToken, maxToken)}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.trial != nil {
		return nil, &Error{Code: CodePending, Text: "another change waits to be confirmed; confirm it or take it back first"}
	}
	if slices.Equal(Encode(s), Encode(k.current)) {
		return nil, nil
	}
	t := &trial{
		Token: token, Boot: k.cfg.Boot, Deadline: k.cfg.Now() + TrialTime, settings: s,
		Changed: changed(Render(k.current, k.cfg.Hostname), Render(s, k.cfg.Hostname)),
	}
	if via = via.Unmap().WithZone(""); via.IsValid() && !via.IsLoopback() {
		t.Via = via
		have, err := k.cfg.System.Addresses()
		if err != nil {
			return nil, fmt.Errorf("network: list the addresses: %w", err)
		}
		t.Moved = t.touches(have[via], k.current, s)
	}
	if err := k.cfg.Store.begin(t); err != nil {
		return nil, errors.Join(err, k.cfg.Store.end())
	}
	k.trial = t
	k.cfg.Log.Info("settings under trial", "changed", t.Changed, "for", TrialTime.String())
	if t.Moved {
		k.soon()
	} else if err := k.converge(ctx); err != nil {
		return nil, errors.Join(err, k.back(context.WithoutCancel(ctx)))
	}
	p := k.pending()
	p.Token = token
	for _, w := range warnings {
		p.Warnings = append(p.Warnings, w.String())
	}
	return p, nil
}

// touches tells whether an interface is among the changed ones; one without an
// entry is when all of those are, or when it gets or loses its entry, which
// is a file of its own that changes.
func (t *trial) touches(name string, settings ...*Settings) bool {
	if slices.Contains(t.Changed, name) {
		return true
	}
	for _, s := range settings {
		if slices.ContainsFunc(s.Interfaces, func(i Interface) bool { return i.Name == name }) {
			return false
		}
	}
	return slices.Contains(t.Changed, "*")
}

// Confirm ends the trial: its settings hold for good. via is the box's own
// address at which the confirmation came, as for Apply. If the trial changes
// the interface over which the change was asked for, the confirmation must have
// come over a changed interface, at an address that it has now: that is what
// proves that the box can still be reached.
func (k *Keeper) Confirm(_ context.Context, token string, via netip.Addr) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.trial
	switch {
	case t == nil:
		return &Error{Code: CodeNoTrial, Text: "no change waits to be confirmed; it may have been taken back already"}
	case subtle.ConstantTimeCompare([]byte(token), []byte(t.Token)) != 1:
		return &Error{Code: CodeToken, Text: "this is not the token of the change under trial"}
	case k.cfg.Now() >= t.Deadline:
		return &Error{Code: CodeNoTrial, Text: "the time to confirm is over; the change is being taken back"}
	}
	if err := k.proves(t, via.Unmap().WithZone("")); err != nil {
		return err
	}
	if err := k.cfg.Store.save(t.settings); err != nil {
		// It may be in its place for all that: what is not confirmed must not
		// come back at the next start.
		return errors.Join(err, k.cfg.Store.save(k.current))
	}
	k.current, k.trial, k.unsaved = t.settings, nil, true
	k.cfg.Log.Info("settings confirmed", "changed", t.Changed)
	_ = k.forget() // Tick tries again; a trial that equals the settings counts as ended
	return nil
}

// proves tells whether a confirmation that came to via shows that the box can
// still be reached.
func (k *Keeper) proves(t *trial, via netip.Addr) error {
	if !t.Via.IsValid() {
		return nil // asked for on the box itself: there is nothing to be locked out of
	}
	if t.Moved && k.askew {
		return &Error{Code: CodeWay, Text: "the change is not in force yet; confirm it over the box's new address"}
	}
	if !via.IsValid() || via.IsLoopback() {
		return &Error{Code: CodeWay, Text: "the confirmation did not come over the network; open the page at the box's new address and confirm there"}
	}
	have, err := k.cfg.System.Addresses()
	if err != nil {
		return fmt.Errorf("network: list the addresses: %w", err)
	}
	name, ok := have[via]
	switch {
	case !ok:
		return &Error{Code: CodeWay, Text: fmt.Sprintf("the confirmation came to %s, which is no address of the box any more; open the page at the new address and confirm there", via)}
	case t.Moved && !t.touches(name, k.current, t.settings):
		return &Error{Code: CodeWay, Text: fmt.Sprintf("the confirmation came over %s, which the change does not touch; confirm over one that it does: %s", name, strings.Join(t.Changed, ", "))}
	}
	return nil
}

// Revert takes the change under trial back at once.
func (k *Keeper) Revert(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.trial == nil {
		return &Error{Code: CodeNoTrial, Text: "no change waits to be confirmed"}
	}
	k.cfg.Log.Info("change taken back", "changed", k.trial.Changed)
	return k.back(ctx)
}

// answerFirst lets an answer go out over an address that what was asked for may
// take away: without the answer there is no token, and nobody could confirm.
const answerFirst = 2 * time.Second

// soon has Tick make the system as it should be, after answerFirst.
func (k *Keeper) soon() { k.askew, k.tried = true, k.cfg.Now()-retryAfter+answerFirst }

// Reset brings back the settings of a new box: every port by DHCP. They come
// into force two seconds later, so that who asked gets the answer.
func (k *Keeper) Reset() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.cfg.Store.reset(); err != nil {
		return err
	}
	k.current, k.trial, k.unsaved, k.problem = Default(), nil, false, ""
	k.soon()
	return nil
}

// back ends the trial without keeping it.
func (k *Keeper) back(ctx context.Context) error {
	k.trial, k.unsaved = nil, true
	return errors.Join(k.forget(), k.converge(ctx))
}
