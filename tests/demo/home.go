package demo

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"quartet/tests/collector"
)

// homeUser is the admin that the demo claims the box as.
const homeUser = "admin"

// startHome starts a real OpenTelemetry Collector as telemetry home and sets the
// box up for it as an engineer would, through its interface: claim, certificate
// of the fleet's CA, address. Without a Collector the box stays unclaimed.
func (d *demo) startHome(ctx context.Context) error {
	if d.opts.Collector == "" {
		return nil
	}
	ca, err := collector.NewCA()
	if err != nil {
		return err
	}
	dir := d.file("home")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if d.home, err = collector.New(d.opts.Collector, dir, ca, collector.Options{Format: "json"}); err != nil {
		return err
	}
	// Its end is stopAll's: what the box still sends arrives.
	if err := d.home.Start(context.WithoutCancel(ctx)); err != nil {
		d.home = nil
		return err
	}
	d.plan.password = rand.Text()[:12]
	return d.enrol(ctx, ca)
}

// enrol claims the box and gives it a certificate and the address of home.
func (d *demo) enrol(ctx context.Context, ca *collector.CA) error {
	c := client{base: d.pageURL() + "api/v1", http: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		// Nobody knows its certificate yet; that is what the claim code is for.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}}
	defer c.http.CloseIdleConnections()
	claim := map[string]string{"code": d.plan.claim, "user": homeUser, "password": d.plan.password}
	for end := time.Now().Add(20 * time.Second); ; {
		err := c.do(ctx, http.MethodPost, "/claim", claim, nil)
		if err == nil {
			break
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond): // it is starting
		}
	}
	var request struct {
		CSR string `json:"csr"`
	}
	if err := c.do(ctx, http.MethodPost, "/identity/csr", nil, &request); err != nil {
		return err
	}
	block, _ := pem.Decode([]byte(request.CSR))
	if block == nil {
		return fmt.Errorf("the box's certificate request is no PEM: %q", request.CSR)
	}
	cert, err := ca.Sign(block.Bytes)
	if err != nil {
		return err
	}
	if err := c.do(ctx, http.MethodPut, "/identity/certificate", map[string]string{"certificate": cert, "ca": ca.PEM()}, nil); err != nil {
		return err
	}
	var s struct {
		Revision string                     `json:"revision"`
		Settings map[string]json.RawMessage `json:"settings"`
	}
	if err := c.do(ctx, http.MethodGet, "/settings", nil, &s); err != nil {
		return err
	}
	s.Settings["telemetry"] = fmt.Appendf(nil, `{"enabled": true, "endpoint": "https://%s", "interval_s": 2}`, d.home.Address)
	return c.do(ctx, http.MethodPut, "/settings", s.Settings, nil, "If-Match", s.Revision)
}

// printHome tells what has arrived at home. The Collector has ended: what it
// held is written.
func (d *demo) printHome() {
	if d.home == nil {
		return
	}
	count := func(name string) (n int) {
		b, err := os.ReadFile(filepath.Join(d.home.Store, name))
		if err != nil {
			return 0
		}
		return bytes.Count(b, []byte{'\n'})
	}
	d.printf("telemetry   %d requests with metrics and %d with alarms and audit arrived at home (%s)\n", count("metrics"), count("logs"), d.home.Store)
}

// client speaks to the box's interface.
type client struct {
	base   string
	http   *http.Client
	cookie string
}

func (c *client) do(ctx context.Context, method, path string, body, to any, header ...string) error {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, r)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.cookie != "" {
		req.Header.Set("Cookie", c.cookie)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the box's page: %s %s: %d %s", method, path, resp.StatusCode, text)
	}
	for _, k := range resp.Cookies() {
		c.cookie = k.Name + "=" + k.Value
	}
	if to == nil {
		return nil
	}
	return json.Unmarshal(text, to)
}
