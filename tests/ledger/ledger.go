// Package ledger shows that a transport stream came out as it went in. It keeps
// a fingerprint of every packet that entered a chain and ticks off, for each
// output of the chain, which of them came out, in order and unaltered.
package ledger

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"time"
)

// PacketSize of a TS packet, bytes.
const PacketSize = 188

// Ledger is the record of what went in. It is safe for concurrent use.
type Ledger struct {
	mu      sync.Mutex
	seed    maphash.Seed
	base    int              // index of the oldest packet kept
	prints  []uint64         // by index of the packet, less base
	entered []time.Duration  // when it went in
	seen    map[uint64][]int // fingerprint → indices; null packets are left out
	outputs []*Output
}

// New returns an empty ledger.
func New() *Ledger {
	return &Ledger{seed: maphash.MakeSeed(), seen: map[uint64][]int{}}
}

// WriteTS records n×188 bytes that enter the chain at at.
func (l *Ledger) WriteTS(at time.Duration, ts []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ; len(ts) >= PacketSize; ts = ts[PacketSize:] {
		h := maphash.Bytes(l.seed, ts[:PacketSize])
		if !isNull(ts) {
			l.seen[h] = append(l.seen[h], l.base+len(l.prints))
		}
		l.prints = append(l.prints, h)
		l.entered = append(l.entered, at)
	}
	return nil
}

// Packets is how many packets went in.
func (l *Ledger) Packets() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.base + len(l.prints)
}

// Last is when the last packet went in, if any is kept.
func (l *Ledger) Last() (at time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.entered); n > 0 {
		return l.entered[n-1], true
	}
	return 0, false
}

// Forget drops what entered before at, or nearly all of it, so that a run
// without end needs no memory without end. Check that part first; later checks
// begin at at.
func (l *Ledger) Forget(at time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for n < len(l.entered) && l.entered[n] < at {
		n++
	}
	n -= n % 64 // whole words of the outputs' bits
	for _, h := range l.prints[:n] {
		if where := l.seen[h]; len(where) > 0 {
			if where = where[1:]; len(where) == 0 {
				delete(l.seen, h)
			} else {
				l.seen[h] = where
			}
		}
	}
	l.prints, l.entered = slices.Clone(l.prints[n:]), slices.Clone(l.entered[n:])
	l.base += n
	for _, o := range l.outputs {
		o.got = slices.Clone(o.got[min(n/64, len(o.got)):])
		o.delays = o.delays[:0]
	}
}

// Output is one output of the chain, compared packet by packet. Its methods are
// safe for concurrent use.
type Output struct {
	ledger *Ledger
	name   string

	got     []uint64 // bit per input packet from base on: came out
	next    int      // index expected next
	nulls   []uint64 // null packets whose place is not known yet
	matched int
	foreign int // packets that never went in
	again   int // packets that had come out before
	delays  []time.Duration
}

// Output adds an output.
func (l *Ledger) Output(name string) *Output {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := &Output{ledger: l, name: name}
	l.outputs = append(l.outputs, o)
	return o
}

// WriteTS compares n×188 bytes that came out at at.
func (o *Output) WriteTS(at time.Duration, ts []byte) error {
	o.ledger.mu.Lock()
	defer o.ledger.mu.Unlock()
	for ; len(ts) >= PacketSize; ts = ts[PacketSize:] {
		o.packet(at, ts[:PacketSize])
	}
	return nil
}

func (o *Output) packet(at time.Duration, p []byte) {
	l := o.ledger
	h := maphash.Bytes(l.seed, p)
	if i := o.next - l.base; i >= 0 && i < len(l.prints) && l.prints[i] == h {
		o.take(at, o.next)
		return
	}
	// Not the one expected: the nearest later one with this content. Null
	// packets look all alike, so they say nothing about the place; after a gap
	// they wait for the next one that does.
	if isNull(p) {
		o.nulls = append(o.nulls, h)
		if len(o.nulls) > maxNulls {
			o.foreign += len(o.nulls)
			o.nulls = o.nulls[:0]
		}
		return
	}
	where := l.seen[h]
	i, _ := slices.BinarySearch(where, o.next)
	switch {
	case len(where) == 0:
		o.foreign++
	case i == len(where):
		o.again++
	default:
		o.placeNulls(at, where[i])
		o.take(at, where[i])
		return
	}
	o.foreign += len(o.nulls)
	o.nulls = o.nulls[:0]
}

// maxNulls is how many null packets may wait for their place.
const maxNulls = 10_000

// placeNulls ticks off the null packets that came out just before packet i, if
// that is where they went in.
func (o *Output) placeNulls(at time.Duration, i int) {
	l := o.ledger
	first := i - len(o.nulls)
	for k, h := range o.nulls {
		if n := first + k - l.base; first+k >= o.next && n >= 0 && l.prints[n] == h {
			o.take(at, first+k)
		} else {
			o.foreign++
		}
	}
	o.nulls = o.nulls[:0]
}

func (o *Output) take(at time.Duration, i int) {
	o.next = i + 1
	o.matched++
	i -= o.ledger.base
	for i/64 >= len(o.got) {
		o.got = append(o.got, 0)
	}
	o.got[i/64] |= 1 << (i % 64)
	if i%16 == 0 {
		o.delays = append(o.delays, at-o.ledger.entered[i])
	}
}

// has takes an index less base.
func (o *Output) has(i int) bool { return i/64 < len(o.got) && o.got[i/64]>>(i%64)&1 == 1 }

// Span is a time span of the input.
type Span struct{ From, To time.Duration }

// Result is what one output, or several taken together, let through.
type Result struct {
	Name    string
	Entered int // packets that went in
	Missing int // of them, those that did not come out, outside the excused spans
	Excused int // missing within them
	Foreign int // came out and never went in, or were altered
	Again   int // came out more than once or out of order
	// FirstMissing is the input instant of the first one missing.
	FirstMissing time.Duration
	DelayMedian  time.Duration
	DelayP99     time.Duration
	DelayMax     time.Duration
}

// Identical tells whether nothing is missing, strange or twice.
func (r Result) Identical() bool {
	return r.Missing == 0 && r.Foreign == 0 && r.Again == 0 && r.Entered > 0
}

// String gives the result in one line.
func (r Result) String() string {
	return fmt.Sprintf("%s: %d in, %d missing (first at %v), %d excused, %d foreign, %d twice, delay %v p99 %v",
		r.Name, r.Entered, r.Missing, r.FirstMissing.Round(time.Millisecond), r.Excused, r.Foreign, r.Again,
		r.DelayMedian.Round(time.Millisecond/10), r.DelayP99.Round(time.Millisecond/10))
}

// Add joins the result of a later part of a run.
func (r *Result) Add(later Result) {
	if r.Missing == 0 {
		r.FirstMissing = later.FirstMissing
	}
	r.Entered += later.Entered
	r.Missing += later.Missing
	r.Excused += later.Excused
	// Those two count from the start already.
	r.Foreign, r.Again = later.Foreign, later.Again
	r.DelayMedian, r.DelayP99, r.DelayMax = later.DelayMedian, max(r.DelayP99, later.DelayP99), max(r.DelayMax, later.DelayMax)
	r.Name = later.Name
}

// Check sums up outputs taken together: a packet is there if any of them has it.
// Packets that entered before from do not count, nor those within the last
// tail of the input; what is missing within an excused span is counted apart.
func (l *Ledger) Check(name string, from, tail time.Duration, excused []Span, outs ...*Output) Result {
	last, _ := l.Last()
	return l.CheckUntil(name, from, last-tail, excused, outs...)
}

// CheckUntil is Check for what entered from from to to, both included. While
// input still comes, several checks of one part must have the same end.
func (l *Ledger) CheckUntil(name string, from, to time.Duration, excused []Span, outs ...*Output) Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := Result{Name: name}
	var delays []time.Duration
	for _, o := range outs {
		r.Foreign += o.foreign + len(o.nulls)
		r.Again += o.again
		delays = append(delays, o.delays...)
	}
	for i, at := range l.entered {
		if at < from || at > to {
			continue
		}
		r.Entered++
		if slices.ContainsFunc(outs, func(o *Output) bool { return o.has(i) }) {
			continue
		}
		if slices.ContainsFunc(excused, func(s Span) bool { return at >= s.From && at < s.To }) {
			r.Excused++
			continue
		}
		if r.Missing == 0 {
			r.FirstMissing = at
		}
		r.Missing++
	}
	if len(delays) > 0 {
		slices.Sort(delays)
		r.DelayMedian, r.DelayP99, r.DelayMax = delays[len(delays)/2], delays[len(delays)*99/100], delays[len(delays)-1]
	}
	return r
}

// Matched is how many packets of the input have come out so far.
func (o *Output) Matched() int {
	o.ledger.mu.Lock()
	defer o.ledger.mu.Unlock()
	return o.matched
}

func isNull(p []byte) bool { return binary.BigEndian.Uint16(p[1:])&0x1FFF == 0x1FFF }
