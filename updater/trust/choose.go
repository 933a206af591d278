package trust

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Box is what the choice depends on.
type Box struct {
	Serial  string
	Board   string
	Version Version // what runs
	// Floor is the oldest version that this image ever goes back to, signed
	// downgrade or not.
	Floor Version
}

// Offer is the release that a box should take.
type Offer struct {
	Release
	Ring      string // that has the box
	Downgrade bool   // signed: it is older than what runs
}

// Refused is a release that a box does not take, and why.
type Refused struct {
	Name    string
	Version Version
	Code    Code
	Text    string
}

// Choose returns the newest release that the box may take, a signed way back
// from what runs included; nil if there is none. refused has every other
// release with its reason, newest first. veto may refuse a release for reasons
// of its own (nil: none does).
func (r *Repository) Choose(box Box, now time.Time, veto func(Release) *Refusal) (offer *Offer, refused []Refused) {
	refused = append(refused, r.Broken...)
	releases := slices.Clone(r.Releases)
	slices.SortFunc(releases, func(a, b Release) int {
		if c := b.Version.Compare(a.Version); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	for _, rel := range releases {
		o, why := r.judge(rel, box, now)
		if why == nil && veto != nil {
			why = veto(rel)
		}
		switch {
		case why != nil:
		case offer == nil:
			offer = o
			continue
		default:
			why = refuse(Older, "", "%s is preferred", offer.Version)
		}
		refused = append(refused, Refused{Name: rel.Name, Version: rel.Version, Code: why.Code, Text: why.Error()})
	}
	return offer, refused
}

// Judge tells whether a box may take one release: nil, or why not.
func (r *Repository) Judge(rel Release, box Box, now time.Time) error {
	if _, why := r.judge(rel, box, now); why != nil {
		return why
	}
	return nil
}

func (r *Repository) judge(rel Release, box Box, now time.Time) (*Offer, *Refusal) {
	o := &Offer{Release: rel}
	name := fmt.Sprintf("%s (%s)", rel.Name, rel.Version)
	if !slices.Contains(rel.Boards, box.Board) {
		return nil, refuse(WrongBoard, "use the bundle for "+box.Board, "%s is for the board %s, and this is %s", name, strings.Join(rel.Boards, ", "), box.Board)
	}
	ring, ok := rel.ring(box.Serial)
	if !ok {
		return nil, refuse(OtherRing, "promote it with quartetctl repo promote", "%s is not promoted to a ring that has %s", name, box.Serial)
	}
	o.Ring = ring
	if !rel.Expires.IsZero() && !now.Before(rel.Expires) {
		return nil, refuse(Expired, "add a newer one", "%s was to be taken before %s", name, rel.Expires.UTC().Format(time.DateTime+" MST"))
	}
	if rel.Version.Compare(box.Floor) < 0 {
		return nil, refuse(BelowFloor, "", "%s is older than %s, below which this image never goes", name, box.Floor)
	}
	switch c := rel.Version.Compare(box.Version); {
	case c == 0:
		return nil, refuse(Same, "", "%s is what runs", name)
	case c < 0:
		if rel.Downgrade == nil || !slices.ContainsFunc(rel.Downgrade.From, func(v Version) bool { return v.Compare(box.Version) == 0 }) {
			return nil, refuse(Older, "a way back has to be signed: quartetctl repo downgrade HOME "+rel.Version.String()+" "+box.Version.String()+" --reason WHY",
				"%s is older than the %s that runs", name, box.Version)
		}
		o.Downgrade = true
		return o, nil
	}
	if back := r.withdrawn(rel, box); back != nil {
		return nil, refuse(Withdrawn, "", "%s is withdrawn: %s is signed as the way back from it (%s)", name, back.Version, back.Downgrade.Reason)
	}
	if !rel.MinVersion.IsZero() && box.Version.Compare(rel.MinVersion) < 0 {
		return nil, refuse(TooOld, "take "+rel.MinVersion.String()+" first", "%s can be reached from %s on, and %s runs", name, rel.MinVersion, box.Version)
	}
	if !rel.MaxVersion.IsZero() && box.Version.Compare(rel.MaxVersion) > 0 {
		return nil, refuse(TooNew, "", "%s can be reached up to %s, and %s runs", name, rel.MaxVersion, box.Version)
	}
	return o, nil
}

// withdrawn returns the release that is signed as the way back from rel for
// this box. Without it, a box that went back would take rel again.
func (r *Repository) withdrawn(rel Release, box Box) *Release {
	for i := range r.Releases {
		back := &r.Releases[i]
		if back.Downgrade == nil || !slices.Contains(back.Boards, box.Board) {
			continue
		}
		if _, ok := back.ring(box.Serial); !ok {
			continue
		}
		if slices.ContainsFunc(back.Downgrade.From, func(v Version) bool { return v.Compare(rel.Version) == 0 }) {
			return back
		}
	}
	return nil
}
