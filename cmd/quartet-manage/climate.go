package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"syscall"
	"time"

	"quartet/board/thermal"
	"quartet/device/health"
	"quartet/device/web"
)

// climateEvery is how often temperatures are read: heat takes minutes.
const climateEvery = 2 * time.Second

// Drivers come while udev is still at work: what hwmon shows is looked for again
// every lookEvery until lookFor after the start.
const lookEvery, lookFor = 10 * time.Second, time.Minute

// deafAfter is how many times in a row a sensor must fail until the fan counts it
// as hot: one failed reading is no reason to roar.
const deafAfter = 3

// keepClimate reads temperatures, fans and supplies until ctx ends, runs the fan
// and has the page shed what viewers do not need.
func (f *front) keepClimate(ctx context.Context) {
	var guard thermal.Guard
	tick := time.NewTicker(climateEvery)
	defer tick.Stop()
	looked, last := time.Duration(0), f.since()+lookFor
	for {
		if now := f.since(); f.again != nil && now < last && now-looked >= lookEvery {
			looked = now
			f.lookAgain(now)
		}
		f.climateTurn(&guard)
		select {
		case <-ctx.Done():
			f.shed(false)
			f.fullSpeed()
			return
		case <-tick.C:
		}
	}
}

// lookAgain looks for what hwmon shows, and forgets what was said of parts that
// are not there any more, or have another name.
func (f *front) lookAgain(now time.Duration) {
	was := f.parts()
	f.again(f.board)
	is := f.parts()
	for _, name := range was {
		if !slices.Contains(is, name) {
			f.monitor.Forget(now, name)
			delete(f.failed, name)
		}
	}
}

// parts are the names under which conditions of sensors, fans and supplies go.
func (f *front) parts() (list []string) {
	for _, t := range f.board.Temperatures {
		list = append(list, "sensor/"+t.Name())
	}
	for _, fan := range f.board.Fans {
		list = append(list, "fan/"+fan.Name())
	}
	for _, s := range f.board.Supplies {
		list = append(list, "supply/"+s.Name())
	}
	return list
}

func (f *front) climateTurn(guard *thermal.Guard) {
	now := f.since()
	readings, failing, deaf := f.temperatures(now)
	level, worst := guard.Update(now, readings, failing)
	room := worst.Limit - worst.Celsius
	detail := fmt.Sprintf("%s has %.0f °C of %.0f °C", worst.Name, worst.Celsius, worst.Limit)
	f.monitor.Set(now, web.BoardHot, health.ResourceBox, level == thermal.Hot, detail)
	f.monitor.Set(now, web.BoardWarm, health.ResourceBox, level >= thermal.Warm, detail)
	f.shed(level == thermal.Hot)

	duty := 100
	switch {
	case len(readings) == 0 || deaf:
	case failing: // as fast as it was at least
		duty = max(f.duty, thermal.Duty(room))
	default:
		duty = thermal.Duty(room)
	}
	f.duty = duty
	set := f.fans(now, duty)
	for _, s := range f.board.Supplies {
		low, high := s.Limits()
		v, err := s.Read()
		off := err == nil && !math.IsNaN(v.Volts) && (low > 0 && v.Volts < low || high > 0 && v.Volts > high)
		f.monitor.Set(now, web.SupplyOff, "supply/"+s.Name(), off, fmt.Sprintf("%.2f V, and %.2f to %.2f V are allowed", v.Volts, low, high))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.climate.Level, f.climate.Room, f.climate.Measured, f.climate.FanDuty = int(level), room, len(readings) > 0, set
}

// temperatures reads all sensors. failing: at least one could not be read, and is
// perhaps the hot one; deaf: one has failed for several turns.
func (f *front) temperatures(now time.Duration) (readings []thermal.Reading, failing, deaf bool) {
	broken := map[string]error{} // by resource: two sensors may have one name
	var read []string
	for _, t := range f.board.Temperatures {
		name := "sensor/" + t.Name()
		c, err := t.Celsius()
		switch {
		case err == nil:
			readings = append(readings, thermal.Reading{Name: t.Name(), Celsius: c, Limit: t.Limit()})
			read = append(read, name)
		case f.fails(name, err):
			broken[name] = err
		}
	}
	for _, name := range read {
		if broken[name] == nil {
			f.failed[name] = 0
			f.monitor.Set(now, web.SensorFailed, name, false, "")
		}
	}
	for name, err := range broken {
		f.failed[name]++
		failing, deaf = true, deaf || f.failed[name] >= deafAfter
		f.monitor.Set(now, web.SensorFailed, name, true, err.Error())
	}
	return readings, failing, deaf
}

// fails tells whether a sensor that gives an error is broken. One that has been
// read before is. Before that, on a board of ours, any but ENODATA, with which
// hwmon says that a sensor is switched off: the radio's of a card in a slot, say.
// What other machines have that was never read we do not know.
func (f *front) fails(name string, err error) bool {
	_, read := f.failed[name]
	return read || f.known() && !errors.Is(err, syscall.ENODATA)
}

// known tells whether the board is a model of ours.
func (f *front) known() bool { return f.board.Model != "" && f.board.Model != "generic" }

// fans sets those that can be set and looks whether they turn. It returns what they
// are set to, -1 if none can be. Those of a board that we do not know are its own
// firmware's, and one that has never turned there may not be plugged in.
func (f *front) fans(now time.Duration, duty int) (set int) {
	set = -1
	for _, fan := range f.board.Fans {
		if f.known() && fan.SetDuty(duty) == nil {
			set = duty
		}
		rpm, err := fan.RPM()
		f.turned[fan.Name()] = f.turned[fan.Name()] || rpm > 0
		f.monitor.Set(now, web.FanStopped, "fan/"+fan.Name(), err == nil && rpm == 0 && (f.known() || f.turned[fan.Name()]), "")
	}
	return set
}

// fullSpeed is for when nobody watches the temperature: before the first look at
// it, so that a management that cannot start leaves the fan so, and after the last.
func (f *front) fullSpeed() {
	for _, fan := range f.board.Fans {
		if f.known() {
			_ = fan.SetDuty(100) // one that is not ours to set, or not yet: see fans
		}
	}
}
