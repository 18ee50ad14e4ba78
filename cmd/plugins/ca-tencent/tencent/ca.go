// Package tencent makes the plugin contract's calls into calls of Tencent Cloud's SSL certificate service: certificates
// that are bought once, the materials and the order to the CA, domain control, people's reviews, reissues inside of what
// was paid for, download and revocation.
//
// It remembers nothing between two calls. What it keeps in an order's state saves calls and questions; what a certificate
// stands at is read anew each time, and decides what is done next.
package tencent

import (
	"context"
	"log/slog"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-tencent/request"
	"github.com/certbridge/certbridged/cmd/plugins/ca-tencent/sslapi"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

const (
	pollInterval = time.Minute
	maxOrders    = 8 // at once: each takes a few calls of the account's limit
)

// Options are what the process knows about itself.
type Options = restca.Process

// CA is one API key of Tencent Cloud.
type CA struct {
	process Options
	up      restca.Configured[session]
}

// session is a configured CA.
type session struct {
	settings accountSettings
	client   *sslapi.Client
	now      func() time.Time
	log      *slog.Logger
	orders   restca.Gate
}

var _ interface {
	pluginapi.CA
	pluginapi.Preflighter
	pluginapi.OrderChecker
	pluginapi.OrderFinder
	pluginapi.OrderInspector
	pluginapi.CertificateFinder
	pluginapi.OrderCanceler
	pluginapi.Revoker
} = (*CA)(nil)

// New makes a CA that waits for Configure.
func New(o Options) *CA { return &CA{process: o.WithDefaults()} }

// Describe says what the plugin is and can do.
func (c *CA) Describe(context.Context) (pluginapi.Description, error) {
	return pluginapi.Description{
		Name: "tencent", Version: c.process.Version,
		Summary:        "Public TLS certificates from Tencent Cloud SSL (TrustAsia, WoTrus, DNSPod, GeoTrust, SecureSite, GlobalSign).",
		Abilities:      []pluginapi.Ability{pluginapi.AbilityReissue, pluginapi.AbilityRenew},
		ChallengeTypes: []pluginapi.ChallengeType{pluginapi.ChallengeDNS, pluginapi.ChallengeHTTP},
		// Which names in CAA records let the CAs behind the products issue, Tencent's pages do not say: none are given, and
		// no CAA record is judged.
		OrdersCostMoney: true,
		AccountSettings: accountSchema(),
		OrderSettings:   request.Fields(),
		CSRCommonName:   true, // the API compares it with the main domain
		FindOrderSettle: leastFindSettle,
		ReissueNames:    pluginapi.ReissueSameNames,
		PollInterval:    pollInterval, MaxConcurrentOrders: maxOrders,
	}, nil
}

// Configure checks the settings and reaches no network.
func (c *CA) Configure(_ context.Context, account pluginapi.Account) (pluginapi.Configured, error) {
	settings, findings := readAccount(account.Settings)
	if pluginapi.HasFault(findings) {
		return pluginapi.Configured{Findings: findings}, nil
	}
	client, err := sslapi.New(sslapi.Options{
		BaseURL: settings.baseURL, SecretID: settings.secretID, SecretKey: settings.secretKey, Token: settings.token, Region: settings.region,
		UserAgent: c.process.UserAgent(), Timeout: settings.requestTimeout, PerSecond: settings.perSecond,
	})
	if err != nil {
		return pluginapi.Configured{}, pluginapi.FieldErrorf("base_url", "%w", err)
	}
	if before := c.up.Set(&session{settings: settings, client: client, now: c.process.Now, log: c.process.Log()}); before != nil {
		before.client.Close()
	}
	return pluginapi.Configured{Findings: findings}, nil
}

// Close drops idle connections. Calls under way end with their contexts.
func (c *CA) Close() error {
	if s, err := c.up.Get(); err == nil {
		s.client.Close()
	}
	return nil
}
