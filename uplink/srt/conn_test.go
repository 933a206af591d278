package srt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

const secret = "correct horse battery"

func messages(n, size int, seed uint64) [][]byte {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([][]byte, n)
	for i := range out {
		m := make([]byte, size)
		for j := 8; j+8 <= size; j += 8 {
			binary.LittleEndian.PutUint64(m[j:], r.Uint64())
		}
		binary.BigEndian.PutUint64(m, uint64(i))
		out[i] = m
	}
	return out
}

func TestTransferWithEachKeyLength(t *testing.T) {
	for _, key := range []int{0, 16, 24, 32} {
		t.Run(fmt.Sprintf("AES-%d", key*8), func(t *testing.T) {
			o := Options{Latency: 60 * time.Millisecond}
			l := o
			if key > 0 {
				o.Passphrase, o.KeyLength, l.Passphrase = secret, key, secret
			}
			out, in := pair(t, o, l)
			if out.KeyLength() != key || in.KeyLength() != key || out.Encrypted() != (key > 0) {
				t.Fatalf("key lengths %d and %d, want %d", out.KeyLength(), in.KeyLength(), key)
			}
			if out.MaxPayload() != MaxPayload || in.MaxPayload() != MaxPayload {
				t.Fatalf("payloads %d and %d, want %d", out.MaxPayload(), in.MaxPayload(), MaxPayload)
			}
			ctx := within(t, 10*time.Second)
			want := messages(500, MaxPayload, uint64(key))
			if err := push(ctx, out, want, 5); err != nil {
				t.Fatal(err)
			}
			i := 0
			if err := collect(ctx, in, NewBatch(32), len(want), func(m []byte) {
				if !bytes.Equal(m, want[i]) {
					t.Fatalf("message %d differs", i)
				}
				i++
			}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestBatchesKeep100000MessagesIdentical(t *testing.T) {
	o := Options{Latency: time.Second, Passphrase: secret, KeyLength: 32}.Sized(200e6, 50*time.Millisecond)
	out, in := pair(t, o, o)
	const n = 100000
	want := messages(1000, 1336, 7) // sent in turn, each with its own number
	ctx := within(t, 90*time.Second)
	var sent, got uint32
	var wg sync.WaitGroup
	var sendErr error
	wg.Add(1)
	go func() {
		defer wg.Done()
		for i := 0; i < n && sendErr == nil; i += len(want) {
			for j, m := range want {
				binary.BigEndian.PutUint64(m, uint64(i+j))
				sent = crc32.Update(sent, crc32.IEEETable, m)
			}
			sendErr = push(ctx, out, want, 10)
		}
	}()
	next := uint64(0)
	err := collect(ctx, in, NewBatch(64), n, func(m []byte) {
		if k := binary.BigEndian.Uint64(m); k != next {
			t.Errorf("message %d came as %d", next, k)
			next = k
		}
		next++
		got = crc32.Update(got, crc32.IEEETable, m)
	})
	wg.Wait()
	if err != nil || sendErr != nil {
		s, _ := in.Stats()
		t.Fatalf("send: %v, receive: %v after %d; %+v", sendErr, err, next, s)
	}
	if sent != got {
		t.Fatalf("digest of what was sent %08x, of what came %08x", sent, got)
	}
}

func TestBothDirectionsOfOneConnection(t *testing.T) {
	out, in := pair(t, Options{Latency: 40 * time.Millisecond, StreamID: "both"}, Options{Latency: 40 * time.Millisecond})
	ctx := within(t, 20*time.Second)
	var wg sync.WaitGroup
	talk := func(from, to *Conn, n, size int) {
		want := messages(n, size, uint64(size))
		wg.Add(2)
		go func() {
			defer wg.Done()
			if err := push(ctx, from, want, 3); err != nil {
				t.Error(err)
			}
		}()
		go func() {
			defer wg.Done()
			i := 0
			if err := collect(ctx, to, NewBatch(16), n, func(m []byte) {
				if !bytes.Equal(m, want[i]) {
					t.Errorf("message %d of %d bytes differs", i, size)
				}
				i++
			}); err != nil {
				t.Error(err)
			}
		}()
	}
	talk(out, in, 2000, 1336)
	talk(in, out, 300, 120)
	wg.Wait()
	if in.StreamID() != "both" || in.RemoteAddr() != out.LocalAddr() || in.LocalAddr() != out.RemoteAddr() {
		t.Errorf("stream id %q, addresses %v %v, %v %v", in.StreamID(), in.RemoteAddr(), out.LocalAddr(), in.LocalAddr(), out.RemoteAddr())
	}
	if in.PeerVersion() < 0x010500 {
		t.Errorf("peer version %x", in.PeerVersion())
	}
}

func TestLatencyIsTheLargerOfBothSides(t *testing.T) {
	out, in := pair(t, Options{Latency: 30 * time.Millisecond}, Options{Latency: 90 * time.Millisecond})
	for _, got := range []time.Duration{out.Latency(), out.PeerLatency(), in.Latency(), in.PeerLatency()} {
		if got != 90*time.Millisecond {
			t.Errorf("latency %v, want 90ms", got)
		}
	}
}

func TestLateTellsTheExactInstant(t *testing.T) {
	out, in := pair(t, Options{Latency: 50 * time.Millisecond}, Options{Latency: 50 * time.Millisecond})
	ctx := within(t, 10*time.Second)
	b := NewBatch(8)
	for range 5 {
		sent := time.Now()
		if _, err := out.Send([][]byte{[]byte("tick")}); err != nil {
			t.Fatal(err)
		}
		if err := collect(ctx, in, b, 1, func([]byte) {}); err != nil {
			t.Fatal(err)
		}
		delay := time.Since(sent) - b.Late(0)
		if delay < 49*time.Millisecond || delay > 60*time.Millisecond {
			t.Errorf("due %v after sending, want about 50ms (late %v)", delay, b.Late(0))
		}
	}
}

func TestSizesThatDoNotFit(t *testing.T) {
	out, _ := pair(t, Options{PayloadSize: TSPayload}, Options{})
	fits := make([]byte, TSPayload)
	for _, m := range [][]byte{make([]byte, TSPayload+1), {}} {
		n, err := out.Send([][]byte{fits, m})
		var size *SizeError
		if n != 0 || !errors.As(err, &size) || size.Index != 1 || size.Max != TSPayload {
			t.Errorf("%d bytes: %d, %v", len(m), n, err)
		}
	}
	if n, err := out.Send([][]byte{fits}); n != 1 || err != nil {
		t.Errorf("a message that fits: %d, %v", n, err)
	}
	if n, err := out.Send(nil); n != 0 || err != nil {
		t.Errorf("nothing: %d, %v", n, err)
	}
}

func TestFullBufferStopsTheBatch(t *testing.T) {
	small := Options{SndBuf: 64 * perPacket, SndDropDelay: -1, MaxBW: 20000}
	out, _ := pair(t, small, Options{})
	n, err := out.Send(messages(300, 1316, 1))
	if !errors.Is(err, ErrWouldBlock) || n < 32 || n > 200 {
		t.Errorf("%d of 300 taken, %v", n, err)
	}
	if again, err := out.Send(messages(1, 1316, 1)); again > 1 || (err != nil && !errors.Is(err, ErrWouldBlock)) {
		t.Errorf("after that: %d, %v", again, err)
	}
}

func TestEverythingThatArrivedIsDeliveredAfterThePeerClosed(t *testing.T) {
	o := Options{Latency: 300 * time.Millisecond}
	out, in := pair(t, o, o)
	ctx := within(t, 10*time.Second)
	want := messages(200, 1316, 3)
	if err := push(ctx, out, want, 20); err != nil {
		t.Fatal(err)
	}
	if err := out.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	out.Close()
	got := 0
	err := collect(ctx, in, NewBatch(16), len(want)+1, func(m []byte) {
		if !bytes.Equal(m, want[got]) {
			t.Fatalf("message %d differs", got)
		}
		got++
	})
	if got != len(want) || !errors.Is(err, ErrBroken) {
		t.Fatalf("%d of %d messages, then %v", got, len(want), err)
	}
	if _, err := in.Send(want[:1]); !errors.Is(err, ErrBroken) {
		t.Errorf("send on a broken connection: %v", err)
	}
	if _, err := in.Stats(); !errors.Is(err, ErrBroken) {
		t.Errorf("stats of a broken connection: %v", err)
	}
}

func TestCloseUnderConcurrentUse(t *testing.T) {
	l := listen(t, Options{}, nil)
	for range 100 {
		out, in := connect(t, l, Options{Passphrase: ""})
		var wg sync.WaitGroup
		started := make(chan struct{}, 6)
		run := func(f func() error) {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := 0; ; i++ {
					err := f()
					if i == 0 {
						started <- struct{}{}
					}
					if err != nil && !errors.Is(err, ErrWouldBlock) {
						if !errors.Is(err, ErrClosed) && !errors.Is(err, ErrBroken) {
							t.Error(err)
						}
						return
					}
				}
			}()
		}
		m := messages(4, 1316, 1)
		for _, c := range []*Conn{out, in} {
			run(func() error { _, err := c.Send(m); return err })
			b := NewBatch(8)
			run(func() error { _, err := c.Recv(b); return err })
			run(func() error { _, err := c.Stats(); return err })
		}
		for range 6 {
			<-started
		}
		wg.Add(2)
		go func() { defer wg.Done(); out.Close() }()
		go func() { defer wg.Done(); in.Close(); in.Close() }()
		wg.Wait()
		if _, err := out.Send(m); !errors.Is(err, ErrClosed) {
			t.Fatalf("send after close: %v", err)
		}
	}
}

func TestStatsOnlyGrow(t *testing.T) {
	out, in := pair(t, Options{Latency: 20 * time.Millisecond}, Options{Latency: 20 * time.Millisecond})
	ctx := within(t, 10*time.Second)
	var lastOut, lastIn Stats
	for i := range 20 {
		if err := push(ctx, out, messages(50, 1316, uint64(i)), 5); err != nil {
			t.Fatal(err)
		}
		if err := collect(ctx, in, NewBatch(16), 50, func([]byte) {}); err != nil {
			t.Fatal(err)
		}
		so, err := out.Stats()
		if err != nil {
			t.Fatal(err)
		}
		si, err := in.Stats()
		if err != nil {
			t.Fatal(err)
		}
		if so.PktSentUniqueTotal < lastOut.PktSentUniqueTotal+50 || so.ByteSentTotal <= lastOut.ByteSentTotal || so.MSTimestamp < lastOut.MSTimestamp {
			t.Fatalf("sender's counters fell: %+v, then %+v", lastOut, so)
		}
		if si.PktRecvUniqueTotal < lastIn.PktRecvUniqueTotal+50 || si.PktRecvTotal < lastIn.PktRecvTotal+50 {
			t.Fatalf("receiver's counters fell: %+v, then %+v", lastIn, si)
		}
		lastOut, lastIn = so, si
	}
	if lastOut.PktSentUniqueTotal != 1000 || lastIn.PktRecvUniqueTotal != 1000 || lastIn.PktRcvDropTotal != 0 {
		t.Errorf("sent %d, received %d, dropped %d, want 1000, 1000, 0", lastOut.PktSentUniqueTotal, lastIn.PktRecvUniqueTotal, lastIn.PktRcvDropTotal)
	}
	if lastOut.MSRTT <= 0 || lastIn.MSRcvTsbPdDelay != 20 || lastOut.ByteMSS != 1500 {
		t.Errorf("gauges: %+v", lastOut)
	}
}

func TestKilledPeerIsNoticed(t *testing.T) {
	const idle = 700 * time.Millisecond
	l := listen(t, Options{PeerIdleTimeout: idle}, nil)
	kill := farEnd(t, l, "talk")
	c, err := l.Accept(within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := within(t, 20*time.Second)
	if err := push(ctx, c, messages(2000, 1316, 1), 1); err != nil {
		t.Errorf("while it lives: %v", err)
	}
	if err := collect(ctx, c, NewBatch(16), 20, func([]byte) {}); err != nil {
		t.Error(err)
	}
	endless := make([][]byte, 20000)
	for i := range endless {
		endless[i] = make([]byte, 1316)
	}
	kill()
	killed := time.Now()
	err = push(ctx, c, endless, 1)
	if took := time.Since(killed); !errors.Is(err, ErrBroken) || took < idle || took > idle+time.Second {
		t.Errorf("the sending side noticed after %v: %v", took, err)
	}
	err = collect(ctx, c, NewBatch(16), 1<<30, func([]byte) {})
	if took := time.Since(killed); !errors.Is(err, ErrBroken) || took > 8*time.Second {
		t.Errorf("the receiving side noticed after %v: %v", took, err)
	}
}

func TestPausesAreNotSilence(t *testing.T) {
	out, _ := pair(t, Options{PeerIdleTimeout: 300 * time.Millisecond}, Options{})
	ctx := within(t, 10*time.Second)
	m := messages(1, 1316, 1)
	for _, pause := range []time.Duration{50, 260, 700, 1500, 260, 260, 260} {
		if _, err := out.Send(m); err != nil {
			t.Fatalf("before a pause of %v: %v", pause*time.Millisecond, err)
		}
		select {
		case <-time.After(pause * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func TestSendAndRecvDoNotAllocate(t *testing.T) {
	o := Options{Latency: 20 * time.Millisecond, Passphrase: secret}
	out, in := pair(t, o, o)
	ctx := within(t, 30*time.Second)
	b, m := NewBatch(8), messages(8, 1336, 1)
	send := testing.AllocsPerRun(200, func() {
		if _, err := out.Send(m); err != nil && !errors.Is(err, ErrWouldBlock) {
			t.Fatal(err)
		}
	})
	got := 0
	if err := collect(ctx, in, b, 1, func([]byte) { got++ }); err != nil {
		t.Fatal(err)
	}
	<-time.After(out.Latency() + 100*time.Millisecond) // all is due
	recv := testing.AllocsPerRun(400, func() {
		n, err := in.Recv(b)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			got += len(b.Msg(i)) / 1336
		}
	})
	stats := testing.AllocsPerRun(100, func() { in.Stats() })
	if send != 0 || recv != 0 || stats != 0 || got < 100 {
		t.Errorf("allocations: %v per Send, %v per Recv, %v per Stats; %d messages came", send, recv, stats, got)
	}
}
