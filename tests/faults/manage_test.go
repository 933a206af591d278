package faults

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"quartet/device/identity"
	"quartet/tests/chain"
)

// manage is a quartet-manage beside a box of the chain.
type manage struct {
	t testing.TB
	*chain.Process
	url    string
	client *http.Client
	cookie string
}

var managePage = regexp.MustCompile(`msg="quartet-manage runs".* page=(127\.0\.0\.1:\d+)`)

// startManage starts the management plane on the box's document. code is that
// of the label the first time, and empty later.
func startManage(t testing.TB, b *chain.Box, data string) *manage {
	t.Helper()
	log := filepath.Join(t.TempDir(), "manage.log")
	m := &manage{t: t, Process: chain.StartProcess(t, log, chain.Program(t, "./cmd/quartet-manage"), "run", "--config-dir", b.Dir(), "--data", filepath.Join(data, "d"),
		"--key", b.Key(), "--control", b.Socket, "--netd", filepath.Join(data, "n"), "--listen", "127.0.0.1:0", "--http", "")}
	m.client = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	t.Cleanup(m.client.CloseIdleConnections)
	for limit := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if found := managePage.FindStringSubmatch(m.Log()); found != nil {
			m.url = "https://" + found[1]
			return m
		}
		if time.Now().After(limit) {
			t.Fatalf("quartet-manage does not start:\n%s", m.Log())
		}
	}
}

// do sends a request; its answer's status, body and ETag.
func (m *manage) do(method, path, body string, header ...string) (int, string, string) {
	req, err := http.NewRequest(method, m.url+path, strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Cookie", m.cookie)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := m.client.Do(req)
	if err != nil {
		return 0, err.Error(), ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error(), ""
	}
	for _, c := range resp.Cookies() {
		m.cookie = c.Name + "=" + c.Value
	}
	return resp.StatusCode, string(text), resp.Header.Get("Etag")
}

// F14: the management plane is used, flooded, hangs, is killed as the kernel
// kills what takes too much memory, and comes back; the media loses nothing.
func TestF14_ManagementFloodedHungKilled(t *testing.T) {
	chain.Try(t, func(t testing.TB) {
		c, b := chain.NewBox(t, chain.Config{Peers: true, Overhead: 12, Seed: 214}, nil)
		p, code, err := identity.NewProvision("F14-0001", "Quartet", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Write(filepath.Join(b.Dir(), "provision.v1.json"), false); err != nil {
			t.Fatal(err)
		}
		stop := b.Background()
		b.WaitUp()
		data := t.TempDir()
		m := startManage(t, b, data)
		if status, text, _ := m.do("POST", "/api/v1/claim", fmt.Sprintf(`{"code": %q, "user": "anna", "password": "studio floor 42"}`, code)); status != http.StatusCreated {
			t.Fatalf("claim: %d %s", status, text)
		}
		// A path is edited while all of them run: its own connection is renewed beside
		// the old one, the others never notice.
		_, _, etag := m.do("GET", "/api/v1/config", "")
		if status, text, _ := m.do("PATCH", "/api/v1/config", `{"output": {"overhead_percent": 15}}`, "If-Match", etag); status != 200 || !strings.Contains(text, `"applied":true`) {
			t.Errorf("PATCH: %d %s", status, text)
		}

		// Flooded: by requests that are served, and by logins.
		var wg sync.WaitGroup
		quit := make(chan struct{})
		var mu sync.Mutex
		answers := map[int]int{}
		for i := range 16 {
			wg.Go(func() {
				for {
					select {
					case <-quit:
						return
					default:
					}
					var status int
					if i == 0 {
						status, _, _ = m.do("POST", "/api/v1/session", `{"user": "anna", "password": "wrong wrong"}`)
					} else {
						status, _, _ = m.do("GET", []string{"/api/v1/state", "/api/v1/status", "/api/v1/openapi.json", "/metrics"}[i%4], "")
					}
					mu.Lock()
					answers[status]++
					mu.Unlock()
				}
			})
		}
		time.Sleep(2 * time.Second)
		close(quit)
		wg.Wait()
		t.Logf("flood: %v", answers)

		m.Signal(syscall.SIGSTOP)
		time.Sleep(1500 * time.Millisecond)
		m.Signal(syscall.SIGCONT)
		m.Kill(syscall.SIGKILL)
		time.Sleep(500 * time.Millisecond)
		m = startManage(t, b, data)
		if status, text, _ := m.do("GET", "/api/v1/state", ""); status != 200 || !strings.Contains(text, `"claimed":true`) {
			t.Errorf("after its death: %d %s", status, text)
		}
		m.Kill(syscall.SIGTERM)
		stop()
		c.Settle()
		for i := range c.Gateways {
			if r := c.Check(fmt.Sprint("gateway ", i), nil, i); !r.Identical() {
				t.Errorf("%v", r)
			}
		}
	})
}
