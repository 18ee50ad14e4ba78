package certcentral

import (
	"net/http"
	"slices"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// decodeProblems reads the errors of a body: a list, or as older answers have it a single object.
func decodeProblems(body []byte) []restca.Problem {
	var in struct {
		Errors List[struct {
			Code    Text `json:"code"`
			Message Text `json:"message"`
		}] `json:"errors"`
	}
	if restca.Decode(body, &in) != nil {
		return nil
	}
	var out []restca.Problem
	for _, e := range in.Errors {
		if e.Code != "" || e.Message != "" {
			out = append(out, restca.Problem{Code: string(e.Code), Message: string(e.Message)})
		}
	}
	return out
}

// Has reports whether one of the codes is the problem; what follows a ":" or "|" in the answer is a qualifier.
func Has(r *restca.Refusal, codes ...string) bool {
	for _, p := range r.Problems {
		for _, code := range codes {
			if rest, ok := strings.CutPrefix(p.Code, code); ok && (rest == "" || rest[0] == ':' || rest[0] == '|') {
				return true
			}
		}
	}
	return false
}

// meaning is what a code means for the caller.
type meaning struct {
	code  string
	kind  pluginapi.ErrorKind
	field string
}

// kinds is what the API's codes mean for the caller, the most exact first. Codes without a place here are judged by the
// status of the answer. Those marked (*) are not confirmed by DigiCert's pages; other clients have met them.
var kinds = []meaning{
	{code: "request_limit_exceeded", kind: pluginapi.RateLimited},
	{code: "access_denied|invalid_approver", kind: pluginapi.NeedsPerson}, // (*)
	{code: "access_denied", kind: pluginapi.Unauthorized},
	{code: "not_found|product", kind: pluginapi.InvalidRequest, field: "product"},
	{code: "not_found|route", kind: pluginapi.Unavailable}, // the address is wrong, so it tells nothing of what was asked for
	{code: "not_found", kind: pluginapi.NotFound},
	{code: "ambiguous_product", kind: pluginapi.InvalidRequest, field: "product"},
	{code: "invalid_wildcard_dcv_method", kind: pluginapi.InvalidRequest, field: "dcv_method"},
	{code: "invalid_dcv_method", kind: pluginapi.InvalidRequest, field: "dcv_method"},
	{code: "auth_key_not_setup", kind: pluginapi.InvalidRequest, field: "auth_key_id"},
	{code: "caa_check_failed", kind: pluginapi.NeedsPerson},
	{code: "caa_not_found", kind: pluginapi.Unavailable},
	{code: "order_not_eligible_for_renewal", kind: pluginapi.NeedsPerson}, // (*)
	{code: "order_renewed_already", kind: pluginapi.NeedsPerson},          // (*)
}

// fieldCodes carry the name of a request field behind the colon.
var fieldCodes = []string{"required_param", "invalid_value", "missing_param", "invalid_param"}

// judge says what an answer means for the caller: the code decides, and where it has no place here the status.
func judge(r *restca.Refusal) restca.Verdict {
	v := restca.ByStatus(r)
	v.Lasting = v.Lasting || r.Status < http.StatusInternalServerError
	v.Advice = advice(r)
	for _, k := range kinds {
		if Has(r, k.code) {
			v.Kind, v.Field = k.kind, k.field
			return v
		}
	}
	for _, p := range r.Problems {
		code, field, ok := strings.Cut(p.Code, ":")
		if ok && slices.Contains(fieldCodes, code) {
			v.Kind, v.Field = pluginapi.InvalidRequest, field
			return v
		}
	}
	return v
}

// advice says what to do about an answer that people meet.
func advice(r *restca.Refusal) string {
	switch {
	case Has(r, "access_denied|missing_permission"):
		return "; give the key's user a role with this right (administrator or manager), or leave skip_approval out"
	case Has(r, "access_denied|invalid_approver"):
		return "; a person with the right to approve must act"
	case Has(r, "access_denied"), r.Status == http.StatusUnauthorized:
		return "; check api_key, and that base_url is the host the key belongs to"
	case Has(r, "not_found|product"):
		return "; the product is not enabled for the account"
	case Has(r, "not_found|route"):
		return "; is base_url right?"
	case Has(r, "caa_check_failed"):
		return "; let the names' CAA records allow digicert.com"
	case Has(r, "order_not_eligible_for_renewal", "order_renewed_already"):
		return "; to order without the link to the earlier order set link_renewals = false"
	default:
		return ""
	}
}

// MarkTaken reports a refusal that may be for an alternative_order_id that another order has: then there is that order. A
// request whose mark is refused for another reason is better looked up once too often.
// (Not confirmed by DigiCert's pages: the code. That is why the words count here, too.)
func MarkTaken(r *restca.Refusal) bool {
	for _, p := range r.Problems {
		text := strings.ToLower(p.Code + " " + p.Message)
		if strings.Contains(strings.NewReplacer(" ", "_", "-", "_").Replace(text), "alternative_order") {
			return true
		}
		code, _, _ := strings.Cut(strings.ToLower(p.Code), ":")
		for _, word := range []string{"duplicate", "already", "exists"} {
			if strings.Contains(code, word) && !isKnown(p.Code) {
				return true
			}
		}
	}
	return false
}

// isKnown reports whether a code has a meaning here that is not about marks.
func isKnown(code string) bool {
	return slices.ContainsFunc(kinds, func(k meaning) bool { return Has(&restca.Refusal{Problems: []restca.Problem{{Code: code}}}, k.code) })
}
