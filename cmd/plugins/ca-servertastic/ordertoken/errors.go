package ordertoken

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// decodeProblems reads the error of a body: an object with code and message, or as the older answers' looseness makes
// likely, text alone. It may come with any HTTP status, 200 among them.
func decodeProblems(body []byte) []restca.Problem {
	var in struct {
		Error json.RawMessage `json:"error"`
	}
	if restca.Decode(body, &in) != nil || len(in.Error) == 0 {
		return nil
	}
	var list restca.List[struct {
		Code    restca.Text `json:"code"`
		Message restca.Text `json:"message"`
	}]
	_ = list.UnmarshalJSON(in.Error) // takes everything
	var out []restca.Problem
	for _, e := range list {
		if e.Code != "" || e.Message != "" {
			out = append(out, restca.Problem{Code: string(e.Code), Message: string(e.Message)})
		}
	}
	if text := loneText(in.Error); len(out) == 0 && text != "" {
		out = append(out, restca.Problem{Message: text})
	}
	return out
}

// loneText is what an error says that is no object: a text or a number. Nothing, false and zero are no error.
func loneText(raw json.RawMessage) string {
	var text restca.Text
	_ = text.UnmarshalJSON(raw) // takes everything
	switch s := strings.TrimSpace(string(text)); s {
	case "0", "false":
		return ""
	default:
		return s
	}
}

// judge says what an answer means for the caller. The API has codes as HTTP has: 4xx for what is wrong with the request, 5xx
// for a fault of the service; a list of them is not published. The error's own code counts for more than the status it came
// with, and an error with neither is one of the request.
func judge(r *restca.Refusal) restca.Verdict {
	as := *r
	switch code := codeOf(r); {
	case code != 0:
		as.Status = code
	case len(r.Problems) > 0 && r.Status < http.StatusBadRequest:
		as.Status = http.StatusBadRequest
	}
	v := restca.ByStatus(&as)
	switch {
	case as.Status == http.StatusPaymentRequired && len(r.Problems) > 0: // (Not confirmed by ServerTastic's pages: that it is used.)
		v.Kind, v.Advice = pluginapi.NeedsPerson, "; add points to the account"
	case v.Kind == pluginapi.Unauthorized:
		v.Advice = "; check api_key and base_url, and whether the order is one of this account"
	}
	return v
}

// CodeOf is the code of a refusal, as HTTP has them: the error's own, or else the status that it came with.
func CodeOf(r *restca.Refusal) int {
	if code := codeOf(r); code != 0 {
		return code
	}
	return r.Status
}

// codeOf is the error's own code where it is one of HTTP's.
func codeOf(r *restca.Refusal) int {
	for _, p := range r.Problems {
		if n, err := strconv.Atoi(strings.TrimSpace(p.Code)); err == nil && n >= http.StatusBadRequest && n < 600 {
			return n
		}
	}
	return 0
}
