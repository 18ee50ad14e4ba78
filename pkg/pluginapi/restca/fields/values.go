package fields

import (
	"math"
	"net/mail"
	"net/netip"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Between tests that a whole number is within bounds, both included.
func Between(low, high int64) Test {
	return func(r *Report, path string, value any) {
		if n, _ := Whole(value); n < low || n > high {
			r.Faultf(path, "must be from %d to %d, not %d", low, high, n)
		}
	}
}

// AtLeast tests that a whole number is not below a bound.
func AtLeast(low int64) Test {
	return func(r *Report, path string, value any) {
		if n, _ := Whole(value); n < low {
			r.Faultf(path, "must be %d or more, not %d", low, n)
		}
	}
}

// All is several tests, one after the other.
func All(tests ...Test) Test {
	return func(r *Report, path string, value any) {
		for _, test := range tests {
			test(r, path, value)
		}
	}
}

// Elements tests each element of a list that is of the right type.
func Elements(test Test) Test {
	return func(r *Report, path string, value any) {
		list, _ := value.([]any)
		for i, e := range list {
			if at := element(path, i); !r.Faulty(at) { // the schema has noted what is of another type
				test(r, at, e)
			}
		}
	}
}

// NoneTwice tests that no text stands twice in a list, in whatever case of letters.
func NoneTwice(r *Report, path string, value any) {
	list, _ := value.([]any)
	seen := map[string]bool{}
	for i, e := range list {
		text, ok := e.(string)
		if ok && seen[strings.ToLower(text)] {
			r.Faultf(element(path, i), "%q stands there twice", text)
		}
		seen[strings.ToLower(text)] = ok
	}
}

// Line tests text of one line. It shows nothing of the text, so that it serves for secrets.
func Line(r *Report, path string, value any) {
	text, _ := value.(string)
	switch {
	case strings.TrimSpace(text) == "":
		r.Faultf(path, "is empty: give it a value or leave it out")
	case !utf8.ValidString(text):
		r.Faultf(path, "is not UTF-8: write it anew")
	case strings.ContainsFunc(text, unicode.IsControl):
		r.Faultf(path, "holds a control character or a line break: write it on one line")
	}
}

// Paragraph tests text that may have several lines. It shows nothing of the text.
func Paragraph(r *Report, path string, value any) {
	text, _ := value.(string)
	switch {
	case strings.TrimSpace(text) == "":
		r.Faultf(path, "is empty: give it a value or leave it out")
	case !utf8.ValidString(text):
		r.Faultf(path, "is not UTF-8: write it anew")
	case strings.ContainsFunc(text, func(c rune) bool { return unicode.IsControl(c) && c != '\n' && c != '\r' && c != '\t' }):
		r.Faultf(path, "holds a control character: remove it")
	}
}

// AtMost tests that text has no more than a number of characters. It shows nothing of the text.
func AtMost(characters int) Test {
	return func(r *Report, path string, value any) {
		text, _ := value.(string)
		if n := utf8.RuneCountInString(text); n > characters {
			r.Faultf(path, "has %d characters: shorten it to %d", n, characters)
		}
	}
}

// Digits tests text of so many digits. It shows nothing of the text.
func Digits(low, high int) Test {
	return func(r *Report, path string, value any) {
		text, _ := value.(string)
		if len(text) < low || len(text) > high || strings.Trim(text, "0123456789") != "" {
			if low == high {
				r.Faultf(path, "is not of %d digits", low)
				return
			}
			r.Faultf(path, "is not of %d to %d digits", low, high)
		}
	}
}

var (
	wordShape    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	localeShape  = regexp.MustCompile(`^[A-Za-z]{2,3}([_-][A-Za-z]{2,4})?$`)
	countryShape = regexp.MustCompile(`^[A-Z]{2}$`)
	labelShape   = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`) // RFC 1035 section 2.3.1, and the underscore of real names
)

// Word tests text of 1 to 64 letters, digits, "_" and "-".
func Word(r *Report, path string, value any) {
	if text, _ := value.(string); !wordShape.MatchString(text) {
		r.Faultf(path, "%q is not a word of letters, digits, \"_\" and \"-\"", text)
	}
}

// Locale tests the name of a language, with that of a region or without.
func Locale(r *Report, path string, value any) {
	if text, _ := value.(string); !localeShape.MatchString(text) {
		r.Faultf(path, "%q is no language such as \"en\" or \"pt_BR\"", text)
	}
}

// Country tests the shape of a country's code of two letters (ISO 3166-1 alpha-2), not that there is such a country.
func Country(r *Report, path string, value any) {
	if text, _ := value.(string); !countryShape.MatchString(text) {
		r.Faultf(path, "%q is no country such as \"DE\": write its two capital letters", text)
	}
}

// Telephone tests that a line of text has a digit: more than that numbers do not have in common.
func Telephone(r *Report, path string, value any) {
	Line(r, path, value)
	if text, _ := value.(string); text != "" && !strings.ContainsAny(text, "0123456789") {
		r.Faultf(path, "%q is no telephone number", text)
	}
}

// Email tests a plain e-mail address, without a name.
func Email(r *Report, path string, value any) {
	if text, _ := value.(string); !IsEmail(text) {
		r.Faultf(path, "%q is no e-mail address such as someone@example.com", text)
	}
}

// DNSName tests a DNS name in ASCII form, "*." allowed in front.
func DNSName(r *Report, path string, value any) {
	if text, _ := value.(string); !IsDNSName(strings.TrimPrefix(text, "*.")) {
		r.Faultf(path, "%q is no domain name in ASCII form", text)
	}
}

// IsEmail reports whether a text is a plain e-mail address at a DNS name.
func IsEmail(text string) bool {
	a, err := mail.ParseAddress(text)
	if err != nil || a.Address != text {
		return false
	}
	return IsDNSName(text[strings.LastIndexByte(text, '@')+1:])
}

// IsDNSName reports whether a text is a DNS name of at least two labels, in ASCII form and without the dot at the end.
func IsDNSName(text string) bool {
	labels := strings.Split(text, ".")
	if len(text) > 253 || len(labels) < 2 {
		return false
	}
	for _, l := range labels {
		if !labelShape.MatchString(l) {
			return false
		}
	}
	_, err := netip.ParseAddr(text)
	return err != nil
}

// Under reports whether a name is a domain or lies below it.
func Under(name, domain string) bool {
	name, domain = strings.ToLower(name), strings.ToLower(domain)
	return name == domain || strings.HasSuffix(name, "."+domain)
}

// Whole returns the whole number that a value is; ok is false where it is none. TOML's numbers are int64, and JSON's,
// which settings may have passed through, float64.
func Whole(value any) (n int64, ok bool) {
	switch v := value.(type) {
	case int64:
		return v, true
	case int:
		return int64(v), true
	case float64:
		if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
			return 0, false
		}
		return int64(v), true
	default:
		return 0, false
	}
}
