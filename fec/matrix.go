package fec

import (
	"fmt"
	"sync"
)

// GF(2⁸) with the primitive polynomial x⁸+x⁴+x³+x²+1 (0x11D) and α = 2, as
// RFC 5510 §8.1 has it for m = 8. The evaluation points are x_i = αⁱ.
//
// These tables make coefficients and small inverses; the work on packets is
// done by klauspost/reedsolomon's vector routine for out ^= c·in. Its Encoder
// with our rows as custom matrix computes the same (a test shows it), but its
// EncodeIdx may allocate for some sizes on some processors and is no faster.
const (
	polynomial = 0x11D
	order      = 255 // of the multiplicative group: α²⁵⁵ = 1
)

// field holds the tables of the code. log and exp are those of the field.
// weight[k][p] is the logarithm of Π_{l<k, l≠p} (x_p ⊕ x_l): with it a
// coefficient costs three look-ups instead of a product over k points.
type field struct {
	exp    [2 * order]byte
	log    [256]uint8
	weight [MaxSymbols][MaxSymbols]uint8
}

// gf builds the tables (65 KB, once) and returns them.
var gf = sync.OnceValue(func() *field {
	f := new(field)
	x := 1
	for i := range order {
		f.exp[i], f.exp[i+order] = byte(x), byte(x)
		f.log[x] = uint8(i)
		if x <<= 1; x&0x100 != 0 {
			x ^= polynomial
		}
	}
	for k := 1; k < MaxSymbols; k++ {
		l := k - 1
		for p := range MaxSymbols {
			w := int(f.weight[k-1][p])
			if p != l {
				w += f.distance(p, l)
			}
			f.weight[k][p] = uint8(w % order)
		}
	}
	return f
})

// distance returns log(x_p ⊕ x_l) of two different points.
func (f *field) distance(p, l int) int {
	return int(f.log[f.exp[p]^f.exp[l]])
}

// coefficient returns the factor of source symbol i in the repair symbol esi
// of the code of dimension k, i < k ≤ esi: the element of row i, column esi of
// V_KK⁻¹·V_KN (RFC 5510 §8.2), which by Lagrange's formula is
// Π_{l≠i} (x_esi ⊕ x_l)/(x_i ⊕ x_l) with l < k.
func (f *field) coefficient(k, esi, i int) byte {
	w := int(f.weight[k][esi]) - f.distance(esi, i) - int(f.weight[k][i]) + 2*order
	return f.exp[w%order]
}

// Coefficients returns the first rows parity rows of the code of dimension k:
// element [j][i] is what source symbol i is multiplied with in the repair
// symbol ESI = k + j. The rows depend on k, not on how many are sent.
func Coefficients(k, rows int) ([][]byte, error) {
	if k < 1 || k > MaxK {
		return nil, fmt.Errorf("fec: k = %d: choose 1…%d", k, MaxK)
	}
	if rows < 0 || rows > MaxSymbols-k {
		return nil, fmt.Errorf("fec: rows = %d with k = %d: choose 0…%d", rows, k, MaxSymbols-k)
	}
	f := gf()
	m := make([][]byte, rows)
	for j := range m {
		m[j] = make([]byte, k)
		for i := range m[j] {
			m[j][i] = f.coefficient(k, k+j, i)
		}
	}
	return m, nil
}

// solver inverts the m×m system that is left when m source symbols of a block
// are missing and m repair symbols are at hand. Its arrays are work space.
type solver struct {
	rowLog [MaxSymbols]int // logarithm of a factor per equation
	colLog [MaxSymbols]int // logarithm of a factor per unknown
}

// prepare readies the inverse for dimension k, the repair symbols esi and the
// missing source symbols idx; both have the same length.
//
// The matrix of the system is A[r][c] = w(esi_r) / ((a_r ⊕ b_c)·w(idx_c)),
// where a and b are the evaluation points and w the weights: a Cauchy matrix
// between two diagonal ones. So its inverse has a closed form, in m² steps:
//
//	A⁻¹[c][r] = col_c · row_r / (a_r ⊕ b_c)
//	row_r = Π_t (a_r ⊕ b_t) / Π_{t≠r} (a_r ⊕ a_t) / w(esi_r)
//	col_c = Π_t (a_t ⊕ b_c) / Π_{t≠c} (b_c ⊕ b_t) · w(idx_c)
//
// It exists whenever the points differ, which is why every row is of use.
func (s *solver) prepare(k int, esi, idx []uint8) {
	f := gf()
	for r, e := range esi {
		sum := -int(f.weight[k][e])
		for t := range esi {
			sum += f.distance(int(e), int(idx[t]))
			if t != r {
				sum -= f.distance(int(e), int(esi[t]))
			}
		}
		s.rowLog[r] = modOrder(sum)
	}
	for c, i := range idx {
		sum := int(f.weight[k][i])
		for t := range idx {
			sum += f.distance(int(esi[t]), int(i))
			if t != c {
				sum -= f.distance(int(i), int(idx[t]))
			}
		}
		s.colLog[c] = modOrder(sum)
	}
}

// factor returns A⁻¹[c][r] of the system that prepare was called with.
func (s *solver) factor(c, r int, esi, idx []uint8) byte {
	f := gf()
	w := s.colLog[c] + s.rowLog[r] - f.distance(int(esi[r]), int(idx[c])) + order
	return f.exp[w%order]
}

func modOrder(x int) int {
	if x %= order; x < 0 {
		x += order
	}
	return x
}
