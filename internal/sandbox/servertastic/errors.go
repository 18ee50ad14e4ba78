package servertastic

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// obj is a JSON object of an answer.
type obj = map[string]any

// apiError is an answer that says what is wrong, in the API's shape: {"error":{"code","message"}}.
//
// Unconfirmed: the codes of errors; no list of them is published. The stand-in's are the HTTP statuses.
type apiError struct {
	code    int
	message string
}

// Error returns the code and the message.
func (e *apiError) Error() string { return strconv.Itoa(e.code) + ": " + e.message }

// Answer is the status and the body.
func (e *apiError) Answer() (int, any) {
	return e.code, obj{"error": obj{"code": e.code, "message": e.message}}
}

func fail(code int, format string, args ...any) *apiError {
	return &apiError{code, fmt.Sprintf(format, args...)}
}

// unauthorized is the answer to a token or key that is not known. It does not say which.
func unauthorized() *apiError { return fail(http.StatusUnauthorized, "Unauthorized") }

func refuse(format string, args ...any) *apiError {
	return fail(http.StatusBadRequest, format, args...)
}

// faults collects what is wrong with a request, and becomes one answer with all of it.
type faults []string

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return refuse("%s", strings.Join(f, "; "))
}

// asAPI makes an answer of any error.
func asAPI(err error) *apiError {
	var api *apiError
	if !errors.As(err, &api) {
		api = fail(http.StatusInternalServerError, "%v", err)
	}
	return api
}
