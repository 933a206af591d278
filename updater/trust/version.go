package trust

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Version is a version of the software: MAJOR.MINOR.PATCH with an optional
// pre-release after a hyphen, in the order of Semantic Versioning 2.0.0 (a
// pre-release comes before its release). Build metadata after a plus is not
// allowed: two versions that compare equal must be equal.
type Version struct {
	text string
	core [3]uint32
	pre  []string
}

// maxVersion is the longest text of a version.
const maxVersion = 64

// ParseVersion reads a version.
func ParseVersion(s string) (Version, error) {
	fail := func(problem string) (Version, error) {
		return Version{}, fmt.Errorf("%q is no version: %s; write MAJOR.MINOR.PATCH, or MAJOR.MINOR.PATCH-PRE", clip(s), problem)
	}
	if len(s) > maxVersion {
		return fail(fmt.Sprintf("it has more than %d characters", maxVersion))
	}
	core, pre, hyphen := strings.Cut(s, "-")
	v := Version{text: s}
	parts := strings.Split(core, ".")
	if len(parts) != 3 {
		return fail(fmt.Sprintf("it has %d numbers, not three", len(parts)))
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 32)
		if err != nil || !numeric(p) {
			return fail(fmt.Sprintf("%q is no number", clip(p)))
		}
		v.core[i] = uint32(n)
	}
	if hyphen {
		v.pre = strings.Split(pre, ".")
		for _, p := range v.pre {
			if p == "" || strings.Trim(p, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
				return fail(fmt.Sprintf("%q is no pre-release", clip(pre)))
			}
			if digits(p) && !numeric(p) {
				return fail(fmt.Sprintf("%q begins with 0", clip(p)))
			}
		}
	}
	return v, nil
}

// digits tells whether s has nothing else.
func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// numeric tells whether s is a number as it is printed.
func numeric(s string) bool { return digits(s) && (len(s) == 1 || s[0] != '0') }

// clip shortens what comes from outside for an error.
func clip(s string) string {
	if len(s) > maxVersion {
		return s[:maxVersion] + "…"
	}
	return s
}

func (v Version) String() string { return v.text }

// IsZero tells whether v is no version.
func (v Version) IsZero() bool { return v.text == "" }

// Compare returns -1, 0 or +1 for older, same or newer than w. No version is
// older than every version.
func (v Version) Compare(w Version) int {
	if v.IsZero() || w.IsZero() {
		return cmp.Compare(min(len(v.text), 1), min(len(w.text), 1))
	}
	for i := range v.core {
		if c := cmp.Compare(v.core[i], w.core[i]); c != 0 {
			return c
		}
	}
	if len(v.pre) == 0 || len(w.pre) == 0 {
		return cmp.Compare(min(len(w.pre), 1), min(len(v.pre), 1)) // one with a pre-release is older
	}
	for i := range min(len(v.pre), len(w.pre)) {
		if c := comparePre(v.pre[i], w.pre[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(v.pre), len(w.pre))
}

// comparePre compares one identifier of a pre-release: numbers by value and
// before words, words by their bytes.
func comparePre(a, b string) int {
	switch {
	case digits(a) && digits(b):
		if c := cmp.Compare(len(a), len(b)); c != 0 {
			return c
		}
	case digits(a):
		return -1
	case digits(b):
		return 1
	}
	return cmp.Compare(a, b)
}

// MarshalText implements encoding.TextMarshaler.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.text), nil }

// UnmarshalText implements encoding.TextUnmarshaler; empty text is no version.
func (v *Version) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*v = Version{}
		return nil
	}
	w, err := ParseVersion(string(b))
	if err == nil {
		*v = w
	}
	return err
}
