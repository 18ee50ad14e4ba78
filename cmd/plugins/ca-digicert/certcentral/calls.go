package certcentral

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// get reads one JSON object.
func (c *Client) get(ctx context.Context, path string, query url.Values, into any) error {
	return c.rest.Read(ctx, restca.Call{Path: path, Query: query}, func(a restca.Answer) error { return restca.Decode(a.Body, into) })
}

// put makes a call that is safe to repeat. An empty answer leaves into as it is; any other must be of the API's form, or
// a gateway's page would count as done.
func (c *Client) put(ctx context.Context, path string, body, into any) (status int, err error) {
	k := restca.Call{Method: http.MethodPut, Path: path}
	if body != nil {
		if k.Body, err = json.Marshal(body); err != nil {
			return 0, fmt.Errorf("encode the request: %w", err)
		}
	}
	if into == nil {
		into = &struct{}{}
	}
	err = c.rest.Do(ctx, k, func(a restca.Answer) error {
		status = a.Status
		if len(bytes.TrimSpace(a.Body)) == 0 {
			return nil
		}
		return restca.Decode(a.Body, into)
	})
	return status, err
}

// Place sends an order: the call that spends money. path is below the base URL. It goes out once, on a connection of
// its own; restca.FailOnce tells what its failure means.
func (c *Client) Place(ctx context.Context, path string, body []byte) (Placed, error) {
	var p Placed
	err := c.rest.Do(ctx, restca.Call{Method: http.MethodPost, Path: path, Body: body, Once: true}, func(a restca.Answer) error {
		if err := restca.Decode(a.Body, &p); err != nil {
			return err
		}
		if p.ID == 0 {
			return restca.NewGarbage("without an order id", a.Body)
		}
		return nil
	})
	if err != nil {
		return Placed{}, err
	}
	return p, nil
}

// Reissue asks for another certificate of an order. It goes out once, as Place does.
func (c *Client) Reissue(ctx context.Context, order ID, body []byte) (Placed, error) {
	p, err := c.Place(ctx, restca.Path("order", "certificate", order.String(), "reissue"), body)
	if err == nil && p.ID != order {
		return Placed{}, &restca.Garbage{What: fmt.Sprintf("about order %s instead of %s", p.ID, order)}
	}
	return p, err
}

// Order reads an order.
func (c *Client) Order(ctx context.Context, id ID) (Order, error) {
	o, err := c.OrderOf(ctx, id.String())
	if err == nil && o.ID != id {
		return Order{}, &restca.Garbage{What: fmt.Sprintf("about order %s instead of %s", o.ID, id)}
	}
	return o, err
}

// OrderOf reads an order by the serial number or thumbprint of its primary certificate, or by its id.
func (c *Client) OrderOf(ctx context.Context, name string) (Order, error) {
	var o Order
	if err := c.get(ctx, restca.Path("order", "certificate", name), nil, &o); err != nil {
		return Order{}, err
	}
	if o.ID == 0 || o.Status == "" {
		return Order{}, &restca.Garbage{What: "an order without id or status"}
	}
	return o, nil
}

// CAAMessage is what DigiCert says of the CAA records of a name.
type CAAMessage struct{ Name, Message string }

// CAAStatus reads what DigiCert says of the CAA records of an order that is pending, by name.
// (Not confirmed by DigiCert's pages: whether the messages stand in one object or with each domain; both are taken.)
func (c *Client) CAAStatus(ctx context.Context, order ID) ([]CAAMessage, error) {
	var in struct {
		Messages map[string]Text `json:"caa_status_message"`
		Domains  List[struct {
			Name    Text `json:"name"`
			Message Text `json:"caa_status_message"`
		}] `json:"domains"`
	}
	query := url.Values{"include_caa_status": {"true"}}
	if err := c.get(ctx, restca.Path("order", "certificate", order.String()), query, &in); err != nil {
		return nil, err
	}
	var out []CAAMessage
	for _, name := range slices.Sorted(maps.Keys(in.Messages)) {
		out = append(out, CAAMessage{name, string(in.Messages[name])})
	}
	for _, d := range in.Domains {
		out = append(out, CAAMessage{string(d.Name), string(d.Message)})
	}
	return out, nil
}

// OrdersByAlternative finds the orders with an alternative_order_id. None is an empty list; an answer that leaves it
// open whether there are any is an error, for an order would be bought on the strength of it.
// (Not confirmed by DigiCert's pages: whether an unknown id gives an empty list or 404; both are taken.)
func (c *Client) OrdersByAlternative(ctx context.Context, id string) ([]Alternate, error) {
	var found []Alternate
	err := c.rest.Read(ctx, restca.Call{Path: restca.Path("order", "alternate", id)}, func(a restca.Answer) (err error) {
		found, err = decodeAlternates(a.Body)
		return err
	})
	if no := restca.RefusalOf(err); no != nil && no.Status == http.StatusNotFound && Has(no, "not_found") && !Has(no, "not_found|route") {
		return nil, nil
	}
	return found, err
}

func decodeAlternates(body []byte) ([]Alternate, error) {
	var in struct {
		Orders json.RawMessage `json:"orders"`
		Page   page            `json:"page"`
	}
	if err := restca.Decode(body, &in); err != nil {
		return nil, err
	}
	var found List[Alternate]
	_ = found.UnmarshalJSON(in.Orders) // takes everything
	for _, o := range found {
		if o.OrderID == 0 {
			return nil, restca.NewGarbage("a list of orders with one that has no id", body)
		}
	}
	whole := in.Page.Total != nil && int(*in.Page.Total) == len(found)
	switch {
	case in.Page.Total != nil && int(*in.Page.Total) > len(found):
		return nil, restca.NewGarbage("a list that holds less than it says", body)
	case len(found) == 0 && !whole && !isList(in.Orders) && !isEmptyObject(body):
		return nil, restca.NewGarbage("without a list of orders", body)
	}
	return found, nil
}

// Reissues lists the certificates that were asked for by reissues of an order.
func (c *Client) Reissues(ctx context.Context, order ID) ([]Certificate, error) {
	return c.certificates(ctx, order, "reissue")
}

// Duplicates lists the duplicates of an order.
func (c *Client) Duplicates(ctx context.Context, order ID) ([]Certificate, error) {
	return c.certificates(ctx, order, "duplicate")
}

func (c *Client) certificates(ctx context.Context, order ID, what string) ([]Certificate, error) {
	var list []Certificate
	err := c.rest.Read(ctx, restca.Call{Path: restca.Path("order", "certificate", order.String(), what)}, func(a restca.Answer) (err error) {
		list, err = decodeCertificates(a.Body)
		return err
	})
	return list, err
}

// decodeCertificates reads a list that must be there: whether a reissue has arrived is decided by it.
func decodeCertificates(body []byte) ([]Certificate, error) {
	var in struct {
		Certificates json.RawMessage `json:"certificates"`
	}
	if err := restca.Decode(body, &in); err != nil {
		return nil, err
	}
	var list List[Certificate]
	_ = list.UnmarshalJSON(in.Certificates)                // takes everything
	if len(in.Certificates) == 0 && !isEmptyObject(body) { // null is a list that is empty
		return nil, restca.NewGarbage("without a list of certificates", body)
	}
	return list, nil
}

func isList(text []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(text), []byte("[")) }

func isEmptyObject(text []byte) bool { return string(bytes.Join(bytes.Fields(text), nil)) == "{}" }

// Validation reads where an order's validation stands.
func (c *Client) Validation(ctx context.Context, order ID) (Validation, error) {
	var v Validation
	err := c.get(ctx, restca.Path("order", "certificate", order.String(), "validation"), nil, &v)
	return v, err
}

// CheckDCV makes DigiCert look at what is published for an order.
func (c *Client) CheckDCV(ctx context.Context, order ID) error {
	_, err := c.put(ctx, restca.Path("order", "certificate", order.String(), "check-dcv"), nil, nil)
	return err
}

// RandomValue reads an order's random value; one that has expired is replaced by a new one.
func (c *Client) RandomValue(ctx context.Context, order ID) (RandomValue, error) {
	return c.randomValue(ctx, order, "dcv-random-value", nil)
}

// ChangeMethod changes the way that control is shown in, and returns the value to publish.
func (c *Client) ChangeMethod(ctx context.Context, order ID, method string) (RandomValue, error) {
	return c.randomValue(ctx, order, "dcv-method", map[string]string{"dcv_method": method})
}

func (c *Client) randomValue(ctx context.Context, order ID, what string, body any) (RandomValue, error) {
	var v RandomValue
	status, err := c.put(ctx, restca.Path("order", "certificate", order.String(), what), body, &v)
	if err == nil && status != http.StatusNoContent && v.Value == "" {
		return v, &restca.Garbage{What: "without a random value"}
	}
	return v, err
}

// Request reads a request.
func (c *Client) Request(ctx context.Context, id ID) (Request, error) {
	var r Request
	err := c.get(ctx, restca.Path("request", id.String()), nil, &r)
	return r, err
}

// RejectRequest rejects a request that waits for approval.
func (c *Client) RejectRequest(ctx context.Context, id ID, comment string) error {
	_, err := c.put(ctx, restca.Path("request", id.String(), "status"), map[string]string{"status": RequestRejected, "processor_comment": comment}, nil)
	return err
}

// Cancel cancels an order that has no certificate, or the reissue of one that is under way.
func (c *Client) Cancel(ctx context.Context, order ID, note string) error {
	_, err := c.put(ctx, restca.Path("order", "certificate", order.String(), "status"), map[string]string{"status": OrderCanceled, "note": note}, nil)
	return err
}

// Revoke asks for a certificate to be revoked; certificate is its id or serial number. It returns the request that a
// person must approve, or nil when the certificate is revoked.
func (c *Client) Revoke(ctx context.Context, certificate, reason, comments string, skipApproval bool) (*Request, error) {
	body := map[string]any{"revocation_reason": reason, "comments": comments, "skip_approval": skipApproval}
	var r Request
	status, err := c.put(ctx, restca.Path("certificate", certificate, "revoke"), body, &r)
	if err != nil || status == http.StatusNoContent || r.ID == 0 || r.Status == "approved" {
		return nil, err
	}
	return &r, nil
}

// Download reads a certificate of an order with its intermediates, in no particular order.
// (In the format pem_noroot; what comes is judged by its content alone.)
func (c *Client) Download(ctx context.Context, certificate ID) ([][]byte, error) {
	return c.download(ctx, restca.Path("certificate", certificate.String(), "download", "format", "pem_noroot"))
}

func (c *Client) download(ctx context.Context, path string) ([][]byte, error) {
	var list [][]byte
	err := c.rest.Read(ctx, restca.Call{Path: path, Header: http.Header{"Accept": {"*/*"}}}, func(a restca.Answer) error {
		if list = decodePEM(a.Body); len(list) == 0 {
			return restca.NewGarbage("no certificate in PEM", a.Body)
		}
		return nil
	})
	return list, err
}

// Chain reads the certificates that belong to one, in no particular order.
func (c *Client) Chain(ctx context.Context, certificate ID) ([][]byte, error) {
	var in struct {
		Parts List[struct {
			PEM Text `json:"pem"`
		}] `json:"intermediates"`
	}
	if err := c.get(ctx, restca.Path("certificate", certificate.String(), "chain"), nil, &in); err != nil {
		return nil, err
	}
	var out [][]byte
	for _, p := range in.Parts {
		out = append(out, decodePEM([]byte(p.PEM))...)
	}
	return out, nil
}

// maxCertificates bounds how many certificates of one answer are looked at.
const maxCertificates = 32

// decodePEM returns the certificates of a text, DER. Text that is cut off loses its last one.
func decodePEM(text []byte) [][]byte {
	var out [][]byte
	for len(out) < maxCertificates {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			out = append(out, block.Bytes)
		}
	}
	return out
}

// Me reads whose the key is.
func (c *Client) Me(ctx context.Context) (User, error) {
	var u User
	err := c.get(ctx, "user/me", nil, &u)
	return u, err
}

// Products lists what the account may order.
func (c *Client) Products(ctx context.Context, container int64) ([]Product, error) {
	var in struct {
		Products List[Product] `json:"products"`
	}
	var query url.Values
	if container != 0 {
		query = url.Values{"container_id": {strconv.FormatInt(container, 10)}}
	}
	err := c.get(ctx, "product", query, &in)
	return in.Products, err
}

// Organization reads an organization.
func (c *Client) Organization(ctx context.Context, id ID) (Organization, error) {
	var o Organization
	err := c.get(ctx, restca.Path("organization", id.String()), nil, &o)
	return o, err
}

// OrganizationValidations lists what an organization is validated for.
func (c *Client) OrganizationValidations(ctx context.Context, id ID) ([]OrganizationStatus, error) {
	var in struct {
		Validations List[OrganizationStatus] `json:"validations"`
	}
	err := c.get(ctx, restca.Path("organization", id.String(), "validation"), nil, &in)
	return in.Validations, err
}

// Balance reads the account's money.
// (Not confirmed by DigiCert's pages: the address; a key may lack the right to it.)
func (c *Client) Balance(ctx context.Context) (Balance, error) {
	var b Balance
	err := c.get(ctx, "finance/balance", nil, &b)
	return b, err
}

// CustomFields lists the fields that the account has added to orders.
func (c *Client) CustomFields(ctx context.Context) ([]CustomField, error) {
	var in struct {
		Fields List[CustomField] `json:"metadata"`
	}
	err := c.get(ctx, "account/metadata", nil, &in)
	return in.Fields, err
}

// listPage is how many orders one answer lists.
const listPage = 1000

// Orders reads a part of the list of orders, the newest first, and reports whether there is more.
func (c *Client) Orders(ctx context.Context, offset int) ([]Listed, bool, error) {
	var in struct {
		Orders List[Listed] `json:"orders"`
		Page   page         `json:"page"`
	}
	query := url.Values{"limit": {strconv.Itoa(listPage)}, "offset": {strconv.Itoa(offset)}, "sort": {"-date_created"}}
	if err := c.get(ctx, "order/certificate", query, &in); err != nil {
		return nil, false, err
	}
	more := len(in.Orders) >= listPage
	if in.Page.Total != nil {
		more = len(in.Orders) > 0 && offset+len(in.Orders) < int(*in.Page.Total)
	}
	return in.Orders, more, nil
}
