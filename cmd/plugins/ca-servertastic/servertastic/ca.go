// Package servertastic makes the plugin contract's calls into calls of ServerTastic's API: orders that are bought once and
// placed once, terms that are used up by reissues, domain control by the rules of two CAs, and cancellation.
//
// An order is bought by one call, which gives a token, and placed by another. The purchase is PlaceOrder's; every step after
// it is one of GetOrder, and what was sent is noted in the order's state before it is sent. All the process remembers is
// which of these notes it has made itself and not used yet: without that, after a restart, it waits until the API must show
// whether the call arrived.
package servertastic

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/ordertoken"
	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/request"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

const (
	// findSettle is how far apart two looks for a lost order must be for both to count.
	// (Not confirmed by ServerTastic's pages: how soon showtokens shows a new token.)
	findSettle   = time.Minute
	pollInterval = 5 * time.Minute // the API's own copy of an order is that old at times
	maxOrders    = 4               // at once: each takes a few calls
)

// Options are what the process knows about itself.
type Options = restca.Process

// CA is one account at ServerTastic.
type CA struct {
	process Options
	up      restca.Configured[session]
	notes   notes
}

// session is a configured CA.
type session struct {
	settings accountSettings
	client   *ordertoken.Client
	now      func() time.Time
	log      *slog.Logger
	orders   restca.Gate
	notes    *notes
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
		Name: "servertastic", Version: c.process.Version,
		Summary:         "TLS certificates from ServerTastic (RapidSSL, GeoTrust, Thawte, Secure Site, PositiveSSL).",
		Abilities:       []pluginapi.Ability{pluginapi.AbilityReissue, pluginapi.AbilityRenew},
		ChallengeTypes:  []pluginapi.ChallengeType{pluginapi.ChallengeDNS, pluginapi.ChallengeHTTP, pluginapi.ChallengeEmail},
		OrdersCostMoney: true, CSRCommonName: true,
		AccountSettings: accountSchema(),
		OrderSettings:   request.Fields(),
		CAAIdentifiers:  caaIdentifiers(),
		FindOrderSettle: findSettle,
		// A reissue has the same names, and for OV and EV the same organization.
		ReissueNames: pluginapi.ReissueSameNames,
		PollInterval: pollInterval, MaxConcurrentOrders: maxOrders,
	}, nil
}

// caaIdentifiers are the names in CAA records that let one of the two CAs issue; which of them is asked depends on the
// product. (Not confirmed by ServerTastic's pages: all of it. The CAs' own pages name them.)
func caaIdentifiers() []string {
	return []string{
		"digicert.com", "www.digicert.com", "digicert.ne.jp", "symantec.com", "thawte.com", "geotrust.com", "rapidssl.com",
		"sectigo.com", "comodoca.com", "comodo.com", "usertrust.com", "trust-provider.com",
	}
}

// Configure checks the settings and reaches no network.
func (c *CA) Configure(_ context.Context, account pluginapi.Account) (pluginapi.Configured, error) {
	settings, findings := readAccount(account.Settings)
	if pluginapi.HasFault(findings) {
		return pluginapi.Configured{Findings: findings}, nil
	}
	client, err := ordertoken.New(ordertoken.Options{
		BaseURL: settings.baseURL, Key: settings.key, UserAgent: c.process.UserAgent(),
		Timeout: settings.requestTimeout, PerSecond: settings.perSecond,
	})
	if err != nil {
		return pluginapi.Configured{}, pluginapi.FieldErrorf("base_url", "%w", err)
	}
	if before := c.up.Set(&session{settings: settings, client: client, now: c.process.Now, log: c.process.Log(), notes: &c.notes}); before != nil {
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

// notes are those of calls to come that this process has made, as they stand in the states of orders. One that it still has
// was not used by anybody: the call was not sent.
type notes struct {
	mu    sync.Mutex
	fresh map[string]bool
}

func (n *notes) write() string {
	note := rand.Text()
	n.giveBack(note)
	return note
}

// take reports whether a note was fresh; from now on it is not.
func (n *notes) take(note string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	fresh := n.fresh[note]
	delete(n.fresh, note)
	return fresh
}

// giveBack makes a note fresh: nothing was sent.
func (n *notes) giveBack(note string) {
	if note == "" {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fresh == nil {
		n.fresh = map[string]bool{}
	}
	n.fresh[note] = true
}
