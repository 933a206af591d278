package rauc

import (
	"context"
	"errors"
	"strings"

	"github.com/godbus/dbus/v5"
)

// Code says in one word what RAUC has against something.
type Code string

const (
	NoService   Code = "no-service"   // nobody answers on the bus
	Busy        Code = "busy"         // it does something else
	Signature   Code = "signature"    // altered, or signed by somebody else
	Compatible  Code = "compatible"   // for another system
	Version     Code = "version"      // older than the image allows
	OtherBundle Code = "other-bundle" // not the one that was asked for
	Format      Code = "format"       // no bundle, cut short, or a form not allowed
	Payload     Code = "payload"      // its content is damaged
	Space       Code = "space"        // does not fit
	Unsafe      Code = "unsafe"       // where it lies, others may write
	Rejected    Code = "rejected"     // by the bundle's own hook, or unsaid
	Boot        Code = "boot"         // the boot loader's variables cannot be read or written
	UnknownKey  Code = "unknown-key"  // too old for something that was asked
	Box         Code = "box"          // the box cannot open or read it: its disk, memory, rights
	Failed      Code = "failed"       // anything else
)

// Error is what RAUC says, in words for an operator.
type Error struct {
	Code   Code
	Text   string
	Remedy string
	Said   string // RAUC's own words
}

func (e *Error) Error() string {
	s := e.Text
	if e.Remedy != "" {
		s += "; " + e.Remedy
	}
	if e.Said != "" {
		s += " (RAUC: " + e.Said + ")"
	}
	return s
}

// Final tells whether the same bundle would be refused again, so that it need
// not be tried a second time.
func (e *Error) Final() bool {
	switch e.Code {
	case Signature, Compatible, Version, OtherBundle, Format, Rejected:
		return true
	case NoService, Busy, Payload, Space, Unsafe, Boot, UnknownKey, Box, Failed:
	}
	return false
}

// phrases are what RAUC says (1.8 to 1.15), in lower case, and what it means.
// The first that fits counts. RAUC says "Invalid bundle format: " before whatever
// keeps it from reading a bundle, also where that is the box's fault (check_bundle
// in its src/bundle.c). So the system's own words come before RAUC's: a good
// bundle must not be taken for a bad one.
var phrases = []struct {
	said, text, remedy string
	code               Code
}{
	{"already processing a different method", "RAUC is busy with something else", "it is tried again", Busy},
	{"unsupported key", "this RAUC is too old for something that was asked of it", "", UnknownKey},
	{"bundle rejected", "the bundle refuses to be installed on this box", "RAUC's words say why", Rejected},
	{"input/output error", "the bundle or the slot cannot be read or written", "check the disk", Payload},
	{"too many open files", "the box has too many files open", "it is tried again; if that does not help, restart the box", Box},
	{"cannot allocate", "the box is short of memory", "it is tried again; if that does not help, restart the box", Box},
	{"permission denied", "RAUC may not use a file or device", "its log says which (journalctl -u rauc)", Box},
	{"no space left", "the disk is full", "make room", Space},
	{"signature verification failed", "the bundle's signature is not one that this image trusts: it was altered, or signed with another key", "get it again, from the one who releases it", Signature},
	{"failed to parse signature", "the bundle's signature cannot be read: it was altered or cut short", "get it again", Signature},
	{"invalid bundle format: failed to", "the bundle cannot be opened or read", "check the disk", Box},
	{"signature size is 0", "the bundle's signature cannot be read: it was altered or cut short", "get it again", Format},
	{"signature size (", "the bundle's signature cannot be read: it was altered or cut short", "get it again", Format},
	{"compatible mismatch", "the bundle is for another kind of box", "use the one for this board", Compatible},
	{"version mismatch", "the bundle is older than this image allows", "use a newer one", Version},
	{"unexpected hash", "the bundle is not the one that the signed metadata names", "get it again", OtherBundle},
	{"refusing to install plain bundle", "the bundle is of the form 'plain', which is not allowed here", "make it with format=verity", Format},
	{"bundle format '", "the bundle's form is not allowed here", "make it with format=verity", Format},
	{"payload size", "the bundle was cut short or is no bundle", "get it again", Format},
	{"is too small", "the slot or the bundle is too small", "check the image's size against the slot", Space},
	{"does not fit", "the bundle's image does not fit into the slot", "check the image's size against the slot", Space},
	{"is larger than size-limit", "the bundle's image does not fit into the slot", "check the image's size against the slot", Space},
	{"bundle payload", "the bundle's content is damaged", "get it again", Payload},
	{"checksum", "the bundle's content is damaged", "get it again", Payload},
	{"verity", "the bundle's content is damaged", "get it again", Payload},
	{"mounting bundle", "the bundle cannot be mounted", "the kernel needs loop devices, squashfs and dm-verity", Failed},
	{"unsafe", "the bundle lies where others can write to it", "check the folder's owner and mode", Unsafe},
	{"exclusive bundle access", "another program has the bundle open", "it is tried again", Unsafe},
	{"failed to open", "a file or device cannot be opened", "RAUC's words say which", Box},
	{"identifier", "the file is no bundle", "check what was uploaded", Format},
	{"hook failed", "the bundle's own check has failed", "RAUC's words say why", Rejected},
	{"fw_setenv", "the boot loader's variables cannot be written", "check /etc/fw_env.config and the disk", Boot},
	{"fw_printenv", "the boot loader's variables cannot be read", "check /etc/fw_env.config and the disk", Boot},
	{"failed to activate slot", "the new slot cannot be made the next to boot", "check /etc/fw_env.config and the disk", Boot},
	{"failed marking", "the boot loader's variables cannot be written", "check /etc/fw_env.config and the disk", Boot},
	{"did not find booted slot", "RAUC does not know which slot runs", "check rauc.slot on the kernel's command line", Boot},
}

// Explain turns RAUC's words into an error.
func Explain(said string) *Error {
	said = strings.TrimSpace(said)
	low := strings.ToLower(said)
	for _, p := range phrases {
		if strings.Contains(low, p.said) {
			return &Error{Code: p.code, Text: p.text, Remedy: p.remedy, Said: said}
		}
	}
	if said == "" {
		return &Error{Code: Failed, Text: "RAUC has failed and does not say why", Remedy: "its log may (journalctl -u rauc)"}
	}
	return &Error{Code: Failed, Text: "RAUC has failed", Remedy: "its log may say more (journalctl -u rauc)", Said: said}
}

// fromBus turns an error of a call into an *Error; ctx's errors stay.
func fromBus(err error) error {
	var d dbus.Error
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case !errors.As(err, &d):
		return &Error{Code: NoService, Text: "RAUC cannot be reached over the message bus", Remedy: "are dbus and rauc running?", Said: err.Error()}
	}
	switch d.Name {
	case "org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner", "org.freedesktop.DBus.Error.NoReply",
		"org.freedesktop.DBus.Error.Disconnected", "org.freedesktop.DBus.Error.AccessDenied":
		return &Error{Code: NoService, Text: "RAUC does not answer on the message bus", Remedy: "is it running (systemctl status rauc)?", Said: d.Error()}
	case unknownMethod:
		return &Error{Code: UnknownKey, Text: "this RAUC is too old for something that was asked of it", Said: d.Name}
	}
	return Explain(d.Error())
}

const unknownMethod = "org.freedesktop.DBus.Error.UnknownMethod"

func missingMethod(err error) bool {
	e := (*Error)(nil)
	return errors.As(err, &e) && e.Said == unknownMethod
}

func isBusy(err error) bool {
	e := (*Error)(nil)
	return errors.As(err, &e) && e.Code == Busy
}

// hidden tells whether RAUC 1.8 has answered without a reason.
func hidden(err error) bool {
	e := (*Error)(nil)
	return errors.As(err, &e) && e.Code == Failed
}
