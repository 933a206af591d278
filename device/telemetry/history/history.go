// Package history keeps the last hours of every series in memory, for the page's
// plots: 24 h at 10 s of 300 series in less than 9 MB. Its one job is to remember
// compactly and to answer questions about a stretch of time.
//
//	Add(instant, series, values) ─▶ chunk of an hour ─ a column for each series
//	Query(ids, from, to, step)   ─▶ means and rates
//
// Instants are the caller's: it hands in the time as it is known now. It keeps
// nothing on disk: who starts it fills it from the log.
package history

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"time"

	"quartet/device/telemetry/measure"
)

// rows is how many samples a chunk has: an hour of one each 10 s.
const rows = 360

// History is the memory. Its methods may be called by several goroutines.
type History struct {
	span time.Duration
	// resolve says what time of day a stamp was, as it is known now.
	resolve func(Stamp) time.Time

	mu     sync.Mutex
	chunks []*chunk // oldest first
}

// Stamp is an instant on the clock of one boot of the machine.
type Stamp struct {
	Boot      string
	Monotonic time.Duration
	Wall      time.Time // as the machine's clock had it then, right or wrong
}

type chunk struct {
	stamps  []Stamp
	columns map[string]*column // by the series' ID
}

// column is the values of one series in a chunk, from its row 0 on. A value is
// a varint: …0 a whole number's difference to the one before, …01 the changed
// bits of a float32, 3 nothing.
type column struct {
	kind   measure.Kind
	unit   string
	data   []byte
	rows   int
	whole  int64
	single uint32
}

func (c *column) add(v float64) {
	c.rows++
	if math.IsNaN(v) {
		c.data = append(c.data, 3)
		return
	}
	if n := int64(v); float64(n) == v && n < 1<<59 && n > -1<<59 {
		d := n - c.whole
		c.whole = n
		c.data = binary.AppendUvarint(c.data, (uint64(d<<1)^uint64(d>>63))<<1)
		return
	}
	f := math.Float32bits(float32(v))
	c.data = binary.AppendUvarint(c.data, uint64(bits.Reverse32(f^c.single))<<2|1)
	c.single = f
}

// values are the column's, with NaN where there is none, n of them.
func (c *column) values(n int) []float64 {
	list := make([]float64, n)
	data := c.data
	var whole int64
	var single uint32
	for i := range list {
		if i >= c.rows {
			list[i] = math.NaN()
			continue
		}
		u, k := binary.Uvarint(data)
		data = data[k:]
		switch {
		case u == 3:
			list[i] = math.NaN()
		case u&1 == 0:
			u >>= 1
			whole += int64(u>>1) ^ -int64(u&1)
			list[i] = float64(whole)
		default:
			single ^= bits.Reverse32(uint32(u >> 2))
			list[i] = float64(math.Float32frombits(single))
		}
	}
	return list
}

// New returns a history of a span. resolve says what time of day a stamp was.
func New(span time.Duration, resolve func(Stamp) time.Time) *History {
	return &History{span: span, resolve: resolve}
}

// Add adds a sample. Samples come in the order in which they were taken.
func (h *History) Add(at Stamp, series []measure.Series, values []float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.open(at)
	row := len(c.stamps)
	c.stamps = append(c.stamps, at)
	for i := range series {
		if math.IsNaN(values[i]) {
			continue
		}
		id := series[i].ID()
		col := c.columns[id]
		if col == nil {
			col = &column{kind: series[i].Kind, unit: series[i].Unit}
			c.columns[id] = col
		}
		if col.rows > row {
			continue // two series with one ID: the first stays
		}
		for col.rows < row {
			col.add(math.NaN())
		}
		col.add(values[i])
	}
}

// open returns the chunk for a sample, and lets go of what is too old.
func (h *History) open(at Stamp) *chunk {
	if n := len(h.chunks); n > 0 && len(h.chunks[n-1].stamps) < rows {
		return h.chunks[n-1]
	} else if n > 0 {
		for _, col := range h.chunks[n-1].columns {
			col.data = slices.Clip(slices.Clone(col.data)) // it grows no more
		}
	}
	for len(h.chunks) > 1 {
		old := h.chunks[0].stamps[len(h.chunks[0].stamps)-1]
		// Of an earlier boot no difference is known but that of the clocks.
		if old.Boot == at.Boot && at.Monotonic-old.Monotonic <= h.span ||
			old.Boot != at.Boot && h.resolve(at).Sub(h.resolve(old)) <= h.span && len(h.chunks) < most {
			break
		}
		h.chunks = h.chunks[1:]
	}
	c := &chunk{columns: map[string]*column{}}
	h.chunks = append(h.chunks, c)
	return c
}

// most bounds the chunks, whatever clocks say.
const most = 48

// Result is the answer to a query.
type Result struct {
	From   time.Time       `json:"from"` // of the first point
	Step   float64         `json:"step_s"`
	Series map[string]Line `json:"series"`
}

// Line is one series: of a gauge the mean of each step, of a counter the rate
// per second. nil: nothing is known.
type Line struct {
	Unit   string     `json:"unit"`
	Points []*float64 `json:"points"`
}

// Bounds of a query.
const (
	maxPoints = 10_000
	maxSeries = 100
	minStep   = time.Second
)

// IDs returns the names of all series that are known, sorted.
func (h *History) IDs() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := map[string]bool{}
	for _, c := range h.chunks {
		for id := range c.columns {
			seen[id] = true
		}
	}
	list := make([]string, 0, len(seen))
	for id := range seen {
		list = append(list, id)
	}
	slices.Sort(list)
	return list
}

// Query returns series from an instant to another in steps. A name that ends in
// "/*" stands for all series of that metric. What is not known is left out.
func (h *History) Query(names []string, from, to time.Time, step time.Duration) (Result, error) {
	if step < minStep {
		return Result{}, fmt.Errorf("step is %v: the least is %v", step, minStep)
	}
	if !from.Before(to) {
		return Result{}, fmt.Errorf("from is %s and to is %s: from must be before to", from.Format(time.RFC3339), to.Format(time.RFC3339))
	}
	n := int((to.Sub(from) + step - 1) / step)
	if n > maxPoints {
		return Result{}, fmt.Errorf("that is %d points: the most are %d; choose a longer step or a shorter time", n, maxPoints)
	}
	ids := h.expand(names)
	if len(ids) > maxSeries {
		return Result{}, fmt.Errorf("that is %d series: the most are %d", len(ids), maxSeries)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	res := Result{From: from, Step: step.Seconds(), Series: map[string]Line{}}
	lines := map[string]*line{}
	for _, c := range h.chunks {
		times := make([]time.Time, len(c.stamps))
		hit := false
		for i := range c.stamps {
			times[i] = h.resolve(c.stamps[i])
			hit = hit || !times[i].Before(from.Add(-step)) && times[i].Before(to)
		}
		if !hit {
			continue
		}
		for _, id := range ids {
			col := c.columns[id]
			if col == nil {
				continue
			}
			l := lines[id]
			if l == nil {
				l = newLine(col, n)
				lines[id] = l
			}
			for i, v := range col.values(len(times)) {
				l.add(times[i], v, from, step)
			}
		}
	}
	for id, l := range lines {
		res.Series[id] = l.result()
	}
	return res, nil
}

func (h *History) expand(names []string) (ids []string) {
	var all []string
	for _, name := range names {
		prefix, ok := strings.CutSuffix(name, "*")
		if !ok || !strings.HasSuffix(prefix, "/") {
			ids = append(ids, name)
			continue
		}
		if all == nil {
			all = h.IDs()
		}
		for _, id := range all {
			if strings.HasPrefix(id, prefix) {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// line gathers the points of one series.
type line struct {
	counter bool
	unit    string
	sum     []float64
	count   []float64 // of a gauge: values; of a counter: seconds
	before  float64   // of a counter: the value before, and when
	at      time.Time
}

func newLine(c *column, n int) *line {
	l := &line{counter: c.kind == measure.Counter, unit: c.unit, sum: make([]float64, n), count: make([]float64, n), before: math.NaN()}
	if l.counter {
		if l.unit == "s" {
			l.unit = "1" // seconds per second
		} else {
			l.unit += "/s"
		}
	}
	return l
}

func (l *line) add(at time.Time, v float64, from time.Time, step time.Duration) {
	if math.IsNaN(v) {
		return
	}
	before, since := l.before, l.at
	l.before, l.at = v, at
	if at.Before(from) {
		return
	}
	i := int(at.Sub(from) / step)
	if i >= len(l.sum) {
		return
	}
	if !l.counter {
		l.sum[i] += v
		l.count[i]++
		return
	}
	d := at.Sub(since).Seconds()
	// Over a longer pause nothing is known about any one step of it.
	if math.IsNaN(before) || d <= 0 || d > max(60, 2*step.Seconds()) {
		return
	}
	if v < before {
		before = 0 // it began anew
	}
	l.sum[i] += v - before
	l.count[i] += d
}

func (l *line) result() Line {
	r := Line{Unit: l.unit, Points: make([]*float64, len(l.sum))}
	for i := range l.sum {
		if l.count[i] > 0 {
			v := l.sum[i] / l.count[i]
			if p := math.Pow(10, 6-math.Ceil(math.Log10(math.Abs(v)))); v != 0 && !math.IsInf(p, 0) && p > 0 {
				if r := math.Round(v*p) / p; !math.IsInf(r, 0) && !math.IsNaN(r) {
					v = r // six digits: no more are known, and none more are drawn
				}
			}
			r.Points[i] = &v
		}
	}
	return r
}

// Bytes is about what the history takes.
func (h *History) Bytes() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.chunks {
		n += cap(c.stamps) * 56
		for id, col := range c.columns {
			n += cap(col.data) + len(id) + 120
		}
	}
	return n
}
