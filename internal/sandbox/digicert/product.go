package digicert

import "slices"

// The validation types of products.
const (
	typeDV      = "dv"
	typeOV      = "ov"
	typeEV      = "ev"
	typePrivate = "private"
)

// product is one thing that can be ordered.
type product struct {
	NameID, Name, Validation string
	// Wildcard: the common name is a wildcard. AnyNames: wildcards and others may be mixed.
	Wildcard, AnyNames bool
	// Price is for a year, Extra for each further name, in cents. The figures are the stand-in's own.
	Price, Extra int64
	// Issuer is the issuing CA where the order does not choose.
	Issuer string
	// Hint is the type_hint that finds it at the ssl endpoint.
	Hint string
}

// The issuing CAs of the stand-in, in the shape of DigiCert's.
const (
	issuerRSA     = "Sandbox Global G2 TLS RSA SHA256 2020 CA1"
	issuerECC     = "Sandbox Global G3 TLS ECC SHA384 2020 CA1"
	issuerGeo     = "Sandbox GeoTrust TLS RSA CA G1"
	issuerPrivate = "Sandbox Private SSL CA"
)

// products are those of the documentation.
//
// Unconfirmed: the product ids ssl_ev_basic and grid_host_ssl, and those of OV, EV and private products that stand in no page; clients in the field use most of them.
//
// Unconfirmed: that the standard DV products refuse wildcards and that the wildcard products want one as the common name; their names say so.
func products() []product {
	return []product{
		{NameID: "ssl_dv_geotrust", Name: "GeoTrust Standard DV", Validation: typeDV, Price: 14900, Extra: 5000, Issuer: issuerGeo},
		{NameID: "ssl_dv_rapidssl", Name: "RapidSSL Standard DV", Validation: typeDV, Price: 5900, Extra: 3000, Issuer: issuerGeo},
		{NameID: "wildcard_dv_geotrust", Name: "GeoTrust Wildcard DV", Validation: typeDV, Wildcard: true, Price: 69900, Extra: 20000, Issuer: issuerGeo},
		{NameID: "wildcard_dv_rapidssl", Name: "RapidSSL Wildcard DV", Validation: typeDV, Wildcard: true, Price: 24900, Extra: 10000, Issuer: issuerGeo},
		{NameID: "cloud_dv_geotrust", Name: "GeoTrust Cloud DV", Validation: typeDV, AnyNames: true, Price: 39900, Extra: 9900, Issuer: issuerGeo},
		{NameID: "ssl_dv_geotrust_flex", Name: "GeoTrust DV SSL", Validation: typeDV, AnyNames: true, Price: 14900, Extra: 5000, Issuer: issuerGeo},
		{NameID: "ssl_basic", Name: "Basic OV", Validation: typeOV, AnyNames: true, Price: 26800, Extra: 8000, Issuer: issuerRSA, Hint: typeOV},
		{NameID: "ssl_securesite_flex", Name: "Secure Site OV", Validation: typeOV, AnyNames: true, Price: 39900, Extra: 12000, Issuer: issuerRSA},
		{NameID: "ssl_securesite_pro", Name: "Secure Site Pro SSL", Validation: typeOV, AnyNames: true, Price: 99500, Extra: 25000, Issuer: issuerRSA},
		{NameID: "ssl_plus", Name: "Standard SSL", Validation: typeOV, Price: 26800, Extra: 8000, Issuer: issuerRSA},
		{NameID: "ssl_multi_domain", Name: "Multi-Domain SSL", Validation: typeOV, Price: 34400, Extra: 8000, Issuer: issuerRSA},
		{NameID: "ssl_wildcard", Name: "Wildcard", Validation: typeOV, Wildcard: true, Price: 88800, Extra: 20000, Issuer: issuerRSA},
		{NameID: "ssl_cloud_wildcard", Name: "Cloud", Validation: typeOV, AnyNames: true, Price: 88800, Extra: 20000, Issuer: issuerRSA},
		{NameID: "ssl_geotrust_truebizid", Name: "GeoTrust TrueBusiness ID OV", Validation: typeOV, AnyNames: true, Price: 19900, Extra: 5000, Issuer: issuerGeo},
		{NameID: "ssl_ev_basic", Name: "Basic EV", Validation: typeEV, Price: 43800, Extra: 12000, Issuer: issuerRSA, Hint: typeEV},
		{NameID: "ssl_ev_plus", Name: "Extended Validation SSL", Validation: typeEV, Price: 43800, Extra: 12000, Issuer: issuerRSA},
		{NameID: "ssl_ev_multi_domain", Name: "EV Multi-Domain", Validation: typeEV, Price: 52000, Extra: 12000, Issuer: issuerRSA},
		{NameID: "ssl_ev_securesite_flex", Name: "Secure Site EV", Validation: typeEV, Price: 99500, Extra: 25000, Issuer: issuerRSA},
		{NameID: "ssl_ev_securesite_pro", Name: "Secure Site Pro EV SSL", Validation: typeEV, Price: 149900, Extra: 30000, Issuer: issuerRSA},
		{NameID: "grid_host_ssl", Name: "Grid Host SSL", Validation: typeOV, AnyNames: true, Price: 26800, Extra: 8000, Issuer: issuerRSA, Hint: "grid"},
		{NameID: "private_ssl_plus", Name: "Private SSL", Validation: typePrivate, AnyNames: true, Price: 9900, Extra: 1000, Issuer: issuerPrivate, Hint: typePrivate},
		{NameID: "private_ssl_wildcard", Name: "Private SSL Wildcard", Validation: typePrivate, Wildcard: true, Price: 19900, Extra: 1000, Issuer: issuerPrivate},
	}
}

func productByID(id string) (product, bool) {
	all := products()
	i := slices.IndexFunc(all, func(p product) bool { return p.NameID == id })
	if i < 0 {
		return product{}, false
	}
	return all[i], true
}

// byHint finds the product that the ssl endpoint takes for a type_hint, among those that an account may order. Without a
// hint it is found only where no other fits.
//
// Unconfirmed: which product the ssl endpoint picks for each hint; the stand-in has one for each.
func byHint(hint string, sells func(p product) bool) (product, bool) {
	var fit []product
	for _, p := range products() {
		if p.Hint != "" && (hint == "" || p.Hint == hint) && sells(p) {
			fit = append(fit, p)
		}
	}
	if len(fit) != 1 {
		return product{}, false
	}
	return fit[0], true
}

// public reports whether the limits of public certificates hold.
func (p product) public() bool { return p.Validation != typePrivate }

// reuses reports whether domain validations of the account count: for DV they never do.
func (p product) reuses() bool { return p.Validation == typeOV || p.Validation == typeEV }

// issuers are the issuing CAs that an order of the product may choose.
func (p product) issuers() []string {
	if !p.public() {
		return []string{issuerPrivate}
	}
	list := []string{p.Issuer}
	for _, name := range []string{issuerRSA, issuerECC} {
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

// price is what a plan costs, in cents. A plan of less than a year costs as much as a year.
//
// Unconfirmed: the price of plans shorter than a year.
func (p product) price(names int, t terms, days int64) int64 {
	years := t.Years
	if years == 0 {
		years = max(1, (days+364)/365)
	}
	return years * (p.Price + int64(max(0, names-1))*p.Extra)
}
