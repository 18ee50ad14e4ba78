package digicert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

const dv = "/order/certificate/ssl_dv_geotrust_flex"

func TestDVOrderIsIssuedWhenTheRecordIsThere(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"ECDSA P-256": testKey(), "ECDSA P-384": p384, "RSA": rsaKey} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			order := with(dvOrder(t, "shop.example.com", "api.example.com"), "certificate.csr", csrOf(t, key))
			placed := r.call(http.StatusCreated, http.MethodPost, dv, with(order, "alternative_order_id", "7c0f5f0e"))
			if len(placed["dcv_random_value"].(string)) != randomLength || placed["certificate_chain"] != nil {
				t.Fatalf("placed: %v", placed)
			}
			waiting := r.call(http.StatusOK, http.MethodPut, orderPath(placed["id"])+"/check-dcv", nil)
			if waiting["order_status"] != statusPending || waiting["dcv_status"] != "pending" {
				t.Fatalf("without a record: %v", waiting)
			}
			if codes := r.codes(http.StatusNotFound, http.MethodGet, "/certificate/"+number(num(placed["certificate_id"]))+"/download/format/pem_all", nil); codes[0] != "not_found|certificate" {
				t.Errorf("download before: %v", codes)
			}
			r.validated(placed, "shop.example.com", "api.example.com")
			chain := r.chainOf(placed["certificate_id"])
			leaf := chain[0]
			roots, between := x509.NewCertPool(), x509.NewCertPool()
			roots.AddCert(chain[2])
			between.AddCert(chain[1])
			for _, host := range []string{"shop.example.com", "api.example.com"} {
				if _, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: between}); err != nil {
					t.Error(err)
				}
			}
			if !leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) {
				t.Error("the certificate is for another key")
			}
			if days := leaf.NotAfter.Sub(leaf.NotBefore).Hours() / 24; days < 198.9 || days > 199 {
				t.Errorf("%v days", days)
			}
			info := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"]), nil)
			if info["order_valid_till"] != time.Now().UTC().AddDate(1, 0, -1).Format(dateForm) || info["alternative_order_id"] != "7c0f5f0e" {
				t.Errorf("order: %v", info)
			}
			if cert := info["certificate"].(obj); cert["serial_number"] != sandbox.Serial(leaf) || cert["status"] != nil {
				t.Errorf("certificate: %v", cert)
			}
			if n := r.count(sandbox.Purchase); n != 1 {
				t.Errorf("%d purchases", n)
			}
		})
	}
}

func TestDomainControlByEveryMethod(t *testing.T) {
	cases := map[string]struct {
		names   []string
		method  string
		scope   string
		publish func(r *rig, value string)
	}{
		"TXT at the name itself": {[]string{"a.example.com"}, methodTXT, "", func(r *rig, v string) {
			r.publish("a.example.com. IN TXT \"digicert=" + v + "\"")
		}},
		"TXT behind a CNAME": {[]string{"a.example.com"}, methodTXT, "", func(r *rig, v string) {
			r.publish("_dnsauth.a.example.com. IN CNAME proofs.example.net.")
			r.publish("proofs.example.net. IN TXT " + v)
		}},
		"wildcard": {[]string{"*.example.com"}, methodTXT, "", func(r *rig, v string) {
			r.publish("_dnsauth.example.com. IN TXT " + v)
		}},
		"a higher name covers": {[]string{"a.b.example.com", "b.example.com"}, methodTXT, "", func(r *rig, v string) {
			r.publish("_dnsauth.b.example.com. IN TXT " + v)
		}},
		"base domain": {[]string{"a.example.co.uk", "b.example.co.uk"}, methodTXT, scopeBase, func(r *rig, v string) {
			r.publish("_dnsauth.example.co.uk. IN TXT " + v)
		}},
		"CNAME": {[]string{"a.example.com"}, methodCNAME, "", func(r *rig, v string) {
			r.publish("_dnsauth.a.example.com. IN CNAME " + v + ".dcv.digicert.com.")
		}},
		"CNAME in the older form": {[]string{"a.example.com"}, methodCNAME, "", func(r *rig, v string) {
			r.publish(v + ".a.example.com. IN CNAME dcv.digicert.com.")
		}},
		"file for each name": {[]string{"example.com", "www.example.com"}, methodHTTP, "", func(r *rig, v string) {
			r.file("example.com/.well-known/pki-validation/fileauth.txt", v)
			r.file("www.example.com/.well-known/pki-validation/fileauth.txt", v+"\n")
		}},
		"file of an address": {[]string{"127.0.0.1"}, methodHTTP, "", func(r *rig, v string) {
			r.file("127.0.0.1/.well-known/pki-validation/fileauth.txt", v)
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			order := with(dvOrder(t, c.names...), "dcv_method", c.method)
			if c.scope != "" {
				order["certificate_dcv_scope"] = c.scope
			}
			placed := r.call(http.StatusCreated, http.MethodPost, dv, order)
			value := placed["dcv_random_value"].(string)
			wrong := "x" + value[1:]
			if wrong == value {
				wrong = "y" + value[1:]
			}
			c.publish(r, wrong)
			if status, text, _ := r.raw(http.MethodPut, orderPath(placed["id"])+"/check-dcv", nil); strings.Contains(string(text), statusIssued) {
				t.Fatalf("a wrong value is taken: %d %s", status, text)
			}
			r.world.Clear()
			c.publish(r, value)
			r.validated(placed)
		})
	}
}

func TestWhatDoesNotProveDomainControl(t *testing.T) {
	cases := map[string]struct {
		names   []string
		method  string
		publish func(r *rig, value string)
	}{
		"TXT of a name below":      {[]string{"example.com"}, methodTXT, func(r *rig, v string) { r.publish("_dnsauth.www.example.com. IN TXT " + v) }},
		"TXT for a CNAME order":    {[]string{"example.com"}, methodCNAME, func(r *rig, v string) { r.publish("_dnsauth.example.com. IN TXT " + v) }},
		"file of one of two names": {[]string{"example.com", "www.example.com"}, methodHTTP, func(r *rig, v string) { r.file("example.com/.well-known/pki-validation/fileauth.txt", v) }},
		"name server that fails":   {[]string{"broken.example.com"}, methodTXT, func(r *rig, v string) { r.publish("broken.example.com. IN TXT " + v) }},
		"record of an expired value": {[]string{"example.com"}, methodTXT, func(r *rig, v string) {
			r.publish("_dnsauth.example.com. IN TXT " + v)
			if err := r.s.Advance(31 * 24 * time.Hour); err != nil {
				r.t.Fatal(err)
			}
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			placed := r.call(http.StatusCreated, http.MethodPost, dv, with(dvOrder(t, c.names...), "dcv_method", c.method))
			c.publish(r, placed["dcv_random_value"].(string))
			if _, _, err := r.raw(http.MethodPut, orderPath(placed["id"])+"/check-dcv", nil); err != nil {
				t.Fatal(err)
			}
			if info := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"]), nil); info["status"] != statusPending {
				t.Errorf("status %v", info["status"])
			}
		})
	}
}

func TestExpiredValueIsReplaced(t *testing.T) {
	r := newRig(t)
	placed := r.call(http.StatusCreated, http.MethodPost, dv, dvOrder(t, "example.com"))
	at := orderPath(placed["id"]) + "/dcv-random-value"
	if again := r.call(http.StatusOK, http.MethodPut, at, nil); again["dcv_random_value"] != placed["dcv_random_value"] {
		t.Errorf("a good value was replaced: %v", again)
	}
	if err := r.s.Advance(30*24*time.Hour + time.Second); err != nil {
		t.Fatal(err)
	}
	fresh := r.call(http.StatusOK, http.MethodPut, at, nil)
	if fresh["dcv_random_value"] == placed["dcv_random_value"] {
		t.Error("an expired value was told again")
	}
	r.validated(obj{"id": placed["id"], "dcv_random_value": fresh["dcv_random_value"]}, "example.com")
}

func TestMethodCanBeChanged(t *testing.T) {
	r := newRig(t)
	placed := r.call(http.StatusCreated, http.MethodPost, dv, with(dvOrder(t, "example.com"), "dcv_method", methodHTTP))
	if codes := r.codes(http.StatusBadRequest, http.MethodPut, orderPath(placed["id"])+"/check-dcv", nil); codes[0] != "file_random_value_not_found" {
		t.Errorf("codes %v", codes)
	}
	r.call(http.StatusNoContent, http.MethodPut, orderPath(placed["id"])+"/dcv-method", obj{"dcv_method": methodEmail})
	changed := r.call(http.StatusOK, http.MethodPut, orderPath(placed["id"])+"/dcv-method", obj{"dcv_method": methodTXT})
	if changed["dcv_random_value"] == placed["dcv_random_value"] {
		t.Error("the value is the old one")
	}
	r.validated(obj{"id": placed["id"], "dcv_random_value": changed["dcv_random_value"]}, "example.com")
}

func TestEmailIsFollowedByAPerson(t *testing.T) {
	r := newRig(t)
	placed := r.call(http.StatusCreated, http.MethodPost, dv, with(dvOrder(t, "example.com"), "dcv_method", nil))
	if placed["dcv_random_value"] != nil {
		t.Error("an order by email has a random value")
	}
	r.call(http.StatusNoContent, http.MethodPost, "/_sandbox/orders/"+number(num(placed["id"]))+"/follow-email", nil)
	if info := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"]), nil); info["status"] != statusIssued {
		t.Errorf("status %v", info["status"])
	}
}

func TestOVWaitsForDomainsThenReusesThem(t *testing.T) {
	r := newRig(t)
	first := r.call(http.StatusCreated, http.MethodPost, "/order/certificate/ssl_basic", ovOrder(t, "www.example.com"))
	if first["domains"] == nil {
		t.Fatalf("no domains: %v", first)
	}
	r.validated(first, "www.example.com")
	second := r.call(http.StatusCreated, http.MethodPost, "/order/certificate/ssl", with(ovOrder(t, "www.example.com"), "product.type_hint", "ov"))
	if chain, _ := second["certificate_chain"].([]any); len(chain) != 3 || second["dcv_random_value"] != nil {
		t.Errorf("a validated domain is not used again: %v", second)
	}
	if err := r.s.Advance(199 * 24 * time.Hour); err != nil {
		t.Fatal(err)
	}
	third := r.call(http.StatusCreated, http.MethodPost, "/order/certificate/ssl_basic", ovOrder(t, "www.example.com"))
	if third["certificate_chain"] != nil || third["dcv_random_value"] == nil {
		t.Errorf("a validation of 199 days ago is used again: %v", third)
	}
	fourth := r.call(http.StatusCreated, http.MethodPost, dv, dvOrder(t, "www.example.com"))
	if fourth["dcv_random_value"] == nil {
		t.Errorf("a DV order uses the account's validation: %v", fourth)
	}
}

func TestDomainValueProvesADomainToo(t *testing.T) {
	r := newRig(t)
	placed := r.call(http.StatusCreated, http.MethodPost, "/order/certificate/ssl_basic", ovOrder(t, "www.example.com"))
	d := placed["domains"].([]any)[0].(obj)
	at := "/domain/" + number(num(d["id"]))
	if codes := r.codes(http.StatusBadRequest, http.MethodPut, at+"/dcv/validate-token", nil); codes[0] != "invalid_dns_txt" {
		t.Errorf("codes %v", codes)
	}
	fresh := r.call(http.StatusCreated, http.MethodPost, at+"/dcv/token", nil)
	r.publish("_dnsauth.www.example.com. IN TXT " + d["dcv_token"].(obj)["token"].(string))
	if codes := r.codes(http.StatusBadRequest, http.MethodPut, at+"/dcv/validate-token", nil); codes[0] != "invalid_dns_txt" {
		t.Errorf("a replaced value is taken: %v", codes)
	}
	r.publish("_dnsauth.www.example.com. IN TXT " + fresh["token"].(string))
	r.call(http.StatusOK, http.MethodPut, at+"/dcv/validate-token", nil)
	if info := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"]), nil); info["status"] != statusIssued {
		t.Errorf("status %v", info["status"])
	}
}

func TestOrganizationIsVetted(t *testing.T) {
	r := newRig(t)
	placed := r.call(http.StatusCreated, http.MethodPost, "/order/certificate/ssl_basic",
		with(ovOrder(t, "www.example.com"), "organization.id", PendingOrganization))
	r.publish("_dnsauth.www.example.com. IN TXT " + placed["dcv_random_value"].(string))
	if v := r.call(http.StatusOK, http.MethodPut, orderPath(placed["id"])+"/check-dcv", nil); v["order_status"] != statusPending || v["dcv_status"] != "valid" {
		t.Errorf("before: %v", v)
	}
	r.call(http.StatusNoContent, http.MethodPost, "/_sandbox/organizations/"+number(PendingOrganization), obj{"validated": true})
	if info := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"]), nil); info["status"] != statusIssued {
		t.Errorf("status %v", info["status"])
	}
}

func TestRequestsWaitForApproval(t *testing.T) {
	r := newRig(t)
	place := func() obj {
		return r.call(http.StatusCreated, http.MethodPost, dv, with(dvOrder(t, "example.com"), "skip_approval", false))
	}
	placed := place()
	request := placed["requests"].([]any)[0].(obj)
	if request["status"] != requestPending || placed["certificate_id"] != nil || placed["dcv_random_value"] != nil {
		t.Fatalf("placed: %v", placed)
	}
	if info := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"]), nil); info["status"] != statusNeedsApproval || info["certificate"].(obj)["id"] != nil {
		t.Fatalf("order: %v", info)
	}
	r.call(http.StatusNoContent, http.MethodPut, "/request/"+number(num(request["id"]))+"/status", obj{"status": "approved", "processor_comment": "fine"})
	value := r.call(http.StatusOK, http.MethodPut, orderPath(placed["id"])+"/dcv-random-value", nil)
	r.validated(obj{"id": placed["id"], "dcv_random_value": value["dcv_random_value"]}, "example.com")

	rejected := place()
	n := number(num(rejected["requests"].([]any)[0].(obj)["id"]))
	r.call(http.StatusNoContent, http.MethodPost, "/_sandbox/requests/"+n, obj{"status": "rejected", "comment": "no"})
	if info := r.call(http.StatusOK, http.MethodGet, orderPath(rejected["id"]), nil); info["status"] != statusRejected {
		t.Errorf("status %v", info["status"])
	}
	if purchases, refunds := r.count(sandbox.Purchase), r.count(sandbox.Refund); purchases != 2 || refunds != 1 {
		t.Errorf("%d purchases, %d refunds", purchases, refunds)
	}
}

func TestKeysThatMayNotSkipApproval(t *testing.T) {
	r := newRig(t)
	if err := r.s.AddUser(User{Key: "STANDARD", Name: "Standard", Role: StandardUser}); err != nil {
		t.Fatal(err)
	}
	r.key = "STANDARD"
	placed := r.call(http.StatusCreated, http.MethodPost, dv, dvOrder(t, "example.com"))
	request := placed["requests"].([]any)[0].(obj)
	if request["status"] != requestPending {
		t.Fatalf("placed: %v", placed)
	}
	at := "/request/" + number(num(request["id"])) + "/status"
	if codes := r.codes(http.StatusForbidden, http.MethodPut, at, obj{"status": "approved"}); codes[0] != "access_denied|missing_permission" {
		t.Errorf("codes %v", codes)
	}
	if err := r.s.Configure(func(s *Settings) { s.SkipDeniedFails = true }); err != nil {
		t.Fatal(err)
	}
	if codes := r.codes(http.StatusForbidden, http.MethodPost, dv, dvOrder(t, "example.com")); codes[0] != "access_denied|missing_permission" {
		t.Errorf("codes %v", codes)
	}
	if n := r.count(sandbox.Purchase); n != 1 {
		t.Errorf("%d purchases", n)
	}
}

func TestEVNeedsAnEVApprover(t *testing.T) {
	r := newRig(t)
	if err := r.s.AddUser(User{Key: "MANAGER", Name: "Manager", Role: Manager}); err != nil {
		t.Fatal(err)
	}
	r.key = "MANAGER"
	placed := r.call(http.StatusCreated, http.MethodPost, "/order/certificate/ssl_ev_basic", ovOrder(t, "www.example.com"))
	n := number(num(placed["requests"].([]any)[0].(obj)["id"]))
	if codes := r.codes(http.StatusForbidden, http.MethodPut, "/request/"+n+"/status", obj{"status": "approved"}); codes[0] != "access_denied|invalid_approver" {
		t.Errorf("codes %v", codes)
	}
	r.key = r.s.Key()
	r.call(http.StatusNoContent, http.MethodPut, "/request/"+n+"/status", obj{"status": "approved"})
}

func TestCAAForbidsIssuance(t *testing.T) {
	r := newRig(t)
	if err := r.s.Configure(func(s *Settings) { s.CheckCAA = true }); err != nil {
		t.Fatal(err)
	}
	r.publish(`example.com. IN CAA 0 issue "letsencrypt.org"`)
	placed := r.call(http.StatusCreated, http.MethodPost, dv, dvOrder(t, "www.example.com"))
	r.publish("_dnsauth.www.example.com. IN TXT " + placed["dcv_random_value"].(string))
	r.call(http.StatusOK, http.MethodPut, orderPath(placed["id"])+"/check-dcv", nil)
	info := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"])+"?include_caa_status=true", nil)
	messages, _ := info["caa_status_message"].(obj)
	if info["status"] != statusPending || len(messages) != 1 || messages["www.example.com"] != "caa_check_failed|www.example.com" {
		t.Fatalf("order: %v", info)
	}
	r.publish(`example.com. IN CAA 0 issue "digicert.com; account=1"`)
	r.validated(placed)
}

func TestPrivateCertificateIsIssuedAtOnce(t *testing.T) {
	r := newRig(t)
	order := with(with(ovOrder(t, "intranet.example.com"), "product.type_hint", "private"), "order_validity", obj{"years": 2})
	if codes := r.codes(http.StatusBadRequest, http.MethodPost, "/order/certificate/ssl", order); !slices.Contains(codes, "required_param:certificate.ca_cert_id") {
		t.Errorf("codes %v", codes)
	}
	p := r.call(http.StatusOK, http.MethodGet, "/product/private_ssl_plus", nil)
	order = with(order, "certificate.ca_cert_id", p["allowed_ca_certs"].([]any)[0].(obj)["id"])
	placed := r.call(http.StatusCreated, http.MethodPost, "/order/certificate/ssl", order)
	if placed["certificate_chain"] == nil {
		t.Fatalf("placed: %v", placed)
	}
	if leaf := r.chainOf(placed["certificate_id"])[0]; leaf.NotAfter.Sub(leaf.NotBefore) < 700*24*time.Hour {
		t.Errorf("ends %v", leaf.NotAfter)
	}
}
