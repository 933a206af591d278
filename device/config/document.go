package config

import (
	"fmt"
	"reflect"

	"github.com/goccy/go-json"
)

// Kind tells the two documents apart.
type Kind string

// The documents.
const (
	KindBox     Kind = "box"
	KindGateway Kind = "gateway"
)

// marks are the fields of which one document has all and the other none.
var marks = map[string]Kind{
	"input": KindBox, "output": KindBox, "paths": KindBox, "control": KindBox,
	"contributions": KindGateway, "listeners": KindGateway, "http": KindGateway,
}

// Detect tells which document doc is, by the fields it has. The error is of
// type Issues.
func Detect(doc []byte) (Kind, error) {
	root, err := scanDocument(doc)
	if err != nil {
		return "", err
	}
	votes := map[Kind]int{}
	for _, m := range root.members {
		votes[marks[m.name]]++
	}
	switch {
	case votes[KindBox] > votes[KindGateway]:
		return KindBox, nil
	case votes[KindGateway] > votes[KindBox]:
		return KindGateway, nil
	}
	return "", Issues{{Problem: "the document is neither a box's nor a gateway's",
		Remedy: "a box has input, output and paths, a gateway has listeners and contributions; see `quartetctl config example`"}}
}

// Check reads either document and returns which one it is and what is doubtful
// about it. Sealed secrets are not opened, see SealedSecrets. The error is of
// type Issues and lists all that is wrong with it.
func Check(doc []byte) (Kind, Issues, error) {
	k, err := Detect(doc)
	if err != nil {
		return "", nil, err
	}
	var warnings Issues
	if k == KindBox {
		_, warnings, err = OpenBox(doc, StandIn)
	} else {
		_, warnings, err = OpenGateway(doc, StandIn)
	}
	return k, warnings, err
}

// ParseBox reads a box document. In the result every absent field has its
// default, parameters of srt:// lines stand in the fields that they name (and
// no longer in the URLs, which therefore hold no secrets), and every mode is
// caller or listener. The warnings do not prevent its use. The error is of
// type Issues.
func ParseBox(doc []byte) (*Box, Issues, error) { return parse[Box](doc, nil) }

// ParseGateway is ParseBox for a gateway document.
func ParseGateway(doc []byte) (*Gateway, Issues, error) { return parse[Gateway](doc, nil) }

// Validate checks a box document made by a program: what ParseBox would say to
// it. The error is of type Issues.
func (b *Box) Validate() (warnings Issues, err error) {
	_, warnings, err = ParseBox(Encode(b))
	return warnings, err
}

// Validate checks a gateway document made by a program.
func (g *Gateway) Validate() (warnings Issues, err error) {
	_, warnings, err = ParseGateway(Encode(g))
	return warnings, err
}

// document is what the two documents' types have besides their fields.
type document[T any] interface {
	*T
	fold(n *node, r *report) // parameters of addresses into fields
	rules(r *report)         // rules across fields
}

// report collects what the rules find.
type report struct{ errors, warnings Issues }

func parse[T any, P document[T]](doc []byte, unseal Unseal) (*T, Issues, error) {
	root, err := scanDocument(doc)
	if err != nil {
		return nil, nil, err
	}
	t := new(T)
	c := checker{doc: doc, unseal: unseal}
	c.object(root, reflect.TypeFor[T](), "")
	if len(c.issues) == 0 {
		if err := json.Unmarshal(doc, t); err != nil {
			// Unreachable as far as we know: the checker is the stricter one.
			c.issues.add("", "", "the document cannot be read: "+err.Error(), "compare it with `quartetctl config schema`")
		}
	}
	if len(c.issues) > 0 {
		return nil, nil, c.issues
	}
	setAbsent(root, reflect.ValueOf(t).Elem())

	var r report
	P(t).fold(root, &r)
	if len(r.errors) == 0 {
		P(t).rules(&r)
	}
	r.errors.locate(doc, root)
	r.warnings.locate(doc, root)
	if err := r.errors.err(); err != nil {
		return nil, r.warnings, err
	}
	return t, r.warnings, nil
}

// scanDocument is scan with the result that callers of the package see.
func scanDocument(doc []byte) (*node, error) {
	root, serr := scan(doc)
	if serr == nil && root.kind != kindObject {
		serr = &syntaxError{at: root.at, problem: "the document is " + root.kind.String() + ", not an object",
			remedy: "start from `quartetctl config example`"}
	}
	if serr != nil {
		i := Issue{Problem: serr.problem, Remedy: serr.remedy}
		i.Line, i.Column = position(doc, serr.at)
		return nil, Issues{i}
	}
	return root, nil
}

// srtLine is where the parameters of a pasted srt:// line belong. Fields that
// the place does not have are nil.
type srtLine struct {
	mode, streamID  *string
	passphrase, key *Secret
	keyLength       *int
	latency         *Milliseconds
}

// foldURL moves the parameters of *url into the fields that they name. n and t
// are the object that holds the url and its type, path where it stands. A
// field that the document also has must say the same.
func foldURL(r *report, n *node, t reflect.Type, path string, url *string, to srtLine) {
	if *url == "" {
		return
	}
	u, err := ParseURL(*url)
	if err != nil {
		r.errors.add(join(path, "url"), "", err.Error(), "write "+formats["url"].wants)
		return
	}
	set := func(param, name string, v any) {
		value, ok := u.Params[param]
		if !ok {
			return
		}
		dst := reflect.ValueOf(v)
		if dst.IsNil() {
			r.errors.addf(join(path, "url"), "remove it from the address", "has the parameter %s, which has no meaning here", param)
			return
		}
		f := describe(t).byName[name]
		was := reflect.New(dst.Type().Elem()).Elem()
		was.Set(dst.Elem())
		setText(dst.Elem(), value)
		if n.get(name) != nil && !was.Equal(dst.Elem()) {
			r.errors.addf(join(path, name), "keep one of them", "and the parameter %s of the url differ", param)
		} else if f != nil && f.ranged {
			if x := float64(dst.Elem().Int()); x < f.min || x > f.max {
				r.errors.addf(join(path, "url"), "write "+f.wants(f.elem), "has a parameter %s that is out of range", param)
			}
		}
	}
	set("mode", "mode", to.mode)
	set("streamid", "stream_id", to.streamID)
	set("passphrase", "passphrase", to.passphrase)
	set("pbkeylen", "key_length", to.keyLength)
	set("latency", "latency_ms", to.latency)
	set("key", "key", to.key)
	u.Params = nil
	*url = u.String()
	if to.mode != nil && *to.mode == "" && u.Scheme == TypeSRT {
		*to.mode = ModeCaller
		if u.Host == "" {
			*to.mode = ModeListener
		}
	}
}

// unused reports settings that have no effect where they stand, rather than
// accept and ignore them. v is the struct, names its fields.
func (r *report) unused(path string, v any, why string, names ...string) {
	rv := reflect.ValueOf(v)
	st := describe(rv.Type())
	for _, name := range names {
		f := st.byName[name]
		if f == nil {
			panic(fmt.Sprintf("config: %s has no field %s", rv.Type(), name))
		}
		fv := rv.Field(f.index)
		none := f.isDefault(fv)
		if isStruct(fv.Type()) {
			none = same(fv)
		}
		if !none {
			r.errors.addf(join(path, name), "remove it", "has no effect %s", why)
		}
	}
}

// unique reports elements of a list that have the same name.
func unique[E any](r *report, path string, list []E, name func(*E) string) {
	seen := map[string]int{}
	for i := range list {
		s := name(&list[i])
		if first, ok := seen[s]; ok {
			r.errors.add(fmt.Sprintf("%s[%d].name", path, i), fmt.Sprintf("%q", s),
				fmt.Sprintf("is also the name of %s[%d]", path, first), "give each its own")
			continue
		}
		seen[s] = i
	}
}
