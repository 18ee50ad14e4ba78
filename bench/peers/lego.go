package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-acme/lego/v4/certcrypto"
	"github.com/go-acme/lego/v4/certificate"
	"github.com/go-acme/lego/v4/lego"
	"github.com/go-acme/lego/v4/registration"
)

// account is what lego calls a user.
type account struct {
	key          crypto.PrivateKey
	registration *registration.Resource
}

func (a *account) GetEmail() string                        { return "bench@example.com" }
func (a *account) GetRegistration() *registration.Resource { return a.registration }
func (a *account) GetPrivateKey() crypto.PrivateKey        { return a.key }

// withLego orders with one client of lego and one server for all challenges: the one that lego brings can answer one at a time.
func withLego(ctx context.Context, j job) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	user := &account{key: key}
	config := lego.NewConfig(user)
	config.CADirURL = j.directory
	config.Certificate.KeyType = certcrypto.EC256
	config.HTTPClient = &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: j.roots}, MaxIdleConnsPerHost: j.inFlight,
	}}
	client, err := lego.NewClient(config)
	if err != nil {
		return err
	}
	files := &challengeFiles{}
	listener, err := net.Listen("tcp", j.http)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: files, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with Close
	defer server.Close()
	if err := client.Challenge.SetHTTP01Provider(files); err != nil {
		return err
	}
	if user.registration, err = client.Registration.Register(registration.RegisterOptions{TermsOfServiceAgreed: true}); err != nil {
		return err
	}
	return j.each(ctx, func(_ context.Context, domain string) error { // lego heeds no context
		got, err := client.Certificate.Obtain(certificate.ObtainRequest{Domains: []string{domain}, Bundle: true})
		if err != nil {
			return err
		}
		return errors.Join(
			os.WriteFile(filepath.Join(j.dir, domain+".crt"), got.Certificate, 0o600),
			os.WriteFile(filepath.Join(j.dir, domain+".key"), got.PrivateKey, 0o600),
		)
	})
}

// challengeFiles publishes the files of http-01 (RFC 8555 section 8.3).
type challengeFiles struct{ byToken sync.Map }

func (c *challengeFiles) Present(_, token, keyAuthorization string) error {
	c.byToken.Store(token, keyAuthorization)
	return nil
}

func (c *challengeFiles) CleanUp(_, token, _ string) error {
	c.byToken.Delete(token)
	return nil
}

func (c *challengeFiles) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, ok := c.byToken.Load(strings.TrimPrefix(r.URL.Path, "/.well-known/acme-challenge/"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write([]byte(text.(string))) // who has gone does not wait for an answer
}
