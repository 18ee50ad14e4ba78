package tencent

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-tencent/sslapi"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// errOfNoUse marks a certificate that was issued and does not serve the order.
var errOfNoUse = errors.New("is issued, and of no use for this order")

// issued fetches a certificate that says it is issued.
func (s *session) issued(ctx context.Context, v *view) (pluginapi.Order, error) {
	leaf, chain, err := s.chain(ctx, v)
	switch {
	case err != nil:
		return pluginapi.Order{}, err
	case chain == nil:
		return pluginapi.Order{Status: pluginapi.Processing, Detail: fmt.Sprintf("certificate %s is issued, and cannot be downloaded yet", v.id)}, nil
	}
	v.st.PaidUntil = v.paidUntil()
	v.st.NoGain = v.st.NoGain || v.noGain(leaf)
	v.coverage = s.coverage(v.id, v.st, leaf)
	return pluginapi.Order{Status: pluginapi.Issued, Chain: chain, Detail: fmt.Sprintf("certificate %s is issued", v.id) + s.termWords(v, leaf)}, nil
}

// chain finds the certificate for our key with its intermediates: in what the certificate says of itself, and where that
// is not all in the archive. It is nil while there is none.
func (s *session) chain(ctx context.Context, v *view) (*x509.Certificate, [][]byte, error) {
	csr, err := x509.ParseCertificateRequest(v.placed.CSR)
	if err != nil {
		return nil, nil, pluginapi.FieldErrorf("csr", "cannot be read: %w", err)
	}
	pool := restca.ParsePEM([]byte(v.cert.PublicKey))
	leaf := restca.OwnLeaf(pool, csr)
	if leaf != nil {
		if chain, whole := restca.Arrange(leaf, pool); whole {
			return leaf, chain, s.fits(v, leaf)
		}
	}
	more, err := s.client.Download(ctx, v.id)
	switch {
	case err != nil && len(pool) == 0 && sslapi.Has(err, notFound, sslapi.WrongStatus):
		return nil, nil, nil
	case err != nil:
		return nil, nil, sslapi.Fail("download certificate "+v.id, err)
	}
	pool = append(pool, more...)
	if leaf = restca.OwnLeaf(pool, csr); leaf == nil {
		return nil, nil, pluginapi.Errorf(pluginapi.Unavailable, "certificate %s %w: none of the %d certificates that Tencent gives is for the key of the request; when that lasts, somebody has handed in other materials: cancel this order", v.id, errOfNoUse, len(pool))
	}
	chain, whole := restca.Arrange(leaf, pool)
	if !whole {
		return nil, nil, pluginapi.Errorf(pluginapi.Unavailable, "Tencent gives certificate %s without the certificate of its issuer, %s", v.id, leaf.Issuer)
	}
	return leaf, chain, s.fits(v, leaf)
}

// fits holds that a certificate has all names that were ordered. It may have more: some come for free.
func (s *session) fits(v *view, leaf *x509.Certificate) error {
	var missing []string
	for _, id := range v.placed.Identifiers {
		name := strings.ToLower(strings.TrimSuffix(id.Value, "."))
		if !slices.ContainsFunc(leaf.DNSNames, func(n string) bool { return strings.EqualFold(n, name) }) {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return pluginapi.Errorf(pluginapi.NeedsPerson, "certificate %s %w: it was issued without %s, which the product does not bring; cancel this order, and remove the name from domains or buy another product", v.id, errOfNoUse, list(missing))
}

// marginOf is by how much two ends may differ and still be the same: days are given without a time of day.
func marginOf(leaf *x509.Certificate) time.Duration {
	return min(24*time.Hour, leaf.NotAfter.Sub(leaf.NotBefore)/10)
}

// noGain reports whether a reissue ends with the certificate that it replaces, though more was paid for and time enough
// has passed for that to show.
// (Not confirmed by Tencent's pages: whether a reissue reaches beyond that end at all, now that certificates are shorter
// than what is paid for. It is found out by the first one.)
func (v *view) noGain(leaf *x509.Certificate) bool {
	p := v.placed.Previous
	if v.placed.Kind != pluginapi.Reissue || p == nil || len(p.Chain) == 0 {
		return false
	}
	before, err := x509.ParseCertificate(p.Chain[0])
	if err != nil {
		return false
	}
	margin := marginOf(before)
	possible := leaf.NotBefore.Sub(before.NotBefore)
	if !v.st.PaidUntil.IsZero() {
		possible = min(possible, v.st.PaidUntil.Sub(before.NotAfter))
	}
	return possible > margin && leaf.NotAfter.Sub(before.NotAfter) <= margin
}

// coverage is until when certificates can be had for what was paid. It is zero where nobody knows: then a person is asked
// before anything is bought. Where reissues reach no further it is the paid time all the same, so that the next step is a
// reissue, which says so: a certificate may still be owed, and is not bought without a question.
func (s *session) coverage(id string, st state, leaf *x509.Certificate) time.Time {
	switch reissues := s.settings.reissues(id, st); {
	case reissues && st.PaidUntil.IsZero():
		return time.Time{}
	case reissues && st.PaidUntil.After(leaf.NotAfter):
		return st.PaidUntil.UTC()
	default:
		return leaf.NotAfter.UTC()
	}
}

// termWords says by how much a certificate ends before what was paid for, where it does.
func (s *session) termWords(v *view, leaf *x509.Certificate) string {
	if !v.st.PaidUntil.After(leaf.NotAfter.Add(marginOf(leaf))) {
		return ""
	}
	words := fmt.Sprintf("; it ends on %s, and is paid until %s", day(leaf.NotAfter), day(v.st.PaidUntil))
	switch {
	case !s.settings.reissues(v.id, v.st):
		return words
	case v.st.NoGain:
		words += ": its reissue reaches no further; ask Tencent for the certificate that is still owed and name it by cert_id, or add \"" + v.id + "\" to given_up of the account to have the next one bought"
		s.log.Warn("a reissue does not reach beyond the certificate that it replaces", "certificate", v.id, "ends", day(leaf.NotAfter), "paid_until", day(v.st.PaidUntil))
		return words
	default:
		return words + ": before the next one is bought, a reissue is asked for, which must be before " + day(leaf.NotAfter.Add(-leastLeft)) + " (see renew_before)"
	}
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
