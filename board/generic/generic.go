// Package generic is a board of which nothing is known beforehand: what the
// kernel's drivers measure, and a status light where one has the usual name.
package generic

import (
	"quartet/board"
	"quartet/board/kernel"
)

// Open lists what is there. It cannot fail: a machine without any of it carries
// media as well.
func Open(root kernel.Root) (*board.Board, error) {
	name := root.Model()
	if name == "" {
		name = "unknown board"
	}
	return &board.Board{
		Model: "generic", Name: name,
		Status: root.LED(map[board.Colour]string{
			board.Red: "red:status", board.Yellow: "yellow:status", board.Green: "green:status", board.Blue: "blue:status",
		}),
		Temperatures: root.Temperatures(), Fans: root.Fans(), Supplies: root.Supplies(),
		Close: func() error { return nil },
	}, nil
}
