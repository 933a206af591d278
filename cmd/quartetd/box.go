package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"quartet/capture"
	"quartet/capture/engine"
	"quartet/capture/mpegts"
	"quartet/device/config"
	"quartet/device/control"
	"quartet/device/health"
	"quartet/device/notify"
	"quartet/uplink"
)

// box is the running media plane.
type box struct {
	// set at start, never changed
	opts  boxOptions
	chain chain
	watch *watcher

	reloading sync.Mutex // one reload at a time

	mu  sync.Mutex // guards what a reload changes
	doc *config.Box
	set parts
}

type boxOptions struct {
	file, socket string
	key          string // file of the key that opens sealed secrets
	data         string // folder for what the parts keep
	now          func() time.Duration
	start        time.Time
	log          *slog.Logger
	told         *notify.Notifier // of the service manager; nil: there is none
	again        func()           // ends the box, for the program to start again
}

// chain is the parts a packet passes.
type chain struct {
	source  capture.Source
	feed    capture.Source  // the source itself, or what it transcodes
	watcher *engine.Watcher // nil: nobody looks at a passed-through feed
	in, out *tap            // nil: monitoring is switched off, and counter counts
	adapter *adapter        // nil: the rate stays
	input   *capture.Input
	counter *counter
	entry   mpegts.Writer // what the input writes to
	sender  *uplink.Sender
	dialers []uplink.PathConfig // as they were at the start
}

// newBox assembles the chain; nothing runs yet, but listening paths have their
// ports.
func newBox(doc *config.Box, set parts, o boxOptions) (*box, error) {
	b := &box{opts: o, doc: doc, set: set}
	b.watch = newWatcher(b, health.New(health.Catalogue()))
	b.watch.log = b.opts.log
	var err error
	b.chain, err = newChain(set, o.now, o.log, o.data, b.watch.inputEvent)
	return b, err
}

// close releases what newBox took, of a box that does not run.
func (b *box) close() { closeDialers(b.chain.dialers) }

// current gives the document in force and the settings it made.
func (b *box) current() (*config.Box, parts) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.doc, b.set
}

// serve runs everything until ctx ends and all of it has been joined. The
// control socket is open already.
func (b *box) serve(ctx context.Context, server *control.Server, hup <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var inputErr, controlErr error
	wg.Go(func() { controlErr = server.Run(ctx) })
	wg.Go(func() { b.watch.run(ctx) })
	if w := b.chain.watcher; w != nil {
		wg.Go(func() { _ = w.Run(ctx) }) // nil: the end of ctx
	}
	if a := b.chain.adapter; a != nil {
		wg.Go(func() { a.run(ctx, b.opts.now, b.watch.note) })
	}
	wg.Go(func() {
		// A looped file never ends; one that does not loop ends the box, once
		// the paths have sent it.
		inputErr = b.chain.input.Run(ctx, b.chain.entry)
		cancel()
	})
	wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hup:
				if _, err := b.Reload(ctx); err != nil {
					b.opts.log.Error("reload refused, the configuration before goes on", "err", err)
				}
			}
		}
	})
	// Not the input, nor the paths: without a feed, and with every far end gone,
	// the loop turns, and starting anew would mend nothing.
	wg.Go(func() { b.opts.told.Feed(ctx, b.chain.sender.Ticks) })
	b.opts.told.Ready()
	err := b.chain.sender.Run(ctx)
	cancel()
	wg.Wait()
	return errors.Join(inputErr, controlErr, err)
}

// Reload implements control.Media. What cannot change while running is refused
// by name, and then nothing changes at all.
func (b *box) Reload(context.Context) (control.Reload, error) {
	b.reloading.Lock()
	defer b.reloading.Unlock()
	var r control.Reload
	next, warnings, err := load(b.opts.file, b.opts.key)
	for _, w := range warnings {
		r.Warnings = append(r.Warnings, w.String())
		b.opts.log.Warn("configuration", "file", b.opts.file, "warning", w.String())
	}
	if err == nil {
		r.Changed, err = b.apply(next)
	}
	b.watch.reloaded(r.Changed, err)
	if err == nil {
		b.opts.log.Info("reloaded", "changed", r.Changed)
	}
	return r, err
}

// Restart implements control.Media. A configuration that is gone is no error: it
// has been reset, and what was sent by it must end.
func (b *box) Restart(context.Context) error {
	b.reloading.Lock()
	defer b.reloading.Unlock()
	if _, _, err := load(b.opts.file, b.opts.key); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	b.opts.log.Info("starting again, as asked over the control socket")
	b.opts.again()
	return nil
}

// Preflight implements control.Media.
func (b *box) Preflight(ctx context.Context, name string) (control.Preflight, error) {
	_, set := b.current()
	for i := range set.paths {
		p := &set.paths[i]
		if p.Name != name {
			continue
		}
		if p.kind == listens {
			return control.Preflight{}, fmt.Errorf("path %s listens: a preflight can only call; start it at the far end", name)
		}
		pc := p.PathConfig
		var err error
		if pc.Dialer, err = p.dialer(); err != nil {
			return control.Preflight{}, err
		}
		defer pc.Dialer.Close()
		r := b.chain.sender.Preflight(ctx, i, pc, set.key, set.accept)
		out := control.Preflight{Path: name, OK: r.OK, LargestBytes: r.Largest, TSPacketsPerMessage: r.PacketsPerMessage}
		for _, s := range r.Steps {
			out.Steps = append(out.Steps, control.Step{Name: s.Name, OK: s.OK, Text: s.Text, Remedy: s.Remedy})
		}
		return out, nil
	}
	return control.Preflight{}, control.ErrNoPath
}
