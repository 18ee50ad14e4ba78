package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// The paths below the endpoint.
const (
	pathPublish  = "publish"
	pathWithdraw = "withdraw"
)

// publisher is the plugin. Configure is over before anything else begins, so that nothing here is guarded.
type publisher struct {
	version string
	now     func() time.Time

	settings settings
	client   *http.Client
}

// Describe says what the plugin is.
func (p *publisher) Describe(context.Context) (pluginapi.DCVDescription, error) {
	return pluginapi.DCVDescription{
		Name: "httpreq", Version: p.version,
		Summary:  "Sends records and files to an HTTP endpoint of yours.",
		Settings: schema(),
	}, nil
}

// Configure checks the settings.
func (p *publisher) Configure(_ context.Context, profile pluginapi.DCVProfile) (pluginapi.DCVConfigured, error) {
	s, findings := readSettings(profile.Settings)
	p.settings, p.client = s, newClient(s)
	return pluginapi.DCVConfigured{Findings: findings, Abilities: s.abilities}, nil
}

// newClient makes a client that follows no redirect: credentials and records go to the endpoint that was configured and
// nowhere else.
func newClient(s settings) *http.Client {
	return &http.Client{
		Timeout: s.timeout,
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment, // of the profile's env
			TLSClientConfig:     &tls.Config{RootCAs: s.roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: s.timeout,
			ForceAttemptHTTP2:   true,
			IdleConnTimeout:     30 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Publish sends the challenge. There is no receipt: what Publish knew, Withdraw knows as well.
func (p *publisher) Publish(ctx context.Context, c pluginapi.Challenge) ([]byte, error) {
	return nil, p.send(ctx, pathPublish, c)
}

// Withdraw sends the challenge.
func (p *publisher) Withdraw(ctx context.Context, c pluginapi.Challenge, _ []byte) error {
	return p.send(ctx, pathWithdraw, c)
}

// message is what the endpoint is sent. docs/dcv-plugins.md has its description.
type message struct {
	Type       string `json:"type"` // TXT, CNAME or HTTP
	Identifier string `json:"identifier"`

	Name  string `json:"name,omitempty"`
	Value string `json:"value,omitempty"`

	Host string `json:"host,omitempty"`
	Path string `json:"path,omitempty"`
	Body string `json:"body,omitempty"`
}

func messageOf(c pluginapi.Challenge) (message, error) {
	m := message{Identifier: c.Identifier}
	switch {
	case c.DNS != nil:
		m.Type, m.Name, m.Value = string(c.DNS.Type), c.DNS.Name, c.DNS.Value
	case c.HTTP != nil:
		m.Type, m.Host, m.Path, m.Body = "HTTP", c.HTTP.Host, c.HTTP.Path, c.HTTP.Body
	default:
		return message{}, pluginapi.Errorf(pluginapi.InvalidRequest, "%s challenges are neither records nor files", c.Type())
	}
	return m, nil
}

func (p *publisher) send(ctx context.Context, path string, c pluginapi.Challenge) error {
	m, err := messageOf(c)
	if err != nil {
		return err
	}
	body, err := json.Marshal(m)
	if err != nil {
		return pluginapi.Errorf(pluginapi.InvalidRequest, "encode the challenge: %w", err)
	}
	to := p.settings.endpoint.JoinPath(path)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(body))
	if err != nil {
		return pluginapi.FieldErrorf("endpoint", "%w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/plain")
	req.Header.Set("User-Agent", "certbridged-dcv-httpreq/"+p.version)
	switch {
	case p.settings.username != "":
		req.SetBasicAuth(p.settings.username, p.settings.password.Reveal())
	case !p.settings.token.Empty():
		req.Header.Set("Authorization", "Bearer "+p.settings.token.Reveal())
	}
	to.RawQuery = "" // where it has one, that may be a key: it is not for messages
	reply, err := p.client.Do(req)
	if err != nil {
		return p.unanswered(to.String(), err)
	}
	defer reply.Body.Close()
	err = p.judge(to.String(), reply, words(reply.Body))
	if said := new(pluginapi.Error); errors.As(err, &said) {
		said.Message = withoutQuery(said.Message, p.settings.endpoint)
	}
	return err
}

// leastSecret is the length, in bytes, below which a value is no secret, and would hit ordinary words.
const leastSecret = 4

// withoutQuery hides what the endpoint's query holds, which may be a key: a redirect repeats it, and a page may do so.
func withoutQuery(text string, endpoint *url.URL) string {
	const hidden = "[hidden]"
	var pairs []string
	for _, values := range endpoint.Query() {
		for _, v := range values {
			if len(v) >= leastSecret {
				pairs = append(pairs, v, hidden, url.QueryEscape(v), hidden)
			}
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// unanswered is for a request that has no answer. To send it again is harmless, whether or not it arrived.
func (p *publisher) unanswered(to string, err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err // without the URL
		if failed.Timeout() {
			return pluginapi.Errorf(pluginapi.Unavailable, "%s does not answer within %s: look whether it runs, or raise timeout: %w", to, p.settings.timeout, err)
		}
	}
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return pluginapi.Errorf(pluginapi.Unavailable, "%s: %w: where a private CA issued its certificate, give that CA's root as ca_file", to, err)
	}
	return pluginapi.Errorf(pluginapi.Unavailable, "%s: %w", to, err)
}

// judge says what a status means (RFC 9110 section 15).
func (p *publisher) judge(to string, reply *http.Response, text string) error {
	said := fmt.Sprintf("%s answers %s%s", to, reply.Status, text)
	code := reply.StatusCode
	switch {
	case code >= 200 && code < 300:
		return nil
	case code >= 300 && code < 400:
		return pluginapi.FieldErrorf("endpoint", "%s: redirects are not followed, write where it leads: %s", said, reply.Header.Get("Location"))
	case code == http.StatusUnauthorized || code == http.StatusForbidden || code == http.StatusProxyAuthRequired:
		return pluginapi.Errorf(pluginapi.Unauthorized, "%s: look at the credentials, and at what they are good for", said)
	case code == http.StatusConflict:
		return pluginapi.Errorf(pluginapi.Conflict, "%s", said)
	case code == http.StatusTooManyRequests:
		return p.later(pluginapi.RateLimited, reply, said)
	case code >= 500 || code == http.StatusRequestTimeout || code == http.StatusTooEarly:
		return p.later(pluginapi.Unavailable, reply, said)
	case code == http.StatusNotFound:
		return pluginapi.FieldErrorf("endpoint", "%s: look at the endpoint's path; withdrawing what is gone already wants a 2xx", said)
	default:
		return pluginapi.Errorf(pluginapi.InvalidRequest, "%s", said)
	}
}

func (p *publisher) later(kind pluginapi.ErrorKind, reply *http.Response, said string) error {
	err := pluginapi.Errorf(kind, "%s", said)
	err.RetryAfter = retryAfter(reply.Header.Get("Retry-After"), p.now())
	return err
}

// mostRetryAfter keeps a service that is mistaken from holding everything up for ever.
const mostRetryAfter = 24 * time.Hour

// retryAfter reads the header of that name, which is seconds or a date (RFC 9110 section 10.2.3). What it cannot be is
// taken as nothing.
func retryAfter(text string, now time.Time) time.Duration {
	text = strings.TrimSpace(text)
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, mostRetryAfter)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), mostRetryAfter)
	}
	return 0
}

// mostWords is how much of a reply an error shows, in bytes.
const mostWords = 500

// words returns the beginning of a reply as the end of a sentence, or nothing.
func words(body io.Reader) string {
	text, _ := io.ReadAll(io.LimitReader(body, mostWords)) // what came before it broke off says as much
	line := strings.Join(strings.FieldsFunc(strings.ToValidUTF8(string(text), "\uFFFD"), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}), " ")
	if line == "" {
		return ""
	}
	return ": " + line
}
