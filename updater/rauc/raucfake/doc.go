// Package raucfake is a box with two slots, a boot loader and a RAUC, for
// tests: the slots, the counters and the order of U-Boot's boot script, the
// checks that RAUC makes of a bundle, and its words when it refuses one.
//
// Box can be used directly, also in virtual time, and served over D-Bus as
// RAUC serves itself (Serve). The power may be cut at every step that
// RAUC takes (Step); PowerOn then chooses a slot as the boot script does.
package raucfake
