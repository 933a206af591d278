package fec

import (
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/reedsolomon"
)

// slowMul multiplies in GF(2⁸) bit by bit.
func slowMul(a, b byte) byte {
	r := 0
	x := int(a)
	for ; b != 0; b >>= 1 {
		if b&1 != 0 {
			r ^= x
		}
		if x <<= 1; x&0x100 != 0 {
			x ^= polynomial
		}
	}
	return byte(r)
}

func TestFieldMatchesBitwiseProduct(t *testing.T) {
	f := gf()
	for a := 1; a < 256; a++ {
		for b := 1; b < 256; b++ {
			if got, want := f.exp[int(f.log[a])+int(f.log[b])], slowMul(byte(a), byte(b)); got != want {
				t.Fatalf("%d·%d = %d, want %d", a, b, got, want)
			}
		}
	}
}

// The examples of the wire format.
func TestCoefficientsK4(t *testing.T) {
	rows, err := Coefficients(4, 2)
	if err != nil {
		t.Fatal(err)
	}
	for j, want := range []string{"4078360f", "e7d25763"} {
		if got := hex.EncodeToString(rows[j]); got != want {
			t.Errorf("ESI %d: %s, want %s", 4+j, got, want)
		}
	}
}

// The systematic generator G = V_KK⁻¹·V_KN satisfies V_KK·G = V_KN: row r of
// V_KK times column esi of G is x_esi^r.
func TestCoefficientsSolveVandermonde(t *testing.T) {
	for _, k := range []int{1, 2, 3, 20, 64, 127, 254} {
		rows, err := Coefficients(k, MaxSymbols-k)
		if err != nil {
			t.Fatal(err)
		}
		for j, row := range rows {
			if j > 3 && j < len(rows)-3 {
				continue
			}
			x := gf().exp[k+j]
			want := byte(1) // x^r
			powers := make([]byte, k)
			for i := range powers {
				powers[i] = 1 // x_i^r
			}
			for r := range k {
				sum := byte(0)
				for i, c := range row {
					sum ^= slowMul(powers[i], c)
					powers[i] = slowMul(powers[i], gf().exp[i])
				}
				if sum != want {
					t.Fatalf("K = %d, ESI %d, power %d: %d, want %d", k, k+j, r, sum, want)
				}
				want = slowMul(want, x)
			}
		}
	}
}

func TestCoefficientsRange(t *testing.T) {
	for _, c := range [][2]int{{0, 1}, {255, 0}, {-1, 1}, {4, -1}, {4, 252}, {254, 2}} {
		if _, err := Coefficients(c[0], c[1]); err == nil {
			t.Errorf("Coefficients(%d, %d) was accepted", c[0], c[1])
		}
	}
	for _, c := range [][2]int{{1, 254}, {254, 1}, {4, 0}} {
		if _, err := Coefficients(c[0], c[1]); err != nil {
			t.Errorf("Coefficients(%d, %d): %v", c[0], c[1], err)
		}
	}
}

// The closed form of the inverse is the inverse, for any choice of rows and
// unknowns.
func TestSolverInverse(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	f := gf()
	for range 300 {
		k := 1 + rng.IntN(MaxK)
		m := 1 + rng.IntN(min(k, MaxSymbols-k, 40))
		var esi, idx []uint8
		for _, e := range rng.Perm(MaxSymbols - k)[:m] {
			esi = append(esi, uint8(k+e))
		}
		for _, i := range rng.Perm(k)[:m] {
			idx = append(idx, uint8(i))
		}
		var s solver
		s.prepare(k, esi, idx)
		for c := range m {
			for d := range m {
				sum := byte(0)
				for r := range m {
					sum ^= slowMul(s.factor(c, r, esi, idx), f.coefficient(k, int(esi[r]), int(idx[d])))
				}
				if want := byte(0); sum != want && c != d || c == d && sum != 1 {
					t.Fatalf("K = %d, m = %d: (A⁻¹·A)[%d][%d] = %d", k, m, c, d, sum)
				}
			}
		}
	}
}

// The library with our matrix reconstructs what our rows encoded: the two
// agree on the code.
func TestLibraryReconstructs(t *testing.T) {
	const k, rows, size = 20, 10, 333
	m, err := Coefficients(k, rows)
	if err != nil {
		t.Fatal(err)
	}
	code, err := reedsolomon.New(k, rows, reedsolomon.WithCustomMatrix(m), reedsolomon.WithInversionCache(false))
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	shards := make([][]byte, k+rows)
	for i := range shards {
		shards[i] = make([]byte, size)
		if i < k {
			for j := range shards[i] {
				shards[i][j] = byte(rng.Uint32())
			}
		}
	}
	for j := range rows {
		for i := range k {
			reedsolomon.LowLevel{}.GalMulSliceXor(gf().coefficient(k, k+j, i), shards[i], shards[k+j])
		}
	}
	want := hex.EncodeToString(shards[7])
	for i := range rows {
		shards[i] = nil
	}
	if err := code.Reconstruct(shards); err != nil {
		t.Fatal(err)
	}
	if hex.EncodeToString(shards[7]) != want {
		t.Error("symbol 7 was not reconstructed")
	}
}
