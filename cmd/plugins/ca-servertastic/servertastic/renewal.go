package servertastic

import (
	"context"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/ordertoken"
	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/request"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const (
	// earliestRenewal is how early ServerTastic renews, and mostCarried how much of what is left of an order it adds.
	earliestRenewal = 90 * 24 * time.Hour
	mostCarried     = 90 * 24 * time.Hour

	linked, unlinked = "yes", "no"
)

// decideLink decides once whether an order is placed as the renewal of the one before, and adds what that carries over to
// its term. It is noted with the announcement, so that it is known, too, when the answer of place is lost.
func (s *session) decideLink(ctx context.Context, v *view) error {
	if !s.settings.linkRenewals && v.st.Link == linked {
		v.st.unlink() // somebody has switched it off since, and the order was not placed
	}
	if v.st.Link != "" {
		return nil
	}
	v.st.Link = unlinked
	if v.placed.Kind != pluginapi.Renew || !s.settings.linkRenewals {
		return nil
	}
	yes, end, err := s.renewal(ctx, v)
	if err != nil {
		v.st.Link = ""
		return err
	}
	if !yes {
		return nil
	}
	v.st.Link = linked
	if left := end.Sub(v.st.Bought); left > 0 && !end.IsZero() && !v.st.Ends.IsZero() {
		v.st.Carried = min(left, mostCarried).Truncate(time.Second)
		v.st.Ends = v.st.Ends.Add(v.st.Carried)
	}
	return nil
}

// unlink takes back what decideLink has decided.
func (st *state) unlink() {
	if st.Carried > 0 && !st.Ends.IsZero() {
		st.Ends = st.Ends.Add(-st.Carried)
	}
	st.Link, st.Carried = "", 0
}

// renewal reports whether an order can be placed as the renewal of the one before, and when that ends, zero where nobody
// knows: for the same domain, within the last 90 days of the earlier order, and of the same CA. In any doubt it is not: what
// is ordered without a link loses the days that are left, and no more, while a link that is refused keeps what is bought
// from being placed.
func (s *session) renewal(ctx context.Context, v *view) (yes bool, end time.Time, err error) {
	p := v.placed.Previous
	if p == nil || len(p.Chain) == 0 {
		return false, end, nil
	}
	leaf, err := x509.ParseCertificate(p.Chain[0])
	if err != nil || !strings.EqualFold(leaf.Subject.CommonName, v.names.Common) && !covers(leaf, v.names.Common) {
		return false, end, nil //nolint:nilerr // what cannot be read is not renewed
	}
	if slices.ContainsFunc(v.names.Additional, func(n string) bool { return !covers(leaf, n) }) {
		return false, end, nil
	}
	before := decodeState(p.State)
	last := orTime(before.Ends, leaf.NotAfter)
	if last.Sub(s.now()) > earliestRenewal {
		return false, end, nil
	}
	token, err := s.locate(ctx, p.Reference, before, pluginapi.Secret{})
	if err != nil {
		return s.noLink(v, p.Reference, err)
	}
	r, err := s.client.Review(ctx, token)
	if err != nil {
		return s.noLink(v, p.Reference, unseen("read the earlier order", err))
	}
	family := request.ProductOf(pluginapi.Settings{Values: map[string]any{"st_product_code": r.Product}}).Family
	if own := request.ProductOf(v.placed.Settings); r.Product != own.Code && family != own.Family || r.Status != ordertoken.StatusCompleted {
		s.log.Warn("the order is placed without its link to the earlier one, which is of another CA or not in force", "order", v.name(), "earlier", p.Reference, "product", r.Product, "status", r.Told)
		return false, end, nil
	}
	return true, before.Ends, nil
}

// noLink: what passes is waited for; where the earlier order cannot be had for good, the new one has no link.
func (s *session) noLink(v *view, earlier string, err error) (bool, time.Time, error) {
	switch pluginapi.KindOf(err) {
	case pluginapi.NotFound, pluginapi.Unauthorized, pluginapi.NeedsPerson:
		s.log.Warn("the order is placed without its link to the earlier one, which cannot be read", "order", v.name(), "earlier", earlier, "error", err)
		return false, time.Time{}, nil
	}
	return false, time.Time{}, err
}
