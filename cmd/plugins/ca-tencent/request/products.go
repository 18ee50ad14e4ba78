package request

import (
	"fmt"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
)

// The validations: what is looked at before a certificate is issued.
const (
	DV = "dv" // control over the names
	OV = "ov" // that, and the organization
	EV = "ev" // that, at length
	// organization is OV or EV: Tencent's pages leave open which.
	organization = "ov or ev"
)

// scope is which names a product takes.
type scope int

const (
	anyNames  scope = iota // not known
	oneName                // one, and what comes with it for free
	manyNames              // several
	wildcard               // one wildcard
	wildcards              // several of them
)

// product is something that Tencent sells, as far as it is known here.
type product struct {
	id         int64
	name       string
	validation string // empty: not known
	names      scope
	// sm2: for keys of China's SM2 algorithm, which certbridged does not make; free: not bought at all.
	sm2, free bool
	// brand decides what comes for free.
	brand string
}

// products are those of the API's list. Which of them are on sale for an account, Tencent does not say there.
func products() []product {
	out := []product{
		{id: 3, name: "SecureSite EV Pro", validation: EV, names: oneName},
		{id: 4, name: "SecureSite EV", validation: EV, names: oneName},
		{id: 5, name: "SecureSite OV Pro", validation: OV, names: oneName},
		{id: 6, name: "SecureSite OV", validation: OV, names: oneName},
		{id: 7, name: "SecureSite OV wildcard", validation: OV, names: wildcard},
		{id: 8, name: "GeoTrust EV", validation: EV, names: oneName},
		{id: 9, name: "GeoTrust OV", validation: OV, names: oneName},
		{id: 10, name: "GeoTrust OV wildcard", validation: OV, names: wildcard},
		{id: 11, name: "TrustAsia DV multi-domain", validation: DV, names: manyNames},
		{id: 12, name: "TrustAsia DV wildcard", validation: DV, names: wildcard},
		{id: 13, name: "TrustAsia OV wildcard", validation: OV, names: wildcard},
		{id: 14, name: "TrustAsia OV", validation: OV, names: oneName},
		{id: 15, name: "TrustAsia OV multi-domain", validation: OV, names: manyNames},
		{id: 16, name: "TrustAsia EV", validation: EV, names: oneName},
		{id: 17, name: "TrustAsia EV multi-domain", validation: EV, names: manyNames},
		{id: 18, name: "GlobalSign OV", validation: OV, names: oneName, brand: globalSign},
		{id: 19, name: "GlobalSign OV wildcard", validation: OV, names: wildcard, brand: globalSign},
		{id: 20, name: "GlobalSign EV", validation: EV, names: oneName, brand: globalSign},
		{id: 21, name: "TrustAsia OV wildcard multi-domain", validation: OV, names: wildcards},
		{id: 22, name: "GlobalSign OV multi-domain", validation: OV, names: manyNames, brand: globalSign},
		{id: 23, name: "GlobalSign OV wildcard multi-domain", validation: OV, names: wildcards, brand: globalSign},
		{id: 24, name: "GlobalSign EV multi-domain", validation: EV, names: manyNames, brand: globalSign},
		{id: 25, name: "WoTrus DV", validation: DV, names: oneName},
		{id: 26, name: "WoTrus DV multi-domain", validation: DV, names: manyNames},
		{id: 27, name: "WoTrus DV wildcard", validation: DV, names: wildcard},
		{id: 28, name: "WoTrus OV", validation: OV, names: oneName},
		{id: 29, name: "WoTrus OV multi-domain", validation: OV, names: manyNames},
		{id: 30, name: "WoTrus OV wildcard", validation: OV, names: wildcard},
		{id: 31, name: "WoTrus EV", validation: EV, names: oneName},
		{id: 32, name: "WoTrus EV multi-domain", validation: EV, names: manyNames},
		{id: 42, name: "TrustAsia DV wildcard multi-domain", validation: DV, names: wildcards},
		{id: 43, name: "DNSPod OV", validation: OV, names: oneName, brand: dnspod},
		{id: 44, name: "DNSPod OV wildcard", validation: OV, names: wildcard, brand: dnspod},
		{id: 45, name: "DNSPod OV multi-domain", validation: OV, names: manyNames, brand: dnspod},
		{id: 46, name: "DNSPod EV", validation: EV, names: oneName, brand: dnspod},
		{id: 47, name: "DNSPod EV multi-domain", validation: EV, names: manyNames, brand: dnspod},
		{id: 48, name: "DNSPod DV", validation: DV, names: oneName, brand: dnspod},
		{id: 49, name: "DNSPod DV wildcard", validation: DV, names: wildcard, brand: dnspod},
		{id: 50, name: "DNSPod DV multi-domain", validation: DV, names: manyNames, brand: dnspod},
		{id: 61, name: "GeoTrust EV multi-domain", validation: EV, names: manyNames},
		{id: 83, name: "TrustAsia C1 DV", validation: DV, names: oneName, free: true},
		// Of the mainland's site alone.
		{id: 102, name: "Rapid DV", validation: DV, names: oneName},
		{id: 103, name: "Rapid DV wildcard", validation: DV, names: wildcard},
		{id: 104, name: "TrustAsia DV", validation: DV, names: oneName},
	}
	// Which of these four is which, the API's list does not say. SecureSite has no DV.
	for id := int64(57); id <= 60; id++ { // the page does not say which of the four is EV
		out = append(out, product{id: id, name: "SecureSite multi-domain", validation: organization, names: manyNames})
	}
	for _, of := range []struct{ from, to int64 }{{33, 35}, {37, 41}, {51, 56}} {
		for id := of.from; id <= of.to; id++ {
			out = append(out, product{id: id, name: "a product for SM2 keys", sm2: true})
		}
	}
	return out
}

const (
	globalSign = "GlobalSign"
	dnspod     = "DNSPod"
)

func (p product) known() bool { return p.name != "" }

// String names the product for people.
func (p product) String() string {
	if !p.known() {
		return fmt.Sprintf("product %d", p.id)
	}
	return fmt.Sprintf("product %d (%s)", p.id, p.name)
}

func findProduct(id int64) product {
	for _, p := range products() {
		if p.id == id {
			return p
		}
	}
	return product{id: id}
}

// productOf is what the order settings buy.
func productOf(s pluginapi.Settings) product {
	id, _ := fields.Whole(s.Values["ProductId"])
	return findProduct(id)
}

// ProductID is the number of what the order settings buy, and ProductName what it is called for people.
func ProductID(s pluginapi.Settings) int64 { return productOf(s).id }

// ProductName names a product for people.
func ProductName(id int64) string { return findProduct(id).String() }

// Validation returns what is looked at for the product of the order settings: DV, OV or EV. Of a product that is not known
// here it is DV for an individual and OV for a company.
func Validation(s pluginapi.Settings) string {
	p := productOf(s)
	if p.validation == "" && companyType(s) == individual {
		return DV
	}
	if p.validation == "" {
		return OV
	}
	return p.validation
}
