package digicert

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/certcentral"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const (
	// defaultRequestTimeout leaves an order that is issued at once the time for it: an answer given up on is an outcome
	// that has to be found out.
	defaultRequestTimeout = 60 * time.Second
	minRequestTimeout     = time.Second
	maxRequestTimeout     = 2 * time.Minute
	leastPerSecond        = 0.1
)

// accountSettings are an account's settings after readAccount.
type accountSettings struct {
	baseURL                 string
	key                     pluginapi.Secret
	organization, container int64 // zero: none
	skipApproval            *bool
	linkRenewals            bool
	perSecond               float64
	requestTimeout          time.Duration
}

// rawAccount is [ca.NAME.settings] as written, without api_key.
type rawAccount struct {
	BaseURL           string   `json:"base_url"`
	OrganizationID    int64    `json:"organization_id"`
	ContainerID       int64    `json:"container_id"`
	SkipApproval      *bool    `json:"skip_approval"`
	LinkRenewals      *bool    `json:"link_renewals"`
	RequestsPerSecond *float64 `json:"requests_per_second"`
	RequestTimeout    string   `json:"request_timeout"`
}

func accountSchema() []pluginapi.Field {
	return []pluginapi.Field{
		{Name: "api_key", Type: pluginapi.String, Required: true, Secret: true, Help: "API key of a CertCentral user, best of a service user restricted to orders, domains and organizations."},
		{Name: "base_url", Type: pluginapi.String, Default: certcentral.BaseUS, Help: "Address of the Services API; accounts of CertCentral Europe use " + certcentral.BaseEU + "."},
		{Name: "organization_id", Type: pluginapi.Integer, Help: "Organization of OV, EV and private orders that name none themselves (organization.id)."},
		{Name: "container_id", Type: pluginapi.Integer, Help: "Container (division) of orders that name none themselves (container.id)."},
		{Name: "skip_approval", Type: pluginapi.Boolean, Help: "Whether orders that do not say it themselves skip the approval by an administrator; the key must have the right to."},
		{Name: "link_renewals", Type: pluginapi.Boolean, Default: true, Help: "Link renewals to the order they follow; false orders without the link, for accounts whose earlier orders DigiCert will not renew."},
		{Name: "requests_per_second", Type: pluginapi.Number, Default: certcentral.DefaultPerSecond, Help: "How many API calls to make a second in the long run, 0.1 to 5; less where the key has other users."},
		{Name: "request_timeout", Type: pluginapi.Duration, Default: defaultRequestTimeout.String(), Help: "How long one API call may take, 1s to 2m."},
	}
}

// readAccount reads an account's settings and finds all that is wrong with them.
func readAccount(s pluginapi.Settings) (accountSettings, []pluginapi.Finding) {
	found := findings(pluginapi.CheckSettings(accountSchema(), s))
	var raw rawAccount
	if err := s.Decode(&raw); err != nil {
		var e *pluginapi.Error
		if errors.As(err, &e) && len(found) == 0 {
			found.fault(e.Field, "%s", e.Message)
		}
		return accountSettings{}, found
	}
	out := accountSettings{
		baseURL: found.baseURL(raw.BaseURL), key: found.apiKey(s.Secret("api_key")),
		organization: found.id("organization_id", raw.OrganizationID), container: found.id("container_id", raw.ContainerID),
		skipApproval: raw.SkipApproval, linkRenewals: raw.LinkRenewals == nil || *raw.LinkRenewals,
		perSecond: certcentral.DefaultPerSecond, requestTimeout: found.timeout(raw.RequestTimeout),
	}
	if p := raw.RequestsPerSecond; p != nil {
		if out.perSecond = *p; *p < leastPerSecond || *p > certcentral.MaxPerSecond {
			found.fault("requests_per_second", "must lie between %v and %v: DigiCert takes 1000 calls in 3 minutes", leastPerSecond, certcentral.MaxPerSecond)
		}
	}
	return out, found
}

// findings collects what is wrong, and what is worth knowing.
type findings []pluginapi.Finding

func (f *findings) add(severity pluginapi.Severity, field, format string, args ...any) {
	*f = append(*f, pluginapi.Finding{Severity: severity, Field: field, Message: fmt.Sprintf(format, args...)})
}

// of notes something about the order settings with an index.
func (f *findings) of(order int, severity pluginapi.Severity, field, format string, args ...any) {
	f.add(severity, field, format, args...)
	(*f)[len(*f)-1].Order = order + 1
}

func (f *findings) faultOf(order int, field, format string, args ...any) {
	f.of(order, pluginapi.Fault, field, format, args...)
}

func (f *findings) fault(field, format string, args ...any) {
	f.add(pluginapi.Fault, field, format, args...)
}

// baseURL checks the address that the key is sent to.
func (f *findings) baseURL(text string) string {
	if text == "" {
		return certcentral.BaseUS
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "":
		f.fault("base_url", "is no address; write for example %s", certcentral.BaseUS) // not as it stands: it may hold a password
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		f.fault("base_url", "must hold no user, query or fragment")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		f.fault("base_url", "must begin with https://, or the key could be read on its way; http:// is for 127.0.0.1 alone")
	case u.Scheme != "https" && u.Scheme != "http":
		f.fault("base_url", "must begin with https://")
	}
	return strings.TrimRight(text, "/")
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// apiKey checks that the key can stand in a header.
func (f *findings) apiKey(key pluginapi.Secret) pluginapi.Secret {
	text := strings.TrimSpace(key.Reveal())
	if strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsGraphic(r) || r == ' ' }) {
		f.fault("api_key", "holds characters that no API key has; does the file hold the key and nothing else?")
	}
	return pluginapi.NewSecret(text)
}

func (f *findings) id(field string, id int64) int64 {
	if id < 0 {
		f.fault(field, "is negative; the console shows the number")
	}
	return id
}

func (f *findings) timeout(text string) time.Duration {
	if text == "" {
		return defaultRequestTimeout
	}
	d, err := time.ParseDuration(text)
	if err == nil && (d < minRequestTimeout || d > maxRequestTimeout) {
		f.fault("request_timeout", "must lie between %s and %s", minRequestTimeout, maxRequestTimeout)
	}
	return d
}
