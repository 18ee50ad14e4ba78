package tencent

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
)

const (
	leastLetter = 1 << 10
	mostLetter  = 1468006 // 1.4 MB
)

// uploadConfirmLetter brings the letter that an order waits for.
//
// Unconfirmed: that the order then goes on without a person of the CA; the code for a letter that cannot be used.
func (s *Server) uploadConfirmLetter(c *call) (obj, error) {
	id := c.text("CertificateId")
	letter, err := base64.StdEncoding.DecodeString(c.text("ConfirmLetter"))
	kinds := []string{"image/jpeg", "image/png", "application/pdf"}
	if err != nil || len(letter) < leastLetter || len(letter) > mostLetter || !slices.Contains(kinds, http.DetectContentType(letter)) {
		return nil, fail(failedParam, "ConfirmLetter must be the base64 of a jpg, png or pdf of 1 KB to 1.4 MB.")
	}
	if err := s.Change(c.now, func(*state) error {
		cert, err := s.mine(c, id)
		if err != nil {
			return err
		}
		if cert.Status != statusLetter {
			return fail(failedStatus, "The certificate status %d is incorrect.", s.visible(cert, c.now))
		}
		cert.reviewed()
		return nil
	}); err != nil {
		return nil, err
	}
	return obj{"CertificateId": id, "IsSuccess": true}, s.tryIssue(c.ctx(), id)
}

// reviewed ends what people had to do.
func (c *certificate) reviewed() {
	c.Letter, c.Held = false, false
	if c.Status == statusLetter {
		c.Status, c.Message = statusReview, messageReview
	}
}

// pageBody is a part of a list.
type pageBody struct {
	Offset    int64  `json:"Offset"`
	Limit     *int64 `json:"Limit"`
	CompanyID int64  `json:"CompanyId"`
	Name      string `json:"ManagerName"`
	Mail      string `json:"ManagerMail"`
	Status    string `json:"Status"`
	SearchKey string `json:"SearchKey"`
}

func (p pageBody) of(list []obj) []obj {
	limit := int64(usualPage)
	if p.Limit != nil {
		limit = *p.Limit
	}
	part := list[min(p.Offset, int64(len(list))):]
	return append([]obj{}, part[:min(limit, int64(len(part)))]...)
}

// describeCompanies lists the companies that the account has stored.
func (s *Server) describeCompanies(c *call) (obj, error) {
	var b pageBody
	if err := c.decode(&b); err != nil {
		return nil, err
	}
	list := []obj{}
	err := s.Read(func(st *state) error {
		for _, have := range st.Companies {
			if b.CompanyID == 0 || b.CompanyID == have.ID {
				list = append(list, obj{
					"CompanyName": have.Name, "CompanyId": have.ID, "CompanyCountry": have.Country, "CompanyProvince": "", "CompanyCity": "",
					"CompanyAddress": "1 Example Street", "CompanyPhone": "65-60000000", "IdType": nil, "IdNumber": nil, "Tags": nil,
				})
			}
		}
		return nil
	})
	return obj{"Companies": b.of(list), "TotalCount": len(list)}, err
}

// describeManagers lists the people who may apply for a company.
func (s *Server) describeManagers(c *call) (obj, error) {
	var b pageBody
	if err := c.decode(&b); err != nil {
		return nil, err
	}
	list := []obj{}
	err := s.Read(func(st *state) error {
		for _, m := range st.Managers {
			texts := strings.ToLower(m.First + " " + m.Last + " " + m.Email)
			if m.Company != b.CompanyID || !strings.Contains(texts, strings.ToLower(b.SearchKey)) || !strings.Contains(m.Email, b.Mail) ||
				b.Status != "" && !slices.Contains(strings.Split(b.Status, ","), m.Status) {
				continue
			}
			list = append(list, obj{
				"Status": m.Status, "ManagerFirstName": m.First, "ManagerLastName": m.Last, "ManagerPosition": "IT manager",
				"ManagerPhone": "65-60000001", "ManagerMail": m.Email, "ManagerDepartment": "IT", "CreateTime": "2026-01-05 10:00:00", "DomainCount": 0,
				"CertCount": 0, "ManagerId": m.ID, "ExpireTime": nil, "SubmitAuditTime": nil, "VerifyTime": nil, "StatusInfo": nil, "Tags": nil,
			})
		}
		return nil
	})
	return obj{"Managers": b.of(list), "TotalCount": len(list)}, err
}
