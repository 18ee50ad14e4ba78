package sslapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// call makes the call of an action: all of them are a POST to one address. Each action has a limit of its own.
func call(action string, body []byte) restca.Call {
	return restca.Call{Method: http.MethodPost, Header: header(action), Body: body, Group: action}
}

// inside reads what stands in the envelope of an answer.
func inside(body []byte, into any) error {
	var in struct {
		Response json.RawMessage `json:"Response"`
	}
	if err := restca.Decode(body, &in); err != nil {
		return err
	}
	if len(in.Response) == 0 || in.Response[0] != '{' {
		return restca.NewGarbage("without a Response", body)
	}
	return restca.Decode(in.Response, into)
}

func into(v any) func(restca.Answer) error {
	return func(a restca.Answer) error { return inside(a.Body, v) }
}

// read makes a call that changes nothing.
func (c *Client) read(ctx context.Context, action string, body any, parse func(restca.Answer) error) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode the request: %w", err)
	}
	return c.rest.Read(ctx, call(action, text), parse)
}

// write makes a call that changes something and is safe to repeat. An answer without the envelope is no success.
func (c *Client) write(ctx context.Context, action string, body any, v any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode the request: %w", err)
	}
	return c.rest.Do(ctx, call(action, text), into(v))
}

// once makes a call that must not be sent twice: on a connection of its own, and never again by any layer below.
func (c *Client) once(ctx context.Context, action string, body []byte, parse func(restca.Answer) error) error {
	k := call(action, body)
	k.Once = true
	return c.rest.Do(ctx, k, parse)
}

// Buy buys a certificate: CreateCertificate, the call that spends money. FailOnce tells what its failure means.
func (c *Client) Buy(ctx context.Context, body []byte) (Bought, error) {
	var b Bought
	err := c.once(ctx, "CreateCertificate", body, func(a restca.Answer) error {
		if err := inside(a.Body, &b); err != nil {
			return err
		}
		if len(b.IDs) == 0 {
			return restca.NewGarbage("without the id of a certificate", a.Body)
		}
		return validIDs(b.IDs)
	})
	if err != nil {
		return Bought{}, err
	}
	return b, nil
}

func validIDs(ids []Text) error {
	for _, id := range ids {
		if !ValidID(string(id)) {
			return restca.NewGarbage("about a certificate whose id is none", []byte(id))
		}
	}
	return nil
}

// SubmitInfo hands in the materials of a certificate: CertificateInfoSubmit. It is safe to repeat while the certificate
// waits for them.
// secrets are those of the materials, which no message repeats.
// (Not confirmed by Tencent's pages: that later materials take the place of earlier ones.)
func (c *Client) SubmitInfo(ctx context.Context, body []byte, secrets []pluginapi.Secret) error {
	k := call("CertificateInfoSubmit", body)
	k.Secrets = secrets
	return c.rest.Do(ctx, k, into(&struct{}{}))
}

// SubmitOrder sends an order to the CA: CertificateOrderSubmit. The status is to be read before it is sent again.
func (c *Client) SubmitOrder(ctx context.Context, body []byte) (Submitted, error) {
	var s Submitted
	err := c.once(ctx, "CertificateOrderSubmit", body, into(&s))
	return s, err
}

// Replace asks for a reissue: ReplaceCertificate, and returns the id of the new certificate. FailOnce tells what its
// failure means.
func (c *Client) Replace(ctx context.Context, body []byte) (string, error) {
	var in struct {
		ID Text `json:"CertificateId"`
	}
	err := c.once(ctx, "ReplaceCertificate", body, func(a restca.Answer) error {
		if err := inside(a.Body, &in); err != nil {
			return err
		}
		return validIDs([]Text{in.ID})
	})
	return string(in.ID), err
}

type certificateID struct {
	ID string `json:"CertificateId"`
}

// Certificate reads one certificate: DescribeCertificateDetail.
func (c *Client) Certificate(ctx context.Context, id string) (Certificate, error) {
	var out Certificate
	err := c.read(ctx, "DescribeCertificateDetail", certificateID{id}, func(a restca.Answer) error {
		out = Certificate{}
		if err := inside(a.Body, &out); err != nil {
			return err
		}
		switch {
		case string(out.ID) != id:
			return &restca.Garbage{What: fmt.Sprintf("about certificate %q instead of %q", out.ID, id)}
		case out.Stands() == UnknownStatus:
			return &restca.Garbage{What: "a certificate without a status"}
		}
		return nil
	})
	return out, err
}

// Filter says which certificates List lists.
type Filter struct {
	// SearchKey is part of an id, an alias or a domain.
	SearchKey    string        `json:"SearchKey,omitempty"`
	FilterSource string        `json:"FilterSource,omitempty"`
	Tags         []TagToSearch `json:"Tags,omitempty"`
	// IDs are the certificates to list.
	IDs []string `json:"CertIds,omitempty"`
}

// Purchases is the FilterSource of certificates that were bought.
const Purchases = "buy"

// TagToSearch is a tag that the certificates have.
type TagToSearch struct {
	Key   string `json:"TagKey"`
	Value string `json:"TagValue"`
}

// listPage is how many certificates one answer lists; the API's own default is 10.
const listPage = 200

// List reads a part of the list of certificates, the newest first, and reports whether there is more. An answer that
// leaves it open how many there are is an error, for something may be bought on the strength of it.
func (c *Client) List(ctx context.Context, f Filter, offset int) ([]Certificate, bool, error) {
	body := struct {
		Filter
		Offset int `json:"Offset"`
		Limit  int `json:"Limit"`
	}{f, offset, listPage}
	var in struct {
		Total *ID               `json:"TotalCount"`
		List  List[Certificate] `json:"Certificates"`
	}
	err := c.read(ctx, "DescribeCertificates", body, func(a restca.Answer) error {
		in.Total, in.List = nil, nil
		if err := inside(a.Body, &in); err != nil {
			return err
		}
		switch {
		case in.Total == nil:
			return restca.NewGarbage("a list that does not say how much there is", a.Body)
		case len(in.List) == 0 && offset < int(*in.Total):
			return restca.NewGarbage("a list that holds less than it says", a.Body)
		}
		for _, l := range in.List {
			if !ValidID(string(l.ID)) {
				return &restca.Garbage{What: "a list with a certificate that has no id"}
			}
		}
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	return in.List, offset+len(in.List) < int(*in.Total), nil
}

// Verify has Tencent look at what is published for a certificate, and says what was seen of each name:
// CheckCertificateDomainVerification. Asked more often than about once a minute it repeats what it said before.
func (c *Client) Verify(ctx context.Context, id string) ([]Verification, error) {
	var in struct {
		Results List[Verification] `json:"VerificationResults"`
	}
	err := c.read(ctx, "CheckCertificateDomainVerification", certificateID{id}, func(a restca.Answer) error {
		in.Results = nil
		return inside(a.Body, &in)
	})
	return in.Results, err
}

// Resubmit puts a paid certificate that failed or was canceled back to where it waits for materials:
// ModifyCertificateResubmit.
func (c *Client) Resubmit(ctx context.Context, id string) error {
	return c.write(ctx, "ModifyCertificateResubmit", certificateID{id}, &struct{}{})
}

// Cancel cancels a paid order that has no certificate: CancelCertificateOrder.
func (c *Client) Cancel(ctx context.Context, id string) error {
	return c.write(ctx, "CancelCertificateOrder", certificateID{id}, &struct{}{})
}

// Withdraw takes a certificate out of the review: CancelAuditCertificate. It fails where the answer is no.
func (c *Client) Withdraw(ctx context.Context, id string) (bool, error) {
	var in struct {
		Result Flag `json:"Result"`
	}
	err := c.write(ctx, "CancelAuditCertificate", certificateID{id}, &in)
	return bool(in.Result), err
}

// Revoke asks for a certificate to be revoked: RevokeCertificate. It returns what must be shown first.
func (c *Client) Revoke(ctx context.Context, id, reason string) ([]Proof, error) {
	var in struct {
		Proofs List[Proof] `json:"RevokeDomainValidateAuths"`
	}
	err := c.write(ctx, "RevokeCertificate", map[string]string{"CertificateId": id, "Reason": reason}, &in)
	return in.Proofs, err
}

// Company reports whether the account has a company.
// (Not confirmed by Tencent's pages: that the count is of the companies with this id.)
func (c *Client) Company(ctx context.Context, id int64) (bool, error) {
	var in struct {
		Total *ID `json:"TotalCount"`
	}
	err := c.read(ctx, "DescribeCompanies", map[string]any{"CompanyId": id, "Limit": listPage}, into(&in))
	return in.Total == nil || *in.Total > 0, err
}

// Managers are the people who answer for a company.
func (c *Client) Managers(ctx context.Context, company int64) ([]Manager, error) {
	var in struct {
		List List[Manager] `json:"Managers"`
	}
	err := c.read(ctx, "DescribeManagers", map[string]any{"CompanyId": company, "Limit": listPage}, into(&in))
	return in.List, err
}
