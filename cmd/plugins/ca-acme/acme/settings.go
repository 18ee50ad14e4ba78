package acme

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const (
	defaultKeyType        = "ecdsa-p256"
	defaultRequestTimeout = 30 * time.Second
	minRequestTimeout     = time.Second
	maxRequestTimeout     = 10 * time.Minute
	leastPerSecond        = 0.1
	mostPerSecond         = 1000.0
	// maxRootFile bounds root_ca_file; the largest bundles in use have a quarter of this.
	maxRootFile = 4 << 20
)

// accountSettings are an account's settings after checkAccount.
type accountSettings struct {
	directoryURL   string
	contacts       []string // with their scheme: "mailto:..."
	eabKID         string
	eabHMAC        pluginapi.Secret
	roots          *x509.CertPool // nil: the system's
	keyType        string
	keyGeneration  int
	requestTimeout time.Duration
	perSecond      float64 // zero: as many requests as the CA takes
}

// rawAccount is [ca.NAME.settings] as written.
type rawAccount struct {
	DirectoryURL         string         `json:"directory_url"`
	BaseURL              string         `json:"base_url"`
	Email                string         `json:"email"`
	Contacts             []string       `json:"contacts"`
	TermsOfServiceAgreed bool           `json:"terms_of_service_agreed"`
	EABKID               string         `json:"eab_kid"`
	RootCAFile           string         `json:"root_ca_file"`
	AccountKeyType       string         `json:"account_key_type"`
	AccountKeyGeneration int            `json:"account_key_generation"`
	RequestTimeout       string         `json:"request_timeout"`
	RequestsPerSecond    *float64       `json:"requests_per_second"`
	Order                map[string]any `json:"order"`
}

func accountSchema() []pluginapi.Field {
	return []pluginapi.Field{
		{Name: "directory_url", Type: pluginapi.String, Help: "Address of the CA's ACME directory, for example https://acme-v02.api.letsencrypt.org/directory; required."},
		{Name: "base_url", Type: pluginapi.String, Help: "Another name for directory_url; give one of the two."},
		{Name: "terms_of_service_agreed", Type: pluginapi.Boolean, Required: true, Help: "Must be true: you have read the CA's terms of service and agree to them."},
		{Name: "email", Type: pluginapi.String, Help: "Address the CA may write to about the account."},
		{Name: "contacts", Type: pluginapi.List, Element: &pluginapi.Field{Type: pluginapi.String}, Help: "More contact addresses, as e-mail addresses or mailto: URLs."},
		{Name: "eab_kid", Type: pluginapi.String, Help: "Key identifier for external account binding, where the CA asks for it."},
		{Name: "eab_hmac_key", Type: pluginapi.String, Secret: true, Help: "MAC key for external account binding, base64url as the CA gives it."},
		{Name: "root_ca_file", Type: pluginapi.String, Help: "PEM file with root certificates to trust, besides the system's, for the connection to the directory."},
		{Name: "account_key_type", Type: pluginapi.String, Default: defaultKeyType, Allowed: anyStrings(keyTypes()), Help: "Type of a new account key."},
		{Name: "account_key_generation", Type: pluginapi.Integer, Default: int64(1), Help: "Raise it by one to change the account key (RFC 8555 section 7.3.5)."},
		{Name: "request_timeout", Type: pluginapi.Duration, Default: defaultRequestTimeout.String(), Help: "How long one request to the CA may take."},
		{Name: "requests_per_second", Type: pluginapi.Number, Help: "How many requests to make a second in the long run, 0.1 to 1000; without it as many as the CA takes."},
	}
}

// checkAccount reads an account's settings. Mistakes come back as findings, all at once; an error means that the
// settings do not have the shape of the schema.
func checkAccount(s pluginapi.Settings) (accountSettings, []pluginapi.Finding, error) {
	var raw rawAccount
	if err := s.Decode(&raw); err != nil {
		var e *pluginapi.Error
		if errors.As(err, &e) {
			return accountSettings{}, []pluginapi.Finding{{Severity: pluginapi.Fault, Field: e.Field, Message: e.Message}}, nil
		}
		return accountSettings{}, nil, pluginapi.Errorf(pluginapi.InvalidRequest, "%w", err)
	}
	var found findings
	out := accountSettings{
		directoryURL:   found.directory(raw),
		contacts:       found.contacts(raw),
		keyType:        raw.AccountKeyType,
		keyGeneration:  raw.AccountKeyGeneration,
		requestTimeout: found.timeout(raw.RequestTimeout),
		roots:          found.roots(raw.RootCAFile),
		perSecond:      found.perSecond(raw.RequestsPerSecond),
	}
	out.eabKID, out.eabHMAC = found.binding(raw.EABKID, s.Secret("eab_hmac_key"))
	if !raw.TermsOfServiceAgreed {
		found.fault("terms_of_service_agreed", "must be true: read the CA's terms of service (certbridged check --online names their address) and set it when you agree")
	}
	if out.keyType == "" {
		out.keyType = defaultKeyType
	}
	if !knownKeyType(out.keyType) {
		found.fault("account_key_type", "%q is no type of account key; use one of %s", out.keyType, strings.Join(keyTypes(), ", "))
	}
	switch {
	case raw.AccountKeyGeneration < 0:
		found.fault("account_key_generation", "must not be negative")
	case raw.AccountKeyGeneration == 0:
		out.keyGeneration = 1
	}
	if raw.Order != nil {
		// The daemon merges these defaults into every order; a mistake is better named now.
		if _, err := readOrderSettings(pluginapi.Settings{Values: raw.Order}); err != nil {
			var e *pluginapi.Error
			if errors.As(err, &e) {
				found.fault(joinPath("order", e.Field), "%s", e.Message)
			}
		}
	}
	return out, found, nil
}

// findings collects what is wrong with settings.
type findings []pluginapi.Finding

func (f *findings) fault(field, format string, args ...any) {
	f.add(pluginapi.Fault, field, format, args...)
}

func (f *findings) add(severity pluginapi.Severity, field, format string, args ...any) {
	*f = append(*f, pluginapi.Finding{Severity: severity, Field: field, Message: fmt.Sprintf(format, args...)})
}

func (f *findings) directory(raw rawAccount) string {
	field, text := "directory_url", raw.DirectoryURL
	switch {
	case raw.DirectoryURL != "" && raw.BaseURL != "" && raw.DirectoryURL != raw.BaseURL:
		f.fault("base_url", "is another name for directory_url; give only one of the two")
	case raw.DirectoryURL == "" && raw.BaseURL != "":
		field, text = "base_url", raw.BaseURL
	case raw.DirectoryURL == "":
		f.fault("directory_url", "is missing: give the address of the CA's ACME directory, for example https://acme-v02.api.letsencrypt.org/directory")
		return ""
	}
	u, err := url.Parse(text)
	if err != nil {
		f.fault(field, "is not a URL") // the parser's words would repeat a password in it
		return ""
	}
	switch {
	case u.Scheme != "https":
		f.fault(field, "must begin with https:// (RFC 8555 section 6.1)")
	case u.Host == "":
		f.fault(field, "has no host")
	case u.User != nil:
		f.fault(field, "must not hold a user name or password")
	case u.Fragment != "":
		f.fault(field, "must not have a #fragment")
	}
	return u.String()
}

func (f *findings) contacts(raw rawAccount) []string {
	var out []string
	seen := map[string]bool{}
	add := func(field, text string) {
		address := text
		if rest, ok := strings.CutPrefix(strings.ToLower(text), "mailto:"); ok {
			address = text[len(text)-len(rest):]
		} else if strings.Contains(text, ":") {
			f.fault(field, "%q is neither an e-mail address nor a mailto: URL", text)
			return
		}
		parsed, err := mail.ParseAddress(address)
		if err != nil || parsed.Address != address || strings.ContainsAny(address, "?,") {
			f.fault(field, "%q is not an e-mail address", text)
			return
		}
		if contact := "mailto:" + address; !seen[contact] {
			seen[contact] = true
			out = append(out, contact)
		}
	}
	if raw.Email != "" {
		add("email", raw.Email)
	}
	for i, c := range raw.Contacts {
		add(fmt.Sprintf("contacts.%d", i), c)
	}
	return out
}

func (f *findings) timeout(text string) time.Duration {
	if text == "" {
		return defaultRequestTimeout
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		f.fault("request_timeout", "%q is not a duration such as \"30s\"", text)
		return defaultRequestTimeout
	case d < minRequestTimeout || d > maxRequestTimeout:
		f.fault("request_timeout", "must lie between %s and %s", minRequestTimeout, maxRequestTimeout)
	}
	return d
}

func (f *findings) perSecond(n *float64) float64 {
	switch {
	case n == nil:
		return 0
	case !(*n >= leastPerSecond && *n <= mostPerSecond): // not a number is neither
		f.fault("requests_per_second", "must lie between %v and %v", leastPerSecond, mostPerSecond)
	}
	return *n
}

func (f *findings) roots(path string) *x509.CertPool {
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxRootFile) {
		f.fault("root_ca_file", "%s is not a PEM file of at most %d bytes", path, maxRootFile)
		return nil
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		f.fault("root_ca_file", "cannot be read: %v", err)
		return nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		f.fault("root_ca_file", "%s holds no PEM certificate", path)
		return nil
	}
	return pool
}

// binding checks external account binding (RFC 8555 section 7.3.4). Nothing of the key may stand in a finding.
func (f *findings) binding(kid string, hmac pluginapi.Secret) (string, pluginapi.Secret) {
	switch {
	case kid == "" && hmac.Empty():
		return "", pluginapi.Secret{}
	case kid == "":
		f.fault("eab_kid", "is missing, though eab_hmac_key is set; the CA gives both together")
	case hmac.Empty():
		f.fault("eab_hmac_key", "is missing, though eab_kid is set; the CA gives both together")
	}
	// Some CAs show the key with padding, some without, and some in plain base64.
	text := strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(strings.TrimSpace(hmac.Reveal()), "="))
	if key, err := base64.RawURLEncoding.DecodeString(text); !hmac.Empty() && (err != nil || len(key) == 0) {
		f.fault("eab_hmac_key", "is not base64url text; copy it as the CA gives it")
	}
	return kid, pluginapi.NewSecret(text)
}

// tlsConfig is how the CA's servers are checked. Connections after the first take up its session, which spares both sides the
// signatures and certificates.
func (s accountSettings) tlsConfig() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.roots, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
}

func anyStrings(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

func joinPath(parts ...string) string {
	var kept []string
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, ".")
}
