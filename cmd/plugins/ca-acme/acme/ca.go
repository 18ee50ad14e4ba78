// Package acme speaks to a CA by ACME (RFC 8555) on behalf of certbridged: every call of the plugin contract becomes a
// few ACME requests, and all that must survive (account keys, account address, order address) goes back in the reply.
//
// The objects are those of lego's ACME client; the requests are made and signed here. lego's own sending takes no context,
// sleeps on its own when a nonce is refused, fetches the directory anew for each instance and spends more on a request than
// the CA does. All calls share connections, directory, nonces and one pace, and do not ask again for what the CA has just
// said: an order of one name takes six requests.
package acme

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Options are what the process knows about itself.
type Options struct {
	// Version is the plugin's version; it stands in Describe and in the user agent.
	Version string
	// Logger takes remarks; nil is the process's default at the time of Configure. It must not write to standard output,
	// which belongs to the handshake.
	Logger *slog.Logger
}

// CA is one ACME account. It implements pluginapi.CA, Preflighter, OrderChecker, Revoker and RenewalInformer.
type CA struct {
	version string
	log     *slog.Logger

	mu sync.RWMutex
	up *session // nil before Configure
}

// session is a configured CA: it never changes afterwards except inside its own locks.
type session struct {
	settings accountSettings
	client   *client
	book     *accountBook
	orders   *memory[known] // by reference
	log      *slog.Logger
	// How long the CA takes to validate an order and to issue its certificate.
	validation, issuance *promptness
	// prompt: the CA had validated an order when it was last looked at first. pedantic: it does not take a request for a
	// certificate that comes too early as RFC 8555 wants.
	prompt, pedantic atomic.Bool
}

var (
	_ pluginapi.CA              = (*CA)(nil)
	_ pluginapi.Preflighter     = (*CA)(nil)
	_ pluginapi.OrderChecker    = (*CA)(nil)
	_ pluginapi.Revoker         = (*CA)(nil)
	_ pluginapi.RenewalInformer = (*CA)(nil)
)

// New makes a CA that waits for Configure.
func New(o Options) *CA {
	if o.Version == "" {
		o.Version = "devel"
	}
	return &CA{version: o.Version, log: o.Logger}
}

// Describe says what the plugin is and can do.
//
// FindOrder is not among its abilities: the list of an account's orders (RFC 8555 section 7.1.2.1) is not offered by
// the CAs in use, and a lost newOrder costs nothing. Neither is cancellation: ACME has none, and deactivating an
// order's authorizations can end other orders that share them.
func (c *CA) Describe(context.Context) (pluginapi.Description, error) {
	return pluginapi.Description{
		Name:      "acme",
		Version:   c.version,
		Summary:   "Certificates from any CA that speaks ACME (RFC 8555): Let's Encrypt, ZeroSSL, Google Trust Services, private ones.",
		Abilities: []pluginapi.Ability{pluginapi.AbilityRenew, pluginapi.AbilityIPIdentifiers},
		ChallengeTypes: []pluginapi.ChallengeType{
			pluginapi.ChallengeHTTP, pluginapi.ChallengeDNS, pluginapi.ChallengeTLSALPN,
		},
		OrdersCostMoney: false,
		AccountSettings: accountSchema(),
		OrderSettings:   orderSchema(),
		PollInterval:    pollInterval,

		MaxConcurrentOrders: maxOrders,
		CAAMethods: []pluginapi.CAAMethod{ // RFC 8657 section 4: the names of ACME's challenge types
			{Type: pluginapi.ChallengeHTTP, Label: "http-01"},
			{Type: pluginapi.ChallengeDNS, Label: "dns-01"},
			{Type: pluginapi.ChallengeTLSALPN, Label: "tls-alpn-01"},
		},
	}, nil
}

// Configure checks the settings and reaches no network. When there is no account key for the directory yet, or a
// higher account_key_generation asks for another, it makes one and returns it as account state, so that the key is
// stored before the CA ever sees it. What an earlier process learned of the account, its address and the CA's issuer
// domain names, is told too.
func (c *CA) Configure(_ context.Context, account pluginapi.Account) (pluginapi.Configured, error) {
	settings, findings, err := checkAccount(account.Settings)
	if err != nil {
		return pluginapi.Configured{}, err
	}
	if pluginapi.HasFault(findings) {
		return pluginapi.Configured{Findings: findings}, nil
	}
	book, more := openBook(account.State, settings)
	findings = append(findings, more...)
	if pluginapi.HasFault(findings) {
		return pluginapi.Configured{Findings: findings}, nil
	}
	log := c.log
	if log == nil {
		log = slog.Default()
	}
	up := &session{
		settings: settings,
		client:   newClient(settings, "certbridged/"+c.version),
		book:     book,
		orders:   newMemory[known](maxRemembered),
		log:      log,

		validation: newPromptness(), issuance: newPromptness(),
	}
	c.mu.Lock()
	before := c.up
	c.up = up
	c.mu.Unlock()
	if before != nil {
		before.client.close()
	}
	record := book.record()
	return pluginapi.Configured{
		Findings: findings, AccountState: book.changed(), AccountURI: record.URL, CAAIdentifiers: record.CAAIdentities,
	}, nil
}

// Close drops idle connections. Calls in flight end with their contexts.
func (c *CA) Close() error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.up != nil {
		c.up.client.close()
	}
	return nil
}

// configured returns the session, or an error before Configure.
func (c *CA) configured() (*session, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.up == nil {
		return nil, pluginapi.Errorf(pluginapi.InvalidRequest, "the account is not configured: call Configure first, with settings that have no fault")
	}
	return c.up, nil
}
