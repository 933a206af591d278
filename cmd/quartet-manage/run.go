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

// memory is what the collector aims at: what is alive and the 19 MiB of one
// password being compared, not of two. So the process stays below 64 MB, its
// program's own pages included.
const memory = 36 << 20

// run is the whole life of the process. wiped: a factory reset has been done,
// and the process is to start afresh.
func run(ctx context.Context, o options, log *slog.Logger, lines *lineRing) (wiped bool, err error) {
	debug.SetMemoryLimit(memory)
	debug.SetGCPercent(50)
	systemd, err := notify.FromEnvironment()
	if err != nil {
		return false, err
	}
	defer systemd.Close()
	p, err := build(o, log, lines)
	if err != nil {
		return false, err
	}
	secure, plain, err := listen(ctx, o)
	if err != nil {
		return false, errors.Join(err, p.close())
	}
	p.page = newOwnPage(secure.Addr(), p.identity.PageCertificate)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, 7)
	for i, part := range []func(context.Context) error{
		func(ctx context.Context) error { return p.server.Run(ctx, secure, plain) },
		p.telemetry.Run, p.identity.Run, p.front.Run, p.updates.Run, p.speak, p.network.Run,
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
	err = errors.Join(append(errs, p.close())...)
	if wiped {
		// What parts wrote while they ended goes as well.
		err = errors.Join(err, identity.FactoryReset(p.reset))
	}
	return wiped, err
}

// speak serves the updater's socket, if there is one.
func (p *plane) speak(ctx context.Context) error {
	if p.speaks == nil {
		return nil
	}
	return p.speaks.Run(ctx)
}
