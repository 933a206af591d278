package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

var start = time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)

func open(t testing.TB, cfg Config) *Log {
	t.Helper()
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return start }
	}
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func add(t testing.TB, l *Log, r Record) Record {
	t.Helper()
	r, err := l.Append(r)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func all(t testing.TB, l *Log) []Record {
	t.Helper()
	list, err := l.Query(0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// S12, of this package: an action is one record, with who, from where, what and
// how it went; it is there after a restart, and is handed on once.
func TestS12Record(t *testing.T) {
	dir := t.TempDir()
	var sent []Record
	cfg := Config{Dir: dir, Boot: "boot-1", Uptime: func() time.Duration { return 90 * time.Second }, OnRecord: func(r Record) { sent = append(sent, r) }}
	l := open(t, cfg)
	for i, action := range []string{"login", "config.change", "update", "factory-reset", "clock.set"} {
		r := add(t, l, Record{Actor: "ada", Role: "admin", Source: "192.0.2.7", Action: action, Target: "paths[1].url", Outcome: Done, Detail: "one line"})
		if r.Seq != uint64(i+1) || !r.Time.Equal(start) || r.Boot != "boot-1" || r.UptimeMS != 90000 {
			t.Fatalf("%+v", r)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, cfg)
	got := all(t, l)
	if len(got) != 5 || len(sent) != 5 || l.Last() != 5 || l.Damaged() != 0 {
		t.Fatalf("%d records, %d handed on, last %d, damaged %d", len(got), len(sent), l.Last(), l.Damaged())
	}
	for i := range got {
		if got[i] != sent[i] {
			t.Errorf("kept %+v\n sent %+v", got[i], sent[i])
		}
	}
	if list, err := l.Query(3, 1); err != nil || len(list) != 1 || list[0].Seq != 4 {
		t.Fatalf("%v, %v", list, err)
	}
	if list, err := l.Latest(2); err != nil || len(list) != 2 || list[0].Seq != 4 {
		t.Fatalf("%v, %v", list, err)
	}
	if list, err := l.Latest(99); err != nil || len(list) != 5 {
		t.Fatalf("%v, %v", list, err)
	}
	if r := add(t, l, Record{Action: "reboot", Outcome: Done}); r.Seq != 6 {
		t.Fatalf("number %d after a restart", r.Seq)
	}
	if st, err := os.Stat(filepath.Join(dir, part{first: 1}.name())); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatal(st, err)
	}
}

// Nobody writes lines of their own, or long ones.
func TestTextsAreTidied(t *testing.T) {
	l := open(t, Config{Dir: t.TempDir()})
	r := add(t, l, Record{Action: "login", Actor: "eve\n00000000 {\"seq\":9}\u2028x\xff", Outcome: Refused, Target: strings.Repeat("ü", 300), Detail: strings.Repeat("d", 5000)})
	if strings.ContainsAny(r.Actor, "\n\u2028") || !utf8.ValidString(r.Actor) || len(r.Target) > maxText || !strings.HasSuffix(r.Target, "ü…") || len(r.Detail) > maxDetail {
		t.Fatalf("%q %d %d", r.Actor, len(r.Target), len(r.Detail))
	}
	if got := all(t, l); len(got) != 1 || got[0] != r {
		t.Fatalf("%+v", got)
	}
}

// The ring keeps to its limit, drops the oldest, and numbers on.
func TestRingIsBounded(t *testing.T) {
	dir := t.TempDir()
	const limit = segments * minSegment
	l := open(t, Config{Dir: dir, Limit: limit})
	const n = 400
	for i := range n {
		add(t, l, Record{Action: "config.change", Outcome: Done, Target: fmt.Sprint(i), Detail: strings.Repeat("x", 700)})
		if i%70 == 0 { // also across restarts
			l.Close()
			l = open(t, Config{Dir: dir, Limit: limit})
		}
	}
	var size int64
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		st, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		size += st.Size()
	}
	if size > limit || size < limit*3/4 || len(files) > segments {
		t.Fatalf("%d bytes in %d files, limit %d", size, len(files), limit)
	}
	got := all(t, l)
	if got[len(got)-1].Seq != n || got[0].Seq < 2 {
		t.Fatalf("kept %d to %d", got[0].Seq, got[len(got)-1].Seq)
	}
	for i := range got {
		if got[i].Seq != got[0].Seq+uint64(i) || got[i].Target != fmt.Sprint(got[i].Seq-1) {
			t.Fatalf("record %d is %+v", i, got[i])
		}
	}
	after := got[len(got)/2].Seq
	if list, err := l.Query(after, 10); err != nil || len(list) != 10 || list[0].Seq != after+1 {
		t.Fatalf("from %d on: %v, %v", after, list, err)
	}
}

// F19: the last segment cut off at every byte. The log opens; every record
// before the cut is there as it was, none is made up, and the next one follows.
func TestF19TornAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Config{Dir: dir})
	var want []Record
	var ends []int
	size := 0
	for i := range 3 {
		r := add(t, l, Record{Actor: "ada", Action: "login", Outcome: Done, Detail: strings.Repeat("é", i)})
		want = append(want, r)
		line, err := appendLine(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		size += len(line)
		ends = append(ends, size)
	}
	l.Close()
	name := part{first: 1}.name()
	whole, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || len(whole) != size {
		t.Fatalf("%d bytes, not %d: %v", len(whole), size, err)
	}
	for cut := range size + 1 {
		for _, tail := range []string{"", "\x00\x00\x00"} { // a file system may leave zeros
			d := t.TempDir()
			if tail != "" && cut%4 != 0 {
				continue
			}
			if err := os.WriteFile(filepath.Join(d, name), append(append([]byte{}, whole[:cut]...), tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			l, err := Open(Config{Dir: d, Now: func() time.Time { return start }})
			if err != nil {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			complete := 0
			for complete < len(ends) && ends[complete] <= cut {
				complete++
			}
			got := all(t, l)
			if len(got) != complete || l.Damaged() != 0 {
				t.Fatalf("cut at %d: %d records, want %d; damaged %d", cut, len(got), complete, l.Damaged())
			}
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("cut at %d: record %d is %+v", cut, i, got[i])
				}
			}
			next := add(t, l, Record{Action: "start", Outcome: Done})
			if next.Seq != uint64(complete+1) {
				t.Fatalf("cut at %d: the next number is %d", cut, next.Seq)
			}
			l.Close()
			l = open(t, Config{Dir: d})
			if got := all(t, l); len(got) != complete+1 || got[complete] != next {
				t.Fatalf("cut at %d: %d records after another one", cut, len(got))
			}
			l.Close()
		}
	}
}

// Damage within costs the records that it hits.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Config{Dir: dir})
	for range 5 {
		add(t, l, Record{Action: "login", Outcome: Done})
	}
	l.Close()
	name := filepath.Join(dir, part{first: 1}.name())
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(b), `"seq":3`)
	b[at+6] = '9'
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	// Files that are none of ours, and empty segments, are left alone.
	for _, other := range []string{"notes.txt", "audit.v1.zz.log", "audit.v2.0000000000000001.log", part{first: 6}.name()} {
		if err := os.WriteFile(filepath.Join(dir, other), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l = open(t, Config{Dir: dir})
	if got := all(t, l); len(got) != 4 || got[2].Seq != 4 || l.Damaged() != 1 {
		t.Fatalf("%+v, damaged %d", got, l.Damaged())
	}
	if r := add(t, l, Record{Action: "login", Outcome: Done}); r.Seq != 6 {
		t.Fatalf("number %d", r.Seq)
	}
}

// A disk that takes nothing gives an error and loses nothing of what is there.
func TestDiskError(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Config{Dir: dir})
	add(t, l, Record{Action: "one", Outcome: Done})
	l.file.Close() // as if the disk were gone: writes fail
	if _, err := l.Append(Record{Action: "two", Outcome: Done}); !errors.Is(err, os.ErrClosed) {
		t.Fatal(err)
	}
	if r := add(t, l, Record{Action: "three", Outcome: Done}); r.Seq != 2 {
		t.Fatalf("number %d", r.Seq)
	}
	if got := all(t, l); len(got) != 2 || got[1].Action != "three" {
		t.Fatalf("%+v", got)
	}
}

func TestAtOnce(t *testing.T) {
	var sent []uint64
	l := open(t, Config{Dir: t.TempDir(), OnRecord: func(r Record) { sent = append(sent, r.Seq) }})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				if _, err := l.Append(Record{Action: "login", Outcome: Done}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i, seq := range sent {
		if seq != uint64(i+1) {
			t.Fatalf("handed on as number %d: %d", i+1, seq)
		}
	}
	if len(sent) != 80 || len(all(t, l)) != 80 {
		t.Fatalf("%d handed on, %d kept", len(sent), len(all(t, l)))
	}
}

func FuzzParseLine(f *testing.F) {
	line, err := appendLine(nil, Record{Seq: 7, Time: start, Action: "login", Outcome: Done})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(strings.TrimSuffix(string(line), "\n"))
	f.Add("00000000 {}")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parseLine(s)
		if err == nil && r.Seq == 0 {
			t.Errorf("%q is a record without number", s)
		}
	})
}
