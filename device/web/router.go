package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"quartet/device/access"
)

// serve is the handler of a route: session, role, the handler itself, its
// answer, and a record in the audit log.
func (s *Server) serve(r *route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		c := &call{w: w, r: req, route: r, source: sourceOf(req)}
		if !r.endpoint.long() {
			ctx, cancel := context.WithTimeout(req.Context(), handlerTime)
			defer cancel()
			c.r = req.WithContext(ctx)
		}
		answer, err := s.answer(c)
		s.record(c, err)
		if err != nil {
			p, internal := problemOf(err)
			if internal {
				s.log.Error("a request failed", "method", r.method, "path", r.path, "err", err)
			}
			if _, ok := answer.(written); !ok {
				writeProblem(w, p)
			}
			return
		}
		s.send(c, answer)
	})
}

// answer finds out who asks, whether he may, and does it.
func (s *Server) answer(c *call) (any, error) {
	if err := s.identifyCaller(c); err != nil {
		return nil, err
	}
	if c.route.ifMatch { // cheap, and before anything is read
		if _, err := c.ifMatch(); err != nil {
			return nil, err
		}
	}
	return c.route.endpoint.serve(s, c)
}

// identifyCaller fills in the session, and refuses a role that is not enough. What a
// page asks for by itself does not count as use of the session.
func (s *Server) identifyCaller(c *call) error {
	if c.route.role == Public {
		return nil
	}
	session, token, err := s.sessionOf(c.r, c.route.quiet)
	if err != nil {
		return err
	}
	c.session, c.token = session, token
	if !Role(session.Role).may(c.route.role) {
		return fail(http.StatusForbidden, typeForbidden, fmt.Sprintf("%s is %s, and this takes %s", session.User, session.Role, c.route.role),
			"ask an admin")
	}
	return nil
}

// sessionOf is the session of a request's cookie.
func (s *Server) sessionOf(r *http.Request, quiet bool) (*access.Session, string, error) {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return nil, "", fail(http.StatusUnauthorized, typeNotLoggedIn, "nobody is logged in", "log in")
	}
	look := s.cfg.Access.Session
	if quiet {
		look = s.cfg.Access.Peek
	}
	session, err := look(cookie.Value)
	if err != nil {
		return nil, "", err
	}
	return session, cookie.Value, nil
}

// record appends to the audit log what was done, and what somebody was not let do.
func (s *Server) record(c *call, err error) {
	if c.route.audit == "" || c.unaudited {
		return
	}
	r := AuditRecord{Time: s.cfg.Now(), Boot: s.cfg.BootID, Actor: c.actor(), Source: c.source.String(), Action: c.route.audit,
		Target: c.target, Outcome: "ok", Detail: c.detail}
	if c.session != nil {
		r.Role = string(c.session.Role)
	}
	if err != nil {
		p, _ := problemOf(err)
		switch {
		case p.Status == http.StatusTooManyRequests, p.Status == http.StatusServiceUnavailable && p.Type == typeBusy:
			return // who floods does not get to wash the log clean
		case c.session == nil && c.route.role != Public:
			return // nobody: not an action of anybody
		case p.Status >= 500:
			r.Outcome = "failed"
		case p.Status == http.StatusUnauthorized, p.Status == http.StatusForbidden, p.Status == http.StatusConflict:
			r.Outcome = "refused"
		default:
			return // a request that makes no sense is not an action
		}
		r.Detail = p.Type
	}
	s.cfg.Audit.Append(r)
	if err == nil && c.session != nil {
		s.hub.notice(Notice{Time: r.Time, Action: r.Action, Actor: r.Actor, Text: c.detail})
	}
}

// send writes an answer.
func (s *Server) send(c *call, answer any) {
	h := c.w.Header()
	if c.etag != "" {
		h.Set("ETag", `"`+c.etag+`"`)
	}
	switch a := answer.(type) {
	case written:
	case None:
		c.w.WriteHeader(c.route.success())
	case file:
		if a.etag != "" {
			h.Set("ETag", `"`+a.etag+`"`)
			if c.r.Header.Get("If-None-Match") == `"`+a.etag+`"` {
				c.w.WriteHeader(http.StatusNotModified)
				return
			}
		}
		if a.name != "" {
			h.Set("Content-Disposition", `attachment; filename="`+a.name+`"`)
		}
		h.Set("Content-Type", c.route.endpoint.media)
		h.Set("Content-Length", strconv.Itoa(len(a.data)))
		c.w.WriteHeader(c.route.success())
		_, _ = c.w.Write(a.data)
	default:
		b, err := encode(answer)
		if err != nil {
			s.log.Error("an answer cannot be written", "path", c.route.path, "err", err)
			writeProblem(c.w, fail(http.StatusInternalServerError, typeInternal, "the box could not do it", "see the logs of quartet-manage"))
			return
		}
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", strconv.Itoa(len(b)))
		c.w.WriteHeader(c.route.success())
		_, _ = c.w.Write(b)
	}
}

// encode writes an answer as JSON: a list that holds nothing is [], not null.
func encode(answer any) ([]byte, error) {
	v := reflect.New(reflect.TypeOf(answer)).Elem()
	v.Set(reflect.ValueOf(answer))
	fillLists(v)
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v.Interface()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// fillLists makes nil lists empty ones, in what v holds.
func fillLists(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			fillLists(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() {
				fillLists(f)
			}
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			e := reflect.New(v.Type().Elem()).Elem()
			e.Set(v.MapIndex(k))
			fillLists(e)
			v.SetMapIndex(k, e)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		if v.IsNil() {
			if v.CanSet() {
				v.Set(reflect.MakeSlice(v.Type(), 0, 0))
			}
			return
		}
		for i := range v.Len() {
			fillLists(v.Index(i))
		}
	}
}

// unknown answers to what the interface does not have.
func (s *Server) unknown(w http.ResponseWriter, r *http.Request) {
	var takes []string
	for _, t := range routes() {
		if match(t.path, r.URL.Path) {
			takes = append(takes, t.method)
		}
	}
	if len(takes) > 0 {
		w.Header().Set("Allow", strings.Join(takes, ", "))
		writeProblem(w, fail(http.StatusMethodNotAllowed, typeNotFound, "this address does not take "+clip(r.Method), "it takes "+strings.Join(takes, ", ")+"; see /api/v1/openapi.json"))
		return
	}
	writeProblem(w, fail(http.StatusNotFound, typeNotFound, "there is nothing at this address", "see /api/v1/openapi.json"))
}

// match tells whether a request's path is that of a route.
func match(path, got string) bool {
	want, have := strings.Split("/api/v1"+path, "/"), strings.Split(got, "/")
	if len(want) != len(have) {
		return false
	}
	for i := range want {
		if want[i] != have[i] && !strings.HasPrefix(want[i], "{") {
			return false
		}
	}
	return true
}
