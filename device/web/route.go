package web

import (
	"io"
	"mime"
	"net/http"
	"reflect"
)

// route is one row of the table.
type route struct {
	method, path string // path under /api/v1
	role         Role   // least
	group        string // chapter of the description
	summary      string
	status       int    // of success; 0: 200, or 204 without an answer
	quiet        bool   // a page asks by itself: it does not keep a session from ending
	ifMatch      bool   // needs If-Match
	etag         bool   // the answer has an ETag for If-Match
	maxBody      int64  // bytes; 0: smallBody
	audit        string // action; "": not audited
	fails        []int  // statuses of its own beyond those of every route
	endpoint     endpoint
}

// endpoint is a handler and the types that it reads and writes; the zero value
// of a type is nil where there is none.
type endpoint struct {
	query, body, answer reflect.Type
	file                string // media type of a body that is a file of any size; "": none
	media               string // of an answer that is not JSON; with events: text/event-stream
	serve               func(s *Server, c *call) (any, error)
}

// get takes nothing and answers with A.
func get[A any](f func(*Server, *call) (A, error)) endpoint {
	return endpoint{answer: typeOf[A](), serve: func(s *Server, c *call) (any, error) {
		if err := c.noQuery(); err != nil {
			return nil, err
		}
		if err := c.noBody(); err != nil {
			return nil, err
		}
		return f(s, c)
	}}
}

// query takes a query.
func query[Q, A any](f func(*Server, *call, Q) (A, error)) endpoint {
	return endpoint{query: typeOf[Q](), answer: typeOf[A](), serve: func(s *Server, c *call) (any, error) {
		var q Q
		if err := c.readQuery(&q); err != nil {
			return nil, err
		}
		if err := c.noBody(); err != nil {
			return nil, err
		}
		return f(s, c, q)
	}}
}

// post takes a body.
func post[B, A any](f func(*Server, *call, B) (A, error)) endpoint {
	return endpoint{body: typeOf[B](), answer: typeOf[A](), serve: func(s *Server, c *call) (any, error) {
		var b B
		if err := c.noQuery(); err != nil {
			return nil, err
		}
		if err := c.readBody(&b); err != nil {
			return nil, err
		}
		return f(s, c, b)
	}}
}

// both takes a query and a body.
func both[Q, B, A any](f func(*Server, *call, Q, B) (A, error)) endpoint {
	return endpoint{query: typeOf[Q](), body: typeOf[B](), answer: typeOf[A](), serve: func(s *Server, c *call) (any, error) {
		var q Q
		var b B
		if err := c.readQuery(&q); err != nil {
			return nil, err
		}
		if err := c.readBody(&b); err != nil {
			return nil, err
		}
		return f(s, c, q, b)
	}}
}

// upload takes a file of any size.
func upload[A any](f func(*Server, *call, io.Reader) (A, error)) endpoint {
	const kind = "application/octet-stream"
	return endpoint{file: kind, answer: typeOf[A](), serve: func(s *Server, c *call) (any, error) {
		if err := c.noQuery(); err != nil {
			return nil, err
		}
		if got, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || got != kind {
			return nil, fail(http.StatusUnsupportedMediaType, typeInvalid, "the body is not declared as a file", "send it with Content-Type: "+kind)
		}
		return f(s, c, patient{c.r.Body, http.NewResponseController(c.w)})
	}}
}

// long tells whether a request may take longer than others.
func (e *endpoint) long() bool { return e.media == "text/event-stream" || e.file != "" }

// binary answers with bytes of a media type. It takes nothing.
func binary(f func(*Server, *call) (file, error), media string) endpoint {
	return endpoint{media: media, serve: func(s *Server, c *call) (any, error) {
		if err := c.noQuery(); err != nil {
			return nil, err
		}
		if err := c.noBody(); err != nil {
			return nil, err
		}
		return f(s, c)
	}}
}

// stream writes its answer itself.
func stream(f func(*Server, *call) error) endpoint {
	return endpoint{media: "text/event-stream", serve: func(s *Server, c *call) (any, error) {
		if err := c.noQuery(); err != nil {
			return nil, err
		}
		return written{}, f(s, c)
	}}
}

// typeOf is T, nil for None.
func typeOf[T any]() reflect.Type {
	if t := reflect.TypeFor[T](); t != reflect.TypeFor[None]() {
		return t
	}
	return nil
}

// success is the status of an answer that is no error.
func (r *route) success() int {
	switch {
	case r.status != 0:
		return r.status
	case r.endpoint.answer == nil && r.endpoint.media == "":
		return http.StatusNoContent
	}
	return http.StatusOK
}

func (r *route) bodyLimit() int64 {
	if r.maxBody > 0 {
		return r.maxBody
	}
	return smallBody
}

// unsafe tells whether the route changes something.
func (r *route) unsafe() bool { return r.method != http.MethodGet }

// file is an answer of bytes.
type file struct {
	name string // for Content-Disposition; "": none
	etag string
	data []byte
}

// written is the answer of a handler that has written it itself.
type written struct{}
