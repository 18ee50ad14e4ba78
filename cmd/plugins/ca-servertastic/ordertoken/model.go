package ordertoken

import (
	"crypto/x509"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// Values are typed as loosely as the API writes them.

type (
	// Text may be written as a number.
	Text = restca.Text
	// Time is written in one of several forms.
	Time = restca.Time
)

// The statuses of an order, in lower case. (Not confirmed by ServerTastic's current pages: the list is that of older pages
// and of clients.)
const (
	StatusGenerated  = "order generated"                // there is a token, and nothing else
	StatusPlaced     = "order placed"                   // the same in older answers; and for some minutes after a place that was taken
	StatusInvited    = "invite available"               // the same at its oldest
	StatusValidation = "awaiting customer verification" // control over the names is to be shown
	StatusApproval   = "awaiting provider approval"     // the CA validates the organization, or looks at a brand
	StatusQueued     = "queued"                         // the CA's people look at the order
	StatusReview     = "servertastic review"            // ServerTastic's people do
	StatusCompleted  = "completed"
	StatusCancelled  = "cancelled"
	StatusRollBack   = "roll back" // it could not be placed with the CA
)

// Generated is the answer of generatetoken.
type Generated struct {
	Token   Text `json:"order_token"`
	OrderID Text `json:"reseller_order_id"` // not in every answer
}

// Control is what is to be published to show control over an order's name.
type Control struct {
	// DNSType, DNSName and DNSValue are a record, FileName and FileBody a file. Any of them may be missing.
	DNSType, DNSName, DNSValue string
	FileName, FileBody         string
}

// Empty reports that there is nothing that could be published.
func (c Control) Empty() bool { return c.DNSValue == "" && c.FileBody == "" }

// Placed is the answer of place and of reissue.
type Placed struct {
	OrderID Text
	CSR     Text
	// OwnKey: the service has made a private key, so that our request was not taken. The key itself is dropped.
	OwnKey  bool
	Control Control
}

// Modification is an event in an order's life.
type Modification struct {
	Time Time `json:"timestamp"`
	Name Text `json:"event_name"`
}

// Review is an order as the API shows it, up to five minutes late.
type Review struct {
	// Status is in lower case, Told as it came.
	Status, Told string
	// Further is free text about the status.
	Further             string
	OrderID, ProviderID string
	Reference           string
	Product             string
	Domain, Additional  string
	AdminFirstName      string
	Method              string // in upper case
	Approver            string
	Control             Control
	Modifications       []Modification
	// Expires is the latest of the ends that the answer tells, of certificates or of the order: its pages do not say which.
	Expires time.Time
	// Certificates are all that are in the answer, wherever they stand.
	Certificates []*x509.Certificate
}

// Unplaced reports that an order is known to be a token alone; Unclear that it may be that, or one that was placed minutes
// ago.
func (r Review) Unplaced() bool { return r.Status == StatusGenerated || r.Status == StatusInvited }

// Unclear reports that the status is the one that tokens and orders that were placed just now have in common, and that
// nothing else of the answer shows that the order was placed.
func (r Review) Unclear() bool {
	return r.Status == StatusPlaced && r.ProviderID == "" && r.Domain == "" && r.AdminFirstName == ""
}

// Issued is when the certificate was issued, as far as the order's events tell. (Not confirmed by ServerTastic's pages: the
// event's name is known from the vendor's own form.)
func (r Review) Issued() (at Time) {
	for _, m := range r.Modifications {
		if strings.EqualFold(strings.TrimSpace(string(m.Name)), "order completed") && m.Time.After(at.Time) {
			at = m.Time
		}
	}
	return at
}

// First is the earliest of the order's events, zero where there is none.
func (r Review) First() (at Time) {
	for _, m := range r.Modifications {
		if !m.Time.IsZero() && (at.IsZero() || m.Time.Before(at.Time)) {
			at = m.Time
		}
	}
	return at
}

// Token is an order's token and the reference it was generated with.
type Token struct {
	Token     Text `json:"token"`
	Reference Text `json:"reseller_unique_reference"`
	// Used: the order was placed.
	Used bool `json:"-"`
}

// Tokens are the account's tokens, those that were not placed first.
type Tokens struct {
	List []Token
	// Doubt says why a reference that is not among them may be one of the account's all the same; empty: it is none.
	Doubt string
}

// FieldSpec is a field of place as productfields describes it for one order.
type FieldSpec struct {
	Name     string
	Required bool
	Input    string // text, select, checkbox, ...
	Options  []string
	// RequiredIf names fields: the field is required when one of them is there, or with "!" before it, not there.
	RequiredIf []string
}

// Points is an entry of the account's book of points, as far as it leads from an order to its token.
type Points struct {
	OrderID Text `json:"OrderReference"`
	Token   Text `json:"OrderToken"`
	At      Time `json:"OrderDate"`
}

// Listed is an order in the account's lists.
type Listed struct {
	OrderID Text `json:"reseller_order_id"`
	Status  Text `json:"order_status"`
	At      Time `json:"order_date"`
	Domain  Text `json:"domain_name"`
	Points  Text `json:"order_points"`
	Product Text `json:"st_product_code"`
}

// Account is the account's points and orders.
type Account struct {
	Points Text
	Orders []Listed
}

// Product is what can be ordered.
type Product struct {
	Code       Text `json:"st_product_code"`
	Name       Text `json:"product_name"`
	MaxServers Text `json:"max_server_count"`
	MinSANs    Text `json:"min_san_count"`
	MaxSANs    Text `json:"max_san_count"`
	Validation Text `json:"product_validation"` // DV, OV, EV
	SANPoints  Text `json:"base_san_points"`
	Points     Text `json:"product_points"`
}
