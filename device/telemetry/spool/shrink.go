package spool

import (
	"bytes"
	"fmt"
)

// Records are thinned to every 6th, then to every 60th: of one every 10 s, one
// a minute, then one every ten minutes.
var thinning = []uint64{6, 10}

// purge removes segments that were acknowledged whole, oldest first, as long as
// more than keep bytes of such are there.
func (l *Log) purge(keep int64) {
	var done int64
	n := 0
	for i, s := range l.segments {
		if i == len(l.segments)-1 || l.segments[i+1].first > l.acked+1 {
			break
		}
		done += s.size
		n++
	}
	for ; n > 0 && (done > keep || l.total() > l.cfg.Cap); n-- {
		s := l.segments[0]
		// The place first: a reader that starts before it would miss what is gone.
		if l.save() != nil {
			return
		}
		// Removal is not synced: a segment that comes back after a power cut was
		// acknowledged, and is removed again.
		if l.cfg.FS.Remove(s.name()) != nil {
			return
		}
		done -= s.size
		l.segments = l.segments[1:]
	}
}

// shrink makes the log one step smaller: the oldest segment of the lowest level
// is thinned, and if all were thinned as far as can be, the oldest goes. The
// last one, which is being written, stays.
func (l *Log) shrink() error {
	if len(l.segments) < 2 {
		return nil
	}
	closed := l.segments[:len(l.segments)-1]
	if l.cfg.Thin != nil {
		for level := range thinning {
			for _, s := range closed {
				if int(s.level) == level && l.unreadable[s.id] == 0 {
					return l.thin(s)
				}
			}
		}
	}
	s := closed[0]
	if err := l.cfg.FS.Remove(s.name()); err != nil {
		return err
	}
	if next := l.segments[1].first; next > max(s.first, l.acked+1) {
		l.stats.Removed += next - max(s.first, l.acked+1)
	}
	l.segments = l.segments[1:]
	l.cfg.Log.Warn("spool: full; the oldest records were removed", "segment", s.name())
	return nil
}

// thin writes a segment anew with fewer records.
func (l *Log) thin(s *segment) error {
	keep := thinning[s.level]
	old := *s
	w, preamble, done, err := walk(l.cfg.FS, &old, 0)
	if err != nil {
		l.unreadable[s.id] = unreadableTries
		return nil // it goes when its turn comes to be removed
	}
	defer done()
	thinner := *s
	thinner.level++
	var b bytes.Buffer
	b.Write(appendHeader(nil, &thinner, preamble))
	var n, dropped uint64
	for {
		r, err := w.next()
		if isEnd(err) {
			break
		}
		if err != nil {
			l.unreadable[s.id] = unreadableTries
			return nil
		}
		if l.cfg.Thin(r.Kind) {
			if n++; n%keep != 1 {
				dropped++
				continue
			}
		}
		b.Write(appendRecord(nil, r.Seq, r.Kind, r.Data))
	}
	if err := WriteFile(l.cfg.FS, s.name(), b.Bytes()); err != nil {
		return fmt.Errorf("thinning %s: %w", s.name(), err)
	}
	s.level, s.size = thinner.level, int64(b.Len())
	l.stats.Thinned += dropped
	return nil
}
