package config

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// maxSocketPath is the longest path of a unix socket: sun_path without its closing NUL (unix(7)).
const maxSocketPath = 107

var (
	// Names stand in metrics, file names and commands.
	nameShape   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	pluginShape = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
	digestShape = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)
	envShape    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	groupShape  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@-]*\$?$`)
)

// config checks all documents and joins them.
func (c *checker) config() *Config {
	cfg := &Config{Path: c.main, CA: map[string]CA{}, DCV: map[string]DCV{BuiltinHTTP: {Name: BuiltinHTTP, Responder: true}}}
	parsed := slices.DeleteFunc(slices.Clone(c.docs), func(d document) bool { return d.root == nil })
	for _, d := range parsed {
		c.top(d).refuseUnknown()
	}
	cfg.Daemon = c.daemon()
	for _, d := range parsed {
		c.eachNamed(d, "ca", sectionCA, func(name string, t *table) { cfg.CA[name] = c.ca(name, t) })
		c.eachNamed(d, "dcv", sectionDCV, func(name string, t *table) { cfg.DCV[name] = c.dcv(name, t) })
	}
	c.certificates(cfg)
	cfg.places = c.places
	return cfg
}

// daemon reads [daemon], which stands in the main file alone.
func (c *checker) daemon() Daemon {
	t := c.table(c.main, "daemon", nil, &mark{line: 1}, sectionDaemon)
	for _, d := range c.docs {
		if d.root == nil {
			continue // it holds certificates alone
		}
		switch top := c.top(d); {
		case d.source == 0:
			if own := top.table("daemon", sectionDaemon); own != nil {
				t = own
			}
		case top.given("daemon"):
			top.fail("daemon", "stands in %s alone", c.main)
		}
	}
	t.refuseUnknown()
	return Daemon{
		StateDir:               t.filePath("state_dir"),
		PluginDir:              t.filePath("plugin_dir"),
		ControlSocket:          t.socketPath("control_socket"),
		ControlGroup:           t.accountName("control_group"),
		MetricsListen:          t.listen("metrics_listen"),
		HTTPChallengeListen:    t.listen("http_challenge_listen"),
		HTTPChallengeSelfCheck: t.boolean("http_challenge_self_check"),
		DNSResolvers:           t.resolvers("dns_resolvers"),
		DNSPropagation: DNSPropagation(t.oneOf("dns_propagation",
			string(PropagationAuthoritative), string(PropagationResolvers), string(PropagationNone))),
		RescanInterval:     t.duration("rescan_interval"),
		PluginIdleAfter:    t.duration("plugin_idle_after"),
		PluginStartTimeout: t.duration("plugin_start_timeout"),
		PluginCallTimeout:  t.duration("plugin_call_timeout"),
		PluginMemoryLimit:  t.size("plugin_memory_limit"),
		LogLevel:           t.logLevel("log_level"),
		LogFormat:          LogFormat(t.oneOf("log_format", string(LogAuto), string(LogText), string(LogJSON))),
		DefaultRenewBefore: t.renewBefore("default_renew_before"),
	}
}

// eachNamed calls read for every table [kind.NAME] of a document.
func (c *checker) eachNamed(d document, kind, section string, read func(string, *table)) {
	v, ok := d.raw[kind]
	if !ok {
		return
	}
	raw, ok := v.(map[string]any)
	if !ok {
		c.top(d).fail(kind, "write [%s.NAME]", kind)
		return
	}
	named := c.table(d.path, kind, raw, d.root.below(kind), kind)
	for _, name := range sortedKeys(raw) {
		if !nameShape.MatchString(name) {
			named.fail(name, "%q is not a name; use letters, digits, \".\", \"_\" and \"-\", 64 at most", name)
			continue
		}
		t := named.table(name, section)
		if t == nil {
			continue
		}
		if first, taken := c.places.tables[kind+"."+name]; taken {
			t.fail("", "stands in %s already", c.places.path(first))
			continue
		}
		c.places.tables[kind+"."+name] = d.source
		t.refuseUnknown()
		read(name, t)
	}
}

func (c *checker) ca(name string, t *table) CA {
	account, order := cutOrder(t.settings("settings"))
	if settings, ok := t.raw["settings"].(map[string]any); ok {
		if v, given := settings["order"]; given && !isTable(v) {
			t.table("settings", sectionTop).wrongType("order", "a table", v)
		}
	}
	return CA{
		Name:                    name,
		Plugin:                  t.plugin("ca-"),
		SHA256:                  t.digest("sha256"),
		MaxOrdersPerDay:         t.count("max_orders_per_day"),
		MaxOrdersPerCertificate: t.count("max_orders_per_certificate"),
		PollInterval:            t.duration("poll_interval"),
		CheckCAA:                t.boolean("check_caa"),
		Env:                     t.environment("env"),
		Settings:                account,
		OrderDefaults:           order,
	}
}

func isTable(v any) bool {
	_, ok := v.(map[string]any)
	return ok
}

func (c *checker) dcv(name string, t *table) DCV {
	d := DCV{Name: name}
	switch {
	case name == BuiltinHTTP:
		t.fail("", "the profile %q is built in; choose another name", name)
		return DCV{Name: name, Responder: true}
	case t.given("webroot"):
		for _, key := range []string{"plugin", "sha256", "provider", "env", "settings"} {
			if t.given(key) {
				t.fail(key, "has no place beside webroot")
			}
		}
		d.Webroot = t.filePath("webroot")
		return d
	case !t.given("plugin"):
		t.fail("", "wants plugin or webroot")
	default:
		d.Plugin = t.plugin("dcv-")
	}
	d.SHA256 = t.digest("sha256")
	d.Env = t.environment("env")
	d.Settings = t.settings("settings")
	if t.given("provider") {
		provider := t.text("provider")
		if _, twice := d.Settings.Values["provider"]; twice {
			t.fail("provider", "stands in settings too")
		}
		if d.Settings.Values == nil {
			d.Settings.Values = map[string]any{}
		}
		d.Settings.Values["provider"] = provider
	}
	return d
}

// environment reads variables of a plugin's process. Numbers and booleans are taken as they are written.
func (t *table) environment(key string) map[string]pluginapi.Secret {
	vars := t.table(key, key)
	if vars == nil {
		return nil
	}
	out := make(map[string]pluginapi.Secret, len(vars.raw))
	for _, name := range sortedKeys(vars.raw) {
		if !envShape.MatchString(name) {
			vars.fail(name, "%q is not the name of an environment variable", name)
			continue
		}
		switch v := vars.raw[name].(type) {
		case string:
			out[name] = pluginapi.NewSecret(vars.text(name))
		case int64:
			out[name] = pluginapi.NewSecret(strconv.FormatInt(v, 10))
		case bool:
			out[name] = pluginapi.NewSecret(strconv.FormatBool(v))
		case map[string]any:
			out[name] = vars.secret(name)
		default:
			vars.wrongType(name, `text or a secret such as { file = "PATH" }`, v)
		}
	}
	return out
}

// plugin reads the name of a plugin; prefix is what its file name has in front.
func (t *table) plugin(prefix string) string {
	if !t.require("plugin") {
		return ""
	}
	name := t.text("plugin")
	switch {
	case name == "" && t.raw["plugin"] != "":
		return ""
	case strings.HasPrefix(name, prefix):
		t.fail("plugin", "write it without %q in front: %q", prefix, strings.TrimPrefix(name, prefix))
	case !pluginShape.MatchString(name):
		t.fail("plugin", "%q is not the name of a plugin: the file's name in plugin_dir without %q", name, prefix)
	default:
		return name
	}
	return ""
}

func (t *table) digest(key string) string {
	s := t.text(key)
	if s != "" && !digestShape.MatchString(s) {
		t.fail(key, "wants 64 hexadecimal digits; `certbridged plugins pin FILE` prints them")
		return ""
	}
	return strings.ToLower(s)
}

// filePath reads a path and makes it absolute.
func (t *table) filePath(key string) string {
	s := t.text(key)
	if s == "" {
		if t.raw[key] == "" {
			t.fail(key, "is empty")
		}
		return ""
	}
	if strings.ContainsAny(s, "\n\r") {
		t.fail(key, "a path cannot hold a line end")
		return ""
	}
	return t.c.resolve(s)
}

func (t *table) socketPath(key string) string {
	path := t.filePath(key)
	if len(path) > maxSocketPath {
		t.fail(key, "%s has %d bytes; the path of a unix socket has %d at most", path, len(path), maxSocketPath)
	}
	return path
}

// accountName reads the name or number of a user or group.
func (t *table) accountName(key string) string {
	s := t.text(key)
	if s != "" && !groupShape.MatchString(s) {
		t.fail(key, "%q is not the name or number of a user or group", s)
		return ""
	}
	return s
}

// listen reads host:port, where the host may be left out.
func (t *table) listen(key string) string {
	s := t.text(key)
	if s == "" {
		if key == "http_challenge_listen" && t.raw[key] == "" {
			t.fail(key, `is empty; write host:port such as ":80"`)
		}
		return s
	}
	if err := checkAddress(s, 0); err != nil {
		t.fail(key, "%v", err)
		return ""
	}
	return s
}

// maxResolvers is more than is of use: the C library takes three.
const maxResolvers = 16

// resolvers reads a list of IP addresses with or without a port.
func (t *table) resolvers(key string) []string {
	if !t.given(key) {
		return nil
	}
	list, ok := asList(t.raw[key])
	switch {
	case !ok:
		t.wrongType(key, "a list of text", t.raw[key])
	case len(list) == 0:
		t.fail(key, "is empty; leave it out for the system's own resolvers")
	case len(list) > maxResolvers:
		t.fail(key, "has %d resolvers; %d are the most", len(list), maxResolvers)
		return nil
	}
	var out []string
	for i, element := range list {
		s, isText := element.(string)
		if !isText {
			t.failItem(key, i, "wants text in quotes, not %s", kindOf(element))
			continue
		}
		address, err := resolver(s)
		switch {
		case err != nil:
			t.failItem(key, i, "%v", err)
		case slices.Contains(out, address):
			t.failItem(key, i, "%s stands here twice", address)
		default:
			out = append(out, address)
		}
	}
	return out
}

// resolver reads "ip" or "ip:port" and returns the latter. A name would have to be looked up first.
func resolver(s string) (string, error) {
	const shapes = `write an IP address such as "192.0.2.53", "192.0.2.53:5353" or "[2001:db8::53]:53"`
	host, port := s, "53"
	if inner, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(inner, "]") {
		host = strings.TrimSuffix(inner, "]")
	} else if h, p, err := net.SplitHostPort(s); err == nil {
		host, port = h, p
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() != "" {
		return "", fmt.Errorf("%q is no resolver; %s", s, shapes)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", fmt.Errorf("%q has no port between 1 and 65535", s)
	}
	return netip.AddrPortFrom(addr, uint16(n)).String(), nil
}

// checkAddress checks host:port with a numeric port of at least lowest.
func checkAddress(s string, lowest int) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q is not host:port; write it like \"127.0.0.1:443\" or \"[::1]:443\"", s)
	}
	if n, err := strconv.Atoi(port); err != nil || n < lowest || n > 65535 {
		return fmt.Errorf("%q has no port between %d and 65535", s, lowest)
	}
	return nil
}

func (t *table) size(key string) int64 {
	s := t.text(key)
	if s == "" && !t.given(key) {
		return 0
	}
	n, err := parseSize(s)
	if err != nil && isText(t, key) {
		t.fail(key, "%v", err)
	}
	return n
}

func (t *table) logLevel(key string) slog.Level {
	var level slog.Level
	if s := t.oneOf(key, "debug", "info", "warn", "error"); s != "" {
		if err := level.UnmarshalText([]byte(s)); err != nil {
			t.fail(key, "%v", err)
		}
	}
	return level
}

func (t *table) renewBefore(key string) RenewBefore {
	s := t.text(key)
	r, err := parseRenewBefore(s)
	if err != nil && isText(t, key) {
		t.fail(key, "%v", err)
	}
	return r
}

// isText reports whether what is written or the default is text, so that its type was not complained about already.
func isText(t *table, key string) bool {
	v, _ := t.value(key)
	_, ok := v.(string)
	return ok
}
