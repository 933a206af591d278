package main

import (
	"context"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

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

// The adapter against a running quartet-netd: clock, restart, and the settings of a
// new box after a factory reset.
func TestNetd(t *testing.T) {
	b := start(t)
	s := &quietSystem{}
	store, err := network.OpenStore(filepath.Join(b.dir, "network"))
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	keeper := network.NewKeeper(network.KeeperConfig{Store: store, System: s, Hostname: "quartet-q7-0001", Boot: "one", Now: func() time.Duration { return time.Since(begun) }})
	ctx, cancel := context.WithCancel(context.Background())
	if err := keeper.Start(ctx); err != nil {
		t.Fatal(err)
	}
	server, err := network.Listen(network.ServerConfig{Socket: b.o.netd, Keeper: keeper, System: s, Allowed: func(network.Peer) error { return nil },
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
	defer func() {
		if t.Failed() {
			t.Log(b.log.String())
		}
		cancel()
		wg.Wait()
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
