package digicert

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// Role is what the owner of an API key may do.
type Role int

// The access roles, with the numbers of the API's glossary.
const (
	Administrator  Role = 1
	LimitedUser    Role = 2
	FinanceManager Role = 3
	Manager        Role = 4
	StandardUser   Role = 5
)

// String returns the role's name.
func (r Role) String() string {
	return map[Role]string{
		Administrator: "Administrator", LimitedUser: "Limited User", FinanceManager: "Finance Manager",
		Manager: "Manager", StandardUser: "Standard User",
	}[r]
}

// Restriction is what an API key is limited to, beside its owner's role.
type Restriction string

// The restrictions of keys.
const (
	Unrestricted Restriction = ""
	// OrdersOnly reaches orders, requests and certificates.
	OrdersOnly Restriction = "orders"
	// OrdersDomainsOrganizations reaches domains and organizations as well.
	OrdersDomainsOrganizations Restriction = "orders-domains-organizations"
	// ViewOnly reaches everything with GET alone.
	ViewOnly Restriction = "view"
	// UsersOnly reaches users.
	UsersOnly Restriction = "users"
)

// User is the owner of an API key.
type User struct {
	ID          int64       `json:"id"`
	Key         string      `json:"key"`
	Name        string      `json:"name"`
	Role        Role        `json:"role"`
	Restriction Restriction `json:"restriction,omitempty"`
	// Container is the division the key belongs to; 0 is all of the account.
	Container int64 `json:"container,omitempty"`
	// EVApprover: the user is a verified contact of the organization, who may approve EV orders.
	EVApprover bool `json:"ev_approver,omitempty"`
}

// check says what is wrong with a user.
func (u User) check() error {
	switch {
	case u.Key == "":
		return fmt.Errorf("user %q has no API key", u.Name)
	case u.Role.String() == "":
		return fmt.Errorf("user %q has no role from 1 to 5", u.Name)
	case !slices.Contains([]Restriction{Unrestricted, OrdersOnly, OrdersDomainsOrganizations, ViewOnly, UsersOnly}, u.Restriction):
		return fmt.Errorf("user %q has an unknown restriction %q", u.Name, u.Restriction)
	}
	return nil
}

// approves reports whether the user may skip or give approval.
func (u User) approves() bool { return u.Role == Administrator || u.Role == Manager }

// sees reports whether the user may see what belongs to a container.
func (u User) sees(container int64) bool { return u.Container == 0 || u.Container == container }

// permit checks a call against the key's restriction and its owner's role.
//
// Unconfirmed: which calls beside the named groups a restricted key may make; the stand-in lets every key read /user/me, and nothing else outside of its groups.
func (u User) permit(method, path string) error {
	group, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if path == "/user/me" {
		return nil
	}
	groups := []string{"order", "request", "certificate"}
	switch u.Restriction {
	case ViewOnly:
		if method != http.MethodGet {
			return notPermitted("change anything: it is for viewing only")
		}
	case UsersOnly:
		return notPermitted("do this: it is for managing users only")
	case OrdersDomainsOrganizations, OrdersOnly:
		if u.Restriction == OrdersDomainsOrganizations {
			groups = append(groups, "domain", "organization")
		}
		if !slices.Contains(groups, group) {
			return notPermitted("do this: it is for orders only")
		}
	}
	// Unconfirmed: what a finance manager may do with orders; the stand-in lets the role read only.
	if u.Role == FinanceManager && method != http.MethodGet && group != "finance" {
		return notPermitted("change orders: its owner is a finance manager")
	}
	return nil
}

// Approval is what an account does with new requests.
type Approval string

// The ways of approval.
const (
	// ApproveByHand leaves requests to an administrator, unless skip_approval says otherwise.
	ApproveByHand Approval = "manual"
	// ApproveTwice wants two people.
	ApproveTwice Approval = "two-step"
	// ApproveAutomatically records a request and approves it at once.
	ApproveAutomatically Approval = "auto"
	// ApproveNone makes no requests at all.
	ApproveNone Approval = "none"
)

// Settings are what an account has configured, and which way the stand-in takes where the documentation leaves it open.
type Settings struct {
	// Strict makes fields that are not documented errors.
	Strict bool `json:"strict"`
	// MultiYearPlans allows plans of one to three years that outlast a certificate.
	MultiYearPlans bool `json:"multi_year_plans"`
	// PlanYears is the longest plan, from 1 to 3: enterprise and flat fee contracts have 2.
	PlanYears int64 `json:"plan_years"`
	// Products are the product ids that the account may order; none means all.
	Products             []string `json:"products"`
	UniqueAlternativeIDs bool     `json:"unique_alternative_ids"`
	GuestAccess          bool     `json:"guest_access"`
	ICASelection         bool     `json:"ica_selection"`
	ChooseCT             bool     `json:"choose_ct"`
	Approval             Approval `json:"approval"`
	// DCVScope is fqdn or base_domain, where an order does not say.
	DCVScope string `json:"dcv_scope"`
	// CheckCAA looks at CAA records before a certificate is issued.
	CheckCAA bool `json:"check_caa"`
	// FreeCounterpart adds www.D to a certificate for D, as the console can.
	FreeCounterpart bool `json:"free_counterpart"`
	// IssueDelay is how long it takes from the last validation to the certificate.
	IssueDelay sandbox.Delay `json:"issue_delay"`
	// RateLimits holds the documented limits of calls.
	RateLimits bool `json:"rate_limits"`

	// CheckDCVFails answers check-dcv with 400 and invalid_dns_txt where a record is missing, as older pages say.
	CheckDCVFails bool `json:"check_dcv_fails"`
	// UnknownAlternateIs404 answers a look-up of an unknown alternative id with 404 rather than an empty list.
	UnknownAlternateIs404 bool `json:"unknown_alternate_is_404"`
	// AlternateDelay is how long the look-up by alternative id does not know a new order.
	AlternateDelay sandbox.Delay `json:"alternate_delay"`
	// AuthKeyMissFails refuses an order whose request token is not found, rather than leaving it pending.
	AuthKeyMissFails bool `json:"auth_key_miss_fails"`
	// LastRevokesOrder is the preference that revoking the only certificate of an order revokes the order, too.
	LastRevokesOrder bool `json:"last_revokes_order"`
	// TakenMarkCode is the code of the refusal of an alternative_order_id that is taken.
	TakenMarkCode string `json:"taken_mark_code"`
	// SkipDeniedFails refuses skip_approval of a key that may not, rather than making a request of the order.
	SkipDeniedFails bool `json:"skip_denied_fails"`
	// RenewedOrderID is which number an order has as renewed_order_id: that of its renewal, of the order it renewed, or none.
	RenewedOrderID RenewedOrder `json:"renewed_order_id"`
}

// RenewedOrder is what renewed_order_id tells.
type RenewedOrder string

// The ways to understand renewed_order_id.
const (
	// TellsRenewal, the default: the number of the order that renewed the one; of a renewal that is not renewed itself, the
	// number of the order before.
	TellsRenewal RenewedOrder = "renewal"
	TellsRenewed RenewedOrder = "renewed" // of a renewal, the order before
	TellsNothing RenewedOrder = "nothing"
)

// renewedOrder is the renewed_order_id of an order; 0 is none.
//
// Unconfirmed: which order renewed_order_id means, the one that was renewed or the one that renewed it; Settings choose.
func (s Settings) renewedOrder(o *order) int64 {
	switch {
	case s.RenewedOrderID == TellsNothing:
		return 0
	case s.RenewedOrderID != TellsRenewed && o.RenewedBy != 0:
		return o.RenewedBy
	default:
		return o.RenewalOf
	}
}

// DefaultSettings are those of an account with Multi-year Plans and nothing unusual.
//
// Unconfirmed: DigiCert's default for an account's validation scope; the stand-in has fqdn.
func DefaultSettings() Settings {
	return Settings{
		Strict: true, MultiYearPlans: true, PlanYears: mostPlanYears, Products: []string{}, ICASelection: true,
		Approval: ApproveByHand, DCVScope: scopeFQDN, RateLimits: true, RenewedOrderID: TellsRenewal,
		TakenMarkCode: "invalid_value:alternative_order_id",
	}
}

// sells reports whether the account may order a product.
func (s Settings) sells(p product) bool {
	return len(s.Products) == 0 || slices.Contains(s.Products, p.NameID)
}

// clone returns settings that share nothing with these.
func (s Settings) clone() Settings {
	s.Products = slices.Clone(s.Products)
	return s
}

func (s Settings) check() error {
	if !slices.Contains([]Approval{ApproveByHand, ApproveTwice, ApproveAutomatically, ApproveNone}, s.Approval) {
		return fmt.Errorf("approval %q is none of manual, two-step, auto, none", s.Approval)
	}
	if !slices.Contains([]RenewedOrder{"", TellsRenewal, TellsRenewed, TellsNothing}, s.RenewedOrderID) { // empty: of an older state
		return fmt.Errorf("renewed_order_id %q is none of renewal, renewed, nothing", s.RenewedOrderID)
	}
	if s.PlanYears < 1 || s.PlanYears > mostPlanYears {
		return fmt.Errorf("plan_years %d is not from 1 to %d", s.PlanYears, mostPlanYears)
	}
	for _, id := range s.Products {
		if _, there := productByID(id); !there {
			return fmt.Errorf("products: %q is no product", id)
		}
	}
	if s.DCVScope != scopeFQDN && s.DCVScope != scopeBase {
		return fmt.Errorf("dcv_scope %q is none of %s, %s", s.DCVScope, scopeFQDN, scopeBase)
	}
	return nil
}

// The documented limits of calls, for each API key.
const (
	limitShort, windowShort = 100, 5 * time.Second
	limitLong, windowLong   = 1000, 3 * time.Minute
)

// limiter holds the limits of calls. The zero value is ready.
type limiter struct {
	mu    sync.Mutex
	calls map[string][]time.Time
}

// allow reports whether a key may call now, by the machine's clock: that is the one that clients wait by.
func (l *limiter) allow(key string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls == nil {
		l.calls = map[string][]time.Time{}
	}
	past := l.calls[key]
	for len(past) > 0 && now.Sub(past[0]) >= windowLong {
		past = past[1:]
	}
	recent := 0
	for i := len(past) - 1; i >= 0 && now.Sub(past[i]) < windowShort; i-- {
		recent++
	}
	allowed := recent < limitShort && len(past) < limitLong
	if allowed {
		past = append(past, now)
	}
	l.calls[key] = past
	return allowed
}
