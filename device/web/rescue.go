package web

import (
	"bytes"
	"context"
	_ "embed"
	"html/template"
	"net/http"
	"strings"

	"quartet/device/config"
	"quartet/device/control"
)

// rescue is the page for a browser without scripts, and for a box whose page was
// not built: claim, log in, see what is wrong, set an address, go back to the
// document before. It is plain forms; a request from another site is refused
// before it comes here, as everywhere.
type rescue struct {
	s      *Server
	page   *template.Template
	style  []byte
	routes map[string]*route // for role and audit: the ones of the interface that do the same
}

//go:embed rescue.html
var rescueHTML string

//go:embed rescue.css
var rescueCSS []byte

func newRescue(s *Server) *rescue {
	r := &rescue{s: s, page: template.Must(template.New("rescue").Parse(rescueHTML)), style: rescueCSS, routes: map[string]*route{}}
	for _, t := range routes() {
		r.routes[t.method+" "+t.path] = &t
	}
	return r
}

func (r *rescue) register(mux *http.ServeMux) {
	mux.HandleFunc("GET /rescue", func(w http.ResponseWriter, req *http.Request) { r.show(w, req, "") })
	mux.HandleFunc("GET /rescue.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write(r.style)
	})
	form := func(path, like string, do func(c *call, f func(string) string) error) {
		mux.HandleFunc("POST /rescue/"+path, func(w http.ResponseWriter, req *http.Request) { r.do(w, req, r.routes[like], do) })
	}
	form("claim", "POST /claim", func(c *call, f func(string) string) error {
		_, err := r.s.claim(c, Claim{Code: f("code"), User: f("user"), Password: f("password")})
		return err
	})
	form("login", "POST /session", func(c *call, f func(string) string) error {
		_, err := r.s.login(c, Login{User: f("user"), Password: f("password")})
		return err
	})
	form("logout", "DELETE /session", func(c *call, _ func(string) string) error {
		_, err := r.s.logout(c, LogoutQuery{})
		return err
	})
	form("rollback", "POST /config/rollback", func(c *call, f func(string) string) error {
		c.r.Header.Set("If-Match", f("revision"))
		_, err := r.s.rollbackConfig(c, SaveQuery{Restart: true})
		return err
	})
	form("network", "PUT /network", r.network)
	form("confirm", "POST /network/confirm", func(c *call, f func(string) string) error {
		_, err := r.s.confirmNetwork(c, Confirm{Token: f("token")})
		return err
	})
	form("revert", "POST /network/revert", func(c *call, _ func(string) string) error {
		_, err := r.s.revertNetwork(c)
		return err
	})
	form("reboot", "POST /reboot", func(c *call, _ func(string) string) error {
		_, err := r.s.reboot(c)
		return err
	})
}

// do is serve for a form: the same session, role and audit.
func (r *rescue) do(w http.ResponseWriter, req *http.Request, like *route, do func(c *call, f func(string) string) error) {
	ctx, cancel := context.WithTimeout(req.Context(), handlerTime)
	defer cancel()
	req = req.WithContext(ctx)
	c := &call{w: w, r: req, route: like, source: sourceOf(req)}
	req.Body = http.MaxBytesReader(w, req.Body, smallBody)
	err := r.s.identifyCaller(c)
	if err == nil {
		if err = req.ParseForm(); err != nil {
			err = fail(http.StatusBadRequest, typeInvalid, "the form cannot be read", "send it again")
		}
	}
	if err == nil {
		err = do(c, func(name string) string { return strings.TrimSpace(req.PostForm.Get(name)) })
	}
	r.s.record(c, err)
	if err != nil {
		p, internal := problemOf(err)
		if internal {
			r.s.log.Error("a request failed", "path", req.URL.Path, "err", err)
		}
		w.Header().Del("Etag")
		text := strings.TrimSuffix(p.Error(), ".") + "."
		if p.Remedy != "" {
			text += " To do: " + p.Remedy + "."
		}
		r.render(w, req, p.Status, text, rescueTrial{})
		return
	}
	if c.trial.Token != "" {
		r.render(w, req, http.StatusOK, "", rescueTrial{c.trial.Token, c.trial.Addresses, int(c.trial.Remaining)})
		return
	}
	http.Redirect(w, req, "/rescue", http.StatusSeeOther)
}

// network changes one interface and leaves the others as they are.
func (r *rescue) network(c *call, f func(string) string) error {
	now, err := r.s.cfg.Network.Settings(c.r.Context())
	if err != nil {
		return err
	}
	name := f("interface")
	if name == "" {
		return invalid("interface", "", "is missing", "choose one")
	}
	next := now
	next.Interfaces = append([]NetworkInterface(nil), now.Interfaces...)
	i := 0
	for i < len(next.Interfaces) && next.Interfaces[i].Name != name {
		i++
	}
	if i == len(next.Interfaces) {
		next.Interfaces = append(next.Interfaces, config.Default[NetworkInterface]())
	}
	e := &next.Interfaces[i]
	e.Name = name
	e.DHCP4, e.Addresses, e.Gateway = f("mode") == "dhcp", nil, ""
	if !e.DHCP4 {
		if f("address") == "" {
			return invalid("address", "", "is missing", "write an address with its prefix length, such as 192.0.2.10/24")
		}
		e.Addresses, e.Gateway = []string{f("address")}, f("gateway")
	}
	c.r.Header.Set("If-Match", now.revision())
	trial, err := r.s.putNetwork(c, next)
	c.trial = trial
	return err
}

// rescueView is what the template shows.
type rescueView struct {
	Name, Serial, Version, Message string
	Claimed                        bool
	User                           string
	Admin                          bool
	Built                          bool // there is the ordinary page, too
	Box                            *control.Status
	BoxError, NetworkError         string
	Conditions                     []Condition
	Links                          []Link
	Revision                       string
	Pending                        bool
	Trial                          rescueTrial
}

type rescueTrial struct {
	Token     string
	Addresses []string
	Seconds   int
}

func (r *rescue) show(w http.ResponseWriter, req *http.Request, message string) {
	r.render(w, req, http.StatusOK, message, rescueTrial{})
}

func (r *rescue) render(w http.ResponseWriter, req *http.Request, status int, message string, trial rescueTrial) {
	s := r.s
	_, built := s.files.byName["index.html"]
	v := rescueView{Name: s.settings.get().Name, Serial: s.cfg.Serial, Version: s.cfg.Version, Message: message,
		Claimed: s.cfg.Access.Claimed(), Built: built, Trial: trial}
	if session, _, err := s.sessionOf(req, true); err == nil {
		v.User, v.Admin = session.User, Role(session.Role).may(Admin)
		o, err := s.view.overview(req.Context())
		if err == nil {
			v.Box, v.BoxError, v.Conditions = o.Box, o.BoxError, o.Conditions
			v.Links, v.NetworkError, v.Pending = o.Network.Links, o.Network.Error, o.Network.Pending != nil
			v.Revision = o.ConfigRevision
		}
	}
	var b bytes.Buffer
	if err := r.page.Execute(&b, v); err != nil {
		s.log.Error("rescue page", "err", err)
		http.Error(w, "the page cannot be shown; see the logs", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}
