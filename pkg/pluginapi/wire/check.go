package wire

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// malformed is a message that breaks the contract, and where.
type malformed struct {
	path  string // dotted, as a field is named in the contract
	words string
}

// Error returns the place and what is wrong there.
func (m *malformed) Error() string {
	if m.path == "" {
		return m.words
	}
	return m.path + ": " + m.words
}

func bad(path, format string, args ...any) error {
	return &malformed{path: path, words: fmt.Sprintf(format, args...)}
}

// under puts the name of the message around the place that err names.
func under(prefix string, err error) error {
	var m *malformed
	if !errors.As(err, &m) {
		return err
	}
	switch {
	case m.path == "":
		return &malformed{path: prefix, words: m.words}
	case strings.HasPrefix(m.path, "["):
		return &malformed{path: prefix + m.path, words: m.words}
	default:
		return &malformed{path: prefix + "." + m.path, words: m.words}
	}
}

func item(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }

// enum turns a number of the wire into the plain type, which has the same numbers.
func enum[T ~int, E ~int32](path string, v E, names map[int32]string) (T, error) {
	if v == 0 {
		return 0, bad(path, "is not given")
	}
	if _, ok := names[int32(v)]; !ok {
		return 0, bad(path, "%d is not known", int32(v))
	}
	return T(v), nil
}

// knownEnums is enum for a list of offers, where a newer plugin may offer more than is known here: what is not known
// is left out, and so is what stands there twice.
func knownEnums[T ~int, E ~int32](path string, list []E, names map[int32]string) ([]T, error) {
	var out []T
	seen := make(map[E]bool)
	for i, v := range list {
		if v == 0 {
			return nil, bad(item(path, i), "is not given")
		}
		if _, ok := names[int32(v)]; !ok || seen[v] {
			continue
		}
		seen[v] = true
		out = append(out, T(v))
	}
	return out, nil
}

func enums[E ~int32, T ~int](list []T) []E {
	var out []E
	for _, v := range list {
		out = append(out, E(v))
	}
	return out
}

// people makes any text fit for a terminal and a log: valid UTF-8, no control characters, bounded. Text for people
// never decides anything, so it is mended rather than refused: an order must not be lost over a stray byte.
func people(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, s)
}

// word checks text that is compared, stored or shown as a name.
func word(path, s string, max int) error {
	if s == "" {
		return bad(path, "is empty")
	}
	return optionalWord(path, s, max)
}

func optionalWord(path, s string, max int) error {
	if len(s) > max {
		return bad(path, "is longer than %d bytes", max)
	}
	if !utf8.ValidString(s) {
		return bad(path, "is not valid UTF-8")
	}
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
		return bad(path, "holds a character that cannot be printed")
	}
	return nil
}

func sized(path string, b []byte, max int) error {
	if len(b) > max {
		return bad(path, "is longer than %d bytes", max)
	}
	return nil
}

func counted(path string, n, max int) error {
	if n > max {
		return bad(path, "has %d entries, more than %d", n, max)
	}
	return nil
}

func parseDuration(path string, d *durationpb.Duration) (time.Duration, error) {
	if d == nil {
		return 0, nil
	}
	if err := d.CheckValid(); err != nil {
		return 0, bad(path, "is not a duration")
	}
	v := d.AsDuration()
	if v < 0 {
		return 0, bad(path, "is negative")
	}
	if v > maxDuration {
		return 0, bad(path, "is longer than ten years")
	}
	return v, nil
}

func formatDuration(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

func parseTime(path string, t *timestamppb.Timestamp) (time.Time, error) {
	if t == nil {
		return time.Time{}, nil
	}
	if err := t.CheckValid(); err != nil {
		return time.Time{}, bad(path, "is not a point in time")
	}
	v := t.AsTime()
	if v.IsZero() {
		return time.Time{}, bad(path, "is the year 1")
	}
	return v, nil
}

func formatTime(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func dnsName(path, name string, wildcard bool) error {
	rest := name
	if wildcard {
		rest = strings.TrimPrefix(rest, "*.")
	}
	if rest == "" {
		return bad(path, "is empty")
	}
	if len(name) > 253 {
		return bad(path, "is longer than 253 bytes")
	}
	for label := range strings.SplitSeq(rest, ".") {
		if !isLabel(label) {
			return bad(path, "%q is not a DNS name in ASCII form", name)
		}
	}
	return nil
}

// isLabel allows letters, digits, hyphens and, for names such as _acme-challenge, underscores (RFC 1034 section 3.5,
// RFC 8552).
func isLabel(s string) bool {
	return s != "" && len(s) <= 63 && s[0] != '-' && s[len(s)-1] != '-' && isPlain(s)
}

// isPlain allows letters, digits, hyphens and underscores, which are the characters of base64url too (RFC 4648 section 5).
func isPlain(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

func isIP(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Zone() == ""
}

// nameOrIP is what control is shown over: a DNS name without "*." or an IP address.
func nameOrIP(path, s string) error {
	if isIP(s) {
		return nil
	}
	return dnsName(path, s, false)
}

// urlPath allows the path of a file that someone will write below a web root: absolute, clean, and plain.
func urlPath(field, p string) error {
	if len(p) > 1024 {
		return bad(field, "is longer than 1024 bytes")
	}
	if len(p) < 2 || p[0] != '/' || path.Clean(p) != p {
		return bad(field, "%q is not a clean absolute path", people(p))
	}
	for _, c := range []byte(p) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`%?#\"<>`, c) >= 0 {
			return bad(field, "%q holds a character that has no place in the path of a file", people(p))
		}
	}
	return nil
}

func webAddress(field, s string) error {
	if s == "" {
		return nil
	}
	if err := optionalWord(field, s, maxURL); err != nil {
		return err
	}
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return bad(field, "is not an address for a browser")
	}
	return nil
}

func matches(pattern string) func(string) bool { return regexp.MustCompile(pattern).MatchString }

// The patterns are compiled once and never change.
var (
	isPluginName     = matches(`^[a-z0-9][a-z0-9-]{0,62}$`)
	isFieldName      = matches(`^[A-Za-z0-9_-]{1,128}$`)
	isIdempotencyKey = matches(`^[0-9a-f]{32}$`)
	isSerial         = matches(`^[0-9a-f]{1,64}$`)
	isAmount         = matches(`^[0-9]{1,15}(\.[0-9]{1,9})?$`)
	isCAALabel       = matches(`^[A-Za-z0-9-]{1,128}$`) // RFC 8657 section 4
)

// isACMEToken reports up to 512 characters of base64url text without padding. It stands in each order's challenges, of which a
// pattern that counts so far took half of the time to read them.
func isACMEToken(s string) bool { return s != "" && len(s) <= 512 && isPlain(s) }
