package main

import (
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const (
	defaultLifetime   = 2160 * time.Hour // ninety days
	defaultBackdate   = time.Minute
	defaultCommonName = "certbridged local CA"
	minLifetime       = 2 * time.Second
	maxCommonName     = 48 // the suffix must fit into X.520's upper bound of 64 characters
)

// How a name's owner shows control over it.
const (
	challengeNone = "none"
	challengeHTTP = "http"
	challengeDNS  = "dns"
)

// accountSettings are [ca.NAME.settings] as written.
type accountSettings struct {
	Dir           string `json:"dir"`
	Lifetime      string `json:"lifetime"`
	Backdate      string `json:"backdate"`
	CommonName    string `json:"common_name"`
	Challenge     string `json:"challenge"`
	HTTPPort      int    `json:"http_port"`
	ResolveTo     string `json:"resolve_to"`
	DNSServer     string `json:"dns_server"`
	Coverage      string `json:"coverage"`
	RenewalWindow string `json:"renewal_window"`
	CRLURL        string `json:"crl_url"`
}

// orderSettings are a certificate's order = { ... } as written.
type orderSettings struct {
	Lifetime string `json:"lifetime"`
}

// account is what the settings mean.
type account struct {
	dir, commonName, challenge string
	httpPort                   int
	resolveTo, dnsServer       string
	crlURL                     string
	lifetime, backdate         time.Duration
	coverage, renewalWindow    time.Duration // zero: no paid plan; a third of the lifetime
}

func accountSchema() []pluginapi.Field {
	return []pluginapi.Field{
		{Name: "dir", Type: pluginapi.String, Required: true, Help: "Absolute path of the folder that holds the CA; made on first use."},
		{Name: "lifetime", Type: pluginapi.Duration, Default: "2160h", Help: "How long a certificate lasts; seconds are fine for a demonstration."},
		{Name: "backdate", Type: pluginapi.Duration, Default: "1m", Help: "How far a certificate's start lies in the past, for clocks that are slow; at most a tenth of the lifetime."},
		{Name: "common_name", Type: pluginapi.String, Default: defaultCommonName, Help: "Name of the CA, used when it is made."},
		{
			Name: "challenge", Type: pluginapi.String, Default: challengeNone,
			Allowed: []any{challengeNone, challengeHTTP, challengeDNS}, Help: "How control over a name is shown before a certificate is issued.",
		},
		{Name: "http_port", Type: pluginapi.Integer, Default: int64(80), Help: "Port to ask for the challenge file."},
		{Name: "resolve_to", Type: pluginapi.String, Help: "IP address to ask for the challenge file instead of the one the name resolves to."},
		{Name: "dns_server", Type: pluginapi.String, Help: "Name server (host:port) to ask for the challenge record instead of the system's."},
		{Name: "coverage", Type: pluginapi.Duration, Help: "How long a paid plan lasts, to rehearse reissues and renewals; left out: there is none."},
		{Name: "renewal_window", Type: pluginapi.Duration, Help: "How long before a certificate's end its renewal is suggested; left out: a third of its lifetime."},
		{Name: "crl_url", Type: pluginapi.String, Help: "Address at which you publish crl.der from the folder, for the certificates to name."},
	}
}

func orderSchema() []pluginapi.Field {
	return []pluginapi.Field{
		{Name: "lifetime", Type: pluginapi.Duration, Help: "How long this certificate lasts, instead of the account's lifetime."},
	}
}

// faults collects what is wrong with settings, by field.
type faults []pluginapi.Finding

func (f *faults) add(field, message string) {
	*f = append(*f, pluginapi.Finding{Severity: pluginapi.Fault, Field: field, Message: message})
}

// duration reads one; empty text is the default.
func (f *faults) duration(field, text string, byDefault, least time.Duration) time.Duration {
	if text == "" {
		return byDefault
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		f.add(field, "is not a duration such as \"90s\" or \"2160h\"")
	case d < least:
		f.add(field, "must be at least "+least.String())
	case d > maxAge:
		f.add(field, "must be at most "+maxAge.String())
	}
	return d
}

func readAccount(s pluginapi.Settings) (account, []pluginapi.Finding) {
	var in accountSettings
	var f faults
	if err := s.Decode(&in); err != nil {
		f.add(pluginapi.FieldOf(err), err.Error())
		return account{}, f
	}
	for path := range s.Secrets {
		f.add(path, "is not a setting of this CA, which has no secrets")
	}
	a := account{
		dir: in.Dir, commonName: in.CommonName, challenge: in.Challenge, httpPort: in.HTTPPort,
		resolveTo: in.ResolveTo, dnsServer: in.DNSServer, crlURL: in.CRLURL,
		lifetime:      f.duration("lifetime", in.Lifetime, defaultLifetime, minLifetime),
		backdate:      f.duration("backdate", in.Backdate, defaultBackdate, 0),
		coverage:      f.duration("coverage", in.Coverage, 0, minLifetime),
		renewalWindow: f.duration("renewal_window", in.RenewalWindow, 0, time.Second),
	}
	if a.commonName == "" {
		a.commonName = defaultCommonName
	}
	if a.challenge == "" {
		a.challenge = challengeNone
	}
	if a.httpPort == 0 {
		a.httpPort = 80
	}
	a.check(&f)
	return a, f
}

func (a account) check(f *faults) {
	switch {
	case a.dir == "":
		f.add("dir", "is missing; give the absolute path of a folder")
	case !filepath.IsAbs(a.dir):
		f.add("dir", "must be an absolute path")
	}
	if len(a.commonName) > maxCommonName {
		f.add("common_name", "is longer than 48 bytes")
	}
	if a.challenge != challengeNone && a.challenge != challengeHTTP && a.challenge != challengeDNS {
		f.add("challenge", "must be none, http or dns")
	}
	if a.httpPort < 1 || a.httpPort > 65535 {
		f.add("http_port", "must be between 1 and 65535")
	}
	if _, err := netip.ParseAddr(a.resolveTo); a.resolveTo != "" && err != nil {
		f.add("resolve_to", "is not an IP address")
	}
	if _, _, err := net.SplitHostPort(a.dnsServer); a.dnsServer != "" && err != nil {
		f.add("dns_server", "is not host:port")
	}
	if u, err := url.Parse(a.crlURL); a.crlURL != "" && (err != nil || u.Scheme != "http" || u.Host == "") {
		f.add("crl_url", "is not an http address (RFC 5280 section 4.2.1.13)")
	}
}

// orderLifetime reads the settings of one order.
func (a account) orderLifetime(s pluginapi.Settings) (time.Duration, error) {
	var in orderSettings
	if err := s.Decode(&in); err != nil {
		return 0, err
	}
	var f faults
	d := f.duration("lifetime", in.Lifetime, a.lifetime, minLifetime)
	if len(f) > 0 {
		return 0, pluginapi.FieldErrorf(f[0].Field, "%s", f[0].Message)
	}
	return d, nil
}
