package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"sync"
	"time"

	"quartet/device/config"
	"quartet/device/control"
	"quartet/device/health"
	"quartet/updater"
)

// Times of a look.
const (
	mediaTime = 3 * time.Second // for quartetd's status
	pageTime  = 4 * time.Second // for page and interface
	oldReport = 2 * time.Second // a gateway reports five times a second
	// stuck is how long the overview may stand still: less than a trial's hold and
	// than the watchdog, which its turns feed.
	stuck = 15 * time.Second
)

// deafLoss, in percent: a path on which the far end misses more than this carries
// no media, though short packets may come through where full ones do not.
const deafLoss = 50

// probe is updater.Probe: what of the box works.
type probe struct {
	media    func(ctx context.Context) (control.Status, error)
	claimed  func() bool
	document func() error // fs.ErrNotExist: nobody has set the box up
	page     func(ctx context.Context) error
	turns    func() uint64 // of the loop that feeds the watchdog; nil: not looked at

	mu      sync.Mutex // guards what follows
	paths   map[string]lastPath
	usedAt  time.Time
	arrived map[string]arrived
	left    map[string]left
	turn    uint64
	turnAt  time.Time // when it was seen to change
}

// arrived is what a far end had counted when what it had received last changed.
type arrived struct {
	packets, lost uint64
	at            time.Time
	deaf          bool // of what came since the change before, more was missing
}

// left is what a path that nobody reports on had counted at the look before.
type left struct {
	sent, dropped, connects uint64
}

// lastPath is what a path had counted at the look before.
type lastPath struct {
	dropped, lost uint64
	usual         float64 // loss in percent, as it is when nothing is wrong
}

// Media implements updater.Probe.
func (p *probe) Media(ctx context.Context) (updater.Media, error) {
	var m updater.Media
	err := p.document()
	fresh := errors.Is(err, fs.ErrNotExist)
	m.Expected = !fresh && p.claimed()
	look, cancel := context.WithTimeout(ctx, pageTime)
	m.Management = p.page(look) == nil
	cancel()
	m.Management = p.turning(time.Now()) && m.Management
	look, cancel = context.WithTimeout(ctx, mediaTime)
	defer cancel()
	s, err := p.media(look)
	switch {
	case err == nil:
		m.Answers, m.Input = true, s.Input.State == control.InputOK
		for i := range s.Paths {
			m.Paths = append(m.Paths, pathOf(&s.Paths[i], fed(&s), p.passes(&s.Paths[i], time.Now())))
		}
		m.Strained = p.strained(&s)
	case fresh:
		// Without a document the media plane waits for one, and is as it should be.
		m.Answers = true
	case ctx.Err() != nil:
		return updater.Media{}, ctx.Err()
	}
	return m, nil
}

// turning tells whether management's own loop goes on: one that answers, and does
// not feed its watchdog, is killed once the trial is over.
func (p *probe) turning(now time.Time) bool {
	if p.turns == nil {
		return true
	}
	n := p.turns()
	p.mu.Lock()
	defer p.mu.Unlock()
	if n != p.turn {
		p.turn, p.turnAt = n, now
	}
	return n > 0 && now.Sub(p.turnAt) < stuck
}

// fed tells whether there is something to send. Without a feed a box that passes
// it through may fill with null packets, at the rate that the feed last had: after
// a restart it knows of none, and sends nothing.
func fed(s *control.Status) bool { return s.Input.State == control.InputOK || s.Input.Engine != nil }

// passes tells whether what a path is given gets through, as far as can be known.
func (p *probe) passes(s *control.Path, now time.Time) bool {
	if s.Arrival != nil {
		return p.arrives(s, now)
	}
	return p.leaves(s)
}

// arrives tells whether the far end receives more and more packets, and most of
// them. That it reports is not enough: reports are small and need another way than
// media; and a few short packets may come through where full ones do not. The loss
// is reckoned from one look to the next, so that it has no gaps.
func (p *probe) arrives(s *control.Path, now time.Time) bool {
	a := s.Arrival
	p.mu.Lock()
	defer p.mu.Unlock()
	was, ok := p.arrived[s.Name]
	is := arrived{packets: a.Received, lost: a.LostHere, at: now}
	switch {
	case !ok:
		is.deaf = a.LossPercent > deafLoss
	case is.packets == was.packets:
		is = was
	case is.packets > was.packets && is.lost >= was.lost: // else the gateway has been started anew
		lost, got := is.lost-was.lost, is.packets-was.packets
		is.deaf = 100*lost > deafLoss*(lost+got)
	}
	if p.arrived == nil {
		p.arrived = map[string]arrived{}
	}
	p.arrived[s.Name] = is
	return is.packets > 0 && now.Sub(is.at) < oldReport && !is.deaf
}

// leaves tells of a path whose far end does not report whether what it is given
// leaves the box: SRT takes packets also when it has to drop them later, and a
// connection that carries nothing is made anew every few seconds.
func (p *probe) leaves(s *control.Path) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was, ok := p.left[s.Name]
	is := left{s.Sent, s.SendDropped, s.Connects}
	if p.left == nil {
		p.left = map[string]left{}
	}
	p.left[s.Name] = is
	switch {
	case !ok:
		return true
	case is.connects != was.connects:
		return false
	case is.sent < was.sent || is.dropped < was.dropped: // the media plane was started anew
		return true
	}
	return 100*(is.dropped-was.dropped) <= deafLoss*(is.sent-was.sent)
}

// pathOf judges one path: it is up when packets leave on it, and where the far
// end tells, when it says of late that they arrive (passes), and most of them.
// Without a feed nothing need leave.
func pathOf(s *control.Path, fed, passes bool) updater.Path {
	up := s.State == control.PathUp && s.BitrateBPS > 0 && passes
	switch a := s.Arrival; {
	case s.Shed || !fed: // what it would carry is withheld on purpose
		up = s.State == control.PathUp
	case a != nil:
		up = up && a.AgeMS < float64(oldReport.Milliseconds())
	case s.Profile == config.ProfileRTPFEC: // its far end would report
		up = false
	}
	return updater.Path{Name: s.Name, Up: up, Reachable: up || s.Reachable}
}

// Loss beyond which a path is strained, in percent, if it is also half as much
// again as usual there. What is usual is learnt over minutes: a line that always
// loses something must not keep a box from its updates.
const (
	strainLoss = 1.0
	strainMore = 1.5
	usualTime  = 10 * time.Minute
)

// strained tells whether paths lose packets or are late now, more than usual.
func (p *probe) strained(s *control.Status) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	since := now.Sub(p.usedAt)
	p.usedAt = now
	bad := false
	for i := range s.Active {
		switch s.Active[i].Code {
		case health.PathOverload, health.GatewayLossy:
			bad = true
		}
	}
	next := make(map[string]lastPath, len(s.Paths))
	for i := range s.Paths {
		path := &s.Paths[i]
		is := lastPath{dropped: path.QueueDropped + path.SendDropped, usual: path.SendLossPercent}
		if path.Arrival != nil {
			is.lost = path.Arrival.Merged.Lost
		}
		if was, ok := p.paths[path.Name]; ok && since < time.Minute {
			bad = bad || is.dropped > was.dropped || is.lost > was.lost ||
				path.SendLossPercent > strainLoss && path.SendLossPercent > strainMore*was.usual
			is.usual = was.usual + (path.SendLossPercent-was.usual)*min(1, since.Seconds()/usualTime.Seconds())
		}
		next[path.Name] = is
	}
	p.paths = next
	return bad
}

// ownPage asks the page and the interface over the network, as a browser does.
type ownPage struct {
	url  string
	http *http.Client
}

// newOwnPage returns one that asks at the address of a listener, and takes only
// the certificate that this box shows.
func newOwnPage(at net.Addr, certificate func() (*tls.Certificate, error)) *ownPage {
	host, port, err := net.SplitHostPort(at.String())
	if err != nil {
		host, port = at.String(), "443"
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		if host = "127.0.0.1"; ip.To4() == nil {
			host = "::1"
		}
	}
	t := &http.Transport{
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12,
			// The certificate is the box's own: it is compared, not vouched for.
			InsecureSkipVerify: true, //nolint:gosec // G402: see VerifyConnection
			VerifyConnection: func(s tls.ConnectionState) error {
				own, err := certificate()
				if err != nil {
					return err
				}
				if len(s.PeerCertificates) == 0 || !bytes.Equal(s.PeerCertificates[0].Raw, own.Certificate[0]) {
					return errors.New("another certificate than this box's")
				}
				return nil
			},
		},
		MaxIdleConns: 1, IdleConnTimeout: 10 * time.Second, DisableCompression: true,
	}
	return &ownPage{url: "https://" + net.JoinHostPort(host, port), http: &http.Client{Transport: t}}
}

// Ask returns nil if page and interface answer.
func (o *ownPage) Ask(ctx context.Context) error {
	for _, path := range []string{"/", "/api/v1/state"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.url+path, nil)
		if err != nil {
			return err
		}
		resp, err := o.http.Do(req)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
		_ = resp.Body.Close()
		if err != nil {
			return err
		}
		// One that says it is busy lives: a flood is no fault of this version.
		if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusServiceUnavailable {
			return fmt.Errorf("%s answers %s", path, resp.Status)
		}
	}
	return nil
}

func (o *ownPage) close() { o.http.CloseIdleConnections() }
