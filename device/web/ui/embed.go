// Package ui holds the box's page as it was built from the sources beside this
// file. On a checkout where nobody has built it, dist is empty but for a keep
// file, and the server shows its script-free page instead.
package ui

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// Files are the page's files: index.html and what it loads. ok is false where
// the page has not been built.
func Files() (files fs.FS, ok bool) {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, false
	}
	_, err = fs.Stat(sub, "index.html")
	return sub, err == nil
}
