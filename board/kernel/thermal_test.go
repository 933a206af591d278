package kernel

import (
	"errors"
	"maps"
	"os"
	"testing"

	"quartet/board"
)

// The limit is where the kernel throttles, if that is below where it switches
// off.
func TestLimitIsWhereTheKernelThrottles(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string // of the zone
		want  float64
	}{
		{"nothing but critical", map[string]string{"trip_point_0_type": "critical\n", "trip_point_0_temp": "115000\n"}, 115},
		{"the lowest passive one", map[string]string{"trip_point_0_type": "passive\n", "trip_point_0_temp": "95000\n", "trip_point_1_type": "passive\n", "trip_point_1_temp": "85000\n"}, 85},
		{"fans are no throttling", map[string]string{"trip_point_0_type": "active\n", "trip_point_0_temp": "55000\n", "cdev0_trip_point": "0\n"}, 115},
		{"one with which nothing is bound", map[string]string{"trip_point_0_type": "passive\n", "trip_point_0_temp": "70000\n", "trip_point_1_type": "passive\n", "trip_point_1_temp": "80000\n", "cdev0_trip_point": "1\n"}, 80},
		{"switched off", map[string]string{"trip_point_0_type": "passive\n", "trip_point_0_temp": "-274000\n"}, 115},
		{"above critical", map[string]string{"trip_point_0_type": "passive\n", "trip_point_0_temp": "120000\n"}, 115},
	} {
		files := map[string]string{"sys/class/hwmon/hwmon0/name": "cpu_thermal\n", "sys/class/hwmon/hwmon0/temp1_input": "40000\n", "sys/class/hwmon/hwmon0/temp1_crit": "115000\n"}
		for name, text := range c.files {
			files["sys/class/hwmon/hwmon0/device/"+name] = text
		}
		if got := tree(t, files).Temperatures()[0].Limit(); got != c.want {
			t.Errorf("%s: %v °C, want %v", c.name, got, c.want)
		}
	}
}

// A fan that a zone's cooling device is stays the kernel's; without such a zone it
// is ours.
func TestFanOfTheThermalFramework(t *testing.T) {
	hwmon := map[string]string{
		"sys/class/hwmon/hwmon0/name": "pwmfan\n", "sys/class/hwmon/hwmon0/pwm1": "0\n", "sys/class/hwmon/hwmon0/pwm1_enable": "1\n",
		"sys/class/hwmon/hwmon0/fan1_input":         "0\n",
		"sys/class/thermal/cooling_device0/type":    "pwm-fan\n", // not bound by itself
		"sys/class/thermal/thermal_zone0/type":      "package-thermal\n",
		"sys/class/thermal/thermal_zone1/type":      "bigcore0-thermal\n",
		"sys/class/thermal/thermal_zone1/cdev0/max": "",
	}
	for _, c := range []struct {
		name, kind, mode string
		governed         bool
	}{
		{"a fan", "pwm-fan", "enabled", true},
		{"a kernel without modes", "pwm-fan", "", true},
		{"the processor's clock", "cpufreq-cpu4", "enabled", false},
		{"a zone that rests", "pwm-fan", "disabled", false},
		{"nothing bound", "", "enabled", false},
	} {
		files := maps.Clone(hwmon)
		if c.mode != "" {
			files["sys/class/thermal/thermal_zone1/mode"] = c.mode + "\n"
		}
		if c.kind != "" {
			files["sys/class/thermal/thermal_zone1/cdev0/type"] = c.kind + "\n"
		}
		r := tree(t, files)
		fans := r.Fans()
		if len(fans) != 1 || fans[0].Name() != "pwmfan" {
			t.Fatalf("%s: %+v", c.name, fans)
		}
		if n, err := fans[0].RPM(); n != 0 || errors.Is(err, board.ErrNotThere) != c.governed {
			t.Errorf("%s: it stands as it is to: %d, %v", c.name, n, err)
		}
		want := "0"
		if err := fans[0].SetDuty(50); errors.Is(err, board.ErrNotThere) != c.governed {
			t.Errorf("%s: %v", c.name, err)
		} else if err == nil {
			want = "128"
		}
		has(t, r, "sys/class/hwmon/hwmon0/pwm1", want)
		if !c.governed {
			continue
		}
		// It stands, and the kernel wants it to turn.
		if err := os.WriteFile(r.Path("sys/class/hwmon/hwmon0/pwm1"), []byte("120\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if n, err := fans[0].RPM(); n != 0 || err != nil {
			t.Errorf("%s: a fan that is stuck: %d, %v", c.name, n, err)
		}
	}
}
