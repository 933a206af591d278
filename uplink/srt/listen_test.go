package srt

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

func TestOnePortManyContributions(t *testing.T) {
	keys := map[string]string{"sports": "passphrase of sports", "news": "passphrase of the news"}
	l := listen(t, Options{}, func(r Request) Answer {
		if !r.Peer.IsValid() || r.Version != 5 {
			t.Errorf("request %+v", r)
		}
		p, ok := keys[r.StreamID]
		if !ok {
			return Answer{Reject: RejectNotFound}
		}
		a := Answer{OK: true, Passphrase: p}
		if r.StreamID == "news" {
			a.Latency, a.FC, a.RcvBuf = 250*time.Millisecond, 40000, 20000*perPacket
		}
		return a
	})
	for id, p := range keys {
		out, in := connect(t, l, Options{StreamID: id, Passphrase: p, KeyLength: 32})
		if in.StreamID() != id || in.KeyLength() != 32 {
			t.Errorf("%s: %q, key %d", id, in.StreamID(), in.KeyLength())
		}
		want := defaultLatency
		if id == "news" {
			want = 250 * time.Millisecond
		}
		if out.PeerLatency() != want || in.Latency() != want {
			t.Errorf("%s: latency %v and %v, want %v", id, out.PeerLatency(), in.Latency(), want)
		}
	}
	if r := refusal(t, l.Addr().String(), Options{StreamID: "news", Passphrase: keys["sports"]}); r.Code != RejectBadSecret {
		t.Error(r)
	}
	if r := refusal(t, l.Addr().String(), Options{StreamID: "news"}); r.Code != RejectUnsecure {
		t.Error(r)
	}
	if r := refusal(t, l.Addr().String(), Options{StreamID: "weather", Passphrase: keys["sports"]}); r.Code != RejectNotFound {
		t.Error(r)
	}
}

func TestCloseWakesAccept(t *testing.T) {
	for range 20 {
		l := listen(t, Options{}, nil)
		const n = 3
		errs := make(chan error, n)
		for range n {
			go func() {
				_, err := l.Accept(context.Background())
				errs <- err
			}()
		}
		l.Close()
		for range n {
			select {
			case err := <-errs:
				if !errors.Is(err, ErrClosed) {
					t.Fatal(err)
				}
			case <-time.After(5 * time.Second):
				t.Fatal("Accept hangs after Close")
			}
		}
		if _, err := l.Accept(context.Background()); !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
	}
}

func TestAcceptEndsWithItsContext(t *testing.T) {
	l := listen(t, Options{}, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := l.Accept(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	connect(t, l, Options{}) // and the next caller is not lost
}

func TestNoCallerIsDropped(t *testing.T) {
	l := listen(t, Options{Backlog: 4}, nil)
	const n = 30
	var wg sync.WaitGroup
	out := make([]*Conn, n)
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for try := 0; ; try++ { // more callers than the backlog holds: those are told, and call again
				c, err := Dial(within(t, 20*time.Second), l.Addr().String(), Options{StreamID: fmt.Sprint(i), ConnectTimeout: 5 * time.Second})
				var r *RejectError
				if errors.As(err, &r) && (r.Code == RejectBacklog || r.Code == RejectTimeout || r.Code == 0) {
					continue
				}
				if err != nil {
					t.Error(err)
				}
				out[i] = c
				return
			}
		}()
	}
	seen := map[string]bool{}
	for len(seen) < n {
		c, err := l.Accept(within(t, 20*time.Second))
		if err != nil {
			t.Fatalf("after %d callers: %v", len(seen), err)
		}
		seen[c.StreamID()] = true
		defer c.Close()
	}
	wg.Wait()
	for _, c := range out {
		if c != nil {
			c.Close()
		}
	}
}

func TestCloseEndsCallersNobodyAccepted(t *testing.T) {
	l := listen(t, Options{}, nil)
	c, err := Dial(within(t, 5*time.Second), l.Addr().String(), Options{Latency: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l.Close()
	if err := collect(within(t, 10*time.Second), c, NewBatch(1), 1, func([]byte) {}); !errors.Is(err, ErrBroken) {
		t.Error(err)
	}
}

func TestTheSamePortAgain(t *testing.T) {
	l := listen(t, Options{}, nil)
	addr := l.Addr().String()
	out, in := connect(t, l, Options{})
	if second, err := Listen(addr, Options{}, nil); err == nil {
		second.Close()
		t.Fatal("two listeners on one port")
	}
	l.Close()
	if _, err := out.Send([][]byte{[]byte("still here")}); err != nil {
		t.Error(err)
	}
	if err := collect(within(t, 5*time.Second), in, NewBatch(1), 1, func([]byte) {}); err != nil {
		t.Errorf("an accepted connection outlives its listener: %v", err)
	}
	again, err := Listen(addr, Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	connect(t, again, Options{})
}

func TestPacketFiltersOfCallers(t *testing.T) {
	l := listen(t, Options{}, nil)
	m := messages(400, 1452, 9)
	for _, filter := range []string{"fec,cols:10,rows:5", "fec,cols:1,rows:1", "fec,cols:2,rows:-5,layout:staircase,arq:never", "fec,cols:256,rows:1,arq:always"} {
		o := Options{PacketFilter: filter, ConnectTimeout: 2 * time.Second}
		c, err := Dial(within(t, 5*time.Second), l.Addr().String(), o)
		if err != nil {
			t.Logf("%s: %v", filter, err)
			continue
		}
		c.Send(m)
		if err := collect(within(t, 5*time.Second), c, NewBatch(1), 1, func([]byte) {}); !errors.Is(err, ErrBroken) {
			t.Errorf("%s: not refused: %v", filter, err)
		}
		c.Close()
	}
	connect(t, l, Options{})

	both := Options{PacketFilter: "fec,cols:10,rows:5", Latency: 60 * time.Millisecond}
	out, in := pair(t, both, both)
	if out.MaxPayload() != MaxPayload-filterExtra || in.MaxPayload() != MaxPayload-filterExtra {
		t.Errorf("payload %d and %d", out.MaxPayload(), in.MaxPayload())
	}
	ctx := within(t, 10*time.Second)
	if err := push(ctx, out, m, 5); err != nil {
		t.Fatal(err)
	}
	if err := collect(ctx, in, NewBatch(16), len(m), func([]byte) {}); err != nil {
		t.Fatal(err)
	}
	if s, _ := in.Stats(); s.PktRcvFilterExtraTotal == 0 {
		t.Error("both sides set a packet filter, and none is at work")
	}
}
