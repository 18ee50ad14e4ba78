package servertastic

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/ordertoken"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// issued says that the certificate for our request is there. An order's answer may hold those of other requests and from
// before, so that the key alone tells, and with a key that is kept the date.
func (s *session) issued(v *view) (pluginapi.Order, bool, error) {
	csr, err := x509.ParseCertificateRequest(v.placed.CSR)
	if err != nil {
		return pluginapi.Order{}, false, pluginapi.FieldErrorf("csr", "cannot be read: %w", err)
	}
	leaf := ownLeaf(v.placed.OrderRequest, csr, v.review)
	if leaf == nil {
		return pluginapi.Order{}, false, nil
	}
	detail := fmt.Sprintf("order %s is issued", v.name())
	var missing []string
	for _, id := range v.placed.Identifiers {
		if !covers(leaf, id.Value) {
			missing = append(missing, id.Value)
		}
	}
	if len(missing) > 0 {
		// It is handed over all the same: whoever checks it holds it, and the term that is paid is there to be reissued.
		detail = fmt.Sprintf("order %s was issued without %s (a CA leaves out a name that it has not seen control over)", v.name(), strings.Join(missing, ", "))
		s.log.Error("a certificate was issued without names that were ordered", "order", v.name(), "missing", missing)
	}
	chain, whole := restca.Arrange(leaf, v.review.Certificates)
	switch {
	case whole:
	case s.late(v, "") != nil:
		detail += fmt.Sprintf(", and ServerTastic does not show the certificate of its issuer, %s", leaf.Issuer)
		s.log.Error("a certificate is shown without its issuer's", "order", v.name(), "issuer", leaf.Issuer.String())
	default:
		return pluginapi.Order{Status: pluginapi.Processing, Detail: fmt.Sprintf("order %s is issued, and the certificate of its issuer is not to be seen yet", v.name())}, true, nil
	}
	v.st.Completed = time.Time{}
	if v.st.Single {
		v.st.Ends = leaf.NotAfter.UTC()
	}
	return pluginapi.Order{Status: pluginapi.Issued, Chain: chain, Detail: detail}, true, nil
}

// ownLeaf is the newest certificate for our key that is not from before.
func ownLeaf(order pluginapi.OrderRequest, csr *x509.CertificateRequest, r ordertoken.Review) *x509.Certificate {
	var previous [][]byte
	if order.Previous != nil && order.Kind == pluginapi.Reissue {
		previous = order.Previous.Chain
	}
	var leaf *x509.Certificate
	for _, c := range r.Certificates {
		if c.IsCA || !bytes.Equal(c.RawSubjectPublicKeyInfo, csr.RawSubjectPublicKeyInfo) || restca.IsEarlier(c, previous) {
			continue
		}
		if leaf == nil || c.NotBefore.After(leaf.NotBefore) {
			leaf = c
		}
	}
	return leaf
}

// lastDay is when the newest certificate of an order ends, which is all that is known of its term where its product tells none.
func lastDay(r ordertoken.Review) (at time.Time) {
	for _, c := range r.Certificates {
		if !c.IsCA && c.NotAfter.After(at) {
			at = c.NotAfter
		}
	}
	return at.UTC()
}
