package acmeload

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Load is what to order.
type Load struct {
	// DirectoryURL is the CA; Root is what its TLS certificate leads to, PEM.
	DirectoryURL string
	Root         []byte
	// Domains are ordered one by one, InFlight of them at a time.
	Domains  []string
	InFlight int
	// HTTPAddress is where the CA looks for http-01 challenges. Where it is empty, dns-01 is used: SetText makes a value
	// the text record at a name, and none with an empty value.
	HTTPAddress string
	SetText     func(name, value string)
}

// tries is how often a name is ordered whose order fails.
const tries = 3

// Run orders all and returns how long that took, without the registration of the account.
func (l Load) Run(ctx context.Context) (time.Duration, error) {
	c, err := newClient(ctx, l.DirectoryURL, l.Root, l.InFlight)
	if err != nil {
		return 0, err
	}
	defer c.close()
	if l.HTTPAddress != "" {
		server, err := serveChallenges(l.HTTPAddress, c.thumbprint)
		if err != nil {
			return 0, err
		}
		defer server.Close()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	begun := time.Now()
	domains := make(chan string)
	var workers sync.WaitGroup
	for range l.InFlight {
		workers.Go(func() {
			for domain := range domains {
				err := l.one(ctx, c, domain)
				for range tries - 1 {
					if errors.Is(err, errInvalid) {
						err = l.one(ctx, c, domain)
					}
				}
				if err != nil {
					cancel(fmt.Errorf("%s: %w", domain, err))
				}
			}
		})
	}
	for _, domain := range l.Domains {
		select {
		case domains <- domain:
		case <-ctx.Done():
		}
	}
	close(domains)
	workers.Wait()
	return time.Since(begun), context.Cause(ctx)
}

// serveChallenges answers every http-01 challenge of an account (RFC 8555 section 8.3).
func serveChallenges(address, thumbprint string) (*http.Server, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	const wellKnown = "/.well-known/acme-challenge/"
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token, ok := strings.CutPrefix(r.URL.Path, wellKnown); ok {
			_, _ = w.Write([]byte(token + "." + thumbprint)) // who has gone does not wait for an answer
			return
		}
		http.NotFound(w, r)
	})}
	go func() { _ = server.Serve(l) }() // ends with Close
	return server, nil
}

// one takes one order from newOrder to the certificate (RFC 8555 section 7.4).
func (l Load) one(ctx context.Context, c *client, domain string) error {
	o, header, err := c.fetch(ctx, c.urls.NewOrder, fmt.Appendf(nil, `{"identifiers":[{"type":"dns","value":%q}]}`, domain))
	if err != nil {
		return err
	}
	address := header.Get("Location")
	for _, url := range o.Authorizations {
		withdraw, err := l.prove(ctx, c, domain, url)
		if err != nil {
			return err
		}
		defer withdraw()
	}
	if o, err = c.await(ctx, address, "pending"); err != nil {
		return err
	}
	csr, err := request(domain)
	if err != nil {
		return err
	}
	if _, _, err = c.fetch(ctx, o.Finalize, fmt.Appendf(nil, `{"csr":%q}`, csr)); err != nil {
		return err
	}
	if o, err = c.await(ctx, address, "ready", "processing"); err != nil {
		return err
	}
	_, chain, err := c.post(ctx, o.Certificate, nil)
	if err == nil && !bytes.Contains(chain, []byte("BEGIN CERTIFICATE")) {
		err = errors.New("the CA gave no certificate")
	}
	return err
}

// prove shows control over a domain and tells the CA.
func (l Load) prove(ctx context.Context, c *client, domain, url string) (withdraw func(), err error) {
	withdraw = func() {}
	a, _, err := c.fetch(ctx, url, nil)
	if err != nil {
		return withdraw, err
	}
	wanted := "http-01"
	if l.HTTPAddress == "" {
		wanted = "dns-01"
	}
	for _, challenge := range a.Challenges {
		if challenge.Type != wanted {
			continue
		}
		if wanted == "dns-01" { // RFC 8555 section 8.4
			digest := sha256.Sum256([]byte(challenge.Token + "." + c.thumbprint))
			name := "_acme-challenge." + domain
			l.SetText(name, base64.RawURLEncoding.EncodeToString(digest[:]))
			withdraw = func() { l.SetText(name, "") }
		}
		_, _, err := c.post(ctx, challenge.URL, []byte("{}"))
		return withdraw, err
	}
	return withdraw, fmt.Errorf("the CA offers no %s challenge", wanted)
}
