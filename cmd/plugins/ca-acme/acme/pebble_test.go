package acme

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/peer"
)

// Every order here goes through a kill between any two calls. It does not run beside others: the mock DNS servers of
// one process answer alike, and this is the test that publishes in DNS.
func TestOrders(t *testing.T) {
	cases := map[string]struct {
		names    []string
		settings map[string]any
		with     pluginapi.ChallengeType
		lifetime time.Duration // at most
	}{
		"one name by http":          {names: []string{"one.example.com"}, with: pluginapi.ChallengeHTTP},
		"many names by http":        {names: []string{"a.example.com", "b.example.com", "c.example.com", "d.example.com"}, with: pluginapi.ChallengeHTTP},
		"wildcard and name by dns":  {names: []string{"*.wild.example.com", "wild.example.com"}, with: pluginapi.ChallengeDNS},
		"one name by tls-alpn":      {names: []string{"alpn.example.com"}, with: pluginapi.ChallengeTLSALPN},
		"address by tls-alpn":       {names: []string{"127.0.0.2"}, with: pluginapi.ChallengeTLSALPN},
		"address by http":           {names: []string{"127.0.0.1"}, with: pluginapi.ChallengeHTTP},
		"name in capitals":          {names: []string{"Capitals.Example.Com"}, with: pluginapi.ChallengeHTTP},
		"profile of six days":       {names: []string{"short.example.com"}, settings: map[string]any{"profile": "shortlived"}, with: pluginapi.ChallengeHTTP, lifetime: 6 * 24 * time.Hour},
		"lifetime of forty hours":   {names: []string{"lifetime.example.com"}, settings: map[string]any{"lifetime": "40h"}, with: pluginapi.ChallengeHTTP, lifetime: 41 * time.Hour},
		"chain nobody offers":       {names: []string{"nochain.example.com"}, settings: map[string]any{"preferred_chain": "No Such Root"}, with: pluginapi.ChallengeHTTP},
		"until a point in time":     {names: []string{"until.example.com"}, settings: map[string]any{"not_after": time.Now().Add(50 * time.Hour).Format(time.RFC3339)}, with: pluginapi.ChallengeHTTP, lifetime: 51 * time.Hour},
		"name and address by http":  {names: []string{"both.example.com", "127.0.0.1"}, with: pluginapi.ChallengeHTTP},
		"one name by dns, no reuse": {names: []string{"dns.example.com"}, with: pluginapi.ChallengeDNS},
	}
	r := newRig(t, peer.PebbleOptions{AlternateRoots: 1})
	r.killed = true
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r.t = t
			req := request(t, c.settings, c.names...)
			o := r.order(req, c.with)
			leaf := leafOf(t, o, req)
			if life := leaf.NotAfter.Sub(leaf.NotBefore); c.lifetime > 0 && life > c.lifetime {
				t.Errorf("the certificate lives %s, more than %s", life, c.lifetime)
			}
			if c.settings["preferred_chain"] != nil && !strings.Contains(o.Detail, "No Such Root") {
				t.Errorf("nothing said about the chain: %s", o.Detail)
			}
		})
	}
	if n := r.proxy.requests("POST sign-me-up"); n > 2 { // one, and one more when its nonce was refused
		t.Errorf("the account was registered or looked up %d times", n)
	}
}

func TestPreferredChain(t *testing.T) {
	t.Parallel()
	r := newRig(t, peer.PebbleOptions{AlternateRoots: 2})
	for n := range 3 {
		block, _ := pem.Decode(r.pebble.Root(t, n))
		root, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		req := request(t, map[string]any{"preferred_chain": root.Subject.CommonName}, "chain.example.com")
		o := r.order(req, pluginapi.ChallengeHTTP)
		leafOf(t, o, req)
		last, err := x509.ParseCertificate(o.Chain[len(o.Chain)-1])
		if err != nil {
			t.Fatal(err)
		}
		if err := last.CheckSignatureFrom(root); err != nil {
			t.Errorf("the chain does not lead to root %d, %q, but to %q", n, root.Subject.CommonName, last.Issuer.CommonName)
		}
	}
}

func TestExternalAccountBinding(t *testing.T) {
	t.Parallel()
	const hmac = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	r := newRig(t, peer.PebbleOptions{EAB: map[string]string{"kid-1": hmac}, EABRequired: true})
	req := request(t, nil, "eab.example.com")

	_, err := r.place(req)
	if pluginapi.KindOf(err) != pluginapi.Unauthorized || !strings.Contains(err.Error(), "eab_hmac_key") {
		t.Errorf("without binding: %v", err)
	}
	reply, err := r.instance().Preflight(t.Context(), nil)
	if err != nil || !hasFinding(reply.Findings, pluginapi.Fault, "eab_kid") {
		t.Errorf("preflight without binding: %v, %v", reply.Findings, err)
	}

	r.restart()
	r.settings["eab_kid"], r.secrets = "kid-1", map[string]pluginapi.Secret{"eab_hmac_key": pluginapi.NewSecret(hmac[:len(hmac)-2] + "AA")}
	if _, err = r.place(req); pluginapi.KindOf(err) != pluginapi.Unauthorized || strings.Contains(err.Error(), hmac[:20]) {
		t.Errorf("with a wrong key: %v (%s)", err, pluginapi.KindOf(err))
	}

	r.restart()
	r.secrets["eab_hmac_key"] = pluginapi.NewSecret(hmac)
	r.forget = true // the account's address is lost: the binding is not sent again, or Pebble would refuse it
	leafOf(t, r.order(req, pluginapi.ChallengeHTTP), req)
	r.restart()
	r.forget = false
	leafOf(t, r.order(req, pluginapi.ChallengeHTTP), req)
}

func TestAuthorizationsAreUsedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, peer.PebbleOptions{Env: []string{"PEBBLE_AUTHZREUSE=100"}})
	first := request(t, nil, "reuse.example.com")
	leafOf(t, r.order(first, pluginapi.ChallengeHTTP), first)
	before := r.published(pluginapi.ChallengeHTTP)
	second := request(t, nil, "reuse.example.com")
	leafOf(t, r.order(second, pluginapi.ChallengeHTTP), second)
	if got := r.published(pluginapi.ChallengeHTTP); got != before {
		t.Errorf("%d challenges were published for an authorization that is valid", got-before)
	}
	both := request(t, nil, "reuse.example.com", "new.example.com")
	o, err := r.place(both)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range o.Authorizations {
		if want := a.Identifier == "reuse.example.com"; a.Valid != want {
			t.Errorf("%s: valid %t", a.Identifier, a.Valid)
		}
	}
	leafOf(t, r.finish(both, o, pluginapi.ChallengeHTTP), both)
}

func TestFailedValidationIsRejectedInWords(t *testing.T) {
	t.Parallel()
	r := newRig(t, peer.PebbleOptions{})
	req := request(t, nil, "good.example.com", "bad.example.com")
	o, err := r.place(req)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range o.Authorizations {
		for j, c := range a.Challenges {
			if c.HTTP != nil && a.Identifier == "bad.example.com" {
				o.Authorizations[i].Challenges[j].HTTP.Body = "something else"
			}
		}
	}
	o = r.finish(req, o, pluginapi.ChallengeHTTP)
	if o.Status != pluginapi.OrderRejected || !strings.Contains(o.Detail, "bad.example.com: http-01 failed: ") || !strings.Contains(o.Detail, "(unauthorized)") {
		t.Errorf("order is %s: %s", o.Status, o.Detail)
	}
	// It stays that way, also for a new process.
	r.restart()
	again, err := r.get(pluginapi.PlacedOrder{OrderRequest: req, Reference: o.Reference, State: o.State})
	if err != nil || again.Status != pluginapi.OrderRejected || !strings.Contains(again.Detail, "bad.example.com: http-01 failed: ") {
		t.Errorf("looked at again: %s: %s, %v", again.Status, again.Detail, err)
	}
}

func TestRefusedOrders(t *testing.T) {
	t.Parallel()
	r := newRig(t, peer.PebbleOptions{Blocked: []string{"blocked.example.com"}})
	cases := map[string]struct {
		request func() pluginapi.OrderRequest
		kind    pluginapi.ErrorKind
		field   string
	}{
		"a blocked name": {func() pluginapi.OrderRequest { return request(t, nil, "blocked.example.com") }, pluginapi.InvalidRequest, "identifiers"},
		"an unknown profile": {func() pluginapi.OrderRequest {
			return request(t, map[string]any{"profile": "gold"}, "p.example.com")
		}, pluginapi.InvalidRequest, ""},
		"an unknown setting": {func() pluginapi.OrderRequest {
			return request(t, map[string]any{"produkt": "x"}, "p.example.com")
		}, pluginapi.InvalidRequest, ""},
		"both ends of validity": {func() pluginapi.OrderRequest {
			return request(t, map[string]any{"lifetime": "24h", "not_after": "2099-01-01T00:00:00Z"}, "p.example.com")
		}, pluginapi.InvalidRequest, "not_after"},
		"an end that has passed": {func() pluginapi.OrderRequest {
			return request(t, map[string]any{"not_after": "2020-01-01T00:00:00Z"}, "p.example.com")
		}, pluginapi.InvalidRequest, "not_after"},
		"no CSR": {func() pluginapi.OrderRequest {
			o := request(t, nil, "p.example.com")
			o.CSR = nil
			return o
		}, pluginapi.InvalidRequest, "csr"},
		"a CSR for other names": {func() pluginapi.OrderRequest {
			o := request(t, nil, "p.example.com")
			o.CSR = request(t, nil, "q.example.com").CSR
			return o
		}, pluginapi.InvalidRequest, "csr"},
		"a reissue": {func() pluginapi.OrderRequest {
			o := request(t, nil, "p.example.com")
			o.Kind = pluginapi.Reissue
			return o
		}, pluginapi.InvalidRequest, "kind"},
		"an address given as a name": {func() pluginapi.OrderRequest {
			o := request(t, nil, "192.0.2.1")
			o.Identifiers[0].Type = pluginapi.DNS
			return o
		}, pluginapi.InvalidRequest, "identifiers"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := r.place(c.request())
			var got *pluginapi.Error
			if !asError(err, &got) || got.Kind != c.kind || (c.field != "" && got.Field != c.field) {
				t.Errorf("got %v, want %s of %q", err, c.kind, c.field)
			}
		})
	}
	req := request(t, nil, "p.example.com")
	for name, reference := range map[string]string{
		"no address": "order-17", "unknown at the CA": r.proxy.URL + "/my-order/nonesuch",
	} {
		if _, err := r.get(pluginapi.PlacedOrder{OrderRequest: req, Reference: reference}); pluginapi.KindOf(err) != pluginapi.NotFound {
			t.Errorf("order by %s: %v", name, err)
		}
	}
	o, err := r.place(req)
	if err != nil {
		t.Fatal(err)
	}
	placed := pluginapi.PlacedOrder{OrderRequest: req, Reference: o.Reference, State: []byte("garbage")}
	if _, err := r.get(placed); pluginapi.KindOf(err) != pluginapi.InvalidRequest {
		t.Errorf("garbage for a state: %v", err)
	}
	placed.State = o.State
	if _, err := r.respond(placed, []string{"https://127.0.0.1:1/other"}); pluginapi.KindOf(err) != pluginapi.InvalidRequest {
		t.Errorf("response to a foreign challenge: %v", err)
	}
}

func TestRenewalAndReplacement(t *testing.T) {
	t.Parallel()
	r := newRig(t, peer.PebbleOptions{})
	first := request(t, nil, "renew.example.com")
	o := r.order(first, pluginapi.ChallengeHTTP)
	leaf := leafOf(t, o, first)

	info, err := r.instance().RenewalInfo(t.Context(), leaf.Raw)
	if err != nil {
		t.Fatal(err)
	}
	if info.Serial != fmt.Sprintf("%x", leaf.SerialNumber) || !info.WindowEnd.After(info.WindowStart) || info.WindowEnd.After(leaf.NotAfter) {
		t.Errorf("renewal information %+v for a certificate until %s", info, leaf.NotAfter)
	}
	r.pebble.SetRenewalInfo(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}),
		`{"suggestedWindow":{"start":"2024-01-01T00:00:00Z","end":"2024-01-02T00:00:00Z"},"explanationURL":"https://ca.example/why"}`)
	if info, err = r.instance().RenewalInfo(t.Context(), leaf.Raw); err != nil || info.WindowEnd.Year() != 2024 || info.ExplanationURL != "https://ca.example/why" {
		t.Errorf("window moved by the CA: %+v, %v", info, err)
	}

	renewal := request(t, nil, "renew.example.com")
	renewal.Kind, renewal.Previous = pluginapi.Renew, &pluginapi.PreviousOrder{Reference: o.Reference, State: o.State, Chain: o.Chain}
	done := r.order(renewal, pluginapi.ChallengeHTTP)
	leafOf(t, done, renewal)
	if strings.Contains(done.Detail, "did not link") {
		t.Errorf("the first replacement was not linked: %s", done.Detail)
	}
	// The certificate is replaced now; a second order for it is refused the link and placed without.
	again := request(t, nil, "renew.example.com")
	again.Kind, again.Previous = pluginapi.Renew, renewal.Previous
	done = r.order(again, pluginapi.ChallengeHTTP)
	leafOf(t, done, again)
	if !strings.Contains(done.Detail, "did not link") {
		t.Errorf("the second replacement says nothing of a refused link: %s", done.Detail)
	}
	// A certificate that the CA does not find makes Pebble say serverInternal; the renewal is placed all the same.
	lost := request(t, nil, "renew.example.com")
	lost.Kind, lost.Previous = pluginapi.Renew, &pluginapi.PreviousOrder{Reference: o.Reference, State: o.State, Chain: [][]byte{unknownTo(t, leaf)}}
	done = r.order(lost, pluginapi.ChallengeHTTP)
	leafOf(t, done, lost)
	if !strings.Contains(done.Detail, "did not link") {
		t.Errorf("the replacement of an unknown certificate says nothing of a refused link: %s", done.Detail)
	}
}

// unknownTo is a certificate like leaf, of the same authority, whose serial number the CA never gave.
func unknownTo(t *testing.T, leaf *x509.Certificate) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: new(big.Int).Add(leaf.SerialNumber, big.NewInt(1)), AuthorityKeyId: leaf.AuthorityKeyId, DNSNames: leaf.DNSNames,
	}, &x509.Certificate{SerialNumber: big.NewInt(1)}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestRevocation(t *testing.T) {
	t.Parallel()
	r := newRig(t, peer.PebbleOptions{})
	req := request(t, nil, "revoke.example.com")
	leaf := leafOf(t, r.order(req, pluginapi.ChallengeHTTP), req)
	if _, err := r.instance().RevokeCertificate(t.Context(), pluginapi.Revocation{Leaf: leaf.Raw, Reason: 7}); pluginapi.KindOf(err) != pluginapi.InvalidRequest {
		t.Errorf("reason 7: %v", err)
	}
	for i, want := range []string{"revoked", "revoked already"} {
		r.restart()
		reply, err := r.instance().RevokeCertificate(t.Context(), pluginapi.Revocation{Leaf: leaf.Raw, Reason: 4})
		if err != nil || reply.Detail != want {
			t.Errorf("time %d: %q, %v", i+1, reply.Detail, err)
		}
	}
	if !r.pebble.Revoked(t, leaf.SerialNumber) {
		t.Error("Pebble does not know of it")
	}
}

func TestManyOrdersAtOnceShareOneAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t, peer.PebbleOptions{})
	var group sync.WaitGroup
	r.instance()
	for i := range 8 {
		group.Go(func() {
			req := request(t, nil, fmt.Sprintf("n%d.example.com", i))
			o, err := r.place(req)
			if err != nil {
				t.Errorf("order %d: %v", i, err)
				return
			}
			if got := r.finish(req, o, pluginapi.ChallengeHTTP); got.Status != pluginapi.Issued {
				t.Errorf("order %d is %s: %s", i, got.Status, got.Detail)
			}
		})
	}
	group.Wait()
	if n := r.proxy.requests("POST sign-me-up"); n > 3 {
		t.Errorf("the account was registered or looked up %d times", n)
	}
	if n := r.proxy.requests("GET dir"); n > 8 {
		t.Errorf("the directory was read %d times", n)
	}
	if n := r.proxy.requests("HEAD nonce-plz"); n > 40 {
		t.Errorf("%d nonces were asked for, though every answer brings one", n)
	}
}

func TestPreflight(t *testing.T) {
	t.Parallel()
	r := newRig(t, peer.PebbleOptions{CAAIdentities: []string{"ca.example"}})
	reply, err := r.instance().Preflight(t.Context(), []pluginapi.Settings{
		{Values: map[string]any{"profile": "shortlived"}}, {Values: map[string]any{"profile": "gold"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(reply.Findings)
	for _, want := range []string{"no account yet", "ca.example", "terms of service", `no profile "gold"`, "default, shortlived"} {
		if !strings.Contains(text, want) {
			t.Errorf("no word of %q in %s", want, text)
		}
	}
	if !hasFinding(reply.Findings, pluginapi.Fault, "profile") {
		t.Error("an unknown profile is no fault")
	}
	if hasFinding(reply.Findings, pluginapi.Fault, "eab_kid") {
		t.Error("asked for a binding that the CA does not require")
	}
	if strings.Contains(string(reply.AccountState), `"url"`) {
		t.Error("preflight registered an account")
	}
	req := request(t, nil, "preflight.example.com")
	leafOf(t, r.order(req, pluginapi.ChallengeHTTP), req)
	if r.told.AccountURI != "" || len(r.told.CAAIdentifiers) != 0 {
		t.Errorf("before it ever spoke to the CA, the plugin knows %+v", r.told)
	}
	r.restart()
	if reply, err = r.instance().Preflight(t.Context(), nil); err != nil || !strings.Contains(fmt.Sprint(reply.Findings), "the account is https://") {
		t.Errorf("with an account: %v, %v", reply.Findings, err)
	}
	if !strings.HasPrefix(r.told.AccountURI, "https://") || !slices.Equal(r.told.CAAIdentifiers, []string{"ca.example"}) {
		t.Errorf("after an order, Configure tells %q and %q for CAA records", r.told.AccountURI, r.told.CAAIdentifiers)
	}
}

func hasFinding(list []pluginapi.Finding, severity pluginapi.Severity, field string) bool {
	return slices.ContainsFunc(list, func(f pluginapi.Finding) bool { return f.Severity == severity && f.Field == field })
}
