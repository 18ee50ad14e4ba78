package digicert

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/certcentral"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// mostTried bounds how many certificates of an order are downloaded in search of ours.
const mostTried = 12

// ownChain fetches the certificate for our key with its intermediates, or nothing while there is none. DigiCert has been
// seen to give another certificate of the same order, so what comes is judged by its key alone.
func (s *session) ownChain(ctx context.Context, v *view) ([][]byte, error) {
	csr, err := x509.ParseCertificateRequest(v.placed.CSR)
	if err != nil {
		return nil, pluginapi.FieldErrorf("csr", "cannot be read: %w", err)
	}
	var previous [][]byte
	if p := v.placed.Previous; p != nil {
		previous = p.Chain
	}
	search := &search{s: s, tried: map[certcentral.ID]bool{}, fits: func(c *x509.Certificate) bool {
		return !c.IsCA && bytes.Equal(c.RawSubjectPublicKeyInfo, csr.RawSubjectPublicKeyInfo) && !restca.IsEarlier(c, previous)
	}}
	first := []certcentral.ID{v.st.CertificateID, v.order.Certificate.ID}
	if chain, err := search.among(ctx, first); err != nil || chain != nil {
		return s.found(v, search, chain), err
	}
	rest, err := s.otherCertificates(ctx, v)
	if err != nil {
		return nil, err
	}
	if chain, err := search.among(ctx, rest); err != nil || chain != nil {
		return s.found(v, search, chain), err
	}
	if search.strangers > 0 && v.placed.Kind != pluginapi.Reissue {
		return nil, pluginapi.Errorf(pluginapi.Unavailable, "order %s is %s, but none of the %d certificates that DigiCert gives is for the key of the request", v.id, v.order.Status, search.strangers)
	}
	return nil, nil
}

func (s *session) found(v *view, search *search, chain [][]byte) [][]byte {
	if chain != nil {
		v.st.CertificateID = search.last
	}
	return chain
}

// otherCertificates lists the certificates of an order besides its primary one, the youngest first. For a reissue those
// that were there before are left out.
func (s *session) otherCertificates(ctx context.Context, v *view) ([]certcentral.ID, error) {
	list, err := s.client.Reissues(ctx, v.id)
	if err != nil && !absent(err) {
		return nil, restca.Fail("list the reissues of order "+v.id.String(), err)
	}
	if v.placed.Kind == pluginapi.Reissue {
		list = youngerThanPrevious(list, v.placed.OrderRequest)
	} else if more, err := s.client.Duplicates(ctx, v.id); err == nil {
		list = append(list, more...)
	} else if !absent(err) { // ours is hardly among them
		s.log.Warn("duplicates cannot be listed", "order", v.id, "error", err)
	}
	slices.SortStableFunc(list, func(a, b certcentral.Certificate) int {
		switch {
		case younger(a, b):
			return -1
		case younger(b, a):
			return 1
		default:
			return 0
		}
	})
	var ids []certcentral.ID
	for _, c := range list {
		ids = append(ids, c.ID)
	}
	return ids, nil
}

// search looks for a certificate among those of an order.
type search struct {
	s     *session
	fits  func(*x509.Certificate) bool
	tried map[certcentral.ID]bool
	// last is the number that the certificate was found under; strangers counts downloads that held another.
	last      certcentral.ID
	strangers int
}

// among downloads certificates until one fits. Those that are not there yet are no error.
func (f *search) among(ctx context.Context, ids []certcentral.ID) ([][]byte, error) {
	for _, id := range ids {
		if id == 0 || f.tried[id] || len(f.tried) >= mostTried {
			continue
		}
		f.tried[id] = true
		parts, err := f.s.client.Download(ctx, id)
		if absent(err) {
			continue
		}
		if err != nil {
			return nil, restca.Fail("download certificate "+id.String(), err)
		}
		pool := restca.ParseDER(parts)
		i := slices.IndexFunc(pool, f.fits)
		if i < 0 {
			f.strangers++
			continue
		}
		f.last = id
		return f.s.complete(ctx, id, pool[i], pool)
	}
	return nil, nil
}

// complete orders a chain, and asks for what is missing in it.
func (s *session) complete(ctx context.Context, id certcentral.ID, leaf *x509.Certificate, pool []*x509.Certificate) ([][]byte, error) {
	if chain, whole := restca.Arrange(leaf, pool); whole {
		return chain, nil
	}
	more, err := s.client.Chain(ctx, id)
	if err != nil && !absent(err) {
		return nil, restca.Fail("read the chain of certificate "+id.String(), err)
	}
	chain, whole := restca.Arrange(leaf, append(pool, restca.ParseDER(more)...))
	if !whole {
		return nil, pluginapi.Errorf(pluginapi.Unavailable, "DigiCert gives certificate %s without the certificate of its issuer, %s", id, leaf.Issuer)
	}
	return chain, nil
}

// chainOf completes the chain of a certificate that is on disk.
func (s *session) chainOf(ctx context.Context, o certcentral.Order, der []byte) ([][]byte, error) {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, pluginapi.FieldErrorf("leaf", "is no certificate: %w", err)
	}
	parts, err := s.client.Download(ctx, o.Certificate.ID)
	if err != nil {
		return nil, restca.Fail("download certificate "+o.Certificate.ID.String(), err)
	}
	chain, _ := restca.Arrange(leaf, restca.ParseDER(parts))
	return chain, nil
}

// lifetimeWords says by how much a certificate ends earlier than its order asked for, where it does.
func lifetimeWords(v *view, der []byte) string {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return ""
	}
	asked := askedEnd(v, leaf.NotBefore)
	if asked.IsZero() || leaf.NotAfter.Add(36*time.Hour).After(asked) {
		return ""
	}
	words := fmt.Sprintf("the certificate ends on %s, asked for was %s", leaf.NotAfter.UTC().Format(time.DateOnly), asked.UTC().Format(time.DateOnly))
	if end := coverageEnd(v.order); end.After(leaf.NotAfter.Add(24 * time.Hour)) {
		words += fmt.Sprintf("; the plan lasts until %s and pays for reissues until then", end.Format(time.DateOnly))
	}
	return words
}

// askedEnd is the end that the order settings ask for a certificate, or zero: that of certificate.cert_validity alone.
// The validity of an order is that of the plan, and its certificates are known to be shorter.
func askedEnd(v *view, from time.Time) time.Time {
	certificate, _ := v.settings.Values["certificate"].(map[string]any)
	validity, _ := certificate["cert_validity"].(map[string]any)
	if text, ok := validity["custom_expiration_date"].(string); ok {
		at, err := time.Parse("02 Jan 2006", titleMonth(text))
		if err == nil {
			return at
		}
	}
	days, years := number(validity["days"]), number(validity["years"])
	switch {
	case days > 0:
		return from.AddDate(0, 0, days)
	case years > 0:
		return from.AddDate(years, 0, 0)
	default:
		return time.Time{}
	}
}

// titleMonth turns the "09 JUN 2027" of the API into what package time reads.
func titleMonth(text string) string {
	parts := strings.Fields(text)
	if len(parts) != 3 || len(parts[1]) < 2 {
		return text
	}
	parts[1] = strings.ToUpper(parts[1][:1]) + strings.ToLower(parts[1][1:])
	return strings.Join(parts, " ")
}

// number reads a whole number of the settings, which travel as JSON or come from TOML.
func number(value any) int {
	switch n := value.(type) {
	case int64:
		return int(n)
	case int:
		return n
	case float64:
		return int(n)
	default:
		return 0
	}
}

func serialOf(der []byte) (string, error) {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return "", pluginapi.FieldErrorf("leaf", "is no certificate: %w", err)
	}
	return restca.Serial(leaf), nil
}
