package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"quartet/board/thermal"
	"quartet/device/health"
	"quartet/device/web"
)

// climateEvery is how often temperatures are read: heat takes minutes.
const climateEvery = 2 * time.Second

// keepClimate reads temperatures, fans and supplies until ctx ends, runs the fan
// and has the page shed what viewers do not need.
func (f *front) keepClimate(ctx context.Context) {
	var guard thermal.Guard
	tick := time.NewTicker(climateEvery)
	defer tick.Stop()
	for {
		f.climateTurn(&guard)
		select {
		case <-ctx.Done():
			f.shed(false)
			return
		case <-tick.C:
		}
	}
}

func (f *front) climateTurn(guard *thermal.Guard) {
	now := f.since()
	var readings []thermal.Reading
	for _, t := range f.board.Temperatures {
		if c, err := t.Celsius(); err == nil {
			readings = append(readings, thermal.Reading{Name: t.Name(), Celsius: c, Limit: t.Limit()})
		}
	}
	level, worst := guard.Update(now, readings)
	room := worst.Limit - worst.Celsius
	detail := fmt.Sprintf("%s has %.0f °C of %.0f °C", worst.Name, worst.Celsius, worst.Limit)
	f.monitor.Set(now, web.BoardHot, health.ResourceBox, level == thermal.Hot, detail)
	f.monitor.Set(now, web.BoardWarm, health.ResourceBox, level >= thermal.Warm, detail)
	f.shed(level == thermal.Hot)

	duty := f.fans(now, len(readings) > 0, room)
	for _, s := range f.board.Supplies {
		low, high := s.Limits()
		v, err := s.Read()
		off := err == nil && !math.IsNaN(v.Volts) && (low > 0 && v.Volts < low || high > 0 && v.Volts > high)
		f.monitor.Set(now, web.SupplyOff, "supply/"+s.Name(), off, fmt.Sprintf("%.2f V, and %.2f to %.2f V are allowed", v.Volts, low, high))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.climate.Level, f.climate.Room, f.climate.Measured, f.climate.FanDuty = int(level), room, len(readings) > 0, duty
}

// known tells whether the board is a model of ours.
func (f *front) known() bool { return f.board.Model != "" && f.board.Model != "generic" }

// fans sets those that can be set and looks whether they turn. It returns what they
// are set to, -1 if none can be. Without a temperature they run at full speed.
// Those of a board that we do not know are its own firmware's, and one that has
// never turned there may not be plugged in.
func (f *front) fans(now time.Duration, measured bool, room float64) (set int) {
	duty := 100
	if measured {
		duty = thermal.Duty(room)
	}
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
