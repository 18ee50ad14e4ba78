package digicert

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/digicert"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/cadrive"
)

// api makes a call that the plugin does not make, as other clients and the console do.
func (r *rig) api(method, path string, body any) map[string]any {
	r.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, bytes.NewReader(text))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("X-DC-DEVKEY", adminKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		r.t.Fatalf("%s %s: HTTP %d, %s, %v", method, path, resp.StatusCode, answer, err)
	}
	var out map[string]any
	_ = json.Unmarshal(answer, &out) // 204 has none
	return out
}

// advance moves the stand-in's clock on.
func (r *rig) advance(d time.Duration) {
	r.t.Helper()
	if err := r.server.Advance(d); err != nil {
		r.t.Fatal(err)
	}
}

const day = 24 * time.Hour

// findOrder asks which order a certificate is of.
func (r *rig) findOrder(leaf []byte) (pluginapi.Order, error) {
	r.t.Helper()
	reply, err := r.Instance().FindOrderByCertificate(r.t.Context(), leaf)
	return reply.Order, err
}

// apiAt is the plugin in front of a server that answers as a test wants.
func apiAt(t *testing.T, answers map[string]http.HandlerFunc) *CA {
	t.Helper()
	mux := http.NewServeMux()
	for pattern, answer := range answers {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" /services/v2"+path, answer)
	}
	web := httptest.NewServer(mux)
	c := New(Options{Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		c.Close()
		web.CloseClientConnections()
		web.Close()
	})
	done, err := c.Configure(t.Context(), pluginapi.Account{Settings: pluginapi.Settings{
		Values:  map[string]any{"base_url": web.URL + "/services/v2", "request_timeout": "1s"},
		Secrets: map[string]pluginapi.Secret{"api_key": pluginapi.NewSecret("KEY")},
	}})
	if err != nil || len(done.Findings) > 0 {
		t.Fatal(err, done.Findings)
	}
	return c
}

// says answers with a text.
func says(status int, format string, args ...any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, format, args...)
	}
}

// strangerAt is a certificate of another CA.
func strangerAt(t testing.TB, from time.Time, life time.Duration, names ...string) []byte {
	t.Helper()
	key := cadrive.NewKey(t)
	der, err := x509.CreateCertificate(rand.Reader,
		&x509.Certificate{SerialNumber: big.NewInt(0xABCDEF), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, NotBefore: from, NotAfter: from.Add(life)},
		&x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "R11", Organization: []string{"Another CA"}}, IsCA: true, BasicConstraintsValid: true},
		key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// That a list cannot be read says nothing of whose a certificate is: on NotFound another plan would be bought.
func TestWhatCannotBeReadIsNotTakenForAStrangers(t *testing.T) {
	for name, c := range map[string]struct {
		list string
		kind sandbox.Kind
		want pluginapi.ErrorKind
	}{
		"reissues, a fault":     {"reissue", sandbox.ServerError, pluginapi.Unavailable},
		"reissues, the limit":   {"reissue", sandbox.RateLimited, pluginapi.RateLimited},
		"reissues, a gateway":   {"reissue", sandbox.HTML, pluginapi.Unavailable},
		"duplicates, the limit": {"duplicate", sandbox.RateLimited, pluginapi.RateLimited},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			first := r.order("ssl_dv_geotrust_flex", "shop.example.com")
			one := r.MustIssue(first)
			two := r.MustIssue(r.Follow(pluginapi.Reissue, first, one))
			r.MustIssue(r.Follow(pluginapi.Reissue, first, two))
			r.misbehave(sandbox.Misbehaviour{Method: "GET", Path: "/order/certificate/*/" + c.list, Kind: c.kind, RetryAfter: "60", Times: -1})
			for which, leaf := range map[string][]byte{"the first": one.Chain[0], "an earlier reissue": two.Chain[0]} {
				if o, err := r.findOrder(leaf); pluginapi.KindOf(err) != c.want {
					t.Errorf("%s: order %q, %v", which, o.Reference, err)
				}
			}
			r.server.Behave()
			if o, err := r.findOrder(two.Chain[0]); err != nil || o.Reference != one.Reference {
				t.Errorf("afterwards: %q, %v", o.Reference, err)
			}
		})
	}
}

// DigiCert finds no order by a duplicate: several servers may share one certificate's order like that.
func TestFindByDuplicate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	one := r.MustIssue(r.order("ssl_basic", "shop.example.com"))
	csr := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: cadrive.NewCSR(t, cadrive.NewKey(t), false, "shop.example.com")})
	made := r.api(http.MethodPost, "/order/certificate/"+one.Reference+"/duplicate", map[string]any{"skip_approval": true, "certificate": map[string]any{
		"common_name": "shop.example.com", "csr": string(csr), "signature_hash": "sha256", "server_platform": map[string]any{"id": -1},
	}})
	leaf, _ := made["certificate_chain"].([]any)[0].(map[string]any)["pem"].(string)
	block, _ := pem.Decode([]byte(leaf))
	if o, err := r.findOrder(block.Bytes); err != nil || o.Reference != one.Reference {
		t.Errorf("order %q, %v", o.Reference, err)
	}
}

// The first certificate of an order that was reissued is listed nowhere. It is taken for the order's where nothing else
// can be meant and a mistake would do no harm; else a person decides, and nothing is bought on a guess.
func TestFirstCertificateOfAReissuedOrder(t *testing.T) {
	for name, c := range map[string]struct {
		product  string
		prepare  func(r *rig, first pluginapi.OrderRequest, one pluginapi.Order)
		stranger func(r *rig) []byte // in place of the first certificate
		want     pluginapi.ErrorKind // zero: the order is found
	}{
		"reissued with the same names": {prepare: func(r *rig, first pluginapi.OrderRequest, one pluginapi.Order) {
			r.MustIssue(r.Follow(pluginapi.Reissue, first, one))
		}},
		"reissued with more names": {want: pluginapi.NeedsPerson, prepare: func(r *rig, first pluginapi.OrderRequest, one pluginapi.Order) {
			r.MustIssue(r.Follow(pluginapi.Reissue, first, one, "shop.example.com", "b.example.com"))
		}},
		"reissued with another common name": {want: pluginapi.NeedsPerson, prepare: func(r *rig, first pluginapi.OrderRequest, one pluginapi.Order) {
			r.MustIssue(r.Follow(pluginapi.Reissue, first, one, "b.example.com", "a.example.com"))
			r.MustIssue(r.Follow(pluginapi.Reissue, first, one, "a.example.com", "shop.example.com"))
		}},
		"renewed since": {want: pluginapi.NeedsPerson, prepare: func(r *rig, first pluginapi.OrderRequest, one pluginapi.Order) {
			two := r.MustIssue(r.Follow(pluginapi.Reissue, first, one))
			r.advance(300 * day)
			r.MustIssue(r.Follow(pluginapi.Renew, first, two))
		}},
		"two orders": {want: pluginapi.NeedsPerson, prepare: func(r *rig, first pluginapi.OrderRequest, one pluginapi.Order) {
			other := r.order("ssl_dv_geotrust_flex", "shop.example.com")
			r.MustIssue(r.Follow(pluginapi.Reissue, other, r.MustIssue(other)))
			r.MustIssue(r.Follow(pluginapi.Reissue, first, one))
		}},
		"another CA's certificate for the same names": {want: pluginapi.NeedsPerson,
			prepare: func(r *rig, first pluginapi.OrderRequest, one pluginapi.Order) {
				r.advance(10 * day)
				r.MustIssue(r.Follow(pluginapi.Reissue, first, one))
			},
			stranger: func(r *rig) []byte { return strangerAt(r.t, r.server.Now().Add(-5*day), 90*day, "shop.example.com") },
		},
		"another CA's, before the order was placed": {want: pluginapi.NotFound,
			prepare: func(r *rig, first pluginapi.OrderRequest, one pluginapi.Order) {
				r.MustIssue(r.Follow(pluginapi.Reissue, first, one))
			},
			stranger: func(r *rig) []byte { return strangerAt(r.t, r.server.Now().Add(-30*day), 90*day, "shop.example.com") },
		},
		"another CA's, after the first reissue": {want: pluginapi.NotFound,
			prepare: func(r *rig, first pluginapi.OrderRequest, one pluginapi.Order) {
				r.MustIssue(r.Follow(pluginapi.Reissue, first, one))
				r.advance(10 * day)
			},
			stranger: func(r *rig) []byte { return strangerAt(r.t, r.server.Now().Add(-5*day), 90*day, "shop.example.com") },
		},
		"another CA's, beyond the plan": {want: pluginapi.NotFound,
			prepare: func(r *rig, first pluginapi.OrderRequest, one pluginapi.Order) {
				r.advance(10 * day)
				r.MustIssue(r.Follow(pluginapi.Reissue, first, one))
			},
			stranger: func(r *rig) []byte { return strangerAt(r.t, r.server.Now().Add(-5*day), 400*day, "shop.example.com") },
		},
		"another CA's, and the order was never reissued": {want: pluginapi.NotFound,
			prepare:  func(*rig, pluginapi.OrderRequest, pluginapi.Order) {},
			stranger: func(r *rig) []byte { return strangerAt(r.t, r.server.Now(), 90*day, "shop.example.com") },
		},
		"another CA's, and the only reissue was canceled": {want: pluginapi.NotFound,
			prepare: func(r *rig, first pluginapi.OrderRequest, one pluginapi.Order) {
				if _, err := r.Place(r.Follow(pluginapi.Reissue, first, one)); err != nil {
					r.t.Fatal(err)
				}
				r.api(http.MethodPut, "/order/certificate/"+one.Reference+"/status", map[string]any{"status": "canceled"})
			},
			stranger: func(r *rig) []byte { return strangerAt(r.t, r.server.Now(), 90*day, "shop.example.com") },
		},
		"another CA's for other names": {want: pluginapi.NotFound,
			prepare: func(r *rig, first pluginapi.OrderRequest, one pluginapi.Order) {
				r.MustIssue(r.Follow(pluginapi.Reissue, first, one))
			},
			stranger: func(r *rig) []byte { return strangerAt(r.t, r.server.Now(), 90*day, "other.example.com") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			first := r.order("ssl_dv_geotrust_flex", "shop.example.com")
			one := r.MustIssue(first)
			c.prepare(r, first, one)
			leaf := one.Chain[0]
			if c.stranger != nil {
				leaf = c.stranger(r)
			}
			o, err := r.findOrder(leaf)
			if pluginapi.KindOf(err) != c.want || err == nil && o.Reference != one.Reference {
				t.Errorf("order %q, %v", o.Reference, err)
			}
			if c.want == pluginapi.NeedsPerson && !strings.Contains(err.Error(), one.Reference) {
				t.Errorf("the order is not named: %v", err)
			}
		})
	}
}

// Where there are more orders than are looked at, the last of them is not silently left out.
func TestTooManyOrdersToLookAt(t *testing.T) {
	t.Parallel()
	leaf := strangerAt(t, time.Now().Add(-day), 90*day, "shop.example.com")
	created := time.Now().Add(-30 * day).UTC().Format(time.RFC3339)
	var list []string
	for i := range 2*scannedOrders + 1 {
		at := created
		if i < scannedOrders {
			at = time.Now().Add(30 * day).UTC().Format(time.RFC3339) // these can be ruled out unread
		}
		list = append(list, fmt.Sprintf(`{"id":%d,"status":"issued","date_created":%q,"certificate":{"common_name":"www.example.com","dns_names":["shop.example.com"]}}`, 900+i, at))
	}
	for name, c := range map[string]struct {
		orders []string
		want   pluginapi.ErrorKind
		words  string
	}{
		"all looked at": {list[:2*scannedOrders], pluginapi.NotFound, "of none of them"},
		"one too many":  {list, pluginapi.NeedsPerson, "1 more"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var opened []string
			p := apiAt(t, map[string]http.HandlerFunc{
				"GET /order/certificate": says(200, `{"orders":[%s],"page":{"total":%d}}`, strings.Join(c.orders, ","), len(c.orders)),
				"GET /order/certificate/{id}": func(w http.ResponseWriter, r *http.Request) {
					n, err := strconv.Atoi(r.PathValue("id"))
					if err != nil { // a serial number or thumbprint
						says(404, `{"errors":[{"code":"not_found|order"}]}`)(w, r)
						return
					}
					opened = append(opened, r.PathValue("id"))
					says(200, `{"id":%d,"status":"issued","date_created":%q,"order_valid_till":"2099-01-01","certificate":{"id":1,"serial_number":"77"}}`, n, created)(w, r)
				},
				"GET /order/certificate/{id}/reissue":   says(200, `{"certificates":[]}`),
				"GET /order/certificate/{id}/duplicate": says(200, `{"certificates":[]}`),
			})
			_, err := p.FindOrderByCertificate(t.Context(), leaf)
			if pluginapi.KindOf(err) != c.want || !strings.Contains(err.Error(), c.words) {
				t.Error(err)
			}
			if len(opened) != scannedOrders || slices.Contains(opened, "900") {
				t.Errorf("opened %v", opened)
			}
		})
	}
}

// What the CA says now of an order is what whoever follows it goes by.
func TestInspectOrder(t *testing.T) {
	inspect := func(r *rig, of pluginapi.Order) (pluginapi.Order, error) {
		before := len(r.server.Ledger().Entries)
		reply, err := r.Instance().InspectOrder(r.t.Context(), of.Reference, of.State)
		if len(r.server.Ledger().Entries) != before {
			r.t.Error("looking changed something")
		}
		return reply.Order, err
	}
	t.Run("names, price and plan", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		first := r.order("ssl_dv_geotrust_flex", "shop.example.com")
		one := r.MustIssue(first)
		r.MustIssue(r.Follow(pluginapi.Reissue, first, one, "shop.example.com", "b.example.com"))
		got, err := inspect(r, one)
		if err != nil || got.Status != pluginapi.Issued || !slices.Equal(got.Names, []string{"shop.example.com", "b.example.com"}) || got.RenewedBy != "" {
			t.Errorf("got %+v, %v", got, err)
		}
		if !got.CoverageEnd.Equal(one.CoverageEnd) || got.Price == nil || got.Price.Currency != "USD" || string(got.State) != string(one.State) {
			t.Errorf("until %s, price %v, state %s", got.CoverageEnd, got.Price, got.State)
		}
		if _, err := inspect(r, pluginapi.Order{Reference: "123"}); pluginapi.KindOf(err) != pluginapi.NotFound {
			t.Errorf("an order that is not there: %v", err)
		}
	})
	t.Run("revoked in the console", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		one := r.MustIssue(r.order("ssl_dv_geotrust_flex", "shop.example.com"))
		r.api(http.MethodPut, "/order/certificate/"+one.Reference+"/revoke", map[string]any{"skip_approval": true})
		if got, err := inspect(r, one); err != nil || got.Status != pluginapi.OrderRejected {
			t.Errorf("got %s, %v", got.Status, err)
		}
	})
	for _, told := range []standin.RenewedOrder{standin.TellsRenewal, standin.TellsRenewed, standin.TellsNothing} {
		t.Run("renewed by hand, told "+string(told), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(s *standin.Settings) { s.RenewedOrderID = told })
			first := r.order("ssl_dv_geotrust_flex", "shop.example.com")
			one := r.MustIssue(first)
			r.advance(300 * day)
			second := r.Follow(pluginapi.Renew, first, one)
			two := r.MustIssue(second)
			wantOf := func(of pluginapi.Order, want string) {
				t.Helper()
				got, err := inspect(r, of)
				if told == standin.TellsNothing && want != "" {
					want = unnamedRenewal
				}
				if err != nil || got.RenewedBy != want {
					t.Errorf("order %s is renewed by %q, want %q: %v", of.Reference, got.RenewedBy, want, err)
				}
			}
			wantOf(one, two.Reference)
			wantOf(two, "")
			found, err := r.findOrder(one.Chain[0])
			if err != nil || found.RenewedBy == "" || !slices.Equal(found.Names, []string{"shop.example.com"}) || found.CoverageEnd.IsZero() {
				t.Errorf("found %+v, %v", found, err)
			}
			r.advance(300 * day)
			three := r.MustIssue(r.Follow(pluginapi.Renew, second, two))
			wantOf(one, two.Reference)
			wantOf(two, three.Reference)
		})
	}
	t.Run("renewed, and the renewal was canceled", func(t *testing.T) {
		t.Parallel()
		renewal := "pending"
		c := apiAt(t, map[string]http.HandlerFunc{
			"GET /order/certificate/900": says(200, `{"id":900,"status":"issued","is_renewed":true,"renewed_order_id":901,"certificate":{"id":1}}`),
			"GET /order/certificate/901": func(w http.ResponseWriter, r *http.Request) {
				says(200, `{"id":901,"status":%q,"is_renewal":true,"certificate":{"id":2}}`, renewal)(w, r)
			},
		})
		for status, want := range map[string]string{"pending": "901", "canceled": "", "rejected": "", "expired": "901"} {
			renewal = status
			if got, err := c.InspectOrder(t.Context(), "900", nil); err != nil || got.Order.RenewedBy != want {
				t.Errorf("%s: renewed by %q, %v", status, got.Order.RenewedBy, err)
			}
		}
	})
	t.Run("the renewal cannot be read just now", func(t *testing.T) {
		t.Parallel()
		c := apiAt(t, map[string]http.HandlerFunc{
			"GET /order/certificate/900": says(200, `{"id":900,"status":"issued","is_renewed":true,"renewed_order_id":901,"certificate":{"id":1}}`),
			"GET /order/certificate/901": says(429, `{"errors":[{"code":"request_limit_exceeded"}]}`),
		})
		if got, err := c.InspectOrder(t.Context(), "900", nil); pluginapi.KindOf(err) != pluginapi.RateLimited {
			t.Errorf("renewed by %q, %v", got.Order.RenewedBy, err)
		}
	})
}

// Whoever adopts a certificate is told what such an order is made with.
func TestSettingsOfAnAdoptedOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	o := r.order("ssl_basic", "shop.example.com")
	o.Settings.Values["order_validity"] = map[string]any{"years": int64(2)}
	one := r.MustIssue(o)
	found, err := r.findOrder(one.Chain[0])
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(found.Settings)
	if err != nil || string(text) != `{"order_validity":{"years":2},"product":"ssl_basic"}` {
		t.Errorf("%s, %v", text, err)
	}
	if found, err := r.Instance().CheckOrders(t.Context(), []pluginapi.Settings{{Values: found.Settings}}); err != nil || pluginapi.HasFault(found) {
		t.Errorf("%v, %v", found, err)
	}
}
