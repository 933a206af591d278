package mpegts

import (
	"math"
	"time"
)

// Model of the two clocks and of what lies between them. Times in ns.
const (
	freqSpread   = 200e-6        // what a source's rate may be off, before anything is known
	freqLimit    = 2000e-6       // what is believed at the most
	freqWander   = 1e-14 / 1e9   // (0.1 ppm)² per second
	phaseWander  = 25e6 / 1e9    // (5 µs)² per second
	noiseFloor   = 20e3 * 20e3   // (20 µs)²: no arrival is known better
	noiseStart   = 2e6 * 2e6     // (2 ms)², until some arrivals have been seen
	noiseCaution = 4             // arrivals in a row are late together: they count for less
	lockedPhase  = 500e3 * 500e3 // (0.5 ms)²
)

// estimate is a Kalman filter of two states, phase and rate: at which of our
// instants a source time would arrive if there was no jitter. Gains follow from
// the jitter seen: wide at first, narrow later, narrower the worse the jitter.
type estimate struct {
	src  int64   // reference point
	ref  float64 // our time of it, ns
	freq float64 // our time passes 1+freq as fast as the source's

	p11, p12, p22 float64 // covariance
	noise         float64 // mean square of arrivals around their mean, ns²
	bias          float64 // running mean of arrivals against the estimate, ns
	n             int     // observations since restart
}

// restart begins with one arrival, and keeps what is known of rate and jitter.
func (e *estimate) restart(src int64, at time.Duration) {
	e.src, e.ref = src, float64(at)
	if e.noise == 0 {
		e.noise = noiseStart
	}
	e.p11, e.p12 = 4*max(e.noise, noiseStart), 0
	if e.p22 == 0 {
		e.p22 = freqSpread * freqSpread
	}
	e.bias, e.n = 0, 0
}

// loosen admits that source time may have shifted by about the jitter, and
// that it may be another clock's.
func (e *estimate) loosen() {
	e.p11 += max(e.noise, 1e12)
	e.p22 = max(e.p22, freqSpread*freqSpread/16)
}

func (e *estimate) at(src int64) float64 { return e.ref + srcNS(src-e.src)*(1+e.freq) }

func (e *estimate) source(at float64) int64 { return e.src + nsSrc((at-e.ref)/(1+e.freq)) }

func (e *estimate) locked() bool { return e.n >= 16 && e.p11 < lockedPhase }

// observe takes the arrival, at ns, of a source time not before the last one.
func (e *estimate) observe(src int64, at float64) {
	dt := srcNS(src - e.src)
	if dt <= 0 {
		return
	}
	e.ref, e.src = e.at(src), src
	e.p11 += dt*(2*e.p12+dt*e.p22) + phaseWander*dt
	e.p12 += dt * e.p22
	e.p22 = min(e.p22+freqWander*dt, freqSpread*freqSpread)

	e.n++
	r := at - e.ref
	s := e.p11 + noiseCaution*max(e.noise, noiseFloor)
	limit := 3 * math.Sqrt(s)
	r = min(max(r, -limit), limit)
	e.bias += (r - e.bias) / float64(min(e.n, 16))
	v := (r - e.bias) * (r - e.bias)
	e.noise += (v - e.noise) / float64(min(e.n+8, 64))

	k1, k2 := e.p11/s, e.p12/s
	e.ref += k1 * r
	e.freq = min(max(e.freq+k2*r, -freqLimit), freqLimit)
	e.p22 -= k2 * e.p12
	e.p12 -= k1 * e.p12
	e.p11 -= k1 * e.p11

	// Sixteen arrivals in a row far off on the same side: the path changed.
	if e.n > 32 && math.Abs(e.bias) > 2e6+3*math.Sqrt(e.noise) {
		e.ref += e.bias
		e.p11 += e.noise
		e.bias = 0
	}
}
