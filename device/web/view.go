package web

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"quartet/device/control"
	"quartet/device/health"
)

type healthCondition = health.Condition

// Codes of the management plane.
const (
	mediaUnreachable   health.Code = "media-unreachable"
	networkUnreachable health.Code = "network-helper-unreachable"
	networkPending     health.Code = "network-unconfirmed"
	unclaimed          health.Code = "box-unclaimed"
)

// Catalogue returns the definitions of the management plane's own conditions, in
// triage order.
func Catalogue() []health.Definition {
	const s = time.Second
	return append([]health.Definition{
		{Code: mediaUnreachable, Severity: health.Critical, HoldOn: 3 * s, HoldOff: 2 * s,
			Text:   "The media plane does not answer",
			Remedy: "See the logs of quartetd. Without a stored document it waits for one: set up input and destinations."},
		{Code: health.ConfigRestored, Severity: health.Warning,
			Text:   "The stored configuration was damaged; the one before was taken instead",
			Remedy: "Compare the settings with what you expect, and save them again. If it happens twice, replace the storage."},
		{Code: networkPending, Severity: health.Warning,
			Text:   "A change of the network waits for its confirmation and will be taken back",
			Remedy: "Open the page under the new address and confirm, or let it go back."},
		{Code: networkUnreachable, Severity: health.Minor, HoldOn: 10 * s, HoldOff: 2 * s,
			Text:   "The network helper does not answer; the network stays as it is",
			Remedy: "See the logs of quartet-netd."},
		{Code: unclaimed, Severity: health.Warning, HoldOn: 60 * s,
			Text:   "The box has not been claimed",
			Remedy: "Open the page and enter the code on the label."},
	}, append(updateCatalogue(), boardCatalogue()...)...)
}

// viewer puts the overview together from all parts, at most once in a while,
// however many ask.
type viewer struct {
	s *Server

	refreshing sync.Mutex // one at a time

	mu    sync.Mutex // guards what follows
	last  Overview
	bytes []byte
	at    time.Time
}

func newViewer(s *Server) *viewer { return &viewer{s: s} }

// fresh is how old an overview may be for one that asks.
const fresh = 900 * time.Millisecond

// current is the overview as JSON, at most a second old.
func (v *viewer) current(ctx context.Context) ([]byte, error) {
	v.mu.Lock()
	b, at := v.bytes, v.at
	v.mu.Unlock()
	if b != nil && v.s.cfg.Now().Sub(at) < fresh {
		return b, nil
	}
	return v.refresh(ctx)
}

// overview is current as a value, to be read only.
func (v *viewer) overview(ctx context.Context) (Overview, error) {
	_, err := v.current(ctx)
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.last, err
}

// synchronised is what the last overview knew of the clock.
func (v *viewer) synchronised() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.last.Network.Synchronised
}

func (v *viewer) refresh(ctx context.Context) ([]byte, error) {
	v.refreshing.Lock()
	defer v.refreshing.Unlock()
	v.mu.Lock()
	b, at := v.bytes, v.at
	v.mu.Unlock()
	if b != nil && v.s.cfg.Now().Sub(at) < fresh { // somebody else was faster
		return b, nil
	}
	o := v.s.look(ctx)
	b, err := encode(o)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	v.last, v.bytes, v.at = o, b, v.s.cfg.Now()
	v.mu.Unlock()
	return b, nil
}

// look asks all parts, side by side, so that one that hangs costs its patience
// once.
func (s *Server) look(ctx context.Context) Overview {
	ctx, cancel := context.WithTimeout(ctx, mediaPatience)
	defer cancel()
	o := Overview{Time: s.cfg.Now(), Name: s.settings.get().Name, Telemetry: s.cfg.Telemetry.State(), Update: s.cfg.Updater.State(ctx), SharedInterfaces: []SharedInterface{}}
	var wg sync.WaitGroup
	var mediaErr, networkErr error
	wg.Go(func() {
		st, err := s.cfg.Media.Status(ctx)
		if mediaErr = err; err == nil {
			o.Box = &st
		}
	})
	wg.Go(func() { o.Network, networkErr = s.cfg.Network.State(ctx) })
	wg.Wait()
	if s.cfg.Machine != nil {
		o.System = s.cfg.Machine()
	}
	o.System.BootID = s.cfg.BootID
	if mediaErr != nil {
		o.BoxError = mediaErr.Error()
	} else {
		o.SharedInterfaces = shared(o.Box.Paths)
	}
	if networkErr != nil {
		o.Network.Error = networkErr.Error()
	}
	o.ConfigRevision = "unknown"
	if doc, err := s.docs.load(); err == nil {
		o.ConfigRevision = doc.revision
	}

	now := s.since()
	s.monitor.Set(now, mediaUnreachable, health.ResourceBox, mediaErr != nil, o.BoxError)
	s.monitor.Set(now, networkUnreachable, health.ResourceBox, networkErr != nil, o.Network.Error)
	s.monitor.Set(now, networkPending, health.ResourceBox, o.Network.Pending != nil, "")
	s.monitor.Set(now, unclaimed, health.ResourceBox, !s.cfg.Access.Claimed(), "")
	s.monitor.Tick(now)
	var media []control.Condition
	if o.Box != nil {
		media = o.Box.Active
	}
	o.Conditions, o.Worst = merge(media, control.Views(s.monitor.Active(), s.wall))
	return o
}

// merge joins the conditions of the media plane and those of the management,
// active ones first, worst first.
func merge(media, own []control.Condition) (list []Condition, worst string) {
	for _, c := range own {
		list = append(list, Condition{c, "manage"})
	}
	for _, c := range media {
		list = append(list, Condition{c, "media"})
	}
	rank := func(c Condition) int {
		switch {
		case !c.Active:
			return 100
		case c.Masked:
			return 50
		}
		return 10 - int(c.Severity)
	}
	slices.SortStableFunc(list, func(a, b Condition) int { return cmp.Compare(rank(a), rank(b)) })
	most := health.Info
	for _, c := range list {
		if c.Active {
			most = max(most, c.Severity)
		}
	}
	return list, most.String()
}

// shared finds interfaces that more than one path uses.
func shared(paths []control.Path) []SharedInterface {
	list := []SharedInterface{}
	for _, p := range paths {
		if p.Interface == "" {
			continue
		}
		i := slices.IndexFunc(list, func(s SharedInterface) bool { return s.Interface == p.Interface })
		if i < 0 {
			list = append(list, SharedInterface{Interface: p.Interface})
			i = len(list) - 1
		}
		list[i].Paths = append(list[i].Paths, p.Name)
	}
	return slices.DeleteFunc(list, func(s SharedInterface) bool { return len(s.Paths) < 2 })
}

func (s *Server) getStatus(c *call) (Overview, error) { return s.view.overview(c.r.Context()) }

func (s *Server) getConditions(c *call) (Conditions, error) {
	ctx, cancel := context.WithTimeout(c.r.Context(), mediaPatience)
	defer cancel()
	media, _ := s.cfg.Media.Conditions(ctx) // if it does not answer, that is a condition of its own
	list, worst := merge(media.List, control.Views(s.monitor.All(), s.wall))
	return Conditions{Worst: worst, List: list}, nil
}

// errShed answers who asks for what a hot box does without.
func errShed() error {
	return fail(http.StatusServiceUnavailable, "shed", "the box is too hot: it does without previews and plots, so that the streams go on", "see its temperature and fan; they come back once it is cooler")
}

func (s *Server) getThumbnail(c *call) (file, error) {
	if s.shed.Load() {
		return file{}, errShed()
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), mediaPatience)
	defer cancel()
	p, err := s.cfg.Media.Thumbnail(ctx)
	if e := (*control.Error)(nil); asError(err, &e) && e.Code == http.StatusNotFound {
		return file{}, fail(http.StatusNotFound, typeNotFound, e.Text, "ask again once the input has a picture")
	}
	return file{data: p.JPEG, etag: tag(p.JPEG)}, err
}

// defaults of a plot.
const (
	historySpan   = 3600 // seconds
	historyPoints = 720
	historyStep   = 10
)

func (s *Server) getHistory(_ *call, q HistoryQuery) (History, error) {
	if s.shed.Load() {
		return History{}, errShed()
	}
	if q.To == 0 {
		q.To = s.cfg.Now().Unix()
	}
	if q.From == 0 {
		q.From = q.To - historySpan
	}
	if q.From >= q.To {
		return History{}, invalid("from", "", "is not before to", "write an earlier instant")
	}
	if q.To-q.From > 31*24*3600 {
		return History{}, invalid("from", "", "is more than 31 days before to", "ask for less")
	}
	if n := strings.Count(q.Series, ",") + 1; n > 32 {
		return History{}, invalid("series", "", "has more than 32 names", "ask for fewer")
	}
	least := int((q.To - q.From + historyPoints - 1) / historyPoints)
	if q.Step == 0 {
		q.Step = max(historyStep, (least+historyStep-1)/historyStep*historyStep)
	}
	if (q.To-q.From)/int64(q.Step) > 9000 {
		return History{}, invalid("step", "", "makes more than 9000 points", "write a longer one")
	}
	h, err := s.cfg.Telemetry.History(q)
	if h.Series == nil {
		h.Series = map[string]Series{}
	}
	return h, err
}

func (s *Server) getTelemetry(*call) (TelemetryInfo, error) {
	return TelemetryInfo{s.cfg.Telemetry.State(), s.cfg.Telemetry.Availability()}, nil
}
