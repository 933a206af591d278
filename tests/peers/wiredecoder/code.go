package wiredecoder

// Section 6: GF(2⁸) with the polynomial 0x11D. exp holds the points x_p = α^p
// twice over, so that a sum of two logarithms needs no reduction.
var exp, log = func() (e [510]byte, l [256]int) {
	for p, x := 0, 1; p < 255; p++ {
		e[p], e[p+255], l[x] = byte(x), byte(x), p
		if x <<= 1; x > 0xFF {
			x ^= 0x11D
		}
	}
	return e, l
}()

func mul(a, b byte) byte {
	if a == 0 || b == 0 {
		return 0
	}
	return exp[log[a]+log[b]]
}

// div divides by b, which is not zero.
func div(a, b byte) byte {
	if a == 0 {
		return 0
	}
	return exp[log[a]+255-log[b]]
}

// Coefficients returns c(K, ESI, 0 … K−1): the factors of a block's source
// symbols in the repair symbol with that ESI, K ≤ ESI ≤ 254.
func Coefficients(k, esi int) []byte {
	row := make([]byte, k)
	for i := range row {
		c := byte(1)
		for l := range k {
			if l != i {
				c = mul(c, div(exp[esi]^exp[l], exp[i]^exp[l]))
			}
		}
		row[i] = c
	}
	return row
}

// addTimes adds c times src to dst. src may be shorter: what it lacks is zero.
func addTimes(dst []byte, c byte, src []byte) {
	if c == 0 {
		return
	}
	var product [256]byte
	for b := range product {
		product[b] = mul(c, byte(b))
	}
	for i, b := range src {
		dst[i] ^= product[b]
	}
}

// Solve finds the source symbols of a block that are missing. source holds the
// block's n symbols, nil where one is missing; repair the repair symbols by
// their ESI, each as long as the longest source symbol. It returns the missing
// symbols by their index, or nil when there are too few repair symbols.
func Solve(k int, source [][]byte, repair map[int][]byte) map[int][]byte {
	var missing []int
	for i, s := range source {
		if s == nil {
			missing = append(missing, i)
		}
	}
	m := len(missing)
	if m == 0 || m > len(repair) {
		return nil
	}
	// One equation for each of m repair symbols: left · missing = right.
	var left, right [][]byte
	for esi, symbol := range repair {
		if len(left) == m {
			break
		}
		c := Coefficients(k, esi)
		r := append([]byte(nil), symbol...)
		for i, s := range source {
			addTimes(r, c[i], s)
		}
		l := make([]byte, m)
		for j, i := range missing {
			l[j] = c[i]
		}
		left, right = append(left, l), append(right, r)
	}
	for col := range m { // Gauss and Jordan
		pivot := col
		for pivot < m && left[pivot][col] == 0 {
			pivot++
		}
		if pivot == m {
			return nil // the document says that this cannot be
		}
		left[col], left[pivot] = left[pivot], left[col]
		right[col], right[pivot] = right[pivot], right[col]
		f := div(1, left[col][col])
		scale(left[col], f)
		scale(right[col], f)
		for row := range m {
			if c := left[row][col]; row != col && c != 0 {
				addTimes(left[row], c, left[col])
				addTimes(right[row], c, right[col])
			}
		}
	}
	found := map[int][]byte{}
	for j, i := range missing {
		found[i] = right[j]
	}
	return found
}

func scale(b []byte, c byte) {
	for i := range b {
		b[i] = mul(c, b[i])
	}
}
