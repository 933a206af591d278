package health

import (
	"fmt"
	"time"
)

// Code names a kind of condition, for programs and manuals: "path-down".
type Code string

// Severity is how bad a condition is (RFC 8632's perceived severity). Info is
// for events that are not conditions.
type Severity uint8

// Severities, in rising order.
const (
	Info     Severity = iota // worth knowing, nothing to do
	Warning                  // nothing is lost yet; look at it in working hours
	Minor                    // something degraded, the feed is whole
	Major                    // redundancy is lost: the next fault is seen by viewers
	Critical                 // viewers see it now
)

var severityNames = [...]string{"info", "warning", "minor", "major", "critical"}

// String returns the severity as RFC 8632 spells it.
func (s Severity) String() string {
	if int(s) < len(severityNames) {
		return severityNames[s]
	}
	return fmt.Sprintf("severity-%d", uint8(s))
}

// MarshalText makes a severity a word in JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the word back.
func (s *Severity) UnmarshalText(b []byte) error {
	for i, name := range severityNames {
		if name == string(b) {
			*s = Severity(i)
			return nil
		}
	}
	return fmt.Errorf("health: unknown severity %q; known are %v", b, severityNames)
}

// Definition says what a code means and when it is raised and cleared.
type Definition struct {
	Code     Code
	Severity Severity
	Text     string // what is the case, in plain words, without a full stop
	Remedy   string // what to do about it, for a tired engineer

	// Thresholds for Measure. If Set > Clear the condition is raised above Set
	// and cleared below Clear; if Set < Clear, raised below Set and cleared
	// above Clear. In between it stays as it is. Unit says what is measured.
	Set, Clear float64
	Unit       string

	// The condition is raised once it has been observed without a break for
	// HoldOn, and cleared once it has been absent without a break for HoldOff.
	HoldOn, HoldOff time.Duration

	// While one of these is active for the same resource, or for a resource
	// that all others depend on (ResourceInput, ResourceBox), this condition is
	// not raised: it is a consequence, and would only distract.
	MaskedBy []Code
}

// Resources that all others depend on.
const (
	ResourceBox   = "box"
	ResourceInput = "input"
)

// ResourceOutput is what the box sends, the same on all paths.
const ResourceOutput = "output"

// Resource names, the same in every list: "kind/name".

// Path names a path of the box.
func Path(name string) string { return "path/" + name }

// Leg names a leg, by its number.
func Leg(leg int) string { return fmt.Sprintf("leg/%d", leg) }

// Contribution names a contribution of a gateway.
func Contribution(name string) string { return "contribution/" + name }

// Output names an output of a contribution.
func Output(name string) string { return "output/" + name }

// Peer names a gateway that copies are exchanged with.
func Peer(name string) string { return "peer/" + name }

// Condition is one entry of the list.
type Condition struct {
	Code     Code
	Resource string
	Severity Severity
	Text     string // the definition's text, and the detail of the observation
	Remedy   string
	Active   bool
	Masked   bool    // active, but a consequence of another one
	Value    float64 // last measured value, if the code has thresholds
	Unit     string
	Count    int           // how often it was raised
	First    time.Duration // when it was raised for the first time
	Raised   time.Duration // when it was raised last
	Changed  time.Duration // when it was raised, changed or cleared last
	Cleared  time.Duration // when it was cleared last; 0 while active
}

// ID is the condition's identity: code and resource.
func (c Condition) ID() string { return string(c.Code) + "@" + c.Resource }

// EventKind is what an event tells.
type EventKind string

// The kinds of event.
const (
	Raised  EventKind = "raised"
	Changed EventKind = "changed" // still active, with another text
	Cleared EventKind = "cleared"
	Note    EventKind = "note" // not a condition: something happened
)

// Event is one entry of the ring.
type Event struct {
	Seq       uint64 // from 1, without gaps
	Time      time.Duration
	Kind      EventKind
	Condition Condition // as of Time; a Note fills Code, Resource, Severity and Text
}
