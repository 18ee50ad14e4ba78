package request

import (
	"net/mail"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// Tests of single values. Each is handed a value of its field's type.

func between(low, high int64) func(*report, string, any) {
	return func(r *report, path string, value any) {
		if n, _ := whole(value); n < low || n > high {
			r.fault(path, "must be from %d to %d, not %d", low, high, n)
		}
	}
}

func atLeast(low int64) func(*report, string, any) {
	return func(r *report, path string, value any) {
		if n, _ := whole(value); n < low {
			r.fault(path, "must be %d or more, not %d", low, n)
		}
	}
}

// line is text of one line. What it shows of a secret is nothing.
func line(r *report, path string, value any) {
	text, _ := value.(string)
	switch {
	case strings.TrimSpace(text) == "":
		r.fault(path, "is empty: give it a value or leave it out")
	case strings.ContainsFunc(text, unicode.IsControl):
		r.fault(path, "holds a control character or a line break: write it on one line")
	}
}

// paragraph is text that may have several lines.
func paragraph(r *report, path string, value any) {
	text, _ := value.(string)
	switch {
	case strings.TrimSpace(text) == "":
		r.fault(path, "is empty: give it a value or leave it out")
	case strings.ContainsFunc(text, func(c rune) bool { return unicode.IsControl(c) && c != '\n' && c != '\r' && c != '\t' }):
		r.fault(path, "holds a control character: remove it")
	}
}

var (
	wordShape   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	localeShape = regexp.MustCompile(`^[A-Za-z]{2,3}([_-][A-Za-z]{2,4})?$`)
	labelShape  = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`) // RFC 1035 section 2.3.1, and the underscore of real names
	hexShape    = regexp.MustCompile(`^[0-9A-Fa-f]+$`)
)

func word(r *report, path string, value any) {
	if text, _ := value.(string); !wordShape.MatchString(text) {
		r.fault(path, "%q is not a word of letters, digits, \"_\" and \"-\"", text)
	}
}

func locale(r *report, path string, value any) {
	if text, _ := value.(string); !localeShape.MatchString(text) {
		r.fault(path, "%q is no language such as \"en\" or \"pt_BR\"", text)
	}
}

func serialNumber(r *report, path string, value any) {
	text, _ := value.(string)
	digits := strings.NewReplacer(":", "", " ", "").Replace(text)
	if !hexShape.MatchString(digits) || len(digits) > 64 {
		r.fault(path, "%q is no serial number: write its hexadecimal digits", text)
	}
}

func telephone(r *report, path string, value any) {
	line(r, path, value)
	if text, _ := value.(string); text != "" && !strings.ContainsAny(text, "0123456789") {
		r.fault(path, "%q is no telephone number", text)
	}
}

func email(r *report, path string, value any) {
	if text, _ := value.(string); !isEmail(text) {
		r.fault(path, "%q is no e-mail address such as someone@example.com", text)
	}
}

func isEmail(text string) bool {
	a, err := mail.ParseAddress(text)
	if err != nil || a.Address != text {
		return false
	}
	return isName(text[strings.LastIndexByte(text, '@')+1:])
}

func emailList(r *report, path string, value any) {
	list, _ := value.([]any)
	seen := map[string]bool{}
	for i, e := range list {
		text, ok := e.(string)
		if !ok {
			continue
		}
		at := path + "[" + strconv.Itoa(i) + "]"
		email(r, at, text)
		if seen[strings.ToLower(text)] {
			r.fault(at, "%q stands there twice", text)
		}
		seen[strings.ToLower(text)] = true
	}
}

func dnsName(r *report, path string, value any) {
	if text, _ := value.(string); !isName(strings.TrimPrefix(text, "*.")) {
		r.fault(path, "%q is no domain name in ASCII form", text)
	}
}

// isName reports whether a text is a DNS name of at least two labels, without the dot at the end.
func isName(text string) bool {
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

// under reports whether a name is a domain or lies below it.
func under(name, domain string) bool {
	name, domain = strings.ToLower(name), strings.ToLower(domain)
	return name == domain || strings.HasSuffix(name, "."+domain)
}

// Data of a credit card. No message may show a value, nor a part of one.

func cardNumber(r *report, path string, value any) {
	digits, ok := plainDigits(value, 12, 19)
	if !ok || !luhn(digits) {
		r.fault(path, "is not the number of a card: 12 to 19 digits, of which the last is a check digit")
	}
}

func cardMonth(r *report, path string, value any) {
	digits, ok := plainDigits(value, 1, 2)
	if n, _ := strconv.Atoi(digits); !ok || n < 1 || n > 12 {
		r.fault(path, "must be a month from 01 to 12")
	}
}

func cardYear(r *report, path string, value any) {
	digits, ok := plainDigits(value, 4, 4)
	switch n, _ := strconv.Atoi(digits); {
	case !ok:
		r.fault(path, "must be a year of four digits")
	case n < r.now.UTC().Year():
		r.fault(path, "has passed: the card has expired")
	}
}

func cardCVV(r *report, path string, value any) {
	if _, ok := plainDigits(value, 3, 4); !ok {
		r.fault(path, "must be three or four digits")
	}
}

// plainDigits takes the blanks and hyphens out that people write into numbers.
func plainDigits(value any, low, high int) (string, bool) {
	text, _ := value.(string)
	digits := strings.NewReplacer(" ", "", "-", "").Replace(text)
	if len(digits) < low || len(digits) > high {
		return "", false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return "", false
		}
	}
	return digits, true
}

// luhn checks the last digit of a card's number (ISO/IEC 7812-1, annex B).
func luhn(digits string) bool {
	sum := 0
	for i := range len(digits) {
		n := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			if n *= 2; n > 9 {
				n -= 9
			}
		}
		sum += n
	}
	return sum%10 == 0
}
