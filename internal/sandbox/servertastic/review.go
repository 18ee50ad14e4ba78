package servertastic

import (
	"encoding/pem"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

const (
	// stampForm is how times are written, in GMT.
	stampForm = "2006-01-02 15:04:05"
)

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(stampForm)
}

// refresh has the reseller ask the CA, where it last did long enough ago. The lock is held.
func refresh(o *order, now time.Time, settings *Settings) {
	if now.Sub(o.Synced) >= time.Duration(settings.SyncLag) {
		o.sync(now, settings)
	}
}

// review is order/review.
func (s *Server) review(c *call) (any, error) {
	if err := s.tryIssue(c.ctx(), c.form[needsToken]); err != nil {
		return nil, err
	}
	var answer obj
	err := s.byToken(c, func(st *state, o *order) error {
		refresh(o, c.now, &st.Settings)
		answer = reviewed(o, &st.Settings)
		return s.addCertificates(c, st, o, answer)
	})
	return answer, err
}

// reviewed is what review tells of an order, certificates aside. Until the reseller has asked the CA, an order that was
// placed looks like one that was not.
//
// Unconfirmed: what review tells of an order between place and the next time the reseller asks the CA; the stand-in tells no more than before place.
func reviewed(o *order, settings *Settings) obj {
	answer := obj{
		"success": "Review Order", "order_status": knownStatus(o, settings), "order_state_further_info": o.Shown.Info, "reseller_order_id": o.ResellerID,
		"reseller_unique_reference": o.Reference, "st_product_code": o.Product, "server_count": o.Servers, "san_count": o.SANs,
		"end_customer_email": o.Email, "invite_url": reviewURL(o), "modifications": obj{"modification": many(modifications(o), settings.SingleObject)},
		"provider_order_id": "", "domain_name": "", "additional_sans": "", "dv_auth_method": "", "approver_email_address": "", "approver_notified_date": "",
	}
	values := dcvValues(&dcv{}, settings)
	if o.Shown.Placed {
		values = dcvValues(&o.Shown.DCV, settings)
		answer["provider_order_id"], answer["domain_name"] = o.ProviderID, o.commonName()
		answer["additional_sans"] = o.Fields["san_domains"]
		answer["dv_auth_method"] = methodName(o.Shown.DCV.Method, settings)
		answer["approver_email_address"] = o.Shown.DCV.Email
		if o.Shown.DCV.Method == methodEmail {
			answer["approver_notified_date"] = stamp(o.Placed)
		}
		answer["organisation_info"] = obj{
			"name": o.Fields["org_name"], "division": o.Fields["org_division"],
			"address": obj{"city": o.Fields["org_address_city"], "region": o.Fields["org_address_region"], "country": o.Fields["org_address_country"]},
		}
		answer["admin_contact"], answer["tech_contact"] = contact(o, "admin_contact_"), contact(o, "tech_contact_")
	}
	for key, value := range values {
		answer["dv_auth_"+key] = value
	}
	return emptied(answer, settings)
}

// knownStatus is the status of an order as far as the reseller knows.
func knownStatus(o *order, settings *Settings) string {
	switch {
	case o.Placed.IsZero():
		return o.status(settings)
	case !o.Shown.Placed:
		return statusPlaced
	default:
		return o.Shown.Status
	}
}

// known are the certificates that the reseller knows of, oldest first.
func known(o *order) []*certificate {
	list := o.issued()
	return slices.Clone(list[:min(o.Shown.Certificates, len(list))])
}

func contact(o *order, prefix string) obj {
	v := obj{}
	for _, name := range []string{"title", "first_name", "last_name", "phone", "email"} {
		v[name] = o.Fields[prefix+name]
	}
	return v
}

// methodName writes a method as the settings have it.
func methodName(method string, settings *Settings) string {
	if settings.MethodCase == "title" && method != "" {
		return method[:1] + strings.ToLower(method[1:])
	}
	return method
}

// modifications are what happened with an order, as far as the reseller knows.
//
// Unconfirmed: the names of events but "Order Completed".
func modifications(o *order) []obj {
	var list []obj
	for i, e := range o.Events[:min(len(o.Events), o.Shown.Events)] {
		list = append(list, obj{"timestamp": stamp(e.Time), "event_id": strconv.Itoa(i + 1), "event_name": e.Name})
	}
	return list
}

// addCertificates adds the certificates that the reseller knows of, newest first.
//
// Unconfirmed: the order of certificate_list, and that it has those before a reissue.
func (s *Server) addCertificates(c *call, st *state, o *order, answer obj) error {
	settings := &st.Settings
	list := known(o)
	if sandbox.Told(c.ctx()) == sandbox.OtherCertificate && len(list) > 0 {
		list = []*certificate{st.otherThan(o)}
	}
	slices.Reverse(list)
	if settings.StrayCertificate && len(list) > 0 {
		stray, err := s.stray(st, list[0])
		if err != nil {
			return err
		}
		list = append([]*certificate{stray}, list...)
	}
	switch {
	case o.Shown.Status == statusCancelled || len(list) == 0:
		switch {
		case settings.Layout == "flat" || settings.NoCertificates == "missing":
		case settings.NoCertificates == "null":
			answer["certificate_list"] = nil
		default:
			answer["certificate_list"] = []obj{}
		}
	case settings.Layout == "flat":
		addFlat(st, list, answer)
	default:
		answer["certificate_list"] = many(listed(st, o, list), settings.SingleObject)
	}
	return nil
}

// listed are certificates as certificate_list has them.
func listed(st *state, o *order, list []*certificate) []obj {
	var views []obj
	for _, cert := range list {
		view := obj{"expiration_date": nil, st.Settings.CertificateKey: encodePEM("CERTIFICATE", cert.DER)}
		switch st.Settings.Expiration {
		case "certificate":
			view["expiration_date"] = stamp(cert.NotAfter)
		case "order":
			view["expiration_date"] = stamp(o.Until)
		}
		if !st.Settings.NoIssuers {
			view["ca_certs"] = obj{"certificate_info": many(issuersOf(st, cert)[:1], st.Settings.SingleObject)}
		}
		views = append(views, view)
	}
	return views
}

// addFlat adds certificates in the layout before 2021: the first one of the order, and reissued ones in a list.
func addFlat(st *state, list []*certificate, answer obj) {
	first := list[len(list)-1]
	answer["certificate"], answer["expiry_date"] = encodePEM("CERTIFICATE", first.DER), stamp(first.NotAfter)
	chain := [][]byte{first.DER}
	if !st.Settings.NoIssuers {
		answer["ca_certs"] = obj{"certificate_info": issuersOf(st, first)}
		chain = append(chain, st.Authority.Named(first.Issuer).Cert.Raw)
	}
	if bundle, err := bundle(chain); err == nil {
		answer["pkcs7"] = encodePEM("PKCS7", bundle)
	}
	var again []obj
	for _, cert := range list[:len(list)-1] {
		again = append(again, obj{"hash": "SHA2-256", "encryption": "RSA", "certificate": encodePEM("CERTIFICATE", cert.DER)})
	}
	if len(again) > 0 {
		answer["reissued_certificates"] = obj{"certificate_info": many(again, st.Settings.SingleObject)}
	}
}

// issuersOf are the issuing CA and the root of a certificate.
func issuersOf(st *state, cert *certificate) []obj {
	i := st.Authority.Named(cert.Issuer)
	return []obj{
		{"type": "INTERMEDIATE", "certificate": encodePEM("CERTIFICATE", i.Cert.Raw)},
		{"type": "ROOT", "certificate": encodePEM("CERTIFICATE", i.Root.Raw)},
	}
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// otherThan is a certificate that was not asked for: another order's if there is one.
func (st *state) otherThan(o *order) *certificate {
	for _, other := range st.Orders {
		if list := other.issued(); other != o && len(list) > 0 {
			return list[0]
		}
	}
	return o.issued()[0]
}

// stray is a certificate of the same names for another key.
func (s *Server) stray(st *state, like *certificate) (*certificate, error) {
	r, err := makeCSR(like.Names[0])
	if err != nil {
		return nil, err
	}
	signed, err := st.Authority.Named(like.Issuer).Issue(sandbox.Leaf{
		PublicKey: r.csr.PublicKey, CommonName: like.Names[0], Names: like.Secured, NotBefore: like.Issued.Truncate(time.Second), NotAfter: like.NotAfter,
	})
	if err != nil {
		return nil, fmt.Errorf("sign a stray certificate: %w", err)
	}
	return &certificate{Names: like.Names, DER: signed.Raw, NotAfter: signed.NotAfter, Issuer: like.Issuer, Issued: like.Issued}, nil
}
