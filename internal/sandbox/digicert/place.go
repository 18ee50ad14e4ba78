package digicert

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// obj is a JSON object of an answer.
type obj = map[string]any

// placeHinted is POST /order/certificate/ssl.
func (s *Server) placeHinted(c *call) (reply, error) {
	b, f, err := decodeOrder(c, s.patterns.orderFields(false, true), s.settings().Strict)
	if err != nil {
		return reply{}, err
	}
	p, ok := byHint(b.Product.TypeHint, s.settings().sells)
	if !ok {
		if err := f.err(); err != nil {
			return reply{}, err
		}
		return reply{}, fail(http.StatusBadRequest, "ambiguous_product", "The product cannot be determined; order it by its product identifier.")
	}
	return s.place(c, p, b, f)
}

// placeProduct is POST /order/certificate/{product}.
func (s *Server) placeProduct(c *call) (reply, error) {
	p, ok := productByID(c.r.PathValue("product"))
	if !ok || !s.settings().sells(p) {
		return reply{}, notFound("product")
	}
	b, f, err := decodeOrder(c, s.patterns.orderFields(p.Validation == typeDV, false), s.settings().Strict)
	if err != nil {
		return reply{}, err
	}
	return s.place(c, p, b, f)
}

// decodeOrder decodes a body and checks its fields one by one. Where a field has a wrong type the error is the answer;
// else faults holds what was found, to be told together with what else is wrong.
func decodeOrder(c *call, fields []sandbox.Field, strict bool) (*orderBody, *faults, error) {
	object, err := sandbox.DecodeObject(c.body)
	if err != nil {
		return nil, nil, fail(http.StatusBadRequest, "bad_request_format", "The request cannot be read: %v", err)
	}
	f := &faults{}
	f.take(c, sandbox.Check(fields, object, strict))
	var b orderBody
	if err := json.Unmarshal(c.body, &b); err != nil {
		if found := f.err(); found != nil {
			return nil, nil, found
		}
		return nil, nil, fail(http.StatusBadRequest, "bad_request_format", "The request cannot be read: %v", err)
	}
	return &b, f, nil
}

// place buys.
func (s *Server) place(c *call, p product, b *orderBody, f *faults) (reply, error) {
	s.judgeEmails(c.ctx(), f, b.DCVEmails)
	var miss error
	if b.UseAuthKey {
		miss = s.requestTokens(c.ctx(), b)
	}
	var id int64
	err := s.Change(c.now, func(st *state) error {
		j := s.judgeOrder(c, f, p, b)
		ap := s.approvalFor(c, f, p, b.SkipApproval)
		if err := f.err(); err != nil {
			return err
		}
		if b.UseAuthKey && miss != nil && st.Settings.AuthKeyMissFails {
			return fail(http.StatusBadRequest, "invalid_dns_txt", "%v", miss)
		}
		o := s.newOrder(c, b, j, ap)
		if b.UseAuthKey && miss == nil {
			o.DCV.approveAll(c.now)
		}
		id = o.ID
		return nil
	})
	if err != nil {
		return reply{}, err
	}
	if err := s.tryIssue(c.ctx(), id); err != nil {
		return reply{}, err
	}
	return s.placed(c, id, http.StatusCreated)
}

// newOrder makes an order that was judged, and books what it costs.
//
// Unconfirmed: when an order is charged; the stand-in books it when it accepts the order, also where it waits for approval, and gives it back when it is rejected or canceled before its first certificate.
func (s *Server) newOrder(c *call, b *orderBody, j *judged, ap approval) *order {
	st := s.Account
	o := &order{
		ID: st.nextID(), AlternativeID: b.AlternativeOrderID, Product: j.product.NameID, Container: j.container, User: c.user.ID,
		Status: statusPending, Terms: j.terms, Created: c.now, Updated: c.now, Price: j.price, Payment: b.PaymentMethod,
		AutoRenew: b.AutoRenew, AutoReissue: b.AutoReissue, Comments: b.Comments, CustomFields: b.CustomFields,
		DisableCT: truthy(b.DisableCT) && st.Settings.ChooseCT, Notifications: !b.DisableNotifications, Emails: b.AdditionalEmails,
	}
	if o.Payment == "" {
		o.Payment = payBalance
	}
	if !ap.made() {
		o.Comments = "" // they are stored on the request
	}
	if j.organization != nil {
		if st.Organizations[j.organization.ID] == nil {
			st.Organizations[j.organization.ID] = j.organization
		}
		o.Organization = j.organization.ID
	}
	if j.renews != nil {
		o.RenewalOf = j.renews.ID
		j.renews.RenewedBy = o.ID
	}
	s.newCertificate(c, o, b, j, kindOriginal, ap)
	o.DCV = s.newDCV(c, o, j.product, b, j.names)
	if ap.made() {
		o.Requests = append(o.Requests, s.newRequest(c, "new_request", ap, o, 0, b.Comments).ID)
	}
	if ap.wait() {
		o.Status = statusNeedsApproval
	}
	st.Orders[o.ID] = o
	if o.Payment == payBalance {
		st.Balance -= o.Price
	}
	entry := s.entry(c.now, sandbox.Purchase, o)
	entry.Amount = o.Price
	if j.renews != nil {
		entry.Renews = strconv.FormatInt(j.renews.ID, 10)
	}
	st.Ledger.Add(entry)
	return o
}

func truthy(v any) bool {
	switch x := v.(type) {
	case bool:
		return x
	case float64:
		return x != 0
	default:
		return false
	}
}

// newCertificate adds a certificate that is still to be issued.
func (s *Server) newCertificate(c *call, o *order, b *orderBody, j *judged, kind string, ap approval) *certificate {
	cert := &certificate{
		ID: s.Account.nextID(), Kind: kind, Status: statusPending, CSR: b.Certificate.CSR,
		CommonName: b.Certificate.CommonName, DNSNames: b.Certificate.DNSNames, SignatureHash: b.Certificate.SignatureHash,
		Platform: -1, Issuer: j.issuer.ID, ClientAuth: b.Certificate.ProfileOption == "server_client_auth_eku",
		Terms: j.terms, Created: c.now, Announced: !ap.wait(),
	}
	if cert.SignatureHash == "" {
		cert.SignatureHash = "sha256"
	}
	if b.Certificate.ServerPlatform != nil {
		cert.Platform = b.Certificate.ServerPlatform.ID
	}
	if s.Account.Settings.FreeCounterpart && sandbox.BaseOf(cert.CommonName) == cert.CommonName && !sandbox.IsAddress(cert.CommonName) {
		cert.DNSNames = append(cert.DNSNames, "www."+cert.CommonName)
	}
	if ap.wait() {
		cert.Status = statusNeedsApproval
	}
	o.Certificates = append(o.Certificates, cert)
	return cert
}

// entry begins an entry of the ledger about an order.
func (s *Server) entry(now time.Time, kind string, o *order) sandbox.Entry {
	cert := o.Certificates[len(o.Certificates)-1]
	return sandbox.Entry{
		Time: now, Kind: kind, Order: strconv.FormatInt(o.ID, 10), Reference: o.AlternativeID, Product: o.Product, Names: cert.names(),
	}
}

// placed is the answer to an order, a reissue or a duplicate. What it holds tells the outcomes apart: a chain where the
// certificate is issued, no certificate_id where a person must approve.
func (s *Server) placed(c *call, id int64, status int) (reply, error) {
	var body obj
	err := s.Read(func(st *state) error {
		o := st.Orders[id]
		if o == nil {
			return fmt.Errorf("order %d is gone", id)
		}
		cert := o.Certificates[len(o.Certificates)-1]
		body = obj{"id": o.ID}
		if requests := s.placedRequests(o, cert); len(requests) > 0 {
			body["requests"] = requests
		}
		if !cert.Announced {
			return nil
		}
		body["certificate_id"] = cert.ID
		if cert.Status == statusIssued {
			body["certificate_chain"] = chainObjects(s.Account.Authority, cert)
			return nil
		}
		if o.DCV.usesRandom() && !o.DCV.done() && cert.Kind != kindDuplicate {
			body["dcv_random_value"] = o.DCV.Random
			if p, _ := productByID(o.Product); p.reuses() && cert.Kind == kindOriginal {
				body["domains"] = s.placedDomains(o)
			}
		}
		return nil
	})
	return reply{status: status, body: body}, err
}

// placedRequests are the requests of an order's last certificate.
func (s *Server) placedRequests(o *order, cert *certificate) []obj {
	var list []obj
	for _, id := range o.Requests {
		r := s.Account.Requests[id]
		if r != nil && r.Type != requestTypeRevoke && (r.Certificate == cert.ID || r.Certificate == 0 && cert.Kind == kindOriginal) {
			list = append(list, obj{"id": r.ID, "status": r.Status})
		}
	}
	return list
}

// placedDomains are the domains that an OV or EV order waits for.
func (s *Server) placedDomains(o *order) []obj {
	var list []obj
	for _, v := range o.DCV.Validations {
		d := s.Account.Domains[v.Domain]
		if d == nil || !v.Approved.IsZero() {
			continue
		}
		list = append(list, obj{"id": d.ID, "name": d.Name, "dcv_token": d.token()})
	}
	return list
}
