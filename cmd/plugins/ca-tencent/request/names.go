package request

import (
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
)

// naming is how the names of a certificate are ordered.
type naming struct {
	common string
	// others are paid for beside the common name; names that come for free are not among them.
	others []string
}

// nameFor sorts the names of a certificate by what the product takes. What does not fit is found before it is bought. The
// first name is the common name, for the certificate request says so and the API compares the two.
func nameFor(p product, names []string) (naming, error) {
	n := naming{common: names[0]}
	isWildcard := func(name string) bool { return strings.HasPrefix(name, "*.") }
	switch p.names {
	case oneName, manyNames:
		if i := slices.IndexFunc(names, isWildcard); i >= 0 {
			return n, misfit("%s takes no wildcard: remove %s, or choose a product for wildcards", p, names[i])
		}
	case wildcard, wildcards:
		if !isWildcard(n.common) {
			return n, misfit("%s is for wildcards: put a wildcard in the first place of domains, not %s", p, n.common)
		}
	}
	for _, name := range names[1:] {
		switch {
		case comesFree(p, n.common, name), p.names == wildcards && slices.Contains(names, "*."+name):
		case p.names == oneName, p.names == wildcard:
			return n, misfit("%s is for one domain, and %s is another than %s: choose a product for several, or split the certificate", p, name, n.common)
		// (Not confirmed by Tencent's pages: whether such a product takes plain names at all.)
		case p.names == wildcards && !isWildcard(name):
			return n, misfit("%s is for wildcards, and %s is none: remove it, or choose another product", p, name)
		default:
			n.others = append(n.others, name)
		}
	}
	return n, nil
}

func misfit(format string, args ...any) error {
	return pluginapi.FieldErrorf("identifiers", format, args...)
}

// comesFree reports whether a name comes with the common name and is not paid for: a wildcard brings its base, and a
// registrable domain its www, but for GlobalSign.
// (Not confirmed by Tencent's API pages; its price pages say so. A certificate that lacks a name is not installed.)
func comesFree(p product, common, name string) bool {
	switch p.names {
	case wildcard:
		return common == "*."+name
	case oneName:
		apex, err := publicsuffix.EffectiveTLDPlusOne(common)
		return err == nil && apex == common && name == "www."+common && p.brand != globalSign
	default:
		return false
	}
}

// domainNum is how many domains are paid for.
func domainNum(s pluginapi.Settings, p product, n naming) (int64, error) {
	const field = "DomainNum"
	needed := int64(1 + len(n.others))
	given, set := fields.Whole(s.Values[field])
	switch {
	case !set && p.names == anyNames && needed > 1:
		return 0, pluginapi.FieldErrorf(field, "is missing: %s is not known here, so say for how many domains it is to be paid", p)
	case !set:
		return needed, nil
	case given < needed:
		return 0, pluginapi.FieldErrorf(field, "is %d, and the certificate has %d domains to pay for", given, needed)
	default:
		return given, nil
	}
}
