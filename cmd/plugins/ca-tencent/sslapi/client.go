// Package sslapi speaks Tencent Cloud's SSL Certificate Service API 2019-12-05: its signature, its calls within the API's
// limits, its loosely typed answers, and what its error codes mean.
//
// It does without the vendor's Go SDK. That one follows redirects with the body of a purchase, does not let a purchase go
// out on a connection of its own, reads answers of any size and fails on a number that is written as text, shows answers
// with private keys in its debug log, and hides whether a call was sent behind one error for all of the network; its types
// are those of the mainland's service, and the releases for the international one cannot be had as a module. What it would
// save is the signature, which is sixty lines and held by test vectors here.
package sslapi

import (
	"net/http"
	"regexp"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// The hosts of the API. Each has accounts of its own.
const (
	BaseInternational = "https://ssl.intl.tencentcloudapi.com"
	BaseMainland      = "https://ssl.tencentcloudapi.com"
)

// An account may make ten calls a second of each action. The default leaves half of that to others.
const (
	MaxPerSecond     = 10.0
	DefaultPerSecond = 5.0
)

const (
	apiVersion = "2019-12-05"
	// pause is how long nothing is sent after an answer that there were too many calls: the limit is one of a second.
	pause = 2 * time.Second
)

// Options are what a Client needs.
type Options struct {
	// BaseURL is the address of the API, such as BaseInternational.
	BaseURL string
	// SecretID and SecretKey are the API key; Token comes with temporary ones, and is empty otherwise.
	SecretID, SecretKey, Token pluginapi.Secret
	// Region is sent when it is not empty. The actions used here need none.
	Region    string
	UserAgent string
	// Timeout bounds one call.
	Timeout time.Duration
	// PerSecond is how many calls of one action may be sent in a second; zero is DefaultPerSecond.
	PerSecond float64
	// Now is the clock that signatures are made by; nil is time.Now.
	Now func() time.Time
}

// Client is one API key. Its methods are safe for concurrent use and share the key's limits.
type Client struct{ rest *restca.Client }

// New makes a Client. It reaches no network.
func New(o Options) (*Client, error) {
	if o.PerSecond <= 0 {
		o.PerSecond = DefaultPerSecond
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	signer := signer{id: o.SecretID, key: o.SecretKey, token: o.Token, region: o.Region, now: o.Now}
	rest, err := restca.New(restca.Options{
		BaseURL: o.BaseURL, UserAgent: o.UserAgent, Timeout: o.Timeout, PerSecond: o.PerSecond, Burst: burst(o.PerSecond), Pause: pause,
		Secrets: []pluginapi.Secret{o.SecretID, o.SecretKey, o.Token},
		Dialect: restca.Dialect{
			Sign:     signer.sign,
			Problems: func(_ int, body []byte) []restca.Problem { return decodeProblems(body) },
			Judge:    judge,
			Redact:   hideKeys,
		},
	})
	if err != nil {
		return nil, err
	}
	return &Client{rest}, nil
}

// burst is how many calls may leave at once so that no second has more than ten.
func burst(perSecond float64) int { return max(1, min(5, int(MaxPerSecond-perSecond))) }

// Close drops idle connections. Calls under way end with their contexts.
func (c *Client) Close() { c.rest.Close() }

// Host is the API's host, for people.
func (c *Client) Host() string {
	base := c.rest.Base()
	return base.Host
}

// Console is the address of the console's list of certificates.
// (Not confirmed by Tencent's API pages: the addresses of the two consoles.)
func (c *Client) Console() string {
	if c.Host() == "ssl.tencentcloudapi.com" {
		return "https://console.cloud.tencent.com/ssl"
	}
	return "https://console.tencentcloud.com/ssl"
}

// privateKey finds a private key in PEM, also one that is cut off: the API hands out those that it has made.
var privateKey = regexp.MustCompile(`(?s)-----BEGIN[A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END[A-Z0-9 ]*PRIVATE KEY-----|$)`)

func hideKeys(text string) string { return privateKey.ReplaceAllString(text, "[private key]") }

// header are the headers of a call of an action; the signer adds its own.
func header(action string) http.Header {
	return http.Header{
		"Content-Type": {contentType}, "X-Tc-Action": {action}, "X-Tc-Version": {apiVersion}, "X-Tc-Language": {"en-US"},
	}
}
