// Package models chooses the board that this box is: the one switch on models.
package models

import (
	"quartet/board"
	"quartet/board/generic"
	"quartet/board/imx8mp"
	"quartet/board/kernel"
	"quartet/board/qemuvirt"
	"quartet/board/rock5b"
)

// Open finds out from the device tree below root ("/" on a box) which model it
// is. With an error the board is still there, without what the error names;
// media must not wait for it.
func Open(root string) (*board.Board, error) {
	r := kernel.Root(root)
	words := r.Compatible()
	switch {
	case imx8mp.Present(words):
		return imx8mp.Open(r)
	case rock5b.Present(words):
		return rock5b.Open(r)
	case qemuvirt.Present(words):
		return qemuvirt.Open(r)
	}
	return generic.Open(r)
}

// Again looks once more for what hwmon shows, which every model takes as it is
// found: drivers still come while the box starts. Nobody may use these parts of b
// meanwhile.
func Again(root string, b *board.Board) {
	r := kernel.Root(root)
	b.Temperatures, b.Fans, b.Supplies = r.Temperatures(), r.Fans(), r.Supplies()
}
