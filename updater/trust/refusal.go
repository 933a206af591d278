package trust

import (
	"errors"
	"fmt"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Code says in one word why something is refused.
type Code string

const (
	Altered     Code = "altered"      // a signature or a hash is wrong
	Malformed   Code = "malformed"    // not what such a file looks like
	Expired     Code = "expired"      // its time is over
	Rollback    Code = "rollback"     // older than what was seen before
	Missing     Code = "missing"      // the repository does not have it
	Unreachable Code = "unreachable"  // the repository does not answer
	WrongBoard  Code = "wrong-board"  // for other hardware
	Older       Code = "older"        // not newer than what runs, and no downgrade is signed
	BelowFloor  Code = "below-floor"  // older than this image allows for ever
	TooOld      Code = "too-old"      // what runs is too old to go there in one step
	TooNew      Code = "too-new"      // what runs is too new for it
	OtherRing   Code = "other-ring"   // not promoted to this box's ring
	Withdrawn   Code = "withdrawn"    // home has signed the way back from it
	FailedHere  Code = "failed-here"  // it did not work on this box
	Incomplete  Code = "incomplete"   // a download that has not come to its end
	NoSpace     Code = "no-space"     // the disk is full
	Unsupported Code = "unsupported"  // made for a newer updater
	Same        Code = "same-version" // it is what runs
)

// Refusal is an error in words for an operator: what is wrong, and what to do.
type Refusal struct {
	Code   Code
	Text   string
	Remedy string
	Err    error // the cause, nil if Text says all
}

func (r *Refusal) Error() string {
	s := r.Text
	if r.Remedy != "" {
		s += "; " + r.Remedy
	}
	return s
}

func (r *Refusal) Unwrap() error { return r.Err }

// CodeOf returns the code of the refusal in err, "" if there is none.
func CodeOf(err error) Code {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}

func refuse(c Code, remedy, format string, args ...any) *Refusal {
	return &Refusal{Code: c, Text: fmt.Sprintf(format, args...), Remedy: remedy}
}

const (
	askHome    = "tell whoever runs the repository"
	signAgain  = "sign the repository again (quartetctl repo sign)"
	notTrusted = "do not use this source until it is known why"
)

// explain puts an error of go-tuf's about a file into words.
func explain(file string, err error) error {
	var (
		unsigned *metadata.ErrUnsignedMetadata
		version  *metadata.ErrBadVersionNumber
		expired  *metadata.ErrExpiredMetadata
		mismatch *metadata.ErrLengthOrHashMismatch
		refusal  *Refusal
	)
	r := &Refusal{Err: err}
	switch {
	case errors.As(err, &refusal):
		return refusal
	case errors.As(err, &unsigned):
		r.Code, r.Remedy = Altered, notTrusted
		r.Text = fmt.Sprintf("%s does not have the signatures that root.json demands: it was altered, or belongs to another repository", file)
	case errors.As(err, &mismatch):
		r.Code, r.Remedy = Altered, notTrusted
		r.Text = fmt.Sprintf("%s is not the file that was signed: its length or hash is another", file)
	case errors.As(err, &expired):
		r.Code, r.Remedy = Expired, signAgain
		r.Text = fmt.Sprintf("%s has expired: %v", file, err)
	case errors.As(err, &version):
		r.Code, r.Remedy = Rollback, notTrusted
		r.Text = fmt.Sprintf("%s is older than what this box has seen: %v", file, err)
	default:
		r.Code, r.Remedy = Malformed, askHome
		r.Text = fmt.Sprintf("%s is not what such a file looks like: %v", file, err)
	}
	return r
}
