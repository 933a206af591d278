package demo

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"quartet/device/identity"
)

// pagePort is taken if it is free, so that a bookmark holds.
const pagePort = 8443

// preparePage gives the box a serial number and a claim code, as the factory
// does. Each demo is a box that nobody has claimed yet.
func (d *demo) preparePage() error {
	for _, dir := range []string{"etc", "manage", "key"} {
		if err := os.RemoveAll(d.file(dir)); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(d.file("etc"), 0o700); err != nil {
		return err
	}
	p, code, err := identity.NewProvision("DEMO-0001", "Quartet demo", time.Now())
	if err != nil {
		return err
	}
	d.plan.claim = code
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", pagePort))
	if err != nil {
		if l, err = net.Listen("tcp4", "127.0.0.1:0"); err != nil {
			return err
		}
	}
	d.plan.page = l.Addr().(*net.TCPAddr).AddrPort()
	l.Close()
	return p.Write(d.file("etc/provision.v1.json"), true)
}

// startPage starts the management plane. It has no network helper here: this
// machine's network is not the demo's to change.
func (d *demo) startPage() error {
	var err error
	d.manage, err = startProcess("quartet-manage", d.file("quartet-manage.log"), d.opts.Bin+"/quartet-manage", "run",
		"--config-dir", d.file("etc"), "--data", d.file("manage"), "--key", d.keyFile(), "--control", d.plan.control,
		"--netd", d.file("no-netd.sock"), "--listen", d.plan.page.String(), "--http", "")
	return err
}

func (d *demo) keyFile() string { return d.file("key/seal.key") }

func (d *demo) pageURL() string {
	return "https://" + netip.AddrPortFrom(d.plan.page.Addr(), d.plan.page.Port()).String() + "/"
}
