package main

import (
	"errors"
	"flag"
	"fmt"
	"time"

	"quartet/board"
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

Where the board has an identity memory that the factory has written, the serial
number is the one in there; another one is refused. --memory writes it into a
memory that is blank, and with --force into any.

A box that is provisioned already is left alone, because the label on it would
be wrong then; --force gives it another code.`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		file := f.String("file", "/etc/quartet/provision.v1.json", "write this provision `FILE`")
		serial := f.String("serial", "", "serial `NUMBER`: 4 to 24 letters, digits and dashes (default: the one in the board's identity memory, else a random one)")
		product := f.String("product", "", "`NAME` of the product on the label and the page")
		memory := f.Bool("memory", false, "also write the serial number into the board's identity memory")
		force := f.Bool("force", false, "replace a provision file, and with --memory what the memory holds")
		return func(e *env, args []string) error {
			if len(args) > 0 {
				return usagef("provision takes no arguments, and there is %q", args[0])
			}
			b, err := e.board()              // with an error, too: it may be about a light
			defer func() { _ = b.Close() }() // it was only looked at, but for the memory
			switch {
			case b.Identity == nil && *memory && err != nil:
				return err
			case b.Identity == nil && *memory:
				return usagef("provision: --memory: a board of the model %s has no identity memory; leave it out", b.Model)
			}
			engraved, err := engravedSerial(e, b.Identity, *serial, *memory, *force)
			if err != nil {
				return err
			}
			p, code, err := identity.NewProvision(engraved, *product, e.now())
			if err != nil {
				return usagef("provision: %v", err)
			}
			switch err := p.Write(*file, *force); {
			case errors.Is(err, identity.ErrProvisioned):
				return fmt.Errorf("%w; its label holds as long as that file stays (--force replaces it)", err)
			case err != nil:
				return err
			}
			// The memory last: should that fail, it is blank still, and the same
			// command line with --force does the rest.
			if *memory {
				if err := engrave(e, b, p.Serial); err != nil {
					return fmt.Errorf("%s is written, the identity memory is not: %w", *file, err)
				}
			}
			_, err = fmt.Fprint(e.out, p.Label(code))
			return err
		}
	},
}

// engravedSerial is the serial number that the box is to have: the wanted one,
// which must be the identity memory's unless that is written anew, or else the
// memory's; "" if nobody has given it one.
func engravedSerial(e *env, m board.Memory, wanted string, write, force bool) (string, error) {
	if m == nil || write && force && wanted != "" {
		return wanted, nil
	}
	const remedy = "write it anew with --memory --force"
	content, err := m.Read()
	if err != nil {
		return "", err
	}
	id, err := board.ParseIdentity(content)
	switch {
	case errors.Is(err, board.ErrBlank), err != nil && write && force:
		return wanted, nil
	case err != nil && wanted != "" && !write:
		// Whoever names the number knows it; the memory may be another maker's.
		_, err = fmt.Fprintf(e.err, "quartetctl: %v; it is left as it is\n", err)
		return wanted, err
	case err != nil && write:
		return "", fmt.Errorf("%w; %s", err, remedy)
	case err != nil:
		return "", fmt.Errorf("%w; give --serial, or %s", err, remedy)
	case wanted != "" && wanted != id.Serial:
		return "", usagef("provision: --serial %q: the board's identity memory says %q; leave --serial out, or %s", wanted, id.Serial, remedy)
	}
	return id.Serial, nil
}

// engrave writes the identity memory, and reads it again. What else the factory
// had written there stays.
func engrave(e *env, b *board.Board, serial string) error {
	content, err := b.Identity.Read()
	if err != nil {
		return err
	}
	id, err := board.ParseIdentity(content)
	if err != nil {
		id = board.Identity{Made: e.now().UTC().Format(time.DateOnly)}
	}
	id.Model, id.Serial = b.Model, serial
	if content, err = board.AppendIdentity(nil, id); err != nil {
		return err
	}
	if err := b.Identity.Write(content); err != nil {
		return err
	}
	if content, err = b.Identity.Read(); err != nil {
		return err
	}
	if is, err := board.ParseIdentity(content); err != nil || is.Serial != serial {
		return errors.Join(errors.New("it does not say so after it was written: is its write protection on?"), err)
	}
	return nil
}
