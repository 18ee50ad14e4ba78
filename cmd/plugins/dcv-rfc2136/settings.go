package main

import (
	"encoding/base64"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/handover"
)

const (
	defaultAlgorithm = "hmac-sha256"
	defaultTTL       = 60
	maxTTL           = 1<<31 - 1 // RFC 2181 section 8
)

// timeout is how long the name server may take to answer one message.
func timeout() handover.Timeout {
	return handover.Timeout{Default: "10s", Least: time.Second, Most: 5 * time.Minute}
}

// algorithms are those of RFC 8945 section 6 that the DNS library knows. MD5 is left out: nobody should use it.
func algorithms() []any {
	return []any{defaultAlgorithm, "hmac-sha512", "hmac-sha384", "hmac-sha224", "hmac-sha1"}
}

func schema() []pluginapi.Field {
	return []pluginapi.Field{
		{Name: "nameserver", Type: pluginapi.String, Required: true, Help: "The zone's primary name server, as host or host:port; it takes the updates, by TCP."},
		{Name: "tsig_key", Type: pluginapi.String, Help: "Name of the TSIG key that updates are signed with; left out, they are not signed."},
		{Name: "tsig_secret", Type: pluginapi.String, Secret: true, Help: "The key's secret, in base64 as tsig-keygen prints it."},
		{Name: "tsig_algorithm", Type: pluginapi.String, Default: defaultAlgorithm, Allowed: algorithms(), Help: "The key's algorithm."},
		{Name: "zone", Type: pluginapi.String, Help: "The zone to update, which spares a question for each record; left out, the name server is asked for the zone of each name."},
		{Name: "ttl", Type: pluginapi.Integer, Default: int64(defaultTTL), Help: "Time to live of a record, in seconds; beside other records of its name and type it takes theirs."},
		timeout().Field("How long the name server may take to answer one message."),
	}
}

// written are [dcv.NAME.settings] as written.
type written struct {
	Nameserver    string `json:"nameserver"`
	TSIGKey       string `json:"tsig_key"`
	TSIGAlgorithm string `json:"tsig_algorithm"`
	Zone          string `json:"zone"`
	TTL           *int64 `json:"ttl"`
	Timeout       string `json:"timeout"`
}

// settings are what the profile says, checked.
type settings struct {
	nameserver string // host:port
	zone       string // with a trailing dot; empty: ask
	ttl        uint32
	timeout    time.Duration
	key        tsigKey
}

// tsigKey is the zero value where updates are not signed. Names have a trailing dot.
type tsigKey struct {
	name, algorithm string
	secret          pluginapi.Secret
}

func (k tsigKey) none() bool { return k.name == "" }

// readSettings returns what is wrong as findings; there is nothing to use when one of them is a Fault.
func readSettings(s pluginapi.Settings) (settings, []pluginapi.Finding) {
	var w written
	findings := s.Read(schema(), &w)
	if len(findings) > 0 {
		return settings{}, findings
	}
	out := settings{ttl: defaultTTL}
	var err error
	if out.nameserver, err = hostPort(w.Nameserver); err != nil {
		findings = append(findings, pluginapi.Faultf("nameserver", "%v", err))
	}
	if w.Zone != "" {
		if out.zone, err = domain(w.Zone); err != nil {
			findings = append(findings, pluginapi.Faultf("zone", "%v", err))
		}
	}
	if w.TTL != nil {
		if *w.TTL < 0 || *w.TTL > maxTTL {
			findings = append(findings, pluginapi.Faultf("ttl", "must be between 0 and %d", maxTTL))
		}
		out.ttl = uint32(*w.TTL)
	}
	if out.timeout, err = timeout().Read(w.Timeout); err != nil {
		findings = append(findings, pluginapi.Faultf("timeout", "%v", err))
	}
	var more []pluginapi.Finding
	out.key, more = readKey(w, s.Secret("tsig_secret"))
	return out, append(findings, more...)
}

func readKey(w written, secret pluginapi.Secret) (tsigKey, []pluginapi.Finding) {
	switch {
	case w.TSIGKey == "" && secret.Empty():
		return tsigKey{}, []pluginapi.Finding{{
			Severity: pluginapi.Warning, Field: "tsig_key",
			Message: "is not given: updates are not signed, and the name server takes them from whoever has this machine's address",
		}}
	case w.TSIGKey == "":
		return tsigKey{}, []pluginapi.Finding{pluginapi.Faultf("tsig_key", "is missing: a secret needs the name of its key")}
	case secret.Empty():
		return tsigKey{}, []pluginapi.Finding{pluginapi.Faultf("tsig_secret", "is missing: the key's name alone signs nothing")}
	}
	var findings []pluginapi.Finding
	name, err := domain(w.TSIGKey)
	if err != nil {
		findings = append(findings, pluginapi.Faultf("tsig_key", "%v", err))
	}
	text := strings.TrimSpace(secret.Reveal())
	if raw, err := base64.StdEncoding.DecodeString(text); err != nil || len(raw) == 0 {
		findings = append(findings, pluginapi.Faultf("tsig_secret", "is not base64: give what stands after \"secret\" in the key file, without the quotes"))
	}
	algorithm := w.TSIGAlgorithm
	if algorithm == "" {
		algorithm = defaultAlgorithm
	}
	return tsigKey{name: name, algorithm: dns.Fqdn(algorithm), secret: pluginapi.NewSecret(text)}, findings
}

// hostPort completes an address with the port of DNS. An IPv6 address may stand alone or in brackets.
func hostPort(text string) (string, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"), "53"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", errors.New("has no port between 1 and 65535 after its colon")
	}
	if net.ParseIP(host) == nil {
		if _, ok := dns.IsDomainName(host); !ok || host == "" || strings.ContainsAny(host, ":/@[] ") {
			return "", errors.New(`wants a host or host:port, such as "ns1.example.com" or "192.0.2.53:53"`)
		}
	}
	return net.JoinHostPort(host, port), nil
}

// domain returns a name in lower case with a trailing dot.
func domain(text string) (string, error) {
	if _, ok := dns.IsDomainName(text); !ok || text == "" || strings.ContainsAny(text, " \t\r\n\"") {
		return "", errors.New("is no domain name")
	}
	return dns.CanonicalName(text), nil
}
