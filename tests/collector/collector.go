package collector

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"quartet/tests/child"
)

// CA issues certificates for a test.
type CA struct {
	Pool *x509.CertPool
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64
}

// NewCA makes a CA.
func NewCA() (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fleet CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	ca := &CA{Pool: x509.NewCertPool(), cert: cert, key: key, next: 2}
	ca.Pool.AddCert(cert)
	return ca, nil
}

// Issue makes a certificate: of a server on the loopback, or of a box.
func (ca *CA) Issue(name string, server bool) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(ca.next), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	ca.next++
	if server {
		tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		tmpl.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, key.Public(), ca.key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// Sign answers a box's certificate request, PKCS #10 in DER, with a client
// certificate in PEM.
func (ca *CA) Sign(request []byte) (string, error) {
	csr, err := x509.ParseCertificateRequest(request)
	if err != nil {
		return "", err
	}
	if err := csr.CheckSignature(); err != nil {
		return "", err
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(ca.next), Subject: csr.Subject, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		DNSNames: csr.DNSNames, URIs: csr.URIs}
	ca.next++
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, csr.PublicKey, ca.key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), nil
}

// PEM is the CA's own certificate.
func (ca *CA) PEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw}))
}

// write writes the files that a Collector reads.
func (ca *CA) write(dir string) error {
	server, err := ca.Issue("home", true)
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
	if err != nil {
		return err
	}
	for name, block := range map[string]*pem.Block{"ca.pem": {Type: "CERTIFICATE", Bytes: ca.cert.Raw},
		"home.pem": {Type: "CERTIFICATE", Bytes: server.Certificate[0]}, "home.key": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Collector is one that runs.
type Collector struct {
	Address string // of OTLP/HTTP: 127.0.0.1:PORT
	Metrics string // of its own metrics, for Prometheus
	Store   string // folder with metrics.* and logs.*
	Log     bytes.Buffer

	program string
	dir     string
	cmd     *exec.Cmd
	done    chan error
}

// Options say how the store is written.
type Options struct {
	Format      string // of the file exporter: json or proto
	Compression string // "" or zstd
}

// New prepares a Collector in a folder.
func New(program, dir string, ca *CA, o Options) (*Collector, error) {
	c := &Collector{program: program, dir: dir, Store: filepath.Join(dir, "store")}
	if err := os.MkdirAll(c.Store, 0o750); err != nil {
		return nil, err
	}
	if err := ca.write(dir); err != nil {
		return nil, err
	}
	for _, a := range []*string{&c.Address, &c.Metrics} {
		// The Collector cannot be given a listener; the port is free now.
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		*a = l.Addr().String()
		l.Close()
	}
	_, port, err := net.SplitHostPort(c.Metrics)
	if err != nil {
		return nil, err
	}
	more := "    format: " + o.Format + "\n"
	if o.Compression != "" {
		more += "    compression: " + o.Compression + "\n"
	}
	if o.Format == "json" && o.Compression == "" {
		more += "    append: true\n"
	}
	conf := fmt.Sprintf(`receivers:
  otlp:
    protocols:
      http:
        endpoint: %s
        tls: {cert_file: %s/home.pem, key_file: %s/home.key, client_ca_file: %s/ca.pem, min_version: "1.2"}
exporters:
  file/metrics:
    path: %s/metrics
%s  file/logs:
    path: %s/logs
%sservice:
  telemetry:
    metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %s}}}}]}
  pipelines:
    metrics: {receivers: [otlp], exporters: [file/metrics]}
    logs: {receivers: [otlp], exporters: [file/logs]}
`, c.Address, dir, dir, dir, c.Store, more, c.Store, more, port)
	return c, os.WriteFile(filepath.Join(dir, "collector.yaml"), []byte(conf), 0o600)
}

// Start starts it and returns when it listens.
func (c *Collector) Start(ctx context.Context) error {
	c.cmd = exec.CommandContext(ctx, c.program, "--config", filepath.Join(c.dir, "collector.yaml"))
	c.cmd.Stdout, c.cmd.Stderr = &c.Log, &c.Log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.done = make(chan error, 1)
	if err := child.Start(c.cmd, func(err error) { c.done <- err }); err != nil {
		c.cmd = nil
		return err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(60 * time.Second)
	defer limit.Stop()
	for {
		if conn, err := net.Dial("tcp", c.Address); err == nil {
			return conn.Close()
		}
		select {
		case err := <-c.done:
			return fmt.Errorf("the Collector ended: %w\n%s", err, c.Log.String())
		case <-limit.C:
			return errors.Join(errors.New("the Collector does not listen after 60 s"), c.Stop())
		case <-tick.C:
		}
	}
}

// Stop ends it as an operator would; it writes what it holds.
func (c *Collector) Stop() error {
	if c.cmd == nil {
		return nil
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	defer func() { c.cmd = nil }()
	select {
	case err := <-c.done:
		return err
	case <-time.After(15 * time.Second):
		_ = c.cmd.Process.Kill()
		return fmt.Errorf("the Collector did not end within 15 s of SIGTERM: %w", <-c.done)
	}
}

// PID is the process, for who measures it.
func (c *Collector) PID() int { return c.cmd.Process.Pid }
