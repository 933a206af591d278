package raucfake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"quartet/updater/rauc"
)

// How often a slot may be booted without a word, as system.conf has it:
// boot-attempts and boot-attempts-primary.
const attempts, attemptsPrimary = 3, 2

// Slot is what lies in one slot.
type Slot struct {
	Version string
	Whole   bool // written to its end
}

// Box is the machine. Its fields may be set before it is used.
type Box struct {
	Compatible string
	// Release is the RAUC it plays: 108 for 1.8, 113, 115.
	Release int
	// ActivateInstalled is RAUC's activate-installed: an installation also
	// makes the new slot the next to boot.
	ActivateInstalled bool
	// Step is called before each thing that RAUC does to the disk or the boot
	// loader, with what it is; its error is a power cut there. nil: none.
	Step func(what string) error
	// Fail has the next installation fail with these words.
	Fail string

	mu        sync.Mutex
	slots     map[string]*Slot // by boot name, A and B
	order     []string
	left      map[string]int
	booted    string
	operation string
	lastError string
	progress  rauc.Progress
	listeners []func(rauc.Progress)
	installs  int
	marks     []string
	dead      error
}

// New returns a box that runs a version in slot A, with nothing in B.
func New(compatible, version string) *Box {
	return &Box{
		Compatible: compatible, Release: 115, slots: map[string]*Slot{"A": {Version: version, Whole: true}, "B": {}},
		order: []string{"A", "B"}, left: map[string]int{"A": attempts, "B": 0}, booted: "A", operation: "idle",
	}
}

// PowerOn is U-Boot's script: the first slot of the order that may be tried is
// tried. Where none may, the counters are set anew, once, and a slot that is not
// in the order comes last. It returns the boot name; whole tells whether what lies
// there is a system at all.
func (b *Box) PowerOn() (slot string, whole bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.operation, b.lastError = "idle", ""
	for range 2 {
		for _, s := range b.order {
			if b.left[s] > 0 {
				b.left[s]--
				b.booted = s
				return s, b.slots[s].Whole
			}
		}
		for _, s := range []string{"A", "B"} {
			if !slices.Contains(b.order, s) {
				b.order = append(b.order, s)
			}
		}
		b.left["A"], b.left["B"] = attempts, attempts
	}
	return "", false
}

// SetDead has RAUC answer nothing but an error; nil: it is back.
func (b *Box) SetDead(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dead = err
}

// Slot returns what lies in a slot, by its boot name.
func (b *Box) Slot(name string) Slot {
	b.mu.Lock()
	defer b.mu.Unlock()
	return *b.slots[name]
}

// Left returns how often a slot may still be tried.
func (b *Box) Left(name string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.left[name]
}

// SetLeft sets how often a slot may still be tried.
func (b *Box) SetLeft(name string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left[name] = n
}

// BootedSlot returns the boot name of the slot that runs.
func (b *Box) BootedSlot() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.booted
}

// Running returns the version that runs.
func (b *Box) Running() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.slots[b.booted].Version
}

// Installs returns how many installations have come to their end.
func (b *Box) Installs() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.installs
}

// Marks returns what was marked, in order: "good rootfs.0".
func (b *Box) Marks() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.marks)
}

// Bootable tells whether at least one slot holds a whole system that the boot
// loader would come to.
func (b *Box) Bootable() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.order {
		if b.slots[s].Whole && b.left[s] > 0 {
			return true
		}
	}
	return false
}

func (b *Box) step(what string) error {
	if b.Step == nil {
		return nil
	}
	return b.Step(what)
}

var errBusy = errors.New("already processing a different method")

// slotName is RAUC's name of a slot.
func slotName(boot string) string { return "rootfs." + string('0'+boot[0]-'A') }

func other(boot string) string {
	if boot == "A" {
		return "B"
	}
	return "A"
}

// mark is RAUC's Mark.
func (b *Box) mark(state, identifier string) (slot string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead != nil {
		return "", b.dead
	}
	if b.operation != "idle" {
		return "", errBusy
	}
	return b.markLocked(state, identifier)
}

func (b *Box) markLocked(state, identifier string) (string, error) {
	boot := ""
	switch identifier {
	case "booted":
		boot = b.booted
	case "other":
		boot = other(b.booted)
	case "rootfs.0":
		boot = "A"
	case "rootfs.1":
		boot = "B"
	default:
		return "", fmt.Errorf("No slot with class %s and name %s found", strings.Split(identifier, ".")[0], identifier) //nolint:staticcheck // ST1005: RAUC's own words
	}
	if err := b.step("mark " + state + " " + boot); err != nil {
		return "", err
	}
	b.marks = append(b.marks, state+" "+slotName(boot))
	without := slices.DeleteFunc(slices.Clone(b.order), func(s string) bool { return s == boot })
	switch state {
	case "good":
		b.left[boot] = attempts // RAUC does not put it back into the order
	case "bad":
		b.left[boot] = 0
		b.order = without
	case "active":
		b.left[boot] = attemptsPrimary
		b.order = append([]string{boot}, without...)
	default:
		return "", fmt.Errorf("unknown subcommand %s", state)
	}
	return slotName(boot), nil
}

func (b *Box) primary() string {
	for _, s := range b.order {
		if b.left[s] > 0 {
			return slotName(s)
		}
	}
	return ""
}

// tell sets the progress and lets everybody know.
func (b *Box) tell(percent int, text string) {
	b.mu.Lock()
	b.progress = rauc.Progress{Percent: percent, Text: text}
	l := slices.Clone(b.listeners)
	b.mu.Unlock()
	for _, f := range l {
		f(rauc.Progress{Percent: percent, Text: text})
	}
}

// begin is the part of InstallBundle that is answered at once.
func (b *Box) begin(hash string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.operation != "idle" {
		return errors.New("Already processing a different method") //nolint:staticcheck // ST1005: RAUC's own words
	}
	if hash != "" && b.Release < 115 {
		return errors.New("Unsupported key: require-manifest-hash") //nolint:staticcheck // ST1005: RAUC's own words
	}
	b.operation, b.lastError = "installing", ""
	return nil
}

// install is the part that takes its time.
func (b *Box) install(ctx context.Context, path, hash string) (err error) {
	defer func() {
		b.mu.Lock()
		b.operation = "idle"
		if err != nil {
			b.lastError = err.Error()
		} else {
			b.installs++
		}
		b.mu.Unlock()
	}()
	b.tell(0, "Installing")
	m, err := check(path)
	if err != nil {
		return err
	}
	if hash != "" && hash != m.Hash {
		return fmt.Errorf("Refusing to install bundle with unexpected hash (expected %s, got %s)", hash, m.Hash) //nolint:staticcheck // ST1005: RAUC's own words
	}
	if m.Compatible != b.Compatible {
		return fmt.Errorf("Compatible mismatch: Expected '%s' but bundle manifest has '%s'", b.Compatible, m.Compatible) //nolint:staticcheck // ST1005: RAUC's own words
	}
	b.tell(20, "Checking bundle done.")
	b.mu.Lock()
	fail := b.Fail
	b.Fail = ""
	target := other(b.booted)
	if _, err := b.markLocked("bad", slotName(target)); err != nil {
		b.mu.Unlock()
		return err
	}
	*b.slots[target] = Slot{}
	b.mu.Unlock()
	for p := 30; p < 100; p += 30 {
		if err := b.step(fmt.Sprintf("write %d", p)); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		b.tell(p, "Copying image to "+slotName(target))
	}
	if fail != "" {
		return errors.New(fail)
	}
	if err := b.step("write whole"); err != nil {
		return err
	}
	b.mu.Lock()
	*b.slots[target] = Slot{Version: m.Version, Whole: true}
	if b.ActivateInstalled {
		_, err = b.markLocked("active", slotName(target))
	}
	b.mu.Unlock()
	if err == nil {
		b.tell(100, "Installing done.")
	}
	return err
}

// Status implements what package updater wants of RAUC.
func (b *Box) Status(context.Context) (rauc.Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead != nil {
		return rauc.Status{}, b.dead
	}
	s := rauc.Status{Compatible: b.Compatible, BootSlot: b.booted, Operation: b.operation, LastError: b.lastError}
	if b.operation != "idle" {
		return s, nil
	}
	s.Primary = b.primary()
	for _, boot := range []string{"A", "B"} {
		sl := rauc.Slot{Name: slotName(boot), Class: "rootfs", BootName: boot, State: "inactive", BootStatus: "bad", Version: b.slots[boot].Version}
		if boot == b.booted {
			sl.State = "booted"
		}
		if b.left[boot] > 0 {
			sl.BootStatus = "good"
		}
		s.Slots = append(s.Slots, sl)
	}
	return s, nil
}

// Inspect implements what package updater wants of RAUC.
func (b *Box) Inspect(_ context.Context, path string) (rauc.Bundle, error) {
	m, err := check(path)
	if err != nil {
		return rauc.Bundle{}, rauc.Explain(err.Error())
	}
	return rauc.Bundle{Compatible: m.Compatible, Version: m.Version, Format: m.Format, ManifestHash: m.Hash}, nil
}

// Install implements what package updater wants of RAUC.
func (b *Box) Install(ctx context.Context, path, hash string, progress func(rauc.Progress)) error {
	if b.Release < 115 {
		hash = ""
	}
	if err := b.begin(hash); err != nil {
		return rauc.Explain(err.Error())
	}
	if progress != nil {
		b.mu.Lock()
		b.listeners = []func(rauc.Progress){progress}
		b.mu.Unlock()
	}
	if err := b.install(ctx, path, hash); err != nil {
		return rauc.Explain(err.Error())
	}
	return nil
}

// Mark implements what package updater wants of RAUC.
func (b *Box) Mark(_ context.Context, m rauc.Mark, slot string) error {
	if _, err := b.mark(string(m), slot); err != nil {
		return rauc.Explain(err.Error())
	}
	return nil
}
