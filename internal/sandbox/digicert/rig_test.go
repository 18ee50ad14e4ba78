package digicert

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
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

	"go.uber.org/goleak"

	"github.com/certbridge/certbridged/internal/sandbox"
	"github.com/certbridge/certbridged/internal/sandbox/sandboxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sharedAuthority is made once: RSA keys take a while.
var sharedAuthority = sync.OnceValues(NewAuthority)

// rig is a stand-in over TCP with a name server and a web server that tests fill.
type rig struct {
	t      testing.TB
	s      *Server
	url    string
	key    string
	client *http.Client
	world  *sandboxtest.World
}

// newRig makes one with an administrator's key.
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
	r.s, err = New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.s.Configure(func(s *Settings) { s.RateLimits = false }); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r.s)
	t.Cleanup(server.Close)
	r.url, r.key, r.client = server.URL, r.s.Key(), server.Client()
	return r
}

// publish puts a record into the DNS.
func (r *rig) publish(record string) {
	r.t.Helper()
	r.world.Publish(record)
}

// file puts a file on a web server.
func (r *rig) file(where, body string) { r.world.File("http", where, body) }

// raw calls the API and returns what it answers.
func (r *rig) raw(method, path string, body any) (int, []byte, error) {
	r.t.Helper()
	var text []byte
	switch b := body.(type) {
	case nil:
	case string:
		text = []byte(b)
	default:
		var err error
		if text, err = json.Marshal(b); err != nil {
			r.t.Fatal(err)
		}
	}
	at := r.url + path
	if !strings.HasPrefix(path, sandbox.AdminPath) {
		at = r.url + BasePath + path
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, at, bytes.NewReader(text))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("X-DC-DEVKEY", r.key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "test")
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

// call calls the API, which must answer with a status, and returns the JSON.
func (r *rig) call(want int, method, path string, body any) obj {
	r.t.Helper()
	status, text, err := r.raw(method, path, body)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	if status != want {
		r.t.Fatalf("%s %s: status %d, want %d: %s", method, path, status, want, text)
	}
	if len(text) == 0 {
		return nil
	}
	var v obj
	if err := json.Unmarshal(text, &v); err != nil {
		r.t.Fatalf("%s %s: %v: %s", method, path, err, text)
	}
	return v
}

// code calls the API, which must refuse, and returns the codes.
func (r *rig) codes(want int, method, path string, body any) []string {
	r.t.Helper()
	var codes []string
	list, _ := r.call(want, method, path, body)["errors"].([]any)
	for _, e := range list {
		codes = append(codes, e.(obj)["code"].(string))
	}
	return codes
}

func num(v any) int64 {
	f, _ := v.(float64)
	return int64(f)
}

func orderPath(n any) string { return "/order/certificate/" + strconv.FormatInt(num(n), 10) }

// testKey is one key for all requests that do not care.
var testKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
})

func csrOf(t testing.TB, key crypto.Signer) string {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// dvOrder is a good order of a DV product.
func dvOrder(t testing.TB, names ...string) obj {
	return obj{
		"certificate":    obj{"common_name": names[0], "dns_names": names[1:], "csr": csrOf(t, testKey()), "server_platform": obj{"id": -1}},
		"order_validity": obj{"years": 1}, "dcv_method": methodTXT, "skip_approval": true,
	}
}

// ovOrder is a good order of an OV product.
func ovOrder(t testing.TB, names ...string) obj {
	o := dvOrder(t, names...)
	o["certificate"].(obj)["signature_hash"] = "sha256"
	o["organization"] = obj{"id": DemoOrganization}
	return o
}

// reissueOf is a good reissue.
func reissueOf(t testing.TB, names ...string) obj {
	o := ovOrder(t, names...)
	return obj{"certificate": o["certificate"], "dcv_method": methodTXT, "skip_approval": true}
}

// with sets a value at a dotted path in a copy of an object; nil removes it.
func with(o obj, path string, v any) obj {
	o = maps.Clone(o)
	head, rest, nested := strings.Cut(path, ".")
	switch {
	case nested:
		inner, _ := o[head].(obj)
		if inner == nil {
			inner = obj{}
		}
		o[head] = with(inner, rest, v)
	case v == nil:
		delete(o, head)
	default:
		o[head] = v
	}
	return o
}

// validated publishes the value of an order that waits, and has it looked at.
func (r *rig) validated(placed obj, domains ...string) obj {
	r.t.Helper()
	for _, d := range domains {
		r.publish("_dnsauth." + d + ". 60 IN TXT " + placed["dcv_random_value"].(string))
	}
	v := r.call(http.StatusOK, http.MethodPut, orderPath(placed["id"])+"/check-dcv", nil)
	if v["order_status"] != statusIssued {
		r.t.Fatalf("not issued: %v; calls %+v", v, r.s.Calls())
	}
	return v
}

// chainOf downloads a chain.
func (r *rig) chainOf(certificate any) []*x509.Certificate {
	r.t.Helper()
	status, text, err := r.raw(http.MethodGet, "/certificate/"+strconv.FormatInt(num(certificate), 10)+"/download/format/pem_all", nil)
	if err != nil || status != http.StatusOK {
		r.t.Fatalf("download: status %d, %v: %s", status, err, text)
	}
	var chain []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			r.t.Fatal(err)
		}
		chain = append(chain, c)
	}
	return chain
}

func (r *rig) count(kind string) int {
	l := r.s.Ledger()
	return l.Count(kind)
}
