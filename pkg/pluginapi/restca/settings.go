package restca

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// The limits of request_timeout. The default leaves an order that is issued at once the time for it: an answer given up
// on is an outcome that has to be found out.
const (
	DefaultTimeout = 60 * time.Second
	minTimeout     = time.Second
	maxTimeout     = 2 * time.Minute
)

// TimeoutField is the account setting request_timeout.
func TimeoutField() pluginapi.Field {
	return pluginapi.Field{
		Name: "request_timeout", Type: pluginapi.Duration, Default: DefaultTimeout.String(),
		Help: fmt.Sprintf("How long one API call may take, %s to %s.", minTimeout, maxTimeout),
	}
}

// Findings collects what is wrong, and what is worth knowing.
type Findings []pluginapi.Finding

// Add notes something about an account setting; an empty field is the account as a whole.
func (f *Findings) Add(severity pluginapi.Severity, field, format string, args ...any) {
	*f = append(*f, pluginapi.Finding{Severity: severity, Field: field, Message: fmt.Sprintf(format, args...)})
}

// Fault notes what keeps the settings from being used.
func (f *Findings) Fault(field, format string, args ...any) {
	f.Add(pluginapi.Fault, field, format, args...)
}

// AddOf notes something about the order settings with an index, as Preflight is handed them.
func (f *Findings) AddOf(order int, severity pluginapi.Severity, field, format string, args ...any) {
	f.Add(severity, field, format, args...)
	(*f)[len(*f)-1].Order = order + 1
}

// FaultOf notes what keeps the order settings with an index from being used.
func (f *Findings) FaultOf(order int, field, format string, args ...any) {
	f.AddOf(order, pluginapi.Fault, field, format, args...)
}

// BaseURL checks base_url, the address that credentials are sent to. Plain HTTP is for this machine alone.
func (f *Findings) BaseURL(text, standard string) string {
	const field = "base_url"
	if text == "" {
		return standard
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "":
		f.Fault(field, "is no address; write for example %s", standard) // not as it stands: it may hold a password
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		f.Fault(field, "must hold no user, query or fragment")
	case u.Scheme == "http" && !Loopback(u.Hostname()):
		f.Fault(field, "must begin with https://, or the credentials could be read on their way; http:// is for 127.0.0.1 alone")
	case u.Scheme != "https" && u.Scheme != "http":
		f.Fault(field, "must begin with https://")
	}
	return strings.TrimRight(text, "/")
}

// Loopback reports whether a host is this machine by its name or address.
func Loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// Credential checks that a secret can stand in a header or a URL: printable ASCII without white space. What surrounds it
// is cut off, as the line break at the end of a file.
func (f *Findings) Credential(field string, secret pluginapi.Secret) pluginapi.Secret {
	text := strings.TrimSpace(secret.Reveal())
	if strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsGraphic(r) || r == ' ' }) {
		f.Fault(field, "holds characters that none has; does the file hold the %s and nothing else?", field)
	}
	return pluginapi.NewSecret(text)
}

// Timeout checks request_timeout.
func (f *Findings) Timeout(text string) time.Duration {
	if text == "" {
		return DefaultTimeout
	}
	d, err := time.ParseDuration(text)
	if err == nil && (d < minTimeout || d > maxTimeout) {
		f.Fault("request_timeout", "must lie between %s and %s", minTimeout, maxTimeout)
	}
	return d
}
