package config

// Entry describes one key of the configuration.
type Entry struct {
	Name string
	// Type is for people: "text", "duration", "list of text" and so on.
	Type string
	// Default is what holds when the key is left out: text, int64, bool, or nil for nothing.
	Default any
	// Help is one or two sentences in Markdown.
	Help string
}

// Section describes one table of the configuration.
type Section struct {
	// Name is the table's path with place holders, such as "ca.NAME".
	Name string
	// Help says what the table is for, in Markdown.
	Help    string
	Entries []Entry
}

// The names of the sections.
const (
	sectionTop    = ""
	sectionDaemon = "daemon"
	sectionCA     = "ca.NAME"
	sectionDCV    = "dcv.NAME"
	sectionCert   = "certificate"
	sectionFiles  = "certificate.files"
	sectionFile   = "certificate.files.FORM"
	sectionDeploy = "certificate.deploy"
	sectionVerify = "certificate.deploy.verify"
	sectionSecret = "secret"
)

// Reference describes every key there is. The reader refuses all others, takes its defaults from here, and
// docs/configuration.md is generated from it.
func Reference() []Section {
	return []Section{
		{sectionTop, "The tables of a file. `[daemon]` stands in the main file alone; the others may stand in any file, each name once.", []Entry{
			{"daemon", "table", nil, "What the daemon itself needs."},
			{"ca", "table of tables", nil, "The CA accounts by name."},
			{"dcv", "table of tables", nil, "The DCV profiles by name."},
			{"certificate", "list of tables", nil, "The managed certificates, each a `[[certificate]]`."},
		}},
		{sectionDaemon, "What the daemon itself needs.", []Entry{
			{"state_dir", "path", "/var/lib/certbridged", "Folder of the journal, which also holds the private keys of orders under way and the files that are being replaced. Private to the daemon."},
			{"plugin_dir", "path", "/usr/lib/certbridged/plugins", "Folder of the plugins. It and all above it must belong to root or the daemon's user and be writable by nobody else."},
			{"control_socket", "path", "/run/certbridged/control.sock", "Unix socket that the command line speaks to; 107 bytes at most."},
			{"control_group", "text", "", "Group whose members may order, revoke, deploy and reload, beside root and the daemon's own user. Everybody on the machine may read the status."},
			{"metrics_listen", "host:port", "", "Where Prometheus finds `/metrics`, such as `127.0.0.1:9619`. Empty: nowhere."},
			{"http_challenge_listen", "host:port", ":80", "Where the shared HTTP responder listens, only while a challenge is published."},
			{"http_challenge_self_check", "boolean", true, "Whether a published file is fetched through its public address before the CA is told. An address that cannot be reached from this machine is no failure; a wrong answer there is told and given time. Switch it off where the machine may not look its own names up."},
			{"dns_resolvers", "list of text", nil, "Resolvers to look DNS records up with, each an IP address or `ip:port`, such as `192.0.2.53`, `192.0.2.53:5353` or `[2001:db8::53]:53`. The port is 53 unless given. DCV plugins are told them too. Left out: those of `/etc/resolv.conf`."},
			{"dns_propagation", "text", "authoritative", "Where a published DNS record must be seen before the CA is told: `authoritative` at every name server of the zone, `resolvers` at every one of `dns_resolvers` (where the machine cannot reach the name servers themselves, or the CA sees another view of the zone), or `none`."},
			{"rescan_interval", "duration", "1h", "How often every certificate file is looked at, even when nothing told of a change."},
			{"plugin_idle_after", "duration", "5m", "A plugin without a call for this long is stopped."},
			{"plugin_start_timeout", "duration", "30s", "How long a plugin may take to start."},
			{"plugin_call_timeout", "duration", "2m", "How long one call of a plugin may take."},
			{"plugin_memory_limit", "size", "512MiB", "A plugin process with more resident memory is stopped."},
			{"log_level", "text", "info", "`debug`, `info`, `warn` or `error`."},
			{"log_format", "text", "auto", "`text`, `json`, or `auto`: text on a terminal, JSON otherwise."},
			{"default_renew_before", "share or duration", "33%", "`renew_before` of certificates that have none."},
		}},
		{sectionCA, "A CA account: a plugin and its settings.", []Entry{
			{"plugin", "text", nil, "Required. The plugin's file in `plugin_dir` without `ca-`: `digicert` for `ca-digicert`."},
			{"sha256", "text", "", "SHA-256 of the plugin file in hexadecimal; another file is not started. `certbridged plugins pin FILE` prints it."},
			{"max_orders_per_day", "integer", int64(3), "Most orders of this account in any 24 hours, where orders cost money; one more is held for a person. 0 holds every such order."},
			{"max_orders_per_certificate", "integer", int64(2), "The same for one certificate."},
			{"poll_interval", "duration", nil, "How often to look at an order that waits. Left out: the plugin's own pace."},
			{"check_caa", "boolean", true, "Whether the CAA records of all names are looked at before an order is sent (RFC 8659), so that no money is spent on what the CA must refuse. An order that they forbid waits and is tried again; records that cannot be looked up do not stop it for long."},
			{"env", "table", nil, "Environment variables of the plugin's process, text or secret references, such as `HTTPS_PROXY`. The plugin sees no others."},
			{"settings", "table", nil, "Settings of the account, named by the plugin: `certbridged plugins describe NAME`. A table `order` in it holds defaults for the `order` of certificates. Secrets are written as references."},
		}},
		{sectionDCV, "A DCV profile: a way to show control over domains. The profile `http`, the daemon's shared HTTP responder, is built in.", []Entry{
			{"webroot", "path", nil, "Folder that a web server serves for the domains; files are put under `.well-known/` in it. Either this or `plugin`."},
			{"plugin", "text", nil, "The plugin's file in `plugin_dir` without `dcv-`: `lego` for `dcv-lego`."},
			{"sha256", "text", "", "SHA-256 of the plugin file in hexadecimal; another file is not started."},
			{"provider", "text", nil, "Which of the plugin's providers to use; handed over among its settings."},
			{"env", "table", nil, "Environment variables of the plugin's process, text or secret references. The plugin sees no others."},
			{"settings", "table", nil, "Further settings, named by the plugin."},
		}},
		{sectionCert, "A managed certificate.", []Entry{
			{"name", "text", nil, "Required. How commands, logs and metrics call it: letters, digits, `.`, `_` and `-`."},
			{"enabled", "boolean", true, "When false, the certificate is left alone."},
			{"domains", "list of text", nil, "DNS names, wildcards and IP addresses; the first is the common name where a CA wants one. Left out: taken from the certificate on disk."},
			{"ca", "text", nil, "Required. The CA account."},
			{"dcv", "text, list of text, or table", "http", "The DCV profile or profiles, or a table from domain pattern to them. Patterns: a domain; `*.example.com`, which is example.com and all below it; `*` for all. The most exact pattern holds."},
			{"key", "text", nil, "`ecdsa-p256`, `ecdsa-p384`, `rsa-2048`, `rsa-3072`, `rsa-4096` or `ed25519`. Left out: as on disk, `ecdsa-p256` where nothing is there."},
			{"reuse_key", "boolean", false, "When true, a renewal keeps the private key; otherwise each order has a new one."},
			{"renew_before", "share or duration", nil, "How long before its end the certificate is renewed: a share of its lifetime (`33%`) or a duration (`30d`). Left out: `default_renew_before`."},
			{"order", "table", nil, "Order settings in the CA API's own field names, as the plugin describes them; merged over the account's `settings.order`."},
			{"files", "table", nil, "Required. The files to read and write; at least one with the certificate and one with the key."},
			{"deploy", "table", nil, "What follows when new files are in place."},
		}},
		{sectionFiles, "The files of a certificate. Each value is a path, a table, or a list of them.", []Entry{
			{"fullchain", "file", nil, "Certificate and intermediates, PEM."},
			{"cert", "file", nil, "Certificate alone, PEM."},
			{"chain", "file", nil, "Intermediates alone, PEM."},
			{"key", "file", nil, "Private key, PEM (PKCS#8)."},
			{"combined", "file", nil, "Certificate, intermediates and private key in one PEM file, as HAProxy wants it."},
			{"pkcs12", "file", nil, "Certificate, intermediates and private key, PKCS#12."},
			{"jks", "file", nil, "Certificate, intermediates and private key, Java key store."},
			{"der", "file", nil, "Certificate alone, DER."},
			{"key_der", "file", nil, "Private key, DER (PKCS#8)."},
		}},
		{sectionFile, "A file with more than a path.", []Entry{
			{"path", "path", nil, "Required. Where it is. A symbolic link stays; what it points at is replaced."},
			{"owner", "text", "", "User name or number. Left out: as it is."},
			{"group", "text", "", "Group name or number. Left out: as it is."},
			{"mode", "text", nil, "Permission bits in octal, as text: `0640`. Left out: as it is; a new file is 0644, or 0600 when it holds a key."},
			{"password", "secret", nil, "Password of a `pkcs12` or `jks` file; required for `jks`."},
			{"alias", "text", "", "Name of the entry in a `pkcs12` or `jks` file. Left out: the certificate's name."},
		}},
		{sectionDeploy, "What follows when new files are in place: check, reload, verify. When one fails, the old files come back.", []Entry{
			{"check", "list of text", nil, "Command that says whether the server's configuration is good, as a list of words; no shell is between."},
			{"reload", "list of text", nil, "Command that makes the server read the files again."},
			{"verify", "host:port, table, or list of them", nil, "Ports that must then serve the new certificate."},
			{"timeout", "duration", "30s", "How long each of the three may take."},
		}},
		{sectionVerify, "A port to look at with more than an address.", []Entry{
			{"address", "host:port", nil, "Required. Where to connect."},
			{"server_name", "text", "", "The name to ask for (SNI). Left out: the first domain that is no wildcard."},
			{"protocol", "text", "tls", "What is spoken before TLS starts: `tls` (nothing), `smtp`, `imap`, `pop3`, `postgres`."},
		}},
		{sectionSecret, "Where a secret is read from. Exactly one of the three. One line end at the end of a file is dropped.", []Entry{
			{"file", "path", nil, "A file; nobody but the daemon's user should be able to read it."},
			{"env", "text", nil, "An environment variable of the daemon."},
			{"credential", "text", nil, "A systemd credential (`LoadCredential=`), a file in `$CREDENTIALS_DIRECTORY`."},
		}},
	}
}
