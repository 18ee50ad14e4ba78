package deploy

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

// prober looks at the certificate that a target serves.
type prober struct {
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	target Target // with the server name to send
	leaf   *x509.Certificate
}

// probe makes one fresh connection and returns the chain that is served there, with at least the leaf. A server that has
// a certificate for each kind of key chooses by what the client can do; when it shows one for another kind of key than
// ours, it is asked once more by a client that can do nothing else than ours.
func (p prober) probe(ctx context.Context) ([]*x509.Certificate, error) {
	chain, err := p.connect(ctx, nil)
	if err != nil || chain[0].PublicKeyAlgorithm == p.leaf.PublicKeyAlgorithm {
		return chain, err
	}
	suites := suitesFor(p.leaf)
	if suites == nil {
		return chain, nil
	}
	own, err := p.connect(ctx, suites)
	switch {
	case err == nil:
		return own, nil
	case over(ctx):
		return nil, err // whether the server has ours as well is not known
	default:
		return chain, nil
	}
}

// connect makes one connection. Suites, when given, restrict it to TLS 1.2, where they say which kind of key the
// server's certificate must have; in TLS 1.3 they do not.
func (p prober) connect(ctx context.Context, suites []uint16) ([]*x509.Certificate, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, attemptTimeout, fmt.Errorf("no answer within %s", attemptTimeout))
	defer cancel()
	dial := p.dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	raw, err := dial(ctx, "tcp", p.target.Address)
	if err != nil {
		return nil, withCause(ctx, err)
	}
	defer raw.Close()
	// What is read before TLS knows no context: closing the connection ends it.
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := p.target.Protocol.startTLS(raw); err != nil {
		return nil, fmt.Errorf("%s before TLS: %w", p.target.Protocol, withCause(ctx, err))
	}
	chain, err := p.handshake(ctx, raw, suites)
	if err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", withCause(ctx, err))
	}
	return chain, nil
}

func (p prober) handshake(ctx context.Context, raw net.Conn, suites []uint16) ([]*x509.Certificate, error) {
	var seen [][]byte
	config := &tls.Config{
		ServerName: p.target.ServerName,
		// The chain is compared, not trusted: a private CA or a test CA is as good here as any.
		InsecureSkipVerify: true, //nolint:gosec // see above
		VerifyPeerCertificate: func(certs [][]byte, _ [][]*x509.Certificate) error { //nolint:gosec // nothing is resumed: there is no session cache
			seen = certs
			return nil
		},
		MinVersion:   tls.VersionTLS10,
		CipherSuites: suites,
	}
	if suites != nil {
		config.MaxVersion = tls.VersionTLS12
	}
	if err := tls.Client(raw, config).HandshakeContext(ctx); err != nil && !refusedUs(err, seen) {
		return nil, err
	}
	chain := make([]*x509.Certificate, 0, len(seen))
	for _, der := range seen {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("parse certificate %d of the served chain: %w", len(chain)+1, err)
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, errors.New("the server shows no certificate")
	}
	return chain, nil
}

// refusedUs reports that the handshake failed because the server refused us after it had shown its certificate and
// proved that it has the key: it wants a certificate of its clients.
func refusedUs(err error, seen [][]byte) bool {
	var remote *net.OpError
	return len(seen) > 0 && errors.As(err, &remote) && remote.Op == "remote error"
}

// withCause says why ctx ended, when that is what made a connection fail.
func withCause(ctx context.Context, err error) error {
	if !over(ctx) {
		return err
	}
	return context.Cause(ctx)
}

// over reports whether ctx has ended. A connection knows the deadline itself, and fails of it a moment before ctx says so.
func over(ctx context.Context) bool {
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		<-ctx.Done()
	}
	return ctx.Err() != nil
}

// suitesFor are the TLS 1.2 cipher suites that need a certificate with the leaf's kind of key, or nil.
func suitesFor(leaf *x509.Certificate) []uint16 {
	switch leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		return []uint16{
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		}
	case *ecdsa.PublicKey:
		return []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		}
	default:
		return nil
	}
}
