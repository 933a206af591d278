package web

import (
	"time"

	"quartet/device/health"
)

// Conditions of the board.
const (
	BoardHot     health.Code = "board-hot"
	BoardWarm    health.Code = "board-warm"
	FanStopped   health.Code = "fan-stopped"
	SensorFailed health.Code = "sensor-failed"
	SupplyOff    health.Code = "supply-voltage"
	WatchdogBite health.Code = "watchdog-reset"
	ButtonStuck  health.Code = "button-stuck"
)

// boardCatalogue has what the hardware itself can complain of. How long heat must
// last is board/thermal's to say.
func boardCatalogue() []health.Definition {
	const s = time.Second
	return []health.Definition{
		{Code: BoardHot, Severity: health.Major,
			Text:   "The box is nearly too hot; it does without previews and plots so that the streams go on",
			Remedy: "Cool it at once: look at its fan, its air ways and the rack's temperature. At the limit the hardware throttles or switches off."},
		{Code: FanStopped, Severity: health.Major, HoldOn: 10 * s, HoldOff: 5 * s,
			Text:   "A fan stands still",
			Remedy: "Look whether something blocks it; replace it. The box gets hotter meanwhile."},
		{Code: SupplyOff, Severity: health.Major, HoldOn: 2 * s, HoldOff: 10 * s,
			Text:   "A supply voltage is out of its limits",
			Remedy: "Check the power supply and its cable; replace it before it fails."},
		{Code: BoardWarm, Severity: health.Minor, MaskedBy: []health.Code{BoardHot},
			Text:   "The box is warm: less than 15 °C are left to a limit; its fan runs at full speed",
			Remedy: "Look at its fan, its air ways and the rack's temperature."},
		{Code: SensorFailed, Severity: health.Minor, HoldOn: 5 * s, HoldOff: 10 * s,
			Text:   "A temperature sensor cannot be read; a fan that the box drives runs at full speed",
			Remedy: "Start the box again when it may be off the air. If it happens again, exchange the box."},
		{Code: ButtonStuck, Severity: health.Minor,
			Text:   "A button of the front is pressed all the time; it does nothing at its release",
			Remedy: "Free the button."},
		{Code: WatchdogBite, Severity: health.Warning,
			Text:   "The hardware had to restart the box within the last hour",
			Remedy: "Make a support bundle and report it. If it happens again, exchange the box."},
	}
}
