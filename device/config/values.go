package config

import (
	"log/slog"
	"time"
)

// SchemaVersion is the value of "version" that this package reads and writes.
const SchemaVersion = 1

// Milliseconds is a duration as the documents write it: whole milliseconds.
type Milliseconds int64

// Duration converts to Go's duration.
func (m Milliseconds) Duration() time.Duration { return time.Duration(m) * time.Millisecond }

// Kbps is a bit rate as the documents write it: whole kilobits (1000 bits)
// per second.
type Kbps int64

// BitsPerSecond converts to bit/s.
func (k Kbps) BitsPerSecond() int64 { return int64(k) * 1000 }

// BytesPerSecond converts to bytes per second, libsrt's unit of bandwidth.
func (k Kbps) BytesPerSecond() int64 { return int64(k) * 125 }

// redacted stands for a secret wherever a document is printed or logged.
const redacted = "***"

// Secret is a passphrase or key. Every ordinary way of printing it (fmt, slog,
// JSON) shows "***"; Reveal and Encode are the two that do not. An empty
// secret prints as empty, so that "not set" stays visible. In a document on
// disk it may be sealed (sealed.go).
type Secret string

// Reveal returns the secret itself, for the socket or cipher that needs it.
func (s Secret) Reveal() string { return string(s) }

// String implements fmt.Stringer without showing the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString keeps the secret out of %#v.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// LogValue keeps the secret out of slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps the secret out of any JSON but that of Encode.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
