package certcentral

import (
	"slices"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// What the API answers with is typed loosely: numbers stand for text, null for a list, and so on.

type (
	// ID identifies an order, a request, a domain.
	ID = restca.ID
	// Text may be written as a number.
	Text = restca.Text
	// Flag may be written as text or a number.
	Flag = restca.Flag
	// Time is written in one of several forms.
	Time = restca.Time
	// List may be null or a single value.
	List[T any] = restca.List[T]
)

// What the API answers with, as far as it is of use here. Every field may be missing.

// Placed is the answer to an order or a reissue.
type Placed struct {
	ID       ID            `json:"id"`
	Requests List[Request] `json:"requests"`
	// CertificateID is there as soon as there will be a certificate; it does not say that there is one.
	CertificateID ID   `json:"certificate_id"`
	RandomValue   Text `json:"dcv_random_value"`
}

// Request is what a person approves or rejects.
type Request struct {
	ID       ID   `json:"id"`
	Type     Text `json:"type"`
	Status   Text `json:"status"`
	Date     Time `json:"date"`
	Comments Text `json:"comments"`
	// Processor is what the person wrote who approved or rejected it. Only the request itself has it.
	// (Not confirmed by DigiCert's pages: that it can be read where it is written.)
	Processor Text `json:"processor_comment"`
}

// The types and statuses of requests.
const (
	RequestReissue   = "reissue"
	RequestRevoke    = "revoke"
	RequestPending   = "pending"
	RequestSubmitted = "submitted" // not confirmed by DigiCert's pages: the first of two steps of approval is done
	RequestRejected  = "rejected"
)

// Open reports whether a request waits for a person.
func (r Request) Open() bool { return r.Status == RequestPending || r.Status == RequestSubmitted }

// Order is the answer to a question for an order.
type Order struct {
	ID                 ID          `json:"id"`
	AlternativeOrderID Text        `json:"alternative_order_id"`
	Status             Text        `json:"status"`
	Certificate        Certificate `json:"certificate"`
	DateCreated        Time        `json:"date_created"`
	OrderValidTill     Time        `json:"order_valid_till"`
	IsRenewal          Flag        `json:"is_renewal"`
	IsRenewed          Flag        `json:"is_renewed"`
	// RenewedOrderID is the number of an order that was renewed, or of the one that renewed this.
	// (Not confirmed by DigiCert's pages: which of the two.)
	RenewedOrderID ID            `json:"renewed_order_id"`
	DCVMethod      Text          `json:"dcv_method"`
	Requests       List[Request] `json:"requests"`
	Price          Text          `json:"price"`
	Currency       Text          `json:"currency"`
	ValidityYears  ID            `json:"validity_years"`
	Product        struct {
		NameID         Text `json:"name_id"`
		ValidationType Text `json:"validation_type"`
	} `json:"product"`
	Organization struct {
		ID   ID   `json:"id"`
		Name Text `json:"name"`
	} `json:"organization"`
}

// Names are all names of the order's certificate in lower case, the common name first, each once.
func (o Order) Names() []string { return o.Certificate.Names() }

// The statuses of an order.
const (
	OrderPending        = "pending"
	OrderProcessing     = "processing"
	OrderNeedsApproval  = "needs_approval"
	OrderReissuePending = "reissue_pending"
	OrderWaitingPickup  = "waiting_pickup"
	OrderIssued         = "issued"
	OrderApproved       = "approved"
	OrderRejected       = "rejected"
	OrderDenied         = "denied"
	OrderCanceled       = "canceled"
	OrderExpired        = "expired"
	OrderRevoked        = "revoked"
)

// Certificate is one certificate of an order, issued or not.
type Certificate struct {
	ID          ID         `json:"id"`
	CommonName  Text       `json:"common_name"`
	DNSNames    List[Text] `json:"dns_names"`
	Serial      Text       `json:"serial_number"`
	Thumbprint  Text       `json:"thumbprint"`
	ValidFrom   Time       `json:"valid_from"`
	ValidTill   Time       `json:"valid_till"`
	CSR         Text       `json:"csr"`
	Status      Text       `json:"status"`
	DateCreated Time       `json:"date_created"`
	DateIssued  Time       `json:"date_issued"`
	// Issuer is the intermediate that signs it.
	Issuer struct {
		Name Text `json:"name"`
	} `json:"ca_cert"`
}

// Names are all names of a certificate in lower case, the common name first, each once.
func (c Certificate) Names() []string {
	var names []string
	for _, n := range append([]Text{c.CommonName}, c.DNSNames...) {
		if name := strings.ToLower(string(n)); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Alternate is an order found by its alternative_order_id.
type Alternate struct {
	OrderID       ID   `json:"order_id"`
	CertificateID ID   `json:"certificate_id"`
	Status        Text `json:"status"`
}

// Validation is where an order's validation stands.
type Validation struct {
	OrderStatus   Text                     `json:"order_status"`
	DCVMethod     Text                     `json:"order_dcv_method"`
	Organizations List[OrganizationStatus] `json:"organization_validations"`
	Names         List[NameValidation]     `json:"dns_name_validations"`
}

// OrganizationStatus is one validation of an organization.
type OrganizationStatus struct {
	Type           Text `json:"type"`
	Status         Text `json:"status"`
	ValidatedUntil Time `json:"validated_until"`
}

// NameValidation is the validation of the names below one.
type NameValidation struct {
	// Scope is the name control is shown over.
	Scope    Text       `json:"name_scope"`
	Status   Text       `json:"status"`
	Method   Text       `json:"method"`
	DNSNames List[Text] `json:"dns_names"`
}

// Valid reports that control over the names is shown.
// (Not confirmed by DigiCert's pages: the list of statuses; approved, valid and active stand in its examples.)
func (n NameValidation) Valid() bool {
	switch n.Status {
	case "approved", "valid", "active":
		return true
	default:
		return false
	}
}

// RandomValue is the value to publish for an order.
type RandomValue struct {
	Value   Text `json:"dcv_random_value"`
	Expires Time `json:"expiration_date"`
}

// User is the owner of the API key.
type User struct {
	ID       ID   `json:"id"`
	Username Text `json:"username"`
	Status   Text `json:"status"`
	Roles    List[struct {
		ID   ID   `json:"id"`
		Name Text `json:"name"`
	}] `json:"access_roles"`
}

// Product is one product the account may order.
type Product struct {
	NameID         Text `json:"name_id"`
	Name           Text `json:"name"`
	Type           Text `json:"type"`
	ValidationType Text `json:"validation_type"`
	// OrderYears are the lengths of plans that are sold, and MaxPlanYears is the longest; zero is not told.
	OrderYears   List[ID] `json:"allowed_order_validity_years"`
	MaxPlanYears ID       `json:"max_multi_year_order_validity_years"`
	// Containers, CACerts and Hashes are what orders may name; empty means all, or not told.
	Containers List[ID] `json:"allowed_container_ids"`
	CACerts    List[struct {
		ID Text `json:"id"`
	}] `json:"allowed_ca_certs"`
	Hashes struct {
		Allowed List[struct {
			ID Text `json:"id"`
		}] `json:"allowed_hash_types"`
	} `json:"signature_hash_types"`
	Replacement Text `json:"replacement_product_name_id"`
}

// MostYears is the length of the longest plan that is sold, in years; zero where that is not told.
func (p Product) MostYears() int64 {
	most := p.MaxPlanYears
	for _, n := range p.OrderYears {
		most = max(most, n)
	}
	return int64(most)
}

// Organization is a customer that certificates are made out to.
type Organization struct {
	ID       ID   `json:"id"`
	Name     Text `json:"name"`
	Status   Text `json:"status"`
	IsActive Text `json:"is_active"`
}

// Balance is the account's money.
type Balance struct {
	Balance  Text `json:"balance"`
	Currency Text `json:"currency"`
}

// CustomField is a field of orders that the account has made up.
type CustomField struct {
	ID       ID   `json:"id"`
	Label    Text `json:"label"`
	Required Flag `json:"is_required"`
	Active   Flag `json:"is_active"`
}

// Listed is one order of a list.
type Listed struct {
	ID          ID          `json:"id"`
	Status      Text        `json:"status"`
	Certificate Certificate `json:"certificate"`
	DateCreated Time        `json:"date_created"`
}

// page says how much of a list an answer holds.
type page struct {
	Total *ID `json:"total"`
}
