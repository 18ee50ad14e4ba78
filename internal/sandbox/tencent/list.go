package tencent

import (
	"slices"
	"strings"
	"time"
)

const (
	usualPage = 10
	mostPage  = 1000
	// expiringDays is how long before its end a certificate counts as expiring.
	expiringDays = 30
)

// listBody is what DescribeCertificates asks for.
type listBody struct {
	Offset            int64    `json:"Offset"`
	Limit             *int64   `json:"Limit"`
	SearchKey         string   `json:"SearchKey"`
	CertificateType   string   `json:"CertificateType"`
	ProjectID         *int64   `json:"ProjectId"`
	ExpirationSort    string   `json:"ExpirationSort"`
	CertificateStatus []int    `json:"CertificateStatus"`
	Deployable        *int64   `json:"Deployable"`
	Upload            int64    `json:"Upload"`
	Renew             int64    `json:"Renew"`
	FilterSource      string   `json:"FilterSource"`
	IsSM              int64    `json:"IsSM"`
	FilterExpiring    int64    `json:"FilterExpiring"`
	Hostable          *int64   `json:"Hostable"`
	IsPendingIssue    int64    `json:"IsPendingIssue"`
	Tags              []tag    `json:"Tags"`
	CertIDs           []string `json:"CertIds"`
	ServiceID         string   `json:"ServiceId"`
}

// describeCertificates lists, newest first unless it is told otherwise.
func (s *Server) describeCertificates(c *call) (obj, error) {
	b := listBody{}
	if err := c.decode(&b); err != nil {
		return nil, err
	}
	if err := s.settle(c); err != nil {
		return nil, err
	}
	limit := int64(usualPage)
	if b.Limit != nil {
		if limit = min(*b.Limit, mostPage); limit < *b.Limit {
			c.remark("Limit is capped at %d", mostPage)
		}
	}
	list := []obj{}
	total := 0
	err := s.Read(func(st *state) error {
		var chosen []*certificate
		for _, cert := range st.Certificates {
			if s.chosen(cert, b, c.now) {
				chosen = append(chosen, cert)
			}
		}
		sortList(chosen, b.ExpirationSort)
		total = len(chosen)
		part := chosen[min(b.Offset, int64(total)):]
		for _, cert := range part[:min(limit, int64(len(part)))] {
			list = append(list, s.entryView(cert, c.now))
		}
		return nil
	})
	if b.Limit == nil && total > usualPage {
		c.remark("Limit is left out: a page has %d certificates, and there are %d", usualPage, total)
	}
	return obj{"TotalCount": total, "Certificates": list}, err
}

func sortList(list []*certificate, byExpiry string) {
	slices.Reverse(list) // newest first
	switch byExpiry {
	case "ASC":
		slices.SortStableFunc(list, func(a, b *certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	case "DESC":
		slices.SortStableFunc(list, func(a, b *certificate) int { return b.NotAfter.Compare(a.NotAfter) })
	}
}

// chosen reports whether a certificate is asked for. The lock is held.
//
// Unconfirmed: whether several tags must all fit; in the stand-in they must.
func (s *Server) chosen(cert *certificate, b listBody, now time.Time) bool {
	status := s.visible(cert, now)
	tagsSeen := !now.Before(cert.Created.Add(time.Duration(s.Account.Settings.TagsAfter)))
	fuzzy := strings.ToLower(strings.Join(append([]string{cert.ID, cert.Alias}, cert.names()...), " "))
	switch {
	case s.found(cert.ID, now) == nil,
		b.SearchKey != "" && !strings.Contains(fuzzy, strings.ToLower(b.SearchKey)),
		b.CertificateType == "CA",
		b.ProjectID != nil && *b.ProjectID != 0,
		len(b.CertificateStatus) > 0 && !slices.Contains(b.CertificateStatus, status),
		b.Deployable != nil && (*b.Deployable == 1) != (status == statusIssued),
		b.Upload == 1 && cert.Source != sourceUpload,
		b.FilterSource != "" && b.FilterSource != cert.Source,
		b.Renew == 1 && (status != statusIssued || cert.Source != sourceBuy),
		b.IsSM == 1,
		b.FilterExpiring == 1 && !s.expiring(cert, now),
		b.Hostable != nil && *b.Hostable == 1,
		b.IsPendingIssue == 1 && !cert.pending(),
		len(b.CertIDs) > 0 && !slices.Contains(b.CertIDs, cert.ID),
		b.ServiceID != "":
		return false
	}
	return !slices.ContainsFunc(b.Tags, func(t tag) bool { return !tagsSeen || !slices.Contains(cert.Tags, t) })
}

func (s *Server) expiring(cert *certificate, now time.Time) bool {
	return cert.Status == statusIssued && now.After(cert.NotAfter.Add(-expiringDays*s.days.day))
}

// entryView is an entry of the list.
func (s *Server) entryView(cert *certificate, now time.Time) obj {
	v := s.basics(cert, now)
	p, _ := productByID(cert.Product)
	v["ProjectInfo"] = obj{"ProjectId": projectID, "ProjectName": "Default", "OwnerUin": ownerNumber}
	v["PreAuditInfo"] = obj{"TotalPeriod": cert.Years, "NowPeriod": 1, "ManagerId": nil}
	v["AutoRenewFlag"] = boolInt(cert.Materials != nil && cert.Materials.AutoRenew)
	v["HostingStatus"], v["HasRenewOrder"] = nil, orNil(cert.Renewal)
	v["IsExpiring"] = s.expiring(cert, now)
	v["DVAuthDeadline"], v["ValidationPassedTime"] = nil, "--"
	if s.dcvVisible(cert, now) {
		v["DVAuthDeadline"] = timeText(cert.DCV.Deadline)
	}
	if !cert.DCV.Passed.IsZero() {
		v["ValidationPassedTime"] = timeText(cert.DCV.Passed)
	}
	v["CertSANs"], v["AwaitingValidationMsg"], v["AllowDownload"] = append([]string{}, cert.names()...), nil, true
	v["IsDNSPODResolve"], v["IsPackage"], v["KeyPasswordCustomFlag"], v["IsSM"], v["IsIgnore"] = false, false, false, false, false
	key := cert.Materials != nil && cert.Materials.Generated
	v["SupportDownloadType"] = obj{"NGINX": true, "APACHE": true, "TOMCAT": key, "IIS": key, "JKS": key, "OTHER": true, "ROOT": true}
	v["CertRevokedTime"] = timeText(cert.Revoked)
	v["BoundResource"] = []string{}
	if s.Account.Site == Mainland {
		v["ServiceId"], v["ServiceStatus"] = nil, nil
		v["CertServiceBeginTime"], v["CertServiceEndTime"] = timeText(cert.Issued), timeText(cert.Ends)
		v["CertType"] = p.Validation
	}
	return v
}
