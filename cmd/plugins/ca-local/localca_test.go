package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// newCA returns a CA in a folder of its own whose clock stands still.
func newCA(t testing.TB, now *time.Time, values map[string]any) *localCA {
	t.Helper()
	if values == nil {
		values = make(map[string]any)
	}
	if values["dir"] == nil {
		values["dir"] = t.TempDir()
	}
	l := &localCA{now: func() time.Time { return *now }, version: "test"}
	c, err := l.Configure(t.Context(), pluginapi.Account{Settings: pluginapi.Settings{Values: values}})
	if err != nil || len(c.Findings) > 0 {
		t.Fatal(err, c.Findings)
	}
	return l
}

func newRequest(t testing.TB, n int, key crypto.Signer, names ...string) pluginapi.OrderRequest {
	t.Helper()
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: names}, key)
	if err != nil {
		t.Fatal(err)
	}
	r := pluginapi.OrderRequest{IdempotencyKey: fmt.Sprintf("%032x", n), Kind: pluginapi.New, CSR: csr}
	for _, name := range names {
		r.Identifiers = append(r.Identifiers, pluginapi.Identifier{Value: name, Type: pluginapi.DNS})
	}
	return r
}

func ecKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue takes an order that needs no validation to its certificate.
func issue(t *testing.T, l *localCA, r pluginapi.OrderRequest) (pluginapi.Order, *x509.Certificate) {
	t.Helper()
	got, err := l.PlaceOrder(t.Context(), r)
	if err != nil || got.Order.Status != pluginapi.Issued {
		t.Fatal(got.Order.Status, err)
	}
	leaf, err := x509.ParseCertificate(got.Order.Chain[0])
	if err != nil {
		t.Fatal(err)
	}
	return got.Order, leaf
}

func TestLeafProfile(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key   crypto.Signer
		usage x509.KeyUsage
	}{
		"rsa":     {rsaKey, x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment},
		"ecdsa":   {ecKey(t), x509.KeyUsageDigitalSignature},
		"ed25519": {edKey, x509.KeyUsageDigitalSignature},
	} {
		t.Run(name, func(t *testing.T) {
			l := newCA(t, &now, map[string]any{"lifetime": "100s", "crl_url": "http://crl.example/crl.der"})
			o, leaf := issue(t, l, newRequest(t, 1, c.key, "Shop.Example.com", "*.example.com"))
			if leaf.KeyUsage != c.usage || leaf.IsCA || leaf.SerialNumber.BitLen() != serialBits {
				t.Errorf("usage %v, CA %v, serial of %d bits", leaf.KeyUsage, leaf.IsCA, leaf.SerialNumber.BitLen())
			}
			if got, want := leaf.NotAfter, now.Add(100*time.Second); !got.Equal(want) {
				t.Errorf("ends %s, want %s", got, want)
			}
			if got, want := leaf.NotBefore, now.Add(-10*time.Second); !got.Equal(want) {
				t.Errorf("begins %s, want %s: a tenth of the lifetime", got, want)
			}
			if len(leaf.SubjectKeyId) != 20 || len(leaf.AuthorityKeyId) == 0 || len(leaf.CRLDistributionPoints) != 1 {
				t.Errorf("identifiers %x and %x, list at %q", leaf.SubjectKeyId, leaf.AuthorityKeyId, leaf.CRLDistributionPoints)
			}
			roots, between := x509.NewCertPool(), x509.NewCertPool()
			root, err := readCertificate(caFile(l.account.dir, rootName))
			if err != nil {
				t.Fatal(err)
			}
			roots.AddCert(root)
			issuer, err := x509.ParseCertificate(o.Chain[1])
			if err != nil {
				t.Fatal(err)
			}
			between.AddCert(issuer)
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: "any.example.com"}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTwoProcessesMakeOneCA(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	var group sync.WaitGroup
	serials := make([]string, 8)
	for i := range serials {
		group.Go(func() {
			a, err := folder(dir).authority("race", time.Now())
			if err != nil {
				t.Error(err)
				return
			}
			serials[i] = serialOf(a.root)
		})
	}
	group.Wait()
	for _, s := range serials {
		if s != serials[0] {
			t.Errorf("two roots: %s and %s", s, serials[0])
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	key, err := os.Stat(filepath.Join(dir, "ca", "issuer.key"))
	if err != nil || key.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode: %v, %v", key, err)
	}
}

func TestAnIncompleteCAIsNotReplaced(t *testing.T) {
	now := time.Now()
	l := newCA(t, &now, nil)
	issue(t, l, newRequest(t, 1, ecKey(t), "a.example"))
	if err := os.Remove(filepath.Join(l.account.dir, "ca", "issuer.key")); err != nil {
		t.Fatal(err)
	}
	_, err := l.PlaceOrder(t.Context(), newRequest(t, 2, ecKey(t), "a.example"))
	if pluginapi.KindOf(err) != pluginapi.Unavailable || !strings.Contains(err.Error(), "incomplete") {
		t.Errorf("got %v", err)
	}
}

func TestCoverage(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	start := now
	l := newCA(t, &now, map[string]any{"lifetime": "24h", "coverage": "60h"})
	first, _ := issue(t, l, newRequest(t, 1, ecKey(t), "a.example"))
	if want := start.Add(60 * time.Hour); !first.CoverageEnd.Equal(want) {
		t.Errorf("coverage ends %s, want %s", first.CoverageEnd, want)
	}
	follow := func(n int, kind pluginapi.OrderKind) pluginapi.OrderRequest {
		r := newRequest(t, n, ecKey(t), "a.example")
		r.Kind, r.Previous = kind, &pluginapi.PreviousOrder{Reference: first.Reference}
		return r
	}
	now = start.Add(48 * time.Hour)
	again, leaf := issue(t, l, follow(2, pluginapi.Reissue))
	if !again.CoverageEnd.Equal(first.CoverageEnd) || !leaf.NotAfter.Equal(first.CoverageEnd) {
		t.Errorf("a reissue is covered until %s and lasts until %s, want both %s", again.CoverageEnd, leaf.NotAfter, first.CoverageEnd)
	}
	renewed, _ := issue(t, l, follow(3, pluginapi.Renew))
	if want := first.CoverageEnd.Add(60 * time.Hour); !renewed.CoverageEnd.Equal(want) {
		t.Errorf("a renewal is covered until %s, want %s: no paid time is lost", renewed.CoverageEnd, want)
	}
	now = start.Add(61 * time.Hour)
	if _, err := l.PlaceOrder(t.Context(), follow(4, pluginapi.Reissue)); pluginapi.KindOf(err) != pluginapi.Conflict {
		t.Errorf("a reissue after the plan's end: %v", err)
	}
	stranger := follow(5, pluginapi.Reissue)
	stranger.Previous.Reference = referencePrefix + strings.Repeat("f", 32)
	if _, err := l.PlaceOrder(t.Context(), stranger); pluginapi.KindOf(err) != pluginapi.NotFound {
		t.Errorf("a reissue of nothing: %v", err)
	}
}

func TestRevocationIsListed(t *testing.T) {
	now := time.Now()
	l := newCA(t, &now, nil)
	_, leaf := issue(t, l, newRequest(t, 1, ecKey(t), "a.example"))
	for range 2 {
		if _, err := l.RevokeCertificate(t.Context(), pluginapi.Revocation{Leaf: leaf.Raw, Reason: 1}); err != nil {
			t.Fatal(err)
		}
	}
	der, err := os.ReadFile(filepath.Join(l.account.dir, "crl.der"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	if e := list.RevokedCertificateEntries; len(e) != 1 || e[0].SerialNumber.Cmp(leaf.SerialNumber) != 0 || e[0].ReasonCode != 1 {
		t.Errorf("entries %+v", e)
	}
	info, err := l.RenewalInfo(t.Context(), leaf.Raw)
	if err != nil || !info.WindowEnd.Before(now) {
		t.Errorf("renewal info of a revoked certificate: %+v, %v", info, err)
	}
}

func TestRefusals(t *testing.T) {
	now := time.Now()
	weak, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		settings map[string]any
		change   func(*pluginapi.OrderRequest)
		field    string
	}{
		"a weak key": {nil, func(r *pluginapi.OrderRequest) { r.CSR = newRequest(t, 1, weak, "a.example").CSR }, "order.csr"},
		"a name in the request that was not ordered": {
			nil, func(r *pluginapi.OrderRequest) { r.CSR = newRequest(t, 1, ecKey(t), "b.example").CSR }, "order.csr",
		},
		"a lifetime that is none": {
			nil, func(r *pluginapi.OrderRequest) { r.Settings.Values = map[string]any{"lifetime": "0s"} }, "lifetime",
		},
		"a wildcard shown by a file": {
			map[string]any{"challenge": "http"},
			func(r *pluginapi.OrderRequest) { *r = newRequest(t, 1, ecKey(t), "*.a.example") }, "order.identifiers",
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newCA(t, &now, c.settings)
			r := newRequest(t, 1, ecKey(t), "a.example")
			c.change(&r)
			_, err := l.PlaceOrder(t.Context(), r)
			var e *pluginapi.Error
			if !errors.As(err, &e) || e.Kind != pluginapi.InvalidRequest || e.Field != c.field {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAnotherRequestUnderOneKeyIsAConflict(t *testing.T) {
	now := time.Now()
	l := newCA(t, &now, nil)
	issue(t, l, newRequest(t, 1, ecKey(t), "a.example"))
	if _, err := l.PlaceOrder(t.Context(), newRequest(t, 1, ecKey(t), "a.example")); pluginapi.KindOf(err) != pluginapi.Conflict {
		t.Errorf("got %v", err)
	}
}

func TestAnOrderExpires(t *testing.T) {
	now := time.Now()
	l := newCA(t, &now, map[string]any{"challenge": "http"})
	r := newRequest(t, 1, ecKey(t), "a.example")
	placed, err := l.PlaceOrder(t.Context(), r)
	if err != nil || placed.Order.Status != pluginapi.PendingValidation {
		t.Fatal(placed.Order.Status, err)
	}
	now = now.Add(pendingLife + time.Second)
	got, err := l.GetOrder(t.Context(), pluginapi.PlacedOrder{OrderRequest: r, Reference: placed.Order.Reference})
	if err != nil || got.Order.Status != pluginapi.Expired {
		t.Errorf("got %s, %v", got.Order.Status, err)
	}
}

// TestDNSChallenge shows control by a record that a real name server serves.
func TestDNSChallenge(t *testing.T) {
	var mu sync.Mutex
	records := make(map[string]string)
	started := make(chan struct{})
	server := &dns.Server{Addr: "127.0.0.1:0", Net: "udp", NotifyStartedFunc: func() { close(started) }}
	server.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		mu.Lock()
		defer mu.Unlock()
		m := new(dns.Msg)
		m.SetReply(q)
		m.Authoritative = true
		name := q.Question[0].Name
		if value, ok := records[name]; ok && q.Question[0].Qtype == dns.TypeTXT {
			m.Answer = append(m.Answer, &dns.TXT{
				Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{value},
			})
		} else {
			m.Rcode = dns.RcodeNameError
		}
		_ = w.WriteMsg(m)
	})
	go server.ListenAndServe()
	<-started
	t.Cleanup(func() { _ = server.Shutdown() })

	now := time.Now()
	l := newCA(t, &now, map[string]any{"challenge": "dns", "dns_server": server.PacketConn.LocalAddr().String()})
	r := newRequest(t, 1, ecKey(t), "*.a.example")
	placed, err := l.PlaceOrder(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	c := placed.Order.Authorizations[0].Challenges[0]
	order := pluginapi.PlacedOrder{OrderRequest: r, Reference: placed.Order.Reference}
	got, err := l.RespondToChallenges(t.Context(), order, []string{c.ID})
	if err != nil || got.Order.Status != pluginapi.PendingValidation || !strings.Contains(got.Order.Detail, c.DNS.Name) {
		t.Errorf("before it is published: %s, %q, %v", got.Order.Status, got.Order.Detail, err)
	}
	mu.Lock()
	records[c.DNS.Name+"."] = c.DNS.Value
	mu.Unlock()
	got, err = l.GetOrder(t.Context(), order)
	if err != nil || got.Order.Status != pluginapi.Issued {
		t.Errorf("after: %s, %q, %v", got.Order.Status, got.Order.Detail, err)
	}
}
