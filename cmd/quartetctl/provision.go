package main

import (
	"errors"
	"flag"
	"fmt"

	"quartet/device/identity"
)

var provisionCommand = command{
	name:  "provision",
	short: "give a box its serial number and claim code, once",
	long: `
Writes the box's provision file, with a serial number and the hash of a random
claim code, and prints the text of the label. The code is shown here and nowhere
else: print the label now, and put it where whoever stands before the box can
read it. Whoever has it can claim a box that has no user, also after a factory
reset.

A box that is provisioned already is left alone, because the label on it would
be wrong then; --force gives it another code.`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		file := f.String("file", "/etc/quartet/provision.v1.json", "write this provision `FILE`")
		serial := f.String("serial", "", "serial `NUMBER`: 4 to 24 letters, digits and dashes (default: a random one)")
		product := f.String("product", "", "`NAME` of the product on the label and the page")
		force := f.Bool("force", false, "replace a provision file")
		return func(e *env, args []string) error {
			if len(args) > 0 {
				return usagef("provision takes no arguments, and there is %q", args[0])
			}
			p, code, err := identity.NewProvision(*serial, *product, e.now())
			if err != nil {
				return usagef("provision: %v", err)
			}
			switch err := p.Write(*file, *force); {
			case errors.Is(err, identity.ErrProvisioned):
				return fmt.Errorf("%w; its label holds as long as that file stays (--force replaces it)", err)
			case err != nil:
				return err
			}
			_, err = fmt.Fprint(e.out, p.Label(code))
			return err
		}
	},
}
