package config

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/cert"
)

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
	t.failUnknown("ca", "there is no CA account [ca.%s]%s", name, didYouMean(name, sortedKeys(cfg.CA)))
	return ""
}

// files reads the files of a certificate, and says where each that has a path is written.
func (t *table) files() ([]File, []claim) {
	if !t.require("files") {
		return nil, nil
	}
	forms := t.table("files", sectionFiles)
	if forms == nil {
		return nil, nil
	}
	forms.refuseUnknown()
	var out []File
	for _, e := range forms.entries {
		if v, ok := forms.raw[e.Name]; ok {
			out = append(out, forms.filesAt(e.Name, v)...)
		}
	}
	var claims []claim
	hasKey, hasLeaf := false, false
	for _, f := range out {
		hasKey = hasKey || f.Form.HasKey()
		hasLeaf = hasLeaf || f.Form.HasLeaf()
		if f.Path != "" {
			key := f.Form.key()
			claims = append(claims, claim{path: f.Path, real: t.c.realPath(f.Path), at: forms.pathOf(key), line: forms.at.below(key).line})
		}
	}
	if !hasLeaf {
		forms.fail("", "no file holds the certificate; name one of fullchain, cert, combined, pkcs12, jks, der")
	}
	if !hasKey {
		forms.fail("", "no file holds the private key; name one of key, combined, pkcs12, jks, key_der")
	}
	return out, claims
}

// key is how the configuration spells the form.
func (f Form) key() string { return strings.ReplaceAll(string(f), "-", "_") }

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
	if len(domains) > 0 && !slices.ContainsFunc(domains, func(d string) bool { return !strings.HasPrefix(d, "*.") }) {
		f.fail("server_name", "is missing: all domains are wildcards, so say which name to ask the server for")
		return target, true
	}
	target.ServerName = serverName(domains)
	return target, true
}
