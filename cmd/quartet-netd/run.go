package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"quartet/cmd/internal/logging"
	"quartet/device/config"
	"quartet/device/network"
	"quartet/device/notify"
)

// made is when this program was written: no clock is set to a time before.
var made = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func run(o options, stderr io.Writer) error {
	if err := shed(rights); err != nil {
		return err
	}
	log := logging.New(config.Default[config.Log](), stderr)
	gid, err := groupID(o.group)
	if err != nil {
		return err
	}
	store, err := network.OpenStore(o.settings)
	if err != nil {
		// The configuration partition is lost. The box must be reachable for that.
		log.Error("the settings have no place: every port is set to DHCP, and a change lasts until the next start of the box", "err", err)
		if store, err = network.OpenStore(filepath.Join(filepath.Dir(o.socket), "settings")); err != nil {
			return err
		}
	}
	boot, err := network.BootID()
	if err != nil {
		return err
	}
	told, err := notify.FromEnvironment()
	if err != nil {
		return err
	}
	serial := serialOf("/", o.serial)
	if serial == "" {
		log.Warn("this box has no serial number: it is called quartet", "looked", o.serial)
	}
	system := &network.Linux{Root: "/"}
	keeper := network.NewKeeper(network.KeeperConfig{
		Store: store, System: system, Hostname: network.DefaultHostname(serial), Boot: boot, Now: network.SinceBoot, Log: log,
	})
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return serve(ctx, keeper, network.ServerConfig{
		Socket: o.socket, Keeper: keeper, System: system, Allowed: network.InGroup(gid), Earliest: earliest(), Log: log,
	}, told, log)
}

// serve runs everything until ctx ends. networkd is started after READY: the
// first packet already goes by the settings.
func serve(ctx context.Context, keeper *network.Keeper, sc network.ServerConfig, told *notify.Notifier, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := keeper.Start(ctx); err != nil {
		// The page must be reachable to mend it: Run tries again.
		log.Error("the settings are not in force yet", "err", err)
	}
	server, err := network.Listen(sc)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	var keeperErr, serverErr error
	wg.Go(func() { keeperErr = keeper.Run(ctx); cancel() })
	wg.Go(func() { serverErr = server.Run(ctx); cancel() })
	wg.Go(func() { told.Feed(ctx, keeper.Turns) })
	told.Ready()
	<-ctx.Done()
	told.Stopping()
	wg.Wait()
	return errors.Join(keeperErr, serverErr)
}

// earliest is when the software was made, by the date of its own file.
func earliest() time.Time {
	if name, err := os.Executable(); err == nil {
		if st, err := os.Stat(name); err == nil && st.ModTime().After(made) {
			return st.ModTime()
		}
	}
	return made
}

// groupID takes a group by name or number.
func groupID(name string) (int, error) {
	if n, err := strconv.Atoi(name); err == nil && n >= 0 {
		return n, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("--group: %w; make it (sysusers.d/quartet.conf does), or name another", err)
	}
	return strconv.Atoi(g.Gid)
}
