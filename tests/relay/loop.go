package relay

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// session is a client and its socket towards the upstream.
type session struct {
	addr   netip.AddrPort
	client sockaddr
	fd     int
	seen   time.Duration // last datagram of the client
	gone   bool          // closed; packets in flight for it are dropped
}

// poller is the loop's own state.
type poller struct {
	fds      []unix.PollFd
	owners   []owner // of fds, index by index
	stale    bool    // sessions changed: build fds anew
	in, out  batch
	timeout  unix.Timespec // of the system call under way
	nextIdle time.Duration
}

type owner struct {
	relay   *Relay
	session *session // nil: the listening socket
}

// loop is the only goroutine of a group: wait, receive, decide, send what is due.
func (g *Group) loop(ctx context.Context) error {
	defer extraProc()()
	l := &poller{stale: true}
	g.mu.Lock()
	next, timed := g.send(l, g.cfg.Now())
	g.mu.Unlock()
	for ctx.Err() == nil {
		if l.stale {
			l.build(g)
		}
		if err := l.wait(g, next, timed); err != nil {
			return fmt.Errorf("relay: %w", err)
		}
		round := g.cfg.Now()
		g.mu.Lock()
		err := g.receive(l, round)
		next, timed = g.send(l, g.cfg.Now())
		g.expire(l, round)
		g.mu.Unlock()
		if err != nil {
			return fmt.Errorf("relay: %w", err)
		}
		// Rest, so that the next round finds several packets.
		if rest := round + g.cfg.Quantum - g.cfg.Now(); rest > 0 {
			l.rest(rest)
		}
	}
	return nil
}

func (l *poller) build(g *Group) {
	l.stale = false
	l.fds = append(l.fds[:0], unix.PollFd{Fd: int32(g.wake), Events: unix.POLLIN})
	l.owners = append(l.owners[:0], owner{})
	for _, r := range g.relays {
		l.fds = append(l.fds, unix.PollFd{Fd: int32(r.fd), Events: unix.POLLIN})
		l.owners = append(l.owners, owner{relay: r})
		for _, s := range r.sessions {
			l.fds = append(l.fds, unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN})
			l.owners = append(l.owners, owner{r, s})
		}
	}
}

// shortWait is slept through holding on to the scheduler's processor.
const shortWait = 2 * time.Millisecond

// wait returns when a socket is readable or the next packet is due.
//
// Short waits are raw system calls: the runtime is not told, so it does not
// hand the goroutine's processor to others and back thousands of times a second
// (which costs as much as all the rest). extraProc makes up for the processor.
func (l *poller) wait(g *Group, next time.Duration, timed bool) error {
	left := shortWait
	if timed {
		left = min(left, max(0, next-g.cfg.Now()))
	}
	l.timeout = unix.NsecToTimespec(int64(left))
	n, _, e := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&l.fds[0])), uintptr(len(l.fds)),
		uintptr(unsafe.Pointer(&l.timeout)), 0, 0, 0)
	if e != 0 && e != unix.EINTR {
		return fmt.Errorf("ppoll: %w", e)
	}
	if n > 0 || e != 0 || left < shortWait {
		return nil
	}
	var timeout *unix.Timespec
	if timed {
		l.timeout = unix.NsecToTimespec(int64(max(0, next-g.cfg.Now())))
		timeout = &l.timeout
	}
	if _, err := unix.Ppoll(l.fds, timeout, nil); err != nil && err != unix.EINTR {
		return fmt.Errorf("ppoll: %w", err)
	}
	return nil
}

// rest sleeps for at most the group's quantum.
func (l *poller) rest(d time.Duration) {
	l.timeout = unix.NsecToTimespec(int64(d))
	unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&l.timeout)), 0, 0)
}

var procs sync.Mutex

// extraProc gives the runtime one processor more for as long as a loop may
// sleep on one. It returns what takes it back.
func extraProc() (release func()) {
	add := func(n int) {
		procs.Lock()
		defer procs.Unlock()
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n)
	}
	add(1)
	return func() { add(-1) }
}

// receive reads every ready socket and lets the packets enter their pipe.
func (g *Group) receive(l *poller, now time.Duration) error {
	for n := range l.fds {
		if l.fds[n].Revents == 0 || l.owners[n].relay == nil {
			continue
		}
		r, s := l.owners[n].relay, l.owners[n].session
		r.applySchedule(now)
		// A flood on one socket must not starve the others.
		for range 16 {
			k, err := l.in.receive(int(l.fds[n].Fd), s == nil, &g.pool)
			if err != nil {
				return fmt.Errorf("receive: %w", err)
			}
			for i := range k {
				if err := r.enter(l, i, s, now); err != nil {
					return err
				}
			}
			if k < batchSize {
				break
			}
		}
	}
	return nil
}

// enter takes the i-th packet of the batch.
func (r *Relay) enter(l *poller, i int, s *session, now time.Duration) error {
	p := l.in.pkts[i]
	p.n = int(l.in.hdrs[i].n)
	pipe := &r.pipes[Down]
	if s == nil {
		pipe = &r.pipes[Up]
		var err error
		if s, err = r.session(l, addrPort(&l.in.names[i]), now); err != nil {
			return err
		}
		s.seen = now
	}
	if l.in.hdrs[i].hdr.Flags&unix.MSG_TRUNC != 0 {
		pipe.truncated(p.n)
		return nil // the buffer stays in the batch
	}
	l.in.pkts[i] = nil
	p.sess = s
	pipe.admit(now, p)
	return nil
}

// session finds the client's session or opens one.
func (r *Relay) session(l *poller, a netip.AddrPort, now time.Duration) (*session, error) {
	if r.lastSeen != nil && r.lastSeen.addr == a {
		return r.lastSeen, nil
	}
	s := r.sessions[a]
	if s == nil {
		if len(r.sessions) >= maxSessions {
			r.evict(l)
		}
		fd, err := r.dial()
		if err != nil {
			return nil, err
		}
		s = &session{addr: a, fd: fd, seen: now}
		s.client.set(a)
		r.sessions[a] = s
		l.stale = true
	}
	r.lastSeen = s
	return s, nil
}

// evict gives up the client that has been silent for longest.
func (r *Relay) evict(l *poller) {
	var oldest *session
	for _, s := range r.sessions {
		if oldest == nil || s.seen < oldest.seen {
			oldest = s
		}
	}
	r.evicted++
	r.drop(l, oldest)
}

func (r *Relay) drop(l *poller, s *session) {
	r.kernel += kernelDrops(s.fd)
	unix.Close(s.fd)
	s.gone = true
	delete(r.sessions, s.addr)
	if r.lastSeen == s {
		r.lastSeen = nil
	}
	// Its number may be given to another socket in this very round.
	for n := range l.owners {
		if l.owners[n].session == s {
			l.owners[n] = owner{}
		}
	}
	l.stale = true
}

// expire closes the sessions of clients that are silent for a minute.
func (g *Group) expire(l *poller, now time.Duration) {
	if now < l.nextIdle {
		return
	}
	l.nextIdle = now + time.Second
	for _, r := range g.relays {
		for _, s := range r.sessions {
			if now-s.seen > idleTimeout {
				r.drop(l, s)
			}
		}
	}
}

// send delivers what is due and returns when to come back at the latest.
func (g *Group) send(l *poller, now time.Duration) (next time.Duration, timed bool) {
	sooner := func(at time.Duration, ok bool) {
		if ok && (!timed || at < next) {
			next, timed = at, true
		}
	}
	for _, r := range g.relays {
		for d := range r.pipes {
			pipe := &r.pipes[d]
			for p := pipe.queue.pop(now); p != nil; p = pipe.queue.pop(now) {
				r.queueSend(&l.out, Direction(d), p, now)
			}
			r.flush(&l.out, pipe)
			sooner(pipe.Next())
		}
		sooner(r.applySchedule(now))
	}
	return next, timed
}

func (r *Relay) queueSend(b *batch, d Direction, p *packet, now time.Duration) {
	pipe := &r.pipes[d]
	if p.sess.gone {
		pipe.stats.Dropped.Send++
		r.group.pool.put(p)
		return
	}
	fd, to := r.fd, &p.sess.client
	if d == Up {
		fd, to = p.sess.fd, nil
	}
	if b.n == batchSize || b.n > 0 && b.fd != fd {
		r.flush(b, pipe)
	}
	b.fd = fd
	b.add(p, to)
	pipe.leave(p)
	late := (now - p.due).Microseconds()
	pipe.stats.LateSumUS += late
	pipe.stats.LateMaxUS = max(pipe.stats.LateMaxUS, late)
	if late > 1000 {
		pipe.stats.LateOver1MS++
	}
}

func (r *Relay) flush(b *batch, pipe *Pipe) {
	if b.n == 0 {
		return
	}
	refused, bytes := b.flush(&r.group.pool)
	pipe.stats.Dropped.Send += refused
	pipe.stats.PacketsOut -= refused
	pipe.stats.BytesOut -= bytes
}

// kick wakes the loop.
func (g *Group) kick() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		_, _ = unix.Write(g.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

// close frees all sockets.
func (g *Group) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	g.closed = true
	unix.Close(g.wake)
	for _, r := range g.relays {
		for _, s := range r.sessions {
			r.kernel += kernelDrops(s.fd)
			unix.Close(s.fd)
			s.gone = true
		}
		clear(r.sessions)
		r.kernel += kernelDrops(r.fd)
		unix.Close(r.fd)
	}
}
