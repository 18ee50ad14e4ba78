package servertastic

import (
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// family is whose rules a product follows.
type family string

const (
	familyDigiCert family = "digicert"
	familySectigo  family = "sectigo"
)

// The kinds of validation.
const (
	typeDV = "DV"
	typeOV = "OV"
	typeEV = "EV"
)

// The issuing CAs.
const (
	issuerRapid   = "Sandbox RapidSSL TLS RSA CA"
	issuerGeo     = "Sandbox GeoTrust TLS RSA CA"
	issuerSecure  = "Sandbox Secure Site TLS RSA CA"
	issuerECC     = "Sandbox Global G3 TLS ECC CA"
	issuerSectigo = "Sandbox Sectigo DV Secure Server CA"
)

// NewAuthority makes root and issuing CAs in the shape of those behind the reseller. Tests share one, for RSA keys take
// a while.
func NewAuthority() (*sandbox.Authority, error) {
	return sandbox.NewAuthority([]sandbox.IssuerShape{
		{Root: "Sandbox Global Root G2", Name: issuerRapid, Kind: sandbox.RSA},
		{Root: "Sandbox Global Root G2", Name: issuerGeo, Kind: sandbox.RSA},
		{Root: "Sandbox Global Root G2", Name: issuerSecure, Kind: sandbox.RSA},
		{Root: "Sandbox Global Root G3", Name: issuerECC, Kind: sandbox.ECDSA},
		{Root: "Sandbox USERTrust ECC", Name: issuerSectigo, Kind: sandbox.ECDSA},
	})
}

// product is one that can be ordered. Points are the stand-in's own.
type product struct {
	// Code is the product's with its term in months, such as RapidSSL-12.
	Code, Name, Validation string
	Family                 family
	Wildcard               bool
	// LeastSANs to MostSANs are additional names; FreeSANs of them are in the price. A product for which MostSANs is more
	// than 0 takes wildcards among them where WildcardSANs says so.
	LeastSANs, MostSANs, FreeSANs int
	WildcardSANs                  bool
	MostServers                   int
	Points, SANPoints             int64
	Issuer                        string
}

// products are those that the reseller is known to have, for one year: nothing longer is known to be sold now.
//
// Unconfirmed: the present list of products, and the codes of SectigoSSL.
func products() []product {
	list := []product{
		{Code: "RapidSSL", Name: "RapidSSL: RapidSSL", Family: familyDigiCert, Validation: typeDV, Points: 10, Issuer: issuerRapid},
		{Code: "RapidSSLWildcard", Name: "RapidSSL: RapidSSL Wildcard", Family: familyDigiCert, Validation: typeDV, Wildcard: true, Points: 90, Issuer: issuerRapid},
		{Code: "PositiveSSL", Name: "PositiveSSL", Family: familySectigo, Validation: typeDV, Points: 8, Issuer: issuerSectigo},
		{Code: "PositiveSSLWildcard", Name: "PositiveSSL Wildcard", Family: familySectigo, Validation: typeDV, Wildcard: true, Points: 80, Issuer: issuerSectigo},
		{Code: "SectigoSSL", Name: "SectigoSSL", Family: familySectigo, Validation: typeDV, MostSANs: 10, WildcardSANs: true, Points: 30, SANPoints: 10, Issuer: issuerSectigo},
		{Code: "QuickSSLPremium", Name: "GeoTrust: QuickSSL Premium", Family: familyDigiCert, Validation: typeDV, Points: 50, Issuer: issuerGeo},
		{Code: "QuickSSLPremiumMD", Name: "GeoTrust: QuickSSL Premium Multi-Domain", Family: familyDigiCert, Validation: typeDV, LeastSANs: 4, MostSANs: 4, FreeSANs: 4, Points: 90, Issuer: issuerGeo},
		{Code: "TrueBizID", Name: "GeoTrust: True BusinessID", Family: familyDigiCert, Validation: typeOV, Points: 80, Issuer: issuerGeo},
		{Code: "TrueBizIDWildcard", Name: "GeoTrust: True BusinessID Wildcard", Family: familyDigiCert, Validation: typeOV, Wildcard: true, Points: 300, Issuer: issuerGeo},
		{Code: "TrueBizIDEV", Name: "GeoTrust: True BusinessID with EV", Family: familyDigiCert, Validation: typeEV, Points: 150, Issuer: issuerGeo},
		{Code: "TrueBizIDMD", Name: "GeoTrust: True BusinessID Multi-Domain", Family: familyDigiCert, Validation: typeOV, LeastSANs: 4, MostSANs: 24, FreeSANs: 4, Points: 150, SANPoints: 20, Issuer: issuerGeo},
		{Code: "TrueBizIDEVMD", Name: "GeoTrust: True BusinessID with EV Multi-Domain", Family: familyDigiCert, Validation: typeEV, LeastSANs: 4, MostSANs: 24, FreeSANs: 4, Points: 250, SANPoints: 40, Issuer: issuerGeo},
		{Code: "SecureSite", Name: "DigiCert: Secure Site", Family: familyDigiCert, Validation: typeOV, MostSANs: 24, WildcardSANs: true, Points: 300, SANPoints: 100, MostServers: 500, Issuer: issuerSecure},
		{Code: "SecureSitePro", Name: "DigiCert: Secure Site Pro", Family: familyDigiCert, Validation: typeOV, MostSANs: 24, WildcardSANs: true, Points: 700, SANPoints: 200, MostServers: 500, Issuer: issuerSecure},
		{Code: "SecureSiteEV", Name: "DigiCert: Secure Site with EV", Family: familyDigiCert, Validation: typeEV, MostSANs: 24, Points: 700, SANPoints: 200, MostServers: 500, Issuer: issuerSecure},
		{Code: "SecureSiteProEV", Name: "DigiCert: Secure Site Pro with EV", Family: familyDigiCert, Validation: typeEV, MostSANs: 24, Points: 1100, SANPoints: 300, MostServers: 500, Issuer: issuerSecure},
		{Code: "SSL123", Name: "thawte: SSL123", Family: familyDigiCert, Validation: typeDV, Points: 30, Issuer: issuerGeo},
		{Code: "SSLWebServer", Name: "thawte: SSL Web Server", Family: familyDigiCert, Validation: typeOV, MostSANs: 24, Points: 90, SANPoints: 30, Issuer: issuerGeo},
		{Code: "SSLWebServerEV", Name: "thawte: SSL Web Server with EV", Family: familyDigiCert, Validation: typeEV, MostSANs: 24, Points: 190, SANPoints: 60, Issuer: issuerGeo},
		{Code: "SSLWebServerWildcard", Name: "thawte: SSL Web Server Wildcard", Family: familyDigiCert, Validation: typeOV, Wildcard: true, Points: 400, Issuer: issuerGeo},
	}
	for i := range list {
		list[i].Code += "-12"
		list[i].Name += " - 1 Year"
		list[i].MostServers = max(1, list[i].MostServers)
	}
	return list
}

func productByCode(code string) (product, bool) {
	all := products()
	i := slices.IndexFunc(all, func(p product) bool { return p.Code == code })
	if i < 0 {
		return product{}, false
	}
	return all[i], true
}

// vetted reports whether an organization is looked at.
func (p product) vetted() bool { return p.Validation != typeDV }

// price is what a token costs, in points. A wildcard among the names costs as much as four others.
//
// Unconfirmed: what names and servers cost.
func (p product) price(sans, wildcards, servers int) int64 {
	extra := int64(max(0, sans-p.FreeSANs)) + 4*int64(wildcards)
	return (p.Points + extra*p.SANPoints) * int64(servers)
}

// choosesIssuer: rapid, Geo and DigiCert goods let an order choose its issuing CA.
func (p product) choosesIssuer() bool {
	return p.Family == familyDigiCert && !strings.HasPrefix(p.Name, "thawte")
}

// issuers are the issuing CAs that an order may choose; the first is the default.
func (p product) issuers() []string { return []string{p.Issuer, issuerECC} }

// caaIdentifiers are what a CAA record may name to let the CA issue.
func (p product) caaIdentifiers() []string {
	if p.Family == familySectigo {
		return []string{"sectigo.com", "comodoca.com", "comodo.com", "usertrust.com", "trust-provider.com"}
	}
	return []string{"digicert.com", "www.digicert.com", "symantec.com", "thawte.com", "geotrust.com", "rapidssl.com"}
}

const (
	// termDays is how long an order of a year lasts, mostCarried what a renewal may add of the old one's.
	termDays    = 365
	mostCarried = 90
)

// longest is how many days a certificate may last.
//
// Unconfirmed: the CAs' figures from 2027-03-15 and 2029-03-15 on; the industry's limits are 100 and 47 days, and today the CAs stay a day below.
func longest(now time.Time) int {
	switch {
	case !now.Before(time.Date(2029, 3, 15, 0, 0, 0, 0, time.UTC)):
		return 46
	case !now.Before(time.Date(2027, 3, 15, 0, 0, 0, 0, time.UTC)):
		return 99
	default:
		return 199
	}
}
