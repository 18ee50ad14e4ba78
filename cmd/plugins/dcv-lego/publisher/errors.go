package publisher

import (
	"net/http"
	"reflect"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// maxWords bounds what a provider says, in bytes: some put whole pages of their API into an error.
const maxWords = 2000

// failed turns a provider's error into one of the contract. What the words say decides nothing; only a status code does
// that travels with the error as a number.
func (c *profile) failed(doing string, err error) *pluginapi.Error {
	kind := pluginapi.Unavailable
	switch statusOf(err) {
	case http.StatusUnauthorized, http.StatusForbidden:
		kind = pluginapi.Unauthorized
	case http.StatusTooManyRequests:
		kind = pluginapi.RateLimited
	}
	words := strings.ToValidUTF8(c.mask.text(err.Error()), "?")
	if len(words) > maxWords {
		words = strings.ToValidUTF8(words[:maxWords], "") + " ..."
	}
	return pluginapi.Errorf(kind, "%s with the provider %s: %s", doing, c.name, words)
}

// statusOf finds an HTTP status code in an error's chain, or zero. lego's own error types are internal to it, and those
// of providers' libraries are many: what they have in common is a field of this name.
func statusOf(err error) int {
	if err == nil {
		return 0
	}
	if status := ownStatus(err); status != 0 {
		return status
	}
	switch e := err.(type) { //nolint:errorlint // the chain is walked by hand
	case interface{ HTTPStatusCode() int }:
		return e.HTTPStatusCode()
	case interface{ Unwrap() error }:
		return statusOf(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			if status := statusOf(inner); status != 0 {
				return status
			}
		}
	}
	return 0
}

// ownStatus is the number in one error's field StatusCode, or zero.
func ownStatus(err error) int {
	v := reflect.ValueOf(err)
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return 0
	}
	at, ok := v.Type().FieldByName("StatusCode")
	if !ok {
		return 0
	}
	f, err := v.FieldByIndexErr(at.Index)
	if err != nil || !f.CanInt() {
		return 0
	}
	return int(f.Int())
}
