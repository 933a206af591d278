package browser

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"quartet/device/health"
)

const ui = "../../device/web/ui"

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(ui, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestConditionsAreTranslated holds the German words of conditions against the
// catalogue: a new code, or a changed text, needs a translator.
func TestConditionsAreTranslated(t *testing.T) {
	var german map[string]struct{ From, Text, Remedy string }
	if err := json.Unmarshal(read(t, "src/i18n/conditions.de.json"), &german); err != nil {
		t.Fatal(err)
	}
	for _, d := range health.Catalogue() {
		g, ok := german[string(d.Code)]
		switch {
		case !ok:
			t.Errorf("%s has no German text: add it to src/i18n/conditions.de.json", d.Code)
		case g.From != d.Text:
			t.Errorf("%s says %q, and its translation is of %q", d.Code, d.Text, g.From)
		case g.Text == "" || (g.Remedy == "") != (d.Remedy == ""):
			t.Errorf("%s: text or remedy is missing in German", d.Code)
		}
	}
}

// TestLanguagesAreComplete: the compiler sees to the keys, not to what is in
// them. A placeholder that is lost shows as a hole in a sentence.
func TestLanguagesAreComplete(t *testing.T) {
	entry := regexp.MustCompile(`(?m)^  "([^"]+)": ("(?:[^"\\]|\\.)*"),$`)
	catalogue := func(name string) map[string]string {
		m := map[string]string{}
		for _, e := range entry.FindAllSubmatch(read(t, name), -1) {
			var s string
			if err := json.Unmarshal(e[2], &s); err != nil {
				t.Fatal(err)
			}
			m[string(e[1])] = s
		}
		return m
	}
	en, de := catalogue("src/i18n/en.ts"), catalogue("src/i18n/de.ts")
	if len(en) < 300 {
		t.Fatalf("%d messages found: the catalogue is written another way now", len(en))
	}
	hole := regexp.MustCompile(`\{\w+\}`)
	for k, s := range en {
		g, ok := de[k]
		if !ok || g == "" {
			t.Errorf("%s is missing in German", k)
		}
		for _, h := range hole.FindAllString(s, -1) {
			if !strings.Contains(g, h) && !strings.HasSuffix(k, ".one") {
				t.Errorf("%s lacks %s in German: %q", k, h, g)
			}
		}
	}
	for k := range de {
		if _, ok := en[k]; !ok {
			t.Errorf("%s is in German only", k)
		}
	}
}

// TestLockFileNamesNoHost: packages come from whatever registry the builder's
// npm is set to.
func TestLockFileNamesNoHost(t *testing.T) {
	lock := read(t, "package-lock.json")
	if bytes.Contains(lock, []byte(`"resolved"`)) {
		t.Error(`package-lock.json says where packages come from: run npm install with this folder's .npmrc, which leaves that out`)
	}
	if !bytes.Contains(lock, []byte(`"integrity": "sha512-`)) {
		t.Error("package-lock.json has no hashes")
	}
}

// TestNothingInline: the policy of the page (S18) allows neither script nor
// style within HTML, nor anything from elsewhere.
func TestNothingInline(t *testing.T) {
	for what, re := range map[string]string{
		"an inline script": `<script(?:\s[^>]*)?>[^<]`, "a style": `<style|\sstyle=`, "a handler": `\son[a-z]+=`, "another host": `(?:src|href)="(?:https?:)?//`,
	} {
		if m := regexp.MustCompile(re).Find(read(t, "index.html")); m != nil {
			t.Errorf("index.html has %s: %s", what, m)
		}
	}
	bad := regexp.MustCompile(`innerHTML|dangerouslySetInnerHTML|\beval\(|new Function|document\.write`)
	err := filepath.WalkDir(filepath.Join(ui, "src"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if m := bad.Find(b); m != nil {
			t.Errorf("%s uses %s", path, m)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
