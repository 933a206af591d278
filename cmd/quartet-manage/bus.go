package main

import (
	"context"
	"sync"

	"github.com/godbus/dbus/v5"

	"quartet/updater/rauc"
)

// raucBus is RAUC over the message bus, which need not be there at the start, and
// may come and go. It is updater.Installer.
type raucBus struct {
	address string // "": the system's

	mu     sync.Mutex // guards what follows
	client *rauc.Client
	conn   *dbus.Conn
}

// get is a client on a connection that stands.
func (b *raucBus) get() (*rauc.Client, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil && b.conn.Connected() {
		return b.client, nil
	}
	if b.conn != nil {
		_ = b.conn.Close()
		b.conn = nil
	}
	client, conn, err := rauc.Connect(b.address)
	if err != nil {
		return nil, err
	}
	b.client, b.conn = client, conn
	return client, nil
}

// Close ends the connection.
func (b *raucBus) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn == nil {
		return nil
	}
	err := b.conn.Close()
	b.conn = nil
	return err
}

// Inspect implements updater.Installer.
func (b *raucBus) Inspect(ctx context.Context, path string) (rauc.Bundle, error) {
	c, err := b.get()
	if err != nil {
		return rauc.Bundle{}, err
	}
	return c.Inspect(ctx, path)
}

// Install implements updater.Installer.
func (b *raucBus) Install(ctx context.Context, path, hash string, progress func(rauc.Progress)) error {
	c, err := b.get()
	if err != nil {
		return err
	}
	return c.Install(ctx, path, hash, progress)
}

// Status implements updater.Installer.
func (b *raucBus) Status(ctx context.Context) (rauc.Status, error) {
	c, err := b.get()
	if err != nil {
		return rauc.Status{}, err
	}
	return c.Status(ctx)
}

// Mark implements updater.Installer.
func (b *raucBus) Mark(ctx context.Context, m rauc.Mark, slot string) error {
	c, err := b.get()
	if err != nil {
		return err
	}
	return c.Mark(ctx, m, slot)
}
