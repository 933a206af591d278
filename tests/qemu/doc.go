// Package qemu boots the lab image, the firmware on a Debian user land, with
// QEMU's emulated ARM64 machine, and shows that it does what a box must: boot,
// serve its page, send, update itself, and come back from bad updates, hangs
// and power cuts. The tests have the build tag qemu; `make test-qemu` and `make
// test-qemu-full` make the image and run them (docs/lab-image.md).
//
//	image/    makes the image: packages, slots, disk
//	agent/    runs in it and carries out what a test asks
//	guest     one emulated box: console, power, agent
//	page      its interface, as a browser or quartetctl uses it
//	studio    the other side: gateways, receivers, update repository
package qemu
