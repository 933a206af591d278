package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"quartet/device/config"
	"quartet/updater/trust"
)

// Files of the image folder (--image), which is read-only: what this software
// is, and whom it believes (docs/updates.md).
const (
	imageFile = "image.json"
	rootFile  = "root.json"
)

// imageText is image.json.
type imageText struct {
	Board      string `json:"board" required:"yes" format:"name" doc:"as the repository names it"`
	Version    string `json:"version" required:"yes" len:"1..64" doc:"MAJOR.MINOR.PATCH, as in the bundle that this image is from"`
	Floor      string `json:"floor" len:"0..64" doc:"the oldest version that this image goes back to; absent: any that is signed as a way back"`
	Compatible string `json:"compatible" len:"0..64" doc:"of RAUC's system.conf; absent: quartet-BOARD"`
}

// image is what is known of the image.
type image struct {
	board, compatible string
	version, floor    trust.Version
	root              []byte // root.json
	rootless          error  // why there is none: then nothing can be taken, and slots are still kept good
}

// untrusting is updater.Metadata of an image without root.json.
type untrusting struct{ why error }

// Refresh refuses.
func (u untrusting) Refresh(context.Context, trust.Source, time.Time) (*trust.Repository, error) {
	return nil, &trust.Refusal{Code: trust.Missing, Text: u.why.Error(), Remedy: "install an image that was built with it"}
}

// errNoImage: this is no Quartet image, but programs on some machine.
var errNoImage = errors.New("this is not a Quartet image")

// readImage reads the image folder. errNoImage if there is none.
func readImage(folder string) (i image, err error) {
	name := filepath.Join(folder, imageFile)
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return i, fmt.Errorf("%w: there is no %s", errNoImage, name)
	}
	if err != nil {
		return i, err
	}
	var t imageText
	if err := config.Decode(b, &t); err != nil {
		return i, fmt.Errorf("%s: %w", name, err)
	}
	i.board, i.compatible = t.Board, t.Compatible
	if i.version, err = trust.ParseVersion(t.Version); err != nil {
		return i, fmt.Errorf("%s: version: %w", name, err)
	}
	if t.Floor != "" {
		if i.floor, err = trust.ParseVersion(t.Floor); err != nil {
			return i, fmt.Errorf("%s: floor: %w", name, err)
		}
		if i.floor.Compare(i.version) > 0 {
			return i, fmt.Errorf("%s: floor: %s is newer than the version %s; write the oldest version to go back to", name, i.floor, i.version)
		}
	}
	if i.root, err = os.ReadFile(filepath.Join(folder, rootFile)); err != nil {
		i.rootless = fmt.Errorf("the image names nobody whose updates it takes: %w; quartetctl repo root makes the file", err)
	}
	return i, nil
}
