// Package thermal decides what a box gives up when it gets hot: first it only
// says so, then it sheds what viewers do not need, and never the media.
package thermal

import "time"

const (
	// warnBelow and actBelow are how far below a sensor's limit the box warns,
	// and sheds; each ends once it is easeBelow cooler.
	warnBelow, actBelow, easeBelow = 15.0, 5.0, 5.0
	// defaultLimit is for sensors that tell none: the least of the processors
	// that the models have.
	defaultLimit = 95.0
	// hold is how long a temperature must last to count.
	hold = 5 * time.Second
)

// Level is what is done.
type Level uint8

// Levels.
const (
	Cool Level = iota
	Warm       // a condition is raised; the fan is at its highest
	Hot        // page, previews and history are shed
)

func (l Level) String() string { return [...]string{"cool", "warm", "hot"}[l] }

// Reading is one sensor's.
type Reading struct {
	Name           string
	Celsius, Limit float64 // Limit 0: not told
}

// Guard follows the temperatures. The zero value is cool.
type Guard struct {
	level Level
	since time.Duration // when the level that is wanted now was first wanted
	want  Level
}

// Update takes the readings of one moment and returns the level, and the sensor
// nearest to its limit. Without readings the level stays. blind tells that a
// sensor could not be read: it may be the hot one, so that nothing eases.
func (g *Guard) Update(now time.Duration, readings []Reading, blind bool) (Level, Reading) {
	var worst Reading
	room := 1e9
	for _, r := range readings {
		if r.Limit <= 0 {
			r.Limit = defaultLimit
		}
		if d := r.Limit - r.Celsius; d < room {
			room, worst = d, r
		}
	}
	if len(readings) == 0 {
		return g.level, worst
	}
	want := g.wanted(room)
	if blind {
		want = max(want, g.level)
	}
	if want != g.want {
		g.want, g.since = want, now
	}
	if g.want != g.level && now-g.since >= hold {
		g.level = g.want
	}
	return g.level, worst
}

// wanted is the level for the degrees that are left, given the present one.
func (g *Guard) wanted(room float64) Level {
	ease := func(l Level) float64 {
		if g.level >= l {
			return easeBelow
		}
		return 0
	}
	switch {
	case room < actBelow+ease(Hot):
		return Hot
	case room < warnBelow+ease(Warm):
		return Warm
	}
	return Cool
}

// Duty is the fan's, in percent, for the degrees that are left to the limit:
// quiet while there is room, all of it where the box warns.
func Duty(room float64) int {
	const full, quiet, least = warnBelow, 45.0, 25
	switch {
	case room <= full:
		return 100
	case room >= quiet:
		return least
	}
	return least + int((quiet-room)/(quiet-full)*(100-least)+0.5)
}
