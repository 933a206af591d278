package main

import (
	"math"
	"math/rand/v2"
	"testing"
)

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > within {
		t.Errorf("%s is %v, want %v ± %v", what, got, want, within)
	}
}

func TestWilson(t *testing.T) {
	// Worked by hand: 10 of 100 gives 5.52 … 17.44 %.
	low, high := wilson(10, 100)
	near(t, "low", low, 0.05523, 1e-4)
	near(t, "high", high, 0.17437, 1e-4)
	if low, high = wilson(0, 0); low != 0 || high != 1 {
		t.Errorf("of nothing: %v … %v, want 0 … 1", low, high)
	}
}

func TestStudent(t *testing.T) {
	near(t, "t(9)", student(9), 2.262, 1e-9)
	near(t, "t(60)", student(60), 2.000, 0.002)
	if !math.IsInf(student(0), 1) {
		t.Error("no degree of freedom must bound nothing")
	}
}

func TestEstimateOfNoLossIsTheRuleOfThree(t *testing.T) {
	e := estimate([]tally{{0, 1000}, {0, 2000}})
	if e.Value != 0 || e.Low != 0 || e.High != 0.001 {
		t.Errorf("%+v, want 0 with at most 3/3000", e)
	}
	if e = estimate(nil); !math.IsNaN(e.Value) || e.High != 1 {
		t.Errorf("%+v of no seed, want not a number", e)
	}
}

func TestEstimateWidensWithTheSeeds(t *testing.T) {
	even := estimate([]tally{{10, 1000}, {10, 1000}, {10, 1000}, {10, 1000}})
	uneven := estimate([]tally{{40, 1000}, {0, 1000}, {0, 1000}, {0, 1000}})
	near(t, "even", even.Value, 0.01, 1e-12)
	near(t, "uneven", uneven.Value, 0.01, 1e-12)
	low, high := wilson(40, 4000)
	near(t, "even's bound is Wilson's", even.High, high, 1e-12)
	near(t, "even's bound is Wilson's", even.Low, low, 1e-12)
	if uneven.High < 0.03 || uneven.Low != 0 {
		t.Errorf("uneven seeds: %+v, want wide bounds", uneven)
	}
}

// Bounds must hold the truth about as often as they say, also when losses come
// in runs of 20.
func TestEstimateCovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const truth, runs, length = 0.002, 400, 20
	held := 0
	for range runs {
		var seeds []tally
		for range 10 {
			var s tally
			for range 20000 / length {
				if rng.Float64() < truth {
					s.lost += length
				}
				s.total += length
			}
			seeds = append(seeds, s)
		}
		if e := estimate(seeds); e.Low <= truth && truth <= e.High {
			held++
		}
	}
	if share := float64(held) / runs; share < 0.9 {
		t.Errorf("the bounds held the truth in %.1f %% of runs, want about 95 %%", 100*share)
	}
}

func TestDifference(t *testing.T) {
	d := difference([]float64{1, 2, 3, 4}, []float64{0, 1, 2, 3})
	if d.Value != 1 || d.Low != 1 || d.High != 1 {
		t.Errorf("%+v, want exactly 1", d)
	}
	if d = difference([]float64{1}, []float64{0}); !math.IsInf(d.High, 1) {
		t.Errorf("one pair is no evidence: %+v", d)
	}
}

func TestQuantiles(t *testing.T) {
	v := []float64{5, 1, 4, 2, 3}
	near(t, "median", median(v), 3, 0)
	near(t, "third quarter", quantile(v, 0.75), 4, 0)
	near(t, "end", quantile(v, 1), 5, 0)
	if v[0] != 5 {
		t.Error("quantile sorted its argument")
	}
	// Six values: the sign test's 95 % interval is the whole span; of ten it
	// is the second to the ninth.
	if e := medianBounds([]float64{1, 2, 3, 4, 5, 6}); e != (Estimate{3.5, 1, 6}) {
		t.Errorf("%+v, want 3.5 from 1 to 6", e)
	}
	if e := medianBounds([]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}); e != (Estimate{5.5, 2, 9}) {
		t.Errorf("%+v, want 5.5 from 2 to 9", e)
	}
}

func TestDelays(t *testing.T) {
	var d delays
	for us := range int64(1000) {
		d.add(us * 100)
	}
	near(t, "median", d.quantileMS(0.5), 49.9, 0.051)
	near(t, "p99", d.quantileMS(0.99), 98.9, 0.051)
	d.add(-5)
	d.add(1 << 40)
	near(t, "end", d.quantileMS(1), 4000, 0.1)
}
