// Command sbom writes what programs of ours are made of, as CycloneDX: the Go
// modules that the linker put in (from the programs themselves, not from
// go.mod), the C libraries they load, and the packages of the page.
//
// It is a tool of the release, beside Buildroot's own list of the image's
// packages; docs/image.md says how the two belong together.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	f := flag.NewFlagSet("sbom", flag.ContinueOnError)
	version := f.String("version", "", "of the product: `TEXT`")
	lock := f.String("lock", "", "the page's package-lock.json: `FILE`")
	pkg := f.String("package", "", "Buildroot package of a library that programs load: `FOLDER` with NAME.mk and NAME.hash")
	out := f.String("out", "", "write `FILE` (default: standard output)")
	epoch := f.Int64("epoch", 0, "time of the document, in `SECONDS` since 1970; the commit's, so that it is reproducible")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() == 0 {
		return errors.New("no programs: name those that were built")
	}
	in := Inputs{Version: *version, Time: time.Unix(*epoch, 0).UTC(), Programs: f.Args()}
	var err error
	if *lock != "" {
		if in.Page, err = readLock(*lock); err != nil {
			return err
		}
	}
	if *pkg != "" {
		if in.Library, err = readPackage(*pkg); err != nil {
			return err
		}
	}
	doc, err := Make(in)
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if *out == "" {
		_, err = os.Stdout.Write(b)
		return err
	}
	return os.WriteFile(*out, b, 0o644)
}
