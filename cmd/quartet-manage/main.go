// Command quartet-manage is the box's management plane: page, REST interface,
// telemetry, identity, updates. The media plane (quartetd) does not depend on it: a
// document reaches quartetd as a file, and over its control socket it is only
// asked.
//
// Reading order: main.go (flags, log, signals), build.go (what there is and how
// it is put together), run.go (running it), and the adapters between the parts
// and the page: media.go (secrets, planner in build_plan.go), network.go,
// telemetry.go, identity.go, logs.go, machine.go, front.go and climate.go; and of the updater:
// build_update.go, image.go, probe.go, bus.go, clock.go, updates.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"quartet/cmd/internal/logging"
	"quartet/cmd/internal/secrets"
	"quartet/device/config"
	"quartet/device/network"
	"quartet/updater"
)

// Set by the linker.
var (
	version = "unknown"
	// securityContact is where to tell of a weakness (RFC 9116); who builds a
	// product sets an address of his own.
	securityContact = "mailto:security@quartet.example"
	// supportUntil is the last day of security updates of this line.
	supportUntil = "2031-12-31"
)

const usage = `quartet-manage serves the box's page and interface, and reports home.

Usage:
  quartet-manage run [options]   serve until SIGTERM
  quartet-manage openapi         print the description of the interface (OpenAPI 3.1)
  quartet-manage version         print the version

Options of run:
  --config-dir DIR   the box document (default /etc/quartet)
  --data DIR         users, settings, audit log, telemetry (default /var/lib/quartet)
  --key FILE         seals secrets; made if there is none (default ` + secrets.KeyFile + `)
  --provision FILE   serial number and claim code (default CONFIG-DIR/provision.v1.json)
  --control SOCKET   of quartetd (default: where the document says, else /run/quartet/control.sock)
  --netd SOCKET      of quartet-netd (default ` + network.Socket + `)
  --image DIR        what this image is, for the updater: image.json and root.json (default /usr/share/quartet)
  --update SOCKET    the updater's own, for quartetctl update (default ` + updater.DefaultSocket + `)
  --bus ADDRESS      of the message bus on which RAUC is (default: the system's)
  --listen ADDR      HTTPS (default :443)
  --http ADDR        redirects to it (default :80; "" for none)
  --page DIR         the page's files, in place of those built in (for work on the page)
  --log-level LEVEL  debug, info, warn or error (default info)
  --log-format WORD  text or json (default text)

Exit status: 0 ended as asked, 1 failed while running, 2 wrong usage.
`

// Exit statuses.
const (
	exitFailed = 1
	exitUsage  = 2

	exitAgain = -1 // not an exit status: the program is to start again in its own place
)

func main() {
	env := os.Environ() // with what the service manager wrote there, before it is taken out
	code := command(os.Args[1:], os.Stdout, os.Stderr)
	if code == exitAgain {
		code = again(os.Args, env)
	}
	os.Exit(code)
}

// again starts this program anew in the same process. It returns only if that
// fails.
func again(args, env []string) int {
	program, err := os.Executable()
	if err == nil {
		err = syscall.Exec(program, args, env)
	}
	fmt.Fprintln(os.Stderr, "quartet-manage: cannot start again:", err)
	return exitFailed
}

// options are the flags of run.
type options struct {
	configDir, data, key, provision, control, netd, listen, http, page string
	image, update, bus                                                 string
	log                                                                config.Log

	// For tests. nil: RAUC over the bus, and quartet-netd.
	installer updater.Installer
	reboot    func(ctx context.Context) error
	boot      string        // id of this start of the machine; "": the kernel's
	hold      time.Duration // of a trial, a third of its deadline; 0: the updater's own
}

func command(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	switch args[0] {
	case "-h", "--help", "help":
		fmt.Fprint(stdout, usage)
		return 0
	case "version", "--version":
		fmt.Fprintln(stdout, "quartet-manage", version)
		return 0
	case "openapi":
		return printOpenAPI(stdout)
	case "run":
	default:
		fmt.Fprintf(stderr, "quartet-manage: unknown command %q: use run, openapi or version (quartet-manage --help)\n", args[0])
		return exitUsage
	}
	var o options
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.configDir, "config-dir", "/etc/quartet", "")
	flags.StringVar(&o.data, "data", "/var/lib/quartet", "")
	flags.StringVar(&o.key, "key", secrets.KeyFile, "")
	flags.StringVar(&o.provision, "provision", "", "")
	flags.StringVar(&o.control, "control", "", "")
	flags.StringVar(&o.netd, "netd", network.Socket, "")
	flags.StringVar(&o.image, "image", "/usr/share/quartet", "")
	flags.StringVar(&o.update, "update", updater.DefaultSocket, "")
	flags.StringVar(&o.bus, "bus", "", "")
	flags.StringVar(&o.listen, "listen", ":443", "")
	flags.StringVar(&o.http, "http", ":80", "")
	flags.StringVar(&o.page, "page", "", "")
	flags.StringVar(&o.log.Level, "log-level", "info", "")
	flags.StringVar(&o.log.Format, "log-format", "text", "")
	switch err := flags.Parse(args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "quartet-manage run: %v (quartet-manage --help)\n", err)
		return exitUsage
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "quartet-manage run: unexpected argument %q (quartet-manage --help)\n", flags.Arg(0))
		return exitUsage
	case !strings.Contains(" debug info warn error ", " "+o.log.Level+" "):
		fmt.Fprintf(stderr, "quartet-manage run: --log-level is %q: write debug, info, warn or error\n", o.log.Level)
		return exitUsage
	case o.log.Format != "text" && o.log.Format != "json":
		fmt.Fprintf(stderr, "quartet-manage run: --log-format is %q: write text or json\n", o.log.Format)
		return exitUsage
	}
	lines := &lineRing{out: stderr}
	log := logging.New(o.log, lines)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	wiped, err := run(ctx, o, log, lines)
	switch {
	case err != nil:
		log.Error("quartet-manage ends", "err", err)
		return exitFailed
	case wiped:
		return exitAgain
	}
	log.Info("quartet-manage ends")
	return 0
}
