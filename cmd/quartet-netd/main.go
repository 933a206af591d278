// Command quartet-netd is the box's helper for what needs root: the network,
// the clock and the reboot. It does nothing else, keeps few rights
// (docs/network.md lists them), and answers quartet-manage over a Unix socket.
//
// Reading order: main.go (flags, signals), run.go (the daemon), oneshot.go (the
// two short jobs that have rights which the daemon has not), rights_linux.go
// (what it gives up), serial.go (what the box is called).
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"quartet/device/network"
)

var version = "unknown" // set by the linker

const usage = `quartet-netd sets the box's network and clock, and reboots it, when quartet-manage asks.

Usage:
  quartet-netd run [--settings DIR] [--socket FILE] [--group NAME] [--serial FILE]
                                  serve until SIGTERM; a change that nobody confirms
                                  within 120 s is taken back
  quartet-netd check FILE         say what is wrong with settings; FILE - is standard input
  quartet-netd render FILE        print the files that settings make
  quartet-netd hostname           set the host name that the daemon wrote down
  quartet-netd firewall [--config FILE] [--print]
                                  load the firewall with the ports of a box document
  quartet-netd version            print the version

Exit status: 0 ended as asked, 1 failed while running, 2 wrong usage or settings.
`

// Exit statuses.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(command(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// options are the flags of all commands.
type options struct {
	settings, socket, group, serial, config string
	print                                   bool
}

func command(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	var o options
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	most := 0
	switch args[0] {
	case "-h", "--help", "help":
		fmt.Fprint(stdout, usage)
		return 0
	case "version", "--version":
		fmt.Fprintln(stdout, "quartet-netd", version)
		return 0
	case "run":
		flags.StringVar(&o.settings, "settings", "/etc/quartet/network", "")
		flags.StringVar(&o.socket, "socket", network.Socket, "")
		flags.StringVar(&o.group, "group", "quartet-netd", "")
		flags.StringVar(&o.serial, "serial", "/etc/quartet/provision.v1.json", "")
	case "check", "render":
		most = 1
	case "firewall":
		flags.StringVar(&o.config, "config", "/etc/quartet/box.v1.json", "")
		flags.BoolVar(&o.print, "print", false, "")
	case "hostname":
	default:
		fmt.Fprintf(stderr, "quartet-netd: unknown command %q (quartet-netd --help)\n", args[0])
		return exitUsage
	}
	switch err := flags.Parse(args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "quartet-netd %s: %v (quartet-netd --help)\n", args[0], err)
		return exitUsage
	case flags.NArg() > most:
		fmt.Fprintf(stderr, "quartet-netd %s: unexpected argument %q (quartet-netd --help)\n", args[0], flags.Arg(most))
		return exitUsage
	case flags.NArg() < most:
		fmt.Fprintf(stderr, "quartet-netd %s: give the file of the settings (quartet-netd --help)\n", args[0])
		return exitUsage
	}
	var err error
	switch args[0] {
	case "run":
		err = run(o, stderr)
	case "hostname":
		err = setHostname("/", setSystemHostname)
	case "firewall":
		err = firewall(o, stdout, stderr, nft)
	default:
		return inspect(args[0], flags.Arg(0), stdin, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintf(stderr, "quartet-netd %s: %v\n", args[0], err)
		return exitFailed
	}
	return 0
}

// maxSettings bounds what check and render read.
const maxSettings = 1 << 20

// inspect is check and render: settings without a system.
func inspect(what, file string, stdin io.Reader, stdout, stderr io.Writer) int {
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			fmt.Fprintf(stderr, "quartet-netd %s: %v\n", what, err)
			return exitUsage
		}
		defer f.Close()
		in = f
	}
	doc, err := io.ReadAll(io.LimitReader(in, maxSettings+1))
	if err != nil {
		fmt.Fprintf(stderr, "quartet-netd %s: %v\n", what, err)
		return exitUsage
	}
	s, warnings, err := network.Parse(doc)
	for _, w := range warnings {
		fmt.Fprintf(stderr, "%s: warning: %v\n", file, w)
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", file, err)
		return exitUsage
	}
	if what == "check" {
		fmt.Fprintln(stdout, "ok")
		return 0
	}
	for _, f := range network.Render(s, network.DefaultHostname("")) {
		if f.Link != "" {
			fmt.Fprintf(stdout, "==> /%s -> %s\n\n", f.Path, f.Link)
			continue
		}
		fmt.Fprintf(stdout, "==> /%s\n%s\n", f.Path, f.Content)
	}
	return 0
}
