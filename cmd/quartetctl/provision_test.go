package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

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
