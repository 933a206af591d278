package relay

// mix hashes the n-th draw of the stream key to 64 even bits: the output
// function of splitmix64 over its own counter.
func mix(key, n uint64) uint64 {
	z := key + (n+1)*0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// mixString derives a key from a key and a name (FNV-1a, then mixed).
func mixString(key uint64, name string) uint64 {
	h := uint64(0xCBF29CE484222325)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 0x100000001B3
	}
	return mix(key^h, uint64(len(name)))
}

// Probabilities are compared as 53-bit integers.
const one = 1 << 53

func threshold(p float64) uint64 { return uint64(p * one) }
func draw(key, n uint64) uint64  { return mix(key, n) >> 11 }

// unit is the n-th draw as a number in [0,1).
func unit(key, n uint64) float64 { return float64(draw(key, n)) / one }

// chain is Gilbert's two-state chain whose state at index i is a pure function
// of key and i, though it is a Markov chain: both states step with the same
// draw, so a draw below both probabilities of being bad (or above both) leads to
// one state whatever came before. Looking back for such a draw, about one mean
// burst away, gives the exact state (coupling from the past). Its index may be a
// packet number or a time slot, and it never has to start anywhere.
type chain struct {
	key   uint64
	enter uint64 // P(bad | good was before)
	stay  uint64 // P(bad | bad was before)
	loss  uint64 // P(bad)
	on    bool

	known bool // bad is the state at index at
	at    uint64
	bad   bool
}

// Looking back further than this takes a draw of the long-term share instead.
const maxLookBack = 1 << 20

// Ahead of the last index by no more than this, stepping is cheaper.
const maxStep = 64

func newChain(key uint64, loss, mean float64) chain {
	if loss <= 0 {
		return chain{}
	}
	return chain{
		key: key, on: true,
		enter: threshold(loss / (mean * (1 - loss))),
		stay:  threshold(1 - 1/mean),
		loss:  threshold(loss),
	}
}

// lost is the state at index i. Indexes may come in any order; rising ones are
// cheapest.
func (c *chain) lost(i uint64) bool {
	if !c.on {
		return false
	}
	if !c.known || i-c.at > maxStep { // unsigned: also when i is before at
		c.bad, c.at, c.known = c.lookBack(i), i, true
		return c.bad
	}
	for c.at != i {
		c.at++
		c.bad = c.step(c.bad, c.at)
	}
	return c.bad
}

func (c *chain) step(bad bool, i uint64) bool {
	if bad {
		return draw(c.key, i) < c.stay
	}
	return draw(c.key, i) < c.enter
}

func (c *chain) lookBack(i uint64) bool {
	lo, hi := min(c.enter, c.stay), max(c.enter, c.stay)
	j := i
	var bad bool
	for {
		u := draw(c.key, j)
		if u < lo || u >= hi {
			bad = u < lo
			break
		}
		if i-j == maxLookBack {
			bad = u < c.loss
			break
		}
		j--
	}
	for j != i {
		j++
		bad = c.step(bad, j)
	}
	return bad
}
