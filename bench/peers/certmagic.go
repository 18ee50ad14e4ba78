package main

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// withCertMagic orders as Caddy does, with files as its storage.
func withCertMagic(ctx context.Context, j job) error {
	host, port, err := net.SplitHostPort(j.http)
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return fmt.Errorf("port %q: %w", port, err)
	}
	certmagic.RateLimitEvents, certmagic.RateLimitEventsWindow = 0, 0 // by itself it begins ten orders in ten seconds

	var config *certmagic.Config
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return config, nil },
		Logger:           zap.NewNop(),
	})
	defer cache.Stop()
	config = certmagic.New(cache, certmagic.Config{
		Storage:   &certmagic.FileStorage{Path: j.dir},
		KeySource: certmagic.StandardKeyGenerator{KeyType: certmagic.P256},
		OCSP:      certmagic.OCSPConfig{DisableStapling: true},
		Logger:    zap.NewNop(),
	})
	config.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(config, certmagic.ACMEIssuer{
		CA: j.directory, TrustedRoots: j.roots, Agreed: true, Email: "bench@example.com",
		DisableTLSALPNChallenge: true, ListenHost: host, AltHTTPPort: number, Logger: zap.NewNop(),
	})}
	return j.each(ctx, config.ObtainCertSync)
}
