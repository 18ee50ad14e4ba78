package tencent

import (
	"bytes"
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
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/certbridge/certbridged/internal/sandbox"
	"github.com/certbridge/certbridged/internal/sandbox/sandboxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sharedAuthority is made once: RSA keys take a while.
var sharedAuthority = sync.OnceValues(NewAuthority)

// rig is a stand-in over TCP with a world to look at.
type rig struct {
	t      testing.TB
	s      *Server
	url    string
	key    Key
	client *http.Client
	world  *sandboxtest.World
	// header changes a request that is signed already.
	header func(h http.Header)
}

func newRig(t testing.TB, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, world: sandboxtest.NewWorld(t)}
	authority, err := sharedAuthority()
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Authority: authority, Look: r.world.Look()}
	for _, c := range change {
		c(&o)
	}
	if r.s, err = New(o); err != nil {
		t.Fatal(err)
	}
	r.configure(func(s *Settings) { s.RateLimits, s.CheckInterval = false, 0 })
	server := httptest.NewServer(r.s)
	t.Cleanup(server.Close)
	r.url, r.key, r.client = server.URL, r.s.Key(), server.Client()
	return r
}

func mainland(o *Options) { o.Site = Mainland }

func (r *rig) configure(change func(*Settings)) {
	r.t.Helper()
	if err := r.s.Configure(change); err != nil {
		r.t.Fatal(err)
	}
}

// signed makes a signed request.
func (r *rig) signed(action string, params any) *http.Request {
	r.t.Helper()
	body, isText := params.(string)
	if !isText {
		text, err := json.Marshal(params)
		if err != nil {
			r.t.Fatal(err)
		}
		body = string(text)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url+"/", strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	now := time.Now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-TC-Action", action)
	req.Header.Set("X-TC-Version", APIVersion)
	req.Header.Set("X-TC-Timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("X-TC-Language", "en-US")
	if r.key.Token != "" {
		req.Header.Set("X-TC-Token", r.key.Token)
	}
	if r.header != nil {
		r.header(req.Header)
	}
	headers := []string{"content-type", "host"}
	req.Host = req.URL.Host
	date := now.UTC().Format(dateOfScope)
	signature := sign(date, req.Header.Get("X-TC-Timestamp"), canonical(req, []byte(body), headers, false), r.key.SecretKey)
	req.Header.Set("Authorization", algorithm+" Credential="+r.key.SecretID+"/"+date+"/ssl/tc3_request, SignedHeaders=content-type;host, Signature="+signature)
	return req
}

func (r *rig) send(req *http.Request) (int, []byte, error) {
	r.t.Helper()
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}

// response calls an action and returns what is in Response.
func (r *rig) response(action string, params any) obj {
	r.t.Helper()
	return r.responseTo(r.signed(action, params))
}

func (r *rig) responseTo(req *http.Request) obj {
	r.t.Helper()
	status, text, err := r.send(req)
	if err != nil || status != http.StatusOK {
		r.t.Fatalf("%s: status %d, %v: %s", req.Header.Get("X-TC-Action"), status, err, text)
	}
	var v struct{ Response obj }
	if err := json.Unmarshal(text, &v); err != nil || v.Response["RequestId"] == "" {
		r.t.Fatalf("%s: %v: %s", req.Header.Get("X-TC-Action"), err, text)
	}
	return v.Response
}

// call calls an action that must succeed.
func (r *rig) call(action string, params any) obj {
	r.t.Helper()
	v := r.response(action, params)
	if e := v["Error"]; e != nil {
		r.t.Fatalf("%s: %v", action, e)
	}
	return v
}

// code calls an action and returns its error code, empty for none.
func (r *rig) code(action string, params any) string {
	r.t.Helper()
	return codeOf(r.response(action, params))
}

func codeOf(v obj) string {
	e, _ := v["Error"].(obj)
	code, _ := e["Code"].(string)
	return code
}

// own calls one of the rehearsal's own calls.
func (r *rig) own(want int, method, path string, body any) obj {
	r.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+sandbox.AdminPath+path, bytes.NewReader(text))
	if err != nil {
		r.t.Fatal(err)
	}
	status, answer, err := r.send(req)
	if err != nil || status != want {
		r.t.Fatalf("%s %s: status %d, want %d: %v: %s", method, path, status, want, err, answer)
	}
	var v obj
	if len(answer) > 0 {
		if err := json.Unmarshal(answer, &v); err != nil {
			r.t.Fatal(err)
		}
	}
	return v
}

// testKey is one key for all requests that do not care.
var testKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
})

func csrOf(t testing.TB, key crypto.Signer, names ...string) string {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: names[0]}, DNSNames: names}, key)
	if err != nil {
		t.Fatal(err)
	}
	return encodePEM("CERTIFICATE REQUEST", der)
}

// The products that most tests use: TXT records, and CNAME records.
const (
	dnspodDV     = 48
	dnspodStar   = 49
	dnspodMulti  = 50
	trustAsiaAll = 42 // several wildcards
	wotrusDV     = 25
	geotrustOV   = 9
)

// bought buys, and returns the id.
func (r *rig) bought(product, names int64, tags ...tag) string {
	r.t.Helper()
	p := obj{"ProductId": product, "DomainNum": names, "TimeSpan": 1, "AutoVoucher": 0}
	if len(tags) > 0 {
		p["Tags"] = tags
	}
	return r.call("CreateCertificate", p)["CertificateIds"].([]any)[0].(string)
}

// info is good for a DV certificate with a key of the client's.
func info(t testing.TB, id string, names ...string) obj {
	t.Helper()
	v := obj{
		"CertId": id, "GenCsrType": "parse", "CertCommonName": names[0], "Csr": csrOf(t, testKey(), names...), "CompanyType": 1, "CompanyId": "0",
		"ContactEmail": "certs@example.com", "VerifyType": methodDNS, "AutoRenewFlag": 0,
	}
	if len(names) > 1 {
		v["DnsNames"] = names[1:]
	}
	return v
}

// companyInfo is good for an OV certificate.
func companyInfo(t testing.TB, id string, names ...string) obj {
	t.Helper()
	v := info(t, id, names...)
	delete(v, "ContactEmail")
	v["CompanyType"], v["ManagerId"] = 2, "0"
	for _, list := range [][]string{orgFields(), adminFields(), techFields()} {
		for _, name := range list {
			v[name] = "x"
		}
	}
	v["OrgCountry"], v["AdminEmail"], v["TechEmail"] = "SG", "ann@example.com", "tom@example.com"
	return v
}

// with sets a parameter in a copy; nil removes it.
func with(o obj, name string, v any) obj {
	o = maps.Clone(o)
	if v == nil {
		delete(o, name)
	} else {
		o[name] = v
	}
	return o
}

// submitted buys, sends the materials and the order, and returns the id and the answer.
func (r *rig) submitted(product int64, method string, names ...string) (string, obj) {
	r.t.Helper()
	id := r.bought(product, int64(len(names)))
	r.call("CertificateInfoSubmit", info(r.t, id, names...))
	return id, r.call("CertificateOrderSubmit", obj{"CertId": id, "VerifyType": method})
}

func (r *rig) detail(id string) obj {
	r.t.Helper()
	return r.call("DescribeCertificateDetail", obj{"CertificateId": id})
}

func (r *rig) status(id string) int {
	r.t.Helper()
	f, _ := r.detail(id)["Status"].(float64)
	return int(f)
}

// auths are what must be published.
func auths(detail obj) []obj {
	d, _ := detail["DvAuthDetail"].(obj)
	list, _ := d["DvAuths"].([]any)
	var out []obj
	for _, v := range list {
		out = append(out, v.(obj))
	}
	return out
}

// publish publishes what a certificate must show, files on the hosts that are named.
func (r *rig) publish(id string, hosts ...string) {
	r.t.Helper()
	list := auths(r.detail(id))
	if len(list) == 0 {
		r.t.Fatalf("%s shows nothing to publish", id)
	}
	for _, a := range list {
		r.show(a, hosts...)
	}
}

func (r *rig) show(a obj, hosts ...string) {
	r.t.Helper()
	key, value := a["DvAuthKey"].(string), a["DvAuthValue"].(string)
	switch a["DvAuthVerifyType"] {
	case kindTXT:
		r.world.Publish(key + `. 60 IN TXT "` + value + `"`)
	case kindCNAME:
		r.world.Publish(key + ". 60 IN CNAME " + value + ".")
	default:
		for _, host := range hosts {
			r.world.File("http", host+a["DvAuthPath"].(string)+key, value+"\n")
		}
	}
}

// issued brings a DV certificate to its end.
func (r *rig) issued(product int64, names ...string) string {
	r.t.Helper()
	id, _ := r.submitted(product, methodDNS, names...)
	r.publish(id)
	r.look()
	if s := r.status(id); s != statusIssued {
		r.t.Fatalf("%s has status %d: %v", id, s, r.s.Certificates())
	}
	return id
}

func (r *rig) look() {
	r.t.Helper()
	if err := r.s.LookNow(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) advance(d time.Duration) {
	r.t.Helper()
	if err := r.s.Advance(d); err != nil {
		r.t.Fatal(err)
	}
}

const day = 24 * time.Hour

// chainOf reads PEM.
func chainOf(t testing.TB, text any) []*x509.Certificate {
	t.Helper()
	s, _ := text.(string)
	var chain []*x509.Certificate
	for block, rest := pem.Decode([]byte(s)); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != pemCertificate {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, c)
	}
	return chain
}

func (r *rig) count(kind string) int {
	l := r.s.Ledger()
	return l.Count(kind)
}
