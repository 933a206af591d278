// Package imx8mp is NXP's evaluation kit for the i.MX 8M Plus.
package imx8mp

import (
	"slices"

	"quartet/board"
	"quartet/board/kernel"
)

// Names of the devices, as the kernel's imx8mp-evk.dts has them. The kit has one
// light, no fan, no free button and no contacts; its power button is the
// processor's own.
const (
	compatible = "fsl,imx8mp-evk"
	ledStatus  = "yellow:status" // D2, GPIO3_IO16
)

// Present tells whether the device tree names this board.
func Present(words []string) bool { return slices.Contains(words, compatible) }

// Open lists what the kit has.
func Open(root kernel.Root) (*board.Board, error) {
	return &board.Board{
		Model: "imx8mp-evk", Name: "NXP i.MX 8M Plus EVK",
		Status:       root.LED(map[board.Colour]string{board.Yellow: ledStatus}),
		Temperatures: root.Temperatures(), Fans: root.Fans(), Supplies: root.Supplies(),
		Close: func() error { return nil },
	}, nil
}
