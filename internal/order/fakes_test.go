package order_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// memory is a journal in memory. fail, when set, may refuse a write.
type memory struct {
	mu      sync.Mutex
	buckets map[string]map[string][]byte
	writes  int
	fail    func(write int) error
	broken  error // of each Read
}

func (m *memory) Write(bucket string, records map[string][]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	if m.fail != nil {
		if err := m.fail(m.writes); err != nil {
			return err
		}
	}
	if m.buckets == nil {
		m.buckets = map[string]map[string][]byte{}
	}
	if m.buckets[bucket] == nil {
		m.buckets[bucket] = map[string][]byte{}
	}
	for k, v := range records {
		if v == nil {
			delete(m.buckets[bucket], k)
		} else {
			m.buckets[bucket][k] = v
		}
	}
	return nil
}

func (m *memory) Read(bucket, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.buckets[bucket][key], m.broken
}

func (m *memory) Each(bucket string, visit func(string, []byte) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, v := range m.buckets[bucket] {
		if err := visit(k, v); err != nil {
			return err
		}
	}
	return nil
}

// shop is a CA that issues real certificates, counts what was bought, and misbehaves on demand.
type shop struct {
	mu          sync.Mutex
	description pluginapi.Description
	root        *x509.Certificate
	rootKey     crypto.Signer
	now         func() time.Time

	bought    map[string]string // idempotency key -> reference
	purchases int               // paid orders of kind new and renew
	reissues  int
	requests  []pluginapi.OrderRequest
	orders    map[string]*shopOrder
	canceled  []string
	revoked   int

	// cancel, when set, answers CancelOrder.
	cancel func(pluginapi.PlacedOrder) pluginapi.Order
	// place, when set, decides what becomes of a PlaceOrder call: whether it is carried out and what is answered.
	place func(n int) (carryOut bool, err error)
	// freeName, when set, is added to each certificate.
	freeName string
	// byCertificate, when set, answers FindOrderByCertificate.
	byCertificate func(leaf []byte) (pluginapi.Order, error)
	// inspect, when set, changes what InspectOrder answers, if the description has the ability; inspected are the references it
	// was asked about.
	inspect   func(o *pluginapi.Order) error
	inspected []string
	// find, when set, answers FindOrder; found likewise, with what it was asked with.
	find  func() error
	found func(sentAt time.Time) error
	// chain, when set, replaces what is issued.
	chain func(good [][]byte) [][]byte
	// spoil, when set, changes what is answered.
	spoil func(o *pluginapi.Order)
	// approval keeps orders pending approval until it is false.
	approval bool
	// rules, when set, answers CheckOrders, if the description has the ability; ruled counts the calls.
	rules func([]pluginapi.Settings) ([]pluginapi.Finding, error)
	ruled int
	// reject makes orders end rejected after validation.
	reject bool
	// valid are identifiers the CA is content with already; stepwise makes each call of RespondToChallenges validate only
	// the first identifier.
	valid    map[string]bool
	stepwise bool
	// each makes the CA validate each name by itself, at the next look after it was told. told are the calls of
	// RespondToChallenges.
	each     bool
	told     [][]string
	lifetime time.Duration
	coverage time.Duration
	calls    int
	// sees tells whether a challenge is published.
	sees  func(id string) bool
	looks int // calls of GetOrder
}

type shopOrder struct {
	request   pluginapi.OrderRequest
	responded bool
	toldOf    []string
	valid     map[string]bool
	end       time.Time
}

func newShop(now func() time.Time) *shop {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Shop Root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: now().Add(-time.Hour), NotAfter: now().AddDate(30, 0, 0), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return &shop{
		description: pluginapi.Description{
			Name: "shop", Version: "1", OrdersCostMoney: true, ChallengeTypes: []pluginapi.ChallengeType{pluginapi.ChallengeHTTP},
			Abilities: []pluginapi.Ability{pluginapi.AbilityFindOrder, pluginapi.AbilityCancel, pluginapi.AbilityRevoke, pluginapi.AbilityReissue, pluginapi.AbilityRenew},
		},
		root: root, rootKey: key, now: now,
		bought: map[string]string{}, orders: map[string]*shopOrder{},
		lifetime: 90 * 24 * time.Hour,
	}
}

func (s *shop) Describe(context.Context) (pluginapi.Description, error) { return s.description, nil }

func (s *shop) CheckOrders(_ context.Context, orders []pluginapi.Settings) ([]pluginapi.Finding, error) {
	if s.rules == nil {
		return nil, pluginapi.Errorf(pluginapi.InvalidRequest, "this shop has no rules")
	}
	s.ruled++
	return s.rules(orders)
}

func (s *shop) PlaceOrder(_ context.Context, o pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	s.requests = append(s.requests, o)
	carryOut, err := true, error(nil)
	if s.place != nil {
		carryOut, err = s.place(s.calls)
	}
	if !carryOut {
		return pluginapi.OrderReply{}, err
	}
	ref := s.bought[o.IdempotencyKey]
	if ref == "" {
		ref = fmt.Sprintf("ref-%d", len(s.bought)+1)
		s.bought[o.IdempotencyKey] = ref
		end := s.now().Add(s.coverage)
		if o.Kind == pluginapi.Reissue {
			s.reissues++
			end = s.orders[o.Previous.Reference].end
		} else {
			s.purchases++
		}
		s.orders[ref] = &shopOrder{request: o, end: end, valid: map[string]bool{}}
	}
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	return s.reply(ref), nil
}

func (s *shop) FindOrder(_ context.Context, o pluginapi.OrderRequest, sentAt time.Time) (pluginapi.OrderReply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.found != nil {
		if err := s.found(sentAt); err != nil {
			return pluginapi.OrderReply{}, err
		}
	}
	if s.find != nil {
		if err := s.find(); err != nil {
			return pluginapi.OrderReply{}, err
		}
	}
	ref := s.bought[o.IdempotencyKey]
	if ref == "" {
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.NotFound, "no order with that key")
	}
	return s.reply(ref), nil
}

func (s *shop) FindOrderByCertificate(_ context.Context, leaf []byte) (pluginapi.OrderReply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byCertificate == nil {
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.NotFound, "no order has that certificate")
	}
	o, err := s.byCertificate(leaf)
	return pluginapi.OrderReply{Order: o}, err
}

func (s *shop) InspectOrder(_ context.Context, reference string, _ []byte) (pluginapi.OrderReply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inspected = append(s.inspected, reference)
	so := s.orders[reference]
	if so == nil {
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.NotFound, "no order %s", reference)
	}
	o := pluginapi.Order{Reference: reference, Status: pluginapi.Issued, CoverageEnd: so.end, State: fmt.Appendf(nil, "state %d", len(s.inspected))}
	for _, id := range so.request.Identifiers {
		o.Names = append(o.Names, id.Value)
	}
	if s.inspect != nil {
		if err := s.inspect(&o); err != nil {
			return pluginapi.OrderReply{}, err
		}
	}
	return pluginapi.OrderReply{Order: o}, nil
}

func (s *shop) GetOrder(_ context.Context, o pluginapi.PlacedOrder) (pluginapi.OrderReply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	if s.orders[o.Reference] == nil {
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.NotFound, "no order %s", o.Reference)
	}
	s.validate(s.orders[o.Reference])
	return s.reply(o.Reference), nil
}

// validate looks at what the CA was told of, name by name.
func (s *shop) validate(so *shopOrder) {
	if !s.each {
		return
	}
	left := 0
	for _, id := range so.request.Identifiers {
		for _, told := range so.toldOf {
			if strings.HasSuffix(told, "-"+id.Value) && s.sees(told) {
				so.valid[id.Value] = true
			}
		}
		if !so.valid[id.Value] {
			left++
		}
	}
	so.responded = left == 0
}

func (s *shop) RespondToChallenges(_ context.Context, o pluginapi.PlacedOrder, ids []string) (pluginapi.OrderReply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, slices.Clone(ids))
	if s.each {
		s.orders[o.Reference].toldOf = append(s.orders[o.Reference].toldOf, ids...)
		return s.reply(o.Reference), nil
	}
	if len(ids) != len(o.Identifiers) {
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.InvalidRequest, "%d challenges for %d names", len(ids), len(o.Identifiers))
	}
	if s.stepwise {
		s.valid = map[string]bool{o.Identifiers[0].Value: true}
		return s.reply(o.Reference), nil
	}
	s.orders[o.Reference].responded = true
	return s.reply(o.Reference), nil
}

func (s *shop) CancelOrder(_ context.Context, o pluginapi.PlacedOrder, _ string) (pluginapi.OrderReply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.orders[o.Reference] == nil {
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.NotFound, "no order %s", o.Reference)
	}
	s.canceled = append(s.canceled, o.Reference)
	if s.cancel != nil {
		return pluginapi.OrderReply{Order: s.cancel(o)}, nil
	}
	return pluginapi.OrderReply{Order: pluginapi.Order{Reference: o.Reference, Status: pluginapi.Canceled}}, nil
}

func (s *shop) RevokeCertificate(context.Context, pluginapi.Revocation) (pluginapi.RevocationReply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked++
	return pluginapi.RevocationReply{}, nil
}

func (s *shop) reply(ref string) pluginapi.OrderReply {
	so := s.orders[ref]
	o := pluginapi.Order{Reference: ref, Status: pluginapi.PendingValidation, LookAgainAfter: pluginapi.After(time.Minute)}
	if s.coverage > 0 {
		o.CoverageEnd = so.end
	}
	switch {
	case s.approval:
		o.Status, o.Action = pluginapi.PendingApproval, &pluginapi.PersonAction{Who: "an administrator", What: "approve it"}
	case !so.responded:
		for _, id := range so.request.Identifiers {
			o.Authorizations = append(o.Authorizations, pluginapi.Authorization{Identifier: id.Value, Valid: s.valid[id.Value] || so.valid[id.Value], Challenges: []pluginapi.Challenge{
				{ID: "email-" + id.Value, Identifier: id.Value, Email: &pluginapi.Email{Recipients: []string{"admin@" + id.Value}}},
				{ID: "http-" + ref + "-" + id.Value, Identifier: id.Value, HTTP: &pluginapi.HTTPFile{Host: id.Value, Path: "/.well-known/pki-validation/fileauth.txt", Body: ref}},
			}})
		}
	case s.reject:
		o.Status, o.Detail = pluginapi.OrderRejected, "the organization is unknown"
	default:
		o.Status, o.Chain = pluginapi.Issued, s.issue(so)
		if s.chain != nil {
			o.Chain = s.chain(o.Chain)
		}
	}
	if s.spoil != nil {
		s.spoil(&o)
	}
	return pluginapi.OrderReply{Order: o}
}

func (s *shop) issue(so *shopOrder) [][]byte {
	csr, err := x509.ParseCertificateRequest(so.request.CSR)
	if err != nil {
		panic(err)
	}
	names := csr.DNSNames
	if s.freeName != "" {
		names = append(names, s.freeName)
	}
	return [][]byte{s.sign(csr.PublicKey, names, s.lifetime)}
}

func (s *shop) sign(pub crypto.PublicKey, names []string, lifetime time.Duration) []byte {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, DNSNames: names, NotBefore: s.now().Add(-time.Minute), NotAfter: s.now().Add(lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, s.root, pub, s.rootKey)
	if err != nil {
		panic(err)
	}
	return der
}

// zone publishes challenges in a map.
type zone struct {
	mu        sync.Mutex
	published map[string]string
	puts      int
	// earlier are the receipts that came with each Publish.
	earlier []string
	fail    func(call string) error
	// types are what can be published, http unless it is set.
	types []pluginapi.ChallengeType
	// publishing, when set, is called at the begin of each Publish.
	publishing func()
	// turns makes profiles publish one challenge at a time; holder is whose turn it is, and most how many there ever were
	// side by side.
	turns bool
	// inProcess makes all profiles publish in this process alone.
	inProcess bool
	// mute makes it not say what can be published.
	mute   bool
	holder map[string]string
	most   int
}

func (z *zone) InProcess(string) bool { return z.inProcess }

func (z *zone) ChallengeTypes(context.Context, []string, string) ([]pluginapi.ChallengeType, error) {
	if z.mute {
		return nil, errors.New("does not answer")
	}
	if z.types != nil {
		return z.types, nil
	}
	return []pluginapi.ChallengeType{pluginapi.ChallengeHTTP}, nil
}

func (z *zone) Choose(_ context.Context, profiles []string, a pluginapi.Authorization) (string, pluginapi.Challenge, error) {
	types := z.types
	if types == nil {
		types = []pluginapi.ChallengeType{pluginapi.ChallengeHTTP}
	}
	for _, t := range types {
		for _, c := range a.Challenges {
			if c.Type() == t {
				return profiles[0], c, nil
			}
		}
	}
	return "", pluginapi.Challenge{}, errors.New("no challenge that can be published")
}

func (z *zone) failing(call string) error {
	if z.fail == nil {
		return nil
	}
	return z.fail(call)
}

func (z *zone) Publish(_ context.Context, profile string, c pluginapi.Challenge, earlier []byte) ([]byte, error) {
	if z.publishing != nil {
		z.publishing()
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	if err := z.failing("publish"); err != nil {
		return nil, err
	}
	if z.published == nil {
		z.published = map[string]string{}
	}
	if z.turns {
		if z.holder == nil {
			z.holder = map[string]string{}
		}
		if h := z.holder[profile]; h != "" && h != c.ID {
			return nil, fmt.Errorf("%s has its turn: %w", h, order.ErrTurn)
		}
		z.holder[profile] = c.ID
	}
	z.puts++
	z.earlier = append(z.earlier, string(earlier))
	z.published[c.ID] = c.HTTP.Body
	z.most = max(z.most, len(z.published))
	return []byte("receipt-" + c.ID), nil
}

func (z *zone) Withdraw(_ context.Context, profile string, c pluginapi.Challenge, _ []byte) error {
	z.mu.Lock()
	defer z.mu.Unlock()
	if err := z.failing("withdraw"); err != nil {
		return err
	}
	if h := z.holder[profile]; h != "" && h != c.ID { // as providers do that know one value alone
		delete(z.published, h)
	}
	delete(z.published, c.ID)
	if z.holder[profile] == c.ID {
		delete(z.holder, profile)
	}
	return nil
}

func (z *zone) AwaitVisible(context.Context, string, pluginapi.Challenge) error {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.failing("visible")
}

func (z *zone) has(id string) bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	_, ok := z.published[id]
	return ok
}

// forget makes the zone know nothing of whose turn it is, as a new process does; what is published stays.
func (z *zone) forget() {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.holder = nil
}

func (z *zone) left() []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	var ids []string
	for id := range z.published {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// disk holds one set per certificate and the set before it.
type disk struct {
	mu       sync.Mutex
	sets     map[string]diskSet
	before   map[string]diskSet
	fail     func(call string) error
	installs int
	rollBack int
	reads    int // calls of Current
}

type diskSet struct {
	id   string
	key  crypto.Signer
	leaf *x509.Certificate
	// broken: a file is missing, or the key is another one's.
	broken bool
}

func (d *disk) failing(call string) error {
	if d.fail == nil {
		return nil
	}
	return d.fail(call)
}

func (d *disk) Current(certificate string) (order.Current, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reads++
	s, ok := d.sets[certificate]
	return order.Current{Leaf: s.leaf, Whole: ok && !s.broken}, nil
}

func (d *disk) Ready(string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failing("ready")
}

func (d *disk) CurrentKey(certificate string) (crypto.Signer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sets[certificate].key, nil
}

func (d *disk) Install(_ context.Context, certificate, id string, key crypto.Signer, chain []*x509.Certificate) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.failing("install"); err != nil {
		return err
	}
	if d.sets[certificate].id == id {
		return nil
	}
	d.before[certificate] = d.sets[certificate]
	d.sets[certificate] = diskSet{id: id, key: key, leaf: chain[0]}
	d.installs++
	return nil
}

func (d *disk) RollBack(_ context.Context, certificate, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sets[certificate].id == id {
		d.sets[certificate] = d.before[certificate]
		d.rollBack++
	}
	return nil
}

func (d *disk) Commit(context.Context, string, string) error { return nil }

// server serves what was on disk when it was last reloaded, unless its check or reload fails.
type server struct {
	mu      sync.Mutex
	disk    *disk
	serves  map[string]*x509.Certificate
	fail    func(stage string) string
	reloads int
}

func (s *server) Deploy(_ context.Context, certificate string, leaf *x509.Certificate) order.Deployment {
	for _, stage := range []string{order.StageCheck, order.StageReload, order.StageVerify} {
		if s.fail != nil {
			if why := s.fail(stage); why != "" {
				return order.Deployment{Stage: stage, Message: why}
			}
		}
		if stage == order.StageReload {
			s.reload(certificate)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.serves[certificate].Equal(leaf) {
		return order.Deployment{Stage: order.StageVerify, Message: "another certificate is served"}
	}
	return order.Deployment{OK: true}
}

func (s *server) Reload(_ context.Context, certificate string) order.Deployment {
	s.reload(certificate)
	return order.Deployment{OK: true}
}

func (s *server) reload(certificate string) {
	current, _ := s.disk.Current(certificate) // the fake never fails
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reloads++
	s.serves[certificate] = current.Leaf
}

// world is an engine with all its ports and a configuration.
type world struct {
	t       testing.TB
	journal *memory
	shop    *shop
	zone    *zone
	// publisher is the zone, unless a test wants another one.
	publisher order.Publisher
	disk      *disk
	server    *server
	specs     map[string]order.Spec
	engine    *order.Engine
	steps     []string
	// accounts are those that were asked for.
	accounts []string
	// caa, when set, is asked before orders are sent.
	caa order.CAAChecker
	// ahead is by how much the engine's clock is wrong.
	ahead time.Duration
}

func (w *world) Spec(certificate string) (order.Spec, bool) {
	s, ok := w.specs[certificate]
	return s, ok
}

func (w *world) CA(account string) (order.CA, bool) {
	w.accounts = append(w.accounts, account)
	return w.shop, true
}

func newWorld(t testing.TB) *world {
	t.Helper()
	d := &disk{sets: map[string]diskSet{}, before: map[string]diskSet{}}
	w := &world{
		t: t, journal: &memory{}, shop: newShop(time.Now), zone: &zone{}, disk: d,
		server: &server{disk: d, serves: map[string]*x509.Certificate{}},
		specs:  map[string]order.Spec{},
	}
	w.publisher = w.zone
	w.shop.sees = w.zone.has
	w.add("web", "a.example.com", "b.example.com")
	w.restart()
	return w
}

func (w *world) add(certificate string, names ...string) {
	w.specs[certificate] = order.Spec{
		Name: certificate, Account: "shop", Names: names, KeyType: "ecdsa-p256",
		Profiles:  func(string) []string { return []string{"http"} },
		MaxPerDay: 100, MaxPerCertificate: 100,
	}
}

// restart makes a new engine from the journal, as after a crash.
func (w *world) restart() {
	w.t.Helper()
	e, err := order.New(order.Options{
		Journal: w.journal, Catalog: w, Publisher: w.publisher, Files: w.disk, Deployer: w.server,
		CAA: w.caa, Now: func() time.Time { return time.Now().Add(w.ahead) }, Logger: slog.New(slog.DiscardHandler),
		Changed: func(_, after order.Record) { w.steps = append(w.steps, after.Step) },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.engine = e
}

func (w *world) begin(certificate string) order.Record {
	w.t.Helper()
	r, err := w.engine.Begin(order.Intent{Certificate: certificate, Reason: "missing", Detail: "there is none"})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// run steps an order, sleeping as it asks, until it is final or held, or the given time is over.
func (w *world) run(id string, atMost time.Duration) order.Record {
	w.t.Helper()
	return w.runUntil(id, atMost, func(order.Record) bool { return false })
}

func (w *world) runUntil(id string, atMost time.Duration, there func(order.Record) bool) order.Record {
	w.t.Helper()
	deadline := time.Now().Add(atMost)
	for {
		r, ok := w.engine.Order(id)
		if !ok {
			w.t.Fatalf("order %s is gone", id)
		}
		if r.Phase.Final() || r.Phase == order.Held || there(r) || time.Now().After(deadline) {
			return r
		}
		if wait := time.Until(r.NextAt); wait > 0 {
			time.Sleep(wait) // in a synctest bubble
		}
		if err := w.engine.Step(w.t.Context(), id); err != nil {
			w.t.Fatalf("step %s: %v", r.Phase, err)
		}
	}
}
