package servertastic

import (
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// The statuses of an order.
const (
	statusGenerated = "Order Generated"
	statusPlaced    = "Order Placed"
	statusWaiting   = "Awaiting Customer Verification"
	statusVetting   = "Awaiting Provider Approval"
	statusQueued    = "Queued"
	statusHeld      = "Servertastic Review"
	statusCompleted = "Completed"
	statusCancelled = "Cancelled"
	statusRollBack  = "Roll Back"
)

// state is all that the stand-in remembers. It is plain data, guarded by the frame's lock.
type state struct {
	sandbox.Head
	Settings Settings `json:"settings"`
	Key      string   `json:"key"`
	Points   int64    `json:"points"`
	LastID   int64    `json:"last_id"`
	// Orders are all, oldest first.
	Orders []*order      `json:"orders"`
	Audit  []auditRecord `json:"audit"`
}

// auditRecord is one change of the points.
type auditRecord struct {
	Time        time.Time `json:"time"`
	Change      int64     `json:"change"`
	Total       int64     `json:"total"`
	Description string    `json:"description"`
	Order       string    `json:"order"` // the reseller order id
}

// order is one token and what became of it.
type order struct {
	Token      string    `json:"token"`
	ResellerID string    `json:"reseller_id"`
	ProviderID string    `json:"provider_id,omitempty"`
	Reference  string    `json:"reference"`
	Product    string    `json:"product"`
	Email      string    `json:"email"`
	SANs       int       `json:"sans"`
	Wildcards  int       `json:"wildcards"`
	Servers    int       `json:"servers"`
	Points     int64     `json:"points"`
	Created    time.Time `json:"created"`
	Placed     time.Time `json:"placed,omitzero"`
	// Until is the end of what was paid for: reissues are free until then.
	Until time.Time `json:"until,omitzero"`
	// Ended is Cancelled or Roll Back.
	Ended string `json:"ended,omitempty"`
	// Held is a status in which nothing goes on, and Info what is said about it; ReleaseAt ends it, where it is set.
	Held      string    `json:"held,omitempty"`
	Info      string    `json:"info,omitempty"`
	ReleaseAt time.Time `json:"release_at,omitzero"`
	// Vetted is when the organization was, VetAt when it will be.
	Vetted time.Time `json:"vetted,omitzero"`
	VetAt  time.Time `json:"vet_at,omitzero"`
	// CancelAsked is when a cancellation began that the admin contact has to approve.
	CancelAsked time.Time `json:"cancel_asked,omitzero"`

	// Fields are what place was given.
	Fields    map[string]string `json:"fields,omitempty"`
	RenewalOf string            `json:"renewal_of,omitempty"` // a reseller order id
	DCV       dcv               `json:"dcv"`
	// Certificates are all of the order, oldest first.
	Certificates []*certificate `json:"certificates,omitempty"`
	Events       []event        `json:"events,omitempty"`

	// Shown is what the reseller knew of the order when it last asked the CA, at Synced.
	Shown  shown     `json:"shown"`
	Synced time.Time `json:"synced,omitzero"`
}

// shown is what review tells.
type shown struct {
	Status string `json:"status"`
	Info   string `json:"info,omitempty"`
	Placed bool   `json:"placed"`
	// Certificates and Events are how many of them are known.
	Certificates int `json:"certificates"`
	Events       int `json:"events"`
	DCV          dcv `json:"dcv"`
}

type event struct {
	Time time.Time `json:"time"`
	Name string    `json:"name"`
}

// certificate is one of an order, also one that is still to be issued.
type certificate struct {
	CSR   string   `json:"csr"`
	Names []string `json:"names"` // the common name first
	// Secured are those that it was issued for.
	Secured []string `json:"secured,omitempty"`
	Hash    string   `json:"hash"`
	Issuer  string   `json:"issuer"`
	// Ready is when nothing was left to wait for but the CA's own work.
	Ready    time.Time `json:"ready,omitzero"`
	Issued   time.Time `json:"issued,omitzero"`
	Revoked  time.Time `json:"revoked,omitzero"`
	DER      []byte    `json:"der,omitempty"`
	Serial   string    `json:"serial,omitempty"`
	NotAfter time.Time `json:"not_after,omitzero"`
}

// open is the certificate that is still to be issued, nil where there is none.
func (o *order) open() *certificate {
	for _, c := range o.Certificates {
		if c.Issued.IsZero() {
			return c
		}
	}
	return nil
}

// issued are the certificates that were.
func (o *order) issued() []*certificate {
	var list []*certificate
	for _, c := range o.Certificates {
		if !c.Issued.IsZero() {
			list = append(list, c)
		}
	}
	return list
}

// commonName is what the order is about; empty before it is placed.
func (o *order) commonName() string {
	if len(o.Certificates) == 0 {
		return ""
	}
	return o.Certificates[0].Names[0]
}

func (o *order) happened(now time.Time, name string) {
	o.Events = append(o.Events, event{now, name})
}

// status is what the CA and the reseller would say if they were asked now.
func (o *order) status(s *Settings) string {
	p, _ := productByCode(o.Product)
	switch {
	case o.Ended != "":
		return o.Ended
	case o.Placed.IsZero():
		return s.Unplaced
	case o.Held != "":
		return o.Held
	case o.open() == nil:
		return statusCompleted
	case len(o.issued()) > 0 && s.ReissueStatus == "completed":
		return statusCompleted
	case !o.DCV.done(p.Family):
		return statusWaiting
	case p.vetted() && o.Vetted.IsZero():
		return statusVetting
	default:
		return statusWaiting // until the certificate is there
	}
}

// sync is what the reseller does every five minutes: it asks the CA.
func (o *order) sync(now time.Time, s *Settings) {
	o.Shown = shown{
		Status: o.status(s), Info: o.Info, Placed: !o.Placed.IsZero(), Certificates: len(o.issued()), Events: len(o.Events), DCV: o.DCV.clone(),
	}
	o.Synced = now
}

// find returns the order of a token, or of a reseller order id; nil where there is none.
func (st *state) find(name string) *order {
	for _, o := range st.Orders {
		if name != "" && (o.Token == name || o.ResellerID == name) {
			return o
		}
	}
	return nil
}

// byToken returns the order of a token alone.
func (st *state) byToken(token string) *order {
	if o := st.find(token); o != nil && o.Token == token {
		return o
	}
	return nil
}

// pay takes points, or gives them back where they are negative.
func (st *state) pay(now time.Time, o *order, points int64, why string) {
	st.Points -= points
	st.Audit = append(st.Audit, auditRecord{now, -points, st.Points, why, o.ResellerID})
}

// entry begins an entry of the ledger about an order.
func (st *state) entry(now time.Time, kind string, o *order) sandbox.Entry {
	e := sandbox.Entry{Time: now, Kind: kind, Order: o.ResellerID, Reference: o.Reference, Product: o.Product, Renews: o.RenewalOf}
	if n := len(o.Certificates); n > 0 {
		e.Names = slices.Clone(o.Certificates[n-1].Names)
	}
	return e
}

// cents is how the ledger counts points.
func cents(points int64) int64 { return points * 100 }

// cancelledBefore reports whether an order for a name was cancelled.
func (st *state) cancelledBefore(name string, but *order) bool {
	return slices.ContainsFunc(st.Orders, func(o *order) bool {
		return o != but && o.Ended == statusCancelled && strings.EqualFold(o.commonName(), name)
	})
}
