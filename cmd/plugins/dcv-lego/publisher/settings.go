package publisher

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-acme/lego/v4/challenge"
	"github.com/go-acme/lego/v4/providers/http/s3"
	"github.com/go-acme/lego/v4/providers/http/webroot"

	"github.com/certbridge/certbridged/cmd/plugins/dcv-lego/catalog"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// The HTTP providers. lego knows no names for them; these are the ones of its command line.
const (
	webrootName   = "webroot"
	memcachedName = "memcached"
	s3Name        = "s3"
)

func httpNames() []string { return []string{memcachedName, s3Name, webrootName} }

// traits are what must be known of a provider.
type traits struct {
	acme, literal pluginapi.PublishAbility
	// notLiteral, noApex and overwrites are sentences, as in the catalog.
	notLiteral, noApex, overwrites string
	needsReceipt                   bool
	// wholeZone: withdrawing one record undoes others of the zone.
	wholeZone  bool
	concurrent bool
	note       string
}

// settings are a profile's.
type settings struct {
	Provider            string   `json:"provider"`
	Path                string   `json:"path"`
	Hosts               []string `json:"hosts"`
	Bucket              string   `json:"bucket"`
	PropagationTimeout  string   `json:"propagation_timeout"`
	PropagationInterval string   `json:"propagation_interval"`

	canonical         string
	traits            traits
	timeout, interval time.Duration
}

func schema() []pluginapi.Field {
	return []pluginapi.Field{
		{Name: "provider", Type: pluginapi.String, Required: true,
			Help: "The name of one of lego's DNS providers, or webroot, memcached or s3; its credentials are environment variables."},
		{Name: "path", Type: pluginapi.String, Help: "For webroot: the document root of the web server, an absolute path."},
		{Name: "hosts", Type: pluginapi.List, Element: &pluginapi.Field{Type: pluginapi.String, Help: "A server, host:port."},
			Help: "For memcached: the servers, each of which gets the file."},
		{Name: "bucket", Type: pluginapi.String, Help: "For s3: the bucket; credentials and region are AWS's environment variables."},
		{Name: "propagation_timeout", Type: pluginapi.Duration, Help: "How long propagation may take, in place of the provider's own time."},
		{Name: "propagation_interval", Type: pluginapi.Duration, Help: "How often to look meanwhile, in place of the provider's own interval."},
	}
}

// readSettings checks a profile's settings, all at once.
func readSettings(given pluginapi.Settings) (settings, []pluginapi.Finding, error) {
	var s settings
	findings := pluginapi.CheckSettings(schema(), given)
	if pluginapi.HasFault(findings) {
		return s, findings, nil
	}
	if err := given.Decode(&s); err != nil {
		return s, nil, fmt.Errorf("settings: %w", err)
	}
	for _, d := range []struct {
		field, text string
		into        *time.Duration
	}{{"propagation_timeout", s.PropagationTimeout, &s.timeout}, {"propagation_interval", s.PropagationInterval, &s.interval}} {
		if d.text == "" {
			continue
		}
		*d.into, _ = time.ParseDuration(d.text) // CheckSettings has parsed it
		if *d.into <= 0 {
			findings = append(findings, pluginapi.Faultf(d.field, "%s is not above zero", d.text))
		}
	}
	return s, append(findings, s.find()...), nil
}

// find looks the provider up, and says which of the settings do not belong to it.
func (s *settings) find() []pluginapi.Finding {
	var findings []pluginapi.Finding
	wanted := map[string]string{webrootName: "path", memcachedName: "hosts", s3Name: "bucket"}
	has := map[string]bool{"path": s.Path != "", "hosts": len(s.Hosts) > 0, "bucket": s.Bucket != ""}
	for _, owner := range httpNames() {
		field := wanted[owner]
		switch {
		case s.Provider == owner && !has[field]:
			findings = append(findings, pluginapi.Faultf(field, "is missing: the provider %s needs it", owner))
		case s.Provider != owner && has[field]:
			findings = append(findings, pluginapi.Faultf(field, "belongs to the provider %s, not to %s", owner, s.Provider))
		}
	}
	if slices.Contains(httpNames(), s.Provider) {
		s.canonical = s.Provider
		s.traits = traits{acme: pluginapi.PublishACMEHTTP, literal: pluginapi.PublishFile, concurrent: true}
		if s.Provider == webrootName && s.Path != "" && !filepath.IsAbs(s.Path) {
			findings = append(findings, pluginapi.Faultf("path", "%q is not an absolute path", s.Path))
		}
		return append(findings, s.remarksHTTP()...)
	}
	return append(findings, s.findDNS()...)
}

// remarksHTTP says what is not wrong and may still not be what is wanted.
func (s *settings) remarksHTTP() []pluginapi.Finding {
	switch {
	case s.Provider == webrootName:
		return []pluginapi.Finding{remark("provider", "a webroot is built into certbridged too, without a plugin: write webroot = %q in the profile", s.Path)}
	case s.Provider == s3Name && os.Getenv("AWS_REGION") == "" && os.Getenv("AWS_DEFAULT_REGION") == "" && os.Getenv("AWS_CONFIG_FILE") == "":
		return []pluginapi.Finding{{Severity: pluginapi.Warning, Field: "provider", Message: "no region is known: S3 wants AWS_REGION in the profile's env"}}
	default:
		return nil
	}
}

func (s *settings) findDNS() []pluginapi.Finding {
	canonical, entry, ok := catalog.Find(s.Provider)
	switch {
	case s.Provider == "manual":
		return []pluginapi.Finding{pluginapi.Faultf("provider", "manual asks a person at a terminal, and a daemon has none: "+
			"leave out the profile, and certbridged says what is to be published; or use the plugin exec")}
	case !ok:
		return []pluginapi.Finding{pluginapi.Faultf("provider", "%q is none of lego's providers; %s", s.Provider, nearest(s.Provider))}
	}
	s.canonical = canonical
	s.traits = traits{
		acme: pluginapi.PublishACMEDNS, literal: pluginapi.PublishTXT,
		notLiteral: entry.NotLiteral, noApex: entry.NoApex, overwrites: entry.Overwrites,
		needsReceipt: entry.State == catalog.FromReceipt,
		concurrent:   entry.Concurrent, note: entry.Note,
		wholeZone: canonical == "gandi", // it works on a copy of the zone and brings the old one back
	}
	if s.traits.notLiteral == "" && isRaw(canonical) {
		s.traits.notLiteral = "in the mode RAW it hands over ACME's key authorization in place of a record; " +
			"leave the mode away, or use the plugin " + canonical
	}
	if s.traits.note != "" {
		return []pluginapi.Finding{remark("provider", "%s: %s", canonical, s.traits.note)}
	}
	return nil
}

// maker returns what makes the provider.
func (s *settings) maker(dns func(string) (challenge.Provider, error)) func() (challenge.Provider, error) {
	switch s.canonical {
	case webrootName:
		return func() (challenge.Provider, error) { return newWebroot(s.Path) }
	case memcachedName:
		return func() (challenge.Provider, error) { return memcached(s.Hosts), nil }
	case s3Name:
		return func() (challenge.Provider, error) { return s3.NewHTTPProvider(s.Bucket) }
	default:
		return func() (challenge.Provider, error) { return dns(s.Provider) }
	}
}

func newWebroot(path string) (challenge.Provider, error) {
	p, err := webroot.NewHTTPProvider(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &ownWebroot{Provider: p, path: path}, nil
}

// nearest says which provider may have been meant.
func nearest(name string) string {
	type candidate struct {
		name     string
		distance int
	}
	names := slices.Concat(catalog.Names(), httpNames())
	for _, canonical := range catalog.Names() {
		_, entry, _ := catalog.Find(canonical)
		names = append(names, entry.Aliases...)
	}
	low := strings.ToLower(name)
	var near []candidate
	for _, n := range names {
		d := distance(low, n)
		if len(low) >= 3 && (strings.Contains(n, low) || strings.Contains(low, n)) {
			d = min(d, 1)
		}
		if d <= max(1, len(low)/3) {
			near = append(near, candidate{n, d})
		}
	}
	if len(near) == 0 {
		return "their names are at https://go-acme.github.io/lego/dns/"
	}
	slices.SortFunc(near, func(a, b candidate) int {
		if a.distance != b.distance {
			return a.distance - b.distance
		}
		return strings.Compare(a.name, b.name)
	})
	const most = 5
	var words []string
	for _, n := range near[:min(len(near), most)] {
		words = append(words, n.name)
	}
	return "near it: " + strings.Join(words, ", ")
}

// distance is the number of characters to insert, delete or replace to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
