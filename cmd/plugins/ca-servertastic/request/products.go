package request

import (
	"slices"
	"strconv"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// The validations of a product: what is looked at before a certificate is issued.
const (
	DV = "dv" // control over the names
	OV = "ov" // that, and the organization
	EV = "ev" // that, at length
)

// The families of products: whose rules of domain control hold.
const (
	FamilyDigiCert = "digicert"
	FamilySectigo  = "sectigo"
)

// stem is a product without its term.
type stem struct {
	validation, family string
	wildcard           bool
	// least and most are how many additional names there are, beside the base domain and its companion; -1: nobody knows.
	least, most int
	// chooses: the issuing CA can be chosen.
	chooses bool
}

// stems are the products of ServerTastic's older pages and of clients; its list of the day is asked for before an order.
// (Not confirmed by ServerTastic's current pages: all of it; SectigoSSL is named there without a code.)
func stems() map[string]stem {
	return map[string]stem{
		"RapidSSL":             {validation: DV, family: FamilyDigiCert, chooses: true},
		"RapidSSLWildcard":     {validation: DV, family: FamilyDigiCert, wildcard: true, chooses: true},
		"PositiveSSL":          {validation: DV, family: FamilySectigo},
		"PositiveSSLWildcard":  {validation: DV, family: FamilySectigo, wildcard: true},
		"QuickSSLPremium":      {validation: DV, family: FamilyDigiCert, chooses: true},
		"QuickSSLPremiumMD":    {validation: DV, family: FamilyDigiCert, least: 4, most: 4, chooses: true},
		"TrueBizID":            {validation: OV, family: FamilyDigiCert, chooses: true},
		"TrueBizIDWildcard":    {validation: OV, family: FamilyDigiCert, wildcard: true, chooses: true},
		"TrueBizIDEV":          {validation: EV, family: FamilyDigiCert, chooses: true},
		"TrueBizIDMD":          {validation: OV, family: FamilyDigiCert, least: 4, most: 24, chooses: true},
		"TrueBizIDEVMD":        {validation: EV, family: FamilyDigiCert, least: 4, most: 24, chooses: true},
		"SecureSite":           {validation: OV, family: FamilyDigiCert, most: 24, chooses: true},
		"SecureSitePro":        {validation: OV, family: FamilyDigiCert, most: 24, chooses: true},
		"SecureSiteEV":         {validation: EV, family: FamilyDigiCert, most: 24, chooses: true},
		"SecureSiteProEV":      {validation: EV, family: FamilyDigiCert, most: 24, chooses: true},
		"SSL123":               {validation: DV, family: FamilyDigiCert},
		"SSLWebServer":         {validation: OV, family: FamilyDigiCert, most: 24},
		"SSLWebServerEV":       {validation: EV, family: FamilyDigiCert, most: 24},
		"SSLWebServerWildcard": {validation: OV, family: FamilyDigiCert, wildcard: true},
		"SSLWebServerWildCard": {validation: OV, family: FamilyDigiCert, wildcard: true}, // the same, as others spell it
	}
}

// Product is what is ordered.
type Product struct {
	// Code is the product's, with its term; empty: none is given.
	Code string
	// Validation is DV, OV or EV; Family FamilyDigiCert or FamilySectigo.
	Validation, Family string
	// Wildcard: the certificate's first name is a wildcard.
	Wildcard bool
	// Known: the product is in the table, and not guessed at.
	Known bool
	// Months is the term in its code; zero: there is none.
	Months int

	stem stem
}

// ProductOf returns what order settings order. What the settings say of validation and family holds; else it is what is
// known of the product, and of one that is not known a guess by its name, which Check warns about.
func ProductOf(s pluginapi.Settings) Product {
	code, _ := s.Values["st_product_code"].(string)
	p := Product{Code: code}
	name := code
	if before, term, ok := cutLast(code, "-"); ok {
		if n, err := strconv.Atoi(term); err == nil && n > 0 && n <= maxMonths {
			name, p.Months = before, n
		}
	}
	p.stem, p.Known = stems()[name]
	if !p.Known {
		p.stem = guess(name)
	}
	p.Validation, p.Family, p.Wildcard = p.stem.validation, p.stem.family, p.stem.wildcard
	if v, _ := s.Values["validation"].(string); slices.Contains([]string{DV, OV, EV}, v) {
		p.Validation = v
	}
	if f, _ := s.Values["family"].(string); f == FamilyDigiCert || f == FamilySectigo {
		p.Family = f
	}
	return p
}

func cutLast(text, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(text, sep)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(sep):], true
}

// guess goes by how ServerTastic names its products.
func guess(name string) stem {
	out := stem{validation: DV, family: FamilyDigiCert, wildcard: strings.Contains(strings.ToLower(name), "wildcard"), most: -1, chooses: true}
	lower := strings.ToLower(name)
	for _, brand := range []string{"positive", "sectigo", "comodo", "essential", "instant"} {
		if strings.HasPrefix(lower, brand) {
			out.family, out.chooses = FamilySectigo, false
		}
	}
	switch {
	case strings.Contains(name, "EV"):
		out.validation = EV
	case strings.Contains(name, "OV"), strings.HasPrefix(name, "SecureSite"), strings.HasPrefix(name, "TrueBiz"), strings.HasPrefix(name, "SSLWebServer"):
		out.validation = OV
	}
	if strings.HasPrefix(lower, "thawte") || strings.HasPrefix(name, "SSLWebServer") || strings.HasPrefix(name, "SSL123") {
		out.chooses = false
	}
	return out
}

// Stems lists the products that are known, without their terms.
func Stems() []string {
	var out []string
	for name := range stems() {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
