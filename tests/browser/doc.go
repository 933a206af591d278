// Package browser tests the box's page (device/web/ui) as a person meets it: in
// Chromium, served by the real quartet-manage, which talks to a real quartetd
// that sends to real gateways on the loopback. Only the network below the box is
// played: device/network's own keeper and socket over a system that does
// nothing, because a test may not change the machine's addresses.
//
// These tests need Node, Chromium and some minutes, so they have a build tag and
// a target: make test-browser. What can be held against the sources alone is
// tested with everything else.
//
//	sources_test.go   the page's sources: translations, lock file, no inline script
//	tab_test.go       a browser's tab with a person at it
//	box_test.go       the programs around it; process_test.go starts and ends them
//	flows_test.go     what a person does, from the claim to the factory reset
//	reach_test.go     keyboard, axe-core, 400 %, phone, dark, policy, size, speed
//	pictures_test.go  the pictures in docs/img
package browser
