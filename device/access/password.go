package access

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

const (
	minPassword = 10  // characters
	maxPassword = 256 // bytes; longer ones are not hashed
	saltBytes   = 16
	hashBytes   = 32
)

// cost is what a hash takes (RFC 9106).
type cost struct {
	memoryKiB, passes uint32
	lanes             uint8
}

// standardCost is OWASP's smallest: a box has little memory, and one password
// is hashed at a time.
var standardCost = cost{memoryKiB: 19 << 10, passes: 2, lanes: 1}

// most bounds what a stored hash may ask for, so that a file cannot make the
// box take all its memory.
var most = cost{memoryKiB: 64 << 10, passes: 16, lanes: 4}

// derive computes n bytes.
func (c cost) derive(password string, salt []byte, n int) []byte {
	key := argon2.IDKey([]byte(password), salt, c.passes, c.memoryKiB, c.lanes, uint32(n))
	// The 19 MiB are garbage now. Given back at once they cost the process nothing
	// between logins; else two or three of them pile up before the collector
	// wakes, and stay until the heap shrinks by itself.
	debug.FreeOSMemory()
	return key
}

// hash returns the hash of a password under a new salt, in the form that the
// reference program prints: $argon2id$v=19$m=19456,t=2,p=1$salt$hash.
func (c cost) hash(rand io.Reader, password string) (string, error) {
	salt := make([]byte, saltBytes)
	if _, err := io.ReadFull(rand, salt); err != nil {
		return "", fmt.Errorf("make a salt: %w", err)
	}
	key := c.derive(password, salt, hashBytes)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.memoryKiB, c.passes, c.lanes, b64(salt), b64(key)), nil
}

// hash hashes a new password when its turn comes.
func (s *Store) hash(ctx context.Context, known bool, password string) (string, error) {
	leave, err := s.gate.enter(ctx, known)
	if err != nil {
		return "", err
	}
	defer leave()
	h, err := s.cost.hash(s.cfg.Rand, password)
	if err != nil {
		return "", fmt.Errorf("access: %w", err)
	}
	return h, nil
}

// compare tells whether a password fits to a hash.
func compare(hash, password string) (bool, error) {
	c, salt, want, err := parseHash(hash)
	if err != nil {
		return false, err
	}
	got := c.derive(password, salt, len(want))
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}

var errHash = errors.New("the stored hash cannot be read")

// parseHash takes a stored hash apart.
func parseHash(s string) (c cost, salt, key []byte, err error) {
	part := strings.Split(s, "$")
	if len(part) != 6 || part[0] != "" || part[1] != "argon2id" || part[2] != "v="+strconv.Itoa(argon2.Version) {
		return c, nil, nil, errHash
	}
	numbers := strings.Split(part[3], ",")
	if len(numbers) != 3 {
		return c, nil, nil, errHash
	}
	read := func(text, prefix string, least, most uint32) uint32 {
		digits, ok := strings.CutPrefix(text, prefix)
		n, perr := strconv.ParseUint(digits, 10, 32)
		if !ok || perr != nil || uint32(n) < least || uint32(n) > most {
			err = errHash
		}
		return uint32(n)
	}
	c.lanes = uint8(read(numbers[2], "p=", 1, uint32(most.lanes)))
	c.memoryKiB = read(numbers[0], "m=", 8*uint32(c.lanes), most.memoryKiB)
	c.passes = read(numbers[1], "t=", 1, most.passes)
	if err != nil {
		return cost{}, nil, nil, err
	}
	strict := base64.RawStdEncoding.Strict()
	if salt, err = strict.DecodeString(part[4]); err != nil || len(salt) < 8 || len(salt) > 64 {
		return cost{}, nil, nil, errHash
	}
	if key, err = strict.DecodeString(part[5]); err != nil || len(key) < 16 || len(key) > 64 {
		return cost{}, nil, nil, errHash
	}
	return c, salt, key, nil
}

// checkNew checks the name and the password of a new user, and returns the
// name as it is kept.
func (s *Store) checkNew(user, password string) (name string, err error) {
	name = fold(user)
	if err := checkName(name); err != nil {
		return "", err
	}
	return name, s.checkPassword(name, password)
}

// checkPassword tells whether a user may have a password: by length, and by
// what everybody tries first. It asks for no digits or capitals: those make
// passwords worse to remember and no better.
func (s *Store) checkPassword(name, password string) error {
	refuse := func(problem, remedy string) error { return &Refused{"password", problem, remedy} }
	switch n := utf8.RuneCountInString(password); {
	case !utf8.ValidString(password):
		return refuse("is not UTF-8", "write text")
	case n < minPassword:
		return refuse(fmt.Sprintf("has %d characters", n), fmt.Sprintf("write %d or more; four or five words are easy to remember", minPassword))
	case len(password) > maxPassword:
		return refuse(fmt.Sprintf("has %d bytes", len(password)), fmt.Sprintf("write up to %d", maxPassword))
	case strings.ContainsRune(password, 0):
		return refuse("contains a zero byte", "write text")
	}
	if s.cfg.ClaimCode != nil && s.cfg.ClaimCode(password) {
		return refuse("is the code on the label", "write one that is not written on the box")
	}
	if core, own := letters(password), letters(name); strings.Trim(strings.ToLower(password), "0123456789 ") == name ||
		core != "" && own != "" && strings.ReplaceAll(core, own, "") == "" {
		return refuse("is the name of the user", "write one that others cannot guess")
	}
	if common(password) {
		return refuse("is one of those that are tried first", "write four or five words that have nothing to do with each other")
	}
	return nil
}
