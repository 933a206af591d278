//go:build qemu

package qemu

import (
	"encoding/base64"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"quartet/tests/chain"
)

var (
	imageDir = flag.String("image", "", "folder of the lab image, as image/build.sh made it")
	binDir   = flag.String("bin", "", "folder of this machine's programs")
	full     = flag.Bool("full", false, "the long stage, too")
	cuts     = flag.Int("cuts", 30, "power cuts of F20")
)

func TestMain(m *testing.M) {
	flag.Parse()
	for name, dir := range map[string]*string{"-image": imageDir, "-bin": binDir} {
		abs, err := filepath.Abs(*dir)
		if *dir == "" || err != nil {
			fmt.Fprintf(os.Stderr, "tests/qemu: %s is missing: use make test-qemu\n", name)
			os.Exit(2)
		}
		*dir = abs
	}
	code := m.Run()
	chain.RemovePrograms()
	os.Exit(code)
}

func needFull(t *testing.T) {
	t.Helper()
	if !*full {
		t.Skip("in make test-qemu-full")
	}
}

// program is the path of one of this machine's programs.
func program(name string) string { return filepath.Join(*binDir, name) }

// ctl runs quartetctl on this machine.
func ctl(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program("quartetctl"), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("quartetctl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func base64Lines(b []byte) string {
	s := base64.StdEncoding.EncodeToString(b)
	var lines []string
	for len(s) > 1024 {
		lines, s = append(lines, s[:1024]), s[1024:]
	}
	return strings.Join(append(lines, s), "\n")
}
