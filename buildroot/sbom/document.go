package main

// Document is a bill of materials after CycloneDX 1.6, as far as we fill it in
// (https://cyclonedx.org/docs/1.6/json).
type Document struct {
	Format       string       `json:"bomFormat"` // CycloneDX
	Spec         string       `json:"specVersion"`
	Serial       string       `json:"serialNumber"` // urn:uuid:…, from what follows
	Version      int          `json:"version"`
	Metadata     Metadata     `json:"metadata"`
	Components   []Component  `json:"components"`
	Dependencies []Dependency `json:"dependencies"`
}

// Metadata says of what and when.
type Metadata struct {
	Timestamp string    `json:"timestamp"` // RFC 3339
	Component Component `json:"component"`
}

// Component is one part.
type Component struct {
	Type       string     `json:"type"` // firmware, application, library
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version,omitempty"`
	PURL       string     `json:"purl,omitempty"` // package URL
	CPE        string     `json:"cpe,omitempty"`  // name in vulnerability databases
	Licenses   []Licence  `json:"licenses,omitempty"`
	Hashes     []Hash     `json:"hashes,omitempty"`
	Properties []Property `json:"properties,omitempty"`
}

// Licence is an SPDX expression.
type Licence struct {
	Expression string `json:"expression"`
}

// Hash is of the file that the component is built from, or, of a program, its own.
type Hash struct {
	Algorithm string `json:"alg"`     // SHA-256, SHA-512
	Content   string `json:"content"` // lower-case hexadecimal
}

// Property is what CycloneDX has no word for.
type Property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Dependency says what one component is made of, by their refs.
type Dependency struct {
	Ref string   `json:"ref"`
	On  []string `json:"dependsOn,omitempty"`
}
