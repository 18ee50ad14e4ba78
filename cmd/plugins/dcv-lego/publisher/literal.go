package publisher

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/go-acme/lego/v4/challenge/dns01"
	"github.com/go-acme/lego/v4/challenge/http01"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// The literals that the copy of lego recognises, in place of a key authorization and of a token. Neither can hold a zero
// byte: both are base64url text, but for one full stop (RFC 8555 section 8.1).
const (
	literalTXT  = "\x00certbridge-txt\x00"
	literalFile = "\x00certbridge-file\x00"
)

const noHook = "this dcv-lego was built without the copy of lego that takes literal records: it publishes for ACME alone; " +
	"build it with make, or use the one of a release"

// maxTXT is how long a value may be: providers put it into one character-string (RFC 1035 section 3.3.14).
const maxTXT = 255

// recordLiteral is in place of a key authorization. The name has no trailing dot.
func recordLiteral(name, value string) string { return literalTXT + name + "\x00" + value }

// fileLiteral is in place of a token.
func fileLiteral(path string) string { return literalFile + path }

// recognisesLiterals asks lego's own functions. The one for files is asked first: in an unchanged lego, the other one
// would make look-ups over the network.
func recognisesLiterals() bool {
	const path, name, value = "/.well-known/probe", "probe.invalid", "probe"
	if http01.ChallengePath(fileLiteral(path)) != path {
		return false
	}
	info := dns01.GetChallengeInfo("probe.invalid", recordLiteral(name, value))
	return info.EffectiveFQDN == name+"." && info.Value == value
}

// task is what one call is about, in lego's words.
type task struct {
	key                    string // the same for the same record or file, in any process
	domain, token, keyAuth string
	// literal: it is not ACME's, so what others have at its place must stay.
	literal bool
	// delegated: it is ACME's record, at a name that a CNAME record has led the daemon to.
	delegated bool
	// name and value are those of the record; empty for a file.
	name, value string
	// path is that of the file; empty for a record.
	path string
}

// plan turns a challenge into what lego's providers are called with, or says why that cannot be.
func (c *profile) plan(ch pluginapi.Challenge) (task, error) {
	t := task{domain: strings.TrimPrefix(ch.Identifier, "*.")}
	switch {
	case ch.DNS != nil && c.traits.acme == pluginapi.PublishACMEDNS:
		if ch.DNS.Type != pluginapi.TXT {
			return t, pluginapi.Errorf(pluginapi.InvalidRequest, "lego publishes TXT records alone, not %s: "+
				"use a profile of the plugin rfc2136, exec or httpreq", ch.DNS.Type)
		}
		t.name, t.value = strings.ToLower(strings.TrimSuffix(ch.DNS.Name, ".")), ch.DNS.Value
	case ch.HTTP != nil && c.traits.acme == pluginapi.PublishACMEHTTP:
		t.path, t.value = ch.HTTP.Path, ch.HTTP.Body
		if err := checkPath(t.path); err != nil {
			return t, pluginapi.Errorf(pluginapi.InvalidRequest, "path %.200q: %w", t.path, err)
		}
	default:
		return t, pluginapi.Errorf(pluginapi.InvalidRequest, "the provider %s publishes no %s challenges", c.name, ch.Type())
	}
	t.key = keyOf(t)
	if isACME(ch) {
		t.token, t.keyAuth = ch.ACME.Token, ch.ACME.KeyAuthorization
		if t.path == "" && c.literals && c.traits.notLiteral == "" {
			// lego would follow CNAME records by itself, those of wildcards among them, and once more at CleanUp: to
			// another place than the daemon's, or than that of before.
			t.keyAuth = recordLiteral(t.name, t.value)
			t.delegated = t.name != acmeLabel+strings.ToLower(t.domain)
		}
		return t, nil
	}
	t.literal, t.token = true, t.key
	if t.path != "" {
		t.token, t.keyAuth = fileLiteral(t.path), t.value
	} else {
		t.keyAuth = recordLiteral(t.name, t.value)
	}
	return t, c.checkLiteral(t)
}

// acmeLabel begins the name of ACME's record (RFC 8555 section 8.4).
const acmeLabel = "_acme-challenge."

// keyOf names a record or file. Providers use it as the key of what they remember, so it must be the same after a restart.
func keyOf(t task) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{"TXT", t.name, t.path, t.value}, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// isACME reports that a challenge is exactly what lego computes for ACME (RFC 8555 sections 8.3 and 8.4).
func isACME(ch pluginapi.Challenge) bool {
	switch {
	case ch.ACME == nil || strings.ContainsRune(ch.ACME.Token+ch.ACME.KeyAuthorization, 0):
		return false
	case ch.HTTP != nil:
		return ch.HTTP.Path == http01.PathPrefix+ch.ACME.Token && ch.HTTP.Body == ch.ACME.KeyAuthorization
	case ch.DNS != nil:
		sum := sha256.Sum256([]byte(ch.ACME.KeyAuthorization))
		return ch.DNS.Value == base64.RawURLEncoding.EncodeToString(sum[:])
	default:
		return false
	}
}

// checkLiteral says why a record or file cannot be published as it is.
func (c *profile) checkLiteral(t task) error {
	switch {
	case c.traits.notLiteral != "":
		return pluginapi.Errorf(pluginapi.InvalidRequest, "the provider %s cannot publish %s, which is not ACME's: %s; use another dcv profile",
			c.name, t.what(), c.traits.notLiteral)
	case !c.literals:
		return pluginapi.Errorf(pluginapi.InvalidRequest, "cannot publish %s, which is not ACME's: %s", t.what(), noHook)
	case t.path != "":
		return nil
	case len(t.value) > maxTXT:
		return pluginapi.Errorf(pluginapi.InvalidRequest, "cannot publish %s: its value has %d bytes, and lego's providers take %d", t.what(), len(t.value), maxTXT)
	}
	for _, r := range t.value {
		// Each provider quotes in its own way, or not at all.
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return pluginapi.Errorf(pluginapi.InvalidRequest, "cannot publish %s: lego's providers do not all keep the character %q as it is", t.what(), r)
		}
	}
	return nil
}

// what names the record or file for people.
func (t task) what() string {
	if t.path != "" {
		return "the file " + t.path
	}
	return "the TXT record " + t.name
}

// wellKnown is where CAs look for files (RFC 8615); nothing is published elsewhere.
const wellKnown = "/.well-known/"

// checkPath takes only what is the same as a URL and as the path of a file or the name of an object.
func checkPath(path string) error {
	below, ok := strings.CutPrefix(path, wellKnown)
	if !ok {
		return fmt.Errorf("is not below %s", wellKnown)
	}
	for segment := range strings.SplitSeq(below, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fmt.Errorf("has the segment %q", segment)
		}
		for _, r := range segment {
			if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~", r) {
				return fmt.Errorf("has the character %q", r)
			}
		}
	}
	return nil
}
