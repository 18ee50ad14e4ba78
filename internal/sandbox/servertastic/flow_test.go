package servertastic

import (
	"crypto/ecdsa"
	"crypto/x509"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

func TestIssueByRecord(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		product, name, kind string
		secured             []string
	}{
		"DigiCert's":        {"RapidSSL-12", "example.com", "TXT", []string{"example.com", "www.example.com"}},
		"Sectigo's":         {"PositiveSSL-12", "example.com", "CNAME", []string{"example.com", "www.example.com"}},
		"with www":          {"RapidSSL-12", "www.example.com", "TXT", []string{"www.example.com", "example.com"}},
		"below":             {"PositiveSSL-12", "shop.example.com", "CNAME", []string{"shop.example.com", "www.shop.example.com"}},
		"wildcard":          {"RapidSSLWildcard-12", "*.example.com", "TXT", []string{"*.example.com", "example.com"}},
		"Sectigo wildcard":  {"PositiveSSLWildcard-12", "*.example.com", "CNAME", []string{"*.example.com", "example.com"}},
		"in capital":        {"RapidSSL-12", "Example.COM", "TXT", []string{"example.com", "www.example.com"}},
		"four names beside": {"QuickSSLPremiumMD-12", "example.com", "TXT", []string{"example.com", "www.example.com", "a.example.com", "b.example.com"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			token := r.bought(c.product, "san_count", map[bool]string{true: "4"}[len(c.secured) == 4])
			f := r.placement(token, c.name)
			if len(c.secured) == 4 {
				f["san_domains"] = strings.Join(c.secured[2:], ",")
			}
			placed := r.ok("order/place", f)
			if placed["dns_string"] == "" || placed["private_key"] != "" || placed["dns_name"] != nil {
				t.Errorf("placed: %v", placed)
			}
			v := r.review(token)
			if v["order_status"] != statusWaiting || v["dv_auth_dns_type"] != c.kind || v["dv_auth_dns_string"] != placed["dns_string"] || v["certificate_list"] != nil {
				t.Errorf("waiting: %v", v)
			}
			v = r.prove(token)
			list := leaves(t, v)
			if v["order_status"] != statusCompleted || len(list) != 1 {
				t.Fatalf("not issued: %v", v)
			}
			if !slices.Equal(list[0].DNSNames, c.secured) || list[0].Subject.CommonName != c.secured[0] {
				t.Errorf("secured %v, want %v", list[0].DNSNames, c.secured)
			}
			if life := list[0].NotAfter.Sub(list[0].NotBefore); life.Round(day) != time.Duration(longest(r.s.Now()))*day {
				t.Errorf("it lasts %v", life)
			}
			r.verify(list[0], v)
		})
	}
}

// verify builds the chain from what the answer holds.
func (r *rig) verify(leaf *x509.Certificate, v obj) {
	r.t.Helper()
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(r.s.RootsPEM())
	list, _ := v["certificate_list"].([]any)
	for _, one := range list {
		infos, _ := one.(obj)["ca_certs"].(obj)["certificate_info"].([]any)
		for _, info := range infos {
			between.AppendCertsFromPEM([]byte(info.(obj)["certificate"].(string)))
		}
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: r.s.Now()}); err != nil {
		r.t.Errorf("the chain is incomplete: %v", err)
	}
}

func TestIssueByFile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		product, method, scheme string
		hosts                   []string
		secured                 int // 0: it waits
	}{
		"DigiCert's on both names":    {"RapidSSL-12", methodFile, "http", []string{"example.com", "www.example.com"}, 2},
		"DigiCert's without www":      {"RapidSSL-12", methodFile, "http", []string{"example.com"}, 0},
		"DigiCert's over HTTPS":       {"RapidSSL-12", methodSFile, "https", []string{"example.com", "www.example.com"}, 2},
		"HTTP does not do for SFILE":  {"RapidSSL-12", methodSFile, "http", []string{"example.com", "www.example.com"}, 0},
		"HTTPS does not do for FILE":  {"PositiveSSL-12", methodFile, "https", []string{"example.com", "www.example.com"}, 0},
		"Sectigo's on both names":     {"PositiveSSL-12", methodFile, "http", []string{"example.com", "www.example.com"}, 2},
		"Sectigo drops the companion": {"PositiveSSL-12", methodSFile, "https", []string{"example.com"}, 1},
		"not of the companion alone":  {"PositiveSSL-12", methodFile, "http", []string{"www.example.com"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			token := r.bought(c.product)
			r.ok("order/place", with(r.placement(token, "example.com"), "dv_auth_method", c.method))
			v := r.review(token)
			for _, host := range c.hosts {
				r.world.File(c.scheme, host+v["dv_auth_file_name"].(string), v["dv_auth_file_contents"].(string)+"\n")
			}
			r.ok("order/pollauth", form{"order_token": token})
			v = r.review(token)
			list := leaves(t, v)
			switch {
			case c.secured == 0 && (len(list) > 0 || v["order_status"] != statusWaiting):
				t.Errorf("issued: %v", v)
			case c.secured > 0 && (len(list) != 1 || len(list[0].DNSNames) != c.secured):
				t.Errorf("issued: %v, %v", v["order_status"], list)
			}
		})
	}
}

// The values of a request whose hashes were computed elsewhere.
func TestSectigoValues(t *testing.T) {
	t.Parallel()
	const csr = `-----BEGIN CERTIFICATE REQUEST-----
MIIBDDCBsgIBADAWMRQwEgYDVQQDDAtleGFtcGxlLmNvbTBZMBMGByqGSM49AgEG
CCqGSM49AwEHA0IABOUOvouAVhswKPNH/JNIyYMJ8XmzzOasphoyh1uWipPmGh32
Nnqwal+fRlvtELbiZYKgDrS1ALU9g8HK/h5wnMqgOjA4BgkqhkiG9w0BCQ4xKzAp
MCcGA1UdEQQgMB6CC2V4YW1wbGUuY29tgg93d3cuZXhhbXBsZS5jb20wCgYIKoZI
zj0EAwIDSQAwRgIhAIcX+fhjzmm6JLIIqlEVNQfDBAyAcspuRwQSlGj1Dvu7AiEA
vsmlGFwCZduG0YleNn3NaRcwC1AuzgEz45TZA6pm/xM=
-----END CERTIFICATE REQUEST-----
`
	for unique, target := range map[string]string{
		"":     "3835c3cd07254d9266bc290cd908b104.237ef8022279c46c0cae254cfd6458fc.sectigo.com",
		"Abc1": "3835c3cd07254d9266bc290cd908b104.237ef8022279c46c0cae254cfd6458fc.abc1.sectigo.com",
	} {
		r := newRig(t, func(s *Settings) { s.UniqueValue = unique })
		token := r.bought("PositiveSSL-12")
		r.ok("order/place", with(r.placement(token, "example.com"), "csr", csr))
		v := r.review(token)
		if v["dv_auth_dns_name"] != "_2c33ba38288aab66bada594199f6c4dc.example.com" || v["dv_auth_dns_string"] != target {
			t.Errorf("record: %v", v)
		}
		file := r.bought("PositiveSSL-12")
		again := with(r.placement(file, "example.com"), "csr", csr, "dv_auth_method", methodFile)
		if unique == "" {
			if said := r.refused(400, "order/place", again); !strings.Contains(said, "used before") {
				t.Errorf("a CSR that was used before: %s", said)
			}
			continue
		}
		r.ok("order/place", again)
		v = r.review(file)
		if v["dv_auth_file_name"] != "/.well-known/pki-validation/2C33BA38288AAB66BADA594199F6C4DC.txt" ||
			v["dv_auth_file_contents"] != "3835c3cd07254d9266bc290cd908b104237ef8022279c46c0cae254cfd6458fc\nsectigo.com\nAbc1" {
			t.Errorf("file: %v", v)
		}
	}
}

func TestWhereDigiCertLooks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		record string
		found  bool
	}{
		"beside the name": {"_dnsauth.shop.example.com. TXT VALUE", true},
		"at the name":     {"shop.example.com. TXT VALUE", true},
		"above":           {"example.com. TXT VALUE", true},
		"beside above":    {"_dnsauth.example.com. TXT VALUE", true},
		"alias":           {"_dnsauth.shop.example.com. CNAME VALUE.dcv.digicert.com.", true},
		"another value":   {"_dnsauth.shop.example.com. TXT xVALUE", false},
		"public suffix":   {"_dnsauth.com. TXT VALUE", false},
		"elsewhere":       {"_dnsauth.www.example.com. TXT VALUE", false},
	} {
		r := newRig(t)
		token := r.bought("RapidSSL-12")
		value := r.ok("order/place", r.placement(token, "shop.example.com"))["dns_string"].(string)
		r.world.Publish(strings.ReplaceAll(c.record, "VALUE", value))
		if err := r.s.LookNow(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.review(token)["order_status"] == statusCompleted; got != c.found {
			t.Errorf("%s: issued %v", name, got)
		}
	}
}

func TestIssueByEmail(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *Settings) { s.MethodCase = "title" })
	token := r.bought("RapidSSL-12")
	r.ok("order/place", with(r.placement(token, "example.com"), "dv_auth_method", methodEmail, "approver_email_address", "admin@example.com"))
	v := r.review(token)
	if v["dv_auth_method"] != "Email" || v["approver_email_address"] != "admin@example.com" || v["approver_notified_date"] == "" || v["dv_auth_dns_string"] != "" {
		t.Errorf("waiting: %v", v)
	}
	r.refused(400, "order/pollauth", form{"order_token": token})
	r.refused(400, "order/changeapproveremail", form{"order_token": token, "email": "me@example.com"})
	r.ok("order/changeapproveremail", form{"order_token": token, "email": "Webmaster@example.com"})
	sent := r.ok("order/resendemail", form{"order_token": token, "email_type": "Approver"})["email_sent_to"].(obj)
	if sent["approver_email"] != "webmaster@example.com" {
		t.Errorf("sent to %v", sent)
	}
	r.refused(400, "order/resendemail", form{"order_token": token, "email_type": "Fulfillment"})
	r.refused(400, "order/resendemail", form{"order_token": token, "email_type": "approver"})
	id := r.order(token).ID
	r.direct(http.StatusNoContent, "POST", "orders/"+id+"/follow-email", `{"domain":"www.example.com"}`)
	if v := r.review(token); v["order_status"] != statusWaiting {
		t.Errorf("one of two names: %v", v["order_status"])
	}
	r.direct(http.StatusNoContent, "POST", "orders/"+id+"/follow-email", "")
	if v := r.review(token); v["order_status"] != statusCompleted {
		t.Errorf("both names: %v", v["order_status"])
	}
	r.ok("order/resendemail", form{"order_token": token, "email_type": "Fulfillment"})
	r.direct(400, "POST", "orders/"+id+"/follow-email", "")
	r.direct(404, "POST", "orders/STR_1/follow-email", "")
}

func TestChangeToEmail(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	token := r.bought("PositiveSSL-12")
	r.refused(400, "order/changeauthmethod", form{"order_token": token, "email_address": "admin@example.com"})
	r.ok("order/place", r.placement(token, "shop.example.com"))
	r.refused(400, "order/changeauthmethod", form{"order_token": token, "email_address": "admin@example.org"})
	r.refused(400, "order/changeapproveremail", form{"order_token": token, "email": "admin@example.com"})
	r.ok("order/changeauthmethod", form{"order_token": token, "email_address": "admin@example.com"})
	if v := r.review(token); v["dv_auth_method"] != methodEmail || v["dv_auth_dns_string"] != "" {
		t.Errorf("after the change: %v", v)
	}
	r.refused(400, "order/changeauthmethod", form{"order_token": token, "email_address": "admin@example.com"})
}

// Until the reseller has asked the CA, an order that was placed looks like one that was not.
func TestSyncLag(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *Settings) { s.SyncLag = sandbox.Delay(5 * time.Minute) })
	token := r.bought("RapidSSL-12")
	if v := r.review(token); v["order_status"] != statusGenerated {
		t.Errorf("generated: %v", v)
	}
	placed := r.ok("order/place", r.placement(token, "example.com"))
	r.advance(4 * time.Minute)
	if v := r.review(token); v["order_status"] != statusPlaced || v["provider_order_id"] != "" || v["domain_name"] != "" || v["dv_auth_dns_string"] != "" || v["admin_contact"] != nil {
		t.Errorf("placed: %v", v)
	}
	r.advance(time.Minute)
	v := r.review(token)
	if v["order_status"] != statusWaiting || v["provider_order_id"] == "" || v["domain_name"] != "example.com" || v["dv_auth_dns_string"] != placed["dns_string"] {
		t.Errorf("known: %v", v)
	}
	r.world.Publish("_dnsauth.example.com. TXT " + placed["dns_string"].(string))
	r.ok("order/pollauth", form{"order_token": token})
	if v := r.review(token); v["order_status"] != statusWaiting || len(leaves(t, v)) > 0 || r.count(sandbox.Issue) != 1 {
		t.Errorf("issued, but not known: %v", v["order_status"])
	}
	r.direct(http.StatusNoContent, "POST", "sync", "")
	if v := r.review(token); v["order_status"] != statusCompleted || len(leaves(t, v)) != 1 {
		t.Errorf("known: %v", v)
	}
}

func TestReissueInsideTheYear(t *testing.T) {
	t.Parallel()
	for _, product := range []string{"RapidSSL-12", "PositiveSSL-12"} {
		r := newRig(t)
		token := r.bought(product)
		r.refused(400, "order/reissue", form{"order_token": token})
		first := r.placement(token, "example.com")
		r.ok("order/place", first)
		r.refused(400, "order/reissue", form{"order_token": token})
		before := r.prove(token)
		r.advance(180 * day)
		key := newKey(t)
		wish := form{"order_token": token, "csr": csrFor(t, key, "example.com")}
		answer := r.ok("order/reissue", wish)
		if answer["dns_name"] == "" || answer["dns_string"] == "" || answer["dns_string"] == before["dv_auth_dns_string"] {
			t.Errorf("reissue: %v", answer)
		}
		if v := r.review(token); v["order_status"] != statusCompleted || len(leaves(t, v)) != 1 || v["dv_auth_dns_string"] != answer["dns_string"] {
			t.Errorf("under way: %v", v)
		}
		v := r.prove(token)
		list := leaves(t, v)
		if len(list) != 2 || r.order(token).Certificates[0].Serial == r.order(token).Certificates[1].Serial {
			t.Fatalf("%d certificates", len(list))
		}
		newest := leaves(t, v["certificate_list"].([]any)[0])[0]
		if !newest.PublicKey.(*ecdsa.PublicKey).Equal(key.Public()) {
			t.Error("the new certificate is not for the new key")
		}
		if r.count(sandbox.Purchase) != 1 || r.count(sandbox.Reissue) != 1 || r.count(sandbox.Issue) != 2 {
			t.Errorf("ledger: %+v", r.s.Ledger())
		}
		r.advance(170 * day)
		r.ok("order/reissue", with(wish, "csr", csrFor(t, newKey(t), "example.com")))
		last := leaves(t, r.prove(token)["certificate_list"].([]any)[0])[0]
		if until := r.order(token).Until; !last.NotAfter.Equal(until.Truncate(time.Second)) || until.Sub(r.s.Now()) > 15*day {
			t.Errorf("the last certificate ends %v, the order %v", last.NotAfter, until)
		}
		r.refused(400, "order/reissue", with(wish, "csr", csrFor(t, newKey(t), "www.example.com")))
		r.refused(400, "order/reissue", with(wish, "csr", "MIIC"))
		r.refused(400, "order/reissue", with(wish, "san_domains", "a.example.com"))
		r.refused(400, "order/reissue", with(wish, "dv_auth_method", "HTTP"))
		r.refused(400, "order/reissue", with(wish, "hashing_algorithm", "SHA1"))
		if product == "PositiveSSL-12" {
			r.refused(400, "order/reissue", wish)
		} else {
			r.ok("order/reissue", wish)
			r.ok("order/reissue", with(wish, "dv_auth_method", methodEmail, "approver_email_address", "admin@example.com"))
		}
		r.advance(16 * day)
		r.refused(400, "order/reissue", with(wish, "csr", csrFor(t, newKey(t), "example.com")))
	}
}

func TestRenewal(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		product, next, name string
		at                  int // days after the first
		previous            bool
		life                int // days of the new order; 0: refused
	}{
		"DigiCert's":             {"RapidSSL-12", "RapidSSL-12", "example.com", 345, true, 365 + 20},
		"at the window's begin":  {"RapidSSL-12", "RapidSSL-12", "example.com", 276, true, 365 + 89},
		"too early":              {"RapidSSL-12", "RapidSSL-12", "example.com", 180, true, 0},
		"without its token":      {"RapidSSL-12", "RapidSSL-12", "example.com", 345, false, 0},
		"of another name":        {"RapidSSL-12", "RapidSSL-12", "example.org", 345, true, 0},
		"another product":        {"RapidSSL-12", "QuickSSLPremium-12", "example.com", 345, true, 365 + 20},
		"Sectigo's":              {"PositiveSSL-12", "PositiveSSL-12", "example.com", 345, false, 365 + 20},
		"Sectigo's too early":    {"PositiveSSL-12", "PositiveSSL-12", "example.com", 180, false, 0},
		"from Sectigo elsewhere": {"PositiveSSL-12", "RapidSSL-12", "example.com", 345, true, 0},
		"nothing before":         {"RapidSSL-12", "PositiveSSL-12", "example.com", 345, false, 0},
		"ended":                  {"RapidSSL-12", "RapidSSL-12", "example.com", 370, true, 365},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			first := r.issued(c.product, "example.com")
			r.advance(time.Duration(c.at) * day)
			token := r.bought(c.next)
			f := with(r.placement(token, c.name), "renewal", "1")
			if c.previous {
				f["renewed_order_token"] = first
			}
			if c.life == 0 {
				r.refused(400, "order/place", f)
				return
			}
			r.ok("order/place", f)
			o := r.order(token)
			if got := o.Until.Sub(r.s.Now()).Round(day); got != time.Duration(c.life)*day || o.RenewalOf != r.order(first).ID {
				t.Errorf("renews %q, and lasts %v", o.RenewalOf, got)
			}
		})
	}
}

func TestValueEndsAfterThirtyDays(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	token := r.bought("RapidSSL-12")
	value := r.ok("order/place", r.placement(token, "example.com"))["dns_string"].(string)
	r.advance(31 * day)
	r.world.Publish("_dnsauth.example.com. TXT " + value)
	r.ok("order/pollauth", form{"order_token": token})
	if v := r.review(token); v["order_status"] != statusWaiting || v["dv_auth_dns_string"] == value {
		t.Errorf("after 31 days: %v", v)
	}
	r.prove(token)
}

func TestCAA(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *Settings) { s.CheckCAA = true })
	r.world.Publish(`example.com. CAA 0 issue "sectigo.com"`)
	token := r.bought("RapidSSL-12")
	r.ok("order/place", r.placement(token, "example.com"))
	r.prove(token)
	if v := r.review(token); v["order_status"] != statusWaiting || !strings.Contains(v["order_state_further_info"].(string), "CAA") {
		t.Errorf("forbidden: %v", v)
	}
	r.world.Clear()
	if v := r.review(token); v["order_status"] != statusCompleted {
		t.Errorf("allowed: %v", v["order_status"])
	}
	r.world.Publish(`example.org. CAA 0 issue "sectigo.com"`)
	r.issued("PositiveSSL-12", "example.org")
}

func TestAccountIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := newRigOf(t, Options{Dir: dir, Key: "KEY", Points: 100})
	token := r.issued("RapidSSL-12", "example.com")
	r.advance(day)
	again := newRigOf(t, Options{Dir: dir})
	if again.s.Key() != "KEY" || again.s.Points() != 90 || again.s.Now().Before(time.Now().Add(23*time.Hour)) {
		t.Errorf("kept: %s, %d points", again.s.Key(), again.s.Points())
	}
	if v := again.review(token); v["order_status"] != statusCompleted || len(leaves(t, v)) != 1 {
		t.Errorf("kept: %v", v)
	}
}

func TestShortDays(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, Options{Day: time.Second})
	token := r.issued("RapidSSL-12", "example.com")
	leaf := leaves(t, r.review(token))[0]
	most := time.Duration(longest(r.s.Now())) * time.Second
	if life := leaf.NotAfter.Sub(leaf.NotBefore); life > most || life < most-time.Second {
		t.Errorf("it lasts %v", life)
	}
}
