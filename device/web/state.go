package web

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"

	"quartet/device/config"
	"quartet/device/durable"
)

// kept is a small file of the management's own state, written whole.
type kept[T any] struct {
	file durable.Twin
	mu   sync.Mutex // guards value; not held while the file is written
	save sync.Mutex // one write at a time
	v    T
}

// openKept reads a file; without one, or if it cannot be trusted, v is first.
func openKept[T any](dir, name string, first T) (*kept[T], error) {
	folder, err := durable.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	k := &kept[T]{file: durable.Twin{Folder: folder, Name: name}, v: first}
	b, _, err := k.file.Load()
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, durable.ErrDamaged):
		return k, nil
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := json.Unmarshal(b, &k.v); err != nil {
		k.v = first
	}
	return k, nil
}

func (k *kept[T]) get() T {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.v
}

// change puts what f makes of the value on disk and then into force. f must not
// change what its argument holds by reference.
func (k *kept[T]) change(f func(T) (T, error)) (T, error) {
	k.save.Lock()
	defer k.save.Unlock()
	v, err := f(k.get())
	if err != nil {
		return v, err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return v, err
	}
	if err := k.file.Save(b); err != nil {
		return v, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.v = v
	return v, nil
}

// destroy removes the file.
func (k *kept[T]) destroy(first T) error {
	k.save.Lock()
	defer k.save.Unlock()
	k.mu.Lock()
	k.v = first
	k.mu.Unlock()
	return k.file.Destroy()
}

// manageState is what lies in the file of the settings.
type manageState struct {
	Settings     ManageSettings `json:"settings"`
	MetricsToken string         `json:"metrics_token_sha256,omitempty"`
	SavedBy      string         `json:"saved_by,omitempty"`
}

// settings are those of the management plane.
type settings struct {
	kept  *kept[manageState]
	first manageState
}

func openSettings(dir, serial string) (*settings, error) {
	first := manageState{Settings: config.Default[ManageSettings]()}
	first.Settings.Name = "quartet"
	if plainName.MatchString("quartet-" + serial) {
		first.Settings.Name = "quartet-" + serial
	}
	k, err := openKept(dir, "settings.v1.json", first)
	return &settings{k, first}, err
}

func (s *settings) get() ManageSettings { return s.kept.get().Settings }

// revision names the settings' content; they hold no secrets.
func (m ManageSettings) revision() string {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // it always encodes
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// validate finds what the tags cannot say.
func (m *ManageSettings) validate() error {
	var issues config.Issues
	add := func(path, value, problem, remedy string) {
		issues = append(issues, config.Issue{Path: path, Value: value, Problem: problem, Remedy: remedy})
	}
	t := &m.Telemetry
	switch u, err := url.Parse(t.Endpoint); {
	case t.Endpoint == "" && t.Enabled:
		add("telemetry.endpoint", "", "is missing", "write the address of the server, or switch telemetry off")
	case t.Endpoint == "":
	case err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		add("telemetry.endpoint", string(quote(clip(t.Endpoint))), "is not an address of a server", "write https://host:port")
	case u.User != nil:
		add("telemetry.endpoint", "***", "holds a user or password", "leave it out: the box shows its certificate")
	}
	for i, n := range m.Page.Names {
		at := fmt.Sprintf("page.names[%d]", i)
		if _, err := netip.ParseAddr(n); err == nil {
			add(at, string(quote(n)), "is an address", "leave it out: the box answers to its addresses anyway")
		} else if !hostName(n) {
			add(at, string(quote(clip(n))), "is not a host name", "write a name such as encoder-7.example.net")
		}
	}
	if strings.ContainsFunc(m.Support.Contact, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		add("support.contact", "", "contains control characters", "write one line")
	}
	if issues != nil {
		return issues
	}
	return nil
}

// hostName tells whether s is a host name (RFC 1123).
func hostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	return !slices.ContainsFunc(strings.Split(s, "."), func(label string) bool {
		return label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, func(c rune) bool {
				return (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && c != '-'
			})
	})
}
