package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Outcomes of an action. Others are allowed.
const (
	Done    = "done"
	Refused = "refused" // by rights, by a rule, or because it was wrong
	Failed  = "failed"  // tried, and it did not work
)

// Record is one action. Empty fields are left out of the file.
type Record struct {
	Seq      uint64    `json:"seq"`                 // from 1; given by Append
	Time     time.Time `json:"time"`                // wall clock, as good as it was; Append's now if zero
	Boot     string    `json:"boot,omitempty"`      // boot id; Config.Boot if empty
	UptimeMS int64     `json:"uptime_ms,omitempty"` // since boot, to correct times from before the clock was set
	Actor    string    `json:"actor,omitempty"`     // user; empty: the box itself
	Role     string    `json:"role,omitempty"`
	Source   string    `json:"source,omitempty"` // address it came from
	Action   string    `json:"action"`           // login, config.change, user.add, …
	Target   string    `json:"target,omitempty"` // what it was done to: a field's path, a user, a version
	Outcome  string    `json:"outcome"`          // Done, Refused, Failed
	Detail   string    `json:"detail,omitempty"` // one line for a person; no secrets
}

// Limits of a record's texts, in bytes; longer ones are cut.
const (
	maxText   = 128
	maxDetail = 1024
)

// Config is what a Log is made of.
type Config struct {
	// Dir is the folder of the segments; it is made if there is none.
	Dir string
	// Limit is what all segments together may have, in bytes; 0: 4 MiB. It is cut
	// into 16 segments.
	Limit int64
	// Boot is the boot id for records without one.
	Boot string
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Uptime is the time since boot; nil: records have none.
	Uptime func() time.Duration
	// OnRecord is handed each record once it is durable, one after the other and
	// in order, from the goroutine that appends; it must not append, and should
	// not block. Nil: nobody.
	OnRecord func(Record)
}

const (
	prefix       = "audit.v1."
	suffix       = ".log"
	segments     = 16
	defaultLimit = 4 << 20
	minSegment   = 8 << 10 // several of the longest lines
)

// Log is the record. It may be used by several goroutines; it starts none.
type Log struct {
	// set at start, never changed
	cfg     Config
	segment int64 // bytes after which a segment is full

	mu     sync.Mutex
	file   *os.File // the last segment; nil after an error, and before the first record
	list   []part   // oldest first
	next   uint64   // number of the next record
	broken int      // lines found damaged by Open
}

// part is a segment: the number of its first record, and its size in bytes.
type part struct {
	first uint64
	size  int64
}

func (p part) name() string { return fmt.Sprintf("%s%016x%s", prefix, p.first, suffix) }

// Open opens the log of a folder and cuts off what a power cut left torn.
func Open(cfg Config) (*Log, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Limit == 0 {
		cfg.Limit = defaultLimit
	}
	l := &Log{cfg: cfg, segment: max(minSegment, cfg.Limit/segments), next: 1}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("audit: make the log's folder: %w", err)
	}
	entries, err := os.ReadDir(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("audit: read the log's folder: %w", err)
	}
	for _, e := range entries {
		var p part
		if n, _ := fmt.Sscanf(e.Name(), prefix+"%016x"+suffix, &p.first); n != 1 || e.Name() != p.name() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, fmt.Errorf("audit: %w", err)
		}
		p.size = info.Size()
		l.list = append(l.list, p)
	}
	slices.SortFunc(l.list, func(a, b part) int {
		if a.first < b.first {
			return -1
		}
		return 1
	})
	for i := range l.list {
		last := i == len(l.list)-1
		if err := l.check(&l.list[i], last); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// check reads a segment through, for the number of its last record and for
// damage. Of the last one it cuts off a torn tail.
func (l *Log) check(p *part, last bool) error {
	name := filepath.Join(l.cfg.Dir, p.name())
	b, err := l.load(*p)
	if err != nil {
		return err
	}
	l.next = max(l.next, p.first)
	good := 0 // offset behind the last whole line
	for line := range strings.Lines(string(b)) {
		whole := strings.HasSuffix(line, "\n")
		r, err := parseLine(strings.TrimSuffix(line, "\n"))
		switch {
		case err == nil && whole:
			l.next = max(l.next, r.Seq+1)
			good += len(line)
		case last && !whole: // the tail
		default:
			l.broken++
			good += len(line)
		}
	}
	if !last || good == len(b) {
		return nil
	}
	p.size = int64(good)
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err == nil {
		err = errors.Join(f.Truncate(p.size), f.Sync(), f.Close())
	}
	if err != nil {
		return fmt.Errorf("audit: cut off a torn record: %w", err)
	}
	return nil
}

// Damaged is how many records Open found that cannot be read.
func (l *Log) Damaged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

// Append numbers a record, writes it, and returns it as written. When the error
// is nil the record survives a power cut. On a full disk the oldest segment
// makes room.
func (l *Log) Append(r Record) (Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r = l.complete(r)
	line, err := appendLine(nil, r)
	if err != nil {
		return r, fmt.Errorf("audit: %w", err)
	}
	if err = l.write(r.Seq, line); err != nil && l.dropOldest() {
		err = l.write(r.Seq, line)
	}
	if err != nil {
		return r, fmt.Errorf("audit: write a record: %w", err)
	}
	l.next = r.Seq + 1
	if l.cfg.OnRecord != nil {
		l.cfg.OnRecord(r)
	}
	return r, nil
}

// complete fills in what the caller left out and cuts what is too long.
func (l *Log) complete(r Record) Record {
	r.Seq = l.next
	if r.Time.IsZero() {
		r.Time = l.cfg.Now()
	}
	r.Time = r.Time.UTC().Truncate(time.Millisecond)
	if r.Boot == "" {
		r.Boot = l.cfg.Boot
	}
	if r.UptimeMS == 0 && l.cfg.Uptime != nil {
		r.UptimeMS = l.cfg.Uptime().Milliseconds()
	}
	for _, s := range []*string{&r.Boot, &r.Actor, &r.Role, &r.Source, &r.Action, &r.Target, &r.Outcome} {
		*s = tidy(*s, maxText)
	}
	r.Detail = tidy(r.Detail, maxDetail)
	return r
}

// tidy makes a text one line of at most n bytes of UTF-8, so that nobody writes
// lines of their own into what a person reads later.
func tidy(s string, n int) string {
	s = strings.Map(func(c rune) rune {
		if c < 0x20 || c == 0x7F || c == 0x85 || c == 0x2028 || c == 0x2029 || c == utf8.RuneError {
			return ' '
		}
		return c
	}, s)
	if len(s) <= n {
		return s
	}
	cut := n - len("…")
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// write appends a line to the last segment, or begins one.
func (l *Log) write(seq uint64, line []byte) (err error) {
	n := len(l.list)
	if n == 0 || l.list[n-1].size+int64(len(line)) > l.segment {
		if err := l.begin(seq); err != nil {
			return err
		}
		n = len(l.list)
	}
	if l.file == nil {
		name := filepath.Join(l.cfg.Dir, l.list[n-1].name())
		if l.file, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600); err != nil {
			l.file = nil
			return err
		}
	}
	last := &l.list[n-1]
	_, err = l.file.WriteAt(line, last.size)
	if err = errors.Join(err, l.file.Sync()); err != nil {
		// What is half there is written over by the next one, or cut off by Open.
		err = errors.Join(err, l.file.Truncate(last.size), l.file.Close())
		l.file = nil
		return err
	}
	last.size += int64(len(line))
	return nil
}

// begin starts a segment and drops the oldest ones beyond the limit.
func (l *Log) begin(seq uint64) error {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
	p := part{first: seq}
	f, err := os.OpenFile(filepath.Join(l.cfg.Dir, p.name()), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := l.sync(); err != nil {
		f.Close()
		return err
	}
	l.file = f
	if n := len(l.list); n > 0 && l.list[n-1].first == seq { // an empty one of that name
		l.list = l.list[:n-1]
	}
	l.list = append(l.list, p)
	for len(l.list) > segments {
		if !l.dropOldest() {
			return errors.New("the oldest segment cannot be removed")
		}
	}
	return nil
}

// dropOldest removes the oldest segment if there is another one.
func (l *Log) dropOldest() bool {
	if len(l.list) < 2 {
		return false
	}
	err := os.Remove(filepath.Join(l.cfg.Dir, l.list[0].name()))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	l.list = l.list[1:]
	return true
}

func (l *Log) sync() error {
	f, err := os.Open(l.cfg.Dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Query returns up to limit records with numbers above after, oldest first.
// Damaged ones are left out.
func (l *Log) Query(after uint64, limit int) ([]Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []Record
	for i, p := range l.list {
		if i+1 < len(l.list) && l.list[i+1].first <= after+1 {
			continue // all of it is older
		}
		b, err := l.load(p)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(b)) {
			if len(found) >= limit {
				return found, nil
			}
			if r, err := parseLine(strings.TrimSuffix(line, "\n")); err == nil && r.Seq > after {
				found = append(found, r)
			}
		}
	}
	return found, nil
}

// Latest returns the last limit records, oldest first.
func (l *Log) Latest(limit int) ([]Record, error) {
	after := uint64(0)
	if last := l.Last(); last > uint64(max(limit, 0)) {
		after = last - uint64(max(limit, 0))
	}
	return l.Query(after, limit)
}

// Last is the number of the last record; 0 if there is none.
func (l *Log) Last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next - 1
}

// load reads what counts of a segment.
func (l *Log) load(p part) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(l.cfg.Dir, p.name()))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("audit: read the log: %w", err)
	}
	return b[:min(int64(len(b)), p.size)], nil
}

// Close ends the use of the log; every record is durable already.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
