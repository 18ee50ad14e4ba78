package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// retryLook is when to look again at an order whose challenge could not be seen yet.
const retryLook = 5 * time.Second

// reply says where an order stands.
func (l *localCA) reply(r *record) pluginapi.OrderReply {
	o := pluginapi.Order{Reference: referencePrefix + r.Key, CoverageEnd: r.CoverageEnd}
	switch {
	case len(r.Chain) > 0:
		o.Status, o.Chain, o.Detail = pluginapi.Issued, r.Chain, "issued"
	case r.Canceled:
		o.Status, o.Detail = pluginapi.Canceled, "canceled"
	case l.now().After(r.Created.Add(pendingLife)):
		o.Status, o.Detail = pluginapi.Expired, "domain control was not shown within a week"
	case r.proven():
		o.Status, o.Detail = pluginapi.Processing, "ready to be issued"
		o.LookAgainAfter = pluginapi.After(0)
	default:
		o.Status, o.Detail = pluginapi.PendingValidation, "domain control must be shown"
		o.Authorizations = r.authorizations()
		if len(r.Answered) > 0 {
			o.LookAgainAfter = pluginapi.After(retryLook)
		}
	}
	return pluginapi.OrderReply{Order: o}
}

func (r *record) proven() bool {
	for name := range r.Tokens {
		if !r.Valid[name] {
			return false
		}
	}
	return true
}

func (l *localCA) GetOrder(ctx context.Context, order pluginapi.PlacedOrder) (pluginapi.OrderReply, error) {
	r, err := l.open(order)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	return l.advance(ctx, r, nil)
}

func (l *localCA) RespondToChallenges(ctx context.Context, order pluginapi.PlacedOrder, ids []string) (pluginapi.OrderReply, error) {
	r, err := l.open(order)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	for _, id := range ids {
		if r.Tokens[id] == "" {
			return pluginapi.OrderReply{}, pluginapi.FieldErrorf("challenge_ids", "the order has no challenge %q", id)
		}
	}
	return l.advance(ctx, r, ids)
}

func (l *localCA) open(order pluginapi.PlacedOrder) (*record, error) {
	key, ok := keyOf(order.Reference)
	if !ok {
		return nil, noOrder()
	}
	return l.find(key)
}

// advance looks at the challenges that were answered, without holding the lock, and issues once all are valid.
func (l *localCA) advance(ctx context.Context, seen *record, answered []string) (pluginapi.OrderReply, error) {
	if st := l.reply(seen).Order.Status; st != pluginapi.PendingValidation && st != pluginapi.Processing {
		return l.reply(seen), nil
	}
	valid, trouble := l.look(ctx, seen, answered)
	unlock, err := l.folder().lockOrder(ctx, seen.Key)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	defer unlock()
	r, err := l.find(seen.Key) // another call may have gone further meanwhile
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	for _, name := range answered {
		r.Answered[name] = true
	}
	for _, name := range valid {
		r.Valid[name] = true
	}
	out, err := l.settle(r)
	if trouble != "" && out.Order.Status == pluginapi.PendingValidation {
		out.Order.Detail = trouble
	}
	return out, err
}

// settle issues what is ready to be issued, and saves the order, whose lock is held.
func (l *localCA) settle(r *record) (pluginapi.OrderReply, error) {
	ca, err := l.authority()
	if err != nil {
		return pluginapi.OrderReply{}, diskError(err)
	}
	if l.reply(r).Order.Status == pluginapi.Processing {
		if r.Chain, err = ca.sign(r, l.account, l.now()); err != nil {
			return pluginapi.OrderReply{}, err
		}
	}
	if err := l.folder().save(r); err != nil {
		return pluginapi.OrderReply{}, diskError(err)
	}
	return l.reply(r), nil
}

func (l *localCA) CancelOrder(ctx context.Context, order pluginapi.PlacedOrder, _ string) (pluginapi.OrderReply, error) {
	key, ok := keyOf(order.Reference)
	if !ok {
		return pluginapi.OrderReply{}, noOrder()
	}
	unlock, err := l.folder().lockOrder(ctx, key)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	defer unlock()
	r, err := l.find(key)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	if len(r.Chain) > 0 {
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.Conflict, "the certificate is issued; revoke it instead")
	}
	r.Canceled = true
	if err := l.folder().save(r); err != nil {
		return pluginapi.OrderReply{}, diskError(err)
	}
	return l.reply(r), nil
}

// revocation is one entry of the list.
type revocation struct {
	Serial string    `json:"serial"`
	Time   time.Time `json:"time"`
	Reason int       `json:"reason"`
}

func (l *localCA) RevokeCertificate(ctx context.Context, in pluginapi.Revocation) (pluginapi.RevocationReply, error) {
	leaf, _, err := l.ours(in.Leaf)
	if err != nil {
		return pluginapi.RevocationReply{}, err
	}
	unlock, err := l.folder().lock(ctx, listPart)
	if err != nil {
		return pluginapi.RevocationReply{}, err
	}
	defer unlock()
	detail := "revoked already"
	if !l.revoked(leaf) {
		text, err := json.Marshal(revocation{Serial: serialOf(leaf), Time: l.now(), Reason: in.Reason})
		if err == nil {
			err = l.folder().write(append(text, '\n'), 0o600, "revoked", serialOf(leaf)+".json")
		}
		if err != nil {
			return pluginapi.RevocationReply{}, diskError(err)
		}
		detail = "revoked"
	}
	// Also for one that was revoked before: the last attempt may have ended between the entry and the list.
	if err := l.writeList(); err != nil {
		return pluginapi.RevocationReply{}, diskError(err)
	}
	return pluginapi.RevocationReply{Detail: detail}, nil
}

func (l *localCA) revoked(leaf *x509.Certificate) bool {
	_, err := os.Stat(l.folder().path("revoked", serialOf(leaf)+".json"))
	return err == nil
}

func (l *localCA) writeList() error {
	entries, err := l.revocations()
	if err != nil {
		return err
	}
	ca, err := l.authority()
	if err != nil {
		return err
	}
	der, err := ca.revocationList(entries, l.now())
	if err != nil {
		return err
	}
	return errors.Join(
		l.folder().write(der, 0o644, "crl.der"),
		l.folder().write(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), 0o644, "crl.pem"),
	)
}

func (l *localCA) revocations() ([]x509.RevocationListEntry, error) {
	files, err := os.ReadDir(l.folder().path("revoked"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []x509.RevocationListEntry
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".json") {
			continue
		}
		text, err := os.ReadFile(l.folder().path("revoked", f.Name()))
		if err != nil {
			return nil, err
		}
		var r revocation
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, err
		}
		serial, ok := new(big.Int).SetString(r.Serial, 16)
		if !ok {
			return nil, errors.New(f.Name() + " holds no serial number")
		}
		out = append(out, x509.RevocationListEntry{SerialNumber: serial, RevocationTime: r.Time, ReasonCode: r.Reason})
	}
	slices.SortFunc(out, func(a, b x509.RevocationListEntry) int { return a.RevocationTime.Compare(b.RevocationTime) })
	return out, nil
}

// RenewalInfo suggests the window's first half, and the past for a certificate that is revoked, which asks for a
// renewal at once (RFC 9773 section 4.2).
func (l *localCA) RenewalInfo(_ context.Context, der []byte) (pluginapi.RenewalInfo, error) {
	leaf, _, err := l.ours(der)
	if err != nil {
		return pluginapi.RenewalInfo{}, err
	}
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	window := l.account.renewalWindow
	if window == 0 {
		window = life / 3
	}
	start := leaf.NotAfter.Add(-min(window, life))
	if l.revoked(leaf) {
		start = leaf.NotBefore.Add(-window)
	}
	return pluginapi.RenewalInfo{
		WindowStart: start, WindowEnd: start.Add(max(window/2, time.Millisecond)), Serial: serialOf(leaf),
		LookAgainAfter: max(window/4, time.Second),
	}, nil
}
