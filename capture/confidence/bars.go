package confidence

// Colour bars are found by what all kinds of them have in common (SMPTE EG 1 and
// RP 219, EBU, 75 and 100 %): in their upper part yellow, cyan, green, magenta,
// red and blue stand beside each other, from top to bottom of it, equally wide.

// The part of the height in which bars stand and captions seldom do.
const (
	barsTop    = 0.06
	barsBottom = 0.30
	// alike is how far a colour may be off the ideal, a share of the range.
	alike = 0.09
	// upright is the mean deviation of a column's luma from its mean.
	upright = 0.03
	// A bar is at least this share of the width, and a transition at most.
	narrowest  = 0.05
	transition = 0.03
	// evenly is how much wider than the narrowest the widest of the six may be.
	evenly = 1.6
)

// colour is luma and both chromas, from 0 to 1 and from -0.5 to 0.5.
type colour struct{ y, u, v float64 }

// ideal are the six colours at 75 and 100 % by BT.601 and BT.709.
var ideal = idealBars()

func idealBars() (list [6][4]colour) {
	rgb := [6][3]float64{{1, 1, 0}, {0, 1, 1}, {0, 1, 0}, {1, 0, 1}, {1, 0, 0}, {0, 0, 1}}
	for i, c := range rgb {
		for k, m := range [][3]float64{{0.299, 0.114, 0.75}, {0.2126, 0.0722, 0.75}, {0.299, 0.114, 1}, {0.2126, 0.0722, 1}} {
			kr, kb, a := m[0], m[1], m[2]
			r, g, b := a*c[0], a*c[1], a*c[2]
			y := kr*r + (1-kr-kb)*g + kb*b
			list[i][k] = colour{y, (b - y) / (2 * (1 - kb)), (r - y) / (2 * (1 - kr))}
		}
	}
	return list
}

// columns is the work space for a picture's width.
type columns struct{ class []int8 } // of each chroma column: 0…5, -1 other

func newColumns(n int) columns { return columns{make([]int8, n)} }

// bars tells whether a picture is colour bars.
func (c columns) bars(f *Frame) bool {
	for x := range c.class {
		c.class[x] = classOf(f, x)
	}
	n := float64(len(c.class))
	next := int8(0) // the bar to come
	least, most := n, 0.0
	gap := 0
	for x := 0; x < len(c.class); {
		class, from := c.class[x], x
		for x < len(c.class) && c.class[x] == class {
			x++
		}
		width := x - from
		if float64(width) < narrowest*n {
			gap += width
			continue
		}
		switch {
		case class < 0 || float64(gap) > transition*n && next > 0:
			next, least, most = 0, n, 0
			if class != 0 {
				gap = 0
				continue
			}
		case class != next:
			next, least, most = 0, n, 0
			if class != 0 {
				gap = 0
				continue
			}
		}
		gap = 0
		next++
		least, most = min(least, float64(width)), max(most, float64(width))
		if next == 6 {
			if most <= evenly*least {
				return true
			}
			next = 0
		}
	}
	return false
}

// classOf tells which bar's colour a chroma column has, if it is the same from
// top to bottom.
func classOf(f *Frame, x int) int8 {
	w, h := f.Width, f.Height
	u := f.I420[w*h:]
	v := u[w*h/4:]
	top, bottom := int(barsTop*float64(h/2)), int(barsBottom*float64(h/2))
	var sy, su, sv, n int
	for r := top; r < bottom; r++ {
		sy += int(f.I420[2*r*w+2*x]) + int(f.I420[2*r*w+2*x+1])
		su += int(u[r*w/2+x])
		sv += int(v[r*w/2+x])
		n++
	}
	if n == 0 {
		return -1
	}
	mean := sy / (2 * n)
	off := 0
	for r := top; r < bottom; r++ {
		d := int(f.I420[2*r*w+2*x]) - mean
		off += max(d, -d)
	}
	if float64(off)/float64(n) > upright*lumaRange {
		return -1
	}
	k := colour{(float64(sy)/float64(2*n) - lumaBlack) / lumaRange, (float64(su)/float64(n) - 128) / 224, (float64(sv)/float64(n) - 128) / 224}
	for i := range ideal {
		for _, c := range ideal[i] {
			if near(k.y, c.y) && near(k.u, c.u) && near(k.v, c.v) {
				return int8(i)
			}
		}
	}
	return -1
}

func near(a, b float64) bool { return a-b < alike && b-a < alike }
