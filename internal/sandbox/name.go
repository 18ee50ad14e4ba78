package sandbox

import (
	"net/netip"
	"strings"

	"golang.org/x/net/publicsuffix"
)

const (
	// mostName is the longest DNS name (RFC 1035 section 2.3.4), and mostLabel the longest label.
	mostName  = 253
	mostLabel = 63
	// MostCommonName is what X.509 leaves for a common name (RFC 5280 appendix A.1, ub-common-name).
	MostCommonName = 64
	// Wildcard is how a wildcard name begins.
	Wildcard = "*."
)

// CheckName says what is wrong with a name to be secured; empty means nothing is.
func CheckName(name string) string {
	if _, err := netip.ParseAddr(name); err == nil {
		return ""
	}
	host := strings.TrimPrefix(name, Wildcard)
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

// IsAddress reports whether a name is an IP address.
func IsAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}

// Bare is a name without a wildcard, in lower case: what is validated.
func Bare(name string) string { return strings.ToLower(strings.TrimPrefix(name, Wildcard)) }

// BaseOf is the registrable domain of a name, or the name itself where it has none.
func BaseOf(name string) string {
	if IsAddress(name) {
		return name
	}
	base, err := publicsuffix.EffectiveTLDPlusOne(Bare(name))
	if err != nil {
		return Bare(name)
	}
	return base
}

// Covers reports whether a validated domain stands for a name: itself and all below it.
func Covers(validated, name string) bool {
	name = Bare(name)
	return name == validated || strings.HasSuffix(name, "."+validated)
}
