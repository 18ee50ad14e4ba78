package ordertoken

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// object reads an answer that is an object and says success; what the text of success is differs from call to call and
// from time to time, and means nothing. Answers hold tokens, so that none is shown.
func object(body []byte, into any) error {
	var head map[string]json.RawMessage
	if err := plain(body, &head); err != nil {
		return err
	}
	if _, ok := head["success"]; !ok {
		return &restca.Garbage{What: "an object with neither success nor error"}
	}
	return plain(body, into)
}

// plain reads an answer that is an object.
func plain(body []byte, into any) error {
	if !json.Valid(body) || !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		return &restca.Garbage{What: "not a whole JSON object"}
	}
	return restca.Decode(body, into)
}

func decodeGenerated(body []byte) (Generated, error) {
	var g Generated
	if err := object(body, &g); err != nil {
		return Generated{}, err
	}
	if g.Token == "" {
		return Generated{}, &restca.Garbage{What: "without an order token"}
	}
	return g, nil
}

// rawControl has every name that the values to publish have gone by.
type rawControl struct {
	DNSType     Text `json:"dv_auth_dns_type"`
	DNSName     Text `json:"dv_auth_dns_name"`
	DNSValue    Text `json:"dv_auth_dns_string"`
	FileName    Text `json:"dv_auth_file_name"`
	FileBody    Text `json:"dv_auth_file_contents"`
	NewDNSType  Text `json:"dns_type"`
	NewDNSName  Text `json:"dns_name"`
	NewDNSValue Text `json:"dns_string"`
	NewFileName Text `json:"file_name"`
	NewFileBody Text `json:"file_contents"`
}

func (r rawControl) control() Control {
	first := func(a, b Text) string {
		if a = Text(strings.TrimSpace(string(a))); a != "" {
			return string(a)
		}
		return strings.TrimSpace(string(b))
	}
	return Control{
		DNSType: strings.ToUpper(first(r.DNSType, r.NewDNSType)), DNSName: first(r.DNSName, r.NewDNSName), DNSValue: first(r.DNSValue, r.NewDNSValue),
		FileName: first(r.FileName, r.NewFileName), FileBody: first(r.FileBody, r.NewFileBody),
	}
}

func decodePlaced(body []byte) (Placed, error) {
	var in struct {
		rawControl
		OrderID Text            `json:"reseller_order_id"`
		CSR     Text            `json:"csr"`
		Key     json.RawMessage `json:"private_key"`
	}
	if err := object(body, &in); err != nil {
		return Placed{}, err
	}
	return Placed{
		OrderID: in.OrderID, CSR: in.CSR, Control: in.control(),
		OwnKey: bytes.Contains(in.Key, []byte("PRIVATE KEY")),
	}, nil
}

func decodeReview(body []byte) (Review, error) {
	var in struct {
		rawControl
		Status        Text            `json:"order_status"`
		Further       Text            `json:"order_state_further_info"`
		OrderID       Text            `json:"reseller_order_id"`
		ProviderID    Text            `json:"provider_order_id"`
		Reference     Text            `json:"reseller_unique_reference"`
		Product       Text            `json:"st_product_code"`
		Domain        Text            `json:"domain_name"`
		Additional    Text            `json:"additional_sans"`
		Method        Text            `json:"dv_auth_method"`
		Approver      Text            `json:"approver_email_address"`
		Admin         json.RawMessage `json:"admin_contact"`
		Modifications json.RawMessage `json:"modifications"`
	}
	if err := object(body, &in); err != nil {
		return Review{}, err
	}
	status := strings.ToLower(strings.Join(strings.Fields(string(in.Status)), " "))
	if status == "" {
		return Review{}, &restca.Garbage{What: "without an order status"}
	}
	var admin struct {
		FirstName Text `json:"first_name"`
	}
	_ = json.Unmarshal(in.Admin, &admin) // missing, or empty in whatever form
	return Review{
		Status: status, Told: restca.Clean(string(in.Status), 60), Further: string(in.Further),
		OrderID: string(in.OrderID), ProviderID: string(in.ProviderID), Reference: string(in.Reference), Product: string(in.Product),
		Domain: string(in.Domain), Additional: string(in.Additional), AdminFirstName: string(admin.FirstName),
		Method: strings.ToUpper(strings.TrimSpace(string(in.Method))), Approver: string(in.Approver),
		Control: in.control(), Modifications: listBelow[Modification](in.Modifications, "modification"), Certificates: certificatesIn(body),
		Expires: expiryIn(body),
	}, nil
}

// listBelow reads a list that stands below a key of its singular, as XML had it, or in the key's place.
func listBelow[T any](raw json.RawMessage, key string) []T {
	list, _ := listThere[T](raw, key)
	return list
}

// listThere is listBelow, and reports whether there was a list, if an empty one, rather than something else. Empty ones are
// null, "", [] and {}.
func listThere[T any](raw json.RawMessage, key string) (list []T, there bool) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return nil, false
	}
	var below map[string]json.RawMessage
	if json.Unmarshal(raw, &below) == nil && below != nil {
		inner, ok := below[key]
		if !ok && len(below) > 0 {
			return nil, false
		}
		raw = inner
	}
	var loose restca.List[T]
	_ = loose.UnmarshalJSON(raw) // takes everything
	empty := slices.Contains([]string{"", "null", `""`, "[]", "{}"}, string(raw))
	return loose, len(loose) > 0 || empty
}

// decodeTokens reads the lists of tokens. An order is bought on the word that its reference is in neither; where one of them
// is left out, which may be how an empty one is told, or no token has a reference, that word is doubtful.
func decodeTokens(body []byte) (Tokens, error) {
	var in struct {
		Unused json.RawMessage `json:"unused_tokens"`
		Used   json.RawMessage `json:"used_tokens"`
	}
	if err := object(body, &in); err != nil {
		return Tokens{}, err
	}
	unused, ok := listThere[Token](in.Unused, "order_token")
	used, okUsed := listThere[Token](in.Used, "order_token")
	if !ok && in.Unused != nil || !okUsed && in.Used != nil || !ok && !okUsed {
		return Tokens{}, &restca.Garbage{What: "without its two lists of tokens"}
	}
	for i := range used {
		used[i].Used = true
	}
	for _, t := range append(unused, used...) {
		if t.Token == "" {
			return Tokens{}, &restca.Garbage{What: "a list of tokens with one that is empty"}
		}
	}
	out := Tokens{List: append(unused, used...)}
	switch {
	case !ok || !okUsed:
		out.Doubt = "one of the two lists of tokens is not there"
	case len(out.List) > 0 && !slices.ContainsFunc(out.List, func(t Token) bool { return t.Reference != "" }):
		out.Doubt = "none of the tokens is listed with a reference"
	}
	return out, nil
}

// decodeFields reads the list of productfields: the product's code, its title, and an object with one key for each field.
func decodeFields(body []byte) ([]FieldSpec, error) {
	var parts []json.RawMessage
	if json.Unmarshal(body, &parts) != nil {
		return nil, &restca.Garbage{What: "not a list of fields"}
	}
	var out []FieldSpec
	for _, p := range parts {
		var one map[string]json.RawMessage
		if json.Unmarshal(p, &one) != nil { // the code, the title
			continue
		}
		for name, raw := range one {
			out = append(out, decodeField(name, raw))
		}
	}
	if len(out) == 0 {
		return nil, &restca.Garbage{What: "a list without a field"}
	}
	return out, nil
}

func decodeField(name string, raw json.RawMessage) FieldSpec {
	var in struct {
		Required   restca.Flag       `json:"required"`
		Input      Text              `json:"input_type"`
		Options    json.RawMessage   `json:"options"`
		RequiredIf restca.List[Text] `json:"required_if"`
	}
	_ = json.Unmarshal(raw, &in) // what is of another type is left out
	f := FieldSpec{Name: name, Required: bool(in.Required), Input: string(in.Input), Options: decodeOptions(in.Options)}
	for _, t := range in.RequiredIf {
		f.RequiredIf = append(f.RequiredIf, strings.FieldsFunc(string(t), func(r rune) bool { return r == ',' || r == ' ' })...)
	}
	return f
}

// decodeOptions reads values to choose from: a list of them, or an object whose keys are the values.
func decodeOptions(raw json.RawMessage) []string {
	var list restca.List[Text]
	var table map[string]json.RawMessage
	if json.Unmarshal(raw, &table) == nil {
		var keys []string
		for k := range table {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		return keys
	}
	_ = list.UnmarshalJSON(raw) // takes everything
	var out []string
	for _, t := range list {
		if t != "" {
			out = append(out, string(t))
		}
	}
	return out
}

func decodeApprovers(body []byte) ([]string, error) {
	var in struct {
		List json.RawMessage `json:"approver_email"`
	}
	if err := object(body, &in); err != nil {
		return nil, err
	}
	var objects restca.List[struct {
		Email Text `json:"email"`
	}]
	var texts restca.List[Text]
	_, _ = objects.UnmarshalJSON(in.List), texts.UnmarshalJSON(in.List) // they take everything
	var out []string
	for _, e := range objects {
		if e.Email != "" {
			out = append(out, string(e.Email))
		}
	}
	for _, t := range texts {
		if strings.Contains(string(t), "@") {
			out = append(out, string(t))
		}
	}
	return out, nil
}

func decodeAccount(body []byte) (Account, error) {
	var in struct {
		Points    Text            `json:"purchased_points"`
		Active    json.RawMessage `json:"active_orders"`
		Completed json.RawMessage `json:"completed_orders"`
	}
	if err := plain(body, &in); err != nil {
		return Account{}, err
	}
	if in.Points == "" {
		return Account{}, &restca.Garbage{What: "without the account's points"}
	}
	orders := listBelow[Listed](in.Active, "active_order")
	return Account{Points: in.Points, Orders: append(orders, listBelow[Listed](in.Completed, "completed_order")...)}, nil
}

func decodePoints(body []byte) ([]Points, error) {
	var in struct {
		Records json.RawMessage `json:"record"`
		Nested  json.RawMessage `json:"records"`
	}
	if err := plain(body, &in); err != nil {
		return nil, err
	}
	var list restca.List[Points]
	_ = list.UnmarshalJSON(in.Records) // takes everything
	return append(list, listBelow[Points](in.Nested, "record")...), nil
}

func decodeProducts(body []byte) ([]Product, error) {
	var in struct {
		Products json.RawMessage `json:"products"`
	}
	if err := plain(body, &in); err != nil {
		return nil, err
	}
	list := listBelow[Product](in.Products, "product")
	if len(list) == 0 {
		return nil, &restca.Garbage{What: "without a list of products"}
	}
	return list, nil
}
