package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"strings"

	"quartet/device/access"
	"quartet/device/config"
)

// call is one request on its way through a handler.
type call struct {
	w       http.ResponseWriter
	r       *http.Request
	route   *route
	source  netip.Addr      // that it came from
	session *access.Session // nil on a public route
	token   string          // of the session

	etag           string // of the answer
	target, detail string // for the audit log
	unaudited      bool   // the handler has nothing to record after all

	trial NetworkTrial // of the rescue page's network form
}

// actor is who asks.
func (c *call) actor() string {
	if c.session == nil {
		return "-"
	}
	return c.session.User
}

// noQuery refuses parameters where there are none to give.
func (c *call) noQuery() error { return c.readQuery(&struct{}{}) }

// literal is what a parameter of a number or of true and false looks like.
var literal = regexp.MustCompile(`^(-?(0|[1-9][0-9]*)(\.[0-9]+)?|true|false)$`)

// readQuery reads the query into a struct with the tags of device/config, by the
// strict reader: the parameters are made an object, their values strings, or
// what they look like where the field is no string.
func (c *call) readQuery(to any) error {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return invalid("", "", "the query cannot be read", "write name=value, with & between them and %XX for what is not a letter or digit")
	}
	t := reflect.TypeOf(to).Elem()
	var b bytes.Buffer
	b.WriteByte('{')
	for name, list := range values {
		text := true
		for i := range t.NumField() {
			if t.Field(i).Tag.Get("json") == name {
				text = t.Field(i).Type.Kind() == reflect.String
			}
		}
		for _, v := range list {
			if b.Len() > 1 {
				b.WriteByte(',')
			}
			b.Write(quote(name))
			b.WriteByte(':')
			if !text && literal.MatchString(v) {
				b.WriteString(v)
			} else {
				b.Write(quote(v))
			}
		}
	}
	b.WriteByte('}')
	return placeless(config.Decode(b.Bytes(), to))
}

// quote writes a string as JSON.
func quote(s string) []byte {
	b, err := json.Marshal(strings.ToValidUTF8(s, "\uFFFD"))
	if err != nil {
		panic(err) // a string always encodes
	}
	return b
}

// placeless takes lines and columns from issues about a text that the client has
// not written.
func placeless(err error) error {
	var issues config.Issues
	if errors.As(err, &issues) {
		for i := range issues {
			issues[i].Line, issues[i].Column = 0, 0
		}
	}
	return err
}

// noBody refuses a body where there is none to give.
func (c *call) noBody() error {
	var b [1]byte
	if n, _ := io.ReadFull(http.MaxBytesReader(c.w, c.r.Body, 1), b[:]); n > 0 {
		return fail(http.StatusBadRequest, typeInvalid, "the request has a body, and takes none", "send it without")
	}
	return nil
}

// readBody reads a JSON body into a struct with the tags of device/config, or
// as it is into a Document.
func (c *call) readBody(to any) error {
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" && (kind != "application/merge-patch+json" || c.r.Method != http.MethodPatch) {
		return fail(http.StatusUnsupportedMediaType, typeInvalid, "the body is not declared as JSON", "send it with Content-Type: application/json")
	}
	b, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, c.route.bodyLimit()))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return fail(http.StatusRequestEntityTooLarge, typeInvalid, "the body is too large", "this request takes "+sizeText(c.route.bodyLimit()))
	case err != nil:
		return fail(http.StatusBadRequest, typeInvalid, "the body did not arrive as a whole", "send it again")
	}
	if d, ok := to.(*Document); ok {
		*d = b
		return nil
	}
	return config.Decode(b, to)
}

func sizeText(n int64) string {
	if n >= 1<<20 {
		return "1 MiB at most"
	}
	return "64 KiB at most"
}

// ifMatch is the revision that the client names; its absence is refused.
func (c *call) ifMatch() (string, error) {
	v := strings.TrimSpace(c.r.Header.Get("If-Match"))
	if v == "" {
		return "", fail(http.StatusPreconditionRequired, "no-revision", "the request does not say which revision it changes",
			"read it first, and send its ETag as If-Match")
	}
	return strings.Trim(strings.TrimPrefix(v, "W/"), `"`), nil
}

// name is the {name} of the path: short, and of letters that need no care.
func (c *call) name() (string, error) {
	n := c.r.PathValue("name")
	if !plainName.MatchString(n) {
		return "", invalid("name", string(quote(clip(n))), "is not a name", "write 1 to 32 letters, digits, dots, dashes or underscores, the first a letter or digit")
	}
	return n, nil
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$`)
