package uplink

import "time"

// adopt makes l the path's link. An older link stays open until what it has
// taken is delivered or too late: libsrt drops its buffer at close.
func (p *Path) adopt(l Link) {
	old := p.link
	p.link, p.since, p.holds, p.voided = l, p.now(), 0, false
	if st, err := l.Stats(); err == nil && st.SRT != nil {
		p.holds = time.Duration(st.SRT.MSRcvTsbPdDelay) * time.Millisecond
	}
	p.reports.connected(p.since, old != nil)
	p.tardy.connected()
	p.mu.Lock()
	p.stats.State, p.stats.Reason, p.stats.Answered = StateUp, "", false
	p.stats.Connects++
	p.stats.UpSince = p.since.Seconds()
	p.mu.Unlock()
	if old != nil {
		p.retire(old, p.cfg.MaxAge)
	} else {
		p.discard()
	}
	p.up.Store(true)
}

// discard drops what is queued and what was taken from the queue. It is counted
// apart from what is dropped while a link is up: the far end is at fault, not the
// line's rate.
func (p *Path) discard() {
	n := len(p.batch.msgs)
	p.batch.sent(n)
	n += p.queue.clear()
	p.mu.Lock()
	p.stats.Discarded += uint64(n)
	p.mu.Unlock()
}

func (p *Path) closeLink() {
	p.up.Store(false)
	if p.link != nil {
		p.retire(p.link, 0)
		p.link, p.voided = nil, false
	}
	p.mu.Lock()
	p.stats.Link = nil
	p.mu.Unlock()
}

// retire closes a link after a while, beside Run: a close may take as long as
// the connection timeout, and the path must not wait for it.
func (p *Path) retire(l Link, after time.Duration) {
	p.closing.Go(func() {
		if after > 0 {
			t := time.NewTimer(after)
			defer t.Stop()
			select {
			case <-t.C:
			case <-p.ending.Done():
			}
		}
		l.Close()
	})
}

func (p *Path) broken(err error) {
	p.closeLink()
	p.reports.disconnected()
	p.discard()
	p.mu.Lock()
	p.stats.Disconnects++
	p.mu.Unlock()
	state := StateConnecting
	if p.dialer.Listening() {
		state = StateListening
	}
	p.note(state, err.Error())
}
