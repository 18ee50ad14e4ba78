package tencent

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	algorithm   = "TC3-HMAC-SHA256"
	service     = "ssl"
	terminator  = "tc3_request"
	mostSkew    = 5 * time.Minute
	unsigned    = "UNSIGNED-PAYLOAD"
	dateOfScope = "2006-01-02"
)

// authorization is the header of that name, taken apart.
type authorization struct {
	secretID, date string
	headers        []string
	signature      string
}

// parseAuthorization reads "TC3-HMAC-SHA256 Credential=ID/DATE/ssl/tc3_request, SignedHeaders=..., Signature=...".
func parseAuthorization(text string) (authorization, error) {
	var a authorization
	wrong := func(format string, args ...any) (authorization, error) {
		return authorization{}, fail(authAuthorization, "Authorization "+format, args...)
	}
	list, ok := strings.CutPrefix(text, algorithm+" ")
	if !ok {
		return wrong("does not begin with %s.", algorithm)
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(list, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := parts[key]; !ok || twice {
			return wrong("is not a list of Credential, SignedHeaders and Signature.")
		}
		parts[key] = value
	}
	if len(parts) != 3 || parts["Signature"] == "" {
		return wrong("is not a list of Credential, SignedHeaders and Signature.")
	}
	scope := strings.Split(parts["Credential"], "/")
	if len(scope) != 4 || scope[2] != service || scope[3] != terminator {
		return wrong("has a Credential that is not ID/DATE/%s/%s.", service, terminator)
	}
	a.secretID, a.date, a.signature = scope[0], scope[1], parts["Signature"]
	a.headers = strings.Split(parts["SignedHeaders"], ";")
	if !slices.Contains(a.headers, "host") || !slices.Contains(a.headers, "content-type") {
		return wrong("does not sign content-type and host.")
	}
	if !slices.IsSorted(a.headers) || parts["SignedHeaders"] != strings.ToLower(parts["SignedHeaders"]) {
		return wrong("has SignedHeaders that are not sorted and in lower case.")
	}
	return a, nil
}

// checkTimestamp checks X-TC-Timestamp against the clock and the scope's date.
func (a authorization) checkTimestamp(text string, now time.Time) error {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fail(missingParameter, "X-TC-Timestamp is required, in seconds.")
	}
	at := time.Unix(seconds, 0).UTC()
	if d := now.Sub(at).Truncate(time.Second); d > mostSkew || d < -mostSkew {
		return fail(authExpired, "X-TC-Timestamp is %v away from the server's time, more than %v.", d, mostSkew)
	}
	if at.Format(dateOfScope) != a.date {
		return fail(authSignature, "The Credential's date is not the UTC date of X-TC-Timestamp.")
	}
	return nil
}

// verify checks the signature. The key is not in what it returns.
func (a authorization) verify(r *http.Request, body []byte, secretKey string) error {
	// The documentation lowers the values of headers, the SDKs leave them: both are good.
	for _, lower := range []bool{false, true} {
		want := sign(a.date, r.Header.Get("X-TC-Timestamp"), canonical(r, body, a.headers, lower), secretKey)
		if hmac.Equal([]byte(want), []byte(a.signature)) {
			return nil
		}
	}
	return fail(authSignature, "The signature does not match the request.")
}

// canonical is the canonical request. Its path is always "/".
func canonical(r *http.Request, body []byte, headers []string, lower bool) string {
	var lines strings.Builder
	for _, name := range headers {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		if lower {
			value = strings.ToLower(value)
		}
		lines.WriteString(name + ":" + strings.TrimSpace(value) + "\n")
	}
	if r.Header.Get("X-TC-Content-SHA256") == unsigned {
		body = []byte(unsigned)
	}
	return strings.Join([]string{r.Method, "/", r.URL.RawQuery, lines.String(), strings.Join(headers, ";"), digest(body)}, "\n")
}

// sign is the signature of a canonical request.
func sign(date, timestamp, request, secretKey string) string {
	text := strings.Join([]string{algorithm, timestamp, date + "/" + service + "/" + terminator, digest([]byte(request))}, "\n")
	key := mac(mac(mac([]byte("TC3"+secretKey), date), service), terminator)
	return hex.EncodeToString(mac(key, text))
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
