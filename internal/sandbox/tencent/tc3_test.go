package tencent

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// The vectors were computed by two other programs.
func TestSignatureVectors(t *testing.T) {
	const body = `{"CertificateId":"abc12345"}`
	for name, c := range map[string]struct{ kind, headers, request, signature string }{
		"as the SDKs sign": {
			"application/json", "content-type;host", "e9e811282de6b597f02d05e145984f180c60d4a1c1c979ca5544761717455b13",
			"c901566021c46f292162483ad0ad09c3257e8bf259b82f5177be86f66733706a",
		},
		"as the documentation signs": {
			"application/json; charset=utf-8", "content-type;host;x-tc-action", "7c039a442244b4928ee4c9d895fe17d8b511f2547d99d7af6f8d77dd6d12a35e",
			"83c81b73d3fd1ce829471a18344cc65051d137a361cd54ad5db5b0674578459a",
		},
	} {
		r := httptest.NewRequest(http.MethodPost, "https://ssl.intl.tencentcloudapi.com/", strings.NewReader(body))
		r.Header.Set("Content-Type", c.kind)
		r.Header.Set("X-TC-Action", "DescribeCertificateDetail")
		r.Header.Set("X-TC-Timestamp", "1790000000")
		text := "TC3-HMAC-SHA256 Credential=AKIDEXAMPLE/2026-09-21/ssl/tc3_request, SignedHeaders=" + c.headers + ", Signature=" + c.signature
		a, err := parseAuthorization(text)
		if err != nil {
			t.Fatal(err)
		}
		lower := strings.Contains(c.headers, "x-tc-action")
		if got := digest([]byte(canonical(r, []byte(body), a.headers, lower))); got != c.request {
			t.Errorf("%s: canonical request %s", name, got)
		}
		if err := a.verify(r, []byte(body), "SecretKeyEXAMPLE"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := a.checkTimestamp("1790000000", time.Unix(1790000299, 0)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for what, err := range map[string]error{
			"another key":      a.verify(r, []byte(body), "SecretKeyEXAMPLF"),
			"another body":     a.verify(r, []byte(body+" "), "SecretKeyEXAMPLE"),
			"too late":         a.checkTimestamp("1790000000", time.Unix(1790000301, 0)),
			"too early":        a.checkTimestamp("1790000000", time.Unix(1789999699, 0)),
			"another day":      a.checkTimestamp("1790035201", time.Unix(1790035201, 0)), // 2026-09-22 00:00:01 UTC
			"no timestamp":     a.checkTimestamp("", time.Unix(1790000000, 0)),
			"a changed header": a.verify(changed(r), []byte(body), "SecretKeyEXAMPLE"),
		} {
			if err == nil {
				t.Errorf("%s: %s is taken", name, what)
			} else if strings.Contains(err.Error(), "SecretKey") {
				t.Errorf("%s: %s: the error tells the key", name, what)
			}
		}
	}
}

func changed(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	r.Header.Set("Content-Type", "application/json;charset=utf-8")
	return r
}

func TestAuthorizationHeaders(t *testing.T) {
	const good = "TC3-HMAC-SHA256 Credential=ID/2026-09-21/ssl/tc3_request, SignedHeaders=content-type;host, Signature=00"
	if _, err := parseAuthorization(good); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"nothing":           "",
		"another algorithm": strings.Replace(good, "TC3-HMAC-SHA256", "HmacSHA1", 1),
		"another service":   strings.Replace(good, "/ssl/", "/cvm/", 1),
		"short scope":       strings.Replace(good, "/tc3_request", "", 1),
		"no signature":      strings.Replace(good, ", Signature=00", "", 1),
		"empty signature":   strings.Replace(good, "Signature=00", "Signature=", 1),
		"twice":             good + ", Signature=01",
		"no host":           strings.Replace(good, ";host", "", 1),
		"no type":           strings.Replace(good, "content-type;", "", 1),
		"not sorted":        strings.Replace(good, "content-type;host", "host;content-type", 1),
		"upper case":        strings.Replace(good, "content-type", "Content-Type", 1),
	} {
		if _, err := parseAuthorization(text); codeOfError(err) != authAuthorization {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func codeOfError(err error) string {
	if err == nil {
		return ""
	}
	return errorOf(err).code
}

// Whatever a client sends as Authorization, reading it ends well, and what is taken signs what must be signed.
func FuzzAuthorization(f *testing.F) {
	f.Add("TC3-HMAC-SHA256 Credential=ID/2026-09-21/ssl/tc3_request, SignedHeaders=content-type;host, Signature=00")
	f.Add("TC3-HMAC-SHA256 Credential=//ssl/tc3_request,SignedHeaders=;,Signature==")
	f.Add("TC3-HMAC-SHA256 ,,,")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parseAuthorization(text)
		if err != nil {
			if codeOfError(err) != authAuthorization {
				t.Errorf("%v", err)
			}
			return
		}
		signed := ";" + strings.Join(a.headers, ";") + ";"
		if !strings.Contains(signed, ";host;") || !strings.Contains(signed, ";content-type;") || a.signature == "" {
			t.Errorf("%q was taken: %+v", text, a)
		}
	})
}
