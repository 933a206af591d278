package spool

import (
	"bytes"
	"slices"
	"time"
)

// Append adds a record, of at most 1 MiB of data (the rest is cut off), and
// returns its number. It is durable after the next
// Sync; until then, and while the disk fails, it is in memory.
func (l *Log) Append(now time.Duration, kind Kind, data []byte) (Epoch, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = now
	data = data[:min(len(data), maxRecord)]
	r := Record{Epoch: l.epoch, Seq: l.next, Kind: kind, Data: slices.Clone(data), Preamble: l.current(), numbering: l.numbering}
	l.next++
	l.hold(r)
	if !l.failing {
		if err := l.write(r); err != nil {
			l.fail(err)
		}
	}
	return r.Epoch, r.Seq
}

// hold keeps a record in memory until it is durable, and lets the oldest go
// when there are too many; those that may be thinned first.
func (l *Log) hold(r Record) {
	l.pending = append(l.pending, r)
	l.memory += len(r.Data) + recordCost
	for l.memory > l.cfg.Memory && len(l.pending) > 1 {
		i := 0
		if l.cfg.Thin != nil {
			i = max(0, slices.IndexFunc(l.pending, func(r Record) bool { return l.cfg.Thin(r.Kind) }))
		}
		l.memory -= len(l.pending[i].Data) + recordCost
		l.pending = slices.Delete(l.pending, i, i+1)
		l.stats.Dropped++
	}
}

// write writes a record to the open segment, or to a new one.
func (l *Log) write(r Record) error {
	if l.file != nil && (l.segments[len(l.segments)-1].size >= l.cfg.SegmentBytes || !bytes.Equal(r.Preamble, l.preamble)) {
		if err := l.closeSegment(); err != nil {
			return err
		}
	}
	if l.file == nil {
		if err := l.begin(r.Seq, r.Preamble); err != nil {
			return err
		}
	}
	b := appendRecord(nil, r.Seq, r.Kind, r.Data)
	l.dirty = true
	if _, err := l.file.Write(b); err != nil {
		return err
	}
	l.segments[len(l.segments)-1].size += int64(len(b))
	l.written, l.wroteAt = r.Seq, l.now
	return nil
}

// begin begins a segment.
func (l *Log) begin(first uint64, preamble []byte) error {
	l.preamble = preamble
	s := &segment{id: l.nextID, epoch: l.epoch, first: first}
	l.nextID++
	f, err := l.cfg.FS.Create(s.name())
	if err != nil {
		return err
	}
	b := appendHeader(nil, s, l.preamble)
	if _, err := f.Write(b); err != nil {
		f.Close()
		_ = l.cfg.FS.Remove(s.name())
		return err
	}
	s.size = int64(len(b))
	l.segments = append(l.segments, s)
	l.file, l.dirty = f, true
	return l.cfg.FS.Sync()
}

// closeSegment ends the open segment.
func (l *Log) closeSegment() error {
	if l.file == nil {
		return nil
	}
	err := l.sync()
	if e := l.file.Close(); err == nil {
		err = e
	}
	l.file = nil
	return err
}

// current is the preamble of records appended now.
func (l *Log) current() []byte {
	if l.cfg.Preamble == nil {
		return nil
	}
	p := l.cfg.Preamble()
	if len(p) > maxPreamble {
		l.cfg.Log.Error("spool: the preamble is too long; records cannot be understood without it", "bytes", len(p))
		return nil
	}
	return p
}

// sync makes what was written durable.
func (l *Log) sync() error {
	if l.file == nil || !l.dirty {
		return nil
	}
	if err := l.file.Sync(); err != nil {
		return err
	}
	l.dirty = false
	l.durable = max(l.durable, l.written)
	l.forget(l.durable)
	return nil
}

// forget lets go of records in memory up to a number.
func (l *Log) forget(seq uint64) {
	n := 0
	for ; n < len(l.pending) && l.pending[n].Seq <= seq; n++ {
		l.memory -= len(l.pending[n].Data) + recordCost
	}
	l.pending = slices.Delete(l.pending, 0, n)
}

// Sync makes all records durable. The error is nil if they are; else they are
// held in memory, and Tick tries again.
func (l *Log) Sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.failing {
		if err := l.sync(); err != nil {
			l.fail(err)
		}
	}
	if l.failing {
		return l.reason
	}
	return nil
}

// fail goes over to memory. What the file holds that was not synced is in doubt
// (after a failed fsync the kernel may have forgotten it), so all of it is
// written again, to a new segment.
func (l *Log) fail(err error) {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
	l.dirty = false
	l.stats.Failures++
	if !l.failing {
		l.cfg.Log.Error("spool: the disk fails; records are held in memory", "error", err)
	}
	l.failing, l.reason = true, err
	l.retry = l.now + l.cfg.Retry
}

// recover tries the disk again.
func (l *Log) recover() {
	if !l.loaded {
		if err := l.reload(); err != nil {
			l.fail(err)
			return
		}
	}
	l.failing = false
	if len(l.pending) == 0 {
		// Nothing to write: an empty segment tells whether the disk is well.
		if err := l.begin(l.next, l.current()); err != nil {
			l.fail(err)
			return
		}
	}
	for _, r := range slices.Clone(l.pending) {
		if err := l.write(r); err != nil {
			l.fail(err)
			return
		}
	}
	if err := l.sync(); err != nil {
		l.fail(err)
		return
	}
	l.reason = nil
	l.cfg.Log.Info("spool: the disk is well again")
}

// reload reads the folder after a start at which it could not be read, and
// gives what was appended since numbers behind what is there. They get another
// epoch with them, lest one record's new identity be another's old one.
func (l *Log) reload() error {
	next, acked := l.next, l.acked
	l.segments, l.next, l.acked = nil, 1, 0
	if err := l.load(); err != nil {
		l.segments, l.next, l.durable, l.acked = nil, next, 0, acked
		return err
	}
	_, _ = l.cfg.Random(l.epoch[:])
	l.numbering++
	shift := l.next - 1
	for i := range l.pending {
		l.pending[i].Seq += shift
		l.pending[i].Epoch, l.pending[i].numbering = l.epoch, l.numbering
	}
	l.next += next - 1
	return nil
}
