//go:build !linux

package srt

import (
	"errors"
	"net/netip"
)

var errNotHere = errors.New("only Linux can do this")

func bindToDevice(uintptr, string) error { return errNotHere }

func guard(netip.AddrPort) error { return errNotHere }
