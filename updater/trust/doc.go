// Package trust decides which bundle a box may take, from a repository after
// The Update Framework (TUF 1.0): static files on any server, in a folder, or
// in one uploaded file.
//
// The way of an update:
//
//	root.json of the image ─▶ newer roots ─▶ timestamp ─▶ snapshot ─▶ targets    client.go
//	targets ─▶ releases: version, boards, rings, expiry, signed downgrade        release.go
//	releases + this box ─▶ one offer, and why each other is refused              choose.go
//	offer ─▶ bundle on the disk, with Range, a rate limit and the hash           download.go
//
// go-tuf checks signatures, versions and expiry of the metadata. Bundles do not
// pass through it: it would hold them in memory whole and could not resume.
//
// Two rules are stricter than TUF's. Metadata must be written exactly as
// package repository writes it, and every signature in a file must be good, so
// that no bit of it can change unnoticed. And snapshot and targets must be
// named with length and hash.
//
// TUF selects; it does not authorise the installation. RAUC checks the
// bundle's own signature, made with another key, and hash, board and version
// must agree.
package trust
