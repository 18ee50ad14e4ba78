package config

import (
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/cert"
)

// certificates reads every [[certificate]] of every document.
func (c *checker) certificates(cfg *Config) {
	writers := map[string]writer{}
	lists := make([][]any, len(c.docs))
	count := 0
	for i, d := range c.docs {
		v, ok := d.top.raw["certificate"]
		if !ok {
			continue
		}
		if lists[i], ok = asList(v); !ok {
			d.top.fail("certificate", "write [[certificate]], in double brackets")
		}
		count += len(lists[i])
	}
	cfg.Certificates = make([]Certificate, 0, count)
	for i, d := range c.docs {
		at := d.top.at.below("certificate")
		for n, element := range lists[i] {
			raw, ok := element.(map[string]any)
			if !ok {
				d.top.failItem("certificate", n, "wants a table, not %s", kindOf(element))
				continue
			}
			t := c.table(d.path, fmt.Sprintf("certificate[%d]", n), raw, at.item(n), sectionCert)
			c.certificate(cfg, t, d.source, writers)
		}
	}
}

// writer is a file that a certificate writes, and where that is configured.
type writer struct {
	certificate, file string
	line              int
}

func (c *checker) certificate(cfg *Config, t *table, source int, writers map[string]writer) {
	name := t.certificateName()
	if name != "" {
		if i, taken := cfg.byName[name]; taken {
			first := cfg.Certificates[i]
			t.fail("name", "the certificate %q stands in %s:%d already", name, first.File, first.Line)
		} else {
			cfg.byName[name] = len(cfg.Certificates)
		}
		t.path = "certificate." + name
	}
	t.refuseUnknown()
	crt := Certificate{
		Name:     name,
		Enabled:  t.boolean("enabled"),
		Domains:  t.domains("domains"),
		CA:       t.caName(cfg),
		Key:      t.keyType("key"),
		ReuseKey: t.boolean("reuse_key"),
		File:     t.file, Line: t.at.line, source: source,
	}
	crt.DCV = t.dcvRules(cfg, crt.Domains)
	crt.RenewBefore = cfg.Daemon.DefaultRenewBefore
	if t.given("renew_before") {
		crt.RenewBefore = t.renewBefore("renew_before")
	}
	crt.Order = mergeSettings(cfg.CA[crt.CA].OrderDefaults, t.settings("order"))
	crt.Files = t.files(name, writers)
	crt.Deploy = t.deploy(crt.Domains)
	cfg.Certificates = append(cfg.Certificates, crt)
}

func (t *table) keyType(key string) cert.KeyType {
	var allowed []string
	for _, k := range cert.KeyTypes() {
		allowed = append(allowed, string(k))
	}
	return cert.KeyType(t.oneOf(key, allowed...))
}

func (t *table) certificateName() string {
	if !t.require("name") {
		return ""
	}
	name := t.text("name")
	if isText(t, "name") && !nameShape.MatchString(name) {
		t.fail("name", "%q is not a name; use letters, digits, \".\", \"_\" and \"-\", 64 at most", name)
		return ""
	}
	return name
}

func (t *table) domains(key string) []string {
	list := t.texts(key)
	if t.given(key) && len(list) == 0 {
		if raw, isList := asList(t.raw[key]); isList && len(raw) == 0 {
			t.fail(key, "is empty; leave it out to take the names from the certificate on disk")
		}
		return nil
	}
	out := make([]string, 0, len(list))
	seen := make(map[string]bool, len(list))
	for i, written := range list {
		name, err := cert.NormalizeName(written)
		switch {
		case err != nil:
			t.failItem(key, i, "%v", err)
		case seen[name]:
			t.failItem(key, i, "%s stands here twice", name)
		default:
			seen[name] = true
			out = append(out, name)
		}
	}
	return out
}

func (t *table) caName(cfg *Config) string {
	if !t.require("ca") {
		return ""
	}
	name := t.text("ca")
	if !isText(t, "ca") {
		return ""
	}
	if ca, known := cfg.CA[name]; known {
		return ca.Name
	}
	if !t.c.broken {
		known := sortedKeys(cfg.CA)
		t.fail("ca", "there is no CA account [ca.%s]%s", name, didYouMean(name, known))
	}
	return ""
}

func (t *table) files(name string, writers map[string]writer) []File {
	if !t.require("files") {
		return nil
	}
	forms := t.table("files", sectionFiles)
	if forms == nil {
		return nil
	}
	forms.refuseUnknown()
	var out []File
	for _, e := range forms.entries {
		if v, ok := forms.raw[e.Name]; ok {
			out = append(out, forms.filesAt(e.Name, v)...)
		}
	}
	out = slices.Clone(out) // without room for more: there may be a hundred thousand of these
	hasKey, hasLeaf := false, false
	for _, f := range out {
		hasKey = hasKey || f.Form.HasKey()
		hasLeaf = hasLeaf || f.Form.HasLeaf()
		t.claim(forms, f, name, writers)
	}
	if !hasLeaf {
		forms.fail("", "no file holds the certificate; name one of fullchain, cert, combined, pkcs12, jks, der")
	}
	if !hasKey {
		forms.fail("", "no file holds the private key; name one of key, combined, pkcs12, jks, key_der")
	}
	return out
}

// claim notes that a certificate writes a file, and complains when something else does.
func (t *table) claim(forms *table, f File, name string, writers map[string]writer) {
	if f.Path == "" {
		return
	}
	key := strings.ReplaceAll(string(f.Form), "-", "_")
	real := t.c.realPath(f.Path)
	if other, taken := writers[real]; taken {
		forms.fail(key, "%s is written by certificate %q too, at %s:%d", f.Path, other.certificate, other.file, other.line)
		return
	}
	writers[real] = writer{certificate: name, file: t.file, line: forms.at.below(key).line}
}

// filesAt reads a path, a table, or a list of them.
func (t *table) filesAt(key string, v any) []File {
	form := Form(strings.ReplaceAll(key, "_", "-"))
	list, isList := asList(v)
	if !isList {
		return t.oneFile(key, form, v, t.at.below(key), t.pathOf(key))
	}
	var out []File
	for i, element := range list {
		out = append(out, t.oneFile(key, form, element, t.at.below(key).item(i), fmt.Sprintf("%s[%d]", t.pathOf(key), i))...)
	}
	if len(list) == 0 {
		t.fail(key, "is empty")
	}
	return out
}

func (t *table) oneFile(key string, form Form, v any, at *mark, path string) []File {
	var f *table
	switch v := v.(type) {
	case string:
		f = t.c.table(t.file, path, map[string]any{"path": v}, at, sectionFile)
		f.at = &mark{line: at.line}
	case map[string]any:
		f = t.c.table(t.file, path, v, at, sectionFile)
		f.refuseUnknown()
		f.require("path")
	default:
		t.c.fail(t.file, at.line, path, "wants a path or a table, not "+kindOf(v))
		return nil
	}
	out := File{
		Form: form, Path: f.filePath("path"), Owner: f.accountName("owner"), Group: f.accountName("group"),
		Mode: f.mode("mode"), Password: f.secret("password"), Alias: f.text("alias"),
	}
	keyStore := form == PKCS12 || form == JKS
	for _, only := range []string{"password", "alias"} {
		if f.given(only) && !keyStore {
			f.fail(only, "is only for pkcs12 and jks")
		}
	}
	if form == JKS && !f.given("password") {
		f.fail("password", `is missing: a Java key store has one; write { path = "...", password = { file = "..." } }`)
	}
	return []File{out}
}

func (t *table) mode(key string) fs.FileMode {
	v, ok := t.value(key)
	if !ok {
		return 0
	}
	s, isText := v.(string)
	n, err := strconv.ParseUint(s, 8, 32)
	if !isText || err != nil || n > 0o777 || len(s) < 3 || n&0o400 == 0 {
		t.fail(key, `wants octal permission bits in quotes that let the owner read, such as "0640"`)
		return 0
	}
	return fs.FileMode(n)
}

func (t *table) deploy(domains []string) Deploy {
	d := t.table("deploy", sectionDeploy)
	if d == nil {
		d = t.c.table(t.file, t.pathOf("deploy"), nil, t.at, sectionDeploy)
	}
	d.refuseUnknown()
	out := Deploy{Check: d.command("check"), Reload: d.command("reload"), Timeout: d.duration("timeout")}
	if v, ok := d.raw["verify"]; ok {
		list, isList := asList(v)
		if !isList {
			list = []any{v}
		}
		for i, element := range list {
			at, path := d.at.below("verify"), d.pathOf("verify")
			if isList {
				at, path = at.item(i), fmt.Sprintf("%s[%d]", path, i)
			}
			if target, ok := d.verifyTarget(element, at, path, domains); ok {
				out.Verify = append(out.Verify, target)
			}
		}
	}
	if out.Timeout > time.Hour {
		d.fail("timeout", "is longer than an hour")
	}
	return out
}

func (t *table) command(key string) []string {
	if s, isText := t.raw[key].(string); isText {
		t.fail(key, "wants a list of words such as %s; no shell is between", wordList(s))
		return nil
	}
	words := t.texts(key)
	if len(words) > 0 && words[0] == "" {
		t.failItem(key, 0, "a command's first word is empty")
		return nil
	}
	if list, isList := asList(t.raw[key]); isList && len(list) == 0 {
		t.fail(key, "is empty; leave it out for no command")
	}
	return words
}

// wordList shows how a command line would be written as a list.
func wordList(line string) string {
	words := strings.Fields(line)
	if len(words) == 0 || len(words) > 8 {
		return `["nginx", "-t"]`
	}
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func (t *table) verifyTarget(v any, at *mark, path string, domains []string) (VerifyTarget, bool) {
	var f *table
	switch v := v.(type) {
	case string:
		f = t.c.table(t.file, path, map[string]any{"address": v}, &mark{line: at.line}, sectionVerify)
	case map[string]any:
		f = t.c.table(t.file, path, v, at, sectionVerify)
		f.refuseUnknown()
		f.require("address")
	default:
		t.c.fail(t.file, at.line, path, "wants host:port or a table, not "+kindOf(v))
		return VerifyTarget{}, false
	}
	target := VerifyTarget{
		Address: f.text("address"), ServerName: f.text("server_name"),
		Protocol: f.oneOf("protocol", "tls", "smtp", "imap", "pop3", "postgres"),
	}
	if f.given("address") && isText(f, "address") {
		if err := checkAddress(target.Address, 1); err != nil {
			f.fail("address", "%v", err)
		} else if strings.HasPrefix(target.Address, ":") {
			f.fail("address", "%q has no host; write it like \"127.0.0.1%s\"", target.Address, target.Address)
		}
	}
	if target.ServerName != "" {
		name, err := cert.NormalizeName(target.ServerName)
		if err != nil || strings.HasPrefix(name, "*") {
			f.fail("server_name", "%q is not a name to ask a server for", target.ServerName)
		}
		target.ServerName = name
		return target, true
	}
	if len(domains) > 0 {
		i := slices.IndexFunc(domains, func(d string) bool { return !strings.HasPrefix(d, "*.") })
		if i < 0 {
			f.fail("server_name", "is missing: all domains are wildcards, so say which name to ask the server for")
			return target, true
		}
		if net.ParseIP(domains[i]) == nil {
			target.ServerName = domains[i]
		}
	}
	return target, true
}
