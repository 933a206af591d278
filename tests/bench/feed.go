package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"quartet/tests/tsgen"
)

const (
	tsPerDatagram = 7
	datagramBytes = tsPerDatagram * tsgen.PacketSize
)

// numberOf reads the number that tsgen writes into each packet that carries
// media; tables have none.
func numberOf(p []byte) (n uint64, ok bool) {
	pid := binary.BigEndian.Uint16(p[1:]) & 0x1FFF
	if p[0] != 0x47 || pid != tsgen.PIDVideo && pid != tsgen.PIDAudio {
		return 0, false
	}
	at := 4
	if p[3]&0x20 != 0 {
		at += 1 + int(p[4])
	}
	if at+8 > tsgen.PacketSize {
		return 0, false
	}
	return binary.BigEndian.Uint64(p[at:]), true
}

// bits is a set of packet numbers.
type bits []uint64

func newBits(n uint64) bits        { return make(bits, n/64+1) }
func (b bits) has(n uint64) bool   { return b[n/64]>>(n%64)&1 == 1 }
func (b bits) set(n uint64)        { b[n/64] |= 1 << (n % 64) }
func (b bits) holds(n uint64) bool { return n/64 < uint64(len(b)) }

// feed makes a numbered transport stream at its rate and hands each datagram,
// seven packets, to every system at the same instant. It notes when.
type feed struct {
	// set at start, never changed
	stream  *tsgen.Stream
	targets []unix.Sockaddr
	give    func(now int64, datagram []byte) // besides targets; may be nil
	fd      int
	limit   uint64 // datagrams
	begin   int64  // wall clock, ns

	sentAt  []atomic.Int64 // by datagram: wall clock, ns
	sent    bits           // numbered packets; owned by run, read after it
	count   atomic.Uint64  // datagrams sent
	stall   atomic.Int64   // ns that a datagram was late at most, since clearStall
	refused atomic.Uint64  // datagrams that the kernel did not take
	closing sync.Once
}

// newFeed prepares a feed of at most length.
func newFeed(rateBPS int64, seed uint64, length time.Duration, targets []netip.AddrPort) (*feed, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("feed: socket: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<20)
	limit := uint64(length.Seconds()*float64(rateBPS)/8/datagramBytes) + 1
	f := &feed{
		stream: tsgen.New(rateBPS, seed), fd: fd, limit: limit,
		sentAt: make([]atomic.Int64, limit), sent: newBits(limit * tsPerDatagram),
	}
	for _, t := range targets {
		f.targets = append(f.targets, &unix.SockaddrInet4{Port: int(t.Port()), Addr: t.Addr().As4()})
	}
	return f, nil
}

// close frees the socket; run has done so when it returns.
func (f *feed) close() { f.closing.Do(func() { unix.Close(f.fd) }) }

func wall() int64 { return time.Now().UnixNano() }

// run sends until ctx ends or the limit is reached.
func (f *feed) run(ctx context.Context) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer f.close()
	buf := make([]byte, 0, datagramBytes)
	f.begin = wall()
	for n := uint64(0); n < f.limit && ctx.Err() == nil; n++ {
		due := f.begin + f.stream.At(n*tsPerDatagram).Nanoseconds()
		now := wall()
		if wait := due - now; wait > 0 {
			ts := unix.NsecToTimespec(wait)
			unix.Nanosleep(&ts, nil)
			now = wall()
		}
		if late := now - due; late > f.stall.Load() {
			f.stall.Store(late)
		}
		buf = f.stream.Next(buf[:0], tsPerDatagram)
		for i := 0; i < len(buf); i += tsgen.PacketSize {
			if k, ok := numberOf(buf[i : i+tsgen.PacketSize]); ok {
				f.sent.set(k)
			}
		}
		f.sentAt[n].Store(now)
		for _, t := range f.targets {
			if err := unix.Sendto(f.fd, buf, 0, t); err != nil {
				f.refused.Add(1)
			}
		}
		if f.give != nil {
			f.give(now, buf)
		}
		f.count.Store(n + 1)
	}
}

// clearStall begins to look for stalls anew.
func (f *feed) clearStall() { f.stall.Store(0) }

// stallMS is the longest stall since then.
func (f *feed) stallMS() float64 { return float64(f.stall.Load()) / 1e6 }
