package tencent

import (
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strconv"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

const (
	// ownerUin is the number of the account, which the project alone has as a number.
	ownerUin    = "100000000001"
	ownerNumber = 100000000001
	projectID   = "0"
)

// settle does what has become due, also for certificates that wait for nothing but the CA's own time.
func (s *Server) settle(c *call) error {
	var ready []string
	if err := s.Change(c.now, func(st *state) error {
		for _, cert := range st.Certificates {
			if s.ready(cert, c.now) {
				ready = append(ready, cert.ID)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for _, id := range ready {
		if err := s.tryIssue(c.ctx(), id); err != nil {
			return err
		}
	}
	return nil
}

// describeCertificate tells of one certificate, without its PEM.
func (s *Server) describeCertificate(c *call) (obj, error) {
	return s.described(c, func(cert *certificate) obj {
		v := s.basics(cert, c.now)
		v["DvAuthDetail"], v["DvRevokeAuthDetail"] = s.authDetail(cert, c.now), s.revokeDetail(cert)
		v["OrderId"], v["SubmittedData"] = orNil(s.orderID(cert, c.now)), submittedData(cert)
		return v
	})
}

// describeCertificateDetail tells all of one certificate.
func (s *Server) describeCertificateDetail(c *call) (obj, error) {
	other := sandbox.Told(c.ctx()) == sandbox.OtherCertificate
	return s.described(c, func(cert *certificate) obj {
		v := s.basics(cert, c.now)
		v["DvAuthDetail"], v["DvRevokeAuthDetail"] = s.authDetail(cert, c.now), s.revokeDetail(cert)
		v["OrderId"], v["SubmittedData"] = orNil(s.orderID(cert, c.now)), submittedData(cert)
		// Here, and only here, the list of names is without the main one.
		if names := cert.names(); len(names) > 0 {
			v["SubjectAltName"] = append([]string{}, names[1:]...)
		}
		v["CertificatePublicKey"], v["CertificatePrivateKey"], v["EncryptCert"], v["EncryptPrivateKey"], v["EncryptCertFingerprint"] = nil, nil, nil, nil, nil
		v["RootCert"], v["CertFingerprint"], v["CertChainInfo"], v["EncryptAlgorithm"] = nil, nil, nil, nil
		if cert.Materials != nil && len(cert.Materials.Key) > 0 {
			v["CertificatePrivateKey"] = string(cert.Materials.Key)
		}
		if len(cert.DER) > 0 && s.handsOut(cert) {
			shown := cert
			if other {
				shown = s.otherThan(cert)
			}
			s.addPEM(v, shown)
		}
		if s.Account.Site == Mainland {
			p, _ := productByID(cert.Product)
			v["CertType"], v["UseCrossSignRoot"], v["HostingStatus"] = p.Validation, false, nil
			v["DomainType"] = 1 + boolInt(p.Multi) + 2*boolInt(p.Wildcard)
		}
		return v
	})
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (s *Server) described(c *call, view func(cert *certificate) obj) (obj, error) {
	if err := s.settle(c); err != nil {
		return nil, err
	}
	var v obj
	err := s.Read(func(*state) error {
		cert, err := s.mine(c, c.text("CertificateId"))
		if err == nil {
			v = view(cert)
		}
		return err
	})
	return v, err
}

// names are those of the certificate, or those that were asked for.
func (c *certificate) names() []string {
	switch {
	case len(c.AllNames) > 0:
		return c.AllNames
	case c.Materials != nil:
		return c.Materials.names()
	default:
		return nil
	}
}

// basics are the fields that all descriptions have. The lock is held.
func (s *Server) basics(cert *certificate, now time.Time) obj {
	p, _ := productByID(cert.Product)
	status := s.visible(cert, now)
	v := obj{
		"OwnerUin": ownerUin, "ProjectId": projectID, "From": cert.Source, "CertificateType": "SVR", "PackageType": strconv.FormatInt(cert.Product, 10),
		"ProductZhName": p.name(), "PackageTypeName": p.name(), "TypeName": p.name(), "Domain": orNil(cert.domain()), "Alias": cert.Alias,
		"Status": status, "StatusMsg": orNil(cert.Message), "StatusName": statusName(status), "VerifyType": orNil(cert.method()),
		"CertBeginTime": timeText(cert.NotBefore), "CertEndTime": timeText(cert.NotAfter), "ValidityPeriod": s.months(cert),
		"InsertTime": timeText(cert.Created), "CertificateExtra": s.extra(cert), "CertificateId": cert.ID, "SubjectAltName": nil,
		"IsVip": cert.Source == sourceBuy, "IsWildcard": p.Wildcard, "IsDv": p.Validation == typeDV, "IsVulnerability": false,
		"VulnerabilityStatus": nil, "RenewAble": status == statusIssued && cert.Source == sourceBuy, "Deployable": status == statusIssued,
		"Tags": append([]tag{}, cert.Tags...),
	}
	if status == statusPaid {
		v["StatusMsg"] = nil
	}
	if now.Before(cert.Created.Add(time.Duration(s.Account.Settings.TagsAfter))) {
		v["Tags"] = []tag{}
	}
	if names := cert.names(); len(names) > 0 {
		v["SubjectAltName"] = names
	}
	return v
}

// method is the way of domain control that was asked for.
func (c *certificate) method() string {
	if c.DCV.Method == "" && c.Materials != nil {
		return c.Materials.VerifyType
	}
	return c.DCV.Method
}

// months is ValidityPeriod: text, in months.
func (s *Server) months(cert *certificate) string {
	if cert.NotAfter.IsZero() {
		return strconv.FormatInt(12*cert.Years, 10)
	}
	days := int64(cert.NotAfter.Sub(cert.NotBefore) / s.days.day)
	return strconv.FormatInt((days+15)/30, 10)
}

func (s *Server) extra(cert *certificate) obj {
	v := obj{
		"DomainNumber": strconv.FormatInt(cert.Names, 10), "OriginCertificateId": orNil(cert.Renews), "ReplacedBy": nil, "ReplacedFor": nil,
		"RenewOrder": orNil(cert.Renewal), "SMCert": 0, "CompanyType": nil,
	}
	if cert.Materials != nil {
		v["CompanyType"] = cert.Materials.CompanyType
	}
	original, reissue := "ReplacedBy", "ReplacedFor"
	if s.Account.Settings.ReplaceLinks == LinksByName {
		original, reissue = reissue, original
	}
	if cert.Replaces != "" {
		v[original] = cert.Replaces
	}
	if cert.Replaced != "" {
		v[reissue] = cert.Replaced
	}
	return v
}

// submittedData are the materials until the certificate is issued.
func submittedData(cert *certificate) any {
	m := cert.Materials
	if m == nil || !cert.Issued.IsZero() {
		return nil
	}
	kind := csrParse
	if m.Generated {
		kind = csrOnline
	}
	return obj{
		"CsrType": kind, "CsrContent": m.CSR, "CertificateDomain": m.CommonName, "DomainList": append([]string{}, m.DNSNames...), "KeyPassword": "",
		"OrganizationName": m.Submitted["OrgOrganization"], "OrganizationDivision": m.Submitted["OrgDivision"],
		"OrganizationAddress": m.Submitted["OrgAddress"], "OrganizationCountry": m.Submitted["OrgCountry"], "OrganizationCity": m.Submitted["OrgCity"],
		"OrganizationRegion": m.Submitted["OrgRegion"], "PostalCode": "", "PhoneAreaCode": m.Submitted["OrgPhoneArea"],
		"PhoneNumber": m.Submitted["OrgPhoneNumber"], "AdminFirstName": m.Submitted["AdminFirstName"], "AdminLastName": m.Submitted["AdminLastName"],
		"AdminPhoneNum": m.Submitted["AdminPhone"], "AdminEmail": m.Submitted["AdminEmail"], "AdminPosition": m.Submitted["AdminTitle"],
		"ContactFirstName": m.Submitted["TechFirstName"], "ContactLastName": m.Submitted["TechLastName"], "ContactNumber": m.Submitted["TechPhone"],
		"ContactEmail": m.Submitted["TechEmail"], "ContactPosition": m.Submitted["TechTitle"], "VerifyType": m.VerifyType,
	}
}

// dcvVisible reports whether an order shows already what must be published.
func (s *Server) dcvVisible(cert *certificate, now time.Time) bool {
	return cert.pending() && len(cert.DCV.Auths) > 0 && !s.onTheWay(cert, now) &&
		!now.Before(cert.Submitted.Add(time.Duration(s.Account.Settings.DCVDataAfter)))
}

// authDetail is DvAuthDetail, nil where nothing must be published. Where a name held from an earlier order, it is left out.
func (s *Server) authDetail(cert *certificate, now time.Time) any {
	if !s.dcvVisible(cert, now) {
		return nil
	}
	list := []obj{}
	for _, a := range cert.DCV.Auths {
		if !a.Shown.Equal(cert.Submitted) {
			list = append(list, s.authView(a))
		}
	}
	if len(list) == 0 {
		return nil
	}
	first := list[0]
	return obj{
		"DvAuthKey": first["DvAuthKey"], "DvAuthValue": first["DvAuthValue"], "DvAuthDomain": first["DvAuthDomain"],
		"DvAuthPath": first["DvAuthPath"], "DvAuthKeySubDomain": first["DvAuthSubDomain"], "DvAuths": list,
	}
}

// authView is one entry of DvAuths.
//
// Unconfirmed: whether there is a field Domain with the full host, and whether the path ends with the file's name; the
// stand-in has neither, unless Settings say so.
func (s *Server) authView(a auth) obj {
	v := obj{
		"DvAuthKey": a.Key, "DvAuthValue": a.Value, "DvAuthDomain": a.Domain, "DvAuthPath": "", "DvAuthSubDomain": a.Sub, "DvAuthVerifyType": a.Kind,
	}
	if a.Kind == kindFile {
		v["DvAuthPath"] = filePath
		if s.Account.Settings.PathWithFile {
			v["DvAuthPath"] = filePath + a.Key
		}
	}
	if s.Account.Settings.HostInAuths {
		v["Domain"] = sandbox.Bare(a.Name)
	}
	return v
}

func (s *Server) revokeDetail(cert *certificate) any {
	if cert.Status != statusRevoking || len(cert.Revocation) == 0 {
		return nil
	}
	list := []obj{}
	for _, a := range cert.Revocation {
		list = append(list, s.authView(a))
	}
	return list
}

// handsOut reports whether a certificate can still be fetched.
func (s *Server) handsOut(cert *certificate) bool {
	return len(cert.DER) > 0 && slices.Contains([]int{statusIssued, statusRevoking, statusReissuing, statusRevokeLetter}, cert.Status)
}

// otherThan is a certificate that was not asked for: another one of the account if there is one.
func (s *Server) otherThan(cert *certificate) *certificate {
	for _, other := range s.Account.Certificates {
		if other.ID != cert.ID && len(other.DER) > 0 {
			return other
		}
	}
	return cert
}

// addPEM adds what there is of an issued certificate.
func (s *Server) addPEM(v obj, cert *certificate) {
	issuer := s.Account.Authority.Issuer(cert.Issuer)
	leaf, err := x509.ParseCertificate(cert.DER)
	if err != nil || issuer == nil {
		return // an uploaded one
	}
	text := encodePEM(pemCertificate, cert.DER)
	if s.Account.Settings.DetailPEM == ChainInDetail {
		text += encodePEM(pemCertificate, issuer.Cert.Raw)
	}
	v["CertificatePublicKey"], v["CertFingerprint"], v["EncryptAlgorithm"] = text, sandbox.Thumbprint(cert.DER), keyAlgorithm(leaf.PublicKey)
	v["RootCert"] = obj{"Standard": string(pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: issuer.Root.Raw})), "Sign": "", "Encrypt": ""}
	infos := []obj{}
	for _, c := range []*x509.Certificate{leaf, issuer.Cert} {
		infos = append(infos, obj{
			"Issuer": c.Issuer.CommonName, "Subject": c.Subject.CommonName, "Fingerprint": sandbox.Thumbprint(c.Raw),
			"ValidFrom": timeText(c.NotBefore), "ValidTo": timeText(c.NotAfter),
		})
	}
	v["CertChainInfo"] = infos
}
