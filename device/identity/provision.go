package identity

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"quartet/device/durable"
)

// Provision is what production gives a box. The file holds no secret: of the
// claim code only a hash, and that is of 80 random bits, which nobody searches.
// A factory reset leaves it alone.
type Provision struct {
	Version int    `json:"version"` // 1
	Serial  string `json:"serial"`
	Product string `json:"product,omitempty"`
	// ClaimSHA256 is the SHA-256 of "quartet claim v1", a zero byte, and the code
	// without its dashes, in hex.
	ClaimSHA256 string    `json:"claim_sha256"`
	Made        time.Time `json:"made"`
}

const (
	// codeAlphabet is Crockford's base 32: no I, L, O and U.
	codeAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	codeLength   = 16 // 80 bits
	codeGroup    = 4
)

// NewProvision makes the provision of a box and its claim code, as it is
// printed: KX4P-2M9R-7TQA-WD3H. The code is nowhere else. An empty serial gets
// a random one. now is when that is.
func NewProvision(serial, product string, now time.Time) (p *Provision, code string, err error) {
	if serial == "" {
		serial = "Q" + randomText(8)
	}
	code = randomText(codeLength)
	sum := codeHash(code)
	p = &Provision{Version: 1, Serial: serial, Product: product, ClaimSHA256: hex.EncodeToString(sum[:]), Made: now.UTC().Truncate(time.Second)}
	if err := p.check(); err != nil {
		return nil, "", err
	}
	return p, group(code), nil
}

// randomText is n characters of the alphabet, five bits each.
func randomText(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	for i := range b {
		b[i] = codeAlphabet[b[i]%32] // 256 is a multiple of 32: each is as likely
	}
	return string(b)
}

// group puts dashes into a code.
func group(code string) string {
	var parts []string
	for len(code) > codeGroup {
		parts = append(parts, code[:codeGroup])
		code = code[codeGroup:]
	}
	return strings.Join(append(parts, code), "-")
}

// normalise undoes what people do to a code: small letters, other groups, and
// letters that look like digits.
func normalise(code string) string {
	return strings.NewReplacer("-", "", " ", "", "–", "", "\t", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(code))
}

func codeHash(code string) [sha256.Size]byte {
	return sha256.Sum256([]byte("quartet claim v1\x00" + code))
}

// Matches tells whether code is the claim code. It takes as long for any code
// of the same length.
func (p *Provision) Matches(code string) bool {
	want, err := hex.DecodeString(p.ClaimSHA256)
	if err != nil {
		return false
	}
	got := codeHash(normalise(code))
	return subtle.ConstantTimeCompare(got[:], want) == 1
}

func (p *Provision) check() error {
	if p.Version != 1 {
		return fmt.Errorf("version: %d is not known; this program reads 1", p.Version)
	}
	if problem := checkSerial(p.Serial); problem != "" {
		return fmt.Errorf("serial: %q %s; write 4 to 24 letters, digits and dashes, the first and last no dash", p.Serial, problem)
	}
	if len(p.Product) > 60 || strings.ContainsFunc(p.Product, func(c rune) bool { return c < 0x20 || c == 0x7F }) {
		return errors.New("product: is too long or holds a control character; write up to 60 bytes")
	}
	if b, err := hex.DecodeString(p.ClaimSHA256); err != nil || len(b) != sha256.Size {
		return errors.New("claim_sha256: is not the SHA-256 of a code in hex; make the file with quartetctl provision")
	}
	return nil
}

func checkSerial(s string) string {
	if len(s) < 4 || len(s) > 24 {
		return fmt.Sprintf("has %d characters", len(s))
	}
	for i := range len(s) {
		c := s[i]
		alnum := c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
		if !alnum && (c != '-' || i == 0 || i == len(s)-1) {
			return "is no serial number"
		}
	}
	return ""
}

// boardSerial makes a serial number of what a board says, for a box that was
// not provisioned.
func boardSerial(s string) string {
	s = strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' {
			return c
		}
		return -1
	}, s)
	if s = s[:min(len(s), 24)]; checkSerial(s) != "" {
		return "unprovisioned"
	}
	return s
}

// ReadProvision reads a provision file, strictly. The error is fs.ErrNotExist if
// there is none, or no name of one.
func ReadProvision(path string) (*Provision, error) {
	if path == "" {
		return nil, fs.ErrNotExist
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return nil, err
	}
	p, err := parseProvision(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

func parseProvision(b []byte) (*Provision, error) {
	var p Provision
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something behind the document")
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return &p, nil
}

// ErrProvisioned is a box that has a provision file already: with another one,
// the label on it would no longer be true.
var ErrProvisioned = errors.New("the box is provisioned already")

// Write writes the provision file (mode 0640, of its folder's group, which the
// management plane is in) so that a power cut leaves all of it or none. Without force it refuses to replace one: ErrProvisioned.
func (p *Provision) Write(path string, force bool) error {
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	temp, err := os.CreateTemp(folder, ".provision-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // nothing, once it is renamed
	_, err = temp.Write(append(b, '\n'))
	if st, serr := os.Stat(folder); serr == nil {
		if sys, ok := st.Sys().(*syscall.Stat_t); ok {
			err = errors.Join(err, temp.Chown(-1, int(sys.Gid)))
		}
	}
	if err = errors.Join(err, temp.Chmod(0o640), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if force {
		err = os.Rename(temp.Name(), path)
	} else if err = os.Link(temp.Name(), path); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %s", ErrProvisioned, path)
	}
	return errors.Join(err, durable.SyncFolder(folder))
}

// Label is the text of the label that goes onto the box.
func (p *Provision) Label(code string) string {
	var b strings.Builder
	product := p.Product
	if product == "" {
		product = "Quartet"
	}
	fmt.Fprintf(&b, "%s\nSerial      %s\nClaim code  %s\nPage        https://%s.local/\n", product, p.Serial, code, hostName(p.Serial))
	return b.String()
}
