package network

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quartet/device/config"
)

// Settings to go from and to. The page of one and two is on eth0.
var (
	one   = Default()
	two   = settings(`{"version": 1, "interfaces": [{"name": "eth0", "ipv6": "off", "addresses": ["192.0.2.10/24"]}]}`)
	three = settings(`{"version": 1, "interfaces": [{"name": "eth1", "ipv6": "off", "addresses": ["198.51.100.3/24"]}]}`)
	vlan  = settings(`{"version": 1, "interfaces": [{"name": "eth0", "dhcp4": true, "vlans": [20]}, {"name": "eth0.20", "addresses": ["192.0.2.20/24"]}]}`)

	oldEth0 = netip.MustParseAddr("10.0.0.50")  // by DHCP
	newEth0 = netip.MustParseAddr("192.0.2.10") // of two
	oldEth1 = netip.MustParseAddr("10.0.1.50")
	newEth1 = netip.MustParseAddr("198.51.100.3")
)

func settings(doc string) *Settings {
	s, _, err := Parse([]byte(doc))
	if err != nil {
		panic(err)
	}
	return s
}

// bench is a Keeper on a fake machine, within a synctest bubble.
type bench struct {
	*Keeper
	t     *testing.T
	store *Store
	sys   *fakeSystem
	boot  string
	start time.Time
	stop  func()
}

func newBench(t *testing.T, f filesystem) *bench {
	b := &bench{t: t, store: &Store{fs: f}, sys: &fakeSystem{}, boot: "boot-1", start: time.Now(), stop: func() {}}
	b.run()
	return b
}

// run starts a Keeper, as a process does.
func (b *bench) run() {
	b.t.Helper()
	b.stop()
	b.Keeper = NewKeeper(KeeperConfig{Store: b.store, System: b.sys, Hostname: hostname, Boot: b.boot, Now: func() time.Duration { return time.Since(b.start) }})
	if err := b.Start(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = b.Run(ctx) }()
	b.stop = func() { cancel(); <-done; b.stop = func() {} }
}

// reboot is a power cut: what was in memory is gone.
func (b *bench) reboot() {
	b.stop()
	b.sys = &fakeSystem{}
	b.boot, b.start = b.boot+"'", time.Now()
	b.run()
}

func (b *bench) apply(s *Settings, via netip.Addr) *Pending {
	b.t.Helper()
	p, err := b.Apply(b.t.Context(), s, "", via)
	if err != nil || p == nil {
		b.t.Fatalf("Apply: %v, %v", p, err)
	}
	if p.Moved {
		time.Sleep(inForce)
	}
	return p
}

// inForce is when a change of the way that the request took is in force.
const inForce = answerFirst + turn

func (b *bench) must(s *Settings, what string) {
	b.t.Helper()
	if !b.sys.runs(s) {
		b.t.Fatalf("%s: the machine runs by\n%s", what, b.sys.text())
	}
}

func code(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func bubble(t *testing.T, f func(t *testing.T, b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, newDisk())
		defer func() { b.stop() }()
		f(t, b)
	})
}

func TestConfirmed(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.must(one, "new box")
		p := b.apply(two, oldEth0)
		b.must(two, "under trial")
		if !p.Moved || !slices.Equal(p.Changed, []string{"eth0"}) || !slices.Equal(p.Addresses, []string{"192.0.2.10"}) || p.Remaining != 120 || p.Hostname != hostname {
			t.Fatalf("%+v", p)
		}
		if c := b.Get(); c.Pending == nil || c.Pending.Token != "" || string(Encode(c.Trial)) != string(Encode(two)) || string(Encode(c.Settings)) != string(Encode(one)) {
			t.Fatalf("%+v: the token must not be shown to others", c.Pending)
		}
		time.Sleep(119*time.Second - inForce)
		b.must(two, "after 119 s")
		if err := b.Confirm(t.Context(), p.Token, newEth0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		b.must(two, "confirmed")
		if b.Get().Pending != nil {
			t.Fatal("still under trial")
		}
		b.run()
		b.must(two, "after a restart of the process")
		b.reboot()
		b.must(two, "after a reboot")
		// The same again changes nothing and needs no confirmation.
		if p, err := b.Apply(t.Context(), two, "", newEth0); p != nil || err != nil {
			t.Fatal(p, err)
		}
	})
}

// Who changes the address that he came over still gets the answer, and with it
// the token; nothing can be confirmed before it is in force.
func TestAnswerComesFirst(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		p, err := b.Apply(t.Context(), two, "", oldEth0)
		if err != nil || !p.Moved || p.Token == "" {
			t.Fatal(p, err)
		}
		b.must(one, "the answer is on its way")
		if err := b.Confirm(t.Context(), p.Token, oldEth0); code(err) != CodeWay {
			t.Fatal(err)
		}
		time.Sleep(answerFirst - time.Millisecond)
		b.must(one, "the answer is still on its way")
		time.Sleep(turn + time.Millisecond)
		b.must(two, "answered")
		if err := b.Confirm(t.Context(), p.Token, newEth0); err != nil {
			t.Fatal(err)
		}
		// networkd refuses it after the answer: it is said, and taken back in time.
		b.sys.refuse = errors.New("no")
		if _, err := b.Apply(t.Context(), three, "", newEth0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(inForce)
		if p := b.Problem(); !strings.Contains(p, "no") {
			t.Fatalf("the problem is %q", p)
		}
		b.sys.refuse = nil
		time.Sleep(TrialTime)
		b.must(two, "taken back")
		if b.Get().Pending != nil || b.Problem() != "" {
			t.Fatal(b.Get().Pending, b.Problem())
		}
	})
}

func TestTakenBackInTime(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		p := b.apply(two, oldEth0)
		time.Sleep(TrialTime + 1500*time.Millisecond)
		b.must(one, "not confirmed")
		if err := b.Confirm(t.Context(), p.Token, oldEth0); code(err) != CodeNoTrial {
			t.Fatal(err)
		}
		b.reboot()
		b.must(one, "after a reboot")
		b.apply(two, oldEth0)
		if err := b.Revert(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.must(one, "reverted")
		if err := b.Revert(t.Context()); code(err) != CodeNoTrial {
			t.Fatal(err)
		}
	})
}

// The deadline stays what it was over restarts of the process, and a reboot
// ends the trial at once.
func TestTrialOutlivesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		p := b.apply(two, oldEth0)
		time.Sleep(100*time.Second - inForce)
		b.run()
		b.must(two, "process restarted within the trial")
		if left := b.Get().Pending.Remaining; left != 20 {
			t.Fatalf("%v s left, want 20", left)
		}
		b.run()
		if err := b.Confirm(t.Context(), p.Token, newEth0); err != nil {
			t.Fatal("a restart forgot the token: ", err)
		}
		b.must(two, "confirmed after two restarts")

		b.apply(three, newEth0)
		b.reboot()
		b.must(two, "rebooted within the trial")
		if b.Get().Pending != nil {
			t.Fatal("the trial goes on after a reboot")
		}

		b.apply(three, newEth0)
		b.stop()
		time.Sleep(TrialTime + time.Second) // nobody there to take it back
		b.run()
		b.must(two, "the process was away at the deadline")
	})
}

// TestWay: a confirmation proves that the box can be reached, or does not count.
func TestWay(t *testing.T) {
	for _, c := range []struct {
		name      string
		to        *Settings
		from, via netip.Addr
		want      string
	}{
		{"over the new address", two, oldEth0, newEth0, ""},
		{"as an IPv4-mapped address", two, oldEth0, netip.AddrFrom16(newEth0.As16()), ""},
		{"over the old one, which is gone", two, oldEth0, oldEth0, CodeWay},
		{"over another port, which did not change", two, oldEth0, oldEth1, CodeWay},
		{"from the box itself", two, oldEth0, netip.MustParseAddr("127.0.0.1"), CodeWay},
		{"from nowhere", two, oldEth0, netip.Addr{}, CodeWay},
		{"asked for over a port that does not change, confirmed there", two, oldEth1, oldEth1, ""},
		{"asked for over a port that does not change, confirmed over the new address", two, oldEth1, newEth0, ""},
		{"asked for on the box itself", two, netip.Addr{}, netip.Addr{}, ""},
		{"asked for over the loopback", two, netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1"), ""},
		{"a port gets an entry", three, oldEth1, newEth1, ""},
		{"a port gets an entry, confirmed over another without", three, oldEth1, oldEth0, CodeWay},
		{"VLAN beside the port's own address", vlan, oldEth0, oldEth0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *bench) {
				p := b.apply(c.to, c.from)
				err := b.Confirm(t.Context(), p.Token, c.via)
				if code(err) != c.want || err != nil && c.want == "" {
					t.Fatalf("%v, want %q", err, c.want)
				}
				if err != nil {
					if b.Get().Pending == nil {
						t.Fatal("a refused confirmation ended the trial")
					}
					time.Sleep(TrialTime + 2*time.Second)
					b.must(one, "not confirmed")
				}
			})
		})
	}
}

func TestRefusals(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		var issues config.Issues
		if _, err := b.Apply(t.Context(), &Settings{Version: 1, Hostname: "A"}, "", oldEth0); !errors.As(err, &issues) {
			t.Fatal(err)
		}
		if _, err := b.Apply(t.Context(), two, "short", oldEth0); code(err) != CodeBad {
			t.Fatal(err)
		}
		b.must(one, "refused")
		p, err := b.Apply(t.Context(), two, strings.Repeat("t", 20), oldEth0)
		if err != nil || p.Token != strings.Repeat("t", 20) {
			t.Fatal(p, err)
		}
		if _, err := b.Apply(t.Context(), three, "", oldEth0); code(err) != CodePending {
			t.Fatal(err)
		}
		if err := b.Confirm(t.Context(), "", newEth0); code(err) != CodeToken {
			t.Fatal(err)
		}
		if err := b.Confirm(t.Context(), strings.Repeat("t", 19)+"u", newEth0); code(err) != CodeToken {
			t.Fatal(err)
		}
		time.Sleep(inForce)
		b.must(two, "still under trial")
	})
}

// TestF17TrialAndWallClock (fault F17): a wall clock that jumps ends no trial
// early and lets none live longer.
func TestF17TrialAndWallClock(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		wall := time.Date(2026, 11, 26, 18, 0, 0, 0, time.UTC)
		b.mu.Lock()
		b.cfg.Wall = func() time.Time { return wall }
		b.mu.Unlock()
		p := b.apply(two, oldEth0)
		if !p.Deadline.Equal(wall.Add(TrialTime)) {
			t.Fatal(p.Deadline)
		}
		for _, jump := range []time.Duration{365 * 24 * time.Hour, -time.Hour, -57 * 365 * 24 * time.Hour} {
			wall = wall.Add(jump)
			time.Sleep(30 * time.Second)
			b.must(two, "the clock jumped within the trial")
			if c := b.Get().Pending; !c.Deadline.Equal(wall.Add(time.Duration(c.Remaining * float64(time.Second)))) {
				t.Fatalf("%+v at %v", c, wall)
			}
		}
		time.Sleep(31 * time.Second)
		b.must(one, "not confirmed")
	})
}

// A networkd that refuses or hangs: the settings before hold again, and the
// error says so.
func TestNetworkdRefuses(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.sys.refuse = errors.New("no")
		if _, err := b.Apply(t.Context(), two, "", oldEth1); err == nil {
			t.Fatal("no error")
		}
		b.must(one, "refused by networkd")
		if b.Get().Pending != nil {
			t.Fatal("still under trial")
		}
		// Run would wait for Keeper's lock, and virtual time stands still while
		// anybody waits for one.
		b.stop()
		b.sys.hang = true
		began := time.Now()
		if _, err := b.Apply(t.Context(), two, "", oldEth1); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if d := time.Since(began); d > 2*reloadTime {
			t.Fatalf("Apply took %v", d)
		}
		if b.Problem() == "" {
			t.Fatal("nothing says that the settings are not in force")
		}
		b.sys.hang = false
		time.Sleep(retryAfter)
		b.Tick(t.Context())
		b.must(one, "tried again")
		if p := b.Problem(); p != "" {
			t.Fatal(p)
		}
	})
}

func TestReset(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		p := b.apply(two, oldEth0)
		if err := b.Confirm(t.Context(), p.Token, newEth0); err != nil {
			t.Fatal(err)
		}
		b.apply(three, newEth0)
		if err := b.Reset(); err != nil {
			t.Fatal(err)
		}
		if b.sys.runs(one) {
			t.Fatal("the answer would not reach the one who asked")
		}
		time.Sleep(4 * time.Second)
		b.must(one, "reset")
		if d := b.store.fs.(*disk); len(d.files) != 0 {
			t.Fatalf("left on the disk: %d files", len(d.files))
		}
		b.reboot()
		b.must(one, "after a reboot")
	})
}

// Settings that cannot be read: those before, else every port by DHCP; never a
// box that cannot be reached.
func TestDamagedSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		s := &Store{fs: d}
		for _, set := range []*Settings{three, two} {
			if err := s.save(set); err != nil {
				t.Fatal(err)
			}
		}
		d.files[fileSettings] = []byte("{torn")
		d.files[fileTrial] = []byte("{torn, too")
		b := newBench(t, d)
		defer func() { b.stop() }()
		b.must(three, "the settings before")
		if b.Problem() == "" {
			t.Fatal("nobody is told")
		}
		if _, ok := d.files[fileTrial]; ok {
			t.Fatal("the torn trial is still there")
		}
		if string(d.files[fileSettings+suffixBad]) != "{torn" {
			t.Fatal("the torn settings were not kept")
		}
		b.reboot()
		b.must(three, "the settings before, at the next start too")
		d.files[fileSettings+suffixBefore] = nil
		b.reboot()
		b.must(one, "nothing to go by")
	})
}

// TestF19NetworkPowerCut (fault F19) ends the process, or the power, at every
// write of the settings and every step of the machine, in every outcome that a
// journalling file system may leave. Afterwards, with or without two more
// minutes: the old settings or the new ones, whole; the new ones only if
// somebody confirmed them, and surely if that was answered.
func TestF19NetworkPowerCut(t *testing.T) {
	scripts := map[string]func(b *bench) (asked, answered bool){
		"confirm": func(b *bench) (bool, bool) {
			p, err := b.Apply(b.t.Context(), two, "", oldEth0)
			if err != nil {
				return false, false
			}
			time.Sleep(inForce)
			err = b.Confirm(b.t.Context(), p.Token, newEth0)
			return true, err == nil
		},
		"revert": func(b *bench) (bool, bool) {
			if _, err := b.Apply(b.t.Context(), two, "", oldEth0); err == nil {
				_ = b.Revert(b.t.Context())
			}
			return false, false
		},
		"wait": func(b *bench) (bool, bool) {
			if _, err := b.Apply(b.t.Context(), two, "", oldEth0); err == nil {
				time.Sleep(TrialTime + 2*time.Second)
			}
			return false, false
		},
	}
	for name, script := range scripts {
		cuts := 0
		for fuse, whole := 0, false; !whole; fuse++ {
			synctest.Test(t, func(t *testing.T) {
				d := newDisk()
				b := newBench(t, d)
				// Settings of before, so that the copy of the ones before is written, too.
				if p, err := b.Apply(t.Context(), three, "", netip.Addr{}); err != nil || b.Confirm(t.Context(), p.Token, netip.Addr{}) != nil {
					t.Fatal(err)
				}
				p, err := b.Apply(t.Context(), one, "", netip.Addr{})
				if err != nil || b.Confirm(t.Context(), p.Token, netip.Addr{}) != nil {
					t.Fatal(err)
				}
				b.mu.Lock() // Run is at work beside
				d.fuse, b.sys.burn = fuse, d.burn
				b.mu.Unlock()
				asked, answered := script(b)
				b.stop()
				whole = d.fuse >= 0
				d.fuse = 1 << 30

				check := func(what string, b *bench) {
					cuts++
					time.Sleep(TrialTime + 10*time.Second)
					isNew := b.sys.runs(two)
					switch {
					case !isNew && !b.sys.runs(one):
						t.Fatalf("%s, cut at step %d, %s: neither the old nor the new:\n%s", name, fuse, what, b.sys.text())
					case isNew && !asked:
						t.Fatalf("%s, cut at step %d, %s: the new settings, which nobody confirmed", name, fuse, what)
					case !isNew && answered:
						t.Fatalf("%s, cut at step %d, %s: confirmed settings are gone", name, fuse, what)
					}
					if b.Get().Pending != nil {
						t.Fatalf("%s, cut at step %d, %s: the trial never ends", name, fuse, what)
					}
					p := b.apply(three, netip.Addr{})
					if err := b.Confirm(t.Context(), p.Token, netip.Addr{}); err != nil {
						t.Fatal(err)
					}
					b.must(three, "a change afterwards")
					b.stop()
				}
				states := d.crashes()

				// The process killed: the machine goes on, the files are as it left them.
				b.sys.burn = nil
				killed := &bench{t: t, store: &Store{fs: &disk{files: d.files, durable: d.durable, fuse: 1 << 30}}, sys: b.sys, boot: b.boot, start: b.start, stop: func() {}}
				killed.run()
				check("process killed", killed)

				// The power cut: another start of the machine, from what was durable.
				for _, s := range states {
					off := &bench{t: t, store: &Store{fs: s}, sys: &fakeSystem{}, boot: "boot-2", start: time.Now(), stop: func() {}}
					off.run()
					if !asked && !off.sys.runs(one) {
						t.Fatalf("%s, cut at step %d: an unconfirmed change outlives the power", name, fuse)
					}
					check("power cut", off)
				}
			})
		}
		if t.Logf("%s: %d cuts", name, cuts); cuts < 20 {
			t.Errorf("%s: only %d cuts tried", name, cuts)
		}
	}
}

// The real files: what is there, what is left alone, what is removed.
func TestLinuxInstall(t *testing.T) {
	root := t.TempDir()
	l := &Linux{Root: root}
	foreign := filepath.Join(root, networkdDir, "10-somebody.network")
	if err := os.MkdirAll(filepath.Dir(foreign), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(foreign, []byte("[Match]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Settings{one, settings(full), vlan, one} {
		want := Render(s, hostname)
		before := map[string]time.Time{}
		if have, err := l.Installed(); err != nil {
			t.Fatal(err)
		} else {
			for _, f := range have {
				if st, err := os.Lstat(filepath.Join(root, f.Path)); err == nil && slices.Contains(want, f) {
					before[f.Path] = st.ModTime()
				}
			}
		}
		if err := l.Install(want); err != nil {
			t.Fatal(err)
		}
		have, err := l.Installed()
		if err != nil || !slices.Equal(have, want) {
			t.Fatalf("%v\n%s", err, rendered(have))
		}
		for p, was := range before {
			if st, err := os.Lstat(filepath.Join(root, p)); err != nil || st.ModTime() != was {
				t.Errorf("%s was written again", p)
			}
		}
		entries, _ := os.ReadDir(filepath.Join(root, networkdDir))
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), suffixNew) {
				t.Errorf("left behind: %s", e.Name())
			}
		}
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Fatal("somebody else's file is gone")
	}
}
