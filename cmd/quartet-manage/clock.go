package main

import (
	"encoding/json"
	"sync"
	"time"

	"quartet/device/durable"
	"quartet/device/telemetry/system"
)

// timeOfDay is the machine's clock, which counts as right while a time server
// keeps it, and also after an admin has set it: until the next restart of the
// machine, because nobody knows what its clock did meanwhile. It is
// telemetry.Clock and updater.Clock.
type timeOfDay struct {
	system.Clock
	boot string
	file durable.Twin

	mu  sync.Mutex
	set bool // by an admin, in this boot
}

// setClock is the file.
type setClock struct {
	Boot string    `json:"boot"`
	At   time.Time `json:"at"`
}

func openTimeOfDay(dir, boot string) (*timeOfDay, error) {
	folder, err := durable.Open(dir)
	if err != nil {
		return nil, err
	}
	t := &timeOfDay{boot: boot, file: durable.Twin{Folder: folder, Name: "clock-set.v1.json"}}
	var s setClock
	// What cannot be read is as if nobody had set it.
	if b, _, err := t.file.Load(); err == nil && json.Unmarshal(b, &s) == nil {
		t.set = boot != "" && s.Boot == boot
	}
	return t, nil
}

// Now implements updater.Clock.
func (t *timeOfDay) Now() time.Time { return time.Now() }

// Synchronised implements updater.Clock and telemetry.Clock.
func (t *timeOfDay) Synchronised() bool {
	t.mu.Lock()
	set := t.set
	t.mu.Unlock()
	return set || t.Clock.Synchronised()
}

// wasSet notes that an admin has set the clock.
func (t *timeOfDay) wasSet(at time.Time) error {
	b, err := json.Marshal(setClock{Boot: t.boot, At: at})
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.set = true
	t.mu.Unlock()
	return t.file.Save(b)
}
