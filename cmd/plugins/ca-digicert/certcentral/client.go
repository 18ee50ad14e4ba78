// Package certcentral speaks DigiCert's CertCentral Services API v2: its calls within the API's limits, its loosely typed
// answers, and what its errors mean.
package certcentral

import (
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// The hosts of the API. A key of one is unknown to the other.
const (
	BaseUS = "https://www.digicert.com/services/v2"
	BaseEU = "https://certcentral.digicert.eu/services/v2"
)

// What a key may do: 100 calls in 5 seconds and 1000 in 3 minutes. The default stays well below both, for a key may
// have other users: in 3 minutes burst + 180 * DefaultPerSecond calls.
const (
	MaxPerSecond     = 5.0
	DefaultPerSecond = 4.0
	burst            = 40
)

// Options are what a Client needs.
type Options struct {
	// BaseURL is the address that the paths of the API begin at, such as BaseUS.
	BaseURL string
	Key     pluginapi.Secret
	// UserAgent is sent with every call: DigiCert asks for one.
	UserAgent string
	// Timeout bounds one call.
	Timeout time.Duration
	// PerSecond is how many calls may be sent in a second, in the long run; zero is DefaultPerSecond.
	PerSecond float64
}

// Client is one API key. Its methods are safe for concurrent use and share the key's limits.
type Client struct{ rest *restca.Client }

// New makes a Client. It reaches no network.
func New(o Options) (*Client, error) {
	if o.PerSecond <= 0 {
		o.PerSecond = DefaultPerSecond
	}
	rest, err := restca.New(restca.Options{
		BaseURL: o.BaseURL, UserAgent: o.UserAgent, Timeout: o.Timeout, PerSecond: o.PerSecond, Burst: burst,
		Secrets: []pluginapi.Secret{o.Key},
		Dialect: restca.Dialect{
			Sign: func(req *http.Request, _ []byte) error {
				req.Header.Set("X-DC-DEVKEY", o.Key.Reveal())
				return nil
			},
			Problems: func(status int, body []byte) []restca.Problem {
				if status < http.StatusMultipleChoices {
					return nil
				}
				return decodeProblems(body)
			},
			Judge:  judge,
			Redact: hideCards,
		},
	})
	if err != nil {
		return nil, err
	}
	return &Client{rest}, nil
}

// Close drops idle connections. Calls under way end with their contexts.
func (c *Client) Close() { c.rest.Close() }

// Host is the API's host, for people.
func (c *Client) Host() string {
	base := c.rest.Base()
	return base.Host
}

// Console returns the address of a page of the console.
// (Not confirmed by DigiCert's pages: that the console's pages lie at these paths of the API's host.)
func (c *Client) Console(page string) string {
	base := c.rest.Base()
	u := url.URL{Scheme: base.Scheme, Host: base.Host, Path: "/secure/" + page}
	return u.String()
}

// cardLike finds numbers as long as those of payment cards, which an answer may repeat.
var cardLike = regexp.MustCompile(`\b[0-9](?:[ -]?[0-9]){12,18}\b`)

func hideCards(text string) string { return cardLike.ReplaceAllString(text, "[number]") }
