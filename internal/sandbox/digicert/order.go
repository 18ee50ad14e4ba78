package digicert

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// stamp writes a time as the API does, with its offset.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05-07:00") }

func (s *Server) certDate(t time.Time) any { return s.days.date(t) }

// orderView is an order as GET /order/certificate/{id} shows it. The lock is held.
//
// Unconfirmed: which certificate the order shows while a reissue is under way; the stand-in shows the one in force until the new one is issued.
func (s *Server) orderView(o *order) obj {
	p, _ := productByID(o.Product)
	u := s.Account.user(o.User)
	v := obj{
		"id": o.ID, "status": o.Status, "is_renewal": o.RenewalOf != 0, "is_renewed": o.RenewedBy != 0,
		"date_created": stamp(o.Created), "order_valid_till": s.days.date(o.ValidTill),
		"auto_renew": o.AutoRenew, "auto_reissue": o.AutoReissue, "disable_renewal_notifications": !o.Notifications,
		"payment_method": o.Payment, "price": float64(o.Price) / 100, "currency": "USD",
		"product":   obj{"name_id": p.NameID, "name": p.Name, "type": "ssl_certificate", "validation_type": p.Validation},
		"container": obj{"id": o.Container, "name": s.containerName(o.Container)},
		"user":      obj{"id": u.ID, "first_name": u.Name, "last_name": "User", "email": "api@sandbox.invalid"},
		"requests":  s.orderRequests(o), "additional_emails": o.Emails,
		"has_duplicates": slices.ContainsFunc(o.Certificates, func(c *certificate) bool { return c.Kind == kindDuplicate }),
		"disable_ct":     o.DisableCT, "custom_fields": o.CustomFields,
	}
	v["certificate"] = s.certificateView(o, o.primary())
	if o.AlternativeID != "" {
		v["alternative_order_id"] = o.AlternativeID
	}
	if p.public() {
		v["dcv_method"], v["certificate_dcv_scope"] = o.DCV.Method, o.DCV.Scope
	}
	if n := s.Account.Settings.renewedOrder(o); n != 0 {
		v["renewed_order_id"] = n
	}
	if org := s.Account.Organizations[o.Organization]; org != nil {
		v["organization"] = obj{"id": org.ID, "name": org.Name}
	}
	if !o.Terms.Until.IsZero() {
		v["custom_expiration_date"] = o.Terms.Until.Format(dateForm)
	} else if o.Terms.Years > 0 {
		v["validity_years"] = o.Terms.Years
	}
	return v
}

func (s *Server) orderRequests(o *order) []obj {
	list := []obj{}
	for _, n := range o.Requests {
		if r := s.Account.Requests[n]; r != nil {
			list = append(list, obj{"id": r.ID, "type": r.Type, "status": r.Status, "date": stamp(r.Date), "comments": r.Comments})
		}
	}
	return list
}

// certificateView is a certificate inside an order. A plain issued one has no status of its own.
func (s *Server) certificateView(o *order, cert *certificate) obj {
	v := obj{
		"common_name": cert.CommonName, "dns_names": cert.names(), "csr": cert.CSR, "signature_hash": cert.SignatureHash,
		"date_created": stamp(cert.Created), "server_platform": obj{"id": cert.Platform, "name": "OTHER"},
	}
	if cert.Announced {
		v["id"] = cert.ID
	}
	if i := s.Account.Authority.Issuer(cert.Issuer); i != nil {
		v["ca_cert"] = obj{"id": i.ID, "name": i.Cert.Subject.CommonName}
	}
	if org := s.Account.Organizations[o.Organization]; org != nil {
		v["organization"] = obj{"id": org.ID}
	}
	if !cert.Issued.IsZero() {
		v["serial_number"], v["thumbprint"], v["date_issued"] = cert.Serial, cert.Thumbprint, stamp(cert.Issued)
		v["valid_from"], v["valid_till"] = s.certDate(cert.NotBefore), s.certDate(cert.NotAfter)
		v["days_remaining"] = int64(cert.NotAfter.Sub(s.Now()) / s.Day())
	}
	if csr, err := parseCSR(cert.CSR); err == nil {
		v["key_size"] = keySize(csr)
	}
	switch {
	case cert.Status == statusRevoked:
		v["status"] = statusRevoked
	case cert.Status == statusIssued && cert.Kind != kindOriginal:
		v["status"] = statusIssued
	}
	return v
}

// findOrder finds an order by its id, or by thumbprint or serial number of its primary certificate. The lock is held.
func (s *Server) findOrder(c *call, name string) *order {
	if n, err := strconv.ParseInt(name, 10, 64); err == nil {
		if o := s.Account.order(c.user, n); o != nil {
			return o
		}
	}
	for _, o := range s.Account.sorted(c.user) {
		if p := o.primary(); p.Serial != "" && (strings.EqualFold(p.Serial, name) || strings.EqualFold(p.Thumbprint, name)) {
			return o
		}
	}
	return nil
}

// getOrder is GET /order/certificate/{id}.
func (s *Server) getOrder(c *call) (reply, error) {
	var body obj
	if n, err := c.number("id"); err == nil {
		if err := s.tryIssue(c.ctx(), n); err != nil { // what took its time may be done
			return reply{}, err
		}
	}
	err := s.Read(func(*state) error {
		o := s.findOrder(c, c.r.PathValue("id"))
		if o == nil {
			return orderNotFound()
		}
		body = s.orderView(o)
		if c.r.URL.Query().Get("include_caa_status") == "true" && o.open() != nil {
			// Unconfirmed: the messages on CAA records, but for that of a check which was not made yet.
			messages := map[string]string{}
			for _, name := range o.open().names() {
				messages[name] = "CAA check is not called yet"
				if m := o.CAAMessages[name]; m != "" {
					messages[name] = m
				}
			}
			body["caa_status_message"] = messages
		}
		return nil
	})
	return ok(body), err
}

// listOrders is GET /order/certificate.
func (s *Server) listOrders(c *call) (reply, error) {
	filter, err := newFilter(c.r.URL.Query())
	if err != nil {
		return reply{}, err
	}
	var list []obj
	_ = s.Read(func(st *state) error { // the function returns none
		orders := st.sorted(c.user)
		filter.order(orders)
		for _, o := range orders {
			if !filter.fits(o) {
				continue
			}
			p, _ := productByID(o.Product)
			list = append(list, obj{
				"id": o.ID, "status": o.Status, "date_created": stamp(o.Created), "is_renewed": o.RenewedBy != 0, "price": float64(o.Price) / 100,
				"certificate":      s.certificateView(o, o.primary()),
				"product":          obj{"name_id": p.NameID, "name": p.Name, "type": "ssl_certificate"},
				"container":        obj{"id": o.Container, "name": s.containerName(o.Container)},
				"order_valid_till": s.days.date(o.ValidTill), "alternative_order_id": o.AlternativeID,
				"has_duplicates": slices.ContainsFunc(o.Certificates, func(c *certificate) bool { return c.Kind == kindDuplicate }),
			})
		}
		return nil
	})
	return c.paged("orders", list)
}

// alternate is GET /order/alternate/{id}.
//
// Unconfirmed: the answer for an alternative id that is not known; Settings choose between an empty list, the default, and 404. Likewise how soon a new order is found.
func (s *Server) alternate(c *call) (reply, error) {
	name := c.r.PathValue("id")
	list := []obj{}
	missing := false
	_ = s.Read(func(st *state) error { // the function returns none
		for _, o := range st.sorted(c.user) {
			if o.AlternativeID != name || c.now.Sub(o.Created) < time.Duration(st.Settings.AlternateDelay) {
				continue
			}
			v := obj{"order_id": o.ID, "status": o.Status}
			if p := o.primary(); p.Announced {
				v["certificate_id"] = p.ID
			}
			list = append(list, v)
		}
		missing = len(list) == 0 && st.Settings.UnknownAlternateIs404
		return nil
	})
	if missing {
		return reply{}, orderNotFound()
	}
	return c.paged("orders", list)
}

// mostStatusChanges is the longest window of the list of changes.
const mostStatusChanges = 7 * 24 * time.Hour

// statusChanges is GET /order/certificate/status-changes.
func (s *Server) statusChanges(c *call) (reply, error) {
	q := c.r.URL.Query()
	var window time.Duration
	for name, unit := range map[string]time.Duration{"minutes": time.Minute, "seconds": time.Second} {
		if text := q.Get(name); text != "" {
			n, err := strconv.ParseInt(text, 10, 32)
			if err != nil || n < 0 {
				return reply{}, fail(http.StatusBadRequest, "invalid_value:"+name, "%s must be a number.", name)
			}
			window += time.Duration(n) * unit
		}
	}
	from, to := c.now.Add(-window), c.now
	if text := q.Get("filters[status_last_updated]"); text != "" {
		var okRange bool
		if from, to, okRange = parseRange(text); !okRange {
			return reply{}, fail(http.StatusBadRequest, "invalid_value:filters[status_last_updated]", "The range must be written from...to.")
		}
	} else if window == 0 {
		return reply{}, fail(http.StatusBadRequest, "required_param:minutes", "minutes, seconds or filters[status_last_updated] is required.")
	}
	if to.Sub(from) > mostStatusChanges {
		return reply{}, fail(http.StatusBadRequest, "time_frame_too_long", "The time frame must not exceed 7 days.")
	}
	var list []obj
	_ = s.Read(func(st *state) error { // the function returns none
		for _, o := range st.sorted(c.user) {
			if !o.Updated.Before(from) && !o.Updated.After(to) {
				list = append(list, obj{"order_id": o.ID, "certificate_id": o.primary().ID, "status": o.Status})
			}
		}
		return nil
	})
	if len(list) == 0 {
		return ok(obj{}), nil
	}
	return ok(obj{"orders": list}), nil
}

// putOrderStatus is PUT /order/certificate/{id}/status: cancel.
//
// Unconfirmed: the code where an order cannot be canceled, and that the marks renewed and not_renewed are for migrated orders alone.
func (s *Server) putOrderStatus(c *call) (reply, error) {
	n, err := c.number("id")
	if err != nil {
		return reply{}, err
	}
	if err := c.decode(&struct{}{}, s.settings().Strict, sandbox.Required(sandbox.TextOf("status", statusCanceled)), sandbox.Text("note"), sandbox.Boolean("send_emails")); err != nil {
		return reply{}, err
	}
	err = s.Change(c.now, func(st *state) error {
		o := st.order(c.user, n)
		if o == nil {
			return orderNotFound()
		}
		entry := s.entry(c.now, sandbox.Cancel, o)
		switch o.Status {
		case statusReissuePending:
			o.Status = statusIssued
			for _, id := range o.Requests {
				if r := st.Requests[id]; r.Type == kindReissue && r.Certificate == o.open().ID {
					r.Status = requestRejected
				}
			}
			entry.Detail = "the reissue"
		case statusPending:
			o.Status = statusCanceled
			s.refund(c.now, o, "the order was canceled")
		default:
			return fail(http.StatusBadRequest, "cannot_cancel|"+o.Status, "The order is %s.", o.Status)
		}
		if cert := o.open(); cert != nil {
			cert.Status = statusCanceled
		}
		o.Updated = c.now
		st.Ledger.Add(entry)
		return nil
	})
	return reply{status: http.StatusNoContent}, err
}
