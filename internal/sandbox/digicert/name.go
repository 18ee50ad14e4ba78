package digicert

import (
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

const (
	// mostName is the longest DNS name (RFC 1035 section 2.3.4), mostLabel the longest label, and mostCommonName what
	// X.509 leaves for a common name (RFC 5280 appendix A.1, ub-common-name).
	mostName       = 253
	mostLabel      = 63
	mostCommonName = 64
	wildcard       = "*."
)

// checkName says what is wrong with a name to be secured; empty means nothing is.
func checkName(name string) string {
	if _, err := netip.ParseAddr(name); err == nil {
		return ""
	}
	host := strings.TrimPrefix(name, wildcard)
	if host == "" || len(host) > mostName {
		return "is not a domain name"
	}
	labels := strings.Split(host, ".")
	if len(labels) < 2 {
		return "is not a fully qualified domain name"
	}
	for _, label := range labels {
		if label == "" || len(label) > mostLabel || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return "is not a domain name"
		}
		for _, r := range label {
			switch {
			case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-':
			case r == '_':
				return "has an underscore, which no public certificate may have"
			case r == '*':
				return "has a wildcard that is not its whole first label"
			case r > 0x7f:
				return "is not in ASCII form (xn--)"
			default:
				return "is not a domain name"
			}
		}
	}
	return ""
}

// isAddress reports whether a name is an IP address.
func isAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}

// bare is a name without a wildcard, in lower case: what is validated.
func bare(name string) string { return strings.ToLower(strings.TrimPrefix(name, wildcard)) }

// baseOf is the registrable domain of a name, or the name itself where it has none.
func baseOf(name string) string {
	if isAddress(name) {
		return name
	}
	base, err := publicsuffix.EffectiveTLDPlusOne(bare(name))
	if err != nil {
		return bare(name)
	}
	return base
}

// covers reports whether a validated domain stands for a name: itself and all below it.
func covers(validated, name string) bool {
	name = bare(name)
	return name == validated || strings.HasSuffix(name, "."+validated)
}

// scopesOf are the domains that must be validated for the names of an order, each with the names it stands for. With
// the scope base_domain they are the registrable domains; with fqdn each name, but for those below another one.
// Files prove exactly the name they are fetched from.
func scopesOf(names []string, scope, method string) []validation {
	var list []validation
	put := func(at, name string) {
		for i := range list {
			if list[i].Scope == at {
				list[i].Names = append(list[i].Names, name)
				return
			}
		}
		list = append(list, validation{Scope: at, Names: []string{name}})
	}
	exact := byFile(method)
	for _, name := range names {
		at := bare(name)
		switch {
		case exact || isAddress(name):
		case scope == scopeBase:
			at = baseOf(name)
		default:
			for _, other := range names {
				if o := bare(other); len(o) < len(at) && covers(o, at) {
					at = o
				}
			}
		}
		put(at, name)
	}
	return list
}

func byFile(method string) bool { return method == methodHTTP || method == methodHTTPDynamic }

// dropped are the names of one list that another does not have.
func dropped(before, after []string) []string {
	var gone []string
	for _, n := range before {
		if !slices.ContainsFunc(after, func(m string) bool { return strings.EqualFold(n, m) }) {
			gone = append(gone, n)
		}
	}
	return gone
}
