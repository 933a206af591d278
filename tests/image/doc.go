// Package image holds what the parts of the box's image must agree on as tests:
// partitions, slots, boot loader, users, units, configurations, keys. Nothing of
// Buildroot is needed for it; make check-buildroot asks a checkout of it.
//
// It has no code of its own.
package image
