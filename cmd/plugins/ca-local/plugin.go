package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// pendingLife is how long an order waits for domain control to be shown.
const pendingLife = 7 * 24 * time.Hour

// referencePrefix sets a reference apart from the idempotency key it is made of.
const referencePrefix = "local-"

// localCA implements the CA contract on a folder. What is set is set by Configure, once, before any other call.
type localCA struct {
	now     func() time.Time
	version string
	account account
	cached  authorityCache
}

var _ interface {
	pluginapi.CA
	pluginapi.Preflighter
	pluginapi.OrderChecker
	pluginapi.OrderFinder
	pluginapi.CertificateFinder
	pluginapi.OrderInspector
	pluginapi.OrderCanceler
	pluginapi.Revoker
	pluginapi.RenewalInformer
} = (*localCA)(nil)

func (l *localCA) Describe(context.Context) (pluginapi.Description, error) {
	return pluginapi.Description{
		Name: "local", Version: l.version, Summary: "A private CA in a folder, made on first use.",
		Abilities:       []pluginapi.Ability{pluginapi.AbilityReissue, pluginapi.AbilityRenew, pluginapi.AbilityIPIdentifiers},
		ChallengeTypes:  []pluginapi.ChallengeType{pluginapi.ChallengeHTTP, pluginapi.ChallengeDNS},
		AccountSettings: accountSchema(), OrderSettings: orderSchema(),
		ReissueNames: pluginapi.ReissueAnyNames, PollInterval: 5 * time.Second,
	}, nil
}

func (l *localCA) Configure(_ context.Context, in pluginapi.Account) (pluginapi.Configured, error) {
	a, findings := readAccount(in.Settings)
	l.account = a
	return pluginapi.Configured{Findings: findings}, nil
}

func (l *localCA) CheckOrders(_ context.Context, orders []pluginapi.Settings) ([]pluginapi.Finding, error) {
	var found []pluginapi.Finding
	for i, s := range orders {
		if _, err := l.account.orderLifetime(s); err != nil {
			found = append(found, pluginapi.FaultOf(err, i+1))
		}
	}
	return found, nil
}

func (l *localCA) Preflight(ctx context.Context, orders []pluginapi.Settings) (pluginapi.PreflightReply, error) {
	findings, err := l.CheckOrders(ctx, orders)
	if err != nil {
		return pluginapi.PreflightReply{}, err
	}
	ca, err := l.authority()
	if err != nil {
		return pluginapi.PreflightReply{Findings: append(findings, pluginapi.Faultf("dir", "%v", err))}, nil
	}
	findings = append(findings, pluginapi.Finding{
		Severity: pluginapi.Info, Field: "dir",
		Message: fmt.Sprintf("clients must trust %s, good until %s", caFile(l.account.dir, rootName), ca.root.NotAfter.Format(time.DateOnly)),
	})
	return pluginapi.PreflightReply{Findings: findings}, nil
}

func (l *localCA) PlaceOrder(ctx context.Context, order pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	unlock, err := l.folder().lockOrder(ctx, order.IdempotencyKey)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	defer unlock()
	have, err := l.folder().load(order.IdempotencyKey)
	switch {
	case err == nil && !slices.Equal(have.CSR, order.CSR):
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.Conflict, "this idempotency key belongs to an order with another request")
	case err == nil && l.reply(have).Order.Status != pluginapi.Processing:
		return l.reply(have), nil
	case err == nil: // an older version left the certificate to GetOrder
		return l.settle(have)
	case !errors.Is(err, fs.ErrNotExist):
		return pluginapi.OrderReply{}, diskError(err)
	}
	r, err := l.newRecord(order)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	return l.settle(r)
}

// newRecord checks an order and begins its record.
func (l *localCA) newRecord(order pluginapi.OrderRequest) (*record, error) {
	lifetime, err := l.account.orderLifetime(order.Settings)
	if err != nil {
		return nil, err
	}
	r := &record{
		Version: recordVersion, Key: order.IdempotencyKey, Kind: order.Kind.String(), CSR: order.CSR,
		Certificate: order.CertificateName, Created: l.now(), Lifetime: lifetime, Proof: l.account.challenge,
	}
	csr, err := r.parsed()
	if err != nil {
		return nil, pluginapi.FieldErrorf("order.csr", "%w", err)
	}
	if r.Names, err = l.names(order, csr); err != nil {
		return nil, err
	}
	if r.CoverageEnd, err = l.coverage(order, r); err != nil {
		return nil, err
	}
	if r.Proof != challengeNone {
		r.Tokens, r.Valid, r.Answered = map[string]string{}, map[string]bool{}, map[string]bool{}
		for _, id := range r.Names {
			r.Tokens[baseName(id.Value)] = newToken()
		}
	}
	return r, nil
}

func newToken() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}

// names are the order's, lower-case and each once. A name in the request that was not ordered is a mistake somewhere.
func (l *localCA) names(order pluginapi.OrderRequest, csr *x509.CertificateRequest) ([]pluginapi.Identifier, error) {
	if trouble := keyTrouble(csr.PublicKey); trouble != "" {
		return nil, pluginapi.FieldErrorf("order.csr", "%s", trouble)
	}
	ordered := make(map[string]bool)
	var out []pluginapi.Identifier
	for _, id := range order.Identifiers {
		name := strings.ToLower(id.Value)
		if l.account.challenge == challengeHTTP && strings.HasPrefix(name, "*.") {
			return nil, pluginapi.FieldErrorf("order.identifiers", "%s: a file shows no control over a wildcard name; use challenge = \"dns\"", name)
		}
		if l.account.challenge == challengeDNS && id.Type == pluginapi.IP {
			return nil, pluginapi.FieldErrorf("order.identifiers", "%s: a DNS record shows no control over an address; use challenge = \"http\"", name)
		}
		if !ordered[name] {
			out = append(out, pluginapi.Identifier{Value: name, Type: id.Type})
		}
		ordered[name] = true
	}
	inside := csr.DNSNames
	for _, ip := range csr.IPAddresses {
		inside = append(inside, ip.String())
	}
	for _, name := range inside {
		if !ordered[strings.ToLower(name)] {
			return nil, pluginapi.FieldErrorf("order.csr", "the request names %s, which was not ordered", name)
		}
	}
	return out, nil
}

// coverage is until when the order's paid plan lasts, and checks what the order follows.
func (l *localCA) coverage(order pluginapi.OrderRequest, r *record) (time.Time, error) {
	now := l.now()
	var before *record
	if p := order.Previous; p != nil {
		var err error
		if before, err = l.previous(p); err != nil {
			return time.Time{}, err
		}
	}
	if before != nil {
		r.Previous = before.Key
	}
	switch {
	case order.Kind == pluginapi.Reissue && before == nil:
		return time.Time{}, pluginapi.Errorf(pluginapi.NotFound, "the order to reissue is not one of this CA")
	case order.Kind == pluginapi.Reissue:
		if !before.CoverageEnd.IsZero() && !before.CoverageEnd.After(now) {
			return time.Time{}, pluginapi.Errorf(pluginapi.Conflict, "the paid plan ended on %s; renew instead", before.CoverageEnd.Format(time.RFC3339))
		}
		return before.CoverageEnd, nil
	case l.account.coverage == 0:
		return time.Time{}, nil
	case order.Kind == pluginapi.Renew && before != nil && before.CoverageEnd.After(now):
		return before.CoverageEnd.Add(l.account.coverage), nil
	default:
		return now.Add(l.account.coverage), nil
	}
}

// previous finds what an order follows, by reference or by certificate; nil when this CA does not know it.
func (l *localCA) previous(p *pluginapi.PreviousOrder) (*record, error) {
	var r *record
	err := noOrder()
	if key, ok := keyOf(p.Reference); ok {
		r, err = l.find(key)
	} else if p.Reference == "" && len(p.Chain) > 0 {
		_, r, err = l.ours(p.Chain[0])
	}
	if pluginapi.KindOf(err) == pluginapi.NotFound {
		return nil, nil //nolint:nilnil // not known is an answer
	}
	return r, err
}

func (l *localCA) FindOrder(_ context.Context, order pluginapi.OrderRequest, _ time.Time) (pluginapi.OrderReply, error) {
	r, err := l.find(order.IdempotencyKey)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	return l.reply(r), nil
}

func (l *localCA) FindOrderByCertificate(_ context.Context, leaf []byte) (pluginapi.OrderReply, error) {
	_, r, err := l.ours(leaf)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	return l.inspect(r), nil
}

// InspectOrder never finds an order over that has its certificate: a revoked one can be reissued here, and a plan that has
// ended is told by its end.
func (l *localCA) InspectOrder(_ context.Context, reference string, _ []byte) (pluginapi.OrderReply, error) {
	key, ok := keyOf(reference)
	if !ok {
		return pluginapi.OrderReply{}, noOrder()
	}
	r, err := l.find(key)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	return l.inspect(r), nil
}

// inspect is what is known of an order, read only.
func (l *localCA) inspect(r *record) pluginapi.OrderReply {
	out := l.reply(r)
	for _, id := range r.Names {
		out.Order.Names = append(out.Order.Names, id.Value)
	}
	return out
}

// ours reads a certificate and finds its order. NotFound is for one that is not exactly what was issued here.
func (l *localCA) ours(der []byte) (*x509.Certificate, *record, error) {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, notOurs()
	}
	key, ok := l.folder().keyOfSerial(leaf.SerialNumber)
	if !ok {
		return nil, nil, notOurs()
	}
	r, err := l.find(key)
	switch {
	case pluginapi.KindOf(err) == pluginapi.NotFound:
		return nil, nil, notOurs()
	case err != nil:
		return nil, nil, err
	case len(r.Chain) == 0 || !slices.Equal(r.Chain[0], der):
		return nil, nil, notOurs()
	}
	return leaf, r, nil
}

func (l *localCA) find(key string) (*record, error) {
	r, err := l.folder().load(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noOrder()
	}
	if err != nil {
		return nil, diskError(err)
	}
	return r, nil
}

func notOurs() error {
	return pluginapi.Errorf(pluginapi.NotFound, "the certificate is not one of this CA")
}

func noOrder() error { return pluginapi.Errorf(pluginapi.NotFound, "there is no such order") }

func (l *localCA) authority() (*authority, error) {
	return l.cached.get(l.folder(), func() (*authority, error) {
		return l.folder().authority(l.account.commonName, l.now())
	})
}

func (l *localCA) folder() folder { return folder(l.account.dir) }

// keyOf reads a reference. It becomes part of a path, so nothing but what PlaceOrder gives out will do.
func keyOf(reference string) (string, bool) {
	key, ok := strings.CutPrefix(reference, referencePrefix)
	if !ok || len(key) != 32 || strings.Trim(key, "0123456789abcdef") != "" {
		return "", false
	}
	return key, true
}

// baseName is what control is shown over.
func baseName(name string) string { return strings.TrimPrefix(name, "*.") }
