package acme

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	lego "github.com/go-acme/lego/v4/acme"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"":                              0,
		"120":                           2 * time.Minute,
		" 5 ":                           5 * time.Second,
		"-3":                            0,
		"1e9":                           0,
		"999999999":                     maxRetryAfter,
		"99999999999999":                0,
		"Fri, 02 Jan 2026 03:05:05 GMT": time.Minute,
		"Fri, 02 Jan 2026 03:00:00 GMT": 0,
		"tomorrow":                      0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestKindsOfProblems(t *testing.T) {
	t.Parallel()
	cases := []struct {
		status int
		kind   string
		want   pluginapi.ErrorKind
		field  string
	}{
		{400, "accountDoesNotExist", pluginapi.Unauthorized, ""},
		{409, "alreadyReplaced", pluginapi.Conflict, ""},
		{400, "alreadyRevoked", pluginapi.Conflict, ""},
		{400, "badCSR", pluginapi.InvalidRequest, "csr"},
		{400, "badNonce", pluginapi.Unavailable, ""},
		{400, "badPublicKey", pluginapi.InvalidRequest, "account_key_type"},
		{400, "badRevocationReason", pluginapi.InvalidRequest, "reason"},
		{400, "badSignatureAlgorithm", pluginapi.InvalidRequest, "account_key_type"},
		{403, "caa", pluginapi.Rejected, ""},
		{400, "connection", pluginapi.Rejected, ""},
		{400, "dns", pluginapi.Rejected, ""},
		{403, "externalAccountRequired", pluginapi.Unauthorized, "eab_kid"},
		{400, "incorrectResponse", pluginapi.Rejected, ""},
		{400, "invalidContact", pluginapi.InvalidRequest, "contacts"},
		{400, "invalidProfile", pluginapi.InvalidRequest, "profile"},
		{400, "malformed", pluginapi.InvalidRequest, ""},
		{404, "malformed", pluginapi.NotFound, ""},
		{403, "orderNotReady", pluginapi.Conflict, ""},
		{429, "rateLimited", pluginapi.RateLimited, ""},
		{503, "rateLimited", pluginapi.RateLimited, ""},
		{400, "rejectedIdentifier", pluginapi.InvalidRequest, "identifiers"},
		{500, "serverInternal", pluginapi.Unavailable, ""},
		{400, "tls", pluginapi.Rejected, ""},
		{403, "unauthorized", pluginapi.Unauthorized, ""},
		{400, "unsupportedContact", pluginapi.InvalidRequest, "contacts"},
		{400, "unsupportedIdentifier", pluginapi.InvalidRequest, "identifiers"},
		{403, "userActionRequired", pluginapi.NeedsPerson, ""},
		{400, "ofTheFuture", pluginapi.InvalidRequest, ""},
		{502, "ofTheFuture", pluginapi.Unavailable, ""},
		{404, "", pluginapi.NotFound, ""},
		{400, "", pluginapi.Unavailable, ""},
		{429, "", pluginapi.RateLimited, ""},
		{403, "", pluginapi.Unauthorized, ""},
		{409, "", pluginapi.Conflict, ""},
		{503, "", pluginapi.Unavailable, ""},
	}
	for _, c := range cases {
		p := &problem{status: c.status, retryAfter: 9 * time.Second}
		if c.kind != "" {
			p.doc = lego.ProblemDetails{Type: errorNamespace + c.kind, Detail: "why"}
		}
		got := fail("try", &outcome{err: p})
		if got.Kind != c.want || got.Field != c.field || got.RetryAfter != 9*time.Second {
			t.Errorf("%d %s: %s of %q", c.status, c.kind, got.Kind, got.Field)
		}
		if !errors.Is(got, error(p)) {
			t.Errorf("%d %s: the cause is lost", c.status, c.kind)
		}
	}
}

func TestReverseName(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.1":          "1.2.0.192.in-addr.arpa",
		"::ffff:192.0.2.1":   "1.2.0.192.in-addr.arpa",
		"2001:db8::567:89ab": "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
	} {
		if got := reverseName(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %s", address, got)
		}
	}
}

func TestOrderNames(t *testing.T) {
	t.Parallel()
	names, err := orderNames([]pluginapi.Identifier{
		{Value: "B.Example.com", Type: pluginapi.DNS}, {Value: "*.example.com", Type: pluginapi.DNS},
		{Value: "b.example.com", Type: pluginapi.DNS}, {Value: "2001:DB8:0::1", Type: pluginapi.IP}, {Value: "::ffff:192.0.2.1", Type: pluginapi.IP},
	})
	if got := strings.Join(names, " "); err != nil || got != "b.example.com *.example.com 2001:db8::1 192.0.2.1" {
		t.Errorf("%q, %v", got, err)
	}
	for name, bad := range map[string][]pluginapi.Identifier{
		"none": nil, "empty": {{Type: pluginapi.DNS}}, "untyped": {{Value: "a.example"}},
		"zone": {{Value: "fe80::1%eth0", Type: pluginapi.IP}}, "too many": make([]pluginapi.Identifier, maxNames+1),
	} {
		if _, err := orderNames(bad); pluginapi.KindOf(err) != pluginapi.InvalidRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A challenge becomes a path and a file's name, so a token may hold nothing else than base64url.
func TestHostileChallenges(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"", "../../etc/passwd", "a/b", "a b", "a.b", "ä", strings.Repeat("a", 1000)} {
		_, err := tell(lego.Authorization{
			Status: lego.StatusPending, Identifier: lego.Identifier{Type: "dns", Value: "a.example"},
			Challenges: []lego.Challenge{{Type: http01, URL: "https://ca.example/1", Token: token, Status: lego.StatusPending}},
		}, "print")
		if pluginapi.KindOf(err) != pluginapi.Unavailable {
			t.Errorf("token %.20q: %v", token, err)
		}
	}
}

func TestEndedAuthorizations(t *testing.T) {
	t.Parallel()
	named := func(name, status string) lego.Authorization {
		return lego.Authorization{Status: status, Identifier: lego.Identifier{Value: name}}
	}
	cases := map[string]struct {
		list  []lego.Authorization
		want  pluginapi.OrderStatus
		words string
	}{
		"all well":        {[]lego.Authorization{named("a", lego.StatusValid), named("b", lego.StatusPending)}, 0, ""},
		"one failed":      {[]lego.Authorization{named("a", lego.StatusExpired), named("b", lego.StatusInvalid)}, pluginapi.OrderRejected, "b: the CA gave no reason"},
		"one revoked":     {[]lego.Authorization{named("a", lego.StatusRevoked)}, pluginapi.OrderRejected, "a: the CA revoked"},
		"one expired":     {[]lego.Authorization{named("a", lego.StatusExpired)}, pluginapi.Expired, "a: the authorization expired"},
		"one deactivated": {[]lego.Authorization{named("a", lego.StatusExpired), named("b", lego.StatusDeactivated)}, pluginapi.Canceled, "b: the authorization was deactivated"},
	}
	for name, c := range cases {
		if got, words := ended(c.list); got != c.want || !strings.Contains(words, c.words) {
			t.Errorf("%s: %s: %s", name, got, words)
		}
	}
}

// certificatePEM makes a self-signed certificate that names an issuer.
func certificatePEM(t testing.TB, issuer string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: issuer}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestChoiceOfChain(t *testing.T) {
	t.Parallel()
	join := func(parts ...[]byte) *lego.RawCertificate {
		var out []byte
		for _, p := range parts {
			out = append(out, p...)
		}
		return &lego.RawCertificate{Cert: out}
	}
	one, two, three := certificatePEM(t, "Root One"), certificatePEM(t, "Root Two"), certificatePEM(t, "Root Three")
	all := map[string]*lego.RawCertificate{
		"https://ca/cert":   join(one, two, three), // contains Root Two
		"https://ca/cert/1": join(one, two),        // leads to Root Two
		"https://ca/cert/2": join([]byte("garbage")),
	}
	for preferred, want := range map[string]int{"Root Three": 3, "Root Two": 2, "Root One": 3, "Root Nine": 3} {
		chain, remark, err := choose("https://ca/cert", all, preferred)
		if err != nil || len(chain) != want || (remark != "") != (preferred == "Root Nine") {
			t.Errorf("%s: %d certificates, %q, %v", preferred, len(chain), remark, err)
		}
	}
	if _, _, err := choose("https://ca/cert/2", all, "Root Nine"); err == nil {
		t.Error("a default chain that is garbage is taken")
	}
}

func FuzzAccountState(f *testing.F) {
	key, err := newKeyRecord(defaultKeyType, 1)
	if err != nil {
		f.Fatal(err)
	}
	good, err := accountState{Version: stateVersion, Accounts: map[string]accountRecord{"https://ca.example": {Key: key, Next: &key}}}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"accounts":{"x":{}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		state, err := decodeAccountState(data)
		if err != nil {
			return
		}
		for _, record := range state.Accounts {
			if _, err := record.Key.signer(record.URL); err != nil {
				t.Errorf("a state is accepted whose key cannot sign: %v", err)
			}
		}
		again, err := state.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeAccountState(again); err != nil {
			t.Errorf("a state that was read is not read again: %v", err)
		}
	})
}

func FuzzOrderState(f *testing.F) {
	f.Add([]byte(`{"version":1,"thumbprint":"x","responded":true}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := decodeOrderState(data); err != nil && pluginapi.KindOf(err) != pluginapi.InvalidRequest {
			t.Errorf("%v has no kind", err)
		}
	})
}

func FuzzProblem(f *testing.F) {
	f.Add(400, []byte(`{"type":"urn:ietf:params:acme:error:compound","detail":"x","subproblems":[{"type":"urn:ietf:params:acme:error:caa","detail":"y","identifier":{"type":"dns","value":"a"}}]}`))
	f.Add(502, []byte("<html>"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		req, err := http.NewRequest(http.MethodPost, "https://ca.example/", nil)
		if err != nil {
			t.Fatal(err)
		}
		p := readProblem(req, &http.Response{StatusCode: status, Header: http.Header{}}, body)
		e := fail("try", p)
		if e.Kind == 0 || e.Message == "" || len(e.Message) > 2*maxMessage || strings.ContainsAny(e.Message, "\n\r\t\x00\x1b") {
			t.Errorf("%s: %q", e.Kind, e.Message)
		}
	})
}

func FuzzChain(f *testing.F) {
	f.Add(certificatePEM(f, "Root"))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		chain, err := parseChain(text)
		if err == nil && (len(chain) == 0 || len(chain) > maxChain) {
			t.Errorf("a chain of %d", len(chain))
		}
	})
}

func FuzzRenewalInfo(f *testing.F) {
	f.Add([]byte(`{"suggestedWindow":{"start":"2025-01-02T04:00:00Z","end":"2025-01-03T04:00:00Z"},"explanationURL":"https://ca.example/"}`))
	f.Add([]byte(`{"suggestedWindow":{"start":"2025-01-02T04:00:00Z","end":"2025-01-01T04:00:00Z"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		info, err := readRenewalInfo(body)
		if err == nil && !info.WindowEnd.After(info.WindowStart) {
			t.Errorf("a window from %s to %s", info.WindowStart, info.WindowEnd)
		}
	})
}

func TestOnlyDomainNamesAreIssuers(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"letsencrypt.org": true, "pki.goog": true, "a": true, "1-2.example": true,
		"": false, "ca example": false, "ca.": false, ".ca": false, "-a.example": false, "a-.example": false, "\x00": false, "ca_x.example": false,
		strings.Repeat("a", 64) + ".example": false, strings.Repeat("a.", 127): false,
	} {
		if got := isDomainName(name); got != want {
			t.Errorf("%q: %t", name, got)
		}
	}
	b := &accountBook{state: accountState{Accounts: map[string]accountRecord{}}}
	b.learn([]string{"CA.example", "ca.example", "no name", "b.example"})
	if got := b.record().CAAIdentities; !slices.Equal(got, []string{"ca.example", "b.example"}) {
		t.Errorf("learned %q", got)
	}
}

func TestLeafOfTheCSRsKey(t *testing.T) {
	t.Parallel()
	curve, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	bits, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keys := []crypto.Signer{curve, bits}
	for i, key := range keys {
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
			Subject: pkix.Name{CommonName: "shop.example.com", Organization: []string{"A company"}}, DNSNames: []string{"shop.example.com"},
		}, key)
		if err != nil {
			t.Fatal(err)
		}
		for j, other := range keys {
			public, err := x509.MarshalPKIXPublicKey(other.Public())
			if err != nil {
				t.Fatal(err)
			}
			leaf := &x509.Certificate{RawSubjectPublicKeyInfo: public}
			if got := csrKeyMatches(der, leaf); got != (i == j) {
				t.Errorf("CSR of %T, leaf of %T: %t", key, other, got)
			}
			if csrKeyMatches(der[:len(der)/4], leaf) || csrKeyMatches(nil, leaf) {
				t.Error("what is no CSR has a key")
			}
		}
	}
	if csrKeyMatches(nil, &x509.Certificate{}) {
		t.Error("nothing matches nothing")
	}
}
