package sslapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const (
	algorithm   = "TC3-HMAC-SHA256"
	service     = "ssl" // for both hosts
	terminator  = "tc3_request"
	contentType = "application/json; charset=utf-8" // signed exactly as it is sent
)

// signer puts the credentials on requests. There is no nonce: a signature is good for five minutes, for its body alone.
type signer struct {
	id, key, token pluginapi.Secret
	region         string
	now            func() time.Time
}

func (s signer) sign(req *http.Request, body []byte) error {
	at := s.now()
	req.Header.Set("X-TC-Timestamp", strconv.FormatInt(at.Unix(), 10))
	if s.region != "" {
		req.Header.Set("X-TC-Region", s.region)
	}
	if !s.token.Empty() {
		req.Header.Set("X-TC-Token", s.token.Reveal())
	}
	req.Header.Set("Authorization", authorization(s.id, s.key, at, body, map[string]string{
		"content-type": req.Header.Get("Content-Type"), "host": req.URL.Host, "x-tc-action": req.Header.Get("X-TC-Action"),
	}))
	return nil
}

// authorization is the header of a POST. headers are those that are signed, by their lower-case names.
func authorization(id, key pluginapi.Secret, at time.Time, body []byte, headers map[string]string) string {
	names := make([]string, 0, len(headers))
	for name := range headers {
		names = append(names, name)
	}
	slices.Sort(names)
	var lines strings.Builder
	for _, name := range names {
		lines.WriteString(name + ":" + strings.ToLower(strings.TrimSpace(headers[name])) + "\n")
	}
	signed := strings.Join(names, ";")
	// The path is always "/", and a POST has no query.
	canonical := strings.Join([]string{http.MethodPost, "/", "", lines.String(), signed, sum(body)}, "\n")
	date := at.UTC().Format(time.DateOnly)
	scope := date + "/" + service + "/" + terminator
	toSign := strings.Join([]string{algorithm, strconv.FormatInt(at.Unix(), 10), scope, sum([]byte(canonical))}, "\n")
	signing := mac(mac(mac([]byte("TC3"+key.Reveal()), date), service), terminator)
	return algorithm + " Credential=" + id.Reveal() + "/" + scope + ", SignedHeaders=" + signed + ", Signature=" + hex.EncodeToString(mac(signing, toSign))
}

func sum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
