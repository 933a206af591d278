package web

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// files are the page's, in memory, each also compressed.
type files struct {
	byName map[string]asset
}

type asset struct {
	kind       string // Content-Type
	etag       string
	plain      []byte
	compressed []byte // nil where that does not pay
	lasting    bool   // its name changes with its content
}

// newFiles reads the page; from may be nil.
func newFiles(from fs.FS) (*files, error) {
	f := &files{byName: map[string]asset{}}
	if from == nil {
		return f, nil
	}
	err := fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(path.Base(name), ".") {
			return err
		}
		b, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		a := asset{kind: mime.TypeByExtension(path.Ext(name)), etag: `"` + tag(b) + `"`, plain: b, lasting: strings.HasPrefix(name, "assets/")}
		switch path.Ext(name) {
		case ".webmanifest":
			a.kind = "application/manifest+json"
		case ".js":
			a.kind = "text/javascript; charset=utf-8"
		case ".woff2":
			a.kind = "font/woff2"
		}
		if a.kind == "" {
			a.kind = "application/octet-stream"
		}
		var z bytes.Buffer
		w, err := gzip.NewWriterLevel(&z, gzip.BestCompression)
		if err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		if z.Len() < len(b)*9/10 {
			a.compressed = z.Bytes()
		}
		f.byName[name] = a
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	return f, nil
}

// handler serves the page. A path without a dot is a place within the page;
// without a page, / leads to the rescue page.
func (f *files) handler(r *rescue) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			writeProblem(w, fail(http.StatusMethodNotAllowed, typeNotFound, "this address takes GET only", "see /api/v1/openapi.json for what changes the box"))
			return
		}
		name := strings.TrimPrefix(path.Clean(req.URL.Path), "/")
		a, ok := f.byName[name]
		if !ok && (name == "" || !strings.Contains(path.Base(name), ".")) {
			a, ok = f.byName["index.html"]
			if !ok {
				r.show(w, req, "")
				return
			}
		}
		if !ok {
			writeProblem(w, fail(http.StatusNotFound, typeNotFound, "there is nothing at this address", "begin at /"))
			return
		}
		a.serve(w, req)
	})
}

func (a *asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("ETag", a.etag)
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "no-cache") // ask again, by the ETag
	if a.lasting {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if r.Header.Get("If-None-Match") == a.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	b := a.plain
	if a.compressed != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		b = a.compressed
	}
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b)
	}
}
