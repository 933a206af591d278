package srt

import "golang.org/x/sys/unix"

func bindToDevice(fd uintptr, device string) error {
	return unix.BindToDevice(int(fd), device)
}
