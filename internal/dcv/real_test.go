package dcv

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net"
	"strconv"
	"testing"

	"github.com/go-acme/lego/v4/certificate"
	"github.com/go-acme/lego/v4/challenge/http01"
	"github.com/go-acme/lego/v4/lego"
	"github.com/go-acme/lego/v4/registration"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/peer"
)

// solverProvider lets an ACME client publish through a Solver.
type solverProvider struct {
	ctx     context.Context
	solver  *Solver
	profile string
}

func (p solverProvider) challenge(domain, token, keyAuth string) pluginapi.Challenge {
	c := httpChallenge(domain, http01.ChallengePath(token), keyAuth)
	c.ACME = &pluginapi.KeyAuthorization{Token: token, KeyAuthorization: keyAuth}
	return c
}

func (p solverProvider) Present(domain, token, keyAuth string) error {
	c := p.challenge(domain, token, keyAuth)
	a := pluginapi.Authorization{Identifier: domain, Challenges: []pluginapi.Challenge{c}}
	profile, c, err := p.solver.Choose(p.ctx, []string{p.profile}, a)
	if err != nil {
		return err
	}
	if _, err := p.solver.Publish(p.ctx, profile, c, nil); err != nil {
		return err
	}
	return p.solver.AwaitVisible(p.ctx, profile, c)
}

func (p solverProvider) CleanUp(domain, token, keyAuth string) error {
	return p.solver.Withdraw(p.ctx, p.profile, p.challenge(domain, token, keyAuth), nil)
}

type account struct {
	key crypto.PrivateKey
	reg *registration.Resource
}

func (a *account) GetEmail() string                        { return "" }
func (a *account) GetRegistration() *registration.Resource { return a.reg }
func (a *account) GetPrivateKey() crypto.PrivateKey        { return a.key }

// obtain orders a certificate for names at Pebble.
func obtain(t *testing.T, pebble *peer.PebbleServer, s *Solver, profile string, names ...string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	user := &account{key: key}
	config := lego.NewConfig(user)
	config.CADirURL, config.HTTPClient = pebble.DirectoryURL, pebble.Client()
	client, err := lego.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	if user.reg, err = client.Registration.Register(registration.RegisterOptions{TermsOfServiceAgreed: true}); err != nil {
		t.Fatal(err)
	}
	if err := client.Challenge.SetHTTP01Provider(solverProvider{t.Context(), s, profile}); err != nil {
		t.Fatal(err)
	}
	got, err := client.Certificate.Obtain(certificate.ObtainRequest{Domains: names, Bundle: true})
	if err != nil {
		t.Fatalf("%v\n%s", err, pebble.Log())
	}
	if len(got.Certificate) == 0 {
		t.Error("no certificate")
	}
}

func TestPebbleValidatesThroughTheResponder(t *testing.T) {
	t.Parallel()
	pebble := peer.Pebble(t, peer.PebbleOptions{})
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(pebble.HTTPPort))
	s := newSolver(t, Options{ListenHTTP: address})
	obtain(t, pebble, s, BuiltIn, "shop.example.com", "127.0.0.1")
	if listens(address) {
		t.Error("listens after the order")
	}
}

func TestPebbleValidatesThroughAWebroot(t *testing.T) {
	t.Parallel()
	pebble := peer.Pebble(t, peer.PebbleOptions{})
	dir := t.TempDir()
	peer.Nginx(t, fmt.Sprintf(`
server {
  listen 127.0.0.1:%d;
  root %s;
  default_type text/plain;
}`, pebble.HTTPPort, dir))
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(pebble.HTTPPort))
	s := newSolver(t, Options{Profiles: []Profile{{Name: "web", Webroot: dir}}, Dial: toAddress(address)})
	obtain(t, pebble, s, "web", "shop.example.com")
	wantTree(t, dir)
}

func TestPebbleValidatesThroughNginxInFrontOfTheResponder(t *testing.T) {
	t.Parallel()
	pebble := peer.Pebble(t, peer.PebbleOptions{})
	behind := freeAddress(t)
	peer.Nginx(t, fmt.Sprintf(`
server {
  listen 127.0.0.1:%d;
  location /.well-known/acme-challenge/ {
    proxy_pass http://%s;
    proxy_set_header Host $host;
  }
}`, pebble.HTTPPort, behind))
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(pebble.HTTPPort))
	s := newSolver(t, Options{ListenHTTP: behind, Dial: toAddress(address)})
	obtain(t, pebble, s, BuiltIn, "shop.example.com")
	// A path that nginx does not pass on is found out before the CA looks.
	c := httpChallenge("shop.example.com", "/.well-known/pki-validation/fileauth.txt", "body")
	mustPublish(t, s, BuiltIn, c)
	wantError(t, s.AwaitVisible(t.Context(), BuiltIn, c), pluginapi.Unavailable, "answers 404 Not Found", "passes /.well-known/ on")
	mustWithdraw(t, s, BuiltIn, c, nil)
}
