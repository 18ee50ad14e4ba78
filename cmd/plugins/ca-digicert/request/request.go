package request

import (
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
)

// Account are account settings that stand in for order settings.
type Account struct {
	OrganizationID int64 // zero: none
	ContainerID    int64 // zero: none
	SkipApproval   *bool // nil: not set
}

// Computed are the request fields that are made, not configured.
type Computed struct {
	// CSR is the certificate request, DER.
	CSR []byte
	// CommonName and DNSNames are certificate.common_name and certificate.dns_names: ASCII names, "*." allowed in
	// front, or IP addresses. DNSNames need not repeat the common name, and may.
	CommonName string
	DNSNames   []string
	// AlternativeOrderID marks an order as ours: at most 64 letters and digits. Orders need it; reissues have none.
	AlternativeOrderID string
	// RenewalOfOrderID, or where that is not known RenewedThumbprint (SHA-1 of the certificate, hexadecimal), makes an
	// order a renewal.
	RenewalOfOrderID  int64
	RenewedThumbprint string
	// DCVMethod is used where the order settings have no dcv_method of their own.
	DCVMethod string
}

// The ways to show domain control, as dcv_method names them.
const (
	MethodEmail       = "email"
	MethodTXT         = "dns-txt-token"
	MethodCNAME       = "dns-cname-token"
	MethodHTTP        = "http-token"
	MethodHTTPDynamic = "http-token-dynamic" // OV and EV only; Check refuses it, for nothing says which file is meant
	MethodAuthKey     = "token-based"        // DV only; needs use_auth_key, auth_key_id and auth_key
)

// SecretAuthKey is the path of the AuthKey's text in the order settings. It makes request tokens and is never sent.
const SecretAuthKey = "auth_key"

const (
	// maxAlternativeOrderID is the API's bound, in characters.
	maxAlternativeOrderID = 64
	// maxCommonName is ub-common-name of RFC 5280 appendix A.1, in characters.
	maxCommonName = 64

	defaultSignatureHash = "sha256"
	otherPlatform        = -1
)

var (
	alternativeIDShape = regexp.MustCompile(`^[A-Za-z0-9]{1,64}$`)
	thumbprintShape    = regexp.MustCompile(`^[0-9A-Fa-f]{40}$`)
)

// DCVMethod returns the dcv_method of the order settings; empty when they leave it open.
func DCVMethod(s pluginapi.Settings) string {
	method, _ := s.Values["dcv_method"].(string)
	return method
}

// SkipApproval returns skip_approval of the order settings.
func SkipApproval(s pluginapi.Settings) bool {
	skip, _ := s.Values["skip_approval"].(bool)
	return skip
}

// CSRText is a certificate request as certificate.csr carries it: PEM with its header lines.
func CSRText(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// Order makes the body of a new order or of a renewal, and its path below /services/v2. It fails with InvalidRequest,
// naming the field, when Check finds a Fault or when what was computed does not fit. The body may hold the data of a
// credit card: it must be neither logged nor kept.
func Order(s pluginapi.Settings, c Computed) (path string, text []byte, err error) {
	return order(s, c, time.Now())
}

func order(s pluginapi.Settings, c Computed, now time.Time) (string, []byte, error) {
	if err := fit(s, c, now, nil); err != nil {
		return "", nil, err
	}
	if err := c.checkMarks(); err != nil {
		return "", nil, err
	}
	at := endpointOf(s)
	b := fields.Body{}
	table().Fill(b, s, fields.Out{In: at.page, Include: fields.Everything})
	c.fill(b, at.validation != DV)
	// Both are the defaults that DigiCert documents. They go out all the same: an account that has others would buy and
	// reissue beside certbridged.
	b.SetDefault("auto_renew", 0)
	b.SetDefault("auto_reissue", 0)
	b["alternative_order_id"] = c.AlternativeOrderID
	switch {
	case c.RenewalOfOrderID != 0:
		b["renewal_of_order_id"] = c.RenewalOfOrderID
	case c.RenewedThumbprint != "":
		b["renewed_thumbprint"] = strings.ToUpper(c.RenewedThumbprint)
	}
	text, err := b.JSON()
	if err != nil {
		return "", nil, err
	}
	return "/order/certificate/" + at.product, text, nil
}

// Reissue makes the body of a reissue: POST /order/certificate/{order_id}/reissue. It has the order settings that a
// reissue takes, and the whole list of names, for a name that is left out counts as removed. It fails as Order does, but
// for what is wrong with fields that only an order has.
func Reissue(s pluginapi.Settings, c Computed) (text []byte, err error) {
	return reissue(s, c, time.Now())
}

func reissue(s pluginapi.Settings, c Computed, now time.Time) ([]byte, error) {
	if err := fit(s, c, now, table().Matters(onReissue)); err != nil {
		return nil, err
	}
	b := fields.Body{}
	table().Fill(b, s, fields.Out{In: onReissue})
	c.fill(b, true)
	return b.JSON()
}

// fill puts in what is computed.
func (c Computed) fill(b fields.Body, hash bool) {
	certificate := b.Table("certificate")
	certificate["csr"] = CSRText(c.CSR)
	certificate["common_name"] = c.CommonName
	if others := c.others(); len(others) > 0 {
		certificate["dns_names"] = others
	}
	certificate.SetDefault("server_platform", fields.Body{"id": otherPlatform})
	if hash {
		certificate.SetDefault("signature_hash", defaultSignatureHash)
	}
	if c.DCVMethod != "" {
		b.SetDefault("dcv_method", c.DCVMethod)
	}
}

// others are the names besides the common name, each once.
func (c Computed) others() []string {
	var out []string
	for _, name := range c.DNSNames {
		if name != c.CommonName && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// fit checks the settings, what was computed, and the two together.
func fit(s pluginapi.Settings, c Computed, now time.Time, matters func(pluginapi.Finding) bool) error {
	if err := fields.Refusal(check(s, now), matters); err != nil {
		return err
	}
	if err := c.checkCertificate(); err != nil {
		return err
	}
	if err := c.checkMethod(s); err != nil {
		return err
	}
	return c.checkMails(s)
}

func (c Computed) checkCertificate() error {
	if _, err := x509.ParseCertificateRequest(c.CSR); err != nil {
		return pluginapi.FieldErrorf("certificate.csr", "is no certificate request: %w", err)
	}
	if len(c.CommonName) > maxCommonName {
		return pluginapi.FieldErrorf("certificate.common_name", "%q has more than the %d characters of a common name (RFC 5280): put a shorter name in the first place", c.CommonName, maxCommonName)
	}
	if !isNameOrAddress(c.CommonName) {
		return pluginapi.FieldErrorf("certificate.common_name", "%q is neither a domain name in ASCII form nor an IP address", c.CommonName)
	}
	for _, name := range c.DNSNames {
		if !isNameOrAddress(name) {
			return pluginapi.FieldErrorf("certificate.dns_names", "%q is neither a domain name in ASCII form nor an IP address", name)
		}
	}
	return nil
}

func isNameOrAddress(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil || fields.IsDNSName(strings.TrimPrefix(text, "*."))
}

func (c Computed) checkMarks() error {
	switch {
	case !alternativeIDShape.MatchString(c.AlternativeOrderID):
		return pluginapi.FieldErrorf("alternative_order_id", "%q is not 1 to %d letters and digits", c.AlternativeOrderID, maxAlternativeOrderID)
	case c.RenewalOfOrderID < 0:
		return pluginapi.FieldErrorf("renewal_of_order_id", "%d is no order", c.RenewalOfOrderID)
	case c.RenewedThumbprint != "" && !thumbprintShape.MatchString(c.RenewedThumbprint):
		return pluginapi.FieldErrorf("renewed_thumbprint", "%q is not the 40 hexadecimal digits of a SHA-1 thumbprint", c.RenewedThumbprint)
	case c.RenewalOfOrderID != 0 && c.RenewedThumbprint != "":
		return pluginapi.FieldErrorf("renewal_of_order_id", "an order renews by number or by thumbprint, not by both")
	}
	return nil
}

// checkMethod looks at the DCV method that will be sent, be it configured or chosen. Public orders always have one:
// DigiCert's default is e-mail, which waits for a person.
func (c Computed) checkMethod(s pluginapi.Settings) error {
	const field = "dcv_method"
	method := DCVMethod(s)
	if method == "" {
		method = c.DCVMethod
	}
	at := endpointOf(s)
	key, _ := s.Values["use_auth_key"].(bool)
	wildcard := slices.ContainsFunc(append([]string{c.CommonName}, c.DNSNames...), func(name string) bool { return strings.HasPrefix(name, "*.") })
	switch {
	case method == "" && at.validation != Private:
		return pluginapi.FieldErrorf(field, "is missing: DigiCert would ask by e-mail")
	case method != "" && !slices.Contains([]string{MethodEmail, MethodTXT, MethodCNAME, MethodHTTP, MethodHTTPDynamic, MethodAuthKey}, method):
		return pluginapi.FieldErrorf(field, "%q is no way to show domain control", method)
	case method == MethodHTTPDynamic:
		return pluginapi.FieldErrorf(field, "%s is not supported: use %s", method, MethodHTTP)
	case method == MethodAuthKey && !key:
		return pluginapi.FieldErrorf(field, "%s needs use_auth_key", method)
	// What DigiCert does with a file for a mixture of names is not confirmed; for wildcards alone it refuses.
	case wildcard && method == MethodHTTP:
		return pluginapi.FieldErrorf(field, "%s shows no control over a wildcard: use %s or %s", method, MethodTXT, MethodCNAME)
	}
	return nil
}

// checkMails compares dcv_emails with the names.
func (c Computed) checkMails(s pluginapi.Settings) error {
	list, _ := s.Values["dcv_emails"].([]any)
	for _, e := range list {
		entry, _ := e.(map[string]any)
		name, _ := entry["dns_name"].(string)
		is := func(other string) bool { return strings.EqualFold(other, name) }
		if !is(c.CommonName) && !slices.ContainsFunc(c.DNSNames, is) {
			return pluginapi.FieldErrorf("dcv_emails", "%q is no name of the certificate: remove its entry", name)
		}
	}
	return nil
}
