package main

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"quartet/device/identity"
	"quartet/device/network"
	"quartet/device/web"
)

// quietSystem is a machine below quartet-netd that only remembers.
type quietSystem struct {
	mu        sync.Mutex
	installed []network.File
	set       time.Time
	reboots   int
	kept      bool // a time server keeps the clock
}

func (s *quietSystem) do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *quietSystem) Installed() (list []network.File, err error) {
	s.do(func() { list = s.installed })
	return list, nil
}
func (s *quietSystem) Install(list []network.File) error {
	s.do(func() { s.installed = list })
	return nil
}
func (*quietSystem) Reload(context.Context, []string) error { return nil }
func (*quietSystem) Addresses() (map[netip.Addr]string, error) {
	return map[netip.Addr]string{netip.MustParseAddr("192.0.2.7"): "eth0"}, nil
}
func (s *quietSystem) State(context.Context) (st network.State, err error) {
	s.do(func() { st.Clock.Synchronised = s.kept })
	return st, nil
}
func (s *quietSystem) SetTime(t time.Time) error {
	s.do(func() { s.set = t })
	return nil
}
func (s *quietSystem) Reboot() error {
	s.do(func() { s.reboots++ })
	return nil
}

// helperAt is a quartet-netd that serves a socket until the test ends, or it is
// stopped.
func helperAt(t *testing.T, folder, socket string) (k *network.Keeper, s *quietSystem, stop func()) {
	t.Helper()
	s = &quietSystem{}
	store, err := network.OpenStore(folder)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	keeper := network.NewKeeper(network.KeeperConfig{Store: store, System: s, Hostname: "quartet-q7-0001", Boot: "one", Now: func() time.Duration { return time.Since(begun) }})
	ctx, cancel := context.WithCancel(context.Background())
	if err := keeper.Start(ctx); err != nil {
		t.Fatal(err)
	}
	server, err := network.Listen(network.ServerConfig{Socket: socket, Keeper: keeper, System: s, Allowed: func(network.Peer) error { return nil },
		Earliest: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, run := range []func(context.Context) error{keeper.Run, server.Run} {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	stop = func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(stop)
	return keeper, s, stop
}

// The adapter against a running quartet-netd: clock, restart, and the settings of a
// new box after a factory reset.
func TestNetd(t *testing.T) {
	b := start(t)
	keeper, s, _ := helperAt(t, filepath.Join(b.dir, "network"), b.o.netd)
	defer func() {
		if t.Failed() {
			t.Log(b.log.String())
		}
	}()

	b.do("POST", "/claim", `{"code": "`+b.code+`", "user": "anna", "password": "`+password+`"}`, 201, nil)
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	b.do("POST", "/time", `{"time": "`+at.Format(time.RFC3339)+`"}`, 204, nil)
	s.do(func() {
		if !s.set.Equal(at) {
			t.Errorf("set to %v, want %v", s.set, at)
		}
	})
	// It counts as right from now on, until the machine starts again.
	for boot, want := range map[string]bool{(&machine{}).Read().BootID: true, "another": false} {
		c, err := openTimeOfDay(b.o.data, boot)
		if err != nil || c.set != want {
			t.Errorf("boot %q: set %t, %v", boot, c.set, err)
		}
	}
	s.do(func() { s.kept = true })
	var p web.Problem
	b.do("POST", "/time", `{"time": "`+at.Format(time.RFC3339)+`"}`, 409, &p)
	if !strings.Contains(p.Detail, "time server") {
		t.Errorf("%+v", p)
	}
	b.do("POST", "/time", `{"time": "`+at.Format(time.RFC3339)+`", "force": true}`, 204, nil)
	b.do("POST", "/time", `{"time": "1999-01-01T00:00:00Z", "force": true}`, 409, &p)
	b.do("POST", "/reboot", "", 202, nil)
	etag := b.do("GET", "/network", "", 200, nil).Get("Etag")
	var trial web.NetworkTrial
	b.do("PUT", "/network", `{"version": 1, "hostname": "studio-7", "interfaces": [{"name": "eth1", "addresses": ["192.0.2.7/24"]}]}`, 202, &trial, "If-Match", etag)
	b.do("POST", "/network/confirm", `{"token": "`+trial.Token+`"}`, 204, nil)
	b.do("POST", "/factory-reset", `{"serial": "Q7-0001"}`, 202, nil)
	if !<-b.ended {
		t.Error("it ended without knowing of the reset")
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if cur := keeper.Get(); cur.Pending == nil && cur.Settings.Hostname == "" && len(cur.Settings.Interfaces) == 0 {
			break
		} else if time.Now().After(end) {
			t.Fatalf("after the reset the network is %+v", cur)
		}
	}
	s.do(func() {
		if s.reboots != 1 {
			t.Errorf("%d restarts", s.reboots)
		}
	})
}

// newNetwork waits until the network has the settings of a new box.
func newNetwork(t *testing.T, k *network.Keeper) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); len(k.Get().Settings.Interfaces) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the network still is %+v", k.Get().Settings)
		}
	}
}

// keptNetwork stores settings where quartet-netd keeps them.
func keptNetwork(t *testing.T, folder string) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	doc := `{"version": 1, "interfaces": [{"name": "eth1", "addresses": ["192.0.2.7/24"]}]}`
	if err := os.WriteFile(filepath.Join(folder, "network.v1.json"), []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
}

// S13: a factory reset while quartet-netd is away is not a success. All else goes,
// the box starts afresh without waiting for the helper, and the network is reset as
// soon as it answers, whatever was begun in between.
func TestFactoryResetWithoutTheHelper(t *testing.T) {
	b := start(t)
	folder := filepath.Join(b.o.configDir, "network")
	keptNetwork(t, folder)
	b.do("POST", "/claim", `{"code": "`+b.code+`", "user": "anna", "password": "`+password+`"}`, 201, nil)
	var p web.Problem
	b.do("POST", "/factory-reset", `{"serial": "Q7-0001"}`, 503, &p)
	if !strings.Contains(p.Detail, "quartet-netd does not answer") || !strings.Contains(p.Detail, "network") {
		t.Errorf("%+v", p)
	}
	if !<-b.ended {
		t.Fatal("it does not start afresh")
	}
	b.cookie = ""
	b.run() // without the helper
	var st web.State
	if b.do("GET", "/state", "", 200, &st); st.Claimed {
		t.Error("still claimed")
	}
	keeper, _, stop := helperAt(t, folder, b.o.netd)
	newNetwork(t, keeper)
	// Once: what is set from now on stays.
	b.do("POST", "/claim", `{"code": "`+b.code+`", "user": "bea", "password": "`+password+`"}`, 201, nil)
	for end := time.Now().Add(10 * time.Second); identity.NetworkResetDue(b.o.data); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("still due")
		}
	}
	b.stop()
	stop()
	keptNetwork(t, folder)
	keeper, _, _ = helperAt(t, folder, b.o.netd)
	b.run()
	b.do("GET", "/state", "", 200, &st)
	if len(keeper.Get().Settings.Interfaces) != 1 || !st.Claimed {
		t.Errorf("reset a second time: %+v, claimed %t", keeper.Get().Settings, st.Claimed)
	}
}

// A power cut between the wiping of the files and the reset of the network, and one
// in the middle of the wiping, end in a new network.
func TestFactoryResetPastAPowerCut(t *testing.T) {
	for _, mark := range []string{"factory-reset.begun", "network-reset.due"} {
		t.Run(mark, func(t *testing.T) {
			var keeper *network.Keeper
			b := startWith(t, func(b *box) {
				folder := filepath.Join(b.o.configDir, "network")
				keptNetwork(t, folder)
				if err := os.MkdirAll(b.o.data, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(b.o.data, mark), nil, 0o600); err != nil {
					t.Fatal(err)
				}
				keeper, _, _ = helperAt(t, folder, b.o.netd)
			})
			newNetwork(t, keeper)
			b.do("GET", "/state", "", 200, nil)
		})
	}
}

// While the network of before is still to be reset, none is set: the reset would
// take it.
func TestNetworkWaitsForItsReset(t *testing.T) {
	dir := t.TempDir()
	keptNetwork(t, filepath.Join(dir, "network"))
	if err := identity.FactoryReset(identity.ResetConfig{Dir: dir, Key: filepath.Join(dir, "key"), Network: filepath.Join(dir, "network")}); err != nil {
		t.Fatal(err)
	}
	n := &netd{client: network.NewClient(filepath.Join(dir, "no.sock")), last: map[string]reading{}, data: dir, settings: filepath.Join(dir, "network")}
	_, err := n.Apply(t.Context(), web.NetworkSettings{Version: 1}, netip.Addr{})
	if !errors.Is(err, web.ErrUnavailable) || !strings.Contains(err.Error(), "factory reset") {
		t.Errorf("%v", err)
	}
	if err := n.FactoryReset(t.Context()); !errors.Is(err, web.ErrUnavailable) || !identity.NetworkResetDue(dir) {
		t.Errorf("%v", err)
	}
	// Whoever keeps no network has none to reset.
	if err := os.RemoveAll(n.settings); err != nil {
		t.Fatal(err)
	}
	if err := n.FactoryReset(t.Context()); !errors.Is(err, web.ErrNotHere) || identity.NetworkResetDue(dir) {
		t.Errorf("%v", err)
	}
}
