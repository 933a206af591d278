// Package qemuvirt is QEMU's aarch64 machine "virt", on which the image is
// tested: its PL061 stands for the front and the rear of a box.
package qemuvirt

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"quartet/board"
	"quartet/board/kernel"
)

const (
	compatible = "linux,dummy-virt"
	chip       = "9030000.pl061"
	debounce   = 20 * time.Millisecond

	// Where the device tree has them: the lab image's (tests/qemu/image/parts), on
	// lines 2, 6 and 7.
	ledRed   = "red:status"
	ledGreen = "green:status"
	ledBlue  = "blue:status"
)

// Pins of the PL061. Line 3 is the machine's own power button.
var (
	pinReset = kernel.Pin{Name: "BTN_RESET", Chip: chip, Line: 0, Debounce: debounce}
	pinClaim = kernel.Pin{Name: "BTN_CLAIM", Chip: chip, Line: 1, Debounce: debounce}
	pinInput = kernel.Pin{Name: "GPI1", Chip: chip, Line: 4, Debounce: debounce}
	pinRelay = kernel.Pin{Name: "GPO1", Chip: chip, Line: 5}
)

// Present tells whether the device tree names this machine.
func Present(words []string) bool { return slices.Contains(words, compatible) }

// Open lists what the machine has. Without its GPIO chip (acpi=on) the rest is
// there.
func Open(root kernel.Root) (*board.Board, error) {
	b := &board.Board{
		Model: "qemu-virt", Name: "QEMU aarch64 virt",
		Status:       root.LED(map[board.Colour]string{board.Red: ledRed, board.Green: ledGreen, board.Blue: ledBlue}),
		Temperatures: root.Temperatures(), Fans: root.Fans(), Supplies: root.Supplies(),
		Close: func() error { return nil },
	}
	lines, err := root.Lines(pinReset, pinClaim, pinInput, pinRelay)
	if err != nil {
		return b, fmt.Errorf("without buttons and contacts: %w", err)
	}
	b.FactoryReset, b.Claim = kernel.Button(lines[0]), kernel.Button(lines[1])
	in, err1 := kernel.Contact(lines[2])
	out, err2 := kernel.Relay(lines[3])
	if err := errors.Join(err1, err2); err != nil {
		return b, fmt.Errorf("without contacts: %w", err)
	}
	b.Inputs, b.Relay = []board.Contact{in}, out
	b.Close = func() error {
		var errs []error
		for _, l := range lines {
			errs = append(errs, l.Close())
		}
		return errors.Join(errs...)
	}
	return b, nil
}
