package web

import (
	"time"

	"quartet/device/health"
)

// Updates is what the conditions of updates are about.
const Updates = "update"

// updateCatalogue has the updater's alarms, by their codes (docs/updates.md), and
// one of a box that cannot update itself at all.
func updateCatalogue() []health.Definition {
	const s = time.Second
	def := func(code health.Code, severity health.Severity, text, remedy string) health.Definition {
		return health.Definition{Code: code, Severity: severity, HoldOn: s, HoldOff: s, Text: text, Remedy: remedy}
	}
	return []health.Definition{
		def("update-off", health.Minor, "This box cannot update itself",
			"Its reason names the file of the image that is missing or wrong. Install the image anew."),
		def("update-disk", health.Major, "The updater's state cannot be written; no update happens",
			"Check the data partition: full, read-only, or worn out."),
		{Code: "update-rauc", Severity: health.Major, HoldOn: 5 * s, HoldOff: 2 * s,
			Text:   "RAUC does not answer; no update happens, and this start is not marked good",
			Remedy: "See RAUC's log: journalctl -u rauc. Everything else works."},
		def("update-slot", health.Major, "The boot loader has changed slots by itself",
			"The other slot does not boot: install an update over it."),
		def("update-refused", health.Major, "What the repository says is not to be trusted",
			"Look at the repository with quartetctl repo status; do not use it until it is known why it is altered, expired or older than before."),
		def("update-sibling", health.Major, "An update waits for the sibling for a week",
			"Bring the sibling back on the air, or go without its lease and say why."),
		def("update-reboot", health.Major, "The box does not restart for an update",
			"Restart it; see the logs of quartet-netd."),
		def("update-install", health.Minor, "An update cannot be installed",
			"The text says what to do; the update's history has all of it."),
		def("update-failed", health.Minor, "A new version did not work; the box went back",
			"Tell home. This bundle is not tried again on this box; a repaired one is."),
		def("update-download", health.Minor, "An update cannot be downloaded",
			"Make room on the data partition, or repair the repository; it is tried again."),
		def("update-unreachable", health.Minor, "The update repository has not answered for a week",
			"Check the way to it, or bring updates as a file."),
		def("update-inconclusive", health.Warning, "A new version could not be judged; the box went back",
			"Check destinations and input; it is tried again later."),
		def("update-clock", health.Warning, "An update waits for the time of day",
			"Give the box a time server, or set its time."),
	}
}
