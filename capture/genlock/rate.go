package genlock

import (
	"fmt"
	"time"
)

// Rate is frames a second, as a fraction.
type Rate struct{ Num, Den int }

// Valid tells whether it is a rate.
func (r Rate) Valid() bool { return r.Num > 0 && r.Den > 0 }

// Frames returns how long n frames last.
func (r Rate) Frames(n int64) time.Duration {
	den, num := int64(r.Den), int64(r.Num)
	whole := n / num // seconds·den, without overflow for a century
	rest := n % num
	return time.Duration(whole*den)*time.Second + time.Duration(rest*den*int64(time.Second)/num)
}

// Float is the rate in hertz.
func (r Rate) Float() float64 { return float64(r.Num) / float64(r.Den) }

// String is the rate as people write it: 25, 29.97.
func (r Rate) String() string {
	if r.Den == 1 {
		return fmt.Sprint(r.Num)
	}
	return fmt.Sprintf("%.4g", r.Float())
}
