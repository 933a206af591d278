package spool

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"syscall"
	"testing"
	"time"
)

const (
	metric Kind = 1
	alarm  Kind = 2
)

func open(fs FS, change func(*Config)) *Log {
	c := Config{FS: fs, Cap: 1 << 30, SegmentBytes: 4 << 10, Random: rand.Read, Thin: func(k Kind) bool { return k == metric },
		Preamble: func() []byte { return []byte("schema") }}
	if change != nil {
		change(&c)
	}
	return Open(c)
}

func number(n uint64) []byte {
	return append(binary.BigEndian.AppendUint64(nil, n), bytes.Repeat([]byte{byte(n)}, int(n%50))...)
}

// drain reads and acknowledges everything and returns the numbers in the data.
func drain(t *testing.T, l *Log) (got []uint64, missing uint64) {
	t.Helper()
	for {
		list, err := l.After(l.Acked(), 3000)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			return got, missing
		}
		for _, r := range list {
			if string(r.Preamble) != "schema" {
				t.Fatalf("record %d: preamble %q", r.Seq, r.Preamble)
			}
			n := binary.BigEndian.Uint64(r.Data)
			if !bytes.Equal(r.Data, number(n)) {
				t.Fatalf("record %d is damaged", r.Seq)
			}
			got = append(got, n)
			missing += r.Missing
		}
		l.Ack(list[len(list)-1])
	}
}

func wantRange(t *testing.T, got []uint64, from, to uint64) {
	t.Helper()
	if len(got) != int(to-from+1) {
		t.Fatalf("%d records, want %d…%d", len(got), from, to)
	}
	for i, n := range got {
		if n != from+uint64(i) {
			t.Fatalf("record %d is %d", i, n)
		}
	}
}

// TestLog: what goes in comes out once, over segments and restarts, and what
// is acknowledged goes.
func TestLog(t *testing.T) {
	fs := Folder(t.TempDir() + "/spool")
	n := uint64(0)
	for run := range 5 {
		l := open(fs, nil)
		for range 300 {
			n++
			l.Append(0, metric, number(n))
		}
		if list, _ := l.After(n-300, 1<<20); len(list) > 0 && list[len(list)-1].Seq == n {
			t.Error("a record is handed out before it is durable")
		}
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
		if run%2 == 0 {
			got, missing := drain(t, l)
			from := uint64(1)
			if run > 0 {
				from = n - 599 // that of the run before too
			}
			wantRange(t, got, from, n)
			if missing != 0 {
				t.Errorf("%d missing", missing)
			}
			l.Tick(2 * saveEvery)
			if s := l.Stats(); s.Segments > 1 || s.Acked != n {
				t.Errorf("%+v", s)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKeep: acknowledged segments stay up to a size, for the history.
func TestKeep(t *testing.T) {
	l := open(newDisk(1), func(c *Config) { c.Keep = 20 << 10 })
	for n := range uint64(3000) {
		l.Append(0, metric, number(n))
	}
	l.Sync()
	drain(t, l)
	l.Tick(2 * saveEvery)
	if s := l.Stats(); s.Bytes < 16<<10 || s.Bytes > 28<<10 {
		t.Errorf("%d bytes", s.Bytes)
	}
	n := 0
	l.Each(1<<40, func(Record) { n++ })
	few := 0
	l.Each(1, func(Record) { few++ })
	if n < 300 || few == 0 || few > n/3 {
		t.Errorf("%d records left, %d in the last segment", n, few)
	}
}

// TestThin: over the cap metrics are thinned, twice, and only then go; alarms
// stay as long as they can. A reader is told how many are missing.
func TestThin(t *testing.T) {
	fs := newDisk(2)
	l := open(fs, func(c *Config) { c.Cap = 64 << 10 })
	count := func() (kinds map[Kind]int, missing uint64) {
		kinds = map[Kind]int{}
		seq := uint64(0)
		for {
			list, err := l.After(seq, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range list {
				kinds[r.Kind]++
				missing += r.Missing
				seq = r.Seq
			}
			if len(list) == 0 {
				return kinds, missing
			}
		}
	}
	total := 0
	add := func(n int) {
		for range n {
			kind := metric
			if total%100 == 7 {
				kind = alarm
			}
			total++
			l.Append(0, kind, number(uint64(total)))
			l.Sync()
			l.Tick(0)
			if l.Stats().Bytes > 64<<10+8<<10 {
				t.Fatalf("%d bytes", l.Stats().Bytes)
			}
		}
	}
	add(1200)
	if _, missing := count(); missing != 0 {
		t.Fatalf("%d missing below the cap", missing)
	}
	add(2800)
	kinds, missing := count()
	if kinds[alarm] != 40 || kinds[metric] > 2000 || int(missing)+kinds[metric]+kinds[alarm] != total || l.Stats().Thinned != missing {
		t.Errorf("%v, %d missing of %d; %+v", kinds, missing, total, l.Stats())
	}
	add(60000)
	kinds, missing = count()
	if s := l.Stats(); s.Removed == 0 || int(missing)+kinds[metric]+kinds[alarm] != total {
		t.Errorf("%v, %d missing of %d; %+v", kinds, missing, total, s)
	}
	// The newest are whole.
	list, _ := l.After(uint64(total-50), 1<<20)
	if len(list) != 50 {
		t.Errorf("%d of the last 50", len(list))
	}
}

// TestF18DiskFailures: full, read-only, broken: nothing is lost up to the
// memory's size, and the log goes back to disk by itself.
func TestF18DiskFailures(t *testing.T) {
	for _, e := range []error{syscall.ENOSPC, syscall.EROFS, syscall.EIO} {
		for _, only := range []string{"", "write", "sync", "create", "sync folder", "rename"} {
			t.Run(fmt.Sprint(e, " ", only), func(t *testing.T) {
				fs := newDisk(3)
				l := open(fs, func(c *Config) { c.SegmentBytes = 600 })
				now := time.Duration(0)
				n := uint64(0)
				step := func(k int) {
					for range k {
						n++
						now += time.Second
						l.Append(now, metric, number(n))
						l.Sync()
						l.Tick(now)
					}
				}
				step(20)
				fs.broken = func(_ int, what string) error {
					if what != "read" && what != "list" && (only == "" || only == what) {
						return e
					}
					return nil
				}
				step(100)
				if s := l.Stats(); only != "rename" && (!s.Failing || s.Reason == "" || s.Failures == 0) {
					t.Errorf("%+v", s)
				}
				got, missing := drain(t, l) // also while it fails
				fs.broken = nil
				step(20)
				if s := l.Stats(); s.Failing || s.MemoryRecords > 0 {
					t.Errorf("%+v", s)
				}
				more, missing2 := drain(t, l)
				wantRange(t, append(got, more...), 1, n)
				if missing+missing2 != 0 {
					t.Errorf("%d missing", missing+missing2)
				}
			})
		}
	}
}

// TestF18UnreadableStart: a folder that cannot be read at the start is read
// later, and what came meanwhile is behind it.
func TestF18UnreadableStart(t *testing.T) {
	fs := newDisk(4)
	l := open(fs, nil)
	for n := range uint64(100) {
		l.Append(0, metric, number(n+1))
	}
	l.Close()
	fs.broken = func(int, string) error { return syscall.EIO }
	l = open(fs, nil)
	for n := range uint64(50) {
		l.Append(time.Second, metric, number(101+n))
		l.Tick(time.Second)
	}
	list, err := l.After(0, 1<<20)
	if err != nil || len(list) != 50 {
		t.Fatal(len(list), err)
	}
	fs.broken = nil
	l.Tick(time.Minute)
	l.Ack(list[49]) // an answer to what was sent before: it must not skip what is on disk
	got, missing := drain(t, l)
	wantRange(t, got, 1, 150)
	if missing != 0 {
		t.Errorf("%d missing", missing)
	}
	after, _ := l.After(149, 1<<20)
	if after[0].Epoch == list[49].Epoch {
		t.Error("another number with the same epoch")
	}
}

// TestUnreadableSegment: a segment that the disk does not hand out is given up
// after a few tries and counted.
func TestUnreadableSegment(t *testing.T) {
	fs := newDisk(5)
	l := open(fs, func(c *Config) { c.SegmentBytes = 600 })
	for n := range uint64(100) {
		l.Append(0, metric, number(n+1))
	}
	l.Sync()
	bad := l.segments[1]
	data := fs.names[bad.name()]
	data.data[3] ^= 1 // its magic
	got, missing := drain(t, l)
	lost := l.segments[2].first - bad.first
	if missing != lost || len(got) != 100-int(lost) {
		t.Errorf("%d missing, %d read, %d lost", missing, len(got), lost)
	}
}

// TestDamagedRecord: one flipped bit costs at most the records it is in.
func TestDamagedRecord(t *testing.T) {
	r := mrand.New(mrand.NewPCG(6, 6))
	for range 300 {
		fs := newDisk(6)
		l := open(fs, func(c *Config) { c.SegmentBytes = 1 << 20 })
		for n := range uint64(30) {
			l.Append(0, metric, number(n+1))
		}
		l.Close()
		data := fs.names[l.segments[0].name()].data
		at := headerSize + len("schema") + r.IntN(len(data)-headerSize-len("schema"))
		data[at] ^= 1 << r.IntN(8)
		l = open(fs, nil)
		list, err := l.After(0, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range list {
			if n := binary.BigEndian.Uint64(rec.Data); !bytes.Equal(rec.Data, number(n)) || n != rec.Seq {
				t.Fatalf("byte %d: record %d is damaged and was taken", at, rec.Seq)
			}
		}
	}
}

// TestF19PowerCuts: 1,000 power cuts, one at each write that a log does in
// turn, with whatever order of blocks the disk likes. Always: it starts; what
// was synced is there, once and whole; identities are never given twice; the
// last second's metrics may be gone, no alarm is.
func TestF19PowerCuts(t *testing.T) {
	seen := map[string]uint64{} // identity → content
	r := mrand.New(mrand.NewPCG(7, 7))
	fs := newDisk(7)
	n := uint64(0)
	now := time.Duration(0)
	var durable uint64 // content number that must be there
	var acked uint64   // content number that need not
	alarms := map[uint64]bool{}
	for cut := range 1000 {
		at := fs.ops + 1 + r.IntN(60)
		off := false
		fs.broken = func(op int, what string) error {
			if what != "read" && what != "list" && op >= at {
				off = true
				return errCut
			}
			if off {
				return errCut
			}
			return nil
		}
		l := open(fs, func(c *Config) { c.Cap, c.SegmentBytes, c.Keep = 12<<10, 2<<10, 2<<10 })
		last := uint64(0)
		list, err := l.After(l.Acked(), 1<<20)
		if err != nil && !off {
			t.Fatalf("cut %d: %v", cut, err)
		}
		present := map[uint64]bool{}
		for _, rec := range list {
			c := binary.BigEndian.Uint64(rec.Data)
			if !bytes.Equal(rec.Data, number(c)) || c <= last {
				t.Fatalf("cut %d: record %d after %d", cut, c, last)
			}
			last = c
			present[c] = true
			id := fmt.Sprint(rec.Epoch, rec.Seq)
			if was, ok := seen[id]; ok && was != c {
				t.Fatalf("cut %d: identity %s is %d and was %d", cut, id, c, was)
			}
			seen[id] = c
		}
		if !off && err == nil {
			for a := range alarms {
				if a > acked && a <= durable && !present[a] {
					t.Fatalf("cut %d: alarm %d is lost (durable to %d)", cut, a, durable)
				}
			}
			if thinned := l.Stats(); thinned.Removed == 0 && durable > acked && last < durable {
				t.Fatalf("cut %d: %d is lost; the last is %d", cut, durable, last)
			}
		}
		for !off {
			n++
			now += time.Second
			kind := metric
			if r.IntN(5) == 0 {
				kind = alarm
			}
			l.Append(now, kind, number(n))
			if kind == alarm || r.IntN(2) == 0 {
				if l.Sync() == nil && !off {
					durable = n
					if kind == alarm {
						alarms[n] = true
					}
				}
			}
			l.Tick(now)
			if r.IntN(8) == 0 && !off {
				if list, err := l.After(l.Acked(), 1500); err == nil && len(list) > 0 {
					for _, rec := range list {
						seen[fmt.Sprint(rec.Epoch, rec.Seq)] = binary.BigEndian.Uint64(rec.Data)
					}
					rec := list[len(list)-1]
					l.Ack(rec)
					acked = max(acked, binary.BigEndian.Uint64(rec.Data))
				}
			}
			if size := l.Stats().Bytes; !off && size > 20<<10 {
				t.Fatalf("cut %d: %d bytes", cut, size)
			}
		}
		fs = fs.cut()
	}
}

// TestAcked: the reader's place is believed only if it checks.
func TestAcked(t *testing.T) {
	b := appendAcked(4711)
	if parseAcked(b) != 4711 {
		t.Error(parseAcked(b))
	}
	b[0] = '9'
	if parseAcked(b) != 0 || parseAcked(nil) != 0 {
		t.Error("a damaged one is believed")
	}
}

// TestFolder: a folder that cannot be made is a failing disk, no panic.
func TestFolder(t *testing.T) {
	l := open(Folder("/proc/no/such"), nil)
	l.Append(0, alarm, number(1))
	if err := l.Sync(); err == nil {
		t.Error("no error")
	}
	if list, err := l.After(0, 1000); err != nil || len(list) != 1 {
		t.Error(list, err)
	}
	if err := l.Close(); err == nil || errors.Is(err, errCut) {
		t.Error(err)
	}
}

// FuzzSegment: whatever is on disk, a log starts, reads what it can, and goes
// on.
func FuzzSegment(f *testing.F) {
	d := newDisk(8)
	l := open(d, nil)
	for n := range uint64(5) {
		l.Append(0, metric, number(n))
	}
	l.Close()
	f.Add(d.names[l.segments[0].name()].data, appendAcked(3))
	f.Add([]byte(magic), []byte("1"))
	f.Fuzz(func(t *testing.T, data, place []byte) {
		d := newDisk(9)
		d.names["0000000000000001.seg"] = &inode{data, len(data)}
		d.names[ackedName] = &inode{place, len(place)}
		l := open(d, nil)
		if _, err := l.After(0, 1<<20); err != nil {
			t.Fatal(err)
		}
		if l.Stats().Last > 1<<62 {
			return
		}
		_, seq := l.Append(0, alarm, number(7))
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
		list, err := l.After(seq-1, 1000)
		if err != nil || len(list) != 1 || !bytes.Equal(list[0].Data, number(7)) {
			t.Fatalf("%v %v", list, err)
		}
		l.Close()
	})
}
