package trust

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Schema is the version of Custom that this package reads and writes.
const Schema = 1

// Custom is what the repository says of a bundle beside its length and hash:
// the "custom" object of the target.
type Custom struct {
	Schema  int      `json:"schema"`
	Version Version  `json:"version"`
	Boards  []string `json:"boards"` // that it is for, as the image names them
	// ManifestHash is the SHA-256 of the bundle's manifest in lower-case
	// hexadecimal, for RAUC's require-manifest-hash.
	ManifestHash string `json:"manifest_hash,omitempty"`
	// Rings are those that the bundle is promoted to. A box belongs to every
	// ring that names it.
	Rings     map[string]Ring `json:"rings,omitempty"`
	Published time.Time       `json:"published"` // for people
	// MinVersion is the oldest version that may go there in one step,
	// MaxVersion the newest. None: any.
	MinVersion Version    `json:"min_version,omitzero"`
	MaxVersion Version    `json:"max_version,omitzero"`
	Expires    time.Time  `json:"expires,omitzero"` // no box takes it afterwards; zero: never
	Downgrade  *Downgrade `json:"downgrade,omitempty"`
	Notes      string     `json:"notes,omitempty"` // what changed, for people
}

// Ring is a bundle's promotion to a ring.
type Ring struct {
	Serials []string  `json:"serials"` // see MatchSerial
	From    time.Time `json:"from"`    // before that no box of it begins
	// SpreadHours is over how many hours its boxes begin, each at an instant of
	// its own. 0: all at once.
	SpreadHours int `json:"spread_hours,omitempty"`
}

// Downgrade is home's signed word that boxes with one of these newer versions
// go back.
type Downgrade struct {
	From   []Version `json:"from"`
	Reason string    `json:"reason"`
}

// Release is one bundle of the repository.
type Release struct {
	Name   string // the target's path
	Length int64  // bytes
	SHA256 string // lower-case hexadecimal
	Custom
}

// File is the release's path below the repository's top, with the hash in
// front as TUF's consistent snapshots have it.
func (r Release) File() string {
	dir, base := "", r.Name
	if i := strings.LastIndexByte(r.Name, '/'); i >= 0 {
		dir, base = r.Name[:i+1], r.Name[i+1:]
	}
	return "targets/" + dir + r.SHA256 + "." + base
}

const (
	maxBundle = 4 << 30 // bytes; more is a mistake or an attack
	maxBoards = 64
	maxRings  = 32
	maxRing   = 10_000 // entries
	maxNotes  = 4096
	maxSpread = 24 * 90 // hours
)

var (
	namePattern   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}(/[A-Za-z0-9][A-Za-z0-9._+-]{0,127}){0,3}$`)
	boardPattern  = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)
	ringPattern   = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	serialPattern = regexp.MustCompile(`^([A-Za-z0-9._-]{1,64}\*?|\*|[0-9]{1,3}%)$`)
	hashPattern   = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// ParseCustom reads the custom object of a target, strictly. The path in an
// error is within that object.
func ParseCustom(raw []byte) (Custom, error) {
	var head struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return Custom{}, fmt.Errorf("custom: %w", err)
	}
	if head.Schema > Schema {
		return Custom{}, &Refusal{Code: Unsupported, Text: fmt.Sprintf("custom.schema: %d is newer than the %d that this version reads", head.Schema, Schema),
			Remedy: "take a version in between first"}
	}
	var c Custom
	if err := strict(raw, &c); err != nil {
		return Custom{}, fmt.Errorf("custom: %w", err)
	}
	return c, c.Check()
}

// strict decodes one JSON object: no unknown name, none in another case, none
// twice, nothing behind it.
func strict(raw []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the object")
	}
	again, err := json.Marshal(v)
	if err != nil {
		return err
	}
	// Go takes names in any case and the last of two: what it would write must
	// have as many names as what came, and the same ones.
	var want, got any
	if err := json.Unmarshal(raw, &want); err != nil {
		return err
	}
	if err := json.Unmarshal(again, &got); err != nil {
		return err
	}
	if !reflect.DeepEqual(want, got) || names(raw) != names(again) {
		return errors.New("a name is in the wrong case, is there twice, or has a value that it would be written without")
	}
	return nil
}

// names counts the tokens of a JSON text.
func names(raw []byte) (n int) {
	for d := json.NewDecoder(bytes.NewReader(raw)); ; n++ {
		if _, err := d.Token(); err != nil {
			return n
		}
	}
}

// Check finds what is wrong with a release's description.
func (c Custom) Check() error {
	bad := func(field string, value any, remedy string) error {
		return fmt.Errorf("custom.%s: %q is not allowed; %s", field, clip(fmt.Sprint(value)), remedy)
	}
	switch {
	case c.Schema != Schema:
		return bad("schema", c.Schema, fmt.Sprintf("write %d", Schema))
	case c.Version.IsZero():
		return bad("version", "", "write MAJOR.MINOR.PATCH")
	case len(c.Boards) == 0 || len(c.Boards) > maxBoards:
		return bad("boards", len(c.Boards), fmt.Sprintf("name 1 to %d boards", maxBoards))
	case c.ManifestHash != "" && !hashPattern.MatchString(c.ManifestHash):
		return bad("manifest_hash", c.ManifestHash, "write 64 lower-case hexadecimal digits")
	case len(c.Rings) > maxRings:
		return bad("rings", len(c.Rings), fmt.Sprintf("name at most %d", maxRings))
	case c.Published.IsZero():
		return bad("published", "", "write when it was added")
	case len(c.Notes) > maxNotes:
		return bad("notes", c.Notes, fmt.Sprintf("write at most %d bytes", maxNotes))
	}
	for _, b := range c.Boards {
		if !boardPattern.MatchString(b) {
			return bad("boards", b, "write lower-case letters, digits and hyphens")
		}
	}
	for _, ring := range slices.Sorted(maps.Keys(c.Rings)) {
		r := c.Rings[ring]
		if err := CheckRing(ring, r.Serials); err != nil {
			return fmt.Errorf("custom.rings.%w", err)
		}
		if r.SpreadHours < 0 || r.SpreadHours > maxSpread {
			return bad("rings."+ring+".spread_hours", r.SpreadHours, fmt.Sprintf("write 0 to %d", maxSpread))
		}
		if r.From.IsZero() {
			return bad("rings."+ring+".from", "", "write the instant from which its boxes may take it")
		}
	}
	if d := c.Downgrade; d != nil {
		if len(d.From) == 0 || len(d.From) > 100 || d.Reason == "" || len(d.Reason) > maxNotes {
			return bad("downgrade", d.Reason, "name 1 to 100 versions in from, and a reason")
		}
		for _, f := range d.From {
			if f.Compare(c.Version) <= 0 {
				return bad("downgrade.from", f, "name versions newer than "+c.Version.String())
			}
		}
	}
	return nil
}

// CheckRing finds what is wrong with a ring's name and serials.
func CheckRing(ring string, serials []string) error {
	if !ringPattern.MatchString(ring) {
		return fmt.Errorf("%s: no name of a ring; write lower-case letters, digits and hyphens", clip(ring))
	}
	if len(serials) > maxRing {
		return fmt.Errorf("%s: %d entries; write at most %d, or use PREFIX* and N%%", ring, len(serials), maxRing)
	}
	for _, s := range serials {
		if !serialPattern.MatchString(s) {
			return fmt.Errorf("%s: %q is not allowed; write a serial, PREFIX*, N%% or *", ring, clip(s))
		}
		if p, ok := strings.CutSuffix(s, "%"); ok {
			if n, err := strconv.Atoi(p); err != nil || n > 100 {
				return fmt.Errorf("%s: %q is not allowed; write 0%% to 100%%", ring, s)
			}
		}
	}
	return nil
}

// MatchSerial tells whether an entry of a ring means a serial. It is the
// serial itself, PREFIX*, * for every box, or N% for a fixed hundredth part of
// all boxes, the same ones each time and more of them with a larger N.
func MatchSerial(entry, serial string) bool {
	if p, ok := strings.CutSuffix(entry, "%"); ok {
		n, err := strconv.ParseUint(p, 10, 8)
		return err == nil && fraction("ring", serial) < float64(n)/100
	}
	if p, ok := strings.CutSuffix(entry, "*"); ok {
		return strings.HasPrefix(serial, p)
	}
	return entry == serial
}

// fraction is a number in [0,1) that depends on nothing but its arguments and
// is spread evenly over serials.
func fraction(purpose, serial string) float64 {
	sum := sha256.Sum256([]byte(purpose + "\x00" + serial))
	return float64(binary.BigEndian.Uint64(sum[:8])>>11) / (1 << 53)
}

// Begins is the instant from which a box takes the release by itself: between
// the ring's From and SpreadHours later, at an instant of each serial's own.
// Of several rings that have the box, the first to let it begin counts. The
// zero time: none has it, so there is nothing to wait for.
func (r Release) Begins(serial string) (at time.Time) {
	for _, ring := range r.Rings {
		if !ring.has(serial) {
			continue
		}
		spread := time.Duration(ring.SpreadHours) * time.Hour
		begins := ring.From.Add(time.Duration(fraction("spread "+r.SHA256, serial) * float64(spread)))
		if at.IsZero() || begins.Before(at) {
			at = begins
		}
	}
	return at
}

func (r Ring) has(serial string) bool {
	return slices.ContainsFunc(r.Serials, func(e string) bool { return MatchSerial(e, serial) })
}

// ring returns the first ring, by name, that has the serial; ok is false if
// none has.
func (r Release) ring(serial string) (name string, ok bool) {
	for _, name := range slices.Sorted(maps.Keys(r.Rings)) {
		if r.Rings[name].has(serial) {
			return name, true
		}
	}
	return "", false
}

// release turns a target into a release.
func release(name string, t *metadata.TargetFiles) (Release, error) {
	if !namePattern.MatchString(name) {
		return Release{}, fmt.Errorf("%q is no name of a bundle", clip(name))
	}
	switch {
	case t == nil:
		return Release{}, errors.New("it is null")
	case t.Length <= 0 || t.Length > maxBundle:
		return Release{}, fmt.Errorf("length: %d is not allowed; 1 to %d", t.Length, int64(maxBundle))
	case len(t.Hashes["sha256"]) != sha256.Size:
		return Release{}, errors.New("hashes: there is no sha256")
	case t.Custom == nil:
		return Release{}, errors.New("custom is missing: no version, no boards")
	}
	c, err := ParseCustom(*t.Custom)
	return Release{Name: name, Length: t.Length, SHA256: hex.EncodeToString(t.Hashes["sha256"]), Custom: c}, err
}
