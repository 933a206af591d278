// Package units holds what the box's systemd units must keep to as tests: they
// load, they are locked in (security S10), they leave each other the memory and
// the processor that docs/network.md gives them, and the firewall opens the ports
// that docs/ports.md publishes (security S9).
//
// It has no code of its own. Where systemd-analyze is not installed, the tests
// that need it say so; the booted box is asked the same in QEMU.
package units
