package pluginapi

import "time"

// OrderKind says what an order is to the CA.
type OrderKind int

// The kinds of order.
const (
	// New is a purchase that has nothing to do with an earlier one.
	New OrderKind = 1
	// Renew is a purchase linked to the order whose paid time ends.
	Renew OrderKind = 2
	// Reissue is another certificate inside paid time.
	Reissue OrderKind = 3
)

// String returns the kind's name.
func (k OrderKind) String() string {
	switch k {
	case New:
		return "new"
	case Renew:
		return "renew"
	case Reissue:
		return "reissue"
	default:
		return "unspecified"
	}
}

// IdentifierType is what an identifier's value is (RFC 8555 section 9.7.7, RFC 8738).
type IdentifierType int

// The types of identifier.
const (
	DNS IdentifierType = 1
	IP  IdentifierType = 2
)

// Identifier is one name a certificate is for.
type Identifier struct {
	// Value is a DNS name in ASCII form, "*." allowed in front, or an IP address.
	Value string
	Type  IdentifierType
	// ChallengeTypes are what the daemon can publish for it, its favourite first.
	ChallengeTypes []ChallengeType
}

// PreviousOrder is what a renewal or reissue follows.
type PreviousOrder struct {
	// Reference is the CA's; empty for a certificate whose order is not known.
	Reference string
	State     []byte
	// Chain is what was last issued for it, leaf first, DER.
	Chain [][]byte
}

// OrderRequest is what is ordered. It stays the same through an order's life.
type OrderRequest struct {
	// IdempotencyKey is 32 lower-case hexadecimal digits, never used again for another order.
	IdempotencyKey string
	Kind           OrderKind
	// CSR is the PKCS#10 request, DER.
	CSR         []byte
	Identifiers []Identifier
	// Previous is set for Renew and Reissue.
	Previous *PreviousOrder
	Settings Settings
	// CertificateName is the managed certificate's name, for remarks and labels at the CA.
	CertificateName string
}

// PlacedOrder is how the daemon names an order in later calls: the request, the CA's reference and the plugin's own
// state as last replied.
type PlacedOrder struct {
	OrderRequest
	Reference string
	State     []byte
}

// OrderStatus is where an order stands at the CA.
type OrderStatus int

// The statuses of an order.
const (
	PendingApproval   OrderStatus = 1 // a person at the customer must approve
	PendingValidation OrderStatus = 2 // domain control must be shown
	Processing        OrderStatus = 3 // the CA, or the plugin's next GetOrder, is at work
	Issued            OrderStatus = 4 // the chain is in the reply
	OrderRejected     OrderStatus = 5 // a final no
	Canceled          OrderStatus = 6
	Expired           OrderStatus = 7 // the CA gave up waiting
)

// String returns the status's name.
func (s OrderStatus) String() string {
	switch s {
	case PendingApproval:
		return "pending-approval"
	case PendingValidation:
		return "pending-validation"
	case Processing:
		return "processing"
	case Issued:
		return "issued"
	case OrderRejected:
		return "rejected"
	case Canceled:
		return "canceled"
	case Expired:
		return "expired"
	default:
		return "unspecified"
	}
}

// Authorization is what the CA wants to see for one identifier (RFC 8555 section 7.1.4).
type Authorization struct {
	// Identifier is the name as ordered, or the broader one the CA validates instead.
	Identifier string
	// Valid reports that nothing is left to do.
	Valid bool
	// Challenges are alternatives: satisfying one is enough.
	Challenges []Challenge
}

// PersonAction says who must do what, and where, before an order goes on.
type PersonAction struct {
	Who, What, URL string
}

// Price is what an order costs. Amount is a decimal number, Currency an ISO 4217 code or the CA's own unit.
type Price struct {
	Amount, Currency string
}

// Order is where an order stands.
type Order struct {
	// Reference is the CA's; it never changes once given.
	Reference string
	// State is the plugin's own, handed back in every later call for this order.
	State  []byte
	Status OrderStatus
	// Detail is a sentence for people.
	Detail         string
	Authorizations []Authorization
	// Chain is leaf first, then intermediates, DER; a root is allowed and dropped. Set when issued.
	Chain [][]byte
	// CoverageEnd is until when the paid plan lasts; zero when not known.
	CoverageEnd time.Time
	// LookAgainAfter is when to look again: nil leaves it to the daemon, zero asks for an immediate next call.
	LookAgainAfter *time.Duration
	Price          *Price
	Action         *PersonAction
	// Names are all that the order holds at the CA now, whoever added them; empty when the CA does not tell. Wanted of
	// InspectOrder and FindOrderByCertificate.
	Names []string
	// RenewedBy is the CA's reference of the order that renewed this one; empty when none did. Wanted where Names is.
	RenewedBy string
	// Settings are the order settings that an order like this one is made with, as far as the CA tells, without secrets.
	// Wanted of FindOrderByCertificate, where they are suggested to whoever adopts the certificate.
	Settings map[string]any
}

// After is a helper for Order.LookAgainAfter.
func After(d time.Duration) *time.Duration { return &d }
