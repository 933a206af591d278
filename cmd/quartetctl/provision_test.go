package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"quartet/board"
	"quartet/device/identity"
)

// provision writes the file once and shows the code once.
func TestProvision(t *testing.T) {
	file := filepath.Join(t.TempDir(), "etc", "provision.v1.json")
	r := call(t, nil, "provision", "--file", file, "--serial", "Q26-0042", "--product", "Quartet 4")
	code := regexp.MustCompile(`Claim code  (\S+)\n`).FindStringSubmatch(r.out)
	if r.code != 0 || code == nil || !strings.HasPrefix(r.out, "Quartet 4\nSerial      Q26-0042\n") || !strings.Contains(r.out, "https://quartet-q26-0042.local/") {
		t.Fatalf("%+v", r)
	}
	p, err := identity.ReadProvision(file)
	if err != nil || p.Serial != "Q26-0042" || !p.Matches(code[1]) || !p.Made.Equal(epoch.Add(3600e9)) {
		t.Fatalf("%+v, %v", p, err)
	}
	was, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if r = call(t, nil, "provision", "--file", file); r.code != 1 || r.out != "" || !strings.Contains(r.err, "provisioned already") || !strings.Contains(r.err, "--force") {
		t.Errorf("%+v", r)
	}
	if is, _ := os.ReadFile(file); string(is) != string(was) {
		t.Error("the file was changed")
	}
	if r = call(t, nil, "provision", "--file", file, "--force"); r.code != 0 || strings.Contains(r.out, code[1]) {
		t.Errorf("%+v", r)
	}
	if p, err = identity.ReadProvision(file); err != nil || p.Matches(code[1]) {
		t.Errorf("the old code still holds: %v", err)
	}
	for _, args := range [][]string{{"--serial", "-"}, {"extra"}, {"--serial", "a b c d"}} {
		if r := call(t, nil, append([]string{"provision", "--file", file + "2"}, args...)...); r.code != 2 {
			t.Errorf("%v: %+v", args, r)
		}
	}
	if _, err := os.Stat(file + "2"); err == nil {
		t.Error("a wrong command line wrote a file")
	}
}

// eeprom is an identity memory; what does not fit is cut off.
type eeprom struct {
	content []byte
	locked  bool
}

func (m *eeprom) Read() ([]byte, error) { return m.content, nil }

func (m *eeprom) Write(b []byte) error {
	if !m.locked { // a locked one takes the bytes on the bus, and no more
		copy(m.content, b)
	}
	return nil
}

// A board's identity memory and the provision file tell of the same number.
func TestProvisionMemory(t *testing.T) {
	dir := t.TempDir()
	n := 0
	provision := func(m board.Memory, args ...string) (r result, serial string) {
		n++
		file := filepath.Join(dir, strings.Repeat("x", n))
		e := &env{board: func() (*board.Board, error) {
			return &board.Board{Model: "rock5b", Identity: m, Close: func() error { return nil }}, errors.New("a light is not there")
		}}
		r = call(t, e, append([]string{"provision", "--file", file}, args...)...)
		if p, err := identity.ReadProvision(file); err == nil {
			serial = p.Serial
		}
		return r, serial
	}
	says := func(m *eeprom) board.Identity {
		t.Helper()
		id, err := board.ParseIdentity(m.content)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	blank := func() *eeprom { return &eeprom{content: bytes.Repeat([]byte{0xff}, 256)} }

	if r, serial := provision(blank(), "--serial", "Q26-0001"); r.code != 0 || serial != "Q26-0001" {
		t.Errorf("a blank memory: %+v", r)
	}
	m := blank()
	r, serial := provision(m, "--memory")
	if id := says(m); r.code != 0 || serial == "" || id.Serial != serial || id.Model != "rock5b" || id.Made != epoch.Format("2006-01-02") {
		t.Errorf("a random number: %+v, file %q, memory %+v", r, serial, id)
	}
	for _, args := range [][]string{nil, {"--serial", serial}, {"--memory"}} {
		if r, again := provision(m, args...); r.code != 0 || again != serial {
			t.Errorf("%q: %+v, file %q, memory %q", args, r, again, serial)
		}
	}
	if r, s := provision(m, "--serial", "Q26-0002"); r.code != 2 || s != "" || !strings.Contains(r.err, "Q26-0002") || !strings.Contains(r.err, serial) || !strings.Contains(r.err, "--memory --force") {
		t.Errorf("another number: %+v", r)
	}
	// What else the factory wrote stays.
	m = blank()
	content, _ := board.AppendIdentity(nil, board.Identity{Model: "rock5b", Serial: "Q26-0003", Revision: "B", MACs: []string{"02:00:00:00:00:01"}})
	copy(m.content, content)
	if r, s := provision(m, "--serial", "Q26-0004", "--memory", "--force"); r.code != 0 || s != "Q26-0004" {
		t.Errorf("written anew: %+v", r)
	}
	if r, s := provision(m, "--memory", "--force"); r.code != 0 || s != "Q26-0004" {
		t.Errorf("the number was not kept: %+v, %q", r, s)
	}
	if id := says(m); id.Serial != "Q26-0004" || id.Revision != "B" || len(id.MACs) != 1 {
		t.Errorf("the memory says %+v", id)
	}
	// Another maker's.
	m = &eeprom{content: []byte(strings.Repeat("acme", 64))}
	if r, s := provision(m); r.code != 1 || s != "" || !strings.Contains(r.err, "--serial") {
		t.Errorf("no number: %+v", r)
	}
	if r, s := provision(m, "--serial", "Q26-0005"); r.code != 0 || s != "Q26-0005" || !strings.Contains(r.err, "left as it is") {
		t.Errorf("a number: %+v", r)
	}
	if r, s := provision(m, "--serial", "Q26-0005", "--memory"); r.code != 1 || s != "" || !strings.HasPrefix(string(m.content), "acme") {
		t.Errorf("overwritten without a word: %+v", r)
	}
	m = blank()
	m.locked = true
	if r, _ := provision(m, "--memory"); r.code != 1 || !strings.Contains(r.err, "write protection") {
		t.Errorf("a locked memory: %+v", r)
	}
	if r, s := provision(nil, "--memory"); r.code == 0 || s != "" {
		t.Errorf("no memory: %+v", r)
	}
}
