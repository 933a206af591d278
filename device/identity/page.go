package identity

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	pageLife = 90 * 24 * time.Hour
	// pageLifeUnset is the life while the clock is not known to be right: the
	// visitor's clock is, and may be years ahead of the floor. More than 825 days
	// browsers do not take.
	pageLifeUnset = 820 * 24 * time.Hour
	// pageEarlier is by how much the certificate begins before the floor.
	pageEarlier = 24 * time.Hour

	pageRecheck  = 10 * time.Second // how often names and addresses are looked at
	maxPageNames = 64
)

// pageCache is the page's certificate ready for use. Identity.mu guards it.
type pageCache struct {
	cert    *tls.Certificate
	checked time.Time
}

// PageTLS is how the page is served: TLS 1.2 or later, HTTP/2, with a
// certificate that the box signs itself. It is made anew, for the same key,
// when its time is nearly over, when the clock was set beyond it, and when the
// box's names or addresses change.
func (i *Identity) PageTLS() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		Time:           i.cfg.Clock.Now,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return i.PageCertificate() },
	}
}

// PageCertificate returns the page's certificate, making one if need be. One
// that cannot be kept on disk is used all the same.
func (i *Identity) PageCertificate() (*tls.Certificate, error) {
	now := i.cfg.Clock.Now()
	i.mu.Lock()
	if c := i.page; c.cert != nil && c.cert.Leaf != nil && now.Sub(c.checked).Abs() < pageRecheck && fits(c.cert.Leaf, now) {
		i.mu.Unlock()
		return c.cert, nil
	}
	s := i.state
	i.mu.Unlock()

	names, ips := i.pageNames()
	leaf := func() *x509.Certificate {
		list, err := parseCertificates([]byte(s.PageCertificate))
		if err != nil || !fits(list[0], now) || !i.pageKey.PublicKey.Equal(list[0].PublicKey) || !sameNames(list[0], names, ips) {
			return nil
		}
		return list[0]
	}()
	if leaf == nil {
		var err error
		if leaf, err = i.makePage(now, names, ips); err != nil {
			return nil, fmt.Errorf("identity: make the page's certificate: %w", err)
		}
		i.keepPage(leaf)
	}
	cert := &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: i.pageKey, Leaf: leaf}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.page = pageCache{cert: cert, checked: now}
	return cert, nil
}

// fits tells whether a certificate may be used for a while yet.
func fits(c *x509.Certificate, now time.Time) bool {
	return now.After(c.NotBefore) && now.Before(c.NotAfter.Add(-pageLife/3))
}

func sameNames(c *x509.Certificate, names []string, ips []net.IP) bool {
	return slices.Equal(c.DNSNames, names) && slices.EqualFunc(c.IPAddresses, ips, net.IP.Equal)
}

// pageNames are what the certificate is for, in order.
func (i *Identity) pageNames() (names []string, ips []net.IP) {
	for _, n := range i.HostNames() {
		n = strings.ToLower(strings.TrimSuffix(n, "."))
		if n != "" && len(n) <= 253 && !strings.ContainsFunc(n, func(c rune) bool { return c <= ' ' || c > '~' }) {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	var list []netip.Addr
	if i.cfg.Addresses != nil {
		for _, a := range i.cfg.Addresses() {
			if a = a.Unmap().WithZone(""); a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() {
				list = append(list, a)
			}
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	for _, a := range slices.Compact(list) {
		ips = append(ips, a.AsSlice())
	}
	return names[:min(len(names), maxPageNames)], ips[:min(len(ips), maxPageNames)]
}

// makePage signs a certificate for the page with its own key.
func (i *Identity) makePage(now time.Time, names []string, ips []net.IP) (*x509.Certificate, error) {
	number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	life := pageLifeUnset
	if i.cfg.Clock.Synchronised() {
		life = pageLife
	}
	from := i.cfg.Clock.Floor()
	if now.Before(from) {
		from = now
	}
	t := &x509.Certificate{
		SerialNumber: number,
		Subject:      pkix.Name{CommonName: hostName(i.serial), Organization: []string{"Quartet"}},
		NotBefore:    from.Add(-pageEarlier),
		NotAfter:     now.Add(life),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     names, IPAddresses: ips,
		BasicConstraintsValid: true,
	}
	// Of a floor from long ago, only what browsers take.
	if earliest := t.NotAfter.Add(-pageLifeUnset - pageEarlier); t.NotBefore.Before(earliest) {
		t.NotBefore = earliest
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, i.pageKey.Public(), i.pageKey)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// keepPage writes the certificate, so that visitors who accepted it find it
// again after a restart.
func (i *Identity) keepPage(leaf *x509.Certificate) {
	if err := i.change(func(s *state) { s.PageCertificate = encodeCertificates(leaf) }); err != nil {
		i.log.Warn("the page's certificate could not be kept; a new one is made at the next start", "err", err)
	}
}
