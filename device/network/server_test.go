package network

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// served is a Server over a real socket, on a fake machine.
type served struct {
	*Client
	sys    *fakeSystem
	socket string
	// later lets time pass for the keeper.
	later func(time.Duration)
}

func serve(t *testing.T, allowed func(Peer) error, change ...func(*Server)) *served {
	t.Helper()
	sys := &fakeSystem{}
	var now atomic.Int64
	k := NewKeeper(KeeperConfig{Store: &Store{fs: newDisk()}, System: sys, Hostname: hostname, Boot: "b", Now: func() time.Duration { return time.Duration(now.Load()) }})
	if err := k.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "netd") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "netd.sock")
	s, err := Listen(ServerConfig{Socket: socket, Keeper: k, System: sys, Allowed: allowed, Earliest: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
			t.Error("the socket is still there")
		}
	})
	later := func(d time.Duration) { now.Add(int64(d)); k.Tick(t.Context()) }
	return &served{NewClient(socket), sys, socket, later}
}

func anybody(Peer) error { return nil }

func TestClientAndServer(t *testing.T) {
	s := serve(t, anybody)
	ctx := t.Context()
	cur, err := s.Get(ctx)
	if err != nil || cur.Hostname != hostname || cur.Pending != nil || string(Encode(cur.Settings)) != string(Encode(Default())) {
		t.Fatalf("%+v %v", cur, err)
	}
	if w, err := s.Check(ctx, []byte(`{"version": 1, "others": "off", "interfaces": [{"name": "eth0", "ipv6": "off", "addresses": ["192.0.2.10/24"]}]}`)); err != nil || len(w) != 2 {
		t.Fatal(w, err)
	}
	_, err = s.Check(ctx, []byte(`{"version": 1, "hostname": "A"}`))
	var e *Error
	if !errors.As(err, &e) || e.Code != CodeInvalid || len(e.Issues) != 1 || e.Issues[0].Path != "hostname" || e.Issues[0].Remedy == "" {
		t.Fatalf("%#v", err)
	}
	if _, err := s.Apply(ctx, []byte(`{"version": 1} x`), "", netip.Addr{}); err == nil {
		t.Fatal("a document that is none was accepted")
	}
	if p, err := s.Apply(ctx, Encode(one), "", netip.Addr{}); p != nil || err != nil {
		t.Fatal("equal settings: ", p, err)
	}
	p, err := s.Apply(ctx, Encode(two), strings.Repeat("x", 32), oldEth0)
	if err != nil || p.Token != strings.Repeat("x", 32) || !p.Moved {
		t.Fatal(p, err)
	}
	s.later(answerFirst)
	if err := s.Confirm(ctx, "wrong", newEth0); code(err) != CodeToken {
		t.Fatal(err)
	}
	if err := s.Confirm(ctx, p.Token, oldEth0); code(err) != CodeWay {
		t.Fatal(err)
	}
	if cur, err := s.Get(ctx); err != nil || cur.Pending == nil || cur.Pending.Token != "" || cur.Trial == nil {
		t.Fatalf("%+v %v", cur, err)
	}
	if err := s.Confirm(ctx, p.Token, newEth0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(ctx, Encode(three), "", newEth0); err != nil {
		t.Fatal(err)
	}
	if err := s.Revert(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Revert(ctx); code(err) != CodeNoTrial {
		t.Fatal(err)
	}
	if err := s.Reset(ctx); err != nil {
		t.Fatal(err)
	}
	if cur, err := s.Get(ctx); err != nil || string(Encode(cur.Settings)) != string(Encode(Default())) {
		t.Fatal(cur, err)
	}
	if err := s.Reboot(ctx); err != nil || s.sys.reboots != 1 {
		t.Fatal(err, s.sys.reboots)
	}
	s.sys.clock = State{Hostname: "x", Links: []Link{{Name: "eth0", Addresses: []Address{{Prefix: netip.MustParsePrefix("192.0.2.10/24"), From: FromStatic}}}}}
	if st, err := s.State(ctx); err != nil || st.Hostname != "x" || len(st.Links) != 1 || st.Links[0].Addresses[0].Prefix.String() != "192.0.2.10/24" {
		t.Fatalf("%+v %v", st, err)
	}
}

// TestF17SetTime (fault F17, the clock): set when nobody keeps it, refused when
// somebody does, and never to a time that cannot be.
func TestF17SetTime(t *testing.T) {
	s := serve(t, anybody)
	ctx := t.Context()
	at := time.Date(2026, 12, 24, 18, 0, 0, 0, time.UTC)
	if err := s.SetTime(ctx, at, false); err != nil || len(s.sys.set) != 1 || !s.sys.set[0].Equal(at) {
		t.Fatal(err, s.sys.set)
	}
	s.sys.mu.Lock()
	s.sys.clock.Clock.Synchronised = true
	s.sys.mu.Unlock()
	if err := s.SetTime(ctx, at, false); code(err) != CodeClock {
		t.Fatal(err)
	}
	if err := s.SetTime(ctx, at, true); err != nil || len(s.sys.set) != 2 {
		t.Fatal(err)
	}
	for _, bad := range []time.Time{time.Unix(0, 0), time.Date(2026, 10, 31, 0, 0, 0, 0, time.UTC), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if err := s.SetTime(ctx, bad, true); code(err) != CodeClock {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if len(s.sys.set) != 2 {
		t.Fatal("a refused time was set")
	}
}

// The kernel says who is there; the file's mode is the first door.
func TestPeers(t *testing.T) {
	var mu sync.Mutex
	var seen []Peer
	s := serve(t, func(p Peer) error {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, p)
		if len(seen) > 1 {
			return errors.New("uid is not in the group")
		}
		return nil
	})
	if st, err := os.Stat(s.socket); err != nil || st.Mode().Perm() != 0o660 {
		t.Fatal(st.Mode(), err)
	}
	if _, err := s.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context()); code(err) != CodeDenied {
		t.Fatal(err)
	}
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, p := range seen {
		if p.PID != os.Getpid() || p.UID != os.Getuid() || !slices.Contains(p.Groups, os.Getgid()) {
			t.Errorf("%+v", p)
		}
		for _, g := range groups {
			if !slices.Contains(p.Groups, g) {
				t.Errorf("the supplementary group %d is not in %v", g, p.Groups)
			}
		}
	}
	allowed := InGroup(7)
	if allowed(Peer{UID: 0}) != nil || allowed(Peer{UID: 5, Groups: []int{1, 7}}) != nil || allowed(Peer{UID: 5, Groups: []int{1, 8}}) == nil {
		t.Error("InGroup")
	}
}

func TestSocketInUse(t *testing.T) {
	s := serve(t, anybody)
	if _, err := Listen(ServerConfig{Socket: s.socket}); err == nil {
		t.Fatal("a second server took the socket")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(ServerConfig{Socket: file}); err == nil {
		t.Fatal("a file was taken for a socket")
	}
	if _, err := NewClient(file + ".none").Get(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Fatal(err)
	}
}

// say sends bytes and reads one line.
func say(t *testing.T, socket, bytes string) (reply, error) {
	t.Helper()
	var r reply
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = c.Write([]byte(bytes)) }() // the server may close before it has read all
	line, err := bufio.NewReader(c).ReadBytes('\n')
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(line, &r)
}

// TestS11Requests (security S11): bad requests are answered in words, change
// nothing, and do not end the server.
func TestS11Requests(t *testing.T) {
	s := serve(t, anybody)
	for _, c := range []struct{ line, says string }{
		{`{}`, "op"}, {`x`, "cannot be read"}, {`[]`, "cannot be read"}, {`{"op": 1}`, "op"}, {`{"op": "rm"}`, "rm"},
		{`{"op": "get", "op": "reboot"}`, "duplicate"}, {`{"op": "get", "Token": "x"}`, "wrong case"}, {`{"op": "get", "x": 1}`, "unknown"},
		{`{"op": "reboot", "token": "x"}`, "takes no token"}, {`{"op": "get", "settings": {}}`, "takes no settings"},
		{`{"op": "confirm", "token": "x", "time": "2026-11-26T18:00:00Z"}`, "takes no time"},
		{`{"op": "confirm", "token": "` + strings.Repeat("x", 129) + `"}`, "129 characters"},
		{`{"op": "confirm", "token": "x", "via": "eth0"}`, "no IP address"},
		{`{"op": "set-time", "time": "tomorrow"}`, "no time"}, {`{"op": "set-time"}`, "no time"},
		{`{"op": "apply", "settings": null}`, "null"}, {`{"op": "apply"}`, "empty"}, {`{"op": "apply", "settings": {"version": 1, "version": 1}}`, "duplicate"},
		{`{"op": "get"} {"op": "reboot"}`, "after the end"},
		{`{"op": "apply", "settings": "` + strings.Repeat("x", maxRequest) + `"}`, "more than 65536 bytes"},
		{strings.Repeat("[", 1000), "cannot be read"},
	} {
		r, err := say(t, s.socket, c.line+"\n")
		if err != nil || r.Error == nil || !strings.Contains(r.Error.Text, c.says) {
			t.Errorf("%.60s: %+v %v, want %q", c.line, r.Error, err, c.says)
		}
	}
	if _, err := say(t, s.socket, strings.Repeat("x", 1<<20)); err != nil {
		t.Log("a flood without a line feed ended with ", err)
	}
	if _, err := s.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.sys.reboots != 0 || len(s.sys.set) != 0 || !s.sys.runs(one) {
		t.Fatal("a bad request did something")
	}
}

// More connections than there is room for wait; those that say nothing are
// closed, and then it is the others' turn.
func TestIdleConnectionsAreClosed(t *testing.T) {
	s := serve(t, anybody, func(s *Server) { s.patience = 200 * time.Millisecond })
	var idle []net.Conn
	for range maxConnections {
		c, err := net.Dial("unix", s.socket)
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, c)
		if _, err := fmt.Fprintf(c, `{"op"`); err != nil { // begins, and never ends
			t.Fatal(err)
		}
	}
	if _, err := s.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range idle {
		c.Close()
	}
}

// FuzzRequest: whatever comes over the socket is refused in words or is one of
// the commands, with what that may have.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		`{"op": "get"}`, `{"op": "state"}`, `{"op": "apply", "settings": {"version": 1}, "token": "tttttttttttttttt", "via": "192.0.2.1"}`,
		`{"op": "confirm", "token": "t", "via": "::1"}`, `{"op": "revert"}`, `{"op": "reset"}`, `{"op": "set-time", "time": "2026-11-26T18:00:00Z", "force": true}`, `{"op": "reboot"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		c, err := parseRequest(line)
		if err != nil {
			if err.Error() == "" {
				t.Fatal("refused without a word")
			}
			return
		}
		if len(line) > maxRequest || len(c.token) > maxToken || (c.settings != nil) != (c.op == opApply || c.op == opCheck) || c.time.IsZero() && c.op == opSetTime && !strings.Contains(string(line), "0001") {
			t.Fatalf("%+v", c)
		}
	})
}
