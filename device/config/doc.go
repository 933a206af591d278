// Package config holds Quartet's two configuration documents and nothing else:
// the box document (read by quartetd) and the gateway document (read by
// quartet-gateway). Both are JSON, schema version 1, and both are read
// strictly: an unknown field, a name in the wrong case, a duplicate key, text
// after the document, a wrong type, a value out of range or a missing required
// field is an error that names the field's path, its line and column, the
// value, and what to do about it. All errors of a document are reported at
// once.
//
// The way of a document:
//
//	bytes ─ scan.go (tokens, positions, duplicates) ─▶ tree
//	     ─ check.go (tree against the Go types and their tags) ─▶ issues
//	       └ sealed.go (sealed secrets are opened here, so that their form is checked)
//	     ─ goccy/go-json (into the struct), defaults of absent fields
//	     ─ box.go, gateway.go Validate (rules across fields) ─▶ issues, warnings
//
// The Go types are the only description of the format. Their field tags carry
// everything a reader, the checker, the JSON Schema and the examples need:
//
//	json:"name"          the field's name, exactly as it must be written
//	default:"20"         the value of an absent field (this is the one place
//	                     where defaults are written down)
//	required:"yes"       the field must be present
//	range:"20..15000"    smallest and largest number, both allowed
//	len:"1..8"           fewest and most elements of a list, bytes of a string
//	enum:"ts|rtp-fec"    the allowed words or numbers
//	format:"name"        a named form of string, see formats.go
//
// A field without a default is zero when absent, and its comment says what
// zero means. A pointer field tells "absent" from zero. Durations are whole
// milliseconds in fields ending in _ms, rates are whole kilobits per second
// (1000 bit/s) in fields ending in _kbps.
//
// The package imports nothing else of Quartet. Only cmd/*/build.go turns these
// types into the configuration of the parts, so that no part depends on how
// the documents look.
package config
