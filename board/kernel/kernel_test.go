package kernel

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"quartet/board"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpiotest"
)

// tree makes a root with files.
func tree(t *testing.T, files map[string]string) Root {
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
	return Root(root)
}

func has(t *testing.T, r Root, path, want string) {
	t.Helper()
	if got, err := r.text(r.Path(path)); err != nil || got != want {
		t.Errorf("%s holds %q (%v), want %q", path, got, err, want)
	}
}

func TestHwmon(t *testing.T) {
	r := tree(t, map[string]string{
		"sys/class/hwmon/hwmon0/name": "tmp105\n", "sys/class/hwmon/hwmon0/temp1_input": "41500\n", "sys/class/hwmon/hwmon0/temp1_max": "80000\n",
		"sys/class/hwmon/hwmon1/name":        "ina226\n",
		"sys/class/hwmon/hwmon1/in0_input":   "2\n",
		"sys/class/hwmon/hwmon1/in1_input":   "12050\n",
		"sys/class/hwmon/hwmon1/curr1_input": "750\n", "sys/class/hwmon/hwmon1/power1_input": "9037500\n", "sys/class/hwmon/hwmon1/power1_label": "12V\n",
		"sys/class/hwmon/hwmon2/name": "emc2305\n", "sys/class/hwmon/hwmon2/fan1_input": "3120\n", "sys/class/hwmon/hwmon2/fan2_input": "0\n",
		"sys/class/hwmon/hwmon2/pwm1": "80\n", "sys/class/hwmon/hwmon2/pwm1_enable": "2\n",
		"sys/class/hwmon/hwmon3/name": "pwmfan\n", "sys/class/hwmon/hwmon3/pwm1": "0\n",
		"sys/class/thermal/thermal_zone0/type": "cpu-thermal\n", "sys/class/thermal/thermal_zone0/temp": "50000\n",
	})
	temps := r.Temperatures()
	if len(temps) != 1 || temps[0].Name() != "tmp105" || temps[0].Limit() != 80 {
		t.Fatalf("temperatures: %+v", temps)
	}
	if c, err := temps[0].Celsius(); c != 41.5 || err != nil {
		t.Errorf("%v °C, %v", c, err)
	}
	sup := r.Supplies()
	if len(sup) != 1 || sup[0].Name() != "ina226 12V" {
		t.Fatalf("supplies: %+v", sup)
	}
	if v, err := sup[0].Read(); err != nil || v.Volts != 12.05 || v.Amperes != 0.75 || math.Abs(v.Watts-9.0375) > 1e-9 {
		t.Errorf("%+v, %v", v, err)
	}
	fans := r.Fans()
	if len(fans) != 3 || fans[0].Name() != "emc2305 fan1" || fans[2].Name() != "pwmfan" {
		t.Fatalf("fans: %+v", fans)
	}
	if n, err := fans[0].RPM(); n != 3120 || err != nil {
		t.Errorf("%d rpm, %v", n, err)
	}
	if err := fans[0].SetDuty(50); err != nil {
		t.Error(err)
	}
	has(t, r, "sys/class/hwmon/hwmon2/pwm1", "128")
	has(t, r, "sys/class/hwmon/hwmon2/pwm1_enable", "1")
	if err := fans[1].SetDuty(50); err == nil {
		t.Error("a fan without PWM was set")
	}
	if _, err := fans[2].RPM(); err == nil {
		t.Error("a fan without a tacho was measured")
	}
	if err := fans[2].SetDuty(300); err != nil {
		t.Error(err)
	}
	has(t, r, "sys/class/hwmon/hwmon3/pwm1", "255")
}

func TestThermalZonesWhereHwmonHasNothing(t *testing.T) {
	r := tree(t, map[string]string{
		"sys/class/thermal/thermal_zone0/type": "cpu-thermal\n", "sys/class/thermal/thermal_zone0/temp": "50250\n",
		"sys/class/thermal/thermal_zone0/trip_point_0_type": "passive\n", "sys/class/thermal/thermal_zone0/trip_point_0_temp": "85000\n",
		"sys/class/thermal/thermal_zone0/trip_point_1_type": "critical\n", "sys/class/thermal/thermal_zone0/trip_point_1_temp": "95000\n",
	})
	temps := r.Temperatures()
	if len(temps) != 1 || temps[0].Name() != "cpu-thermal" || temps[0].Limit() != 85 {
		t.Fatalf("temperatures: %+v", temps)
	}
	if c, err := temps[0].Celsius(); c != 50.25 || err != nil {
		t.Errorf("%v °C, %v", c, err)
	}
	os.WriteFile(r.Path("sys/class/thermal/thermal_zone0/temp"), []byte("N/A\n"), 0o644)
	if _, err := temps[0].Celsius(); err == nil || !strings.Contains(err.Error(), `"N/A"`) {
		t.Errorf("%v", err)
	}
}

func ledFiles(name string) map[string]string {
	dir := "sys/class/leds/" + name + "/"
	return map[string]string{dir + "brightness": "0", dir + "max_brightness": "200", dir + "trigger": "none", dir + "delay_on": "0", dir + "delay_off": "0"}
}

func TestLED(t *testing.T) {
	files := ledFiles("red:status")
	for k, v := range ledFiles("green:status") {
		files[k] = v
	}
	r := tree(t, files)
	l := r.LED(map[board.Colour]string{board.Red: "red:status", board.Green: "green:status", board.Blue: "blue:status"})
	show := func(c board.Colour, rh board.Rhythm) {
		t.Helper()
		if err := l.Show(board.Light{Colour: c, Rhythm: rh}); err != nil {
			t.Fatal(err)
		}
	}
	show(board.Green, board.Steady)
	has(t, r, "sys/class/leds/green:status/brightness", "200")
	has(t, r, "sys/class/leds/red:status/brightness", "0")
	show(board.Yellow, board.Slow) // both, in the same rhythm
	for _, n := range []string{"red", "green"} {
		has(t, r, "sys/class/leds/"+n+":status/trigger", "timer")
		has(t, r, "sys/class/leds/"+n+":status/delay_on", "1000")
	}
	show(board.Blue, board.Fast) // not there: what asks for attention
	has(t, r, "sys/class/leds/red:status/delay_off", "250")
	has(t, r, "sys/class/leds/green:status/trigger", "none")
	has(t, r, "sys/class/leds/green:status/brightness", "0")
	show(board.Off, board.Steady)
	has(t, r, "sys/class/leds/red:status/trigger", "none")
	has(t, r, "sys/class/leds/red:status/brightness", "0")
	os.Remove(r.Path("sys/class/leds/red:status/trigger"))
	if err := l.Show(board.Light{Colour: board.Red}); err == nil || !strings.Contains(err.Error(), "red:status") {
		t.Errorf("%v", err)
	}
	if r.LED(map[board.Colour]string{board.Red: "no:such"}) != nil {
		t.Error("a light without devices is there")
	}
}

func TestMemoryResetCauseDeviceTree(t *testing.T) {
	r := tree(t, map[string]string{
		"sys/bus/i2c/devices/1-0050/eeprom":         strings.Repeat("\xff", 64),
		"sys/class/watchdog/watchdog0/bootstatus":   "32\n",
		"proc/device-tree/model":                    "A board\x00",
		"proc/device-tree/compatible":               "a,b\x00c,d\x00",
		"sys/class/watchdog/watchdog1/other":        "",
		"sys/class/thermal/thermal_zone0/temp_none": "",
	})
	m := r.Memory("1-0050")
	if err := m.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	if b, err := m.Read(); err != nil || len(b) != 64 || string(b[:4]) != "abc\xff" {
		t.Errorf("%q, %v", b, err)
	}
	if r.Memory("1-0051") != nil {
		t.Error("a memory that is not there was found")
	}
	if s := r.ResetCause(); !strings.HasPrefix(s, "watchdog") {
		t.Errorf("reset cause %q", s)
	}
	if s := tree(t, nil).ResetCause(); s != "" {
		t.Errorf("reset cause %q without a watchdog", s)
	}
	if r.Model() != "A board" || !slices.Equal(r.Compatible(), []string{"a,b", "c,d"}) {
		t.Errorf("%q, %q", r.Model(), r.Compatible())
	}
}

func TestButtonContactRelay(t *testing.T) {
	pin := &gpiotest.Pin{N: "BTN", L: gpio.High, EdgesChan: make(chan gpio.Level)} // pressed at the start
	ctx, stop := context.WithCancel(t.Context())
	var mu sync.Mutex
	var got []bool
	changed := make(chan struct{}, 10)
	done := make(chan error)
	go func() {
		done <- Button(pin).Watch(ctx, func(pressed bool, _ time.Time) {
			mu.Lock()
			got = append(got, pressed)
			mu.Unlock()
			changed <- struct{}{}
		})
	}()
	<-changed
	for _, l := range []gpio.Level{gpio.Low, gpio.High} {
		pin.EdgesChan <- l
		<-changed
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, []bool{true, false, true}) {
		t.Errorf("%v", got)
	}

	gpi := &gpiotest.Pin{N: "GPI", L: gpio.High}
	c, err := Contact(gpi)
	if err != nil {
		t.Fatal(err)
	}
	if on, err := c.Closed(); !on || err != nil || c.Name() != "GPI" {
		t.Errorf("%v %v %s", on, err, c.Name())
	}
	out := &gpiotest.Pin{N: "GPO", L: gpio.High}
	rel, err := Relay(out)
	if err != nil || out.L != gpio.Low {
		t.Errorf("%v; starts with %v", err, out.L)
	}
	if rel.Energise(true); out.L != gpio.High {
		t.Error("not energised")
	}
}

func TestLinesNameWhatIsMissing(t *testing.T) {
	r := tree(t, nil)
	_, err := r.Lines(Pin{Name: "GPO1", Chip: "30200000.gpio"})
	if err == nil || !strings.Contains(err.Error(), "GPO1") || !strings.Contains(err.Error(), "30200000.gpio") {
		t.Errorf("%v", err)
	}
}
