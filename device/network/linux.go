package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Linux is the real System: systemd-networkd by files and D-Bus, the kernel by
// netlink.
type Linux struct {
	Root string // of the file system that files are written to; "/" on a box
	Bus  string // D-Bus address; empty: the system bus
	RTC  string // the board's clock; empty: /dev/rtc0
}

// Installed implements System.
func (l *Linux) Installed() (files []File, err error) {
	for _, p := range []string{hostnameFile, timezoneLink, timesyncFile, resolvedFile} {
		f, err := l.readFile(p)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	entries, err := os.ReadDir(filepath.Join(l.Root, networkdDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), filePrefix) || strings.HasSuffix(e.Name(), suffixNew) {
			continue
		}
		f, err := l.readFile(filepath.Join(networkdDir, e.Name()))
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files, nil
}

func (l *Linux) readFile(p string) (File, error) {
	full := filepath.Join(l.Root, p)
	if to, err := os.Readlink(full); err == nil {
		return File{Path: p, Link: to}, nil
	}
	b, err := os.ReadFile(full)
	return File{Path: p, Content: string(b)}, err
}

// Install implements System. A file that is as it should be is left alone, so
// that whoever watches it is not woken. Nothing is synced: /run is memory.
func (l *Linux) Install(files []File) error {
	have, err := l.Installed()
	if err != nil {
		return err
	}
	for _, f := range files {
		i := slices.IndexFunc(have, func(h File) bool { return h.Path == f.Path })
		if i >= 0 && have[i] == f {
			continue
		}
		if err := l.put(f); err != nil {
			return err
		}
	}
	for _, h := range have {
		if !slices.ContainsFunc(files, func(f File) bool { return f.Path == h.Path }) {
			if err := os.Remove(filepath.Join(l.Root, h.Path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// put writes one file or link beside its place and moves it there.
func (l *Linux) put(f File) error {
	full := filepath.Join(l.Root, f.Path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return err
	}
	// A dot in front keeps networkd, which takes every *.network, from reading
	// half of it.
	temporary := filepath.Join(filepath.Dir(full), "."+filepath.Base(full)+suffixNew)
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var err error
	if f.Link != "" {
		err = os.Symlink(f.Link, temporary)
	} else if err = os.WriteFile(temporary, []byte(f.Content), 0o644); err == nil {
		err = os.Chmod(temporary, 0o644) //nolint:gosec // whatever the umask, networkd reads it as a user of its own
	}
	if err != nil {
		return err
	}
	return os.Rename(temporary, full)
}

// Reload implements System.
func (l *Linux) Reload(ctx context.Context, vlans []string) error {
	if running, err := l.networkdReload(ctx); err != nil || !running {
		return err
	}
	// networkd makes VLANs and never removes one. Without it, none are ours.
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list the interfaces: %w", err)
	}
	for _, k := range links {
		if k.Type() != "vlan" || slices.Contains(vlans, k.Attrs().Name) {
			continue
		}
		if err := netlink.LinkDel(k); err != nil && !errors.Is(err, syscall.ENODEV) {
			return fmt.Errorf("remove the VLAN %s: %w", k.Attrs().Name, err)
		}
	}
	return nil
}

// Addresses implements System.
func (l *Linux) Addresses() (map[netip.Addr]string, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	names := map[int]string{}
	for _, k := range links {
		names[k.Attrs().Index] = k.Attrs().Name
	}
	list, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list the addresses: %w", err)
	}
	have := map[netip.Addr]string{}
	for i := range list {
		if p, ok := prefixOf(&list[i]); ok {
			have[p.Addr()] = names[list[i].LinkIndex]
		}
	}
	return have, nil
}

// prefixOf turns netlink's form of an address into ours.
func prefixOf(a *netlink.Addr) (netip.Prefix, bool) {
	ip, ok := netip.AddrFromSlice(a.IP)
	if !ok || a.IPNet == nil {
		return netip.Prefix{}, false
	}
	bits, _ := a.Mask.Size()
	return netip.PrefixFrom(ip.Unmap(), bits), true
}

// SetTime implements System. It needs CAP_SYS_TIME.
func (l *Linux) SetTime(t time.Time) error {
	ts := unix.NsecToTimespec(t.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	name := l.RTC
	if name == "" {
		name = "/dev/rtc0"
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a board without a clock of its own: the clock floor stands in
	}
	if err != nil {
		return fmt.Errorf("the clock is set, but not the board's own: %w", err)
	}
	defer f.Close()
	u := t.UTC()
	rtc := unix.RTCTime{Sec: int32(u.Second()), Min: int32(u.Minute()), Hour: int32(u.Hour()),
		Mday: int32(u.Day()), Mon: int32(u.Month()) - 1, Year: int32(u.Year()) - 1900}
	if err := unix.IoctlSetRTCTime(int(f.Fd()), &rtc); err != nil {
		return fmt.Errorf("the clock is set, but not the board's own: %w", err)
	}
	return nil
}

// sigReboot has PID 1 start reboot.target, which stops every service in order
// (systemd(1), "Signals": SIGRTMIN+5). The C library keeps the first two
// real-time signals, so its SIGRTMIN is 34.
const sigReboot = syscall.Signal(34 + 5)

// Reboot implements System. A process of root needs no capability for it.
func (l *Linux) Reboot() error {
	comm, err := os.ReadFile("/proc/1/comm")
	if err == nil && strings.TrimSpace(string(comm)) != "systemd" {
		return fmt.Errorf("reboot: process 1 is %q and not systemd, whose signal this is", strings.TrimSpace(string(comm)))
	}
	if err := syscall.Kill(1, sigReboot); err != nil {
		return fmt.Errorf("reboot: %w", err)
	}
	return nil
}

// BootID tells this start of the machine from others.
func BootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("which start of the machine this is: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// SinceBoot is the time since the machine started, which no setting of the
// wall clock moves and which passes while it sleeps, too.
func SinceBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err) // Linux before 2.6.39
	}
	return time.Duration(ts.Nano())
}
