package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"quartet/capture"
	"quartet/cmd/internal/boxplan"
	"quartet/device/config"
	"quartet/device/health"
	"quartet/uplink"
)

// box is the running media plane.
type box struct {
	// set at start, never changed
	opts   boxOptions
	input  *capture.Input
	sender *uplink.Sender
	watch  *watcher

	mu  sync.Mutex // guards what a reload changes
	doc *config.Box
	p   uplink.Plan
}

type boxOptions struct {
	file, data, socket string
	now                func() time.Duration
	start              time.Time
	log                *slog.Logger
}

// newBox assembles the chain; nothing runs yet.
func newBox(doc *config.Box, o boxOptions) (*box, error) {
	b := &box{opts: o, doc: doc}
	var err error
	if b.p, err = boxplan.Of(doc); err != nil {
		return nil, err
	}
	b.watch = newWatcher(b, health.New(health.Catalogue()))

	source, paced, err := buildSource(doc.Input, o.now, o.log)
	if err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	guard := guardConfig(doc.Input)
	guard.OnEvent = b.watch.inputEvent
	if b.input, err = capture.NewInput(capture.InputConfig{Source: source, Guard: guard, Now: o.now}); err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	key, accept, err := keysOf(doc.Output)
	if err != nil {
		return nil, err
	}
	paths, err := buildPaths(doc, b.p)
	if err != nil {
		return nil, err
	}
	sc := uplink.SenderConfig{
		Now: o.now, Plan: b.p, PacketsPerMessage: doc.Output.TSPacketsPerMessage,
		Key: key, AcceptKeys: accept, Paths: paths,
	}
	if !paced {
		sc.Pacer = pacerConfig(doc.Input, doc.Output)
	}
	if b.sender, err = uplink.NewSender(sc); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *box) plan() uplink.Plan {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.p
}

func (b *box) document() *config.Box {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.doc
}

// run runs everything until ctx ends and all of it has been joined.
func (b *box) run(ctx context.Context, hup <-chan os.Signal) error {
	server, err := b.listenControl()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var inputErr, controlErr error
	wg.Go(func() { controlErr = server.Run(ctx) })
	wg.Go(func() { b.watch.run(ctx) })
	wg.Go(func() {
		// A looped file never ends; one that does not loop ends the box, once
		// the paths have sent it.
		inputErr = b.input.Run(ctx, b.sender)
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
	b.sender.Run(ctx)
	wg.Wait()
	return errors.Join(inputErr, controlErr)
}

// reload reads the configuration again and changes only what it changes: FEC,
// keys and message size at the next packet or block, a path's far end or socket
// by a second connection beside the first. What cannot change while running is
// refused by name, and then nothing changes at all.
func (b *box) reload() (changed, warnings []string, err error) {
	var text strings.Builder
	doc, err := load(b.opts.file, &text)
	for line := range strings.Lines(text.String()) {
		warnings = append(warnings, strings.TrimSpace(line))
		b.opts.log.Warn(strings.TrimSpace(line))
	}
	if err != nil {
		return nil, warnings, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.doc
	if fixed := fixedChanges(old, doc); len(fixed) > 0 {
		return nil, warnings, fmt.Errorf("%s cannot change while running: restart quartetd", strings.Join(fixed, ", "))
	}
	plan, err := boxplan.Of(doc)
	if err != nil {
		return nil, warnings, err
	}
	key, accept, err := keysOf(doc.Output)
	if err != nil {
		return nil, warnings, err
	}
	// All that can fail comes before all that takes effect.
	redial := map[int]uplink.Dialer{}
	staggers := boxplan.Staggers(doc)
	for i := range doc.Paths {
		if reflect.DeepEqual(old.Paths[i], doc.Paths[i]) && plan.SRTLatency == b.p.SRTLatency && sameBuffers(old, doc) {
			continue
		}
		if doc.Paths[i].Mode == config.ModeListener && old.Paths[i].URL == doc.Paths[i].URL {
			return nil, warnings, fmt.Errorf("paths[%d] (%s): a listening path cannot change while running: restart quartetd", i, doc.Paths[i].Name)
		}
		pc, err := buildPath(doc, i, plan, staggers[i])
		if err != nil {
			return nil, warnings, fmt.Errorf("paths[%d] (%s): %w", i, doc.Paths[i].Name, err)
		}
		redial[i] = pc.Dialer
	}
	if err := b.sender.SetPlan(plan); err != nil {
		return nil, warnings, err
	}
	if err := b.sender.SetPacketsPerMessage(doc.Output.TSPacketsPerMessage); err != nil {
		return nil, warnings, err
	}
	b.sender.SetKey(key, accept)
	if old.Output.Key != doc.Output.Key {
		changed = append(changed, "contribution key")
	}
	if n := doc.Output.TSPacketsPerMessage; n != old.Output.TSPacketsPerMessage {
		changed = append(changed, fmt.Sprintf("%d TS packets per message", n))
	}
	for i, d := range redial {
		b.sender.Paths()[i].Replace(d)
		changed = append(changed, "path "+doc.Paths[i].Name+": a new connection takes the place of the old one")
	}
	if !reflect.DeepEqual(plan, b.p) {
		changed = append(changed, "plan: "+plan.String())
	}
	b.doc, b.p = doc, plan
	b.opts.log.Info("reloaded", "changed", changed)
	b.watch.note("configuration reloaded: " + cmp.Or(strings.Join(changed, "; "), "nothing changed"))
	return changed, warnings, nil
}

// fixedChanges names the fields that differ and need a restart.
func fixedChanges(old, doc *config.Box) (fields []string) {
	differ := func(name string, a, b any) {
		if !reflect.DeepEqual(a, b) {
			fields = append(fields, name)
		}
	}
	differ("name", old.Name, doc.Name)
	differ("input", old.Input, doc.Input)
	differ("control", old.Control, doc.Control)
	differ("log", old.Log, doc.Log)
	if len(old.Paths) != len(doc.Paths) {
		return append(fields, "the number of paths")
	}
	staggersBefore, staggers := boxplan.Staggers(old), boxplan.Staggers(doc)
	for i := range doc.Paths {
		a, b := old.Paths[i], doc.Paths[i]
		at := fmt.Sprintf("paths[%d].", i)
		differ(at+"name", a.Name, b.Name)
		differ(at+"leg", a.Leg, b.Leg)
		differ(at+"profile", a.Profile, b.Profile)
		differ(at+"mode", a.Mode, b.Mode)
		differ(at+"stagger_ms", staggersBefore[i], staggers[i])
		differ(at+"st2022_1", a.ST20221, b.ST20221)
		differ(at+"ts_packets_per_message", a.TSPacketsPerMessage, b.TSPacketsPerMessage)
	}
	return fields
}

// sameBuffers tells whether what socket buffers are sized by is unchanged.
func sameBuffers(a, b *config.Box) bool {
	return a.Output.MaxBitrateKbps == b.Output.MaxBitrateKbps && a.Output.RTTMS == b.Output.RTTMS && a.Output.LatencyMS == b.Output.LatencyMS
}
