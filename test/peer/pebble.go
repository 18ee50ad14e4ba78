package peer

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/letsencrypt/challtestsrv"
	"github.com/miekg/dns"
)

const pebbleTool = "github.com/letsencrypt/pebble/v2/cmd/pebble"

// PebbleOptions say what a Pebble is to be like. Every zero value works.
type PebbleOptions struct {
	// HTTPPort and TLSPort are where Pebble looks for http-01 and tls-alpn-01 challenges; zero picks free ports.
	HTTPPort, TLSPort int
	// EAB holds external account MAC keys, base64url without padding, by key identifier. EABRequired refuses accounts
	// without one.
	EAB         map[string]string
	EABRequired bool
	// Profiles are validity periods by profile name; nil means "default" (90 days) and "shortlived" (6 days).
	Profiles map[string]time.Duration
	// AlternateRoots is how many roots there are beside the first one; each makes an alternate chain.
	AlternateRoots int
	// ChainLength is how many intermediates a chain has; zero means one.
	ChainLength int
	// RetryAfterAuthz and RetryAfterOrder are the Retry-After of authorizations and orders that are not done yet, in
	// seconds; zero means 1.
	RetryAfterAuthz, RetryAfterOrder int
	// CAAIdentities are its issuer domain names; nil means Pebble's own default.
	CAAIdentities []string
	// DNSServer is the name server Pebble asks, "ip:port"; empty means the mock DNS.
	DNSServer string
	// Blocked are names it refuses to issue for.
	Blocked []string
	// Env is set for the process beside what this package sets, e.g. "PEBBLE_VA_ALWAYS_VALID=1". It can override.
	Env []string
}

// PebbleServer is a running Pebble: strict, without sleep in its validation, but with 5 % of good nonces rejected and
// half of the valid authorizations used again, as it comes. It locks up with more than about a dozen orders in flight
// (its issues 553 and 554), so a test stays below that.
type PebbleServer struct {
	// DirectoryURL is the ACME directory, ManagementURL the base of the management interface ("https://host:port").
	DirectoryURL, ManagementURL string
	// RootPEM is the root to trust for both URLs, RootFile a file that holds it. It has nothing to do with the
	// certificates Pebble issues: see Root.
	RootPEM  []byte
	RootFile string
	// HTTPPort and TLSPort are where Pebble looks for http-01 and tls-alpn-01 challenges, on the address DNS gives.
	HTTPPort, TLSPort int
	// DNS is the mock DNS that Pebble asks, to add records to and take them from. As it starts, every name has the
	// address 127.0.0.1 and none has an IPv6 address. DNSAddress is where it listens, UDP and TCP.
	DNS        *challtestsrv.ChallSrv
	DNSAddress string

	proc   *process
	client *http.Client
}

// Pebble starts Pebble and its mock DNS.
func Pebble(t testing.TB, opts PebbleOptions) *PebbleServer {
	t.Helper()
	binary := pebbleBinary(t)
	dir := t.TempDir()
	root := writeServerCertificate(t, dir)
	p := &PebbleServer{
		RootPEM:  root,
		RootFile: filepath.Join(dir, "root.pem"),
		HTTPPort: opts.HTTPPort,
		TLSPort:  opts.TLSPort,
		client:   trustingClient(t, root),
	}
	if p.HTTPPort == 0 {
		p.HTTPPort = FreePort(t)
	}
	if p.TLSPort == 0 {
		p.TLSPort = FreePort(t)
	}
	p.startDNS(t)
	// Another process may take a port between our choice and Pebble's use of it; then other ports are tried.
	var err error
	for range 3 {
		if err = p.start(t, binary, dir, opts); err == nil {
			return p
		}
	}
	t.Fatalf("start Pebble: %v", err)
	return nil
}

// pebbleBinary builds the version of Pebble in go.mod; the build cache keeps it.
func pebbleBinary(t testing.TB) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), Need(t, "go", "the Go tool chain builds Pebble"), "tool", "-n", pebbleTool)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("build Pebble: %v\n%s", err, &stderr)
	}
	return strings.TrimSpace(string(out))
}

func (p *PebbleServer) startDNS(t testing.TB) {
	t.Helper()
	p.DNSAddress = loopback(FreePort(t))
	srv, err := challtestsrv.New(challtestsrv.Config{
		DNSAddrs: []string{p.DNSAddress},
		Log:      log.New(io.Discard, "", 0),
	})
	if err != nil {
		t.Fatalf("start mock DNS: %v", err)
	}
	srv.SetDefaultDNSIPv6("")
	srv.Run()
	p.DNS = srv
	if err := awaitDNS(t.Context(), p.DNSAddress); err != nil {
		t.Fatalf("start mock DNS: %v", err)
	}
	// Only now, for it cannot be shut down before it listens.
	t.Cleanup(srv.Shutdown)
}

// awaitDNS waits until the mock DNS answers by UDP and by TCP.
func awaitDNS(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for _, network := range []string{"udp", "tcp"} {
		client := dns.Client{Net: network, Timeout: time.Second}
		for {
			query := new(dns.Msg).SetQuestion("ready.test.", dns.TypeA)
			_, _, err := client.ExchangeContext(ctx, query, addr)
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("no answer by %s at %s: %w", network, addr, err)
			case <-time.After(pollInterval):
			}
		}
	}
	return nil
}

func (p *PebbleServer) start(t testing.TB, binary, dir string, opts PebbleOptions) error {
	t.Helper()
	listen, management := loopback(FreePort(t)), loopback(FreePort(t))
	config := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(config, p.config(t, dir, listen, management, opts), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-config", config, "-strict", "-dnsserver", cmp.Or(opts.DNSServer, p.DNSAddress))
	cmd.Dir = dir
	cmd.Env = append([]string{
		"PEBBLE_VA_NOSLEEP=1",
		"PEBBLE_ALTERNATE_ROOTS=" + strconv.Itoa(opts.AlternateRoots),
		"PEBBLE_CHAIN_LENGTH=" + strconv.Itoa(max(opts.ChainLength, 1)),
	}, opts.Env...)
	p.DirectoryURL = "https://" + listen + "/dir"
	p.ManagementURL = "https://" + management
	p.proc = launch(t, "pebble", cmd)
	return p.proc.ready(func() error {
		for _, url := range []string{p.DirectoryURL, p.ManagementURL + "/roots/0"} {
			if _, err := p.get(t.Context(), url); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *PebbleServer) config(t testing.TB, dir, listen, management string, opts PebbleOptions) []byte {
	t.Helper()
	validity := opts.Profiles
	if validity == nil {
		validity = map[string]time.Duration{"default": 90 * 24 * time.Hour, "shortlived": 6 * 24 * time.Hour}
	}
	profiles := map[string]any{}
	for name, d := range validity {
		profiles[name] = map[string]any{"description": "The " + name + " profile", "validityPeriod": int64(d / time.Second)}
	}
	blob, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress":                  listen,
		"managementListenAddress":        management,
		"certificate":                    filepath.Join(dir, "server.pem"),
		"privateKey":                     filepath.Join(dir, "server.key"),
		"httpPort":                       p.HTTPPort,
		"tlsPort":                        p.TLSPort,
		"externalAccountBindingRequired": opts.EABRequired,
		"externalAccountMACKeys":         opts.EAB,
		"domainBlocklist":                opts.Blocked,
		"caaIdentities":                  opts.CAAIdentities,
		"keyAlgorithm":                   "ecdsa",
		"profiles":                       profiles,
		"retryAfter":                     map[string]int{"authz": max(opts.RetryAfterAuthz, 1), "order": max(opts.RetryAfterOrder, 1)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return blob
}

// Client returns an HTTP client that trusts Pebble's own TLS certificate.
func (p *PebbleServer) Client() *http.Client { return p.client }

// Stop ends Pebble, as an outage of the CA. Everything it knew is lost.
func (p *PebbleServer) Stop(t testing.TB) {
	t.Helper()
	p.proc.stop(t)
}

// Log returns the end of Pebble's log.
func (p *PebbleServer) Log() string { return p.proc.log.String() }

// Root returns the root of issued certificates with a number, PEM: 0 is the first, 1 and up are the alternates.
func (p *PebbleServer) Root(t testing.TB, n int) []byte {
	t.Helper()
	return p.manage(t, "/roots/"+strconv.Itoa(n))
}

// Intermediate returns the intermediate that belongs to a root, PEM.
func (p *PebbleServer) Intermediate(t testing.TB, n int) []byte {
	t.Helper()
	return p.manage(t, "/intermediates/"+strconv.Itoa(n))
}

// Revoked reports whether the certificate with a serial number is revoked.
func (p *PebbleServer) Revoked(t testing.TB, serial *big.Int) bool {
	t.Helper()
	var reply struct{ Status string }
	body := p.manage(t, "/cert-status-by-serial/"+serial.Text(16))
	if err := json.Unmarshal(body, &reply); err != nil {
		t.Fatalf("status of certificate %x: %v in %q", serial, err, body)
	}
	return reply.Status == "Revoked"
}

// SetRenewalInfo makes Pebble answer a question for renewal information about a certificate (PEM) with response, word
// for word.
func (p *PebbleServer) SetRenewalInfo(t testing.TB, certificate []byte, response string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"Certificate": string(certificate), "ARIResponse": response})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.ManagementURL+"/set-renewal-info/", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.do(req); err != nil {
		t.Fatalf("set renewal info: %v", err)
	}
}

func (p *PebbleServer) manage(t testing.TB, path string) []byte {
	t.Helper()
	body, err := p.get(t.Context(), p.ManagementURL+path)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func (p *PebbleServer) get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return p.do(req)
}

func (p *PebbleServer) do(req *http.Request) ([]byte, error) {
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s %s: %s: %s", req.Method, req.URL, resp.Status, body)
	}
	return body, nil
}

func trustingClient(t testing.TB, root []byte) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(root) {
		t.Fatal("no certificate in the root just made")
	}
	// Connections are not kept, and there is no Timeout, whose goroutine outlives the body of a response that somebody
	// does not close: a leak check would find it.
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives:     true,
		ResponseHeaderTimeout: startTimeout,
		TLSClientConfig:       &tls.Config{RootCAs: pool},
	}}
}

// writeServerCertificate writes root.pem, server.pem and server.key for a server on the loopback addresses, and
// returns the root.
func writeServerCertificate(t testing.TB, dir string) []byte {
	t.Helper()
	rootKey, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	key, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	keyDER, err3 := x509.MarshalPKCS8PrivateKey(key)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "Test server root"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		NotBefore:    root.NotBefore,
		NotAfter:     root.NotAfter,
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, &rootKey.PublicKey, rootKey)
	if err != nil {
		t.Fatal(err)
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, &key.PublicKey, rootKey)
	if err != nil {
		t.Fatal(err)
	}
	rootPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER})
	for name, content := range map[string][]byte{
		"root.pem":   rootPEM,
		"server.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leafDER}),
		"server.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return rootPEM
}
