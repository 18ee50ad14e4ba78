package ordertoken

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"
)

// An order is bought on the word of these lists: they must be there, and not merely say nothing.
func TestTokens(t *testing.T) {
	for text, c := range map[string]struct {
		want string // token:reference:used
		fail bool
		// doubt: that a reference is not among them means nothing.
		doubt bool
	}{
		`{"success":"x","unused_tokens":{"order_token":[{"token":"a","reseller_unique_reference":"r"}]},"used_tokens":{"order_token":[{"token":"b","reseller_unique_reference":"s"}]}}`: {want: "a:r b:s:used"},
		`{"success":"x","unused_tokens":{"order_token":{"token":"a","reseller_unique_reference":"r"}},"used_tokens":""}`:                                                                {want: "a:r"},
		`{"success":"x","unused_tokens":[{"token":"a"}],"used_tokens":[]}`:                                                                                                              {want: "a:", doubt: true},
		`{"success":"x","unused_tokens":null,"used_tokens":{}}`:                                                                                                                         {},
		`{"success":"x","unused_tokens":{"order_token":""},"used_tokens":{"order_token":[]}}`:                                                                                           {},
		`{"success":"x","unused_tokens":{"order_token":[]}}`:                                                                                                                            {doubt: true},
		`{"success":"x","used_tokens":[{"token":"b","reseller_unique_reference":"s"}]}`:                                                                                                 {want: "b:s:used", doubt: true},
		`{"success":"x"}`: {fail: true},
		`{"success":"x","unused_tokens":"some","used_tokens":[]}`:         {fail: true},
		`{"success":"x","unused_tokens":{"tokens":[]},"used_tokens":[]}`:  {fail: true},
		`{"success":"x","unused_tokens":[{"token":""}],"used_tokens":[]}`: {fail: true},
		`{"unused_tokens":[],"used_tokens":[]}`:                           {fail: true},
		`{"success":"x","unused_tokens":[{"token":"a"}],"used_tokens":[`:  {fail: true},
		`[]`: {fail: true},
	} {
		list, err := decodeTokens([]byte(text))
		var got []string
		for _, e := range list.List {
			entry := string(e.Token) + ":" + string(e.Reference)
			if e.Used {
				entry += ":used"
			}
			got = append(got, entry)
		}
		if strings.Join(got, " ") != c.want || (err != nil) != c.fail || (list.Doubt != "") != c.doubt {
			t.Errorf("%s: %v (doubt %q), %v", text, got, list.Doubt, err)
		}
	}
}

func TestFields(t *testing.T) {
	list, err := decodeFields([]byte(`["RapidSSL-12","RapidSSL: RapidSSL - 1 Year",
		{"order_token":{"required":1,"input_type":"hidden","options":"","required_if":""}},
		{"csr":{"required":"","input_type":"textarea","options":"","required_if":"!domain_name"}},
		{"dv_auth_method":{"required":"1","input_type":"select","options":["EMAIL","FILE","DNS"],"required_if":[]}},
		{"choice":{"required":false,"input_type":"select","options":{"a":"A","b":"B"},"required_if":null}},
		{"org_name":{"required":"","input_type":"text","options":null,"required_if":["domain_name","!csr"]}},
		{"broken":7}]`))
	want := []FieldSpec{
		{Name: "order_token", Required: true, Input: "hidden"}, {Name: "csr", Input: "textarea", RequiredIf: []string{"!domain_name"}},
		{Name: "dv_auth_method", Required: true, Input: "select", Options: []string{"EMAIL", "FILE", "DNS"}}, {Name: "choice", Input: "select", Options: []string{"a", "b"}},
		{Name: "org_name", Input: "text", RequiredIf: []string{"domain_name", "!csr"}}, {Name: "broken"},
	}
	if err != nil || !reflect.DeepEqual(list, want) {
		t.Errorf("got %+v, %v", list, err)
	}
	for _, text := range []string{`{}`, `[]`, `["a"]`, ``, `<html>`} {
		if _, err := decodeFields([]byte(text)); err == nil {
			t.Errorf("%s is a list of fields", text)
		}
	}
}

func TestReview(t *testing.T) {
	r, err := decodeReview([]byte(`{"success":"Review Order","order_status":" Awaiting  Customer Verification","reseller_order_id":"STR_37_400123",
		"reseller_unique_reference":"cb-1","provider_order_id":1234567890,"st_product_code":"RapidSSL-12","domain_name":"example.com","san_count":0,
		"dv_auth_method":"Email","dv_auth_dns_type":"txt","dv_auth_dns_name":"_dnsauth.example.com","dv_auth_dns_string":"k7x0",
		"admin_contact":{"first_name":"Bo"},"modifications":{"modification":{"timestamp":"2026-11-21 10:00:05","event_id":"3","event_name":"Order Completed"}},"certificate_list":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 21, 10, 0, 5, 0, time.UTC)
	if r.Status != StatusValidation || r.Method != "EMAIL" || r.ProviderID != "1234567890" || r.AdminFirstName != "Bo" || !r.Issued().Equal(at) || !r.First().Equal(at) ||
		r.Control != (Control{DNSType: "TXT", DNSName: "_dnsauth.example.com", DNSValue: "k7x0"}) {
		t.Errorf("got %+v", r)
	}
	for text, want := range map[string][2]bool{ // unplaced, unclear
		`{"success":"","order_status":"Order Generated","certificate_list":null,"domain_name":null}`: {true, false},
		`{"success":"","order_status":"Invite Available"}`:                                           {true, false},
		`{"success":"","order_status":"Order Placed","admin_contact":[],"modifications":""}`:         {false, true},
		`{"success":"","order_status":"Order Placed","admin_contact":{"first_name":"Bo"}}`:           {false, false},
		`{"success":"","order_status":"Order Placed","domain_name":"example.com"}`:                   {false, false},
		`{"success":"","order_status":"Completed"}`:                                                  {false, false},
	} {
		r, err := decodeReview([]byte(text))
		if err != nil || r.Unplaced() != want[0] || r.Unclear() != want[1] {
			t.Errorf("%s: %t, %t, %v", text, r.Unplaced(), r.Unclear(), err)
		}
	}
	for _, text := range []string{`{"success":""}`, `{"order_status":"Completed"}`, `[]`, `{"success":"","order_status":{}}`} {
		if _, err := decodeReview([]byte(text)); err == nil {
			t.Errorf("%s is a review", text)
		}
	}
}

func TestPlaced(t *testing.T) {
	for text, want := range map[string]Placed{
		`{"success":"x","reseller_order_id":"STR_1","dns_string":"k7x0","private_key":""}`:                            {OrderID: "STR_1", Control: Control{DNSValue: "k7x0"}},
		`{"success":"x","dv_auth_dns_string":"k7x0","private_key":null}`:                                              {Control: Control{DNSValue: "k7x0"}},
		`{"success":"x","dns_name":"_dnsauth","dns_string":"k7x0","file_name":"fileauth.txt","file_contents":"k7x0"}`: {Control: Control{DNSName: "_dnsauth", DNSValue: "k7x0", FileName: "fileauth.txt", FileBody: "k7x0"}},
		`{"success":"x","private_key":"-----BEGIN RSA PRIVATE KEY-----\nxx"}`:                                         {OwnKey: true},
	} {
		if got, err := decodePlaced([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

func TestLists(t *testing.T) {
	if a, err := decodeAccount([]byte(`{"purchased_points":"1,234.5","active_orders":"","completed_orders":{"completed_order":{"reseller_order_id":"STR_1","domain_name":"example.com","order_date":"2026-11-21 10:00:00"}}}`)); err != nil || a.Points != "1,234.5" || len(a.Orders) != 1 || a.Orders[0].At.IsZero() {
		t.Errorf("account %+v, %v", a, err)
	}
	if _, err := decodeAccount([]byte(`{"active_orders":""}`)); err == nil {
		t.Error("an account without points")
	}
	for _, text := range []string{`{"record":[{"OrderReference":"STR_1","OrderToken":"ab"}]}`, `{"records":{"record":{"OrderReference":"STR_1","OrderToken":"ab"}}}`} {
		if p, err := decodePoints([]byte(text)); err != nil || len(p) != 1 || p[0].Token != "ab" {
			t.Errorf("%s: %+v, %v", text, p, err)
		}
	}
	if p, err := decodeProducts([]byte(`{"success":"x","products":[{"st_product_code":"RapidSSL-12","product_points":10,"max_san_count":"0"}]}`)); err != nil || len(p) != 1 || p[0].Points != "10" {
		t.Errorf("products %+v, %v", p, err)
	}
	if _, err := decodeProducts([]byte(`{"products":[]}`)); err == nil {
		t.Error("no products")
	}
	for _, text := range []string{`{"success":"x","approver_email":[{"email":"admin@example.com"}]}`, `{"success":"x","approver_email":{"email":"admin@example.com"}}`, `{"success":"x","approver_email":["admin@example.com"]}`} {
		if a, err := decodeApprovers([]byte(text)); err != nil || len(a) != 1 || a[0] != "admin@example.com" {
			t.Errorf("%s: %v, %v", text, a, err)
		}
	}
}

// Certificates are found wherever they stand.
func TestCertificates(t *testing.T) {
	one, two := newCertificate(t, "one.example.com"), newCertificate(t, "two.example.com")
	text := func(der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	lone := base64.StdEncoding.EncodeToString(one)
	for name, tree := range map[string]any{
		"a list":             map[string]any{"certificate_list": []any{map[string]any{"expiration_date": nil, "crt": text(one), "chain": []any{text(two)}}}},
		"flat":               map[string]any{"certificate": text(one), "ca_certs": map[string]any{"certificate_info": map[string]any{"type": "INTERMEDIATE", "certificate": text(two)}}},
		"in one text":        map[string]any{"x": text(one) + text(two)},
		"with line ends":     map[string]any{"x": strings.ReplaceAll(text(one), "\n", "\r\n"), "y": strings.ReplaceAll(text(two), "\n", `\n`)},
		"without line ends":  map[string]any{"x": strings.ReplaceAll(text(one), "\n", ""), "y": text(two)},
		"without its dashes": map[string]any{"Certificate": lone, "y": text(two)},
		"PKCS#7":             map[string]any{"pkcs7": pkcs7(t, one, two)},
		"twice":              map[string]any{"certificate": text(one), "pkcs7": pkcs7(t, one, two), "again": text(two)},
	} {
		body, err := json.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		found := certificatesIn(body)
		for _, c := range found {
			names[c.Subject.CommonName] = true
		}
		if len(found) != 2 || len(names) != 2 {
			t.Errorf("%s: %v", name, names)
		}
	}
	for _, body := range []string{`{}`, `{"certificate":"-----BEGIN CERTIFICATE-----"}`, `{"certificate":"AAAA"}`, `<html>`, `{"pkcs7":"-----BEGIN PKCS7-----AAAA-----END PKCS7-----"}`} {
		if found := certificatesIn([]byte(body)); len(found) != 0 {
			t.Errorf("%s: %v", body, found)
		}
	}
}

func newCertificate(t testing.TB, name string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// pkcs7 makes a message of certificates alone (RFC 2315 section 9).
func pkcs7(t testing.TB, certificates ...[]byte) string {
	t.Helper()
	var bag []byte
	for _, c := range certificates {
		bag = append(bag, c...)
	}
	signed, err := asn1.Marshal(struct {
		Version      int
		Digests      []asn1.RawValue `asn1:"set"`
		Content      struct{ Type asn1.ObjectIdentifier }
		Certificates asn1.RawValue
		Signers      []asn1.RawValue `asn1:"set"`
	}{
		Version: 1, Content: struct{ Type asn1.ObjectIdentifier }{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}},
		Certificates: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: bag},
	})
	if err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: signed}})
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: der}))
}

// Whatever comes, nothing panics, and what is understood makes sense.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{
		`{"success":"x","order_status":"Completed","certificate_list":[{"certificate":"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"}]}`,
		`{"success":"x","order_token":"ab12"}`, `{"error":{"code":"401","message":"x"}}`, `["a","b",{"csr":{"required":1}}]`,
		`{"success":"x","unused_tokens":{"order_token":[]},"used_tokens":[]}`, `{"purchased_points":1}`, `{"record":[]}`, `{"products":{"product":{}}}`,
		`{"pkcs7":"-----BEGIN PKCS7-----MAA=-----END PKCS7-----"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		_ = decodeProblems(body)
		if g, err := decodeGenerated(body); err == nil && g.Token == "" {
			t.Error("a purchase without a token")
		}
		if r, err := decodeReview(body); err == nil && r.Status == "" {
			t.Error("a review without a status")
		}
		if list, err := decodeTokens(body); err == nil {
			for _, token := range list.List {
				if token.Token == "" {
					t.Error("a token that is empty")
				}
			}
		}
		if list, err := decodeFields(body); err == nil && len(list) == 0 {
			t.Error("no fields")
		}
		_, _ = decodePlaced(body)
		_, _ = decodeAccount(body)
		_, _ = decodePoints(body)
		_, _ = decodeProducts(body)
		_, _ = decodeApprovers(body)
	})
}
