package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const maxAnswer = 1 << 20

// order is the Notary's own picture of one.
type order struct {
	ID       string    `json:"id"`
	Status   string    `json:"status"` // pending, issued, canceled, refused
	Chain    [][]byte  `json:"chain,omitempty"`
	PaidTill time.Time `json:"paid_till"`
	Price    string    `json:"price"`
}

// purchase is what the Notary sells a certificate for.
type purchase struct {
	Key     string   `json:"key"`
	Product string   `json:"product"`
	CSR     []byte   `json:"csr"`
	Names   []string `json:"names"`
}

// client speaks to the Notary.
type client struct {
	base  string
	token pluginapi.Secret
	http  *http.Client
}

// newClient returns a client that uses a new connection for each request. On a connection that is kept, net/http repeats
// certain requests by itself when it breaks; a purchase must not be one of them.
func newClient(base string, token pluginapi.Secret) *client {
	transport := &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}
	return &client{base: base, token: token, http: &http.Client{
		Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// buy sends the one request that costs money, once.
func (c *client) buy(ctx context.Context, p purchase) (order, error) {
	o, err := c.do(ctx, http.MethodPost, "/orders", p)
	if err == nil || pluginapi.KindOf(err) != pluginapi.Unavailable || neverSent(err) {
		return o, err
	}
	return o, pluginapi.Errorf(pluginapi.UnknownOutcome, "the purchase was sent and its outcome is not known: %w", err)
}

func (c *client) byKey(ctx context.Context, key string) (order, error) {
	return c.do(ctx, http.MethodGet, "/orders?key="+url.QueryEscape(key), nil)
}

func (c *client) byID(ctx context.Context, id string) (order, error) {
	return c.do(ctx, http.MethodGet, "/orders/"+url.PathEscape(id), nil)
}

func (c *client) cancel(ctx context.Context, id string) (order, error) {
	return c.do(ctx, http.MethodPost, "/orders/"+url.PathEscape(id)+"/cancel", nil)
}

func (c *client) ping(ctx context.Context) error {
	_, err := c.do(ctx, http.MethodGet, "/account", nil)
	return err
}

// neverSent reports whether a request failed before the Notary can have seen any of it.
func neverSent(err error) bool {
	var failed *net.OpError
	return errors.As(err, &failed) && failed.Op == "dial"
}

func (c *client) do(ctx context.Context, method, path string, body any) (order, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return order{}, fmt.Errorf("encode request: %w", err)
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, content)
	if err != nil {
		return order{}, pluginapi.FieldErrorf("base_url", "%w", err)
	}
	request.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return order{}, pluginapi.Errorf(pluginapi.Unavailable, "reach the Notary: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return order{}, pluginapi.Errorf(pluginapi.Unavailable, "read the Notary's answer: %w", err)
	}
	if response.StatusCode/100 != 2 {
		return order{}, failure(response, answer)
	}
	var o order
	if err := json.Unmarshal(answer, &o); err != nil {
		return order{}, pluginapi.Errorf(pluginapi.Unavailable, "understand the Notary's answer: %w", err)
	}
	return o, nil
}

// failure gives every answer that is no success its kind. The kind is what the daemon decides by.
func failure(r *http.Response, answer []byte) error {
	var said struct {
		Error string `json:"error"`
		Field string `json:"field"`
	}
	_ = json.Unmarshal(answer, &said) // an answer without words still has its status
	e := pluginapi.Errorf(pluginapi.Unavailable, "the Notary answers %s: %s", r.Status, said.Error)
	switch r.StatusCode {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		e.Kind, e.Field = pluginapi.InvalidRequest, said.Field
	case http.StatusUnauthorized, http.StatusForbidden:
		e.Kind = pluginapi.Unauthorized
	case http.StatusPaymentRequired:
		e.Kind, e.Message = pluginapi.NeedsPerson, "the Notary's account is empty; an administrator must add funds"
	case http.StatusNotFound:
		e.Kind = pluginapi.NotFound
	case http.StatusConflict:
		e.Kind = pluginapi.Conflict
	case http.StatusTooManyRequests:
		e.Kind = pluginapi.RateLimited
		if seconds, err := strconv.Atoi(r.Header.Get("Retry-After")); err == nil && seconds > 0 {
			e.RetryAfter = time.Duration(seconds) * time.Second
		}
	}
	return e
}
