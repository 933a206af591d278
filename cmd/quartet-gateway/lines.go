package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"

	"quartet/device/config"
)

// printLines writes, for each input that a box calls, the one line that is
// pasted into the box as the path's destination. The whole line holds
// passphrase and key: it goes to standard output only when that was asked for
// (what a service prints is usually kept somewhere), and to a file that only
// its owner can read.
func printLines(w io.Writer, doc *config.Gateway, a arguments) error {
	var whole bytes.Buffer
	for i := range doc.Contributions {
		c := &doc.Contributions[i]
		for k := range c.Inputs {
			in := &c.Inputs[k]
			if in.Mode != config.ModeListener || in.From != config.FromBox {
				continue
			}
			line, err := doc.PathLine(c, in, hostFor(doc, in, a.host))
			if err != nil {
				return err
			}
			_, _ = fmt.Fprintf(&whole, "%s/%s  %s\n", c.Name, in.Name, line)
			if !a.secrets {
				line = config.RedactURL(line)
			}
			_, _ = fmt.Fprintf(w, "paste into the box: %s/%s  %s\n", c.Name, in.Name, line)
		}
	}
	if whole.Len() > 0 && !a.secrets && a.linesFile == "" {
		_, _ = fmt.Fprintln(w, "(parameters hidden; --print-secrets prints them, --lines-file F writes them to F)")
	}
	if a.linesFile == "" {
		return nil
	}
	return writeSecret(a.linesFile, whole.Bytes())
}

// hostFor is where a box reaches the listener of in: as given, else the
// address it is bound to, else this machine's name.
func hostFor(doc *config.Gateway, in *config.GatewayInput, given string) string {
	if given != "" {
		return given
	}
	for _, l := range doc.Listeners {
		if l.Name != in.Listener {
			continue
		}
		host, _, _ := net.SplitHostPort(l.Address)
		if ip, err := netip.ParseAddr(host); err == nil && !ip.IsUnspecified() {
			return host
		}
	}
	if name, err := os.Hostname(); err == nil {
		return name
	}
	return "gateway.example.net"
}

// writeSecret replaces file by one with mode 0600.
func writeSecret(file string, b []byte) error {
	tmp := file + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("--lines-file: %w", err)
	}
	_, err = f.Write(b)
	if e := f.Chmod(0o600); err == nil {
		err = e
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp, file)
	}
	if err != nil {
		return fmt.Errorf("--lines-file: %w", err)
	}
	return nil
}
