package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"
)

// The D-Bus names that are asked.
const (
	networkdName = "org.freedesktop.network1"
	networkdPath = "/org/freedesktop/network1"
	networkdMan  = "org.freedesktop.network1.Manager"
	timesyncName = "org.freedesktop.timesync1"
	timesyncPath = "/org/freedesktop/timesync1"
	timesyncMan  = "org.freedesktop.timesync1.Manager"
)

// systemBus is where systemd puts it. godbus would look in /var/run.
const systemBus = "unix:path=/run/dbus/system_bus_socket"

// errAway says that a service, or the bus itself, does not run.
var errAway = errors.New("does not run")

// call runs f with a connection to the bus if a service runs there. It is never
// started for this: at the start of the box networkd waits for quartet-netd,
// which must not wait for it.
func (l *Linux) call(ctx context.Context, service string, f func(*dbus.Conn) error) error {
	address := l.Bus
	if address == "" {
		address = systemBus
	}
	c, err := dbus.Connect(address, dbus.WithContext(ctx))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return errAway
	}
	if err != nil {
		return fmt.Errorf("D-Bus: %w", err)
	}
	defer c.Close()
	var runs bool
	if err := c.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.NameHasOwner", 0, service).Store(&runs); err != nil {
		return fmt.Errorf("D-Bus: %w", err)
	}
	if !runs {
		return errAway
	}
	return f(c)
}

// networkdReload has networkd read its files again; it sets up anew the
// interfaces whose file changed, and no other.
func (l *Linux) networkdReload(ctx context.Context) (running bool, err error) {
	err = l.call(ctx, networkdName, func(c *dbus.Conn) error {
		call := c.Object(networkdName, networkdPath).CallWithContext(ctx, networkdMan+".Reload", 0)
		if call.Err != nil {
			return fmt.Errorf("systemd-networkd does not reload: %w", call.Err)
		}
		return nil
	})
	if errors.Is(err, errAway) {
		return false, nil
	}
	return true, err
}

// maxDescribe bounds networkd's description of itself.
const maxDescribe = 4 << 20

// described is what is taken of networkd's description (Manager.Describe,
// systemd 250 and newer).
type described struct {
	Interfaces []describedLink
}

type describedLink struct {
	Index               int
	AdministrativeState string
	OperationalState    string
	DNS                 []describedAddress
	Addresses           []describedAddress
	Routes              []describedAddress
	DHCPv4Client        *struct {
		Lease *struct {
			LeaseTimestampUSec uint64 // CLOCK_BOOTTIME
			LifetimeUSec       uint64
		}
	}
}

type describedAddress struct {
	Address        []byteNumber
	Gateway        []byteNumber
	PrefixLength   int
	ConfigSource   string
	ConfigProvider []byteNumber
}

// byteNumber is a byte that JSON writes as a number.
type byteNumber uint8

func addrOf(b []byteNumber) (netip.Addr, bool) {
	raw := make([]byte, len(b))
	for i := range b {
		raw[i] = byte(b[i])
	}
	return netip.AddrFromSlice(raw)
}

// describe asks networkd what it knows; nil if it does not run.
func (l *Linux) describe(ctx context.Context) (*described, error) {
	var text string
	err := l.call(ctx, networkdName, func(c *dbus.Conn) error {
		return c.Object(networkdName, networkdPath).CallWithContext(ctx, networkdMan+".Describe", 0).Store(&text)
	})
	if errors.Is(err, errAway) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("systemd-networkd does not describe itself: %w", err)
	}
	return parseDescription([]byte(text))
}

// parseDescription reads networkd's JSON; what it does not know is left out.
func parseDescription(b []byte) (*described, error) {
	if len(b) > maxDescribe {
		return nil, fmt.Errorf("systemd-networkd's description has %d bytes", len(b))
	}
	d := &described{}
	if err := json.Unmarshal(b, d); err != nil {
		return nil, fmt.Errorf("systemd-networkd's description: %w", err)
	}
	return d, nil
}

// lease is what networkd says of a link's DHCPv4 lease, nil if there is none.
// now is the time since the machine started.
func (d *describedLink) lease(now time.Duration) *Lease {
	var l *Lease
	for i := range d.Addresses {
		if a, ok := addrOf(d.Addresses[i].Address); ok && a.Is4() && d.Addresses[i].ConfigSource == "DHCPv4" {
			l = &Lease{}
			if s, ok := addrOf(d.Addresses[i].ConfigProvider); ok {
				l.Server = s.String()
			}
		}
	}
	if l == nil {
		return nil
	}
	for i := range d.Routes {
		if gw, ok := addrOf(d.Routes[i].Gateway); ok && gw.Is4() && d.Routes[i].ConfigSource == "DHCPv4" {
			l.Router = gw.String()
		}
	}
	if c := d.DHCPv4Client; c != nil && c.Lease != nil && c.Lease.LifetimeUSec > 0 {
		end := time.Duration(c.Lease.LeaseTimestampUSec+c.Lease.LifetimeUSec) * time.Microsecond
		l.ExpireS = max(end-now, 0).Round(time.Second).Seconds()
	}
	return l
}

// timesync fills in which server keeps the clock. Without timesyncd, or with
// another program in its place, the kernel's word stands alone.
func (l *Linux) timesync(ctx context.Context, c *Clock) error {
	err := l.call(ctx, timesyncName, func(conn *dbus.Conn) error {
		o := conn.Object(timesyncName, timesyncPath)
		var props map[string]dbus.Variant
		if err := o.CallWithContext(ctx, "org.freedesktop.DBus.Properties.GetAll", 0, timesyncMan).Store(&props); err != nil {
			return err
		}
		c.fill(props)
		return nil
	})
	if errors.Is(err, errAway) {
		return nil
	}
	return err
}

// fill takes timesyncd's properties (org.freedesktop.timesync1(5)).
func (c *Clock) fill(props map[string]dbus.Variant) {
	if s, ok := props["ServerName"].Value().(string); ok {
		c.Server = s
	}
	if a, ok := props["ServerAddress"].Value().([]any); ok && len(a) == 2 { // (iay)
		if b, ok := a[1].([]byte); ok {
			if ip, ok := netip.AddrFromSlice(b); ok {
				c.Address = ip.Unmap().String()
			}
		}
	}
	if p, ok := props["PollIntervalUSec"].Value().(uint64); ok {
		c.PollS = (time.Duration(p) * time.Microsecond).Seconds()
	}
	// NTPMessage: leap, version, mode, stratum, …; zero before the first answer.
	if m, ok := props["NTPMessage"].Value().([]any); ok && len(m) > 3 {
		if s, ok := m[3].(uint32); ok {
			c.Stratum = int(s)
		}
	}
	c.Server = strings.TrimSuffix(c.Server, ".")
}
