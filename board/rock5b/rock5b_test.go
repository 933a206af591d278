package rock5b

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"quartet/board"
	"quartet/board/kernel"
)

// What the board's kernel shows, as files; a pattern for other boards' tests.
func TestOpen(t *testing.T) {
	root := kernel.Root(t.TempDir())
	for name, text := range map[string]string{
		"sys/class/hwmon/hwmon0/name":                     "bigcore0_thermal\n",
		"sys/class/hwmon/hwmon0/temp1_input":              "52000\n",
		"sys/class/hwmon/hwmon0/temp1_crit":               "115000\n",
		"sys/class/hwmon/hwmon0/device/trip_point_0_type": "passive\n",
		"sys/class/hwmon/hwmon0/device/trip_point_0_temp": "85000\n",
		"sys/class/hwmon/hwmon0/device/trip_point_1_type": "critical\n",
		"sys/class/hwmon/hwmon0/device/trip_point_1_temp": "115000\n",
		"sys/class/thermal/thermal_zone0/type":            "package-thermal\n",
		"sys/class/thermal/thermal_zone0/mode":            "enabled\n",
		"sys/class/thermal/thermal_zone0/cdev0/type":      "pwm-fan\n",
		"sys/class/hwmon/hwmon1/name":                     "pwmfan\n",
		"sys/class/hwmon/hwmon1/pwm1":                     "0\n",
		"sys/class/hwmon/hwmon1/pwm1_enable":              "2\n",
		"sys/class/leds/" + ledStatus + "/brightness":     "0\n",
		"sys/class/leds/" + ledStatus + "/max_brightness": "1\n",
		"sys/class/leds/" + ledStatus + "/trigger":        "[none] timer\n",
	} {
		if err := os.MkdirAll(filepath.Dir(root.Path(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(root.Path(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	has := func(name, want string) {
		t.Helper()
		if b, err := os.ReadFile(root.Path(name)); string(b) != want {
			t.Errorf("%s holds %q (%v), want %q", name, b, err, want)
		}
	}
	if !Present([]string{"radxa,rock-5b", "rockchip,rk3588"}) || Present([]string{"rockchip,rk3588"}) {
		t.Error("the board is not told by its device tree")
	}
	b, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	// One light, blue: whatever the colour, it is on.
	for colour, want := range map[board.Colour]string{board.Red: "1", board.Green: "1", board.Blue: "1", board.Off: "0"} {
		if err := b.Status.Show(board.Light{Colour: colour}); err != nil {
			t.Errorf("%v: %v", colour, err)
		}
		has("sys/class/leds/"+ledStatus+"/brightness", want)
	}
	if len(b.Temperatures) != 1 || len(b.Fans) != 1 || len(b.Supplies) != 0 {
		t.Fatalf("%d temperatures, %d fans, %d supplies", len(b.Temperatures), len(b.Fans), len(b.Supplies))
	}
	if c, err := b.Temperatures[0].Celsius(); c != 52 || b.Temperatures[0].Limit() != 85 || err != nil {
		t.Errorf("%v °C of %v, %v", c, b.Temperatures[0].Limit(), err)
	}
	// The kernel drives the fan.
	if err := b.Fans[0].SetDuty(100); !errors.Is(err, board.ErrNotThere) {
		t.Error(err)
	}
	has("sys/class/hwmon/hwmon1/pwm1", "0\n")
	has("sys/class/hwmon/hwmon1/pwm1_enable", "2\n")
	if b.FactoryReset != nil || b.Claim != nil || b.Relay != nil || b.Inputs != nil {
		t.Error("the board has parts that it does not have")
	}
}
