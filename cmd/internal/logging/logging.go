// Package logging makes a program's logger as its document asks for it.
package logging

import (
	"io"
	"log/slog"

	"quartet/device/config"
)

// New returns a logger that writes to w in the format and from the level on
// that c names; a level that slog does not know counts as info.
func New(c config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo
	}
	opts := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
