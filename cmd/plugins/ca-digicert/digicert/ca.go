// Package digicert makes the plugin contract's calls into calls of CertCentral: orders that are bought once, plans that
// are used up by reissues, domain control, people's approval, download and revocation.
//
// It remembers nothing between two calls. What it keeps in an order's state saves calls and questions; whatever is
// missing there is found again at DigiCert by the mark, the certificate request or the order's number.
package digicert

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/certcentral"
	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/request"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

const (
	// findSettle is for how long DigiCert may not show an order that it has taken.
	// (Not confirmed by DigiCert's pages: that it takes any time at all.)
	findSettle   = 30 * time.Second
	pollInterval = time.Minute
	maxOrders    = 8 // at once: each takes a few calls of the key's limit
)

// Options are what the process knows about itself.
type Options = restca.Process

// CA is one API key of CertCentral.
type CA struct {
	process Options
	up      restca.Configured[session]
}

// session is a configured CA.
type session struct {
	settings accountSettings
	client   *certcentral.Client
	now      func() time.Time
	log      *slog.Logger
	orders   restca.Gate
}

var _ interface {
	pluginapi.CA
	pluginapi.Preflighter
	pluginapi.OrderFinder
	pluginapi.CertificateFinder
	pluginapi.OrderInspector
	pluginapi.OrderCanceler
	pluginapi.Revoker
} = (*CA)(nil)

// New makes a CA that waits for Configure.
func New(o Options) *CA { return &CA{process: o.WithDefaults()} }

// Describe says what the plugin is and can do.
func (c *CA) Describe(context.Context) (pluginapi.Description, error) {
	return pluginapi.Description{
		Name: "digicert", Version: c.process.Version,
		Summary:   "Public and private TLS certificates from DigiCert CertCentral (DigiCert, GeoTrust, RapidSSL, Thawte).",
		Abilities: []pluginapi.Ability{pluginapi.AbilityReissue, pluginapi.AbilityRenew},
		ChallengeTypes: []pluginapi.ChallengeType{
			pluginapi.ChallengeDNS, pluginapi.ChallengeHTTP, pluginapi.ChallengeEmail,
		},
		OrdersCostMoney: true,
		AccountSettings: accountSchema(),
		OrderSettings:   request.Fields(),
		CAAIdentifiers:  caaIdentifiers(),
		FindOrderSettle: findSettle,
		// DigiCert revokes all earlier certificates of an order 48 to 72 hours after a reissue that drops a name.
		ReissueNames: pluginapi.ReissueRemovalRevokes,
		// Names that a reissue adds are charged for what is left of the plan.
		ReissueAdditionsCost: true,
		PollInterval:         pollInterval, MaxConcurrentOrders: maxOrders,
	}, nil
}

// caaIdentifiers are the names in CAA records that let DigiCert issue under any of its brands.
// (Not confirmed by the pages on orders: all but digicert.com; DigiCert's and resellers' pages on CAA name them.)
func caaIdentifiers() []string {
	return []string{"digicert.com", "www.digicert.com", "digicert.ne.jp", "symantec.com", "thawte.com", "geotrust.com", "rapidssl.com"}
}

// Configure checks the settings and reaches no network.
func (c *CA) Configure(_ context.Context, account pluginapi.Account) (pluginapi.Configured, error) {
	settings, findings := readAccount(account.Settings)
	if pluginapi.HasFault(findings) {
		return pluginapi.Configured{Findings: findings}, nil
	}
	client, err := certcentral.New(certcentral.Options{
		BaseURL: settings.baseURL, Key: settings.key, UserAgent: c.process.UserAgent(),
		Timeout: settings.requestTimeout, PerSecond: settings.perSecond,
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

// orderSettings are a certificate's with what the account fills in.
func (s *session) orderSettings(o pluginapi.Settings) pluginapi.Settings {
	return request.WithAccount(o, request.Account{
		OrganizationID: s.settings.organization, ContainerID: s.settings.container, SkipApproval: s.settings.skipApproval,
	})
}

// baseName is what control is shown over.
func baseName(name string) string {
	return strings.TrimSuffix(strings.TrimPrefix(strings.ToLower(strings.TrimSpace(name)), "*."), ".")
}
