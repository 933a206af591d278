package gateway

import (
	"bytes"
	"encoding/binary"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// receiver is a UDP socket that keeps what comes.
type receiver struct {
	conn *net.UDPConn
	mu   sync.Mutex
	got  [][]byte
	done chan struct{}
}

func newReceiver(t testing.TB) *receiver {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadBuffer(4 << 20)
	r := &receiver{conn: c, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		buf := make([]byte, 2048)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			r.mu.Lock()
			r.got = append(r.got, bytes.Clone(buf[:n]))
			r.mu.Unlock()
		}
	}()
	t.Cleanup(func() { _ = c.Close(); <-r.done })
	return r
}

func (r *receiver) addr() string { return r.conn.LocalAddr().String() }

func (r *receiver) packets() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([][]byte(nil), r.got...)
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

func (r *receiver) last() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.got) == 0 {
		return nil
	}
	return r.got[len(r.got)-1]
}

// eventually waits until ok is true.
func eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	limit := time.NewTimer(within)
	defer limit.Stop()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for !ok() {
		select {
		case <-limit.C:
			t.Fatalf("not within %v: %s", within, what)
		case <-poll.C:
		}
	}
}

// lasts waits for d, failing if ok turns false meanwhile.
func lasts(t testing.TB, d time.Duration, what string, ok func() bool) {
	t.Helper()
	end := time.NewTimer(d)
	defer end.Stop()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		if !ok() {
			t.Fatalf("did not hold for %v: %s", d, what)
		}
		select {
		case <-end.C:
			return
		case <-poll.C:
		}
	}
}

// sameRun fails unless got is an unbroken run of sent.
func sameRun(t testing.TB, got, sent [][]byte) { t.Helper(); sameRuns(t, 1, got, sent) }

// sameRuns fails unless got is n unbroken runs of sent, one after the other.
func sameRuns(t testing.TB, n int, got, sent [][]byte) {
	t.Helper()
	if len(got) == 0 {
		t.Fatal("nothing came out")
	}
	runs, at := 0, -1
	for i, p := range got {
		if at >= 0 && at+1 < len(sent) && bytes.Equal(p, sent[at+1]) {
			at++
			continue
		}
		from := at + 1
		at = slices.IndexFunc(sent[from:], func(s []byte) bool { return bytes.Equal(s, p) })
		if at < 0 {
			t.Fatalf("packet %d of %d out was not sent, or not then: sequence number %d", i, len(got), binary.BigEndian.Uint16(p[2:]))
		}
		at += from
		if runs++; runs > n {
			t.Fatalf("packet %d of %d out comes after a gap of %d: sequence number %d", i, len(got), at-from, binary.BigEndian.Uint16(p[2:]))
		}
	}
}
