package digicert

import (
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// The states of an order.
const (
	statusNeedsApproval  = "needs_approval"
	statusPending        = "pending"
	statusIssued         = "issued"
	statusReissuePending = "reissue_pending"
	statusRejected       = "rejected"
	statusCanceled       = "canceled"
	statusRevoked        = "revoked"
	statusExpired        = "expired"
)

// The states of a request.
const (
	requestSubmitted = "submitted"
	requestPending   = "pending"
	requestApproved  = "approved"
	requestRejected  = "rejected"
)

// state is all that the stand-in remembers. It is plain data, guarded by the frame's lock.
type state struct {
	sandbox.Head
	Settings      Settings                `json:"settings"`
	Users         []*User                 `json:"users"`
	LastID        int64                   `json:"last_id"`
	Orders        map[int64]*order        `json:"orders"`
	Requests      map[int64]*request      `json:"requests"`
	Organizations map[int64]*organization `json:"organizations"`
	Domains       map[int64]*domain       `json:"domains"`
	Containers    map[int64]*container    `json:"containers"`
	Metadata      []metadata              `json:"metadata"`
	AuthKeys      []*authKey              `json:"auth_keys"`
	// Balance is in cents.
	Balance int64 `json:"balance"`
}

// nextID counts all ids in one sequence, so that an order's id is never a certificate's by accident.
func (st *state) nextID() int64 {
	st.LastID += 3
	return st.LastID
}

// order is one order with all of its certificates.
type order struct {
	ID            int64  `json:"id"`
	AlternativeID string `json:"alternative_id,omitempty"`
	Product       string `json:"product"`
	Container     int64  `json:"container"`
	Organization  int64  `json:"organization,omitempty"`
	User          int64  `json:"user"`
	Status        string `json:"status"`
	// Terms is what was paid for.
	Terms   terms     `json:"terms"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	// ValidTill is the end of the plan, set when the first certificate is issued.
	ValidTill time.Time `json:"valid_till"`
	Price     int64     `json:"price"`
	Payment   string    `json:"payment"`
	Refunded  bool      `json:"refunded,omitempty"`

	RenewalOf int64 `json:"renewal_of,omitempty"`
	RenewedBy int64 `json:"renewed_by,omitempty"`

	DCV dcvState `json:"dcv"`
	// Certificates are all of the order, oldest first; the last issued one that is no duplicate is the primary.
	Certificates []*certificate `json:"certificates"`
	Requests     []int64        `json:"requests,omitempty"`

	AutoRenew     int64             `json:"auto_renew"`
	AutoReissue   int64             `json:"auto_reissue"`
	DisableCT     bool              `json:"disable_ct,omitempty"`
	Comments      string            `json:"comments,omitempty"`
	CustomFields  []customField     `json:"custom_fields,omitempty"`
	CAAMessages   map[string]string `json:"caa_messages,omitempty"`
	Notifications bool              `json:"notifications"`
	Emails        []string          `json:"emails,omitempty"`
}

// terms are how long an order and its certificates last, as the client asked. At most one of each pair is set.
type terms struct {
	Years    int64     `json:"years,omitempty"`
	Days     int64     `json:"days,omitempty"`
	Until    time.Time `json:"until,omitzero"`
	CertDays int64     `json:"cert_days,omitempty"`
	CertTill time.Time `json:"cert_till,omitzero"`
}

// The kinds of certificates of an order.
const (
	kindOriginal  = "original"
	kindReissue   = "reissue"
	kindDuplicate = "duplicate"
)

// certificate is one certificate of an order, also one that is still to be issued.
type certificate struct {
	ID            int64     `json:"id"`
	Kind          string    `json:"kind"`
	Status        string    `json:"status"` // needs_approval, pending, issued, revoked, rejected, canceled
	CSR           string    `json:"csr"`
	CommonName    string    `json:"common_name"`
	DNSNames      []string  `json:"dns_names"`
	SignatureHash string    `json:"signature_hash"`
	Platform      int64     `json:"platform"`
	Issuer        string    `json:"issuer"`
	ClientAuth    bool      `json:"client_auth,omitempty"`
	Terms         terms     `json:"terms"`
	Created       time.Time `json:"created"`
	// Ready is when nothing was left to wait for but the CA's own work.
	Ready   time.Time `json:"ready,omitzero"`
	Issued  time.Time `json:"issued,omitzero"`
	Revoked time.Time `json:"revoked,omitzero"`
	Reason  string    `json:"reason,omitempty"`
	// RevokeAt is when names that were dropped end it.
	RevokeAt   time.Time `json:"revoke_at,omitzero"`
	DER        []byte    `json:"der,omitempty"`
	Serial     string    `json:"serial,omitempty"`
	Thumbprint string    `json:"thumbprint,omitempty"`
	NotBefore  time.Time `json:"not_before,omitzero"`
	NotAfter   time.Time `json:"not_after,omitzero"`
	// Announced: the id was told. Before approval there is none to tell.
	Announced bool `json:"announced"`
}

// names are all names of the certificate, the common name first, each once.
func (c *certificate) names() []string { return namesOf(c.CommonName, c.DNSNames) }

func namesOf(commonName string, names []string) []string {
	all := []string{commonName}
	for _, n := range names {
		if !slices.ContainsFunc(all, func(have string) bool { return strings.EqualFold(have, n) }) {
			all = append(all, n)
		}
	}
	return all
}

// primary is the certificate that the order is about: the last one issued that is no duplicate, else the first.
func (o *order) primary() *certificate {
	found := o.Certificates[0]
	for _, c := range o.Certificates {
		if c.Kind != kindDuplicate && !c.Issued.IsZero() {
			found = c
		}
	}
	return found
}

// open is the certificate that is still to be issued, nil where there is none.
func (o *order) open() *certificate {
	for _, c := range o.Certificates {
		if c.Status == statusPending || c.Status == statusNeedsApproval {
			return c
		}
	}
	return nil
}

// request is what waits for an administrator, or has waited.
type request struct {
	ID          int64     `json:"id"`
	Type        string    `json:"type"` // new_request, reissue, duplicate, revoke
	Status      string    `json:"status"`
	Order       int64     `json:"order"`
	Certificate int64     `json:"certificate,omitempty"` // 0: all of the order
	User        int64     `json:"user"`
	Date        time.Time `json:"date"`
	Comments    string    `json:"comments,omitempty"`
	Processor   string    `json:"processor,omitempty"`
	Reason      string    `json:"reason,omitempty"`
}

type container struct {
	ID     int64  `json:"id"`
	Name   string `json:"name"`
	Parent int64  `json:"parent"`
}

// metadata is a custom field of the account.
type metadata struct {
	ID       int64  `json:"id"`
	Label    string `json:"label"`
	DataType string `json:"data_type"`
	Required bool   `json:"is_required"`
	Active   bool   `json:"is_active"`
}

type customField struct {
	MetadataID int64  `json:"metadata_id"`
	Value      string `json:"value"`
}

// order finds an order that a user may see.
func (st *state) order(u *User, id int64) *order {
	o := st.Orders[id]
	if o == nil || !u.sees(o.Container) || u.Role == LimitedUser && o.User != u.ID {
		return nil
	}
	return o
}

// sorted returns the orders that a user may see, oldest first.
func (st *state) sorted(u *User) []*order {
	var list []*order
	for id := range st.Orders {
		if o := st.order(u, id); o != nil {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b *order) int { return int(a.ID - b.ID) })
	return list
}

// certificate finds a certificate by its id, or by serial number, and its order.
func (st *state) certificate(u *User, id int64, serial string) (*order, *certificate) {
	for _, o := range st.sorted(u) {
		for _, c := range o.Certificates {
			if id != 0 && c.ID == id || serial != "" && strings.EqualFold(c.Serial, serial) {
				return o, c
			}
		}
	}
	return nil, nil
}

func (st *state) user(id int64) *User {
	for _, u := range st.Users {
		if u.ID == id {
			return u
		}
	}
	return &User{ID: id, Name: "deleted user"}
}
