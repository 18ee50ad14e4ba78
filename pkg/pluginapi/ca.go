package pluginapi

import (
	"context"
	"time"
)

// CA is what every CA plugin does. One process serves one CA account; Configure is called once, before everything but
// Describe. Calls may come concurrently after that. Every method must return when its context ends.
//
// What an implementation can do beyond that it shows by the small interfaces below; its abilities follow from them
// and from what Describe adds.
type CA interface {
	// Describe says what the plugin is and can do. It needs no configuration and reaches no network.
	Describe(ctx context.Context) (Description, error)
	// Configure takes the account's settings, checks them, and reaches no network.
	Configure(ctx context.Context, account Account) (Configured, error)
	// PlaceOrder is the one call that may spend money. It sends the paid request at most once and returns as soon as
	// the order's reference is known. When the request went out and no answer came, it fails with UnknownOutcome.
	PlaceOrder(ctx context.Context, order OrderRequest) (OrderReply, error)
	// GetOrder reads an order and takes its next free step where the CA needs one. It is safe to repeat.
	GetOrder(ctx context.Context, order PlacedOrder) (OrderReply, error)
	// RespondToChallenges tells the CA that the challenges with these ids are published. It is safe to repeat.
	RespondToChallenges(ctx context.Context, order PlacedOrder, challengeIDs []string) (OrderReply, error)
}

// Preflighter can log in and read without spending anything.
type Preflighter interface {
	Preflight(ctx context.Context, orderSettings []Settings) (PreflightReply, error)
}

// OrderChecker knows rules that the schema of the order settings cannot say, such as one setting that needs another. It
// returns what PlaceOrder would refuse of new orders with these settings, and what deserves a look; Finding.Order says which
// of them a finding is about. It reaches no network, so that a configuration can be checked anywhere and before a daemon
// that runs takes it. An error is for settings that could not be looked at at all.
type OrderChecker interface {
	CheckOrders(ctx context.Context, orderSettings []Settings) ([]Finding, error)
}

// OrderFinder can tell whether a lost PlaceOrder call arrived. An order that surely does not exist is NotFound; when
// the CA cannot tell, UnknownOutcome.
type OrderFinder interface {
	FindOrder(ctx context.Context, order OrderRequest, sentAt time.Time) (OrderReply, error)
}

// CertificateFinder can find the order a certificate on disk belongs to, by its leaf (DER).
type CertificateFinder interface {
	FindOrderByCertificate(ctx context.Context, leaf []byte) (OrderReply, error)
}

// OrderInspector can say what the CA says now of an order that it has issued a certificate for, by its reference and the
// plugin's state as last replied. It changes nothing and takes no step. The order's status is Canceled or Expired also where
// that came after the certificate: revoked, refunded, its paid plan over. Names, RenewedBy and CoverageEnd are what it is
// asked for; the chain may be left out. An order that surely does not exist is NotFound.
//
// The daemon asks before it renews or reissues an order at a CA whose orders cost money: a person may have revoked, renewed or
// changed it meanwhile.
type OrderInspector interface {
	InspectOrder(ctx context.Context, reference string, state []byte) (OrderReply, error)
}

// OrderCanceler can drop an order that has no certificate yet. The reply says what has become of it: Canceled, OrderRejected or
// Expired end it; with any other status the CA has taken the wish at most, and the daemon goes on looking at the order.
type OrderCanceler interface {
	CancelOrder(ctx context.Context, order PlacedOrder, reason string) (OrderReply, error)
}

// Revoker can revoke a certificate; one that is revoked already is a success.
type Revoker interface {
	RevokeCertificate(ctx context.Context, revocation Revocation) (RevocationReply, error)
}

// RenewalInformer can say when the CA would like a certificate (leaf, DER) renewed (RFC 9773).
type RenewalInformer interface {
	RenewalInfo(ctx context.Context, leaf []byte) (RenewalInfo, error)
}

// Ability is an optional part of the contract.
type Ability int

// The abilities. Reissue, Renew and IPIdentifiers are named by the Description; the others follow from the interfaces an
// implementation has.
const (
	AbilityPreflight         Ability = 1
	AbilityFindOrder         Ability = 2
	AbilityCancel            Ability = 3
	AbilityRevoke            Ability = 4
	AbilityRenewalInfo       Ability = 5
	AbilityReissue           Ability = 6
	AbilityRenew             Ability = 7
	AbilityFindByCertificate Ability = 8
	AbilityIPIdentifiers     Ability = 9
	AbilityCheckOrders       Ability = 10
	AbilityInspectOrder      Ability = 11
)

// String returns the ability's name.
func (a Ability) String() string {
	switch a {
	case AbilityPreflight:
		return "preflight"
	case AbilityFindOrder:
		return "find-order"
	case AbilityCancel:
		return "cancel"
	case AbilityRevoke:
		return "revoke"
	case AbilityRenewalInfo:
		return "renewal-info"
	case AbilityReissue:
		return "reissue"
	case AbilityRenew:
		return "renew"
	case AbilityFindByCertificate:
		return "find-by-certificate"
	case AbilityIPIdentifiers:
		return "ip-identifiers"
	case AbilityCheckOrders:
		return "check-orders"
	case AbilityInspectOrder:
		return "inspect-order"
	default:
		return "unspecified"
	}
}

// ReissueNames says which names a reissue may carry, compared with the certificate it replaces.
type ReissueNames int

// The rules for a reissue's names. The zero value is ReissueAnyNames.
const (
	ReissueAnyNames       ReissueNames = 1
	ReissueRemovalRevokes ReissueNames = 2 // the CA revokes earlier certificates when a name is dropped
	ReissueSameNames      ReissueNames = 3
)

// Description says what a CA plugin is and can do.
type Description struct {
	Name, Version, Summary string
	// Abilities beyond those that follow from the implementation's interfaces: AbilityReissue, AbilityRenew,
	// AbilityIPIdentifiers. In the daemon's hands the list is complete.
	Abilities []Ability
	// ChallengeTypes the CA can ask for, the plugin's favourite first.
	ChallengeTypes  []ChallengeType
	OrdersCostMoney bool
	AccountSettings []Field
	OrderSettings   []Field
	// CSRCommonName: the CSR must carry the first name as its common name.
	CSRCommonName bool
	// CAAIdentifiers are the issuer domain names, any one of which in a CAA record lets the CA issue (RFC 8659 section
	// 4.2). Without them here or in Configured, the daemon looks at no CAA records.
	CAAIdentifiers []string
	// CAAMethods say what the CA calls its challenge types in the CAA parameter "validationmethods" (RFC 8657 section 4).
	// One type may have several labels, and where it is not named, or none is, the parameter is not judged.
	CAAMethods []CAAMethod
	// FindOrderSettle is for how long after a lost call a NotFound of FindOrder can not be trusted.
	FindOrderSettle time.Duration
	ReissueNames    ReissueNames
	// ReissueAdditionsCost: a reissue that adds names to the order costs money; other reissues never do.
	ReissueAdditionsCost bool
	// PollInterval is the plugin's own pace of looking at an order that waits; zero leaves it to the daemon.
	PollInterval time.Duration
	// MaxConcurrentOrders is how many orders may be worked on at once; zero leaves it to the daemon.
	MaxConcurrentOrders int
}

// CAAMethod is a challenge type as a CAA parameter "validationmethods" names it (RFC 8657 section 4).
type CAAMethod struct {
	Type ChallengeType
	// Label is letters, digits and hyphens: "dns-01", "ca-dns-txt".
	Label string
}

// Has reports whether an ability is on the list.
func (d Description) Has(a Ability) bool {
	for _, have := range d.Abilities {
		if have == a {
			return true
		}
	}
	return false
}

// Account is a CA account's settings and what earlier replies gave back as account state.
type Account struct {
	Settings Settings
	State    []byte
}

// Configured says what is wrong with an account's settings. A Fault keeps the account from being used.
type Configured struct {
	Findings []Finding
	// AccountState is stored before any further call; nil means unchanged.
	AccountState []byte
	// AccountURI is the account's address as a CAA parameter "accounturi" names it (RFC 8657 section 3), the URL of an
	// ACME account; empty when it is not known (yet).
	AccountURI string
	// CAAIdentifiers are the issuer domain names of this very account, where they depend on its settings. They hold in
	// place of those of the Description.
	CAAIdentifiers []string
}

// PreflightReply says what Preflight found.
type PreflightReply struct {
	Findings     []Finding
	AccountState []byte // nil means unchanged
}

// OrderReply is an order and, where it changed, the account state.
type OrderReply struct {
	Order        Order
	AccountState []byte // nil means unchanged
}

// Revocation names the certificate to revoke.
type Revocation struct {
	// Leaf is the certificate, DER.
	Leaf  []byte
	Order *PreviousOrder
	// Reason is a CRLReason (RFC 5280 section 5.3.1).
	Reason int
}

// RevocationReply says that a certificate is revoked, or who must act first.
type RevocationReply struct {
	Detail       string
	Action       *PersonAction
	AccountState []byte // nil means unchanged
}

// RenewalInfo is when the CA would like one certificate renewed.
type RenewalInfo struct {
	WindowStart, WindowEnd time.Time
	ExplanationURL         string
	LookAgainAfter         time.Duration // zero leaves it to the daemon
	// Serial is the serial number of the certificate this is about, lower-case hexadecimal.
	Serial string
}
