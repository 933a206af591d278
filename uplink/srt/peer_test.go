package srt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// farEnd starts this test's own program as a caller of l, with a role of
// peerProcess. What it returns kills it; the test's end does so too.
func farEnd(t testing.TB, l *Listener, role string) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "QUARTET_SRT_TEST_PEER="+l.Addr().String(), "QUARTET_SRT_TEST_ROLE="+role)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if log.Len() > 0 {
			t.Logf("far end: %s", log.String())
		}
	})
	t.Cleanup(kill)
	return kill
}

// What the load of the benchmarks is: four paths of 20 Mbit/s.
const (
	loadPaths = 4
	loadRate  = 20e6
	loadSize  = 1336 // RTP, seven TS packets, tag
	loadTick  = 2 * time.Millisecond
)

var loadOptions = Options{Passphrase: secret, KeyLength: 32, Latency: 120 * time.Millisecond}.Sized(loadRate, 50*time.Millisecond)

// peerProcess is a far end in a process of its own. It never returns.
func peerProcess(addr, role string) {
	if role == "lifecycle" {
		if err := lifecycle(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	dial := func(o Options) *Conn {
		c, err := Dial(context.Background(), addr, o)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return c
	}
	var run func() error
	switch role {
	case "talk": // sends a little and takes what comes
		c, m, b := dial(Options{}), [][]byte{make([]byte, 188)}, NewBatch(16)
		run = func() error {
			if _, err := c.Send(m); errors.Is(err, ErrBroken) {
				return err
			}
			_, err := c.Recv(b)
			return err
		}
	case "source", "sink":
		l := newLoad()
		for range loadPaths {
			l.conns = append(l.conns, dial(loadOptions))
		}
		run = l.send
		if role == "sink" {
			run = l.receive
		}
	}
	for range time.Tick(loadTick) {
		if run() != nil {
			os.Exit(0)
		}
	}
}

// load drives paths as the product does: from one tick to the next.
type load struct {
	conns []*Conn
	msgs  [][]byte
	batch *Batch
	start time.Time
	sent  int   // messages on each path
	bytes int64 // on all paths
}

func newLoad() *load {
	return &load{msgs: messages(64, loadSize, 1), batch: NewBatch(64), start: time.Now()}
}

func (l *load) send() error {
	due := int(time.Since(l.start).Seconds()*loadRate/8/loadSize) - l.sent
	due = min(due, len(l.msgs))
	for _, c := range l.conns {
		n, err := c.Send(l.msgs[:due])
		l.bytes += int64(n) * loadSize
		if err != nil && !errors.Is(err, ErrWouldBlock) {
			return err
		}
	}
	l.sent += due
	return nil
}

func (l *load) receive() error {
	for _, c := range l.conns {
		n, err := c.Recv(l.batch)
		if err != nil {
			return err
		}
		for i := range n {
			l.bytes += int64(len(l.batch.Msg(i)))
		}
	}
	return nil
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchmarkLoad measures this process's CPU time for each GB; the other end is
// another process.
func benchmarkLoad(b *testing.B, role string, step func(*load) error) {
	l := listen(b, loadOptions, nil)
	farEnd(b, l, role)
	work := newLoad()
	ctx := within(b, 60*time.Second)
	for range loadPaths {
		c, err := l.Accept(ctx)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		work.conns = append(work.conns, c)
	}
	tick := time.NewTicker(loadTick)
	defer tick.Stop()
	turn := func(d time.Duration) {
		for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
			if err := step(work); err != nil {
				b.Fatal(err)
			}
		}
	}
	turn(time.Second)
	work.bytes = 0
	before := cpuTime()
	for b.Loop() {
		turn(time.Second)
	}
	used := cpuTime() - before
	b.ReportMetric(used.Seconds()/(float64(work.bytes)/1e9), "cpu-s/GB")
	b.ReportMetric(float64(work.bytes)*8/1e6/b.Elapsed().Seconds(), "Mbit/s")
}

// BenchmarkSend: four AES-256 paths of 20 Mbit/s, sending side.
func BenchmarkSend(b *testing.B) { benchmarkLoad(b, "sink", (*load).send) }

// BenchmarkReceive: four AES-256 paths of 20 Mbit/s, receiving side.
func BenchmarkReceive(b *testing.B) { benchmarkLoad(b, "source", (*load).receive) }
