package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"sync"
	"time"

	"quartet/device/durable"
)

const clockFile = "clock.v1.json"

// earliest is before any program that has this package.
var earliest = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// ClockConfig is what a Clock is made of.
type ClockConfig struct {
	// Dir is the folder of its state; it is made if there is none.
	Dir string
	// Build is when the software was built; zero: BuildTime.
	Build time.Time
	// Now is the system's clock; nil: time.Now.
	Now func() time.Time
	// Synchronised tells whether the system's clock is right: set by NTP, or by an
	// admin. Nil: never.
	Synchronised func() bool
}

// Clock is the system's clock with a floor: the latest time that is certain to
// be past. A box without a battery wakes up in 1970; certificates must not be
// judged by that. It may be used by several goroutines.
type Clock struct {
	// set at start, never changed
	cfg     ClockConfig
	file    durable.Twin
	problem error

	mu    sync.Mutex
	floor time.Time
}

// savedClock is the file.
type savedClock struct {
	Version int       `json:"version"`
	Time    time.Time `json:"time"`
}

// OpenClock reads the floor. A file that is damaged counts as none.
func OpenClock(cfg ClockConfig) (*Clock, error) {
	folder, err := durable.Open(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("identity: make the clock's folder: %w", err)
	}
	return openClockIn(cfg, folder)
}

func openClockIn(cfg ClockConfig, folder durable.Folder) (*Clock, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Build.IsZero() {
		cfg.Build = BuildTime()
	}
	c := &Clock{cfg: cfg, file: durable.Twin{Folder: folder, Name: clockFile}, floor: cfg.Build.UTC()}
	data, problem, err := c.file.Load()
	if err == nil {
		var s savedClock
		if err = json.Unmarshal(data, &s); err == nil && s.Time.After(c.floor) {
			c.floor = s.Time.UTC()
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		problem = err
	}
	if problem != nil {
		c.problem = fmt.Errorf("identity: the clock's floor: %w", problem)
	}
	return c, nil
}

// BuildTime is the time of the commit that the program was built from, as the
// go command noted it, and at least that of this package.
func BuildTime() time.Time {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key != "vcs.time" {
				continue
			}
			if t, err := time.Parse(time.RFC3339, s.Value); err == nil && t.After(earliest) {
				return t.UTC()
			}
		}
	}
	return earliest
}

// Problem is what OpenClock found wrong and went on with; nil if nothing.
func (c *Clock) Problem() error { return c.problem }

// Floor is the latest time that is certain to be past.
func (c *Clock) Floor() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.floor
}

// Now is the system's time, but not before the floor.
func (c *Clock) Now() time.Time {
	now := c.cfg.Now()
	if floor := c.Floor(); now.Before(floor) {
		return floor
	}
	return now
}

// Behind tells whether the system's clock is before the floor, and so wrong.
func (c *Clock) Behind() bool { return c.cfg.Now().Before(c.Floor()) }

// Synchronised tells whether the time is right, as far as the box knows.
func (c *Clock) Synchronised() bool {
	return c.cfg.Synchronised != nil && c.cfg.Synchronised() && !c.Behind()
}

// Save raises the floor to now, if the clock is synchronised: a time that is
// only believed must not become a floor, because a floor never comes down
// before a factory reset.
func (c *Clock) Save() error {
	if !c.Synchronised() {
		return nil
	}
	now := c.cfg.Now().UTC().Truncate(time.Second)
	data, err := json.Marshal(savedClock{Version: 1, Time: now})
	if err == nil {
		err = c.file.Save(data)
	}
	if err != nil {
		return fmt.Errorf("identity: keep the time: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.After(c.floor) {
		c.floor = now
	}
	return nil
}
