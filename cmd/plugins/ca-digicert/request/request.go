package request

import (
	"encoding/pem"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Account are account settings that stand in for order settings.
type Account struct {
	OrganizationID int64 // zero: none
	ContainerID    int64 // zero: none
	SkipApproval   *bool // nil: not set
}

// WithAccount returns order settings in which what the account says fills what the order leaves open: organization.id
// (for products that have an organization), container.id and skip_approval. Check, Order and Reissue want its result.
// The settings handed in are not changed.
func WithAccount(s pluginapi.Settings, a Account) pluginapi.Settings {
	return s
}

// Computed are the request fields that are made, not configured.
type Computed struct {
	// CSR is the certificate request, DER.
	CSR []byte
	// CommonName and DNSNames are certificate.common_name and certificate.dns_names: ASCII names, "*." allowed in
	// front. DNSNames need not repeat the common name, and may.
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
	MethodHTTPDynamic = "http-token-dynamic" // OV and EV only
	MethodAuthKey     = "token-based"        // DV only; needs use_auth_key, auth_key_id and auth_key
)

// SecretAuthKey is the path of the AuthKey's text in the order settings. It makes request tokens and is never sent.
const SecretAuthKey = "auth_key"

// The validations of Product.
const (
	DV      = "dv"
	OV      = "ov"
	EV      = "ev"
	Private = "private"
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

// Fields is the schema of the order settings.
func Fields() []pluginapi.Field {
	return []pluginapi.Field{{Name: "product", Type: pluginapi.String, Required: true, Help: "Product to order."}}
}

// Check returns all that is wrong with order settings. A Fault keeps them from being sent.
func Check(s pluginapi.Settings) []pluginapi.Finding {
	return pluginapi.CheckSettings(Fields(), s)
}

// Product returns the product of the order settings, the last part of the order endpoint's path, and what DigiCert
// validates for it: DV, OV, EV or Private. Both are empty when the settings have no product.
func Product(s pluginapi.Settings) (name, validation string) {
	name, _ = s.Values["product"].(string)
	return name, ""
}

// Order makes the body of a new order or of a renewal, and its path below /services/v2. It fails with InvalidRequest,
// naming the field, when Check finds a Fault or when what was computed does not fit. The body may hold credit card data:
// it must not be logged or kept.
func Order(s pluginapi.Settings, c Computed) (path string, body []byte, err error) {
	return "", nil, pluginapi.Errorf(pluginapi.Unavailable, "orders cannot be written yet")
}

// Reissue makes the body of a reissue: POST order/certificate/{order_id}/reissue. It fails as Order does.
func Reissue(s pluginapi.Settings, c Computed) (body []byte, err error) {
	return nil, pluginapi.Errorf(pluginapi.Unavailable, "reissues cannot be written yet")
}
