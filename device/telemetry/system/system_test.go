package system

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// machine writes the files of a machine.
func machine(t *testing.T, files map[string]string) Host {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Host{Root: root}
}

func TestRead(t *testing.T) {
	h := machine(t, map[string]string{
		"/proc/sys/kernel/random/boot_id": "c0ffee\n",
		"/proc/uptime":                    "12.50 20.00\n",
		"/proc/loadavg":                   "0.42 0.30 0.20 1/100 4711\n",
		"/proc/stat":                      "cpu  100 1 50 1000 5 2 3 4 0 0\ncpu0 1 2\ncpu1 1 2\nintr 5\n",
		"/proc/meminfo":                   "MemTotal:  1000 kB\nMemFree: 300 kB\nMemAvailable: 600 kB\nBuffers: 10 kB\nCached: 200 kB\n",
		"/proc/net/dev": "Inter-|   Receive  |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast|bytes\n" +
			"    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth1: 10 2 3 4 0 0 0 0 50 6 7 8 0 0 0 0\n  eth0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n",
		"/sys/class/net/eth0/operstate":         "up\n",
		"/sys/class/net/eth0/speed":             "1000\n",
		"/sys/class/net/eth1/operstate":         "down\n",
		"/sys/class/net/eth1/speed":             "-1\n",
		"/sys/class/thermal/thermal_zone0/temp": "45500\n",
		"/sys/class/thermal/thermal_zone0/type": "soc\n",
		"/sys/class/thermal/thermal_zone1/temp": "40000\n",
		"/sys/class/thermal/thermal_zone1/type": "soc\n",
		"/sys/class/hwmon/hwmon0/name":          "ina226\n",
		"/sys/class/hwmon/hwmon0/power1_input":  "7250000\n",
		"/sys/class/hwmon/hwmon0/in1_input":     "12100\n",
		"/sys/class/hwmon/hwmon0/in1_label":     "supply\n",
		"/sys/class/hwmon/hwmon0/fan1_input":    "2400\n",
	})
	want := Reading{
		BootID: "c0ffee", Uptime: 12500 * time.Millisecond, CPUs: 2, Load: 0.42,
		CPU:    []CPUTime{{"user", 1}, {"nice", 0.01}, {"system", 0.5}, {"idle", 10}, {"iowait", 0.05}, {"interrupt", 0.05}, {"steal", 0.04}},
		Memory: Memory{Total: 1000 << 10, Available: 600 << 10, Free: 300 << 10, Cached: 200 << 10, Buffers: 10 << 10},
		Networks: []Network{
			{Name: "eth0", Up: true, SpeedBPS: 1e9, RxBytes: 1, RxPackets: 2, RxErrors: 3, RxDrops: 4, TxBytes: 5, TxPackets: 6, TxErrors: 7, TxDrops: 8},
			{Name: "eth1", RxBytes: 10, RxPackets: 2, RxErrors: 3, RxDrops: 4, TxBytes: 50, TxPackets: 6, TxErrors: 7, TxDrops: 8},
		},
		Sensors: []Sensor{{Temperature, "soc", 45.5}, {Temperature, "soc#2", 40}, {Fan, "ina226/fan1", 2400},
			{Voltage, "ina226/supply", 12.1}, {Power, "ina226/power1", 7.25}},
	}
	near := cmp.Comparer(func(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 })
	if diff := cmp.Diff(want, h.Read(), near); diff != "" {
		t.Error(diff)
	}
}

// TestThisMachine: what every Linux has is there, and a machine without
// anything is no error.
func TestThisMachine(t *testing.T) {
	r := Host{Disks: []string{t.TempDir()}}.Read()
	if r.BootID == "" || r.Uptime <= 0 || r.CPUs == 0 || r.Memory.Total == 0 || len(r.Disks) != 1 || r.Disks[0].Total == 0 {
		t.Errorf("%+v", r)
	}
	if diff := cmp.Diff(Reading{}, Host{Root: t.TempDir()}.Read()); diff != "" {
		t.Error(diff)
	}
	var c Clock
	a, b := c.Monotonic(), c.Monotonic()
	if a <= 0 || b < a || c.Wall().IsZero() {
		t.Error(a, b)
	}
	if cpu, resident := Self(); cpu <= 0 || resident < 1<<20 {
		t.Error(cpu, resident)
	}
	c.Synchronised() // either; it must not fail
}

func FuzzParse(f *testing.F) {
	f.Add("cpu  1 2 3\ncpu0 1")
	f.Add("MemTotal: 18446744073709551615 kB")
	f.Add("eth0: 1 2 3 4 5 6 7 8 9 10 11 12")
	f.Fuzz(func(t *testing.T, text string) {
		parseStat(text)
		parseMemory(text)
		for _, n := range parseNetworks(text) {
			if n.Name == "" || filepath.Base(n.Name) != n.Name {
				t.Errorf("%q", n.Name)
			}
		}
		if seconds(first(text)) < 0 {
			t.Error("negative")
		}
	})
}
