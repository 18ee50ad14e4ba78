package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"time"
)

//go:embed rehearsal.toml.tmpl
var rehearsalText string

// startACME starts the ACME test server, with a certificate of its own for its API.
func (r *rehearsal) startACME(ctx context.Context) error {
	api, err := freePort()
	if err != nil {
		return err
	}
	if err := r.writeServerCertificate(); err != nil {
		return err
	}
	settings := map[string]any{"pebble": map[string]any{
		"listenAddress": fmt.Sprintf("127.0.0.1:%d", api), "managementListenAddress": "",
		"certificate": r.path("sandbox/acme.pem"), "privateKey": r.path("sandbox/acme.key"),
		"httpPort": 80, "tlsPort": 443, "retryAfter": map[string]int{"authz": 1, "order": 1},
	}}
	text, err := json.Marshal(settings)
	if err != nil {
		return fmt.Errorf("configure the ACME server: %w", err)
	}
	config := r.path("sandbox/acme.json")
	if err := os.WriteFile(config, text, 0o600); err != nil {
		return fmt.Errorf("configure the ACME server: %w", err)
	}
	// Without a pause in its looks, and without the good nonces that it refuses for practice.
	env := []string{"PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0"}
	c, err := r.children.start(r.path("log"), "acme", env, r.pebble, "-config", config, "-strict", "-dnsserver", r.names.addr)
	if err != nil {
		return err
	}
	if _, err := c.until(ctx, "Listening on"); err != nil {
		return err
	}
	r.directory = fmt.Sprintf("https://127.0.0.1:%d/dir", api)
	r.say("acme: a test server at %s", r.directory)
	return nil
}

// writeServerCertificate makes the ACME server's certificate for this machine's address. It is its own root.
func (r *rehearsal) writeServerCertificate() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ACME test server"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 0, 1), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	return r.writeSigned(template, key, "sandbox/acme")
}

// writeConfig writes the daemon's configuration, its secrets beside it.
func (r *rehearsal) writeConfig() error {
	type certificate struct{ Name, Domain, Order, Config string }
	values := struct {
		Plugins, Socket, NameServer, KeyName, Directory, ACMERoot, CA, Self, Web string
		Houses                                                                   []certificate
	}{
		r.pluginDir, r.socket(), r.names.addr, keyName, r.directory, r.path("sandbox/acme.pem"), r.path("ca"), r.self, r.web.addr, nil,
	}
	for _, h := range r.houses {
		values.Houses = append(values.Houses, certificate{h.name, h.domain(), h.order, h.config})
	}
	secret := func(w io.Writer) error { _, err := io.WriteString(w, r.names.secret); return err }
	return errors.Join(
		replaceFile(r.path("tsig"), 0o600, secret),
		writeTemplate(r.path("config.toml"), rehearsalText, values),
	)
}
