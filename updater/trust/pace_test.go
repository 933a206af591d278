package trust

import (
	"testing"
	"testing/synctest"
	"time"
)

// A rate is kept though whoever reads is late each time, and no burst follows a
// pause.
func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, piece = 10_000_000, 16 << 10 // 1.6 ms each
		l := &Limiter{Rate: func() int64 { return rate }}
		read := func(n int, takes time.Duration) time.Duration {
			begun := time.Now()
			for range n {
				if err := l.Wait(t.Context(), piece); err != nil {
					t.Fatal(err)
				}
				time.Sleep(takes)
			}
			return time.Since(begun)
		}
		due := time.Duration(1000 * piece * int64(time.Second) / rate)
		if took := read(1000, 0); took < due-late || took > due+late {
			t.Errorf("1000 pieces took %v, want %v", took, due)
		}
		// Each third is 4 ms late: still as fast as it may be.
		begun := time.Now()
		for range 333 {
			read(2, 0)
			read(1, 4*time.Millisecond)
		}
		if took := time.Since(begun); took > due+2*late {
			t.Errorf("with late reads 999 pieces took %v, want %v", took, due)
		}
		time.Sleep(time.Minute)
		if took, least := read(1000, 0), due-late-10*time.Millisecond; took < least {
			t.Errorf("after a pause 1000 pieces took %v, want %v or more", took, least)
		}
	})
}
