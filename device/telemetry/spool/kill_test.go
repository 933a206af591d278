package spool

import (
	"bufio"
	"encoding/binary"
	"fmt"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// childFolder is set in the process that TestF19KilledProcess kills.
const childFolder = "QUARTET_SPOOL_CHILD"

// TestChild writes to a log until it is killed, and says what is durable.
func TestChild(t *testing.T) {
	dir := os.Getenv(childFolder)
	if dir == "" {
		t.Skip("it is the child of TestF19KilledProcess")
	}
	l := open(Folder(dir), func(c *Config) { c.SegmentBytes = 16 << 10; c.Cap = 64 << 20 })
	for n := l.Stats().Last + 1; ; n++ {
		kind := metric
		if n%3 == 0 {
			kind = alarm
		}
		l.Append(0, kind, number(n))
		if kind == alarm {
			if err := l.Sync(); err != nil {
				t.Fatal(err)
			}
			fmt.Println("durable", n)
		}
		l.Tick(time.Duration(n) * 10 * time.Millisecond)
	}
}

// TestF19KilledProcess: a process that writes is killed at 200 moments. No alarm
// is lost, and of metrics what was not synced at most.
func TestF19KilledProcess(t *testing.T) {
	dir := t.TempDir()
	r := mrand.New(mrand.NewPCG(1, 1))
	var durable uint64
	for kill := range 200 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$", "-test.count=1")
		cmd.Env = append(os.Environ(), childFolder+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for left := 1 + r.IntN(8); left > 0 && lines.Scan(); left-- {
			fmt.Sscanf(lines.Text(), "durable %d", &durable)
		}
		time.AfterFunc(time.Duration(r.IntN(1500))*time.Microsecond, func() { _ = cmd.Process.Kill() })
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "durable") {
				fmt.Sscanf(lines.Text(), "durable %d", &durable)
			}
		}
		_ = cmd.Wait() // killed
		l := open(Folder(dir), nil)
		if last := l.Stats().Last; last < durable {
			t.Fatalf("kill %d: %d was durable and %d is the last", kill, durable, last)
		}
	}
	l := open(Folder(dir), nil)
	seen := uint64(0)
	l.Each(1<<40, func(rec Record) {
		if n := binary.BigEndian.Uint64(rec.Data); n != rec.Seq || n != seen+1 {
			t.Errorf("%d (number %d) after %d", n, rec.Seq, seen)
		}
		seen = rec.Seq
	})
	if seen < durable || seen < 200 {
		t.Errorf("%d records, %d durable", seen, durable)
	}
}
