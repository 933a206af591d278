package main

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"

	"quartet/device/identity"
	"quartet/device/notify"
)

// memory is what the collector aims at: the unit allows more, and a page that
// collects early is better than one that is killed.
const memory = 48 << 20

// run is the whole life of the process. wiped: a factory reset has been done,
// and the process is to start afresh.
func run(ctx context.Context, o options, log *slog.Logger, lines *lineRing) (wiped bool, err error) {
	debug.SetMemoryLimit(memory)
	systemd, err := notify.FromEnvironment()
	if err != nil {
		return false, err
	}
	defer systemd.Close()
	p, err := build(o, log, lines)
	if err != nil {
		return false, err
	}
	defer p.media.Close()
	secure, plain, err := listen(ctx, o)
	if err != nil {
		return false, errors.Join(err, p.audit.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i, part := range []func(context.Context) error{
		func(ctx context.Context) error { return p.server.Run(ctx, secure, plain) },
		p.telemetry.Run, p.identity.Run, p.front.Run,
	} {
		wg.Go(func() {
			// The page is what one cannot do without; the others end with it.
			if errs[i] = part(ctx); i == 0 || errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Go(func() {
		select {
		case <-p.wiped:
			wiped = true
			cancel()
		case <-ctx.Done():
		}
	})
	wg.Go(func() { systemd.Feed(ctx, p.server.Turns) })
	systemd.Ready()
	log.Info("quartet-manage runs", "version", version, "serial", p.identity.Serial(), "page", secure.Addr().String(), "control", p.control)
	<-ctx.Done()
	systemd.Stopping()
	wg.Wait()
	err = errors.Join(append(errs, p.audit.Close())...)
	if wiped {
		// What parts wrote while they ended goes as well.
		err = errors.Join(err, identity.FactoryReset(p.reset))
	}
	return wiped, err
}
