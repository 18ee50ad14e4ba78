// Package ordertoken speaks ServerTastic's API of order tokens, version 2: its calls, its loosely typed answers, and what
// its errors mean.
//
// The API has its secrets in parameters: the account's key, and the token of each order, with which whoever holds it can
// place, read, reissue and cancel that order. Both stand in the addresses of many calls, and answers repeat them. No error
// of this package shows one.
package ordertoken

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// BaseURL is the address of the API. (Not confirmed by ServerTastic's pages: known from the newest client in use.)
const BaseURL = "https://api.servertastic.com/v2"

// How many calls are made. (Not confirmed by ServerTastic's pages: no limit is documented. An order takes some ten calls,
// and its state is copied from the CA every five minutes alone, so that there is no use in many.)
const (
	MaxPerSecond     = 10.0
	DefaultPerSecond = 2.0
	burst            = 40
)

// Options are what a Client needs.
type Options struct {
	// BaseURL is the address that the paths of the API begin at.
	BaseURL string
	Key     pluginapi.Secret
	// UserAgent is sent with every call.
	UserAgent string
	// Timeout bounds one call.
	Timeout time.Duration
	// PerSecond is how many calls may be sent in a second, in the long run; zero is DefaultPerSecond.
	PerSecond float64
}

// Client is one account. Its methods are safe for concurrent use.
type Client struct {
	rest *restca.Client
	key  pluginapi.Secret
}

// New makes a Client. It reaches no network.
func New(o Options) (*Client, error) {
	if o.PerSecond <= 0 {
		o.PerSecond = DefaultPerSecond
	}
	rest, err := restca.New(restca.Options{
		BaseURL: o.BaseURL, UserAgent: o.UserAgent, Timeout: o.Timeout, PerSecond: o.PerSecond, Burst: burst,
		Secrets: []pluginapi.Secret{o.Key},
		Dialect: restca.Dialect{
			Problems: func(_ int, body []byte) []restca.Problem { return decodeProblems(body) },
			Judge:    judge, Redact: hideTokens,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("make the client: %w", err)
	}
	return &Client{rest: rest, key: o.Key}, nil
}

// Close drops idle connections. Calls under way end with their contexts.
func (c *Client) Close() { c.rest.Close() }

// Host is the API's host, for people.
func (c *Client) Host() string {
	base := c.rest.Base()
	return base.Host
}

// Words makes a text of the API's fit for people: on one line, and without the account's key, the order's token and
// whatever else looks like a token.
func (c *Client) Words(text string, token pluginapi.Secret) string {
	const most = 600
	for _, s := range []pluginapi.Secret{c.key, token} {
		if plain := s.Reveal(); len(plain) >= 4 {
			for _, form := range []string{plain, url.QueryEscape(plain), url.PathEscape(plain)} {
				text = strings.ReplaceAll(text, form, "[secret]")
			}
		}
	}
	return restca.Clean(hideTokens(text), most)
}

// tokenLike finds what an answer, an address or a form calls a key or token, and the addresses of orders, which end in it.
var tokenLike = regexp.MustCompile(`(?i)\b([a-z_]*token|api_?key|private_key|(?:review|invite)_url)(["'\\]*\s*[:=/]\s*["'\\]*)[^\s"'&<>,;]+`)

// tokenInWords finds what is called a token in a sentence: a word that is too long to be one of the sentence's own.
var tokenInWords = regexp.MustCompile(`(?i)\b([a-z_]*tokens?)((?:\s+is)?\s+["'(\[]*)[a-z0-9_.~-]{12,}`)

func hideTokens(text string) string {
	return tokenInWords.ReplaceAllString(tokenLike.ReplaceAllString(text, "$1$2[secret]"), "$1$2[secret]")
}

// form is a call whose parameters are sent as a form.
func form(path string, values url.Values) restca.Call {
	return restca.Call{
		Method: http.MethodPost, Path: path, Body: []byte(values.Encode()),
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
	}
}
