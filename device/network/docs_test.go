package network

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// The manual's example is accepted, and every field is in its table.
func TestManual(t *testing.T) {
	b, err := os.ReadFile("../../docs/network.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```json network-example\n(.*?)```").FindSubmatch(b)
	if m == nil {
		t.Fatal("no example")
	}
	if _, warnings, err := Parse(m[1]); err != nil || len(warnings) > 0 {
		t.Errorf("the example: %v %v", err, warnings)
	}
	var walk func(typ reflect.Type, path string)
	walk = func(typ reflect.Type, path string) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			name := path + f.Tag.Get("json")
			if f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct {
				walk(f.Type.Elem(), name+"[].")
				continue
			}
			if name != "version" && !strings.Contains(string(b), "`"+name+"`") {
				t.Errorf("docs/network.md does not explain %s", name)
			}
		}
	}
	walk(reflect.TypeFor[Settings](), "")
	for _, op := range []string{opGet, opState, opCheck, opApply, opConfirm, opRevert, opReset, opSetTime, opReboot} {
		if !strings.Contains(string(b), "\n| `"+op+"` | ") {
			t.Errorf("docs/network.md does not explain the request %s", op)
		}
	}
	for _, code := range []string{CodeInvalid, CodeBad, CodePending, CodeNoTrial, CodeToken, CodeWay, CodeClock, CodeDenied, CodeFailed} {
		if !strings.Contains(string(b), "`"+code+"`") {
			t.Errorf("docs/network.md does not name the error %s", code)
		}
	}
}
