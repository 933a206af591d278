package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"quartet/device/identity"
	"quartet/device/network"
	"quartet/device/web"
)

// netd is web.Network.
type netd struct {
	// set at start, never changed
	client   *network.Client
	set      func(at time.Time) error // the clock has been set
	data     string                   // the folder in which a reset that is due is marked
	settings string                   // the helper's folder; without it there is no helper
	log      *slog.Logger

	mu   sync.Mutex // guards what follows
	last map[string]reading
}

// reading is what an interface had counted, for its rates.
type reading struct {
	at             time.Time
	rx, tx         uint64
	rxRate, txRate int64
}

// explain gives an error of the helper the page's words.
func explain(err error) error {
	var e *network.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, network.ErrUnreachable):
		return fmt.Errorf("%w: %w", web.ErrUnavailable, err)
	case errors.As(err, &e) && len(e.Issues) > 0:
		return e.Issues
	case errors.As(err, &e) && e.Code == network.CodeFailed:
		return fmt.Errorf("%w: %s", web.ErrUnavailable, e.Text)
	case errors.As(err, &e):
		return fmt.Errorf("%w: %s", web.ErrConflict, e.Text)
	}
	return err
}

func (n *netd) Settings(ctx context.Context) (s web.NetworkSettings, err error) {
	cur, err := n.client.Get(ctx)
	if err != nil {
		return s, explain(err)
	}
	b, err := json.Marshal(cur.Settings)
	if err == nil {
		err = json.Unmarshal(b, &s) // the same fields: TestNetworkSettings
	}
	return s, err
}

func (n *netd) State(ctx context.Context) (s web.NetworkState, err error) {
	st, err := n.client.State(ctx)
	if err != nil {
		return s, explain(err)
	}
	s.Error, s.Synchronised, s.TimeServer = st.Problem, st.Clock.Synchronised, st.Clock.Server
	if identity.NetworkResetDue(n.data) {
		s.Error = strings.TrimPrefix(s.Error+"; "+resetDue, "; ")
	}
	now := time.Now()
	n.mu.Lock()
	for _, l := range st.Links {
		v := web.Link{Name: l.Name, MAC: l.MAC, Kind: l.Kind, Up: l.Up, Carrier: l.Carrier, SpeedMbps: l.SpeedMbps, MTU: l.MTU,
			DNS: l.DNS, RxErrors: l.RxErrors + l.RxDropped, TxErrors: l.TxErrors + l.TxDropped}
		for _, a := range l.Addresses {
			v.Addresses = append(v.Addresses, a.Prefix.String())
		}
		for _, w := range st.Routes {
			if w.Link == l.Name && w.To == "default" && w.Via != "" {
				v.Gateways = append(v.Gateways, w.Via)
			}
		}
		was, ok := n.last[l.Name]
		if d := now.Sub(was.at); !ok || d >= 900*time.Millisecond {
			next := reading{at: now, rx: l.RxBytes, tx: l.TxBytes}
			if ok && l.RxBytes >= was.rx && l.TxBytes >= was.tx {
				next.rxRate = int64(float64(l.RxBytes-was.rx) * 8 / d.Seconds())
				next.txRate = int64(float64(l.TxBytes-was.tx) * 8 / d.Seconds())
			}
			was = next
			n.last[l.Name] = next
		}
		v.RxBPS, v.TxBPS = was.rxRate, was.txRate
		s.Links = append(s.Links, v)
	}
	n.mu.Unlock()
	cur, err := n.client.Get(ctx)
	if err != nil {
		return s, explain(err)
	}
	if p := cur.Pending; p != nil {
		s.Pending = &web.NetworkPending{Deadline: p.Deadline, Remaining: p.Remaining, Changed: p.Changed, Addresses: p.Addresses, Moved: p.Moved}
	}
	return s, nil
}

func (n *netd) Apply(ctx context.Context, s web.NetworkSettings, local netip.Addr) (t web.NetworkTrial, err error) {
	doc, err := json.Marshal(s)
	if err != nil {
		return t, err
	}
	// Its fields' rules here: the answer names fields even if the helper is away.
	_, warnings, err := network.Parse(sparse(doc))
	if err != nil {
		return t, err
	}
	if identity.NetworkResetDue(n.data) { // it would take these settings as well
		return t, fmt.Errorf("%w: %s", web.ErrUnavailable, resetDue)
	}
	p, err := n.client.Apply(ctx, sparse(doc), "", local)
	if err != nil {
		return t, explain(err)
	}
	t.Warnings = warnings
	if p == nil { // nothing changes
		t.Deadline = time.Now()
		return t, nil
	}
	t.Token, t.Deadline, t.Remaining, t.Changed, t.Addresses, t.Moved = p.Token, p.Deadline, p.Remaining, p.Changed, p.Addresses, p.Moved
	return t, nil
}

// sparse leaves out fields that are empty: to the strict reader an empty text is
// something other than an absent one.
func sparse(doc []byte) []byte {
	var v any
	if json.Unmarshal(doc, &v) != nil {
		return doc
	}
	b, err := json.Marshal(withoutEmpty(v))
	if err != nil {
		return doc
	}
	return b
}

func withoutEmpty(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, e := range v {
			if e == nil || e == "" {
				delete(v, name)
				continue
			}
			v[name] = withoutEmpty(e)
		}
	case []any:
		for i := range v {
			v[i] = withoutEmpty(v[i])
		}
	}
	return v
}

func (n *netd) Confirm(ctx context.Context, token string, local netip.Addr) error {
	return explain(n.client.Confirm(ctx, token, local))
}

func (n *netd) Revert(ctx context.Context) error { return explain(n.client.Revert(ctx)) }

func (n *netd) Reboot(ctx context.Context) error { return explain(n.client.Reboot(ctx)) }

// SetTime sets the clock, which counts as right from then on.
func (n *netd) SetTime(ctx context.Context, t time.Time, force bool) error {
	if err := n.client.SetTime(ctx, t, force); err != nil {
		return explain(err)
	}
	return n.set(t)
}

// resetDue is what is wrong meanwhile.
const resetDue = "the network still has the settings from before the factory reset: they could not be removed yet, which is tried again until it is done"

// FactoryReset returns to the settings of a new box, at once: there is nobody to
// confirm them. If it cannot, the mark that identity.FactoryReset has left stays,
// for Run.
func (n *netd) FactoryReset(ctx context.Context) error {
	err := n.client.Reset(ctx)
	switch {
	case errors.Is(err, network.ErrUnreachable) && !identity.KeepsNetwork(n.settings):
		return errors.Join(fmt.Errorf("%w: %w", web.ErrNotHere, err), identity.NetworkResetDone(n.data))
	case err != nil:
		return explain(err)
	}
	return identity.NetworkResetDone(n.data)
}

// Run resets the network if that is due: the power went in the middle of a factory
// reset, or the helper was not there or could not. It ends once it is done.
func (n *netd) Run(ctx context.Context) error {
	said := ""
	for wait := time.Second; identity.NetworkResetDue(n.data); wait = min(2*wait, time.Minute) {
		err := n.FactoryReset(ctx)
		if errors.Is(err, web.ErrNotHere) {
			return nil
		}
		if err == nil {
			n.log.Warn("the network is reset: it was left over from a factory reset")
			return nil
		}
		if said != err.Error() {
			n.log.Error(resetDue, "err", err)
		}
		said = err.Error()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
	return nil
}
