package main

import (
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"quartet/cmd/internal/boxplan"
	"quartet/cmd/internal/socket"
	"quartet/device/config"
	"quartet/uplink"
)

var configCheckCommand = command{
	name:  "config check",
	args:  "FILE…",
	short: "check box and gateway documents",
	long: `
Reads each document (- is standard input), finds out whether it is a box's or a
gateway's, and prints all that is wrong with it, by field, line and column, and
what to write instead. Warnings are about what works but may not be meant. Exits
with 1 if a document has errors, or, with --strict, warnings.

A box document is also put through the planner, and its sockets are sized.

Secrets that a box has sealed are named and not checked: only that box opens
them (quartetd check, with its --key).`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		strict := f.Bool("strict", false, "take warnings for errors")
		return func(e *env, args []string) error {
			if len(args) == 0 {
				return usagef("config check takes the names of files, and there are none")
			}
			var result error
			for _, name := range args {
				if !checkFile(e, name, *strict) {
					result = errNotGood
				}
			}
			return result
		}
	},
}

// checkFile prints what there is to say about a document and returns whether
// it is good.
func checkFile(e *env, name string, strict bool) bool {
	doc, err := readFile(e, name)
	if err != nil {
		fmt.Fprintf(e.err, "quartetctl: %v\n", err)
		return false
	}
	kind, warnings, err := config.Check(doc)
	var plan uplink.Plan
	if err == nil {
		var more config.Issues
		plan, more, err = checkParts(kind, doc)
		more.Locate(doc)
		warnings = append(warnings, more...)
	}
	var issues config.Issues
	if err != nil && !errors.As(err, &issues) {
		issues = config.Issues{{Problem: err.Error()}}
	}
	issues.Locate(doc)
	for _, i := range issues {
		fmt.Fprintf(e.out, "%s: %s %s\n", name, e.screen.paint(red, "error:"), clean(i.String()))
	}
	for _, i := range warnings {
		fmt.Fprintf(e.out, "%s: %s %s\n", name, e.screen.paint(yellow, "warning:"), clean(i.String()))
	}
	good := len(issues) == 0 && !(strict && len(warnings) > 0)
	if good {
		fmt.Fprintf(e.out, "%s: %s %s document, schema version %d\n", name, e.screen.paint(green, "valid"), kind, config.SchemaVersion)
		if kind == config.KindBox {
			fmt.Fprintf(e.out, "%s: plan: %s\n", name, plan)
			for _, n := range plan.Notes {
				fmt.Fprintf(e.out, "%s: note: %s\n", name, n)
			}
		}
		if sealed := config.SealedSecrets(doc); len(sealed) > 0 {
			fmt.Fprintf(e.out, "%s: note: sealed, and so not checked: %s\n", name, strings.Join(sealed, ", "))
		}
	}
	return good
}

// checkParts asks planner and sockets about a document that is valid by itself.
func checkParts(kind config.Kind, doc []byte) (plan uplink.Plan, warnings config.Issues, err error) {
	if kind == config.KindBox {
		box, _, err := config.OpenBox(doc, config.StandIn)
		if err != nil {
			return plan, nil, err
		}
		return boxplan.Check(box)
	}
	gateway, _, err := config.OpenGateway(doc, config.StandIn)
	if err != nil {
		return plan, nil, err
	}
	if issues := socket.CheckGateway(gateway); len(issues) > 0 {
		err = issues
	}
	return plan, nil, err
}

func readFile(e *env, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(e.in, 2<<20))
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 2<<20)) // longer ones are refused anyway
}

// kindArg reads the optional argument box or gateway.
func kindArg(name string, args []string) (config.Kind, error) {
	switch {
	case len(args) == 0 || len(args) == 1 && args[0] == string(config.KindBox):
		return config.KindBox, nil
	case len(args) == 1 && args[0] == string(config.KindGateway):
		return config.KindGateway, nil
	}
	return "", usagef("%s takes box or gateway, and there is %q", name, strings.Join(args, " "))
}

var configExampleCommand = command{
	name:  "config example",
	args:  "[box|gateway]",
	short: "print an example document to start from",
	long: `
Prints a valid document to start from: four paths on two legs, or the first
gateway of the first leg. Keys and passphrases are random, new at each call.

With --dir both documents are written there, as box.json and gateway.json with
mode 0600, and fit together; existing files are left alone.`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		dir := f.String("dir", "", "write both documents into this `FOLDER`")
		return func(e *env, args []string) error {
			kind, err := kindArg("config example", args)
			if err != nil {
				return err
			}
			box, gateway, err := config.Examples(rand.Reader)
			if err != nil {
				return err
			}
			if *dir == "" {
				doc := any(box)
				if kind == config.KindGateway {
					doc = gateway
				}
				_, err = e.out.Write(config.EncodeExample(doc))
				return err
			}
			if len(args) > 0 {
				return usagef("config example --dir writes both documents; leave out %q", args[0])
			}
			if err := writeNew(e, filepath.Join(*dir, "box.json"), config.EncodeExample(box)); err != nil {
				return err
			}
			return writeNew(e, filepath.Join(*dir, "gateway.json"), config.EncodeExample(gateway))
		}
	},
}

func writeNew(e *env, name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		fmt.Fprintln(e.out, name)
	}
	return err
}

var configSchemaCommand = command{
	name:  "config schema",
	args:  "[box|gateway]",
	short: "print the JSON Schema of a document",
	long: `
Prints the JSON Schema (draft 2020-12) of the box document, or of the gateway's:
an editor that is told of it completes and explains fields. Rules across fields
are checked by config check alone.`,
	flags: func(*flag.FlagSet) func(*env, []string) error {
		return func(e *env, args []string) error {
			kind, err := kindArg("config schema", args)
			if err == nil {
				_, err = e.out.Write(config.Schema(kind))
			}
			return err
		}
	},
}

var configExplainCommand = command{
	name:  "config explain",
	args:  "[box|gateway] [FIELD]",
	short: "explain the fields of a document, with defaults",
	long: `
Prints every field of the box document, or of the gateway's: what it is for,
what it takes, its default. FIELD limits it to fields that start so:
"output.fec", "paths[].srt".`,
	flags: func(*flag.FlagSet) func(*env, []string) error {
		return func(e *env, args []string) error {
			kind, prefix := config.KindBox, ""
			if len(args) > 0 && (args[0] == string(config.KindBox) || args[0] == string(config.KindGateway)) {
				kind, args = config.Kind(args[0]), args[1:]
			}
			switch len(args) {
			case 0:
			case 1:
				prefix = args[0]
			default:
				return usagef("config explain takes one field, and there are %d", len(args))
			}
			found := false
			for _, d := range config.Fields(kind) {
				if !strings.HasPrefix(d.Path, prefix) {
					continue
				}
				found = true
				fact := d.Takes
				switch {
				case d.Required:
					fact += "; required"
				case d.Default != "":
					fact += "; default " + d.Default
				}
				const indent = "    "
				fmt.Fprintf(e.out, "%s\n%s%s\n%s%s\n", e.screen.paint(bold, d.Path), indent, wrap(d.Text, indent, e.screen.width-4),
					indent, e.screen.paint(dim, wrap("("+fact+")", indent, e.screen.width-4)))
			}
			if !found {
				return usagef("the %s document has no field %q; quartetctl config explain %s lists them", kind, prefix, kind)
			}
			return nil
		}
	},
}

var versionCommand = command{
	name:  "version",
	short: "print the version",
	long:  `Prints the version of this program.`,
	flags: func(*flag.FlagSet) func(*env, []string) error {
		return func(e *env, _ []string) error {
			fmt.Fprintln(e.out, "quartetctl", version)
			return nil
		}
	},
}
