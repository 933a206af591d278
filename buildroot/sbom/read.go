package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// readLock reads the packages that the page is bundled from: those of
// package-lock.json that are not for development alone.
func readLock(name string) ([]Component, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	list, err := parseLock(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return list, nil
}

func parseLock(b []byte) ([]Component, error) {
	var lock struct {
		Version  int `json:"lockfileVersion"`
		Packages map[string]struct {
			Version, Integrity, License string
			Dev                         bool
		}
	}
	if err := json.Unmarshal(b, &lock); err != nil {
		return nil, err
	}
	if lock.Version != 3 {
		return nil, fmt.Errorf("lockfileVersion %d: 3 is what can be read", lock.Version)
	}
	var list []Component
	for path, p := range lock.Packages {
		i := strings.LastIndex(path, "node_modules/")
		if i < 0 || p.Dev {
			continue
		}
		n := path[i+len("node_modules/"):]
		url := "pkg:npm/" + strings.Replace(n, "@", "%40", 1) + "@" + p.Version
		c := Component{Type: "library", Ref: url, Name: n, Version: p.Version, PURL: url}
		if p.License != "" {
			c.Licenses = []Licence{{p.License}}
		}
		if sum, ok := strings.CutPrefix(p.Integrity, "sha512-"); ok {
			raw, err := base64.StdEncoding.DecodeString(sum)
			if err != nil || len(raw) != 64 {
				return nil, fmt.Errorf("%s: integrity %q is no SHA-512", n, p.Integrity)
			}
			c.Hashes = []Hash{{"SHA-512", hex.EncodeToString(raw)}}
		}
		list = append(list, c)
	}
	return list, nil
}

var (
	assignment = regexp.MustCompile(`(?m)^([A-Z0-9_]+) = (.*)$`)
	hashLine   = regexp.MustCompile(`(?m)^sha256\s+([0-9a-f]{64})\s+(\S+)$`)
	github     = regexp.MustCompile(`^\$\(call github,([^,]+),([^,]+),`)
)

// readPackage reads version, licence and source of a library from its Buildroot
// package, so that they stand in one place.
func readPackage(folder string) (*Component, error) {
	name := filepath.Base(folder)
	mk, err := os.ReadFile(filepath.Join(folder, name+".mk"))
	if err != nil {
		return nil, err
	}
	hashes, err := os.ReadFile(filepath.Join(folder, name+".hash"))
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, m := range assignment.FindAllStringSubmatch(string(mk), -1) {
		values[strings.TrimPrefix(m[1], strings.ToUpper(name)+"_")] = m[2]
	}
	version, licence, vendor, product := values["VERSION"], values["LICENSE"], values["CPE_ID_VENDOR"], values["CPE_ID_PRODUCT"]
	site := github.FindStringSubmatch(values["SITE"])
	if version == "" || licence == "" || vendor == "" || product == "" || site == nil {
		return nil, fmt.Errorf("%s: VERSION, LICENSE, CPE_ID_VENDOR, CPE_ID_PRODUCT and a SITE at GitHub are needed", folder)
	}
	url := "pkg:github/" + strings.ToLower(site[1]+"/"+site[2]) + "@v" + version
	c := &Component{Type: "library", Ref: url, Name: name, Version: version, PURL: url, Licenses: []Licence{{licence}},
		CPE: "cpe:2.3:a:" + vendor + ":" + product + ":" + version + ":*:*:*:*:*:*:*"}
	for _, m := range hashLine.FindAllStringSubmatch(string(hashes), -1) {
		if m[2] == name+"-"+version+".tar.gz" {
			c.Hashes = []Hash{{"SHA-256", m[1]}}
			return c, nil
		}
	}
	return nil, fmt.Errorf("%s: %s.hash has no %s-%s.tar.gz", folder, name, name, version)
}
