package servertastic

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/certbridge/certbridged/internal/sandbox/sandboxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const day = 24 * time.Hour

// sharedAuthority is made once: RSA keys take a while.
var sharedAuthority = sync.OnceValues(NewAuthority)

// rig is a stand-in over TCP with a world that tests fill.
type rig struct {
	t      testing.TB
	s      *Server
	world  *sandboxtest.World
	url    string
	client *http.Client
	serial int
}

// newRig makes one whose review knows all at once, and whose errors say so.
func newRig(t testing.TB, change ...func(*Settings)) *rig {
	t.Helper()
	return newRigOf(t, Options{}, change...)
}

func newRigOf(t testing.TB, o Options, change ...func(*Settings)) *rig {
	t.Helper()
	authority, err := sharedAuthority()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, world: sandboxtest.NewWorld(t)}
	settings := DefaultSettings()
	settings.SyncLag, settings.ErrorStatus = 0, "mirror"
	for _, c := range change {
		c(&settings)
	}
	o.Authority = authority
	if o.Look == nil {
		o.Look = r.world.Look()
	}
	if o.Settings == nil {
		o.Settings = &settings
	}
	if r.s, err = New(o); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r.s)
	t.Cleanup(server.Close)
	// On a connection that was used before, Go's transport repeats a GET whose answer is lost: also one that buys.
	r.url, r.client = server.URL, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return r
}

// raw calls the API and returns what it answers.
func (r *rig) raw(method, path string, f form) (int, []byte, error) {
	r.t.Helper()
	values := url.Values{}
	for name, value := range f {
		values.Set(name, value)
	}
	at, body := r.url+BasePath+"/"+path+".json", ""
	if method == http.MethodPost {
		body = values.Encode()
	} else {
		at += "?" + values.Encode()
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, at, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("User-Agent", "test")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", formType)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

func methodOf(path string) string {
	switch path {
	case "order/place", "order/reissue", "order/decodecsr":
		return http.MethodPost
	default:
		return http.MethodGet
	}
}

// ok calls the API, which must not refuse.
func (r *rig) ok(path string, f form) obj {
	r.t.Helper()
	var v obj
	r.decode(path, f, &v)
	if v["error"] != nil {
		r.t.Fatalf("%s: %v", path, v["error"])
	}
	return v
}

func (r *rig) decode(path string, f form, v any) {
	r.t.Helper()
	status, text, err := r.raw(methodOf(path), path, f)
	if err != nil {
		r.t.Fatalf("%s: %v", path, err)
	}
	if err := json.Unmarshal(text, v); err != nil || status != http.StatusOK {
		r.t.Fatalf("%s: status %d: %s", path, status, text)
	}
}

// refused calls the API, which must refuse with a status, and returns what it says.
func (r *rig) refused(want int, path string, f form) string {
	r.t.Helper()
	return r.refusedBy(want, methodOf(path), path, f)
}

func (r *rig) refusedBy(want int, method, path string, f form) string {
	r.t.Helper()
	status, text, err := r.raw(method, path, f)
	if err != nil {
		r.t.Fatalf("%s: %v", path, err)
	}
	var v struct {
		Error struct {
			Code    int
			Message string
		}
	}
	if err := json.Unmarshal(text, &v); err != nil || status != want || v.Error.Code == 0 {
		r.t.Fatalf("%s: status %d, want %d: %s", path, status, want, text)
	}
	return v.Error.Message
}

// direct makes one of the rehearsal's own calls.
func (r *rig) direct(want int, method, path, body string) obj {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+"/_sandbox/"+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		r.t.Fatalf("%s %s: status %d, want %d: %s", method, path, resp.StatusCode, want, text)
	}
	var v obj
	if len(text) > 0 {
		if err := json.Unmarshal(text, &v); err != nil {
			r.t.Fatal(err)
		}
	}
	return v
}

// bought buys a token.
func (r *rig) bought(product string, beside ...string) string {
	r.t.Helper()
	r.serial++
	f := form{"api_key": r.s.Key(), "st_product_code": product, "end_customer_email": "none", "reseller_unique_reference": "ref-" + strconv.Itoa(r.serial)}
	for i := 0; i < len(beside); i += 2 {
		f[beside[i]] = beside[i+1]
	}
	return r.ok("order/generatetoken", f)["order_token"].(string)
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func csrFor(t testing.TB, key crypto.Signer, name string) string {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// placement is a good request to place an order.
func (r *rig) placement(token, name string) form {
	f := form{"order_token": token, "dv_auth_method": methodDNS, "csr": csrFor(r.t, newKey(r.t), name)}
	for _, who := range []string{"tech_contact_", "admin_contact_"} {
		f[who+"first_name"], f[who+"last_name"], f[who+"phone"], f[who+"email"], f[who+"title"] = "Ada", "Example", "15550100", "ada@example.com", "Engineer"
	}
	o := r.order(token)
	p, _ := productByCode(o.Product)
	if p.Family == familySectigo {
		f["subscriber_email"], f["subscriber_phone"] = "ada@example.com", "15550100"
	}
	if p.vetted() {
		for _, who := range []string{"tech_contact_", "admin_contact_"} {
			for _, name := range []string{"organisation_name", "address_line1", "address_city", "address_region", "address_post_code"} {
				f[who+name] = "Example"
			}
			f[who+"address_country"] = "GB"
		}
		for _, name := range []string{"name", "jurisdiction_city", "jurisdiction_region", "address_line1", "address_city", "address_region", "address_postal_code"} {
			f["org_"+name] = "Example"
		}
		f["org_jurisdiction_country"], f["org_address_country"], f["org_address_phone"] = "GB", "GB", "15550100"
	}
	return f
}

func (r *rig) order(token string) OrderSummary {
	r.t.Helper()
	for _, o := range r.s.Orders() {
		if o.Token == token {
			return o
		}
	}
	r.t.Fatalf("no order %s", token)
	return OrderSummary{}
}

// with changes parameters; an empty value removes one.
func with(f form, changes ...string) form {
	f = maps.Clone(f)
	for i := 0; i < len(changes); i += 2 {
		if f[changes[i]] = changes[i+1]; changes[i+1] == "" {
			delete(f, changes[i])
		}
	}
	return f
}

func (r *rig) review(token string) obj {
	r.t.Helper()
	return r.ok("order/review", form{"order_token": token})
}

// issued buys an order for a name, proves it by DNS, and returns its token.
func (r *rig) issued(product, name string, changes ...string) string {
	r.t.Helper()
	token := r.bought(product)
	r.ok("order/place", with(r.placement(token, name), changes...))
	r.prove(token)
	return token
}

// prove publishes what review tells, and has it looked at.
func (r *rig) prove(token string) obj {
	r.t.Helper()
	v := r.review(token)
	r.world.Publish(v["dv_auth_dns_name"].(string) + ". 60 IN " + v["dv_auth_dns_type"].(string) + " " + v["dv_auth_dns_string"].(string) + dot(v["dv_auth_dns_type"]))
	r.ok("order/pollauth", form{"order_token": token})
	v = r.review(token)
	if o := r.order(token); len(o.Unproven) > 0 {
		r.t.Fatalf("not proven: %v: %v", o.Unproven, v)
	}
	return v
}

func dot(kind any) string {
	if kind == "CNAME" {
		return "."
	}
	return ""
}

// leaves are the certificates of an answer that are no CAs'.
func leaves(t testing.TB, v any) []*x509.Certificate {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var list []*x509.Certificate
	var walk func(any)
	walk = func(v any) {
		switch x := v.(type) {
		case map[string]any:
			for _, inner := range x {
				walk(inner)
			}
		case []any:
			for _, inner := range x {
				walk(inner)
			}
		case string:
			block, _ := pem.Decode([]byte(x))
			if block == nil || block.Type != "CERTIFICATE" {
				return
			}
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			if !c.IsCA {
				list = append(list, c)
			}
		}
	}
	var again any
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	walk(again)
	return list
}

func (r *rig) count(kind string) int {
	l := r.s.Ledger()
	return l.Count(kind)
}

func (r *rig) advance(d time.Duration) {
	r.t.Helper()
	if err := r.s.Advance(d); err != nil {
		r.t.Fatal(err)
	}
}
