package updater

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"quartet/device/durable"
	"quartet/device/durable/powercut"
	"quartet/updater/rauc/raucfake"
	"quartet/updater/repository"
	"quartet/updater/trust"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a box with its updater, a repository at home, and a power switch. It
// lives in a synctest bubble: hours pass in milliseconds.
type rig struct {
	t         testing.TB
	home      *repository.Repository
	homeDir   string
	rauc      *raucfake.Box
	power     *power
	state     *powercut.Disk
	trusted   *powercut.Disk
	witness   *powercut.Disk
	bundles   string
	serial    string
	policy    Policy
	floor     string
	sibling   func() Sibling // nil: none
	source    trust.Opener   // nil: the repository's folder
	installer Installer      // nil: rauc

	mu        sync.Mutex
	media     func(version string) Media // how a version does
	crash     map[string]bool            // versions that die before their updater
	clockGood bool
	full      bool              // the disk, for the updater's own files
	stuck     error             // what a restart ends with; nil: the box restarts
	says      map[string]string // what a version says it is, where that is not what it is
	reboots   int
	audits    []Record

	isDown atomic.Bool // restarting
	back   time.Time   // until then

	boots   int
	u       *Updater
	cancel  context.CancelFunc
	done    chan error
	wanted  chan struct{} // a restart is wanted
	version string        // that runs
}

// allUp is a box that streams on two paths.
func allUp(string) Media {
	return Media{Answers: true, Expected: true, Input: true, Management: true, Paths: []Path{{"1a", true, true}, {"1b", true, true}}}
}

func newRig(t testing.TB, serial string, home *repository.Repository, homeDir string) *rig {
	t.Helper()
	r := &rig{
		t: t, home: home, homeDir: homeDir, rauc: raucfake.New("quartet-generic", "1.0.0"), power: &power{left: -1},
		state: powercut.New(), trusted: powercut.New(), witness: powercut.New(), bundles: t.TempDir(), serial: serial,
		media: allUp, crash: map[string]bool{}, clockGood: true,
		policy: Policy{Windows: []Window{{Days: [7]bool{true, true, true, true, true, true, true}, Start: 2 * 60, Length: 3 * time.Hour}}, Zone: time.UTC, RateIdle: -1, RateStreaming: -1},
	}
	r.rauc.Step = r.power.step
	return r
}

// newHome makes a repository with one root key, for speed.
func newHome(t testing.TB) (*repository.Repository, string) {
	t.Helper()
	dir := t.TempDir()
	h, err := repository.Init(dir, "", repository.InitOptions{RootKeys: 1}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return h, dir
}

func rigged(t testing.TB) *rig {
	t.Helper()
	h, dir := newHome(t)
	return newRig(t, "Q4-0001", h, dir)
}

func bundle(t testing.TB, board, version string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "b.raucb")
	if err := os.WriteFile(name, raucfake.Bundle("quartet-"+board, version, []byte(strings.Repeat(version, 1000))), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// publish adds a version for all boxes.
func (r *rig) publish(version string, c trust.Custom) {
	r.t.Helper()
	if _, err := r.home.Add(bundle(r.t, "generic", version), c); err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.home.Promote(version, "all", 0); err != nil {
		r.t.Fatal(err)
	}
}

// Clock of the box.
func (r *rig) Now() time.Time { return time.Now() }

func (r *rig) Synchronised() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clockGood
}

// Media is the probe.
func (r *rig) Media(context.Context) (Media, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.power.off() {
		return Media{}, errors.New("the power is gone")
	}
	return r.media(r.version), nil
}

func (r *rig) set(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// power cuts everything at once after a number of writes, whoever makes them.
type power struct {
	mu   sync.Mutex
	left int // below 0: it stays
	used int
}

func (p *power) off() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left == 0
}

// take counts one write down and tells whether it is cut short.
func (p *power) take() (dead, last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used++
	if p.left < 0 {
		return false, false
	}
	if p.left == 0 {
		return true, false
	}
	p.left--
	return false, p.left == 0
}

func (p *power) step(string) error {
	if dead, last := p.take(); dead || last {
		return powercut.ErrPower
	}
	return nil
}

// metered is a folder on that power.
type metered struct {
	*powercut.Disk
	p    *power
	full func() bool // nil: never
}

func (m metered) do(f func() error) error {
	dead, last := m.p.take()
	if dead {
		return powercut.ErrPower
	}
	if last {
		m.Fuse(0)
	}
	return f()
}

func (m metered) Write(name string, b []byte) error {
	if m.full != nil && m.full() {
		return syscall.ENOSPC
	}
	return m.do(func() error { return m.Disk.Write(name, b) })
}
func (m metered) Rename(a, b string) error {
	return m.do(func() error { return m.Disk.Rename(a, b) })
}
func (m metered) Remove(n string) error { return m.do(func() error { return m.Disk.Remove(n) }) }
func (m metered) Sync() error           { return m.do(m.Disk.Sync) }

var _ durable.Folder = metered{}

func (r *rig) isFull() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.full
}

// start starts the updater of the version that runs.
func (r *rig) start() {
	r.t.Helper()
	r.version = r.rauc.Running()
	anchor, err := os.ReadFile(filepath.Join(r.home.Public(), "metadata", "1.root.json"))
	if err != nil {
		r.t.Fatal(err)
	}
	meta, err := trust.NewClient(metered{r.trusted, r.power, nil}, anchor)
	if err != nil {
		r.t.Fatal(err)
	}
	v, err := trust.ParseVersion(cmp.Or(r.says[r.version], r.version))
	if err != nil {
		r.t.Fatal(err)
	}
	var floor trust.Version
	if err := floor.UnmarshalText([]byte(r.floor)); err != nil {
		r.t.Fatal(err)
	}
	r.wanted = make(chan struct{}, 1)
	wanted := r.wanted
	src := r.source
	if src == nil {
		src = trust.Folder(r.home.Public())
	}
	installer := r.installer
	if installer == nil {
		installer = r.rauc
	}
	cfg := Config{
		Serial: r.serial, Board: "generic", Version: v, Floor: floor, BootID: fmt.Sprint("boot-", r.boots),
		Folder: metered{r.state, r.power, r.isFull}, Witness: metered{r.witness, r.power, nil}, Bundles: r.bundles, Metadata: meta, Repository: src, Installer: installer, Probe: r, Clock: r,
		Reboot: func(context.Context) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.stuck != nil {
				return r.stuck
			}
			if !r.power.off() {
				select {
				case wanted <- struct{}{}:
				default:
				}
			}
			return nil
		},
		Policy: r.policy, Audit: func(a Record) { r.set(func() { r.audits = append(r.audits, a) }) },
	}
	if r.sibling != nil {
		cfg.Sibling = r.sibling()
	}
	if r.u, err = New(cfg); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.done = cancel, make(chan error, 1)
	u, done := r.u, r.done
	go func() { done <- u.Run(ctx) }()
}

// stop ends the updater's process.
func (r *rig) stop() {
	r.cancel()
	if err := <-r.done; err != nil {
		r.t.Error(err)
	}
}

// boot is the way from power on to an updater that runs. It fails the test
// when nothing boots.
func (r *rig) boot() {
	r.t.Helper()
	for range 10 {
		slot, whole := r.rauc.PowerOn()
		r.boots++
		r.reboots++
		time.Sleep(15 * time.Second)
		if slot == "" {
			r.t.Fatal("the boot loader finds no slot to boot")
		}
		if !whole || r.crash[r.rauc.Running()] {
			continue // it hangs, or dies; the watchdog restarts it
		}
		r.start()
		return
	}
	r.t.Fatal("nothing boots")
}

// cutAndBoot takes the power away and gives it back, with the disks in one of the
// states that they may be in.
func (r *rig) cutAndBoot(which int) {
	r.t.Helper()
	r.stop()
	r.state.Restore(which)
	r.trusted.Restore(which)
	r.witness.Restore(which)
	r.power.left = -1
	if !r.rauc.Bootable() {
		// Both counters used up is a case of its own; here it must not happen.
		r.t.Errorf("no slot with a whole system is left to boot")
	}
	r.boot()
}

// until lets time pass, with all the restarts that are wanted, until a
// condition holds.
func (r *rig) until(limit time.Duration, what string, ok func(Status) bool) Status {
	r.t.Helper()
	end := time.Now().Add(limit)
	for {
		synctest.Wait()
		st, err := r.u.Status(context.Background())
		if err != nil {
			r.t.Fatal(err)
		}
		if ok(st) || r.power.off() {
			return st
		}
		if time.Now().After(end) {
			r.t.Fatalf("after %v not %s: %+v\nhistory: %v", limit, what, st, r.events())
		}
		// Where nothing happens, time may go by faster.
		step := 30 * time.Second
		if st.Trial != nil || st.Progress != nil || len(r.wanted) > 0 {
			step = time.Second
		}
		select {
		case <-r.wanted:
			synctest.Wait()
			if st, err := r.u.Status(context.Background()); err == nil && ok(st) {
				r.wanted <- struct{}{} // for the next call
				return st
			}
			r.stop()
			r.boot()
		case <-time.After(min(step, max(time.Until(end), time.Second))):
		}
	}
}

// pass lets time pass.
func (r *rig) pass(d time.Duration) Status {
	r.t.Helper()
	end := time.Now().Add(d)
	return r.until(d+10*time.Minute, "over", func(Status) bool { return !time.Now().Before(end) })
}

// runs is a condition: a version runs, and nothing is on trial.
func runs(version string) func(Status) bool {
	return func(s Status) bool { return s.Version == version && s.Trial == nil && s.Phase == Idle }
}

// events are the history's words, oldest first.
func (r *rig) events() string {
	var l []string
	for _, e := range r.u.state.History {
		l = append(l, e.Event)
	}
	return strings.Join(l, " ")
}

func (r *rig) outcomes() (l []string) {
	for _, e := range r.u.state.History {
		switch Outcome(e.Event) {
		case Confirmed, Broken, FellBack, Inconclusive:
			l = append(l, e.Event+" "+e.To)
		case Undecided:
		}
	}
	return l
}

func alarm(s Status, code string) *Alarm {
	for i := range s.Alarms {
		if s.Alarms[i].Code == code {
			return &s.Alarms[i]
		}
	}
	return nil
}

// unreachable is a source that does not answer.
type unreachable struct{ trust.Folder }

func (unreachable) Get(context.Context, string, int64) ([]byte, error) {
	return nil, errors.New("no route to host")
}
