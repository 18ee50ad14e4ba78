package servertastic

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// mostRequest is the longest body that is read.
	mostRequest = 1 << 20
	// mostValue is the longest value of a parameter: a CSR of the longest key with many names.
	mostValue = 64 << 10
	formType  = "application/x-www-form-urlencoded"
)

// form are a call's parameters by name.
type form map[string]string

// has reports whether a parameter says something: 0 and nothing mean that it is absent.
func (f form) has(name string) bool { return f[name] != "" && f[name] != "0" }

// names are those of the parameters, sorted.
func (f form) names() []string {
	list := make([]string, 0, len(f))
	for name := range f {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// readForm reads the parameters of a call: those of the URL, and of a body that is called a form.
//
// Unconfirmed: what becomes of a JSON body; the stand-in refuses every body that is no URL-encoded form.
func readForm(c *call) (form, error) {
	body, err := io.ReadAll(io.LimitReader(c.r.Body, mostRequest+1))
	if err != nil {
		return nil, refuse("the request cannot be read: %v", err)
	}
	if len(body) > mostRequest {
		return nil, fail(http.StatusRequestEntityTooLarge, "the request is longer than %d bytes", mostRequest)
	}
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if len(body) > 0 && (err != nil || kind != formType) {
		return nil, refuse("the Content-Type of a body must be %s", formType)
	}
	if len(body) > 0 && c.r.Method == http.MethodGet {
		return nil, refuse("a GET request has no body")
	}
	f, err := decodeForm(c.r.URL.RawQuery, string(body))
	if err != nil {
		return nil, refuse("the parameters cannot be read: %v", err)
	}
	if c.r.Method == http.MethodPost && c.r.URL.RawQuery != "" {
		c.remark("parameters of a POST request stand in its URL, where servers log them")
	}
	return f, nil
}

// decodeForm decodes the parameters of a URL and of a body: UTF-8 without control characters, and each name once.
func decodeForm(query, body string) (form, error) {
	f := form{}
	for _, part := range []string{query, body} {
		values, err := url.ParseQuery(part)
		if err != nil {
			return nil, errors.New("they are not URL-encoded") // the error would quote secrets
		}
		for name, list := range values {
			if _, twice := f[name]; twice || len(list) > 1 {
				return nil, fmt.Errorf("%q stands there twice", name)
			}
			if err := checkText(name, list[0]); err != nil {
				return nil, err
			}
			f[name] = list[0]
		}
	}
	return f, nil
}

func checkText(name, value string) error {
	switch {
	case name == "" || !utf8.ValidString(name):
		return errors.New("a parameter has no name")
	case len(value) > mostValue:
		return fmt.Errorf("%q is longer than %d bytes", name, mostValue)
	case !utf8.ValidString(value):
		return fmt.Errorf("%q is not UTF-8", name)
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f }):
		return fmt.Errorf("%q has a control character", name)
	}
	return nil
}
