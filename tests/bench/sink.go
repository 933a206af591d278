package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"quartet/tests/tsgen"
)

// sink is where one system's output goes. It ticks off the numbers that came
// out and measures how long after they went in.
type sink struct {
	// set at start, never changed
	feed *feed
	fd   int
	addr netip.AddrPort

	// owned by the sinks' run, read after it
	got     bits
	delay   delays
	next    uint64
	again   uint64 // packets that had come out before
	swapped uint64 // packets that came out after a later one
	foreign uint64 // what is no packet of the feed

	last  atomic.Int64 // wall clock of the last datagram
	count atomic.Uint64
}

// sinks are all outputs of a run, read by one goroutine. The kernel stamps the
// datagrams as they come, so reading them in batches hides no delay.
type sinks struct {
	all      []*sink
	from, to atomic.Uint64 // datagrams whose delay counts
}

const neverDatagram = 1 << 62

// newSinks opens n outputs for a feed.
func newSinks(n int, f *feed) (*sinks, error) {
	s := new(sinks)
	s.from.Store(neverDatagram)
	s.to.Store(neverDatagram)
	for range n {
		k, err := newSink(f)
		if err != nil {
			s.close()
			return nil, err
		}
		s.all = append(s.all, k)
	}
	return s, nil
}

func newSink(f *feed) (*sink, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("sink: socket: %w", err)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20) != nil { // needs CAP_NET_ADMIN
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20)
	}
	k := &sink{feed: f, fd: fd, got: newBits(f.limit * tsPerDatagram)}
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	var at unix.Sockaddr
	if err == nil {
		at, err = unix.Getsockname(fd)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("sink: %w", err)
	}
	k.addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(at.(*unix.SockaddrInet4).Port))
	return k, nil
}

// run reads every output each 2 ms until ctx ends, then closes them.
func (s *sinks) run(ctx context.Context) {
	defer s.close()
	t := time.NewTicker(2 * time.Millisecond)
	defer t.Stop()
	buf, oob := make([]byte, 4096), make([]byte, 128)
	for ctx.Err() == nil {
		<-t.C
		for _, k := range s.all {
			k.drain(buf, oob, s.from.Load(), s.to.Load())
		}
	}
}

func (s *sinks) close() {
	for _, k := range s.all {
		unix.Close(k.fd)
	}
}

// drain reads what has come.
func (k *sink) drain(buf, oob []byte, from, to uint64) {
	for {
		n, nn, _, _, err := unix.Recvmsg(k.fd, buf, oob, unix.MSG_DONTWAIT)
		if err != nil {
			return
		}
		at := stamp(oob[:nn])
		if at == 0 {
			at = wall()
		}
		k.take(at, buf[:n], from, to)
	}
}

// stamp reads the kernel's time of arrival from a control message; 0 if there
// is none.
func stamp(oob []byte) int64 {
	const head = unsafe.Sizeof(unix.Cmsghdr{})
	if uintptr(len(oob)) < head+16 {
		return 0
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
	if h.Level != unix.SOL_SOCKET || h.Type != unix.SO_TIMESTAMPNS {
		return 0
	}
	sec := int64(binary.NativeEndian.Uint64(oob[head:]))
	return sec*1e9 + int64(binary.NativeEndian.Uint64(oob[head+8:]))
}

// take ticks off a datagram that arrived at at (wall clock, ns).
func (k *sink) take(at int64, b []byte, from, to uint64) {
	k.last.Store(at)
	k.count.Add(1)
	k.foreign += uint64(min(1, len(b)%tsgen.PacketSize))
	timed := false
	for ; len(b) >= tsgen.PacketSize; b = b[tsgen.PacketSize:] {
		n, ok := numberOf(b[:tsgen.PacketSize])
		if !ok {
			continue
		}
		if !k.got.holds(n) || n/tsPerDatagram >= k.feed.limit {
			k.foreign++
			continue
		}
		if k.got.has(n) {
			k.again++
			continue
		}
		if n < k.next {
			k.swapped++
		}
		k.next = max(k.next, n+1)
		k.got.set(n)
		if d := n / tsPerDatagram; !timed && d >= from && d < to {
			timed = true
			k.delay.add((at - k.feed.sentAt[d].Load()) / 1000)
		}
	}
}

// flowing tells whether the output has come to life: it has given packets, the
// last of them just now.
func (k *sink) flowing() bool {
	return k.count.Load() > 50 && wall()-k.last.Load() < 100e6
}

// drops is how many datagrams the kernel could not keep for the sinks.
func (s *sinks) drops() (n uint64) {
	for _, k := range s.all {
		var info [9]uint32 // SK_MEMINFO_*; drops are the last
		size := uint32(unsafe.Sizeof(info))
		_, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(k.fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if e == 0 {
			n += uint64(info[8])
		}
	}
	return n
}

// missing is what did not come out of a span of datagrams.
type missing struct {
	Sent uint64 `json:"sent"` // numbered TS packets
	Lost uint64 `json:"lost"`
	Runs uint64 `json:"runs"` // gaps: lost packets that follow each other
	Max  uint64 `json:"max"`  // longest gap, TS packets
}

// missing counts after run has ended.
func (k *sink) missing(from, to uint64) (m missing) {
	var run uint64
	for n := from * tsPerDatagram; n < to*tsPerDatagram; n++ {
		if !k.feed.sent.has(n) {
			continue // a table
		}
		m.Sent++
		if k.got.has(n) {
			run = 0
			continue
		}
		if m.Lost++; run == 0 {
			m.Runs++
		}
		run++
		m.Max = max(m.Max, run)
	}
	return m
}
