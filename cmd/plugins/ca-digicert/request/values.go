package request

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
)

// Tests of single values that only DigiCert's fields have. Each is handed a value of its field's type.

var hexShape = regexp.MustCompile(`^[0-9A-Fa-f]+$`)

func serialNumber(r *fields.Report, path string, value any) {
	text, _ := value.(string)
	digits := strings.NewReplacer(":", "", " ", "").Replace(text)
	if !hexShape.MatchString(digits) || len(digits) > 64 {
		r.Faultf(path, "%q is no serial number: write its hexadecimal digits", text)
	}
}

// Data of a credit card. No message may show a value, nor a part of one.

func cardNumber(r *fields.Report, path string, value any) {
	digits, ok := plainDigits(value, 12, 19)
	if !ok || !luhn(digits) {
		r.Faultf(path, "is not the number of a card: 12 to 19 digits, of which the last is a check digit")
	}
}

func cardMonth(r *fields.Report, path string, value any) {
	digits, ok := plainDigits(value, 1, 2)
	if n, _ := strconv.Atoi(digits); !ok || n < 1 || n > 12 {
		r.Faultf(path, "must be a month from 01 to 12")
	}
}

func cardYear(r *fields.Report, path string, value any) {
	digits, ok := plainDigits(value, 4, 4)
	switch n, _ := strconv.Atoi(digits); {
	case !ok:
		r.Faultf(path, "must be a year of four digits")
	case n < r.Now().UTC().Year():
		r.Faultf(path, "has passed: the card has expired")
	}
}

func cardCVV(r *fields.Report, path string, value any) {
	if _, ok := plainDigits(value, 3, 4); !ok {
		r.Faultf(path, "must be three or four digits")
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
