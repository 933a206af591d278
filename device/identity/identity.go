package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"quartet/device/durable"
	"quartet/device/seal"
)

const identityFile = "identity.v1.json"

// Contexts of the sealed keys.
const (
	deviceKeyContext = "identity.device_key"
	pageKeyContext   = "identity.page_key"
)

// Config is what an Identity is made of.
type Config struct {
	// Dir is the folder of its state; it is made if there is none.
	Dir string
	// Provision is the provision file; it is only read. A box without one cannot
	// be claimed, and takes its serial number from Board.
	Provision string
	// Board is the board's own serial number, for a box without a provision file.
	Board string
	// Sealer seals the private keys.
	Sealer *seal.Sealer
	// Clock says what time it is.
	Clock *Clock
	// Names are further names under which the page is reached; nil: none. It is
	// asked again from time to time, as Addresses is.
	Names func() []string
	// Addresses are the box's own addresses, for the page's certificate; nil: none.
	Addresses func() []netip.Addr
	// Log; nil: nothing is logged.
	Log *slog.Logger
}

// Identity holds keys and certificates. It may be used by several goroutines.
type Identity struct {
	// set at start, never changed
	cfg       Config
	log       *slog.Logger
	provision *Provision // nil: none
	serial    string
	file      durable.Twin
	problem   error

	enrolling sync.Mutex // one enrolment or renewal at a time
	writing   sync.Mutex // held while the state changes, over the write to disk

	mu        sync.Mutex
	state     state
	deviceKey *ecdsa.PrivateKey
	pageKey   *ecdsa.PrivateKey
	page      pageCache
	pair      *tls.Certificate // nil: not made yet
	renewal   renewal
}

// state is the file. Keys are sealed, certificates PEM.
type state struct {
	Version         int       `json:"version"`
	DeviceKey       string    `json:"device_key"`
	Certificate     string    `json:"certificate,omitempty"` // the device's, then those between it and its CA
	HomeCA          string    `json:"home_ca,omitempty"`     // whom telemetry trusts
	EST             *estState `json:"est,omitempty"`         // where to renew; nil: by hand
	PageKey         string    `json:"page_key"`
	PageCertificate string    `json:"page_certificate,omitempty"`
}

// estState is what a renewal needs. The one-time token is not kept.
type estState struct {
	URL string `json:"url"`
	CA  string `json:"ca"` // PEM: whom the EST server's certificate must be from
	// FollowCA: home's CA is what the EST server says, also when that changes.
	FollowCA bool `json:"follow_ca"`
}

// Open reads the identity, and makes the keys of a box that has none. State
// that is damaged, or whose sealing key is gone, is begun anew: then the device
// certificate is gone too, and Problem says so.
func Open(cfg Config) (*Identity, error) {
	folder, err := durable.Open(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("identity: make its folder: %w", err)
	}
	return openIn(cfg, folder)
}

func openIn(cfg Config, folder durable.Folder) (*Identity, error) {
	if cfg.Sealer == nil || cfg.Clock == nil {
		return nil, errors.New("identity: needs a sealer and a clock")
	}
	i := &Identity{cfg: cfg, log: cfg.Log, file: durable.Twin{Folder: folder, Name: identityFile}}
	if i.log == nil {
		i.log = slog.New(slog.DiscardHandler)
	}
	var problems []error
	switch p, err := ReadProvision(cfg.Provision); {
	case err == nil:
		i.provision, i.serial = p, p.Serial
	case errors.Is(err, fs.ErrNotExist):
		i.serial = boardSerial(cfg.Board)
	default:
		i.serial = boardSerial(cfg.Board)
		problems = append(problems, fmt.Errorf("the provision file: %w", err))
	}
	fresh, problem, err := i.load()
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	if problem != nil {
		problems = append(problems, problem)
	}
	if fresh {
		if err := i.change(func(*state) {}); err != nil {
			return nil, fmt.Errorf("identity: keep the keys: %w", err)
		}
	}
	if err := errors.Join(problems...); err != nil {
		i.problem = fmt.Errorf("identity: %w", err)
	}
	return i, nil
}

// load reads the file and opens the keys; what is missing it makes. fresh tells
// that it did.
func (i *Identity) load() (fresh bool, problem, err error) {
	data, problem, err := i.file.Load()
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, durable.ErrDamaged):
		problem = fmt.Errorf("%w; keys are made anew: enrol the box again", err)
	case err != nil:
		return false, nil, err
	default:
		if i.state, err = decodeState(data); err != nil {
			i.state = state{}
			problem = errors.Join(problem, fmt.Errorf("%s %w: %w; keys are made anew: enrol the box again", identityFile, durable.ErrDamaged, err))
		}
	}
	i.state.Version = 1
	if i.deviceKey, err = i.unsealKey(i.state.DeviceKey, deviceKeyContext); err != nil {
		if i.state.DeviceKey != "" {
			problem = errors.Join(problem, fmt.Errorf("the device key %w; it is made anew: enrol the box again", err))
		}
		fresh = true
		i.state.Certificate = "" // is for the key that is gone
		if i.deviceKey, i.state.DeviceKey, err = i.newKey(deviceKeyContext); err != nil {
			return false, nil, err
		}
	}
	if i.pageKey, err = i.unsealKey(i.state.PageKey, pageKeyContext); err != nil {
		if i.state.PageKey != "" {
			problem = errors.Join(problem, fmt.Errorf("the page's key %w; it is made anew", err))
		}
		fresh = true
		i.state.PageCertificate = ""
		if i.pageKey, i.state.PageKey, err = i.newKey(pageKeyContext); err != nil {
			return false, nil, err
		}
	}
	return fresh, problem, nil
}

func decodeState(data []byte) (s state, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return state{}, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return state{}, errors.New("there is something behind the document")
	}
	if s.Version != 1 {
		return state{}, fmt.Errorf("version is %d, not 1", s.Version)
	}
	return s, nil
}

// change lets f change a copy of the state, writes it, and makes it count. An
// error changes nothing. mu must not be held.
func (i *Identity) change(f func(*state)) error {
	i.writing.Lock()
	defer i.writing.Unlock()
	i.mu.Lock()
	s := i.state
	i.mu.Unlock()
	f(&s)
	data, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = i.file.Save(data)
	}
	if err != nil {
		return err
	}
	i.mu.Lock()
	i.state = s
	i.mu.Unlock()
	return nil
}

// newKey makes a key on P-256 and seals it.
func (i *Identity) newKey(context string) (*ecdsa.PrivateKey, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, "", fmt.Errorf("make a key: %w", err)
	}
	defer clear(der)
	return key, i.cfg.Sealer.Seal(der, context), nil
}

// unsealKey opens a key. Its errors continue a sentence: "the key …".
func (i *Identity) unsealKey(sealed, context string) (*ecdsa.PrivateKey, error) {
	der, err := i.cfg.Sealer.Unseal(sealed, context)
	if err != nil {
		return nil, err
	}
	defer clear(der)
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	key, ok := k.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("is not on P-256")
	}
	return key, nil
}

// Problem is what Open found wrong and went on with; nil if nothing. It belongs
// into the log and the conditions.
func (i *Identity) Problem() error { return i.problem }

// Serial is the box's serial number.
func (i *Identity) Serial() string { return i.serial }

// Provisioned tells whether the box has a provision file, and so a claim code.
func (i *Identity) Provisioned() bool { return i.provision != nil }

// ClaimCode tells, in constant time, whether code is the one on the label,
// however it is grouped and in whatever case. It is access.Config's ClaimCode.
func (i *Identity) ClaimCode(code string) bool {
	return i.provision != nil && i.provision.Matches(code)
}

// HostNames are the names under which the page is reached on the local network:
// quartet-<serial>.local (mDNS) first, then the short one, then Config.Names.
func (i *Identity) HostNames() []string {
	short := hostName(i.serial)
	names := []string{short + ".local", short}
	if i.cfg.Names != nil {
		names = append(names, i.cfg.Names()...)
	}
	return names
}

// hostName is the name of a box in the local network.
func hostName(serial string) string { return "quartet-" + strings.ToLower(serial) }

// Certificate is what may be shown of one.
type Certificate struct {
	Subject     string    `json:"subject"`
	Issuer      string    `json:"issuer"`
	Serial      string    `json:"serial"` // hex
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	Names       []string  `json:"names,omitempty"`
	Fingerprint string    `json:"fingerprint"` // SHA-256 of the certificate, hex with colons
}

// Status is what the page shows of the identity. It holds no secrets.
type Status struct {
	Serial      string `json:"serial"`
	Product     string `json:"product,omitempty"`
	Provisioned bool   `json:"provisioned"`
	// DeviceKey is the SHA-256 of the device key's public half (SPKI), hex: how a
	// CA's owner can tell that a request is from this box.
	DeviceKey   string        `json:"device_key"`
	Certificate *Certificate  `json:"certificate,omitempty"` // nil: not enrolled
	HomeCA      []Certificate `json:"home_ca,omitempty"`
	EST         string        `json:"est,omitempty"`         // address of the server that renews; empty: renewed by hand
	RenewAfter  *time.Time    `json:"renew_after,omitempty"` // two thirds of the certificate's life
	RenewError  string        `json:"renew_error,omitempty"` // of the last try, if that failed
	Page        *Certificate  `json:"page,omitempty"`
	ClockFloor  time.Time     `json:"clock_floor"`
	ClockBehind bool          `json:"clock_behind"` // the clock is before the floor: not set yet
}

// Status describes the identity.
func (i *Identity) Status() Status {
	i.mu.Lock()
	st, key := i.state, i.deviceKey
	renewError := i.renewal.text()
	i.mu.Unlock()
	s := Status{
		Serial: i.serial, Provisioned: i.provision != nil, DeviceKey: keyFingerprint(key), RenewError: renewError,
		ClockFloor: i.cfg.Clock.Floor(), ClockBehind: i.cfg.Clock.Behind(),
	}
	if i.provision != nil {
		s.Product = i.provision.Product
	}
	if chain, err := parseCertificates([]byte(st.Certificate)); err == nil {
		s.Certificate = describe(chain[0])
		at := renewAfter(chain[0])
		s.RenewAfter = &at
	}
	if list, err := parseCertificates([]byte(st.HomeCA)); err == nil {
		for _, c := range list {
			s.HomeCA = append(s.HomeCA, *describe(c))
		}
	}
	if list, err := parseCertificates([]byte(st.PageCertificate)); err == nil {
		s.Page = describe(list[0])
	}
	if st.EST != nil {
		s.EST = st.EST.URL
	}
	return s
}

func describe(c *x509.Certificate) *Certificate {
	sum := sha256.Sum256(c.Raw)
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = fmt.Sprintf("%02X", b)
	}
	d := &Certificate{
		Subject: c.Subject.String(), Issuer: c.Issuer.String(), Serial: c.SerialNumber.Text(16),
		NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), Fingerprint: strings.Join(pairs, ":"),
	}
	d.Names = append(d.Names, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		d.Names = append(d.Names, ip.String())
	}
	return d
}

func keyFingerprint(key *ecdsa.PrivateKey) string {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

const (
	maxPEM          = 64 << 10
	maxCertificates = 32
)

// parseCertificates reads one or more certificates in PEM. Text between them is
// allowed, as openssl writes it; other kinds of blocks are not, so that nobody
// hands in a private key.
func parseCertificates(b []byte) ([]*x509.Certificate, error) {
	if len(b) > maxPEM {
		return nil, fmt.Errorf("has %d bytes, more than the %d that certificates may have", len(b), maxPEM)
	}
	var list []*x509.Certificate
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("holds a %s, not only certificates", strings.ToLower(block.Type))
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("holds a certificate that cannot be read: %w", err)
		}
		if list = append(list, c); len(list) > maxCertificates {
			return nil, fmt.Errorf("holds more than %d certificates", maxCertificates)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")
	}
	return list, nil
}

func encodeCertificates(list ...*x509.Certificate) string {
	var b strings.Builder
	for _, c := range list {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return b.String()
}
