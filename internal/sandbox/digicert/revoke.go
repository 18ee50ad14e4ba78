package digicert

import (
	"net/http"
	"slices"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// revokeCertificate is PUT /certificate/{id}/revoke, for one certificate; id is its id or serial number.
func (s *Server) revokeCertificate(c *call) (reply, error) {
	return s.revoke(c, func(st *state) (*order, *certificate, error) {
		o, cert := s.findCertificate(c, c.r.PathValue("id"))
		if cert == nil || cert.Issued.IsZero() {
			return nil, nil, notFound("certificate")
		}
		return o, cert, nil
	})
}

// revokeOrder is PUT /order/certificate/{id}/revoke, for all certificates of an order.
func (s *Server) revokeOrder(c *call) (reply, error) {
	return s.revoke(c, func(st *state) (*order, *certificate, error) {
		n, err := c.number("id")
		if err != nil {
			return nil, nil, err
		}
		o := st.order(c.user, n)
		if o == nil {
			return nil, nil, orderNotFound()
		}
		return o, nil, nil
	})
}

// revoke ends certificates at once for an administrator who says skip_approval, else it makes a request.
//
// Unconfirmed: the list of revocation reasons, and the codes for what is revoked already or has a reissue under way.
func (s *Server) revoke(c *call, find func(st *state) (*order, *certificate, error)) (reply, error) {
	var b struct {
		Reason       string `json:"revocation_reason"`
		Comments     string `json:"comments"`
		SkipApproval bool   `json:"skip_approval"`
	}
	if err := c.decode(&b, s.settings().Strict,
		sandbox.TextOf("revocation_reason", "unspecified", "keyCompromise", "affiliationChanged", "superseded", "cessationOfOperation"),
		sandbox.Text("comments"), sandbox.Text("comment"), sandbox.Boolean("skip_approval"),
	); err != nil {
		return reply{}, err
	}
	if b.Reason == "" {
		b.Reason = "unspecified"
	}
	var body obj
	err := s.Change(c.now, func(st *state) error {
		o, cert, err := find(st)
		if err != nil {
			return err
		}
		var which int64
		switch {
		case o.Status == statusRevoked:
			return fail(http.StatusBadRequest, "order_already_revoked", "The order is revoked.")
		case cert != nil && cert.Status == statusRevoked:
			return fail(http.StatusBadRequest, "certificate_already_revoked", "The certificate is revoked.")
		case o.Status == statusReissuePending:
			return fail(http.StatusBadRequest, "cannot_revoke|reissue_pending", "The order has a reissue under way.")
		case cert == nil && o.primary().Issued.IsZero():
			return fail(http.StatusBadRequest, "cannot_revoke|"+o.Status, "The order is %s.", o.Status)
		case cert != nil:
			which = cert.ID
		}
		if b.SkipApproval && c.user.Role == Administrator {
			s.revokeNow(c.now, o, which, b.Reason)
			return nil
		}
		r := s.newRequest(c, requestTypeRevoke, requestPending, o, which, b.Comments)
		r.Reason = b.Reason
		o.Requests = append(o.Requests, r.ID)
		body = s.requestView(r, false)
		return nil
	})
	if body == nil {
		return reply{status: http.StatusNoContent}, err
	}
	return reply{status: http.StatusCreated, body: body}, err
}

// revokeNow ends one certificate of an order, or all of them and the order with them. The lock is held.
func (s *Server) revokeNow(now time.Time, o *order, which int64, reason string) {
	entry := s.entry(now, sandbox.Revoke, o)
	entry.Detail = reason
	if which == 0 {
		o.Status = statusRevoked
		entry.Detail += ": the whole order"
	}
	o.Updated = now
	for _, c := range o.Certificates {
		if c.Status == statusIssued && (which == 0 || c.ID == which) {
			c.Status, c.Revoked, c.Reason = statusRevoked, now, reason
			entry.Names = c.names()
			entry.Detail += ", serial " + c.Serial
		}
	}
	if left := func(c *certificate) bool { return c.Status == statusIssued && c.NotAfter.After(now) }; s.Account.Settings.LastRevokesOrder &&
		o.Status == statusIssued && !slices.ContainsFunc(o.Certificates, left) {
		o.Status = statusRevoked
		entry.Detail += ": it was the only one, and the order with it"
	}
	s.Account.Ledger.Add(entry)
}
