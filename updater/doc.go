// Package updater brings a box from one version of its software to the next
// and, if that does not work, back: by itself, and so that a power cut at any
// moment leaves a box that boots.
//
// The way of an update, in reading order:
//
//	check.go    which bundle: package trust asks the repository
//	fetch.go    it is downloaded, at a rate that never disturbs media
//	policy.go   when: maintenance windows (window.go), defer, now, spread
//	install.go  the sibling lets go first (package sibling), RAUC writes the
//	            other slot (package rauc), it is made the next to boot
//	boot.go     after a restart: what has become of it?
//	judge.go    a trial passes when what worked before works again
//
// Updater (updater.go) is the machine; Run is its one goroutine. What it has to
// remember is in two files (state.go, trial.go): updater.v1.json is this
// version's own, trial.json is read by every version, older or newer, because
// the one who begins a trial is not the one who ends it.
//
// Service is what page, API and quartetctl see; Server and Client carry it
// over a Unix socket.
//
// The package knows nothing else of Quartet: callers hand in the box's media
// (Probe), the clock, and how to reboot.
package updater
