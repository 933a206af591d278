package spool

import (
	"errors"
	"io"
)

func isEnd(err error) bool { return errors.Is(err, io.EOF) }

// After returns records after a number, oldest first: at least one if there is
// any, and no more than about limit bytes of data. Records are handed out once
// they are durable, or while the disk fails, from memory. An error is the disk's
// and will be tried again; a segment that fails again and again is given up, and
// counts as missing.
//
// The data is the caller's; a preamble must not be changed.
func (l *Log) After(seq uint64, limit int) ([]Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []Record
	if seq < l.durable { // else a disk that does not read is in nobody's way
		var err error
		if list, err = l.fromDisk(seq, limit); err != nil {
			return nil, err
		}
	}
	if len(list) > 0 || !l.failing {
		return list, nil
	}
	last := seq
	for _, r := range l.pending {
		if r.Seq <= seq || r.Seq <= l.durable {
			continue
		}
		if limit <= 0 {
			break
		}
		r.Missing = r.Seq - last - 1
		last = r.Seq
		limit -= len(r.Data) + recordHead
		list = append(list, r)
	}
	return list, nil
}

// fromDisk returns durable records after a number.
func (l *Log) fromDisk(seq uint64, limit int) (list []Record, err error) {
	last := seq
	for i := l.find(seq); i < len(l.segments) && limit > 0; i++ {
		s := l.segments[i]
		if l.unreadable[s.id] >= unreadableTries {
			continue
		}
		// A segment whose successor begins at or before the number has nothing new.
		if i+1 < len(l.segments) && l.segments[i+1].first <= last+1 && l.segments[i+1].first > s.first {
			continue
		}
		var offset int64
		if l.at.id == s.id && l.at.level == s.level && l.at.seq <= last {
			offset = l.at.offset
		}
		w, preamble, done, err := walk(l.cfg.FS, s, offset)
		if err != nil {
			if errors.Is(err, errNoSegment) {
				l.unreadable[s.id] = unreadableTries // damaged since the start
				continue
			}
			return list, l.unread(s, list, err)
		}
		for limit > 0 {
			var r Record
			if r, err = w.next(); err != nil {
				break
			}
			if r.Seq > l.durable {
				break // written, not synced
			}
			l.at.id, l.at.level, l.at.offset, l.at.seq = s.id, s.level, w.at, r.Seq
			if r.Seq <= last {
				continue
			}
			r.Epoch, r.Preamble, r.Level, r.numbering = s.epoch, preamble, s.level, l.numbering
			r.Missing = r.Seq - last - 1
			last = r.Seq
			limit -= len(r.Data) + recordHead
			list = append(list, r)
		}
		done()
		if err != nil && !isEnd(err) {
			return list, l.unread(s, list, err)
		}
	}
	return list, nil
}

// unread notes that a segment could not be read. What was read before it is
// handed out first.
func (l *Log) unread(s *segment, list []Record, err error) error {
	l.unreadable[s.id]++
	if len(list) > 0 {
		return nil
	}
	return err
}

// find returns the index of the first segment that may hold a record after
// seq. Segments' first numbers rise, but for those that repeat a few.
func (l *Log) find(seq uint64) int {
	for i := len(l.segments) - 1; i > 0; i-- {
		if l.segments[i].first <= seq {
			return i
		}
	}
	return 0
}

// Each hands over the records of the newest segments on disk, as many as have
// about so many bytes together, acknowledged or not, oldest first, and skips what
// cannot be read. For use at the start.
func (l *Log) Each(newest int64, handle func(Record)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := len(l.segments)
	for first > 0 && newest > 0 {
		first--
		newest -= l.segments[first].size
	}
	last := uint64(0)
	for _, s := range l.segments[first:] {
		w, preamble, done, err := walk(l.cfg.FS, s, 0)
		if err != nil {
			continue
		}
		for {
			r, err := w.next()
			if err != nil || r.Seq > l.durable {
				break
			}
			if r.Seq > last {
				last = r.Seq
				r.Epoch, r.Preamble, r.Level = s.epoch, preamble, s.level
				handle(r)
			}
		}
		done()
	}
}
