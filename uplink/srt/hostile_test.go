package srt

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// rawCaller speaks SRT's handshake by hand, so that it can lie.
type rawCaller struct {
	conn *net.UDPConn
	hs   []byte // conclusion, before extensions: 64 bytes
	far  uint32 // the listener's socket id for us, once accepted
}

func rawCall(t *testing.T, addr string) *rawCaller {
	t.Helper()
	conn, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	r := &rawCaller{conn: conn.(*net.UDPConn)}
	hello := induction()
	r.conn.Write(hello)
	answer := r.read(2 * time.Second)
	if len(answer) < 64 {
		t.Fatalf("no answer to an induction: %d bytes", len(answer))
	}
	r.hs = hello
	put := func(at int, v uint32) { binary.BigEndian.PutUint32(r.hs[at:], v) }
	put(16, 5)
	put(20, 0)
	put(36, 0xffffffff) // conclusion
	copy(r.hs[44:48], answer[44:48])
	return r
}

func (r *rawCaller) read(wait time.Duration) []byte {
	b := make([]byte, 2048)
	r.conn.SetReadDeadline(time.Now().Add(wait))
	n, _ := r.conn.Read(b)
	return b[:n]
}

// extension appends a handshake extension; its words are swapped as libsrt does
// for text.
func extension(b []byte, kind uint16, body []byte, text bool) []byte {
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	b = binary.BigEndian.AppendUint16(b, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)/4))
	for i := 0; i < len(body); i += 4 {
		if text {
			b = append(b, body[i+3], body[i+2], body[i+1], body[i])
		} else {
			b = append(b, body[i:i+4]...)
		}
	}
	return b
}

var hsreq = []byte{0, 1, 5, 1, 0, 0, 0, 0xbf, 0, 120, 0, 120}

// conclude asks for the connection, with a packet filter if it is not empty.
func (r *rawCaller) conclude(filter string) []byte {
	b := append([]byte(nil), r.hs...)
	b[23] = 1 // HSREQ follows
	b = extension(b, 1, hsreq, false)
	if filter != "" {
		b[23] |= 4 // and configuration
		b = extension(b, 7, []byte(filter), true)
	}
	return b
}

// data is a packet with a payload of n bytes.
func (r *rawCaller) data(i uint32, n int) []byte {
	b := make([]byte, 16+n)
	binary.BigEndian.PutUint32(b, (binary.BigEndian.Uint32(r.hs[24:])+i)&0x7fffffff)
	binary.BigEndian.PutUint32(b[4:], 0xc0000000|(i+1)&0x3ffffff)
	binary.BigEndian.PutUint32(b[8:], i*1000)
	binary.BigEndian.PutUint32(b[12:], r.far)
	return b
}

// TestFilterCallerWithOversizedPackets does what crashes a listener that left
// libsrt's payload size at its default: it asks for a packet filter and sends the
// longest packets there are before it can be refused.
func TestFilterCallerWithOversizedPackets(t *testing.T) {
	l := listen(t, Options{}, nil)
	for _, filter := range []string{"fec,cols:10,rows:10", "fec,cols:2", "fec,cols:20,rows:3,layout:even,arq:onreq", "", "fec,cols:5,rows:2,layout:staircase,arq:always"} {
		r := rawCall(t, l.Addr().String())
		r.conn.Write(r.conclude(filter))
		answer := r.read(2 * time.Second)
		if len(answer) < 64 || binary.BigEndian.Uint32(answer[36:]) != 0xffffffff {
			t.Fatalf("%q: not answered as a connection: % x", filter, answer)
		}
		r.far = binary.BigEndian.Uint32(answer[40:])
		for i := range uint32(200) {
			p := r.data(i, MaxPayload)
			if filter != "" && i%11 == 10 { // a filter's own packet
				binary.BigEndian.PutUint32(p[4:], 0xc0000000)
				p[16] = byte(i) - 12
			}
			r.conn.Write(p)
		}
	}
	connect(t, l, Options{})
}

// TestHostileHandshakes throws handshakes with every field wrong at a listener;
// then it must still take an honest caller, whose stream meanwhile is unharmed.
func TestHostileHandshakes(t *testing.T) {
	o := Options{Latency: time.Second} // room for a busy machine
	l := listen(t, o, func(r Request) Answer { return Answer{OK: len(r.StreamID) < 20} })
	out, in := connect(t, l, o)
	rnd := rand.New(rand.NewPCG(1, 2))
	done := make(chan struct{})
	go func() {
		defer close(done)
		base := rawCall(t, l.Addr().String())
		for range 4000 {
			b := base.conclude([]string{"", "fec,cols:10,rows:10", "fec,cols:0,rows:0", "nonsense:,,", "fec,cols:1000,rows:1000"}[rnd.IntN(5)])
			b = extension(b, uint16(rnd.IntN(10)), make([]byte, 4*rnd.IntN(140)), true)
			binary.BigEndian.PutUint32(b[40:], rnd.Uint32()|1) // another socket each time
			for range rnd.IntN(4) {
				switch at := 16 + 4*rnd.IntN(7); rnd.IntN(3) {
				case 0:
					binary.BigEndian.PutUint32(b[at:], rnd.Uint32())
				case 1:
					binary.BigEndian.PutUint32(b[at:], uint32(rnd.IntN(1600)))
				default:
					b[rnd.IntN(len(b))] ^= byte(1 << rnd.IntN(8))
				}
			}
			base.conn.Write(b[:len(b)-rnd.IntN(2)*rnd.IntN(len(b))])
		}
	}()
	ctx := within(t, 30*time.Second)
	want := messages(2000, 1316, 4)
	sent := make(chan error, 1)
	go func() { sent <- push(ctx, out, want, 1) }()
	i := 0
	if err := collect(ctx, in, NewBatch(16), len(want), func(m []byte) {
		if binary.BigEndian.Uint64(m) != uint64(i) {
			t.Errorf("message %d came as %d", i, binary.BigEndian.Uint64(m))
		}
		i++
	}); err != nil {
		t.Error(err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	<-done
	c, err := Dial(ctx, l.Addr().String(), Options{StreamID: "honest"})
	var r *RejectError
	for errors.As(err, &r) && (r.Code == RejectBacklog || r.Code == RejectOverload) { // ghosts came before us
		wait, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		if in, err := l.Accept(wait); err == nil {
			in.Close()
		}
		cancel()
		c, err = Dial(ctx, l.Addr().String(), Options{StreamID: "honest"})
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for {
		in, err := l.Accept(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		if in.StreamID() == "honest" {
			return
		}
	}
}

// TestFloodOfHandshakes asks for 3,000 connections a second, each in good form
// and from a caller that proved its address, beside a stream that must not suffer.
func TestFloodOfHandshakes(t *testing.T) {
	o := Options{Latency: time.Second} // room for a busy machine
	l := listen(t, o, func(r Request) Answer { return Answer{OK: true} })
	out, in := connect(t, l, o)
	ctx := within(t, 30*time.Second)
	flood, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Add(2)
	base := rawCall(t, l.Addr().String())
	go func() {
		defer wg.Done()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		start, id := time.Now(), uint32(1)
		for flood.Err() == nil {
			for due := uint32(time.Since(start).Seconds() * 3000); id < due; id++ {
				b := base.conclude("")
				binary.BigEndian.PutUint32(b[40:], id)
				base.conn.Write(b)
			}
			<-tick.C
		}
	}()
	go func() { // what comes in is thrown out
		defer wg.Done()
		for {
			c, err := l.Accept(flood)
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	want := messages(2000, 1316, 4)
	wg.Add(1)
	go func() {
		defer wg.Done()
		if err := push(ctx, out, want, 1); err != nil {
			t.Error(err)
		}
	}()
	next := uint64(0)
	if err := collect(ctx, in, NewBatch(16), len(want), func(m []byte) {
		if k := binary.BigEndian.Uint64(m); k != next {
			t.Errorf("message %d came as %d", next, k)
			next = k
		}
		next++
	}); err != nil {
		s, _ := in.Stats()
		t.Errorf("%v after %d; %+v", err, next, s)
	}
}
