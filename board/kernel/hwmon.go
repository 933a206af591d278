package kernel

import (
	"math"
	"os"
	"path/filepath"
	"strings"

	"quartet/board"
)

// Names of the attributes and their units: Documentation/hwmon/sysfs-interface:
// temperatures in m°C, voltages in mV, currents in mA, powers in µW.

// sensor is one input of a hwmon device.
type sensor struct {
	root  Root
	name  string
	path  string  // of the input attribute
	limit float64 // °C
}

func (s *sensor) Name() string   { return s.name }
func (s *sensor) Limit() float64 { return s.limit }

func (s *sensor) Celsius() (float64, error) {
	n, err := s.root.number(s.path)
	return float64(n) / 1000, err
}

// device is the name of a hwmon device: that of its driver.
func (r Root) device(dir string) string {
	s, err := r.text(filepath.Join(dir, "name"))
	if err != nil || s == "" {
		return filepath.Base(dir)
	}
	return s
}

// label is an input's label, or the device's name, with the input's own where
// it has several.
func (r Root) label(dir, input string, several bool) string {
	if s, err := r.text(filepath.Join(dir, input+"_label")); err == nil && s != "" {
		return r.device(dir) + " " + s
	}
	if several {
		return r.device(dir) + " " + input
	}
	return r.device(dir)
}

// inputs lists the inputs of one kind ("temp", "fan", "in") of a device: temp1,
// temp2 …
func (r Root) inputs(dir, kind string) []string {
	var list []string
	for _, path := range r.glob(strings.TrimPrefix(dir, string(r)), kind+"[0-9]*_input") {
		list = append(list, strings.TrimSuffix(filepath.Base(path), "_input"))
	}
	return list
}

// Temperatures lists what hwmon measures; where it has nothing, the thermal
// zones. A sensor's limit is where the kernel slows the part down, if that is
// below the one of the driver: the box has to act before.
func (r Root) Temperatures() []board.Temperature {
	var list []board.Temperature
	for _, dir := range r.glob("sys/class/hwmon/hwmon*") {
		inputs := r.inputs(dir, "temp")
		for _, in := range inputs {
			s := &sensor{root: r, name: r.label(dir, in, len(inputs) > 1), path: filepath.Join(dir, in+"_input")}
			for _, limit := range []string{"_crit", "_max"} {
				if n, err := r.number(filepath.Join(dir, in+limit)); err == nil && n > 0 {
					s.limit = float64(n) / 1000
					break
				}
			}
			s.limit = lower(s.limit, r.throttles(filepath.Join(dir, "device"))) // a zone's hwmon is below the zone
			list = append(list, s)
		}
	}
	if len(list) > 0 {
		return list
	}
	for _, dir := range r.glob("sys/class/thermal/thermal_zone*") {
		name, err := r.text(filepath.Join(dir, "type"))
		if err != nil {
			continue
		}
		s := &sensor{root: r, name: name, path: filepath.Join(dir, "temp")}
		for _, path := range r.glob(strings.TrimPrefix(dir, string(r)), "trip_point_*_type") {
			kind, _ := r.text(path)
			if n, err := r.number(strings.TrimSuffix(path, "_type") + "_temp"); err == nil && kind == "critical" {
				s.limit = float64(n) / 1000
			}
		}
		s.limit = lower(s.limit, r.throttles(dir))
		list = append(list, s)
	}
	return list
}

type fan struct {
	root      Root
	name      string
	rpm, duty string // paths; either may be empty
	governed  bool   // by the kernel, which sets it
}

func (f *fan) Name() string { return f.name }

func (f *fan) RPM() (int, error) {
	if f.rpm == "" {
		return 0, board.ErrNotThere
	}
	n, err := f.root.number(f.rpm)
	if err == nil && n == 0 && f.governed && f.duty != "" {
		if duty, err := f.root.number(f.duty); err == nil && duty == 0 {
			return 0, board.ErrNotThere // it is to stand
		}
	}
	return int(n), err
}

// SetDuty takes the fan from its driver's or chip's own control (pwmN_enable 1)
// and sets it. One that the kernel's thermal framework drives is left to it.
func (f *fan) SetDuty(percent int) error {
	if f.duty == "" || f.governed {
		return board.ErrNotThere
	}
	if enable := f.duty + "_enable"; exists(enable) {
		if err := f.root.write(enable, "1"); err != nil {
			return err
		}
	}
	percent = min(max(percent, 0), 100)
	return f.root.write(f.duty, decimal((percent*255+50)/100))
}

// Fans lists the fans: those with a tacho, and those that can only be set.
func (r Root) Fans() []board.Fan {
	var list []board.Fan
	for _, dir := range r.glob("sys/class/hwmon/hwmon*") {
		inputs := r.inputs(dir, "fan")
		governed := r.governed(dir)
		for _, in := range inputs {
			f := &fan{root: r, governed: governed, name: r.label(dir, in, len(inputs) > 1), rpm: filepath.Join(dir, in+"_input")}
			if pwm := filepath.Join(dir, "pwm"+strings.TrimPrefix(in, "fan")); exists(pwm) {
				f.duty = pwm
			}
			list = append(list, f)
		}
		if pwm := filepath.Join(dir, "pwm1"); len(inputs) == 0 && exists(pwm) {
			list = append(list, &fan{root: r, governed: governed, name: r.device(dir), duty: pwm})
		}
	}
	return list
}

type supply struct {
	root                 Root
	name                 string
	volts, amperes, watt string // paths; empty: not measured
	low, high            float64
}

func (s *supply) Limits() (low, high float64) { return s.low, s.high }

func (s *supply) Name() string { return s.name }

func (s *supply) Read() (board.Reading, error) {
	var first error
	get := func(path string, unit float64) float64 {
		if path == "" {
			return math.NaN()
		}
		n, err := s.root.number(path)
		if err != nil {
			if first == nil {
				first = err
			}
			return math.NaN()
		}
		return float64(n) / unit
	}
	v := board.Reading{Volts: get(s.volts, 1e3), Amperes: get(s.amperes, 1e3), Watts: get(s.watt, 1e6)}
	return v, first
}

// Supplies lists the monitors that measure power (INA2xx and their like), with
// the voltage on the side of the load where there are two.
func (r Root) Supplies() []board.Supply {
	var list []board.Supply
	for _, dir := range r.glob("sys/class/hwmon/hwmon*") {
		watt := filepath.Join(dir, "power1_input")
		if !exists(watt) {
			continue
		}
		s := &supply{root: r, name: r.label(dir, "power1", false), watt: watt}
		// INA2xx: in0 is the shunt, in1 the bus.
		if v := filepath.Join(dir, "in1_input"); exists(v) {
			s.volts = v
			s.low, s.high = r.volts(dir, "in1_lcrit", "in1_min"), r.volts(dir, "in1_crit", "in1_max")
		}
		if a := filepath.Join(dir, "curr1_input"); exists(a) {
			s.amperes = a
		}
		list = append(list, s)
	}
	return list
}

// volts is the first of some limits that is there and set, 0 if there is none.
func (r Root) volts(dir string, names ...string) float64 {
	for _, name := range names {
		if n, err := r.number(filepath.Join(dir, name)); err == nil && n > 0 {
			return float64(n) / 1e3
		}
	}
	return 0
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
