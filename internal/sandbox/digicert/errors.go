package digicert

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// apiError is an answer that says what is wrong, in the API's shape: {"errors":[{"code","message"}]}.
type apiError struct {
	status int
	errors []errorItem
}

type errorItem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error returns the codes and messages.
func (e *apiError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "status %d", e.status)
	for _, i := range e.errors {
		fmt.Fprintf(&b, "; %s: %s", i.Code, i.Message)
	}
	return b.String()
}

// Answer is the status and the body.
func (e *apiError) Answer() (int, any) { return e.status, obj{"errors": e.errors} }

func fail(status int, code, format string, args ...any) *apiError {
	return &apiError{status: status, errors: []errorItem{{code, fmt.Sprintf(format, args...)}}}
}

func notFound(what string) *apiError {
	return fail(http.StatusNotFound, "not_found|"+what, "The %s was not found.", what)
}

// Unconfirmed: whether an order of another division is answered 404, as one that is not there; the error table says so.
func orderNotFound() *apiError { return notFound("order") }

// Unconfirmed: the exact status and code for a wrong API key; 401 with access_denied|access_denied_invalid_key is what was seen through another front of DigiCert's.
func wrongKey() *apiError {
	return fail(http.StatusUnauthorized, "access_denied|access_denied_invalid_key", "The API key is not valid.")
}

func notPermitted(what string) *apiError {
	return fail(http.StatusForbidden, "access_denied|missing_permission", "The API key may not %s.", what)
}

// faults collects what is wrong with a request, and becomes one answer with all of it.
type faults struct {
	items []errorItem
	// status is that of the answer where it is not 400.
	status int
}

func (f *faults) missing(path, format string, args ...any) {
	f.items = append(f.items, errorItem{"required_param:" + path, fmt.Sprintf(format, args...)})
}

func (f *faults) invalid(path, format string, args ...any) {
	f.items = append(f.items, errorItem{"invalid_value:" + path, fmt.Sprintf(format, args...)})
}

func (f *faults) add(status int, code, format string, args ...any) {
	if status != http.StatusBadRequest {
		f.status = status
	}
	f.items = append(f.items, errorItem{code, fmt.Sprintf(format, args...)})
}

func (f *faults) err() error {
	if len(f.items) == 0 {
		return nil
	}
	status := http.StatusBadRequest
	if f.status != 0 {
		status = f.status
	}
	return &apiError{status: status, errors: f.items}
}

// take takes over what the check of single fields found. What is only worth a remark is remarked.
func (f *faults) take(c *call, list []sandbox.Fault) {
	for _, x := range list {
		switch x.Kind {
		case sandbox.Missing:
			f.missing(x.Path, "%s", x.Message)
		case sandbox.Invalid:
			f.invalid(x.Path, "%s", x.Message)
		case sandbox.Unknown:
			// Unconfirmed: what the API does with fields it does not know; other clients' behaviour suggests that it ignores them. In the strict mode they are errors, with a code of the stand-in's own.
			f.add(http.StatusBadRequest, "unknown_param:"+x.Path, "%s", x.Message)
		case sandbox.Deprecated:
			c.remark("%s", x.Message)
		}
	}
}
