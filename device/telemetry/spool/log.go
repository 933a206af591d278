package spool

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Kind is what a record is; the caller says what the numbers mean.
type Kind uint8

// Record is one entry of the log.
type Record struct {
	Epoch Epoch
	Seq   uint64
	Kind  Kind
	Data  []byte
	// Preamble is that of the record's segment. Records of one segment share it.
	Preamble []byte
	// Missing is how many records between the one before and this one are gone:
	// thinned out, removed, damaged or never written.
	Missing uint64
	// Level says how often the record's segment was thinned.
	Level uint8

	numbering int // see Log.numbering
}

// Config is what a Log is made of.
type Config struct {
	FS FS
	// Cap is how many bytes the segments may have together.
	Cap int64
	// Keep is how many bytes of acknowledged segments stay, for who wants to read
	// them again.
	Keep int64
	// SegmentBytes is when a new segment is begun. 0: 1 MiB.
	SegmentBytes int64
	// Memory is how many bytes of records are held while the disk fails. 0: 4 MiB.
	Memory int
	// Retry is how long a disk that failed is left alone. 0: 5 s.
	Retry time.Duration
	// Probe is after how long without a record the disk is tried, so that its
	// failure is known before the next one. 0: never.
	Probe time.Duration
	// Preamble is what a reader has to know to understand records appended now; at
	// most 65535 bytes, which is checked. When it changes, a new segment is begun.
	// What it returned is not changed later. May be nil.
	Preamble func() []byte
	// Thin tells whether records of a kind may be thinned out when the log is
	// full. nil: none; then the oldest segments are removed.
	Thin func(Kind) bool
	// Random fills the epoch: crypto/rand.Read.
	Random func([]byte) (int, error)
	Log    *slog.Logger
}

// Stats says how a log is.
type Stats struct {
	Last, Durable, Acked uint64 // numbers of records
	Bytes                int64  // on disk
	Segments             int
	MemoryRecords        int // not durable yet
	MemoryBytes          int
	Failing              bool   // the disk; records are held in memory
	Reason               string // why
	Failures             uint64 // of the disk
	Dropped              uint64 // records that memory had no room for
	Thinned              uint64 // records thinned out
	Removed              uint64 // records in segments that were removed unread
}

// Log is a log. Its methods may be called by several goroutines.
type Log struct {
	cfg Config

	mu       sync.Mutex
	epoch    Epoch
	segments []*segment // oldest first; the last one may be open
	nextID   uint64
	next     uint64 // number of the next record
	durable  uint64 // number of the last record on disk
	acked    uint64
	saved    uint64 // acked, as on disk
	savedAt  time.Duration
	wroteAt  time.Duration
	// loaded: the folder has been read. numbering counts how often numbers were
	// given anew, because it could not be read at the start.
	loaded    bool
	numbering int

	file     File   // of the last segment; nil: none is open
	dirty    bool   // written and not synced
	written  uint64 // number of the last record written
	pending  []Record
	memory   int // bytes of pending
	preamble []byte

	failing bool
	reason  error
	retry   time.Duration // when to try again
	now     time.Duration

	// Where After went on to, so that a reader that reads everything reads each
	// segment once.
	at struct {
		id     uint64
		level  uint8
		offset int64
		seq    uint64 // of the record before offset
	}
	unreadable map[uint64]int // segments that the disk does not hand out, and how often it did not

	stats Stats
}

const (
	ackedName = "acked"
	// recordCost is what a record in memory takes besides its data.
	recordCost = 96
	// unreadableTries is how often a segment is tried before it is given up.
	unreadableTries = 3
	// saveEvery is how often the reader's place is saved: what is sent twice after
	// a power cut bears the same identities.
	saveEvery = time.Minute
	probeName = "probe"
)

// Open opens a log, or makes one. A disk that fails is no error: the log begins
// in memory and goes to disk once it can.
func Open(cfg Config) *Log {
	cfg.SegmentBytes = cmp.Or(cfg.SegmentBytes, 1<<20)
	cfg.Memory = cmp.Or(cfg.Memory, 4<<20)
	cfg.Retry = cmp.Or(cfg.Retry, 5*time.Second)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l := &Log{cfg: cfg, next: 1, nextID: 1, unreadable: map[uint64]int{}}
	_, _ = cfg.Random(l.epoch[:]) // crypto/rand never fails
	if err := l.load(); err != nil {
		l.segments, l.next, l.durable, l.acked = nil, 1, 0, 0
		l.fail(err)
	}
	return l
}

// load finds out what is on disk. Only the headers and the last segment are
// read: half a gigabyte should not delay a start.
func (l *Log) load() error {
	list, err := l.cfg.FS.List()
	if err != nil {
		return err
	}
	if b, err := ReadFile(l.cfg.FS, ackedName, 64); err == nil {
		l.acked = parseAcked(b) // damaged: sent again, with the same identities
	}
	for _, f := range list {
		id, ok := segmentID(f.Name)
		if !ok {
			continue
		}
		l.nextID = max(l.nextID, id+1)
		s := &segment{id: id, size: f.Size}
		_, _, done, err := walk(l.cfg.FS, s, 0)
		if errors.Is(err, errNoSegment) { // begun and not finished: nothing durable is in it
			_ = l.cfg.FS.Remove(f.Name)
			continue
		}
		if err != nil {
			return err
		}
		done()
		l.segments = append(l.segments, s)
	}
	slices.SortFunc(l.segments, func(a, b *segment) int { return cmp.Compare(a.id, b.id) })
	// The highest number is in the last segment that has records. A segment after
	// it may begin with an earlier one: it repeats what was in doubt.
	for i := len(l.segments) - 1; i >= 0; i-- {
		s := l.segments[i]
		l.next = max(l.next, s.first)
		last, end, err := lastRecord(l.cfg.FS, s)
		if err != nil {
			return err
		}
		if end < s.size && i == len(l.segments)-1 {
			// A torn tail. It is never appended to, so what cannot be cut off does no
			// harm.
			if l.cfg.FS.Truncate(s.name(), end) == nil {
				s.size = end
			}
		}
		if last > 0 {
			l.next = max(l.next, last+1)
			break
		}
	}
	l.next = max(l.next, l.acked+1)
	l.durable, l.written = l.next-1, l.next-1
	l.saved = l.acked
	l.loaded = true
	return nil
}

// lastRecord returns the highest number in a segment, 0 if it has no records,
// and where what can be trusted ends.
func lastRecord(fs FS, s *segment) (last uint64, end int64, err error) {
	w, _, done, err := walk(fs, s, 0)
	if err != nil {
		return 0, 0, err
	}
	defer done()
	for {
		r, err := w.next()
		if err != nil {
			if isEnd(err) {
				err = nil
			}
			return last, w.good, err
		}
		last = max(last, r.Seq)
	}
}

// Tick does what is due: the disk tried again, the reader's place saved, the
// cap kept. Call it about once a second.
func (l *Log) Tick(now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = now
	if l.failing {
		if now < l.retry {
			return
		}
		l.purge(0) // a full disk needs room before all else
		l.recover()
		if l.failing {
			return
		}
	}
	if l.cfg.Probe > 0 && now-l.wroteAt > l.cfg.Probe {
		// Nobody would know that the disk fails before the next record.
		if err := WriteFile(l.cfg.FS, probeName, nil); err != nil {
			l.fail(err)
			return
		}
		l.wroteAt = now
	}
	if now >= l.savedAt+saveEvery {
		if err := l.save(); err != nil {
			l.fail(err)
			return
		}
	}
	l.purge(l.cfg.Keep)
	if l.total() > l.cfg.Cap {
		if err := l.shrink(); err != nil {
			l.fail(err)
		}
	}
}

// save makes the reader's place durable.
func (l *Log) save() error {
	if l.acked == l.saved {
		return nil
	}
	if err := WriteFile(l.cfg.FS, ackedName, appendAcked(l.acked)); err != nil {
		return err
	}
	l.saved, l.savedAt = l.acked, l.now
	return nil
}

// Ack says that a record and all before it need not be kept.
func (l *Log) Ack(r Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.numbering != l.numbering || r.Seq >= l.next {
		return // read before the numbers were given anew: it comes again
	}
	l.acked = max(l.acked, r.Seq)
	if l.failing { // what is acknowledged needs no place in memory
		l.forget(l.acked)
	}
}

// Acked returns the number up to which records are acknowledged.
func (l *Log) Acked() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked
}

// Stats returns how the log is.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Last, s.Durable, s.Acked = l.next-1, l.durable, l.acked
	s.Bytes, s.Segments = l.total(), len(l.segments)
	s.MemoryRecords, s.MemoryBytes = len(l.pending), l.memory
	s.Failing = l.failing
	if l.reason != nil {
		s.Reason = l.reason.Error()
	}
	return s
}

// Close makes everything durable and closes the log.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failing {
		l.recover()
	}
	err := l.save()
	if e := l.closeSegment(); err == nil {
		err = e
	}
	if err == nil && l.failing {
		err = l.reason
	}
	return err
}

func (l *Log) total() (sum int64) {
	for _, s := range l.segments {
		sum += s.size
	}
	return sum
}

// appendAcked is the content of the file with the reader's place.
func appendAcked(seq uint64) []byte {
	s := fmt.Sprintf("%d", seq)
	return fmt.Appendf(nil, "%s %08x\n", s, crc32.Checksum([]byte(s), castagnoli))
}

// parseAcked reads it; 0 if it is damaged.
func parseAcked(b []byte) uint64 {
	var seq uint64
	var sum uint32
	if n, err := fmt.Sscanf(string(b), "%d %x\n", &seq, &sum); n != 2 || err != nil ||
		crc32.Checksum(fmt.Appendf(nil, "%d", seq), castagnoli) != sum {
		return 0
	}
	return seq
}

// String is the identity of a record of the epoch.
func (e Epoch) String() string { return fmt.Sprintf("%016x", binary.BigEndian.Uint64(e[:])) }
