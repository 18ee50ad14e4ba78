package cert_test

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/cert"
)

func subjects(chain []*x509.Certificate) []string {
	var out []string
	for _, c := range chain {
		out = append(out, c.Subject.CommonName)
	}
	return out
}

func TestOrderChain(t *testing.T) {
	root, other := newRoot(t, "root"), newRoot(t, "other")
	upper := root.sub(t, caTemplate("upper"))
	lower := upper.sub(t, caTemplate("lower"))
	key := newKey(t)
	leaf := lower.sign(t, leafTemplate("leaf"), key.Public())
	shorter := leafTemplate("shorter")
	shorter.NotAfter = now.Add(time.Hour)
	old := lower.sign(t, shorter, key.Public())
	stranger := other.sign(t, leafTemplate("stranger"), newKey(t).Public())
	// The root's key is also certified by another CA, as when a new root is not in every client yet.
	cross := other.sign(t, caTemplate("root"), root.key.Public())
	self := authority{key: key}.sign(t, leafTemplate("self"), key.Public())

	tests := map[string]struct {
		certs   []*x509.Certificate
		key     crypto.PublicKey
		want    []string
		wantErr string
	}{
		"shuffled with root and duplicates": {certs: []*x509.Certificate{root.cert, upper.cert, leaf, upper.cert, lower.cert}, key: key.Public(), want: []string{"leaf", "lower", "upper"}},
		"without a key":                     {certs: []*x509.Certificate{upper.cert, lower.cert, leaf}, want: []string{"leaf", "lower", "upper"}},
		"unrelated ones are dropped":        {certs: []*x509.Certificate{stranger, other.cert, leaf, lower.cert, upper.cert}, key: key.Public(), want: []string{"leaf", "lower", "upper"}},
		"the newest leaf of one key":        {certs: []*x509.Certificate{old, leaf, lower.cert, upper.cert}, key: key.Public(), want: []string{"leaf", "lower", "upper"}},
		"a hole":                            {certs: []*x509.Certificate{leaf, upper.cert}, key: key.Public(), want: []string{"leaf"}},
		"the cross-signed root is kept":     {certs: []*x509.Certificate{leaf, lower.cert, upper.cert, root.cert, cross}, key: key.Public(), want: []string{"leaf", "lower", "upper", "root"}},
		"self-signed":                       {certs: []*x509.Certificate{self}, key: key.Public(), want: []string{"self"}},
		"lone CA":                           {certs: []*x509.Certificate{root.cert}, want: []string{"root"}},
		"two leaves":                        {certs: []*x509.Certificate{leaf, stranger}, wantErr: "two leaf certificates"},
		"not for this key":                  {certs: []*x509.Certificate{stranger}, key: key.Public(), wantErr: "none of the 1"},
		"CAs only":                          {certs: []*x509.Certificate{upper.cert, lower.cert}, wantErr: "every certificate is a CA's"},
		"nothing":                           {wantErr: "no certificates"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			chain, err := cert.OrderChain(tt.certs, tt.key)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("err = %v, want %q", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := subjects(chain); !slices.Equal(got, tt.want) {
				t.Errorf("chain = %q, want %q", got, tt.want)
			}
		})
	}
}

// TestOrderChainEndsOnCrossSignedLoop holds two CAs that certified each other.
func TestOrderChainEndsOnCrossSignedLoop(t *testing.T) {
	a, b := newRoot(t, "a"), newRoot(t, "b")
	aByB := b.sign(t, caTemplate("a"), a.key.Public())
	bByA := a.sign(t, caTemplate("b"), b.key.Public())
	key := newKey(t)
	leaf := a.sign(t, leafTemplate("leaf"), key.Public())
	chain, err := cert.OrderChain([]*x509.Certificate{leaf, aByB, bByA}, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if got := subjects(chain); !slices.Equal(got, []string{"leaf", "a", "b"}) {
		t.Errorf("chain = %q", got)
	}
}

func TestAcceptance(t *testing.T) {
	root, other := newRoot(t, "root"), newRoot(t, "other")
	sub := root.sub(t, caTemplate("sub"))
	impostor := other.sub(t, caTemplate("sub"))
	expiredCA := caTemplate("expired sub")
	expiredCA.NotAfter = now.Add(-time.Minute)
	expiredSub := root.sub(t, expiredCA)
	key := newKey(t)

	type change func(*x509.Certificate)
	issue := func(by authority, change change) *x509.Certificate {
		template := leafTemplate("example.com", "www.example.com")
		if change != nil {
			change(template)
		}
		return by.sign(t, template, key.Public())
	}
	good := issue(sub, nil)
	dates := func(from, to time.Duration) change {
		return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.Add(from), now.Add(to) }
	}
	public := func(c *x509.Certificate) {
		oid, err := x509.OIDFromInts([]uint64{2, 23, 140, 1, 2, 1})
		if err != nil {
			t.Fatal(err)
		}
		c.Policies = append(c.Policies, oid)
	}
	notCA := sub.sign(t, leafTemplate("no CA"), sub.key.Public())
	byNotCA := authority{key: sub.key, cert: &x509.Certificate{Subject: pkix.Name{CommonName: "no CA"}, RawSubject: notCA.RawSubject, PublicKey: sub.key.Public()}}
	self := authority{key: key}.sign(t, leafTemplate("example.com", "www.example.com"), key.Public())

	tests := map[string]struct {
		a    cert.Acceptance
		want []cert.FaultKind
	}{
		"good":                             {a: cert.Acceptance{Chain: []*x509.Certificate{good, sub.cert}}},
		"root included":                    {a: cert.Acceptance{Chain: []*x509.Certificate{good, sub.cert, root.cert}}},
		"private leaf straight from root":  {a: cert.Acceptance{Chain: []*x509.Certificate{issue(root, nil)}}},
		"self-signed":                      {a: cert.Acceptance{Chain: []*x509.Certificate{self}}},
		"shorter than what is there":       {a: cert.Acceptance{Chain: []*x509.Certificate{issue(sub, dates(0, time.Hour)), sub.cert}, Current: issue(sub, dates(-time.Hour, 2*time.Hour))}},
		"back-dated but longer":            {a: cert.Acceptance{Chain: []*x509.Certificate{issue(sub, dates(-12*time.Hour, 3*time.Hour)), sub.cert}, Current: issue(sub, dates(-time.Hour, 2*time.Hour))}},
		"the same again":                   {a: cert.Acceptance{Chain: []*x509.Certificate{good, sub.cert}, Current: good}},
		"slightly ahead":                   {a: cert.Acceptance{Chain: []*x509.Certificate{issue(sub, dates(cert.Skew, time.Hour)), sub.cert}}},
		"too far ahead":                    {a: cert.Acceptance{Chain: []*x509.Certificate{issue(sub, dates(cert.Skew+time.Second, time.Hour)), sub.cert}}, want: []cert.FaultKind{cert.FaultNotYetValid}},
		"last second":                      {a: cert.Acceptance{Chain: []*x509.Certificate{issue(sub, dates(-time.Hour, 0)), sub.cert}}},
		"expired":                          {a: cert.Acceptance{Chain: []*x509.Certificate{issue(sub, dates(-time.Hour, -time.Second)), sub.cert}}, want: []cert.FaultKind{cert.FaultExpired}},
		"ends before it begins":            {a: cert.Acceptance{Chain: []*x509.Certificate{issue(sub, dates(time.Hour, -time.Hour)), sub.cert}}, want: []cert.FaultKind{cert.FaultDates}},
		"older":                            {a: cert.Acceptance{Chain: []*x509.Certificate{issue(sub, dates(-2*time.Hour, time.Hour)), sub.cert}, Current: issue(sub, dates(-time.Hour, 2*time.Hour))}, want: []cert.FaultKind{cert.FaultOlder}},
		"another key":                      {a: cert.Acceptance{Key: newKey(t), Chain: []*x509.Certificate{good, sub.cert}}, want: []cert.FaultKind{cert.FaultKeyMismatch}},
		"name missing":                     {a: cert.Acceptance{Names: []string{"example.com", "shop.example.com"}, Chain: []*x509.Certificate{good, sub.cert}}, want: []cert.FaultKind{cert.FaultNames}},
		"public leaf without intermediate": {a: cert.Acceptance{Chain: []*x509.Certificate{issue(sub, public)}}, want: []cert.FaultKind{cert.FaultChain}},
		"public leaf with intermediate":    {a: cert.Acceptance{Chain: []*x509.Certificate{issue(sub, public), sub.cert}}},
		"wrong order":                      {a: cert.Acceptance{Chain: []*x509.Certificate{good, root.cert, sub.cert}}, want: []cert.FaultKind{cert.FaultChain, cert.FaultChain}},
		"same name, other key":             {a: cert.Acceptance{Chain: []*x509.Certificate{good, impostor.cert}}, want: []cert.FaultKind{cert.FaultChain}},
		"issuer is no CA":                  {a: cert.Acceptance{Chain: []*x509.Certificate{issue(byNotCA, nil), notCA}}, want: []cert.FaultKind{cert.FaultChain}},
		"expired intermediate":             {a: cert.Acceptance{Chain: []*x509.Certificate{issue(expiredSub, nil), expiredSub.cert}}, want: []cert.FaultKind{cert.FaultExpired}},
		"for clients only": {a: cert.Acceptance{Chain: []*x509.Certificate{issue(sub, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}), sub.cert}}, want: []cert.FaultKind{cert.FaultUsage}},
		"nothing": {want: []cert.FaultKind{cert.FaultNothing}},
		"every fault at once": {
			a: cert.Acceptance{
				Key: newKey(t), Names: []string{"example.org"}, Current: good,
				Chain: []*x509.Certificate{issue(sub, dates(-2*time.Hour, -time.Hour)), impostor.cert},
			},
			want: []cert.FaultKind{cert.FaultKeyMismatch, cert.FaultNames, cert.FaultExpired, cert.FaultChain, cert.FaultOlder},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := tt.a
			a.Now = now
			if a.Key == nil {
				a.Key = key
			}
			if a.Names == nil {
				a.Names = []string{"example.com", "www.example.com"}
			}
			err := a.Check()
			var got []cert.FaultKind
			for _, f := range cert.Faults(err) {
				got = append(got, f.Kind)
				if !cert.HasFault(err, f.Kind) || f.Detail == "" {
					t.Errorf("fault %q without detail or not found by HasFault", f.Kind)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("faults = %q, want %q: %v", got, tt.want, err)
			}
			if (err == nil) != (len(tt.want) == 0) {
				t.Errorf("err = %v", err)
			}
		})
	}
}

func TestSerialAndFingerprint(t *testing.T) {
	dir := t.TempDir()
	run(t, dir, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "k", "-out", "c",
		"-subj", "/CN=example.com", "-set_serial", "0x0aBcDeF0123456789")
	contents := readPEM(t, dir, "c")
	if got := cert.Serial(contents.Certificates[0]); got != "abcdef0123456789" {
		t.Errorf("Serial = %q", got)
	}
	printed := run(t, dir, "openssl", "x509", "-in", "c", "-noout", "-fingerprint", "-sha256")
	_, want, _ := strings.Cut(strings.TrimSpace(printed), "=")
	if got := cert.Fingerprint(contents.Certificates[0]); got != strings.ToLower(strings.ReplaceAll(want, ":", "")) {
		t.Errorf("Fingerprint = %q, openssl says %q", got, want)
	}
}

func FuzzParseChain(f *testing.F) {
	root := newRoot(f, "root")
	f.Add(root.cert.Raw, root.sign(f, leafTemplate("a.example.com"), root.key.Public()).Raw)
	f.Fuzz(func(t *testing.T, a, b []byte) {
		chain, err := cert.ParseChain([][]byte{a, b})
		if err != nil {
			return
		}
		if len(chain) != 2 {
			t.Fatalf("%d certificates of 2", len(chain))
		}
		ordered, err := cert.OrderChain(chain, nil)
		if err == nil && len(ordered) == 0 {
			t.Error("an empty chain without an error")
		}
		// No certificate whatever may make the decision panic.
		_ = cert.Acceptance{Key: root.key, Chain: chain, Names: []string{"example.com"}, Now: now, Current: chain[1]}.Check()
	})
}
