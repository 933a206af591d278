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

// firewall loads the ruleset with the ports that the box document opens. load
// hands a ruleset to nft, or asks whether one of ours is there.
func firewall(o options, stdout, stderr io.Writer, load func(ctx context.Context, rules string, args ...string) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var media []network.Port
	doc, err := os.ReadFile(o.config)
	switch {
	case errors.Is(err, fs.ErrNotExist): // a box that nobody has set up
	case err != nil:
		return err
	default:
		box, _, err := config.OpenBox(doc, config.StandIn) // ports are no secret, and this process has no key
		if err != nil {
			// quartetd goes on with what it read before, and so do its ports.
			if !o.print && load(ctx, "", "list", "table", "inet", "quartet") == nil {
				return fmt.Errorf("%s is wrong, the ports stay as they are: %w", o.config, err)
			}
			fmt.Fprintf(stderr, "quartet-netd firewall: %s is wrong, no port is opened for the media: %v\n", o.config, err)
			break
		}
		media = network.MediaPorts(box)
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
