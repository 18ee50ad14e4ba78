package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/handover"
)

// timeout is how long one request may take.
func timeout() handover.Timeout {
	return handover.Timeout{Default: "30s", Least: time.Second, Most: 10 * time.Minute}
}

func schema() []pluginapi.Field {
	return []pluginapi.Field{
		{Name: "endpoint", Type: pluginapi.String, Required: true, Help: "Address of the service, http or https; /publish and /withdraw are added to it."},
		{Name: "username", Type: pluginapi.String, Help: "Name for HTTP basic authentication."},
		{Name: "password", Type: pluginapi.String, Secret: true, Help: "Password for HTTP basic authentication."},
		{Name: "bearer_token", Type: pluginapi.String, Secret: true, Help: "Token to send as \"Authorization: Bearer\" instead."},
		{Name: "ca_file", Type: pluginapi.String, Help: "PEM file with roots to trust for the endpoint, besides the system's."},
		handover.Publishes("the service"),
		timeout().Field("How long the service may take to answer."),
	}
}

// written are [dcv.NAME.settings] as written.
type written struct {
	Endpoint  string   `json:"endpoint"`
	Username  string   `json:"username"`
	CAFile    string   `json:"ca_file"`
	Publishes []string `json:"publishes"`
	Timeout   string   `json:"timeout"`
}

// settings are what the profile says, checked.
type settings struct {
	endpoint        *url.URL
	username        string
	password, token pluginapi.Secret
	roots           *x509.CertPool // nil: the system's
	timeout         time.Duration
	abilities       []pluginapi.PublishAbility
}

// readSettings returns what is wrong as findings; there is nothing to use when one of them is a Fault.
func readSettings(s pluginapi.Settings) (settings, []pluginapi.Finding) {
	var w written
	findings := s.Read(schema(), &w)
	if len(findings) > 0 {
		return settings{}, findings
	}
	out := settings{username: w.Username, password: s.Secret("password"), token: s.Secret("bearer_token")}
	var err error
	if out.endpoint, err = readEndpoint(w.Endpoint); err != nil {
		findings = append(findings, pluginapi.Faultf("endpoint", "%v", err))
	} else {
		findings = append(findings, out.checkCredentials()...)
	}
	if w.CAFile != "" {
		if out.roots, err = readRoots(w.CAFile); err != nil {
			findings = append(findings, pluginapi.Faultf("ca_file", "%v", err))
		}
	}
	if out.abilities, err = handover.Abilities(w.Publishes); err != nil {
		findings = append(findings, pluginapi.Faultf("publishes", "%v", err))
	}
	if out.timeout, err = timeout().Read(w.Timeout); err != nil {
		findings = append(findings, pluginapi.Faultf("timeout", "%v", err))
	}
	return out, findings
}

func readEndpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("is no URL") // the reason would show what is written, which may hold a password
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, errors.New(`wants an address such as "https://dcv.example.com/v1"`)
	case u.User != nil:
		return nil, errors.New("holds credentials: give them as username and password")
	case u.Fragment != "":
		return nil, errors.New("holds a fragment, which is never sent")
	}
	return u, nil
}

// checkCredentials holds that there is at most one kind, and that it is not sent for everybody to read.
func (s settings) checkCredentials() []pluginapi.Finding {
	basic := s.username != "" || !s.password.Empty()
	switch {
	case basic && !s.token.Empty():
		return []pluginapi.Finding{pluginapi.Faultf("bearer_token", "has no place beside username and password: give one or the other")}
	case basic && s.username == "":
		return []pluginapi.Finding{pluginapi.Faultf("username", "is missing: a password needs a name")}
	case basic && strings.Contains(s.username, ":"):
		return []pluginapi.Finding{pluginapi.Faultf("username", "holds a colon, which no name can (RFC 7617 section 2)")}
	case basic && s.password.Empty():
		return []pluginapi.Finding{pluginapi.Faultf("password", "is missing: a name needs a password")}
	case strings.ContainsAny(s.token.Reveal(), " \t\r\n"):
		return []pluginapi.Finding{pluginapi.Faultf("bearer_token", "holds white space: give the token alone")}
	}
	if s.endpoint.Scheme == "https" || loopback(s.endpoint.Hostname()) {
		return nil
	}
	what := "the records go to it unprotected, and anybody on the way can have others published"
	if basic || !s.token.Empty() {
		what = "the credentials go to it for everybody on the way to read"
	}
	return []pluginapi.Finding{{Severity: pluginapi.Warning, Field: "endpoint", Message: "is not https: " + what}}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func readRoots(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read the system's roots: %w", err)
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return pool, nil
}
