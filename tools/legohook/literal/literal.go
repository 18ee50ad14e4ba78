// Package literal reads a record or a file path that was written, as it is, into an argument of lego's providers.
//
// lego computes what it publishes from a key authorization or a token. The build-time copy of lego asks this package
// first, so a caller can name any TXT record and any path instead. No key authorization and no token holds a NUL byte:
// RFC 8555, section 8.1, builds both of the base64url alphabet and a full stop. So no real argument is mistaken for a
// literal, and the functions need no state.
package literal

import "strings"

// What a literal argument begins with.
const (
	recordPrefix = "\x00certbridge-txt\x00"
	pathPrefix   = "\x00certbridge-file\x00"
)

// Record returns the name, without a dot at its end, and the value of the TXT record in a key authorization of the form
// prefix, name, NUL, value. It reports false for every other string; the value may be empty and may hold a NUL.
func Record(keyAuth string) (name, value string, ok bool) {
	rest, ok := strings.CutPrefix(keyAuth, recordPrefix)
	if !ok {
		return "", "", false
	}
	name, value, ok = strings.Cut(rest, "\x00")
	if !ok || name == "" || strings.HasSuffix(name, ".") {
		return "", "", false
	}
	return name, value, true
}

// Path returns the URL path, which begins with a slash, in a token of the form prefix, path. It reports false for every
// other string.
func Path(token string) (path string, ok bool) {
	path, ok = strings.CutPrefix(token, pathPrefix)
	if !ok || !strings.HasPrefix(path, "/") {
		return "", false
	}
	return path, true
}
