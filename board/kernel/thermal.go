package kernel

import (
	"path/filepath"
	"strings"
)

// The kernel's thermal framework: Documentation/driver-api/thermal/sysfs-api.
// A zone has trips (at 85 °C: passive) and cooling devices that are bound to
// them: a fan, the processor's clock.

// throttles is the lowest temperature at which the kernel slows down what a zone
// measures, in °C; 0 if it never does. dir is the zone, or the "device" of its
// hwmon. A passive trip to which nothing is bound in a zone that has bindings
// slows down nothing: one that only wakes a governor, say.
func (r Root) throttles(dir string) (limit float64) {
	dir = strings.TrimPrefix(dir, string(r))
	bound := map[string]bool{}
	for _, path := range r.glob(dir, "cdev[0-9]*_trip_point") {
		if n, err := r.text(path); err == nil {
			bound[n] = true
		}
	}
	for _, path := range r.glob(dir, "trip_point_*_type") {
		trip := strings.TrimSuffix(path, "_type")
		if kind, _ := r.text(path); kind != "passive" || len(bound) > 0 && !bound[strings.TrimPrefix(filepath.Base(trip), "trip_point_")] {
			continue
		}
		if n, err := r.number(trip + "_temp"); err == nil && n > 0 && (limit == 0 || float64(n)/1000 < limit) {
			limit = float64(n) / 1000
		}
	}
	return limit
}

// governed tells whether the thermal framework drives the fan of a hwmon device:
// a zone that is at work has a cooling device of its kind. Two masters of one fan
// would undo each other's settings. The framework does not say which device it is:
// of two fans with one driver both count.
func (r Root) governed(dir string) bool {
	// hwmon has "pwmfan" for what is "pwm-fan" there, "emc2305" for "emc2305_fan1".
	plain := strings.NewReplacer("-", "", "_", "").Replace
	name := plain(r.device(dir))
	for _, zone := range r.glob("sys/class/thermal/thermal_zone*") {
		if mode, err := r.text(filepath.Join(zone, "mode")); err == nil && mode == "disabled" {
			continue
		}
		for _, path := range r.glob(strings.TrimPrefix(zone, string(r)), "cdev[0-9]*", "type") {
			if kind, err := r.text(path); err == nil && strings.HasPrefix(plain(kind), name) {
				return true
			}
		}
	}
	return false
}

// lower is the lower one of two limits, of which 0 is none.
func lower(a, b float64) float64 {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}
