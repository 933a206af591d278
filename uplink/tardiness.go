package uplink

import "time"

const (
	// An rtp-fec link on which most comes too late for so long gets a second
	// connection beside it; longestTardy bounds the waits between tries that did
	// not help.
	tardyAfter   = 2 * time.Second
	longestTardy = 5 * time.Minute
)

// tardiness finds links that are late as a whole. SRT reckons a connection's
// time from its handshake: if that was held up, by a line that wakes up or a
// machine that starts, everything on the connection is handed over so much later,
// until libsrt's drift tracer corrects it after ten seconds or never. While
// another path sets the pace of release, such a link brings nothing in time. A
// new connection, made beside it, has a handshake of its own.
//
// A path whose network really is that slow stays late: the waits double, so that
// it is not dialled in vain for ever.
type tardiness struct {
	at           time.Duration // the counters below were taken; 0: not on this link
	inTime, late uint64

	wait  time.Duration // from the last try to the next
	until time.Duration // no try before
	found bool          // and a dial is due or under way
}

// connected begins anew on another link.
func (t *tardiness) connected() { t.at, t.found = 0, false }

// check takes what the far end has counted on the link, which settles until an
// instant, and tells whether to dial.
func (t *tardiness) check(now, settled time.Duration, inTime, late uint64) bool {
	switch {
	case now < settled:
		return false
	case t.at == 0 || inTime < t.inTime || late < t.late: // new, or the far end counts anew
		t.at, t.inTime, t.late = now, inTime, late
		return false
	case now-t.at < tardyAfter:
		return false
	}
	good, bad := inTime-t.inTime, late-t.late
	t.at, t.inTime, t.late = now, inTime, late
	switch {
	case bad < 10 || bad < 9*good:
		if good > 0 {
			t.wait = 0
		}
		return false
	case now < t.until:
		return false
	}
	t.wait = min(max(2*t.wait, 5*tardyAfter), longestTardy)
	t.until, t.found = now+t.wait, true
	return true
}

// late tells whether nearly all that an rtp-fec link brings comes after its
// release, so that a new connection may do better; see tardiness.
func (p *Path) late(now time.Duration) bool {
	if p.cfg.Profile != ProfileRTPFEC || p.dialer.Listening() || !p.reports.heard {
		return false
	}
	r := p.reports.last.Path
	return r != nil && p.tardy.check(now, p.since+p.holds+p.cfg.MaxAge, r.Received, r.Late)
}
