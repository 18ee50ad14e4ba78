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
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// shopOrder is an order as the shop writes it.
type shopOrder struct {
	ID          string    `json:"id"`
	Status      string    `json:"status"` // approval, pending, processing, issued, rejected, canceled
	Detail      string    `json:"detail"`
	Token       string    `json:"token"`  // what is to be shown while pending
	Proofs      []string  `json:"proofs"` // the places where it may be shown: file, dnsauth, apex, cname
	Names       []string  `json:"names"`
	Proven      []string  `json:"proven"` // the names for which it was seen
	Chain       [][]byte  `json:"chain"`
	CoverageEnd time.Time `json:"coverage_end"`
	Price       string    `json:"price"`
}

// newOrder is what the shop wants to know.
type newOrder struct {
	Key      string   `json:"key"`
	Kind     string   `json:"kind"`
	Product  string   `json:"product"`
	CSR      []byte   `json:"csr"`
	Names    []string `json:"names"`
	Previous string   `json:"previous,omitempty"`
}

const maxAnswer = 1 << 20

// shop speaks to the shop. Every exchange has a connection of its own: the transport would repeat some requests when a
// connection that was used before dies, and none may go out twice.
type shop struct {
	baseURL   string
	apiKey    pluginapi.Secret
	dieBefore string
	client    *http.Client
}

func newShop(s settings, apiKey pluginapi.Secret) *shop {
	return &shop{
		baseURL: strings.TrimRight(s.BaseURL, "/"), apiKey: apiKey, dieBefore: s.DieBefore,
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}
}

// ask makes one exchange and decodes the answer. paid says that the request can spend money: then no clear answer means
// that nobody knows whether it did.
func (s *shop) ask(ctx context.Context, method, path string, body, answer any, paid bool) error {
	s.perhapsDie(method + " " + path)
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return pluginapi.Errorf(pluginapi.InvalidRequest, "encode the request: %w", err)
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.baseURL+path, content)
	if err != nil {
		return pluginapi.FieldErrorf("base_url", "%w", err)
	}
	req.GetBody = nil // no second try, by whomever
	req.Header.Set("Authorization", "Bearer "+s.apiKey.Reveal())
	req.Header.Set("User-Agent", "ca-fake/"+strconv.Itoa(os.Getpid())) // so that the shop can kill us
	resp, err := s.client.Do(req)
	if err != nil {
		return lost(paid && !neverConnected(err), err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return lost(paid, err)
	}
	if resp.StatusCode >= 300 {
		return refused(resp, text, paid)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return lost(paid, fmt.Errorf("an answer that cannot be understood: %w", err))
	}
	return nil
}

// lost is the error of an exchange without a clear answer.
func lost(paid bool, err error) error {
	kind := pluginapi.Unavailable
	if paid {
		kind = pluginapi.UnknownOutcome
	}
	return pluginapi.Errorf(kind, "the shop: %w", err)
}

// neverConnected reports that not a byte can have reached the shop.
func neverConnected(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// refused makes an error of the shop's. A fault of the shop (5xx) says nothing about what became of the request.
func refused(resp *http.Response, text []byte, paid bool) error {
	var fault struct {
		Message string `json:"message"`
		Field   string `json:"field"`
	}
	if json.Unmarshal(text, &fault) != nil || fault.Message == "" {
		fault.Message = "the shop answers " + resp.Status
	}
	kinds := map[int]pluginapi.ErrorKind{
		http.StatusUnauthorized: pluginapi.Unauthorized, http.StatusForbidden: pluginapi.Unauthorized,
		http.StatusPaymentRequired: pluginapi.NeedsPerson, http.StatusNotFound: pluginapi.NotFound,
		http.StatusConflict: pluginapi.Conflict, http.StatusUnprocessableEntity: pluginapi.InvalidRequest,
		http.StatusTooManyRequests: pluginapi.RateLimited,
	}
	kind, clear := kinds[resp.StatusCode]
	if !clear {
		return lost(paid, errors.New(fault.Message))
	}
	e := &pluginapi.Error{Kind: kind, Message: fault.Message, Field: fault.Field}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	return e
}

// perhapsDie ends the process as kill -9 would when the file die_before names this exchange. The file is removed first:
// it happens once.
func (s *shop) perhapsDie(exchange string) {
	if s.dieBefore == "" {
		return
	}
	text, err := os.ReadFile(s.dieBefore)
	if err != nil || !strings.HasPrefix(exchange, string(text)) || os.Remove(s.dieBefore) != nil {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
