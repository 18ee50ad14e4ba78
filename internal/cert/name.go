package cert

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxNameLength and maxLabelLength are the limits of a DNS name in text form, without the trailing dot (RFC 1035
// section 2.3.4).
const (
	maxNameLength  = 253
	maxLabelLength = 63
)

// NormalizeName returns the one spelling of a name that certificates, orders and comparisons use: a DNS name in ASCII
// form (RFC 5890 A-labels), lower case and without a trailing dot, "*." allowed in front; or an IP address in its
// canonical text form (RFC 5952 for IPv6).
func NormalizeName(s string) (string, error) {
	if plain(s) {
		return s, nil
	}
	return normalize(s)
}

// plain reports that a name is spelled in the one way already, as nearly all are that are met here.
func plain(s string) bool {
	if len(s) > maxNameLength {
		return false
	}
	last := ""
	for last = range strings.SplitSeq(strings.TrimPrefix(s, "*."), ".") {
		if checkLabel(last) != nil || strings.HasPrefix(last, "xn--") { // A-labels are checked
			return false
		}
	}
	return strings.Trim(last, "0123456789") != "" // or it may be an address
}

func normalize(s string) (string, error) {
	if s == "" {
		return "", errors.New("the name is empty")
	}
	if addr, err := netip.ParseAddr(s); err == nil {
		if addr.Zone() != "" {
			return "", fmt.Errorf("name %q: an address with a zone cannot be in a certificate", s)
		}
		return addr.Unmap().String(), nil
	}
	if !utf8.ValidString(s) {
		return "", fmt.Errorf("name %q: not valid UTF-8", s)
	}
	if strings.ContainsAny(s, "[]:/@_ \t\r\n") {
		return "", fmt.Errorf("name %q: %s", s, misplaced(s))
	}
	rest, wildcard := strings.CutPrefix(s, "*.")
	if strings.Contains(rest, "*") {
		return "", fmt.Errorf("name %q: \"*\" is allowed only as the whole left-most label, as in \"*.example.com\"", s)
	}
	ascii, err := toASCII(rest)
	if err != nil {
		return "", fmt.Errorf("name %q: %w", s, err)
	}
	if wildcard {
		ascii = "*." + ascii
	}
	if len(ascii) > maxNameLength {
		return "", fmt.Errorf("name %q: %d characters long, the limit is %d", s, len(ascii), maxNameLength)
	}
	return ascii, nil
}

// misplaced says what to do about characters that show a name was mistaken for something else.
func misplaced(s string) string {
	switch {
	case strings.Contains(s, "://"):
		return "give the host name alone, without the URL around it"
	case strings.HasPrefix(s, "["):
		return "write an IPv6 address without brackets and port"
	case strings.Contains(s, "@"):
		return "an e-mail address cannot be in a TLS certificate"
	case strings.Contains(s, ":"):
		return "give the name or address without a port"
	case strings.Contains(s, "_"):
		return "a host name in a certificate has no underscore"
	default:
		return "it holds a character that no DNS name has"
	}
}

func toASCII(s string) (string, error) {
	profile := idna.New(
		idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(), idna.StrictDomainName(true),
		// Names with "--" at the third place are in use though they are not IDNs; A-labels are checked regardless.
		idna.CheckHyphens(false),
	)
	ascii, err := profile.ToASCII(s)
	if err != nil {
		return "", fmt.Errorf("not a valid domain name: %w", err)
	}
	// Mapping may produce ASCII that the input did not show, so the checks come after it.
	ascii = strings.TrimSuffix(strings.ToLower(ascii), ".")
	if ascii == "" {
		return "", errors.New("nothing is left of the name")
	}
	labels := strings.Split(ascii, ".")
	for _, label := range labels {
		if err := checkLabel(label); err != nil {
			return "", err
		}
	}
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		return "", errors.New("it ends in a number but is not a valid IP address")
	}
	return ascii, nil
}

// checkLabel holds a label to the letters-digits-hyphen rule (RFC 1034 section 3.5, RFC 1123 section 2.1).
func checkLabel(label string) error {
	switch {
	case label == "":
		return errors.New("a label between two dots is empty")
	case len(label) > maxLabelLength:
		return fmt.Errorf("label %q is %d characters long, the limit is %d", label, len(label), maxLabelLength)
	case label[0] == '-' || label[len(label)-1] == '-':
		return fmt.Errorf("label %q begins or ends with a hyphen", label)
	}
	for _, c := range []byte(label) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return fmt.Errorf("label %q holds %q, which no host name may", label, c)
		}
	}
	return nil
}

// NormalizeNames normalizes a list and drops duplicates; the first name stays first. All bad names are reported at
// once.
func NormalizeNames(names []string) ([]string, error) {
	out := make([]string, 0, len(names))
	seen := make(map[string]bool, len(names))
	var errs []error
	for _, name := range names {
		normal, err := NormalizeName(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if !seen[normal] {
			seen[normal] = true
			out = append(out, normal)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return out, nil
}

// Names returns the DNS names and IP addresses a certificate is for, from its subject alternative names; a common name
// does not count (RFC 9525 section 6.3). Where the certificate has its common name among them it comes first, since it
// is the name people know the certificate by.
func Names(leaf *x509.Certificate) []string {
	names := make([]string, 0, len(leaf.DNSNames)+len(leaf.IPAddresses))
	seen := make(map[string]bool, cap(names))
	add := func(name string) {
		if normal, err := NormalizeName(name); err == nil {
			name = normal
		}
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	for _, name := range leaf.DNSNames {
		if strings.EqualFold(name, leaf.Subject.CommonName) {
			add(name)
		}
	}
	for _, name := range leaf.DNSNames {
		add(name)
	}
	for _, ip := range leaf.IPAddresses {
		add(ip.String())
	}
	return names
}

// Missing returns those names that a certificate does not cover, as they were given. A wildcard in the certificate
// covers exactly one label (RFC 6125 section 6.4.3); a wildcard that is asked for is covered by the same wildcard
// alone. A name that cannot be normalized is missing.
func Missing(leaf *x509.Certificate, names []string) []string {
	return Uncovered(Covered(leaf), names)
}

// Covered returns what a certificate is for as far as clients accept it: an address among its DNS names does not count.
func Covered(leaf *x509.Certificate) []string {
	covered := make([]string, 0, len(leaf.DNSNames)+len(leaf.IPAddresses))
	for _, name := range leaf.DNSNames {
		if normal, err := NormalizeName(name); err == nil && net.ParseIP(normal) == nil {
			covered = append(covered, normal)
		}
	}
	for _, ip := range leaf.IPAddresses {
		if addr, ok := netip.AddrFromSlice(ip); ok {
			covered = append(covered, addr.Unmap().String())
		}
	}
	return covered
}

// Uncovered is Missing for a certificate that is gone, of which Covered is known.
func Uncovered(covered, names []string) []string {
	var missing []string
	for _, name := range names {
		normal, err := NormalizeName(name)
		if err == nil && (slices.Contains(covered, normal) || slices.Contains(covered, wildcardFor(normal))) {
			continue
		}
		missing = append(missing, name)
	}
	return missing
}

// wildcardFor returns the wildcard that covers a normalized name, or an empty string: an address has none, and
// neither has a name without a parent.
func wildcardFor(name string) string {
	if net.ParseIP(name) != nil {
		return ""
	}
	label, parent, ok := strings.Cut(name, ".")
	if !ok || label == "*" {
		return ""
	}
	return "*." + parent
}
