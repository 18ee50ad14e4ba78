package restca

import (
	"strings"
	"unicode"
)

// Clean makes a text from outside fit for one line of a log: no control characters, one space between words, valid
// UTF-8, at most limit bytes.
func Clean(text string, limit int) string {
	if len(text) > 4*limit {
		text = text[:4*limit]
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		default:
			return r
		}
	}, strings.ToValidUTF8(text, ""))
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit-len("...")], "") + "..."
	}
	return text
}
