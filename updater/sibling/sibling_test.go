package sibling

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	mrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"quartet/device/durable/powercut"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is the time of both boxes; each has its own process start.
type clock struct{ now time.Duration }

// box is one side, as a test sees it.
type box struct {
	t         *testing.T
	clock     *clock
	serial    string
	role      Role
	folder    *powercut.Disk
	started   time.Duration
	pair      *Pair
	peer      *box
	streaming bool
	busy      bool
	off       bool // it does not answer
	cut       func(r Request) (lost bool)
	late      []func() // requests that arrive after their sender gave up
}

func newPair(t *testing.T) (a, b *box) {
	c := &clock{}
	a = &box{t: t, clock: c, serial: "Q4-0001", role: RoleA, folder: powercut.New(), streaming: true}
	b = &box{t: t, clock: c, serial: "Q4-0002", role: RoleB, folder: powercut.New(), streaming: true}
	a.peer, b.peer = b, a
	a.start()
	b.start()
	return a, b
}

// start is a start of the process.
func (x *box) start() {
	x.t.Helper()
	x.started = x.clock.now
	p, err := Open(Config{
		Serial: x.serial, Role: x.role, Peer: x.peer.serial, Folder: x.folder, Ask: x.ask,
		Streaming: func() bool { return x.streaming }, Busy: func() bool { return x.busy },
		Now: func() time.Duration { return x.clock.now - x.started },
	})
	if err != nil {
		x.t.Fatal(err)
	}
	x.pair = p
}

var errLost = errors.New("the network has lost it")

func (x *box) ask(_ context.Context, r Request) (Answer, error) {
	if x.peer.off || x.cut != nil && x.cut(r) {
		return Answer{}, errLost
	}
	return x.peer.pair.Answer(r), nil
}

func (x *box) acquire() error { return x.pair.Acquire(x.t.Context()) }

func wantDenied(t *testing.T, err error, why Reason) {
	t.Helper()
	var d *Denied
	if !errors.As(err, &d) || d.Reason != why || len(d.Error()) < 20 {
		t.Errorf("%v, want it denied as %s, with words", err, why)
	}
}

// A box that has lent its lease while its own request was under way does not
// believe an answer that grants it: the other one may be restarting by now.
func TestYieldedWhileAsking(t *testing.T) {
	_, b := newPair(t)
	b.cut = func(r Request) bool {
		if r.Holder == b.serial {
			ours := Request{ID: "0123456789abcdef0123456789abcdef", Holder: b.peer.serial, Role: b.peer.role, TTL: 600}
			if v := b.pair.Answer(ours); !v.Granted {
				t.Errorf("B, which yields, grants nothing: %+v", v)
			}
		}
		return false
	}
	wantDenied(t, b.acquire(), Lent)
	if _, ok := b.pair.Held(); ok {
		t.Error("both hold a lease")
	}
}

func TestLease(t *testing.T) {
	a, b := newPair(t)
	if err := b.acquire(); err != nil {
		t.Fatal(err)
	}
	if _, ok := b.pair.Held(); !ok {
		t.Error("B does not hold what it was granted")
	}
	wantDenied(t, a.acquire(), Lent)
	// More time, again and again.
	for range 10 {
		a.clock.now += 10 * time.Minute
		if err := b.acquire(); err != nil {
			t.Fatal(err)
		}
	}
	wantDenied(t, a.acquire(), Lent)
	if err := b.pair.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.acquire(); err != nil {
		t.Fatal(err)
	}
	wantDenied(t, b.acquire(), Lent)
	// It ends by itself, at its holder first.
	a.clock.now += DefaultTTL - DefaultTTL/20
	if _, ok := a.pair.Held(); ok {
		t.Error("A still holds it")
	}
	if _, ok := b.pair.Lent(); !ok {
		t.Error("B takes it for over before A does for certain")
	}
	a.clock.now += DefaultTTL / 20
	if err := b.acquire(); err != nil {
		t.Error(err)
	}
}

func TestDenied(t *testing.T) {
	a, b := newPair(t)
	b.streaming = false
	wantDenied(t, a.acquire(), NotStreaming)
	b.streaming, b.busy = true, true
	wantDenied(t, a.acquire(), Updating)
	b.busy, b.off = false, true
	wantDenied(t, a.acquire(), NoAnswer)
	b.off = false
	b.role, b.off = RoleA, false
	b.start()
	wantDenied(t, a.acquire(), SameRole)
	b.role = RoleB
	b.start()
	// While it holds one, its grantor must go on streaming to give more.
	if err := a.acquire(); err != nil {
		t.Fatal(err)
	}
	b.streaming = false
	wantDenied(t, a.acquire(), NotStreaming)
	if _, ok := a.pair.Held(); !ok {
		t.Error("a lease is lost because it was not made longer")
	}
	if got := b.pair.Answer(Request{ID: strings.Repeat("0", 32), Holder: "Q4-0666", Role: RoleA, TTL: 60}); got.Granted || got.Reason != Stranger {
		t.Errorf("a stranger: %+v", got)
	}
	if got := b.pair.Answer(Request{ID: "x", Holder: "Q4-0001", Role: RoleA, TTL: 60}); got.Granted || got.Reason != Malformed {
		t.Errorf("malformed: %+v", got)
	}
}

// Both ask at once, in every order in which the messages can meet: A wins.
func TestTie(t *testing.T) {
	a, b := newPair(t)
	// B's request is under way when A asks.
	b.cut = func(Request) bool {
		b.cut = nil
		if err := a.acquire(); err != nil {
			t.Errorf("A while B asks: %v", err)
		}
		return false // now B's arrives
	}
	if err := b.acquire(); err == nil {
		t.Error("both have it")
	}
	if _, ok := a.pair.Held(); !ok {
		t.Error("A does not have it")
	}
	// A's request is under way when B asks.
	a, b = newPair(t)
	a.cut = func(Request) bool {
		a.cut = nil
		wantDenied(t, b.acquire(), AsksItself)
		return false
	}
	if err := a.acquire(); err != nil {
		t.Errorf("A: %v", err)
	}
}

// F28: two boxes of a pair both want to update, with restarts of either at any
// moment, messages that are lost on the way there or back or arrive late, power
// cuts while the lease is written, and clocks that jump (they are not asked).
// Never are both away at the same time, and neither waits for ever.
func TestF28NeverBoth(t *testing.T) {
	updates := map[string]int{}
	for seed := range uint64(300) {
		rng := mrand.New(mrand.NewPCG(seed, 28))
		a, b := newPair(t)
		boxes := []*box{a, b}
		away := map[*box]time.Duration{} // until when a box is down, and may be
		for range 400 {
			a.clock.now += time.Duration(rng.IntN(120)) * time.Second
			x := boxes[rng.IntN(2)]
			for y, until := range away {
				if a.clock.now >= until {
					// It is back: on trial, streaming, and gives the lease back.
					delete(away, y)
					y.off, y.streaming = false, true
					y.start()
					if rng.IntN(4) > 0 {
						_ = y.pair.Release(t.Context()) // may be lost
					}
				}
			}
			if _, down := away[x]; down {
				continue
			}
			x.cut = func(r Request) bool {
				switch rng.IntN(8) {
				case 0: // lost on the way there
					return true
				case 1: // lost on the way back
					if !x.peer.off {
						x.peer.pair.Answer(r)
					}
					return true
				case 2: // late
					x.late = append(x.late, func() {
						if !x.peer.off {
							x.peer.pair.Answer(r)
						}
					})
					return true
				case 3: // the other asks meanwhile
					if y := x.peer; !y.off && away[y] == 0 && rng.IntN(2) == 0 {
						y.cut = nil
						_ = y.acquire()
					}
				}
				return false
			}
			switch rng.IntN(10) {
			case 0: // the process ends and starts
				x.start()
				continue
			case 1: // the power goes in the middle of writing
				x.folder.Fuse(rng.IntN(3))
				_ = x.acquire()
				x.folder.Restore(rng.IntN(6))
				x.start()
				continue
			case 2:
				for _, f := range x.late {
					f()
				}
				x.late = nil
				continue
			}
			if x.acquire() != nil {
				continue
			}
			left, ok := x.pair.Held()
			if !ok {
				t.Fatalf("seed %d: granted and not held", seed)
			}
			// It restarts. While it is away the other must be on the air.
			if x.peer.off {
				t.Fatalf("seed %d: both boxes are away at %v", seed, a.clock.now)
			}
			if _, both := x.peer.pair.Held(); both {
				t.Fatalf("seed %d: both boxes hold a lease at %v", seed, a.clock.now)
			}
			x.off, x.streaming = true, false
			away[x] = a.clock.now + min(left-time.Second, time.Duration(1+rng.IntN(10))*time.Minute)
			updates[x.serial]++
		}
	}
	t.Logf("updates: %v", updates)
	if updates["Q4-0001"] < 2000 || updates["Q4-0002"] < 2000 {
		t.Errorf("%v updates: one of them waits too long", updates)
	}
}

// F28: the lease survives a restart of its grantor, and a restart of its holder.
func TestF28Restart(t *testing.T) {
	a, b := newPair(t)
	if err := a.acquire(); err != nil {
		t.Fatal(err)
	}
	a.clock.now += 15 * time.Minute
	b.start()
	wantDenied(t, b.acquire(), Lent)
	a.clock.now += 10 * time.Minute // past its end by the first count
	wantDenied(t, b.acquire(), Lent)
	a.clock.now += 10 * time.Minute
	b.streaming = true
	a.start()
	if _, ok := a.pair.Held(); ok {
		t.Error("a holder that has restarted trusts its lease")
	}
	if err := a.acquire(); err != nil { // the same lease again
		t.Error(err)
	}
	// A damaged file: nothing is granted to itself for the length of a lease.
	if err := b.folder.Write(file, []byte("{")); err != nil {
		t.Fatal(err)
	}
	b.start()
	wantDenied(t, b.acquire(), Lent)
}

// certificate makes a certificate for a key, valid from an hour ago.
func certificate(t *testing.T, key *ecdsa.PrivateKey, serial int64) tls.Certificate {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func key(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Over real HTTPS: the pinned key is let in, also with a renewed certificate;
// any other key, none at all, and another server are not.
func TestHTTPS(t *testing.T) {
	a, b := newPair(t)
	keyA, keyB, keyC := key(t), key(t), key(t)
	certA, certB, certC := certificate(t, keyA, 1), certificate(t, keyB, 2), certificate(t, keyC, 3)
	srv := httptest.NewUnstartedServer(Handler(b.pair, PinOf(certA.Leaf)))
	srv.TLS, srv.Config.ErrorLog = ServerTLS(certB), log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	address := strings.TrimPrefix(srv.URL, "https://")
	use := func(own tls.Certificate, peer Pin) error {
		c, err := NewClient(address, own, peer)
		if err != nil {
			t.Fatal(err)
		}
		a.pair.cfg.Ask = c.Ask
		return a.acquire()
	}
	if err := use(certA, PinOf(certB.Leaf)); err != nil {
		t.Fatal(err)
	}
	if _, ok := b.pair.Lent(); !ok {
		t.Error("nothing is lent")
	}
	if err := use(certificate(t, keyA, 9), PinOf(certB.Leaf)); err != nil {
		t.Errorf("a renewed certificate: %v", err)
	}
	wantDenied(t, use(certC, PinOf(certB.Leaf)), Stranger)
	wantDenied(t, use(certA, PinOf(certC.Leaf)), NoAnswer)
	wantDenied(t, use(tls.Certificate{}, PinOf(certB.Leaf)), Stranger)
	b.streaming = false
	wantDenied(t, use(certA, PinOf(certB.Leaf)), NotStreaming)
	srv.Close()
	wantDenied(t, use(certA, PinOf(certB.Leaf)), NoAnswer)
	for _, bad := range []string{"", "a/b", "u@h", "h?x"} {
		if _, err := NewClient(bad, certA, PinOf(certB.Leaf)); err == nil {
			t.Errorf("the address %q is taken", bad)
		}
	}
	if _, err := ParsePin("AB:" + string(PinOf(certA.Leaf))[2:]); err != nil {
		t.Error(err)
	}
	if _, err := ParsePin("ab"); err == nil {
		t.Error("a short pin is taken")
	}
}

// The handler bounds what it reads, and a server that is no box is no answer.
func TestHostile(t *testing.T) {
	a, b := newPair(t)
	certA, certB := certificate(t, key(t), 1), certificate(t, key(t), 2)
	srv := httptest.NewUnstartedServer(Handler(b.pair, PinOf(certA.Leaf)))
	srv.TLS, srv.Config.ErrorLog = ServerTLS(certB), log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: clientTLS(certA, PinOf(certB.Leaf)), DisableKeepAlives: true}}
	for _, body := range []string{"", "{", `{"id":1}`, strings.Repeat(" ", 1<<20), `{"id":"` + strings.Repeat("0", 32) + `","holder":"Q4-0001","role":"C","ttl_s":1,"release":false}`} {
		resp, err := c.Post(srv.URL+Path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%.20q: %s", body, resp.Status)
		}
	}
	for _, reply := range []string{"", "{}", "hello", `{"granted":true`} {
		odd := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, reply) }))
		odd.TLS = ServerTLS(certB)
		odd.StartTLS()
		client, err := NewClient(strings.TrimPrefix(odd.URL, "https://"), certA, PinOf(certB.Leaf))
		if err != nil {
			t.Fatal(err)
		}
		a.pair.cfg.Ask = client.Ask
		wantDenied(t, a.acquire(), NoAnswer)
		odd.Close()
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(`{"id":"00000000000000000000000000000000","holder":"Q4-0001","role":"A","ttl_s":1200,"release":false}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRequest(b)
		if err == nil && (r.TTL < 1 || len(r.ID) != 32) {
			t.Errorf("%q is taken as %+v", b, r)
		}
	})
}

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"schema":1,"held":{"id":"00000000000000000000000000000000","holder":"a","ttl_s":60}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		folder := powercut.New()
		if err := folder.Write(file, b); err != nil {
			t.Fatal(err)
		}
		p, err := Open(Config{Serial: "a", Role: RoleA, Peer: "b", Folder: folder, Now: func() time.Duration { return 0 }})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := p.Held(); ok {
			t.Error("a lease is held after a restart")
		}
	})
}
