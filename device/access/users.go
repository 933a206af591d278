package access

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

const (
	schemaVersion = 1
	usersFile     = "users.v1.json"

	maxUsers = 64
	maxName  = 32
)

// record is a user as the file has it.
type record struct {
	Name        string    `json:"name"`
	Role        Role      `json:"role"`
	Hash        string    `json:"hash"`
	Created     time.Time `json:"created"`
	PasswordSet time.Time `json:"password_set"`
}

// usersDocument is the file of the users.
type usersDocument struct {
	Version int      `json:"version"`
	Users   []record `json:"users"`
}

func encodeUsers(users map[string]record) ([]byte, error) {
	doc := usersDocument{Version: schemaVersion, Users: make([]record, 0, len(users))}
	for _, u := range users {
		doc.Users = append(doc.Users, u)
	}
	slices.SortFunc(doc.Users, func(a, b record) int { return strings.Compare(a.Name, b.Name) })
	return json.MarshalIndent(doc, "", "  ")
}

// decodeUsers reads the file as strictly as it is written: what it does not
// understand in full, it does not let in.
func decodeUsers(b []byte) (map[string]record, error) {
	var doc usersDocument
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something behind the document")
	}
	if doc.Version != schemaVersion {
		return nil, fmt.Errorf("version is %d, not %d", doc.Version, schemaVersion)
	}
	users := make(map[string]record, len(doc.Users))
	admins := 0
	for i, u := range doc.Users {
		if err := checkName(u.Name); err != nil {
			return nil, fmt.Errorf("users[%d]: %w", i, err)
		}
		if err := checkRole(u.Role); err != nil {
			return nil, fmt.Errorf("users[%d]: %w", i, err)
		}
		if _, _, _, err := parseHash(u.Hash); err != nil {
			return nil, fmt.Errorf("users[%d]: %w", i, err)
		}
		if _, twice := users[u.Name]; twice {
			return nil, fmt.Errorf("users[%d]: %s is there twice", i, u.Name)
		}
		users[u.Name] = u
		if u.Role == Admin {
			admins++
		}
	}
	if len(users) > 0 && admins == 0 {
		return nil, errors.New("users has no admin")
	}
	return users, nil
}

// fold writes a user's name as it is kept: telephones begin names with a
// capital.
func fold(user string) string { return strings.ToLower(strings.TrimSpace(user)) }

func checkName(name string) error {
	const remedy = "write 1 to 32 letters a to z, digits, dots, dashes or underscores, the first a letter or digit"
	if name == "" || len(name) > maxName {
		return &Refused{"user", fmt.Sprintf("has %d bytes", len(name)), remedy}
	}
	for i := range len(name) {
		c := name[i]
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || i > 0 && strings.IndexByte("._-", c) >= 0 {
			continue
		}
		return &Refused{"user", "is not a name", remedy}
	}
	return nil
}

func checkRole(r Role) error {
	if !r.Valid() {
		return &Refused{"role", "is not a role", "write viewer, operator or admin"}
	}
	return nil
}
