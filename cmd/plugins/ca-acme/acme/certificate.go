package acme

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	lego "github.com/go-acme/lego/v4/acme"
	"github.com/go-acme/lego/v4/certificate"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const (
	// Bounds on how often a CA may have its renewal information read (RFC 9773 section 4.3.2).
	minRenewalInfoPace = time.Minute
	maxRenewalInfoPace = 24 * time.Hour
)

// RevokeCertificate revokes a certificate as the account that ordered it (RFC 8555 section 7.6).
func (c *CA) RevokeCertificate(ctx context.Context, revocation pluginapi.Revocation) (pluginapi.RevocationReply, error) {
	s, err := c.configured()
	if err != nil {
		return pluginapi.RevocationReply{}, err
	}
	if _, err := x509.ParseCertificate(revocation.Leaf); err != nil {
		return pluginapi.RevocationReply{}, pluginapi.FieldErrorf("certificate", "cannot be read: %w", err)
	}
	message := lego.RevokeCertMessage{Certificate: base64.RawURLEncoding.EncodeToString(revocation.Leaf)}
	switch {
	case revocation.Reason < 0 || revocation.Reason > 10 || revocation.Reason == 7:
		return pluginapi.RevocationReply{}, pluginapi.FieldErrorf("reason", "%d is no CRLReason (RFC 5280 section 5.3.1)", revocation.Reason)
	case revocation.Reason > 0:
		reason := uint(revocation.Reason)
		message.Reason = &reason
	}
	dir, err := s.client.directory(ctx)
	if err != nil {
		return pluginapi.RevocationReply{}, fail("revoke the certificate", err)
	}
	if !isHTTPS(dir.RevokeCertURL) {
		return pluginapi.RevocationReply{}, pluginapi.Errorf(pluginapi.NeedsPerson, "the CA's directory names no address for revocation; revoke the certificate in the CA's portal")
	}
	who, err := s.account(ctx, true)
	if err != nil {
		return pluginapi.RevocationReply{}, err
	}
	_, err = s.signed(ctx, who, dir.RevokeCertURL, message, nil)
	detail := "revoked"
	switch {
	case isProblem(err, "alreadyRevoked"):
		detail = "revoked already"
	case err != nil:
		return pluginapi.RevocationReply{}, fail("revoke the certificate", err)
	}
	return pluginapi.RevocationReply{Detail: detail, AccountState: s.book.changed()}, nil
}

// RenewalInfo reads when the CA would like a certificate renewed (RFC 9773 section 4). It needs no account. A CA that
// offers no renewal information, or none for this certificate, is NotFound.
func (c *CA) RenewalInfo(ctx context.Context, der []byte) (pluginapi.RenewalInfo, error) {
	const what = "read the renewal information"
	s, err := c.configured()
	if err != nil {
		return pluginapi.RenewalInfo{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return pluginapi.RenewalInfo{}, pluginapi.FieldErrorf("certificate", "cannot be read: %w", err)
	}
	if len(leaf.AuthorityKeyId) == 0 {
		return pluginapi.RenewalInfo{}, pluginapi.Errorf(pluginapi.NotFound, "the certificate names no authority key, so no CA has renewal information for it (RFC 9773 section 4.1)")
	}
	id, err := certificate.MakeARICertID(leaf)
	if err != nil {
		return pluginapi.RenewalInfo{}, pluginapi.FieldErrorf("certificate", "has no identifier for renewal information: %w", err)
	}
	dir, err := s.client.directory(ctx)
	switch {
	case err != nil:
		return pluginapi.RenewalInfo{}, fail(what, err)
	case dir.RenewalInfo == "":
		return pluginapi.RenewalInfo{}, pluginapi.Errorf(pluginapi.NotFound, "the CA offers no renewal information (RFC 9773)")
	case !isHTTPS(dir.RenewalInfo):
		return pluginapi.RenewalInfo{}, pluginapi.Errorf(pluginapi.Unavailable, "%s: the CA gave no https address for it", what)
	}
	a, err := s.client.get(ctx, http.MethodGet, dir.RenewalInfo+"/"+id)
	if err != nil {
		return pluginapi.RenewalInfo{}, fail(what, err)
	}
	out, err := readRenewalInfo(a.body)
	if err != nil {
		return pluginapi.RenewalInfo{}, pluginapi.Errorf(pluginapi.Unavailable, "%s: %w", what, err)
	}
	out.Serial = fmt.Sprintf("%x", leaf.SerialNumber)
	if pace := a.pace(); pace > 0 {
		out.LookAgainAfter = min(max(pace, minRenewalInfoPace), maxRenewalInfoPace)
	}
	return out, nil
}

// readRenewalInfo reads a RenewalInfo object (RFC 9773 section 4.2).
func readRenewalInfo(body []byte) (pluginapi.RenewalInfo, error) {
	var info lego.RenewalInfoResponse
	if err := json.Unmarshal(body, &info); err != nil {
		return pluginapi.RenewalInfo{}, fmt.Errorf("the CA sent no such object (%s)", excerpt(body))
	}
	window := info.SuggestedWindow
	if window.Start.IsZero() || !window.End.After(window.Start) {
		return pluginapi.RenewalInfo{}, fmt.Errorf("the CA suggests a window from %s to %s", window.Start.Format(time.RFC3339), window.End.Format(time.RFC3339))
	}
	out := pluginapi.RenewalInfo{WindowStart: window.Start, WindowEnd: window.End}
	if isHTTPS(info.ExplanationURL) {
		out.ExplanationURL = clean(info.ExplanationURL, maxWords)
	}
	return out, nil
}
