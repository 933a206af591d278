// Package system reads how the machine is: processor, memory, interfaces,
// temperatures, fans, voltages and power, from Linux's /proc and /sys. Its one
// job is to turn those files into numbers; what is not there is left out.
//
// Host.Root stands before every path, so that tests have a machine of their own.
package system

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Host is the machine to read.
type Host struct {
	Root  string   // before every path; empty: this machine
	Disks []string // folders whose file systems are measured
}

// Reading is how the machine is at one moment. Counters count since the boot.
type Reading struct {
	BootID   string
	Uptime   time.Duration
	CPUs     int
	CPU      []CPUTime // by mode, of all processors together
	Load     float64   // tasks that ran or wanted to, mean of the last minute
	Memory   Memory
	Disks    []Disk
	Networks []Network
	Sensors  []Sensor
}

// CPUTime is what the processors spent on one thing.
type CPUTime struct {
	Mode    string // as OpenTelemetry names it: user, nice, system, idle, iowait, interrupt, steal
	Seconds float64
}

// Memory is in bytes.
type Memory struct{ Total, Available, Free, Cached, Buffers uint64 }

// Disk is a file system, in bytes.
type Disk struct {
	Path        string
	Total, Free uint64
}

// Network is an interface. Loopback is left out.
type Network struct {
	Name               string
	Up                 bool
	SpeedBPS           int64 // 0: not known
	RxBytes, TxBytes   uint64
	RxPackets          uint64
	TxPackets          uint64
	RxErrors, TxErrors uint64
	RxDrops, TxDrops   uint64
}

// Kinds of sensor.
const (
	Temperature = "temperature" // °C
	Fan         = "fan"         // revolutions a minute
	Voltage     = "voltage"     // V
	Power       = "power"       // W
)

// Sensor is one reading of the hardware.
type Sensor struct {
	Kind  string
	ID    string // chip and label, unique within its kind
	Value float64
}

// modes are the columns of /proc/stat behind "cpu", proc_stat(5).
var modes = []string{"user", "nice", "system", "idle", "iowait", "interrupt", "softirq", "steal"}

// Read reads the machine. It takes well under a millisecond.
func (h Host) Read() Reading {
	r := Reading{
		BootID:   strings.TrimSpace(h.text("/proc/sys/kernel/random/boot_id")),
		Memory:   parseMemory(h.text("/proc/meminfo")),
		Networks: parseNetworks(h.text("/proc/net/dev")),
	}
	r.CPU, r.CPUs = parseStat(h.text("/proc/stat"))
	r.Uptime = seconds(first(h.text("/proc/uptime")))
	r.Load, _ = strconv.ParseFloat(first(h.text("/proc/loadavg")), 64)
	for i := range r.Networks {
		n := &r.Networks[i]
		folder := "/sys/class/net/" + n.Name + "/"
		n.Up = strings.TrimSpace(h.text(folder+"operstate")) == "up"
		if mbps := h.number(folder + "speed"); mbps > 0 {
			n.SpeedBPS = int64(mbps) * 1_000_000
		}
	}
	for _, path := range h.Disks {
		var s unix.Statfs_t
		if unix.Statfs(path, &s) == nil {
			r.Disks = append(r.Disks, Disk{path, s.Blocks * uint64(s.Bsize), s.Bavail * uint64(s.Bsize)})
		}
	}
	r.Sensors = h.sensors()
	return r
}

func first(s string) string {
	f, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	return f
}

func seconds(s string) time.Duration {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || v < 0 || v > 1e9 {
		return 0
	}
	return time.Duration(v * float64(time.Second))
}

func (h Host) text(path string) string {
	b, err := os.ReadFile(filepath.Join(h.Root, path))
	if err != nil {
		return ""
	}
	return string(b)
}

// number is the number in a file; 0 if there is none.
func (h Host) number(path string) float64 {
	v, err := strconv.ParseFloat(strings.TrimSpace(h.text(path)), 64)
	if err != nil {
		return 0
	}
	return v
}

// parseStat reads /proc/stat. Interrupts hard and soft are one mode.
func parseStat(text string) (list []CPUTime, cpus int) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || !strings.HasPrefix(f[0], "cpu") {
			continue
		}
		if f[0] != "cpu" {
			cpus++
			continue
		}
		for i, mode := range modes {
			if i+1 >= len(f) {
				break
			}
			ticks, err := strconv.ParseUint(f[i+1], 10, 64)
			if err != nil {
				break
			}
			s := float64(ticks) / 100 // USER_HZ, the same on every Linux of today
			if mode == "softirq" {
				mode = "interrupt"
			}
			if j := slices.IndexFunc(list, func(c CPUTime) bool { return c.Mode == mode }); j >= 0 {
				list[j].Seconds += s
				continue
			}
			list = append(list, CPUTime{mode, s})
		}
	}
	return list, cpus
}

// parseMemory reads /proc/meminfo.
func parseMemory(text string) (m Memory) {
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(line, ":")
		kib, err := strconv.ParseUint(first(rest), 10, 54)
		if err != nil {
			continue
		}
		switch name {
		case "MemTotal":
			m.Total = kib << 10
		case "MemAvailable":
			m.Available = kib << 10
		case "MemFree":
			m.Free = kib << 10
		case "Cached":
			m.Cached = kib << 10
		case "Buffers":
			m.Buffers = kib << 10
		}
	}
	return m
}

// parseNetworks reads /proc/net/dev.
func parseNetworks(text string) (list []Network) {
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		f := strings.Fields(rest)
		if !ok || name == "" || name == "lo" || len(f) < 12 || strings.ContainsAny(name, "/ ") {
			continue
		}
		v := make([]uint64, len(f))
		for i := range f {
			v[i], _ = strconv.ParseUint(f[i], 10, 64)
		}
		list = append(list, Network{Name: name, RxBytes: v[0], RxPackets: v[1], RxErrors: v[2], RxDrops: v[3],
			TxBytes: v[8], TxPackets: v[9], TxErrors: v[10], TxDrops: v[11]})
	}
	slices.SortFunc(list, func(a, b Network) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// hwmon's files by kind: prefix, suffix, what a count is worth
// (Documentation/hwmon/sysfs-interface in Linux's sources).
var hwmon = []struct {
	kind, pattern string
	unit          float64
}{
	{Temperature, "temp*_input", 1e-3},
	{Fan, "fan*_input", 1},
	{Voltage, "in*_input", 1e-3},
	{Power, "power*_input", 1e-6},
}

// sensors reads the thermal zones and hwmon's chips.
func (h Host) sensors() (list []Sensor) {
	add := func(kind, id string, v float64) {
		for n := 2; slices.ContainsFunc(list, func(s Sensor) bool { return s.Kind == kind && s.ID == id }); n++ {
			base, _, _ := strings.Cut(id, "#")
			id = base + "#" + strconv.Itoa(n)
		}
		list = append(list, Sensor{kind, id, v})
	}
	for _, zone := range h.glob("/sys/class/thermal/thermal_zone*") {
		if t := h.text(zone + "/temp"); t != "" {
			add(Temperature, cmp.Or(strings.TrimSpace(h.text(zone+"/type")), filepath.Base(zone)), h.number(zone+"/temp")/1000)
		}
	}
	for _, chip := range h.glob("/sys/class/hwmon/hwmon*") {
		name := cmp.Or(strings.TrimSpace(h.text(chip+"/name")), filepath.Base(chip))
		for _, k := range hwmon {
			for _, file := range h.glob(chip + "/" + k.pattern) {
				if h.text(file) == "" {
					continue // a sensor that does not answer
				}
				base := strings.TrimSuffix(file, "_input")
				label := cmp.Or(strings.TrimSpace(h.text(base+"_label")), filepath.Base(base))
				add(k.kind, name+"/"+label, h.number(file)*k.unit)
			}
		}
	}
	return list
}

// glob finds files below Root, without it.
func (h Host) glob(pattern string) []string {
	found, _ := filepath.Glob(filepath.Join(h.Root, pattern)) // patterns are ours
	for i := range found {
		found[i] = "/" + strings.TrimPrefix(strings.TrimPrefix(found[i], h.Root), "/")
	}
	slices.Sort(found)
	return found
}
