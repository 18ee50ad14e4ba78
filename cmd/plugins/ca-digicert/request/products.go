package request

import (
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
)

// The validations of Product: what DigiCert looks at before it issues.
const (
	DV      = "dv"      // control over the names
	OV      = "ov"      // that, and the organization
	EV      = "ev"      // that, at length
	Private = "private" // a private CA
)

// productByHint is the product with which DigiCert picks one by product.type_hint.
const productByHint = "ssl"

// products are those of CertCentral that issue TLS certificates, with what is validated. Only the DV products stand on
// DigiCert's order pages; the others are known from other clients. An account has those that DigiCert enabled for it.
func products() map[string]string {
	return map[string]string{
		"cloud_dv_geotrust":      DV,
		"ssl_dv_geotrust":        DV,
		"ssl_dv_geotrust_flex":   DV,
		"ssl_dv_rapidssl":        DV,
		"wildcard_dv_geotrust":   DV,
		"wildcard_dv_rapidssl":   DV,
		"ssl_basic":              OV,
		"ssl_cloud_wildcard":     OV,
		"ssl_geotrust_truebizid": OV,
		"ssl_multi_domain":       OV,
		"ssl_plus":               OV,
		"ssl_securesite_flex":    OV,
		"ssl_securesite_pro":     OV,
		"ssl_wildcard":           OV,
		"ssl_ev_basic":           EV, // not confirmed by DigiCert's pages
		"ssl_ev_multi_domain":    EV,
		"ssl_ev_plus":            EV,
		"ssl_ev_securesite_flex": EV,
		"ssl_ev_securesite_pro":  EV,
		"private_ssl_plus":       Private,
		"private_ssl_wildcard":   Private,
	}
}

// endpoint is where an order goes and what holds there.
type endpoint struct {
	product    string // empty: none given
	validation string
	// page has the fields of this endpoint; zero where neither page is about it.
	page fields.Calls
	// known is false for a product whose validation is a guess by its name.
	known bool
}

func endpointOf(s pluginapi.Settings) endpoint {
	name, _ := s.Values["product"].(string)
	if name == productByHint {
		return endpoint{product: name, validation: hinted(s), page: onHint, known: true}
	}
	validation, known := products()[name]
	if !known {
		validation = guess(name)
	}
	at := endpoint{product: name, validation: validation, known: known}
	if validation == DV {
		at.page = onDV
	}
	return at
}

// hinted is the validation of what DigiCert picks. Without a hint it may pick OV or EV; both have an organization. (Not
// confirmed by DigiCert's pages: that products of the kind "grid" are validated as OV.)
func hinted(s pluginapi.Settings) string {
	switch hint, _ := s.Values["product_type_hint"].(string); hint {
	case "ev":
		return EV
	case "private":
		return Private
	default:
		return OV
	}
}

// guess goes by how DigiCert names its products.
func guess(name string) string {
	parts := "_" + name + "_"
	switch {
	case name == "":
		return ""
	case strings.HasPrefix(name, "private_"):
		return Private
	case strings.Contains(parts, "_dv_"):
		return DV
	case strings.Contains(parts, "_ev_"):
		return EV
	default:
		return OV
	}
}

// public reports whether browsers' rules hold for what the endpoint issues.
func (e endpoint) public() bool { return e.validation != Private && e.validation != "" }

// String names the endpoint for people.
func (e endpoint) String() string { return "order/certificate/" + e.product }

// Product returns the product of the order settings, the last part of the order endpoint's path, and what DigiCert
// validates for it: DV, OV, EV or Private. Both are empty when the settings have no product. For a product that is not
// known here the validation is a guess by its name, which Check warns about.
func Product(s pluginapi.Settings) (name, validation string) {
	at := endpointOf(s)
	return at.product, at.validation
}
