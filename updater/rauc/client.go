package rauc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
)

// Names on the bus.
const (
	busName   = "de.pengutronix.rauc"
	iface     = "de.pengutronix.rauc.Installer"
	busPath   = dbus.ObjectPath("/")
	propsName = "org.freedesktop.DBus.Properties"
)

// Bundle is what RAUC says of a bundle whose signature it has checked.
type Bundle struct {
	Compatible   string // the system it is for
	Version      string
	Description  string
	Build        string
	Format       string // plain, verity, crypt; "" before RAUC 1.9
	ManifestHash string // SHA-256 in lower-case hexadecimal; "" before RAUC 1.10
}

// Progress is how far an installation is.
type Progress struct {
	Percent int
	Text    string // RAUC's own: "Copying image to rootfs.1"
}

// Slot is one slot of the system.
type Slot struct {
	Name       string // rootfs.0
	Class      string // rootfs
	BootName   string // A; "" if the boot loader does not choose it
	State      string // booted, active, inactive
	BootStatus string // good, bad; "" if RAUC cannot tell
	Version    string // of the bundle that is installed there, "" if unknown
}

// Status is the state of RAUC and of the slots. While RAUC installs, it
// answers no questions about slots: then Slots is nil and Primary "".
type Status struct {
	Compatible string
	BootSlot   string // boot name or device that the system was started from
	Primary    string // name of the slot to be started next
	Operation  string // idle, installing
	LastError  string
	Slots      []Slot
}

// Installing tells whether RAUC is at work.
func (s Status) Installing() bool { return s.Operation == "installing" }

// Booted returns the slot that runs.
func (s Status) Booted() (Slot, bool) {
	for _, sl := range s.Slots {
		if sl.State == "booted" {
			return sl, true
		}
	}
	return Slot{}, false
}

// Other returns the slot that an installation goes to: of the class of the one
// that runs, and chosen by the boot loader, too.
func (s Status) Other() (Slot, bool) {
	booted, ok := s.Booted()
	if !ok {
		return Slot{}, false
	}
	for _, sl := range s.Slots {
		if sl.Class == booted.Class && sl.BootName != "" && sl.Name != booted.Name {
			return sl, true
		}
	}
	return Slot{}, false
}

// Mark is what a slot can be marked as.
type Mark string

const (
	Good   Mark = "good"   // boot it as often as is usual
	Bad    Mark = "bad"    // do not boot it
	Active Mark = "active" // boot it next
)

// Names that Mark takes for slots beside their own.
const (
	Booted = "booted"
	Other  = "other"
)

// Client speaks with RAUC. It may be used by several goroutines.
type Client struct {
	conn *dbus.Conn
	obj  dbus.BusObject

	installing sync.Mutex // one at a time
}

// quick is how long RAUC may take for anything but an installation. Checking a
// large bundle's signature takes seconds on a slow disk.
const quick = 2 * time.Minute

// New returns a client on a connection, which stays the caller's.
func New(conn *dbus.Conn) *Client {
	return &Client{conn: conn, obj: conn.Object(busName, busPath)}
}

// Connect connects to a bus: an address, or "" for the system's. The
// connection is to be closed by the caller.
func Connect(address string) (*Client, *dbus.Conn, error) {
	var conn *dbus.Conn
	var err error
	if address == "" {
		conn, err = dbus.ConnectSystemBus()
	} else {
		conn, err = dbus.Connect(address)
	}
	if err != nil {
		return nil, nil, &Error{Code: NoService, Text: "the system's message bus cannot be reached", Remedy: "is dbus running?", Said: err.Error()}
	}
	return New(conn), conn, nil
}

// call calls a method. Its error is an *Error or ctx's.
func (c *Client) call(ctx context.Context, name string, args ...any) (*dbus.Call, error) {
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	call := c.obj.CallWithContext(ctx, iface+"."+name, 0, args...)
	return call, fromBus(call.Err)
}

// Inspect has RAUC check a bundle's signature and returns what it says of it.
func (c *Client) Inspect(ctx context.Context, path string) (Bundle, error) {
	call, err := c.call(ctx, "InspectBundle", path, map[string]dbus.Variant{})
	if missingMethod(err) { // RAUC 1.8
		var b Bundle
		if call, err = c.call(ctx, "Info", path); err == nil {
			err = call.Store(&b.Compatible, &b.Version)
		}
		if hidden(err) {
			err = &Error{Code: Rejected, Text: "RAUC refuses the bundle", Remedy: "RAUC's log says why (journalctl -u rauc); newer ones tell", Said: err.Error()}
		}
		return b, err
	}
	if err != nil {
		return Bundle{}, err
	}
	var info map[string]dbus.Variant
	if err := call.Store(&info); err != nil {
		return Bundle{}, fmt.Errorf("RAUC's answer to InspectBundle cannot be read: %w", err)
	}
	update, bundle := group(info["update"]), group(info["bundle"])
	return Bundle{
		Compatible: text(update["compatible"]), Version: text(update["version"]), Description: text(update["description"]), Build: text(update["build"]),
		Format: text(bundle["format"]), ManifestHash: text(info["manifest-hash"]),
	}, nil
}

// group takes a dictionary out of one or more variants around it.
func group(v dbus.Variant) map[string]dbus.Variant {
	for {
		switch x := v.Value().(type) {
		case dbus.Variant:
			v = x
		case map[string]dbus.Variant:
			return x
		default:
			return nil
		}
	}
}

func text(v dbus.Variant) string {
	for {
		switch x := v.Value().(type) {
		case dbus.Variant:
			v = x
		case string:
			return x
		default:
			return ""
		}
	}
}

// Status asks for the state of RAUC and its slots.
func (c *Client) Status(ctx context.Context) (Status, error) {
	s, err := c.properties(ctx)
	if err != nil || s.Installing() {
		return s, err
	}
	call, err := c.call(ctx, "GetSlotStatus")
	if err != nil {
		if isBusy(err) { // it has begun since
			s.Operation, err = "installing", nil
		}
		return s, err
	}
	var slots []struct {
		Name string
		Info map[string]dbus.Variant
	}
	if err := call.Store(&slots); err != nil {
		return s, fmt.Errorf("RAUC's answer to GetSlotStatus cannot be read: %w", err)
	}
	for _, sl := range slots {
		s.Slots = append(s.Slots, Slot{
			Name: sl.Name, Class: text(sl.Info["class"]), BootName: text(sl.Info["bootname"]),
			State: text(sl.Info["state"]), BootStatus: text(sl.Info["boot-status"]), Version: text(sl.Info["bundle.version"]),
		})
	}
	// A boot loader that has no bootable slot left has no primary: that is a
	// state to be told, not an error.
	if call, err = c.call(ctx, "GetPrimary"); err == nil {
		err = call.Store(&s.Primary)
	} else if e := (*Error)(nil); errors.As(err, &e) {
		err = nil
	}
	return s, err
}

func (c *Client) properties(ctx context.Context) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	var all map[string]dbus.Variant
	call := c.obj.CallWithContext(ctx, propsName+".GetAll", 0, iface)
	if err := fromBus(call.Err); err != nil {
		return Status{}, err
	}
	if err := call.Store(&all); err != nil {
		return Status{}, fmt.Errorf("RAUC's properties cannot be read: %w", err)
	}
	return Status{Compatible: text(all["Compatible"]), BootSlot: text(all["BootSlot"]), Operation: text(all["Operation"]), LastError: text(all["LastError"])}, nil
}

// Mark marks a slot: its name, Booted or Other.
func (c *Client) Mark(ctx context.Context, m Mark, slot string) error {
	_, err := c.call(ctx, "Mark", string(m), slot)
	return err
}

// Install writes a bundle to the other slot and returns when RAUC is done.
// With manifestHash, RAUC takes no bundle with another manifest, where it is
// able to check that. progress is called from this goroutine; nil: nobody is
// told. When ctx ends, RAUC goes on: ask Status.
func (c *Client) Install(ctx context.Context, path, manifestHash string, progress func(Progress)) error {
	c.installing.Lock()
	defer c.installing.Unlock()
	signals := make(chan *dbus.Signal, 64)
	c.conn.Signal(signals)
	defer drop(c.conn, signals)
	matches := [][]dbus.MatchOption{
		{dbus.WithMatchInterface(iface), dbus.WithMatchMember("Completed"), dbus.WithMatchObjectPath(busPath)},
		{dbus.WithMatchInterface(propsName), dbus.WithMatchMember("PropertiesChanged"), dbus.WithMatchObjectPath(busPath)},
		{dbus.WithMatchInterface("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, busName)},
	}
	for _, m := range matches {
		if err := c.conn.AddMatchSignalContext(ctx, m...); err != nil {
			return fromBus(err)
		}
		// The connection may have been closed meanwhile.
		defer func() { _ = c.conn.RemoveMatchSignal(m...) }()
	}
	args := map[string]dbus.Variant{}
	if manifestHash != "" {
		args["require-manifest-hash"] = dbus.MakeVariant(manifestHash)
	}
	_, err := c.call(ctx, "InstallBundle", path, args)
	if e := (*Error)(nil); errors.As(err, &e) && e.Code == UnknownKey {
		_, err = c.call(ctx, "InstallBundle", path, map[string]dbus.Variant{})
	}
	if err != nil {
		return err
	}
	// Signals may come faster than progress is told, and the bus library drops
	// them then: so ask now and then.
	poll := time.NewTicker(2 * time.Second)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s, ok := <-signals:
			if !ok {
				return &Error{Code: NoService, Text: "the message bus has closed the connection while RAUC installed", Remedy: "is dbus running?"}
			}
			if done, err := c.signal(ctx, s, progress); done {
				return err
			}
		case <-poll.C:
			s, err := c.properties(ctx)
			if err != nil {
				return err
			}
			if !s.Installing() {
				return outcome(s.LastError, s.LastError == "")
			}
		}
	}
}

// signal looks at one signal and tells whether the installation is over.
func (c *Client) signal(ctx context.Context, s *dbus.Signal, progress func(Progress)) (bool, error) {
	switch s.Name {
	case iface + ".Completed":
		var result int32
		if dbus.Store(s.Body, &result) != nil {
			return false, nil
		}
		if result == 0 {
			return true, nil
		}
		st, err := c.properties(ctx)
		if err != nil {
			return true, err
		}
		return true, outcome(st.LastError, false)
	case propsName + ".PropertiesChanged":
		var name string
		var changed map[string]dbus.Variant
		var gone []string
		if dbus.Store(s.Body, &name, &changed, &gone) != nil || name != iface {
			return false, nil
		}
		var p struct {
			Percent int32
			Text    string
			Depth   int32
		}
		if v, ok := changed["Progress"]; ok && v.Store(&p) == nil && progress != nil {
			progress(Progress{Percent: int(p.Percent), Text: p.Text})
		}
	case "org.freedesktop.DBus.NameOwnerChanged":
		var name, before, after string
		if dbus.Store(s.Body, &name, &before, &after) == nil && name == busName && after == "" {
			return true, &Error{Code: NoService, Text: "RAUC has ended while it installed", Remedy: "the slot is not to be used; install again"}
		}
	}
	return false, nil
}

func outcome(said string, good bool) error {
	if good {
		return nil
	}
	return Explain(said)
}

// drop takes a channel off the connection, and empties it so that nobody
// blocks on it meanwhile.
func drop(conn *dbus.Conn, signals chan *dbus.Signal) {
	conn.RemoveSignal(signals)
	for {
		select {
		case _, ok := <-signals:
			if !ok {
				return
			}
		default:
			return
		}
	}
}
