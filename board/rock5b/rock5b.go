// Package rock5b is Radxa's ROCK 5B, with Rockchip's RK3588.
package rock5b

import (
	"slices"

	"quartet/board"
	"quartet/board/kernel"
)

// Names of the devices, as the kernel's rk3588-rock-5b.dts has them. The board
// has one blue light and a fan without a tacho (pwm-fan), which is a cooling device
// of the device tree's: the kernel drives it, from 55 °C on. It has no free button
// and no contacts.
const (
	compatible = "radxa,rock-5b"
	ledStatus  = "blue:status"
)

// Present tells whether the device tree names this board.
func Present(words []string) bool { return slices.Contains(words, compatible) }

// Open lists what the board has.
func Open(root kernel.Root) (*board.Board, error) {
	return &board.Board{
		Model: "rock5b", Name: "Radxa ROCK 5B",
		Status:       root.LED(map[board.Colour]string{board.Blue: ledStatus}),
		Temperatures: root.Temperatures(), Fans: root.Fans(), Supplies: root.Supplies(),
		Close: func() error { return nil },
	}, nil
}
