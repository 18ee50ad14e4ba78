package digicert

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

const requestTypeRevoke = "revoke"

// approval is what becomes of a new order, reissue, duplicate or revocation: the status of its request, or no request.
type approval string

// made reports whether there is a request; wait, whether a person must act.
func (a approval) made() bool { return a != "" }
func (a approval) wait() bool { return a == requestPending || a == requestSubmitted }

// approvalFor decides about a request.
//
// Unconfirmed: what happens to skip_approval of a key that may not skip; Settings choose between a request, the default, and an error.
//
// Unconfirmed: that an EV order of a user who is no EV approver becomes a request in spite of skip_approval.
func (s *Server) approvalFor(c *call, f *faults, p product, skip bool) approval {
	may := c.user.approves() && (p.Validation != typeEV || c.user.EVApprover)
	switch mode := s.Account.Settings.Approval; {
	case skip && may, mode == ApproveNone && may:
		return ""
	case skip && s.Account.Settings.SkipDeniedFails:
		f.add(http.StatusForbidden, "access_denied|missing_permission", "The API key may not skip approval.")
		return requestPending
	case mode == ApproveAutomatically && may:
		return requestApproved
	default:
		if skip {
			c.remark("skip_approval has no effect: the role %s may not skip it for %s products", c.user.Role, p.Validation)
		}
		// Unconfirmed: that submitted is the first state of an approval in two steps.
		if mode == ApproveTwice {
			return requestSubmitted
		}
		return requestPending
	}
}

// newRequest records a request. The lock is held.
func (s *Server) newRequest(c *call, kind string, ap approval, o *order, certificate int64, comments string) *request {
	r := &request{
		ID: s.Account.nextID(), Type: kind, Status: string(ap), Order: o.ID, Certificate: certificate, User: c.user.ID, Date: c.now, Comments: comments,
	}
	s.Account.Requests[r.ID] = r
	return r
}

func (s *Server) requestView(r *request, full bool) obj {
	u := s.Account.user(r.User)
	v := obj{
		"id": r.ID, "date": r.Date.Format(time.RFC3339), "type": r.Type, "status": r.Status, "comments": r.Comments,
		"requester": obj{"id": u.ID, "first_name": u.Name, "last_name": "User", "email": "api@sandbox.invalid"},
	}
	if full {
		o := s.Account.Orders[r.Order]
		v["order"] = s.orderView(o)
		if r.Processor != "" {
			v["processor_comment"] = r.Processor
		}
	}
	return v
}

// getRequest is GET /request/{id}.
func (s *Server) getRequest(c *call) (reply, error) {
	n, err := c.number("id")
	if err != nil {
		return reply{}, err
	}
	var body obj
	err = s.Read(func(st *state) error {
		r := st.Requests[n]
		if r == nil || st.order(c.user, r.Order) == nil {
			return notFound("request")
		}
		body = s.requestView(r, true)
		return nil
	})
	return ok(body), err
}

// listRequests is GET /request.
func (s *Server) listRequests(c *call) (reply, error) {
	status := c.r.URL.Query().Get("status")
	var list []obj
	_ = s.Read(func(st *state) error { // the function returns none
		for _, r := range sortedByID(st.Requests) {
			o := st.order(c.user, r.Order)
			if o == nil || status != "" && r.Status != status {
				continue
			}
			v := s.requestView(r, false)
			v["order"] = obj{"id": o.ID, "certificate": obj{"common_name": o.primary().CommonName}}
			list = append(list, v)
		}
		return nil
	})
	return c.paged("requests", list)
}

// putRequestStatus is PUT /request/{id}/status: approve or reject.
func (s *Server) putRequestStatus(c *call) (reply, error) {
	n, err := c.number("id")
	if err != nil {
		return reply{}, err
	}
	var b struct {
		Status  string `json:"status"`
		Comment string `json:"processor_comment"`
	}
	if err := c.decode(&b, s.settings().Strict,
		sandbox.Required(sandbox.TextOf("status", requestSubmitted, requestPending, requestApproved, requestRejected)), sandbox.Text("processor_comment")); err != nil {
		return reply{}, err
	}
	var orderID int64
	err = s.Change(c.now, func(st *state) error {
		r := st.Requests[n]
		if r == nil || st.order(c.user, r.Order) == nil {
			return notFound("request")
		}
		p, _ := productByID(st.Orders[r.Order].Product)
		switch {
		case !c.user.approves():
			return notPermitted("approve requests")
		case p.Validation == typeEV && !c.user.EVApprover:
			// Unconfirmed: the HTTP status of access_denied|invalid_approver.
			return fail(http.StatusForbidden, "access_denied|invalid_approver", "The user may not approve this request.")
		}
		orderID = r.Order
		return s.process(c.now, r, b.Status, b.Comment)
	})
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusNoContent}, s.tryIssue(c.ctx(), orderID)
}

// process changes the status of a request and does what follows. The lock is held.
//
// Unconfirmed: how a request is answered that was decided before.
func (s *Server) process(now time.Time, r *request, status, comment string) error {
	if r.Status == requestApproved || r.Status == requestRejected {
		return fail(http.StatusBadRequest, "request_already_processed", "The request is %s.", r.Status)
	}
	r.Processor = comment
	o := s.Account.Orders[r.Order]
	switch {
	case status == requestRejected:
		r.Status = requestRejected
		s.reject(now, r, o)
	case status == requestApproved && r.Status == requestSubmitted:
		r.Status = requestPending // the second step is another person's
	case status == requestApproved:
		r.Status = requestApproved
		s.approve(now, r, o)
	default:
		r.Status = status
	}
	return nil
}

// approve lets what was asked for go on.
func (s *Server) approve(now time.Time, r *request, o *order) {
	o.Updated = now
	if r.Type == requestTypeRevoke {
		s.revokeNow(now, o, r.Certificate, r.Reason)
		return
	}
	cert := o.open()
	if cert == nil {
		return
	}
	cert.Status, cert.Announced = statusPending, true
	switch r.Type {
	case "reissue":
		o.Status = statusReissuePending
	case "new_request":
		o.Status = statusPending
	}
	s.renewRandom(&o.DCV, now)
}

// reject ends what was asked for.
func (s *Server) reject(now time.Time, r *request, o *order) {
	o.Updated = now
	if r.Type == requestTypeRevoke {
		return
	}
	if cert := o.open(); cert != nil {
		cert.Status = statusRejected
	}
	if r.Type == "new_request" {
		o.Status = statusRejected
		s.refund(now, o, "the request was rejected")
	} else if o.Status == statusReissuePending {
		o.Status = statusIssued
	}
}

// refund gives back what an order cost that got no certificate.
//
// Unconfirmed: refunds of canceled orders.
func (s *Server) refund(now time.Time, o *order, why string) {
	if o.Refunded {
		return
	}
	o.Refunded = true
	if o.Payment == payBalance {
		s.Account.Balance += o.Price
	}
	if old := s.Account.Orders[o.RenewalOf]; old != nil && old.RenewedBy == o.ID {
		old.RenewedBy = 0
	}
	entry := s.entry(now, sandbox.Refund, o)
	entry.Amount, entry.Detail = -o.Price, why
	s.Account.Ledger.Add(entry)
}

// sortedByID lists the values of a map by their keys.
func sortedByID[T any](m map[int64]T) []T {
	ids := make([]int64, 0, len(m))
	for n := range m {
		ids = append(ids, n)
	}
	slices.Sort(ids)
	list := make([]T, 0, len(ids))
	for _, n := range ids {
		list = append(list, m[n])
	}
	return list
}

func number(n int64) string { return strconv.FormatInt(n, 10) }
