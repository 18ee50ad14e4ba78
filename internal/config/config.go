package config

import (
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/cert"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// DefaultPath is the configuration that is read when none is named.
const DefaultPath = "/etc/certbridged/config.toml"

// Config is a checked configuration. It is never changed after Load.
type Config struct {
	// Path is the main file, absolute.
	Path   string
	Daemon Daemon
	// CA are the CA accounts by name.
	CA map[string]CA
	// DCV are the DCV profiles by name, the built-in BuiltinHTTP among them.
	DCV map[string]DCV
	// Warnings are things that work but deserve a look, such as a secret file everybody can read.
	Warnings []Problem

	managed managed
	places  placeIndex
}

// Position returns where something stands: Position("ca", "digicert", "settings", "api_key"),
// Position("certificate", "shop", "order", "product"). Of what is not written anywhere it returns the nearest table
// around it. The line is 1 or more when the file is not empty. The file is read again; where it is not any more as it was
// loaded, the line is that of the certificate, or 1.
func (c *Config) Position(path ...string) (file string, line int) {
	return c.find(path)
}

// LogFormat is how log lines are written.
type LogFormat string

// The log formats. Auto is text on a terminal, JSON otherwise.
const (
	LogAuto LogFormat = "auto"
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// DNSPropagation says where a published DNS record must be seen before the CA is told.
type DNSPropagation string

// Where a published DNS record must be seen.
const (
	PropagationAuthoritative DNSPropagation = "authoritative" // at every authoritative name server
	PropagationResolvers     DNSPropagation = "resolvers"     // at every one of the resolvers
	PropagationNone          DNSPropagation = "none"          // nowhere: the CA is told at once
)

// Daemon is the [daemon] table: what the daemon itself needs.
type Daemon struct {
	// StateDir and PluginDir are absolute folders.
	StateDir, PluginDir string
	// ControlSocket is the absolute path of the unix socket the command line speaks to.
	ControlSocket string
	// ControlGroup is the group whose members may order, revoke and deploy beside root and the daemon's own user; empty
	// means none.
	ControlGroup string
	// MetricsListen is a host:port, or empty for no metrics.
	MetricsListen string
	// HTTPChallengeListen is the host:port of the shared responder.
	HTTPChallengeListen string
	// HTTPChallengeSelfCheck: a published file is fetched through its public address before the CA is told.
	HTTPChallengeSelfCheck bool
	// DNSResolvers are the resolvers to look DNS records up with, "ip:port"; empty means the system's own.
	DNSResolvers []string
	// DNSPropagation says where a published DNS record must be seen before the CA is told.
	DNSPropagation DNSPropagation
	// RescanInterval is how often all certificate files are looked at even if nothing told of a change.
	RescanInterval time.Duration
	// PluginIdleAfter is how long a plugin without a call stays; PluginStartTimeout how long its start may take;
	// PluginCallTimeout how long one call may take.
	PluginIdleAfter, PluginStartTimeout, PluginCallTimeout time.Duration
	// PluginMemoryLimit is the most resident memory of one plugin process, in bytes.
	PluginMemoryLimit int64
	LogLevel          slog.Level
	LogFormat         LogFormat
	// DefaultRenewBefore holds for certificates that have no renew_before.
	DefaultRenewBefore RenewBefore
}

// CA is a [ca.NAME] table: a CA account, a plugin and its settings.
type CA struct {
	Name string
	// Plugin is the file name in the plugin folder without "ca-".
	Plugin string
	// SHA256 pins the plugin file, 64 lower-case hexadecimal digits; empty means not pinned.
	SHA256 string
	// MaxOrdersPerDay and MaxOrdersPerCertificate are how many orders that cost money may be placed in any 24 hours, for
	// the account and for one certificate. At zero every such order is held for a person.
	MaxOrdersPerDay, MaxOrdersPerCertificate int
	// PollInterval overrides the plugin's pace of looking at an order; zero leaves it to the plugin.
	PollInterval time.Duration
	// CheckCAA: the CAA records of an order's names are looked at before it is sent.
	CheckCAA bool
	// Env is the environment of the plugin's process: all of it counts as secret.
	Env map[string]pluginapi.Secret
	// Settings are the account's settings without OrderDefaults.
	Settings pluginapi.Settings
	// OrderDefaults are [ca.NAME.settings.order]; they are merged into Certificate.Order already.
	OrderDefaults pluginapi.Settings
}

// BuiltinHTTP is the name of the DCV profile that is always there: the daemon's shared HTTP responder.
const BuiltinHTTP = "http"

// DCV is a [dcv.NAME] table, a DCV profile. Exactly one of Responder, Webroot and Plugin is set.
type DCV struct {
	Name string
	// Responder marks the shared HTTP responder.
	Responder bool
	// Webroot is the absolute folder a web server serves.
	Webroot string
	// Plugin is the file name in the plugin folder without "dcv-".
	Plugin string
	// SHA256 pins the plugin file; empty means not pinned.
	SHA256 string
	// Env is the environment of the plugin's process: all of it counts as secret.
	Env map[string]pluginapi.Secret
	// Settings are the profile's settings; the key provider of the profile is among them.
	Settings pluginapi.Settings
}

// Certificate is a [[certificate]] table: a managed certificate.
type Certificate struct {
	Name    string
	Enabled bool
	// Domains are normalised; empty means: as in the certificate on disk.
	Domains []string
	// CA is the name of the CA account.
	CA  string
	DCV []DCVRule
	// Key is the key type; empty means: as on disk, and DefaultKey where nothing is there.
	Key      cert.KeyType
	ReuseKey bool
	// RenewBefore is resolved: the certificate's own or the daemon's default.
	RenewBefore RenewBefore
	// Order are the order settings, the account's defaults merged in.
	Order  pluginapi.Settings
	Files  []File
	Deploy Deploy
	// File and Line are where the table begins.
	File string
	Line int

	source int // the number of its file
}

// DefaultKey is the type of a new key when neither the configuration nor a certificate on disk says one.
const DefaultKey = cert.ECDSAP256

// Form is what a file holds.
type Form string

// The forms.
const (
	FullChain Form = "fullchain" // leaf and intermediates, PEM
	Leaf      Form = "cert"      // leaf, PEM
	Chain     Form = "chain"     // intermediates, PEM
	Key       Form = "key"       // private key, PEM
	Combined  Form = "combined"  // leaf, intermediates and private key, PEM
	PKCS12    Form = "pkcs12"    // leaf, intermediates and private key, PKCS#12
	JKS       Form = "jks"       // leaf, intermediates and private key, Java key store
	DER       Form = "der"       // leaf, DER
	KeyDER    Form = "key-der"   // private key, DER
)

// HasKey reports whether files of the form hold the private key.
func (f Form) HasKey() bool {
	switch f {
	case Key, Combined, PKCS12, JKS, KeyDER:
		return true
	default:
		return false
	}
}

// HasLeaf reports whether files of the form hold the certificate itself.
func (f Form) HasLeaf() bool {
	switch f {
	case FullChain, Leaf, Combined, PKCS12, JKS, DER:
		return true
	default:
		return false
	}
}

// File is one file of a certificate.
type File struct {
	Form Form
	// Path is absolute.
	Path string
	// Owner and Group are names or numbers; empty means: as it is.
	Owner, Group string
	// Mode are permission bits; zero means: as it is.
	Mode fs.FileMode
	// Password protects PKCS12 and JKS files.
	Password pluginapi.Secret
	// Alias names the entry in PKCS12 and JKS files.
	Alias string
}

// Deploy is what follows the installation of new files.
type Deploy struct {
	// Check and Reload are commands as lists of words; empty means none.
	Check, Reload []string
	Verify        []VerifyTarget
	// Timeout bounds each of check, reload and verify.
	Timeout time.Duration
}

// VerifyTarget is a port that must serve the new certificate.
type VerifyTarget struct {
	// Address is host:port.
	Address string
	// ServerName is sent as SNI; empty means: the certificate's first name.
	ServerName string
	// Protocol is what is spoken before TLS starts; "tls" for nothing.
	Protocol string
}

// RenewBefore says how long before its end a certificate is renewed: a fraction of its lifetime or a duration. Exactly
// one of the two is set.
type RenewBefore struct {
	Fraction float64
	Duration time.Duration
}

// String returns it as the configuration spells it.
func (r RenewBefore) String() string {
	if r.Duration > 0 {
		return r.Duration.String()
	}
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", r.Fraction*100), "0"), ".") + "%"
}

// At returns the moment from which a certificate of this lifetime is due.
func (r RenewBefore) At(notBefore, notAfter time.Time) time.Time {
	if r.Duration > 0 {
		return notAfter.Add(-r.Duration)
	}
	return notAfter.Add(-time.Duration(float64(notAfter.Sub(notBefore)) * r.Fraction))
}
