package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"quartet/device/config"
	"quartet/device/network"
)

// hostnameFile is where the daemon writes the name down.
const hostnameFile = "run/quartet-netd/hostname"

// setHostname gives the machine its name. It is a process of its own because it
// needs CAP_SYS_ADMIN, with which the daemon could do anything.
func setHostname(root string, set func(string) error) error {
	b, err := os.ReadFile(filepath.Join(root, hostnameFile))
	if err != nil {
		return err
	}
	name := strings.TrimSpace(string(b))
	if s := network.Default(); name != "" {
		s.Hostname = name
		if _, err := s.Validate(); err != nil {
			return err
		}
		return set(name)
	}
	return fmt.Errorf("%s is empty", hostnameFile)
}

func setSystemHostname(name string) error {
	if err := syscall.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	return nil
}

// firewall loads the ruleset with the ports that the box document opens; there is
// no document so bad that a box starts without a ruleset. load hands one to nft, or
// asks whether one of ours is there.
func firewall(o options, stdout, stderr io.Writer, load func(ctx context.Context, rules string, args ...string) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	media, err := mediaPorts(o.config)
	if err != nil {
		// quartetd goes on with what it read before, and so do its ports.
		if !o.print && load(ctx, "", "list", "table", "inet", "quartet") == nil {
			return fmt.Errorf("%w; the ports stay as they are", err)
		}
		// A quartetd that starts takes the document before.
		before, e := mediaPorts(o.config + ".previous")
		if media = before; e == nil && before != nil {
			fmt.Fprintf(stderr, "quartet-netd firewall: %v; the ports are those of %s.previous\n", err, o.config)
		} else {
			fmt.Fprintf(stderr, "quartet-netd firewall: %v; no port is opened for the media\n", errors.Join(err, e))
		}
	}
	rules := network.Firewall(media)
	if o.print {
		_, err := io.WriteString(stdout, rules)
		return err
	}
	if err := load(ctx, rules, "-f", "-"); err != nil {
		return fmt.Errorf("load the firewall: %w", err)
	}
	return nil
}

// mediaPorts are those that a box document opens; none if there is no such file,
// as on a box that nobody has set up.
func mediaPorts(file string) ([]network.Port, error) {
	doc, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err // names the file
	}
	box, _, err := config.OpenBox(doc, config.StandIn) // ports are no secret, and this process has no key
	if err != nil {
		return nil, fmt.Errorf("%s is wrong: %w", file, err)
	}
	return network.MediaPorts(box), nil
}

// nft runs the program of that name.
func nft(ctx context.Context, rules string, args ...string) error {
	cmd := exec.CommandContext(ctx, "nft", args...)
	cmd.Stdin = strings.NewReader(rules)
	var out bytes.Buffer
	cmd.Stderr = &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, strings.TrimSpace(out.String()))
	}
	return nil
}
