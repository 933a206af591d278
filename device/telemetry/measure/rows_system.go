package measure

import "quartet/device/telemetry/system"

// The names below are OpenTelemetry's semantic conventions for systems and
// hardware.

var systemRows = []row[system.Reading]{
	gauge("system.uptime", "s", nil, 0, "Since the box booted.", "", func(r *system.Reading) float64 { return r.Uptime.Seconds() }),
	gauge("system.cpu.logical.count", "{cpu}", nil, 0, "Processors.", "", func(r *system.Reading) float64 { return float64(r.CPUs) }),
	gauge("system.cpu.load_average.1m", "{thread}", nil, 0, "Tasks that run or want to, mean of a minute.", "", func(r *system.Reading) float64 { return r.Load }),
	gauge("system.memory.limit", "By", nil, 0, "Memory.", "", func(r *system.Reading) float64 { return float64(r.Memory.Total) }),
	gauge("system.linux.memory.available", "By", nil, 0, "Memory that can be had without swapping.", "", func(r *system.Reading) float64 { return float64(r.Memory.Available) }),
}

var cpuRows = []row[system.CPUTime]{
	counter(Boot, "system.cpu.time", "s", []string{"cpu.mode"}, 0, "Processor time of all processors together.", "", func(c *system.CPUTime) float64 { return c.Seconds }),
}

var memoryRows = []row[float64]{
	gauge("system.memory.usage", "By", []string{"system.memory.state"}, 0, "Memory by what it is used for.", "", func(v *float64) float64 { return *v }),
}

var diskRows = []row[float64]{
	gauge("system.filesystem.usage", "By", []string{"system.filesystem.mountpoint", "system.filesystem.state"}, 0, "File system of the data folder.", "", func(v *float64) float64 { return *v }),
}

var linkRows = []row[system.Network]{
	gauge("hw.network.up", "{link}", []string{"network.interface.name"}, 0, "1 while the interface has a carrier and is up.", "", func(n *system.Network) float64 { return flag(n.Up) }),
	only(gauge("hw.network.bandwidth.limit", "bit/s", []string{"network.interface.name"}, 0, "Speed of the interface, where it is known. OpenTelemetry has it in By/s; networks are sold in bits.", "", func(n *system.Network) float64 { return float64(n.SpeedBPS) }),
		func(n *system.Network) bool { return n.SpeedBPS > 0 }),
}

var byDirection = []string{"network.interface.name", "network.io.direction"}

// directed makes the rows of one direction.
func directed(read func(*system.Network) (bytes, packets, errors, drops uint64)) []row[system.Network] {
	pick := func(i int) func(*system.Network) float64 {
		return func(n *system.Network) float64 {
			b, p, e, d := read(n)
			return float64([]uint64{b, p, e, d}[i])
		}
	}
	return []row[system.Network]{
		counter(Boot, "system.network.io", "By", byDirection, 0, "Bytes of an interface.", "", pick(0)),
		counter(Boot, "system.network.packet.count", "{packet}", byDirection, 0, "Packets of an interface.", "", pick(1)),
		counter(Boot, "system.network.errors", "{error}", byDirection, 0, "Errors of an interface.", "", pick(2)),
		counter(Boot, "system.network.packet.dropped", "{packet}", byDirection, 0, "Packets that the interface or the kernel dropped.", "", pick(3)),
	}
}

var (
	receiveRows = directed(func(n *system.Network) (uint64, uint64, uint64, uint64) {
		return n.RxBytes, n.RxPackets, n.RxErrors, n.RxDrops
	})
	transmitRows = directed(func(n *system.Network) (uint64, uint64, uint64, uint64) {
		return n.TxBytes, n.TxPackets, n.TxErrors, n.TxDrops
	})
)

func sensor(kind, name, unit, text, like string) row[system.Sensor] {
	return only(gauge(name, unit, []string{"hw.id"}, 0, text, like, func(s *system.Sensor) float64 { return s.Value }),
		func(s *system.Sensor) bool { return s.Kind == kind })
}

var sensorRows = []row[system.Sensor]{
	sensor(system.Temperature, "hw.temperature", "Cel", "Temperature of a part.", "Link: Temperature"),
	sensor(system.Fan, "hw.fan.speed", "rpm", "Speed of a fan.", ""),
	sensor(system.Voltage, "hw.voltage", "V", "Voltage of a supply.", ""),
	sensor(system.Power, "hw.power", "W", "Power of a part.", ""),
}
