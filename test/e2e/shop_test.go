package e2e

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// shop is a commercial CA: it sells, checks and issues, and counts what it sells. It is strict, it trusts nobody's word,
// and it sells again to whoever orders again. What it knows outlives every process a test kills.
type shop struct {
	server *httptest.Server
	ca     *authority
	apiKey string
	// lookAt is the address that every domain name leads to.
	lookAt string
	// resolver is where it looks DNS records up.
	resolver string

	mu       sync.Mutex
	orders   map[string]*shopOrder
	sold     []string // the ids of orders, in the order they came
	lifetime time.Duration
	plan     time.Duration // for how long an order is paid
	proofs   []string      // where the customer may show control: file, dnsauth, apex, cname
	blind    bool          // does not look at what the customer shows
	approval bool          // a clerk must approve each order
	blab     bool          // tell the customer's key in every order
	wrong    int           // how many certificates to issue for another key
	faults   map[string][]fault
	log      []string             // every request, headers and body
	first    map[string]time.Time // when an exchange came for the first time, or was answered for the first time
	revoked  []string
	looks    int // validations that were tried
}

// shopOrder is an order as the shop keeps it and writes it.
type shopOrder struct {
	ID          string    `json:"id"`
	Status      string    `json:"status"`
	Detail      string    `json:"detail"`
	Token       string    `json:"token"`
	Proofs      []string  `json:"proofs"`
	Names       []string  `json:"names"`
	Proven      []string  `json:"proven"`
	Chain       [][]byte  `json:"chain"`
	CoverageEnd time.Time `json:"coverage_end"`
	Price       string    `json:"price"`

	Key      string `json:"key"`
	Kind     string `json:"kind"`
	Product  string `json:"product"`
	CSR      []byte `json:"csr"`
	Previous string `json:"previous"`

	asked bool // the customer said that the file is there
	wrong bool // what was issued is for another key; it is mended at the next look
}

const (
	challengePath = "/.well-known/pki-validation/fileauth.txt"
	ninetyDays    = 90 * 24 * time.Hour
	oneYear       = 365 * 24 * time.Hour
)

// newShop opens a shop. What before knows, where it is given, the new one knows too.
func newShop(t testing.TB, lookAt string, before *shop) *shop {
	t.Helper()
	s := &shop{
		lookAt: lookAt, apiKey: "shop-key-" + newSerial().Text(36), orders: map[string]*shopOrder{}, faults: map[string][]fault{},
		lifetime: ninetyDays, plan: oneYear, proofs: []string{"file"}, first: map[string]time.Time{},
	}
	if before == nil {
		s.ca = newAuthority(t)
	} else {
		before.mu.Lock()
		s.ca = before.ca
		for id, o := range before.orders {
			o := *o
			s.orders[id] = &o
		}
		before.mu.Unlock()
	}
	mux := http.NewServeMux()
	s.handle(mux, "GET /account", func(*http.Request) (any, error) { return struct{}{}, nil })
	s.handle(mux, "POST /orders", s.buy)
	s.handle(mux, "GET /orders", s.find)
	s.handle(mux, "GET /orders/{id}", s.look)
	s.handle(mux, "GET /orders/{id}/state", func(r *http.Request) (any, error) {
		return s.change(r, func(*shopOrder) error { return nil })
	})
	s.handle(mux, "POST /orders/{id}/validate", s.validate)
	s.handle(mux, "POST /orders/{id}/cancel", s.cancel)
	s.handle(mux, "POST /certificates/{serial}/revoke", s.revoke)
	s.server = httptest.NewServer(mux)
	t.Cleanup(func() {
		s.server.CloseClientConnections() // Close waits for requests, and some hang
		s.server.Close()
	})
	return s
}

// refusal is an answer that is no success.
type refusal struct {
	code           int
	field, message string
}

func (r *refusal) Error() string { return r.message }

// handle serves one exchange, with the misbehaviour that a test asked for.
func (s *shop) handle(mux *http.ServeMux, exchange string, do func(*http.Request) (any, error)) {
	mux.HandleFunc(exchange, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			return
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		s.note(r, body)
		s.clock(exchange + " came")
		defer s.clock(exchange + " went")
		work := func(w http.ResponseWriter) { s.answer(w, r, do) }
		if f := s.takeFault(exchange); f != nil {
			f(s, w, r, work)
			return
		}
		work(w)
	})
}

func (s *shop) note(r *http.Request, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, fmt.Sprintf("%s %s %v\n%s", r.Method, r.URL, r.Header, body))
}

// clock notes when something happened for the first time.
func (s *shop) clock(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first[what].IsZero() {
		s.first[what] = time.Now()
	}
}

func (s *shop) answer(w http.ResponseWriter, r *http.Request, do func(*http.Request) (any, error)) {
	value, err := do(r)
	if r.Header.Get("Authorization") != "Bearer "+s.apiKey {
		err = &refusal{http.StatusUnauthorized, "", "who are you?"}
	}
	w.Header().Set("Content-Type", "application/json")
	var no *refusal
	switch {
	case errors.As(err, &no):
		w.WriteHeader(no.code)
		value = map[string]string{"message": no.message, "field": no.field}
	case err != nil:
		w.WriteHeader(http.StatusInternalServerError)
		value = map[string]string{"message": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(value) // whoever does not listen any more will ask again
}

// buy sells an order, at every call.
func (s *shop) buy(r *http.Request) (any, error) {
	if r.Header.Get("Authorization") != "Bearer "+s.apiKey {
		return nil, &refusal{http.StatusUnauthorized, "", "who are you?"}
	}
	o := &shopOrder{}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(o); err != nil {
		return nil, &refusal{http.StatusUnprocessableEntity, "", err.Error()}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(o); err != nil {
		return nil, err
	}
	o.ID = fmt.Sprintf("shop-%d", len(s.orders)+1)
	o.Proofs, o.Proven = s.proofs, nil
	o.Token, o.Price, o.Status = "token-"+newSerial().Text(36), "9.90", "pending"
	if s.approval {
		o.Status = "approval"
	}
	if o.CoverageEnd.IsZero() {
		o.CoverageEnd = time.Now().Add(s.plan)
	}
	s.orders[o.ID] = o
	s.sold = append(s.sold, o.ID)
	return *o, nil
}

func (s *shop) check(o *shopOrder) error {
	bad := func(field, format string, args ...any) error {
		return &refusal{http.StatusUnprocessableEntity, field, fmt.Sprintf(format, args...)}
	}
	csr, err := x509.ParseCertificateRequest(o.CSR)
	if err == nil {
		err = csr.CheckSignature()
	}
	previous := s.orders[o.Previous]
	switch {
	case err != nil:
		return bad("csr", "%v", err)
	case o.Product != "dv":
		return bad("product", "there is no product %q", o.Product)
	case len(o.Key) != 32:
		return bad("key", "%q is no key", o.Key)
	case len(o.Names) == 0 || !slices.Equal(slices.Sorted(slices.Values(csr.DNSNames)), slices.Sorted(slices.Values(o.Names))):
		return bad("names", "%q are ordered, %q are in the request", o.Names, csr.DNSNames)
	case o.Kind != "new" && previous == nil:
		return bad("previous", "there is no order %q to %s", o.Previous, o.Kind)
	case o.Kind == "reissue" && previous.CoverageEnd.Before(time.Now()):
		return &refusal{http.StatusConflict, "", "the paid time is over"}
	case o.Kind == "reissue":
		o.CoverageEnd = previous.CoverageEnd
	case o.Kind != "new" && o.Kind != "renew":
		return bad("kind", "there is no kind %q", o.Kind)
	}
	return nil
}

func (s *shop) find(r *http.Request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := []shopOrder{}
	for _, id := range s.sold {
		if s.orders[id].Key == r.URL.Query().Get("key") {
			found = append(found, *s.orders[id])
		}
	}
	return found, nil
}

// change changes an order under the lock and returns it.
func (s *shop) change(r *http.Request, do func(*shopOrder) error) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.orders[r.PathValue("id")]
	if o == nil {
		return nil, &refusal{http.StatusNotFound, "", "there is no such order"}
	}
	err := do(o)
	if s.blab {
		o.Detail = "paid with " + s.apiKey
	}
	return *o, err
}

// look reads an order. Looking at one whose file is said to be there makes the shop look for it again, looking at one
// that is proven makes it issue.
func (s *shop) look(r *http.Request) (any, error) {
	o, err := s.change(r, func(o *shopOrder) error {
		if o.Status == "processing" || o.wrong {
			return s.issue(o)
		}
		return nil
	})
	if order, ok := o.(shopOrder); err == nil && ok && order.asked && order.Status == "pending" {
		return s.validate(r)
	}
	return o, err
}

// validate looks for what every name must show, as the outside world would see it. What was seen once is proven.
func (s *shop) validate(r *http.Request) (any, error) {
	var seen shopOrder
	blind := false
	o, err := s.change(r, func(o *shopOrder) error {
		o.asked = true
		s.looks++
		seen, blind = *o, s.blind
		return nil
	})
	if err != nil || seen.Status != "pending" || blind {
		return o, err
	}
	proven, trouble := s.proven(r.Context(), seen)
	return s.change(r, func(o *shopOrder) error {
		for _, name := range proven {
			if !slices.Contains(o.Proven, name) {
				o.Proven = append(o.Proven, name)
			}
		}
		switch {
		case trouble != nil:
			o.Detail = trouble.Error()
		case o.Status == "pending":
			o.Status, o.Detail = "processing", "domain control is shown"
		}
		return nil
	})
}

// proven returns the names whose control is shown, and why it is not for the others.
func (s *shop) proven(ctx context.Context, o shopOrder) (names []string, trouble error) {
	for _, name := range o.Names {
		err := s.provenBy(ctx, o, name)
		if err == nil || slices.Contains(o.Proven, name) {
			names = append(names, name)
			continue
		}
		trouble = errors.Join(trouble, err)
	}
	return names, trouble
}

// provenBy looks in every place where a name's control may be shown.
func (s *shop) provenBy(ctx context.Context, o shopOrder, name string) error {
	var errs []error
	for _, proof := range o.Proofs {
		var err error
		if proof == "file" {
			err = s.fileShows(ctx, o, name)
		} else {
			err = s.recordShows(ctx, o, proof, name)
		}
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *shop) fileShows(ctx context.Context, o shopOrder, name string) error {
	body, err := fetch(ctx, s.lookAt, name)
	if err == nil && strings.TrimSpace(body) != o.Token {
		err = fmt.Errorf("http://%s%s holds %q", name, challengePath, body)
	}
	return err
}

// fetch gets the challenge file of a name from the server at an address.
func fetch(ctx context.Context, address, name string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+name+challengePath, nil)
	if err != nil {
		return "", err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", req.URL, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	return string(body), err
}

// issue signs the certificate, or, where a test wants that, one for another key.
func (s *shop) issue(o *shopOrder) error {
	csr, err := x509.ParseCertificateRequest(o.CSR)
	if err != nil {
		return err
	}
	pub := csr.PublicKey
	if o.wrong = s.wrong > 0; o.wrong {
		s.wrong--
		pub = s.ca.key.Public()
	}
	o.Status = "issued"
	chain, err := s.ca.issue(pub, o.Names, time.Now().Add(-time.Minute), time.Now().Add(s.lifetime))
	if err != nil {
		return err
	}
	o.Chain = [][]byte{chain[0].Raw, chain[1].Raw, s.ca.root.Raw}
	return nil
}

func (s *shop) cancel(r *http.Request) (any, error) {
	return s.change(r, func(o *shopOrder) error {
		if o.Status == "issued" {
			return &refusal{http.StatusConflict, "", "it is issued already"}
		}
		o.Status = "canceled"
		return nil
	})
}

func (s *shop) revoke(r *http.Request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked = append(s.revoked, r.PathValue("serial"))
	return struct{}{}, nil
}

// approve is the clerk.
func (s *shop) approve() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.orders {
		if o.Status == "approval" {
			o.Status = "pending"
		}
	}
}

// set changes how the shop behaves.
func (s *shop) set(change func(*shop)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// sales returns what was bought here, not counting what a shop before this one had sold.
func (s *shop) sales() []shopOrder {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []shopOrder
	for _, id := range s.sold {
		list = append(list, *s.orders[id])
	}
	return list
}

// requests returns every request so far, with headers and body.
func (s *shop) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

func (s *shop) faultsLeft() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.faults))
}
