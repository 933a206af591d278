package main

import (
	"sync"
	"time"

	"quartet/device/telemetry/system"
	"quartet/device/web"
)

// machine measures the system for the page.
type machine struct {
	host system.Host

	mu         sync.Mutex // guards what follows
	busy, idle float64    // seconds, of the reading before
	at         time.Time
	last       web.System
}

// Read is at most twice a second a new reading.
func (m *machine) Read() web.System {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if now.Sub(m.at) < 500*time.Millisecond {
		return m.last
	}
	r := m.host.Read()
	const mib = 1 << 20
	s := web.System{UptimeS: r.Uptime.Seconds(), BootID: r.BootID, Load1: r.Load,
		MemoryMiB: int((r.Memory.Total - min(r.Memory.Total, r.Memory.Available)) / mib), TotalMiB: int(r.Memory.Total / mib)}
	var busy, idle float64
	for _, t := range r.CPU {
		if t.Mode == "idle" || t.Mode == "iowait" {
			idle += t.Seconds
		} else {
			busy += t.Seconds
		}
	}
	if all := busy + idle - m.busy - m.idle; !m.at.IsZero() && all > 0 {
		s.CPUPercent = 100 * max(0, busy-m.busy) / all
	}
	for _, sensor := range r.Sensors {
		if sensor.Kind == system.Temperature && (s.TemperatureC == nil || sensor.Value > *s.TemperatureC) {
			v := sensor.Value
			s.TemperatureC = &v
		}
	}
	m.busy, m.idle, m.at, m.last = busy, idle, now, s
	return s
}
