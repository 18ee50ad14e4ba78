package tencent

// The kinds of validation.
const (
	typeDV = "DV"
	typeOV = "OV"
	typeEV = "EV"
)

// The brands, which decide how domains are shown and who signs.
const (
	brandSecureSite = "SecureSite"
	brandGeoTrust   = "GeoTrust"
	brandTrustAsia  = "TrustAsia"
	brandGlobalSign = "GlobalSign"
	brandWoTrus     = "WoTrus"
	brandDNSPod     = "DNSPod"
	brandRapid      = "Rapid"
)

// product is one that can be bought.
type product struct {
	ID         int64
	Brand      string
	Validation string
	Multi      bool // several names
	Wildcard   bool
	Mainland   bool // sold on the mainland's site alone
}

// name is what lists call it.
func (p product) name() string {
	name := p.Brand + " " + p.Validation + " SSL"
	if p.Wildcard {
		name += " Wildcard"
	}
	if p.Multi {
		name += " Multi-Domain"
	}
	return name
}

// aliased reports whether domains are shown by CNAME records rather than TXT.
//
// Unconfirmed: that TrustAsia and WoTrus ask for CNAME records and all others for TXT, and what DNSPod's CaType changes;
// the stand-in asks for CNAME with sectigo.
func (p product) aliased(caType string) bool {
	return p.Brand == brandTrustAsia || p.Brand == brandWoTrus || p.Brand == brandDNSPod && caType == caSectigo
}

// renewsItself reports whether AutoRenewFlag has an effect.
func (p product) renewsItself() bool {
	return p.Validation == typeDV && (p.Brand == brandDNSPod || p.Brand == brandTrustAsia || p.Brand == brandWoTrus)
}

// price is in cents for a purchase. It is the stand-in's own.
func (p product) price(names, years int64) int64 {
	cents := map[string]int64{typeDV: 5000, typeOV: 30000, typeEV: 60000}[p.Validation]
	if p.Wildcard {
		cents *= 4
	}
	return cents * names * years
}

// products are those that the stand-in sells.
//
// Unconfirmed: which of them the international site sells, and what 57 to 60 are beside multi-domain products of
// SecureSite; the stand-in has them in the order of 3 to 6. Products of the mainland's list that are not named, those of
// CFCA and those with SM2 keys are not sold by the stand-in.
func products() []product {
	return []product{
		{ID: 3, Brand: brandSecureSite, Validation: typeEV}, {ID: 4, Brand: brandSecureSite, Validation: typeEV},
		{ID: 5, Brand: brandSecureSite, Validation: typeOV}, {ID: 6, Brand: brandSecureSite, Validation: typeOV},
		{ID: 7, Brand: brandSecureSite, Validation: typeOV, Wildcard: true},
		{ID: 8, Brand: brandGeoTrust, Validation: typeEV}, {ID: 9, Brand: brandGeoTrust, Validation: typeOV},
		{ID: 10, Brand: brandGeoTrust, Validation: typeOV, Wildcard: true},
		{ID: 11, Brand: brandTrustAsia, Validation: typeDV, Multi: true},
		{ID: 12, Brand: brandTrustAsia, Validation: typeDV, Wildcard: true},
		{ID: 13, Brand: brandTrustAsia, Validation: typeOV, Wildcard: true}, {ID: 14, Brand: brandTrustAsia, Validation: typeOV},
		{ID: 15, Brand: brandTrustAsia, Validation: typeOV, Multi: true}, {ID: 16, Brand: brandTrustAsia, Validation: typeEV},
		{ID: 17, Brand: brandTrustAsia, Validation: typeEV, Multi: true},
		{ID: 18, Brand: brandGlobalSign, Validation: typeOV}, {ID: 19, Brand: brandGlobalSign, Validation: typeOV, Wildcard: true},
		{ID: 20, Brand: brandGlobalSign, Validation: typeEV},
		{ID: 21, Brand: brandTrustAsia, Validation: typeOV, Wildcard: true, Multi: true},
		{ID: 22, Brand: brandGlobalSign, Validation: typeOV, Multi: true},
		{ID: 23, Brand: brandGlobalSign, Validation: typeOV, Wildcard: true, Multi: true},
		{ID: 24, Brand: brandGlobalSign, Validation: typeEV, Multi: true},
		{ID: 25, Brand: brandWoTrus, Validation: typeDV}, {ID: 26, Brand: brandWoTrus, Validation: typeDV, Multi: true},
		{ID: 27, Brand: brandWoTrus, Validation: typeDV, Wildcard: true}, {ID: 28, Brand: brandWoTrus, Validation: typeOV},
		{ID: 29, Brand: brandWoTrus, Validation: typeOV, Multi: true}, {ID: 30, Brand: brandWoTrus, Validation: typeOV, Wildcard: true},
		{ID: 31, Brand: brandWoTrus, Validation: typeEV}, {ID: 32, Brand: brandWoTrus, Validation: typeEV, Multi: true},
		{ID: 42, Brand: brandTrustAsia, Validation: typeDV, Wildcard: true, Multi: true},
		{ID: 43, Brand: brandDNSPod, Validation: typeOV}, {ID: 44, Brand: brandDNSPod, Validation: typeOV, Wildcard: true},
		{ID: 45, Brand: brandDNSPod, Validation: typeOV, Multi: true}, {ID: 46, Brand: brandDNSPod, Validation: typeEV},
		{ID: 47, Brand: brandDNSPod, Validation: typeEV, Multi: true}, {ID: 48, Brand: brandDNSPod, Validation: typeDV},
		{ID: 49, Brand: brandDNSPod, Validation: typeDV, Wildcard: true}, {ID: 50, Brand: brandDNSPod, Validation: typeDV, Multi: true},
		{ID: 57, Brand: brandSecureSite, Validation: typeEV, Multi: true}, {ID: 58, Brand: brandSecureSite, Validation: typeEV, Multi: true},
		{ID: 59, Brand: brandSecureSite, Validation: typeOV, Multi: true}, {ID: 60, Brand: brandSecureSite, Validation: typeOV, Multi: true},
		{ID: 61, Brand: brandGeoTrust, Validation: typeEV, Multi: true},
		{ID: 102, Brand: brandRapid, Validation: typeDV, Mainland: true},
		{ID: 103, Brand: brandRapid, Validation: typeDV, Wildcard: true, Mainland: true},
		{ID: 104, Brand: brandTrustAsia, Validation: typeDV, Mainland: true},
	}
}

func productByID(id int64) (product, bool) {
	for _, p := range products() {
		if p.ID == id {
			return p, true
		}
	}
	return product{}, false
}
