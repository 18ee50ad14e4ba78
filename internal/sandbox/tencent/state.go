package tencent

import (
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// The statuses of a certificate. Those above 13 are named by the SDKs alone.
const (
	statusReview       = 0
	statusIssued       = 1
	statusFailed       = 2
	statusExpired      = 3
	statusAutoRecord   = 4
	statusPaid         = 5
	statusCanceling    = 6
	statusCanceled     = 7
	statusLetter       = 8
	statusRevoking     = 9
	statusRevoked      = 10
	statusReissuing    = 11
	statusRevokeLetter = 12
	statusFree         = 13
	statusRefunded     = 14
	statusMigrating    = 15
)

func statusName(status int) string {
	names := []string{
		"Under review", "Issued", "Review failed", "Expired", "DNS record added", "Pending submission", "Order cancellation in progress",
		"Canceled", "Pending upload of confirmation letter", "Certificate revocation in progress", "Revoked", "Reissue in progress",
		"Pending upload of revocation confirmation letter", "Free certificate pending submission", "Refunded", "Migrating",
	}
	if status < 0 || status >= len(names) {
		return "Unknown"
	}
	return names[status]
}

// What StatusMsg says.
const (
	messagePreReview = "PRE-REVIEWING"
	messageReview    = "CA-REVIEWING"
	messageDCV       = "PENDING-DCV"
	messageIssue     = "WAIT-ISSUE"
)

// The sources of a certificate.
const (
	sourceBuy    = "buy"
	sourceUpload = "upload"
)

// state is all that the stand-in remembers. It is plain data, guarded by the server's lock.
type state struct {
	sandbox.Head
	Site         Site           `json:"site"`
	Settings     Settings       `json:"settings"`
	Keys         []*Key         `json:"keys"`
	LastOrder    int64          `json:"last_order"`
	Certificates []*certificate `json:"certificates"` // oldest first
	Companies    []*company     `json:"companies"`
	Managers     []*manager     `json:"managers"`
	// Validated is when a domain was last shown to a brand: "brand domain".
	Validated map[string]time.Time `json:"validated"`
	// Balance is in cents.
	Balance int64 `json:"balance"`
}

// tag is a tag of a certificate.
type tag struct {
	Key   string `json:"TagKey"`
	Value string `json:"TagValue"`
}

// certificate is one CertificateId: a purchase, a reissue, or a certificate that was uploaded.
type certificate struct {
	ID      string `json:"id"`
	Source  string `json:"source"`
	Deal    string `json:"deal,omitempty"`
	Product int64  `json:"product"`
	Names   int64  `json:"names"` // how many were paid for
	Years   int64  `json:"years"`
	Tags    []tag  `json:"tags,omitempty"`
	Alias   string `json:"alias,omitempty"`
	Status  int    `json:"status"`
	Message string `json:"message,omitempty"`
	// Held: the status was set by hand, and stays until a call changes it.
	Held     bool  `json:"held,omitempty"`
	Price    int64 `json:"price"`
	Refunded bool  `json:"refunded,omitempty"`

	Created time.Time `json:"created"`
	// Materials are nil until they were submitted, OrderID is empty until the CA has the order.
	Materials *materials `json:"materials,omitempty"`
	OrderID   string     `json:"order_id,omitempty"`
	Submitted time.Time  `json:"submitted,omitzero"`
	// Letter: people have to review the order, or a letter is outstanding, before the CA goes on.
	Letter bool     `json:"letter,omitempty"`
	DCV    dcvState `json:"dcv"`
	// Ready is when nothing was left to wait for but the CA's own work.
	Ready time.Time `json:"ready,omitzero"`
	// Ends is the end of what was paid for, set when the first certificate is issued.
	Ends time.Time `json:"ends,omitzero"`

	DER       []byte    `json:"der,omitempty"`
	Issuer    string    `json:"issuer,omitempty"`
	NotBefore time.Time `json:"not_before,omitzero"`
	NotAfter  time.Time `json:"not_after,omitzero"`
	Issued    time.Time `json:"issued,omitzero"`
	AllNames  []string  `json:"all_names,omitempty"`

	// Replaces and Replaced are the other sides of a reissue, Renews and Renewal those of a renewal by AutoRenewFlag.
	Replaces string `json:"replaces,omitempty"`
	Replaced string `json:"replaced,omitempty"`
	// Successor: the service made the reissue itself, for the rest of the term.
	Successor bool   `json:"successor,omitempty"`
	Renews    string `json:"renews,omitempty"`
	Renewal   string `json:"renewal,omitempty"`

	Canceling time.Time `json:"canceling,omitzero"`
	// Revocation is what must be shown before the certificate is revoked.
	Revocation []auth    `json:"revocation,omitempty"`
	Revoked    time.Time `json:"revoked,omitzero"`
	// Bound: a cloud resource uses it, so that it cannot be revoked.
	Bound bool `json:"bound,omitempty"`
}

// materials are what CertificateInfoSubmit brought.
type materials struct {
	Generated    bool              `json:"generated,omitempty"` // the service made the key
	Key          []byte            `json:"key,omitempty"`
	CSR          string            `json:"csr"`
	CommonName   string            `json:"common_name"`
	DNSNames     []string          `json:"dns_names,omitempty"`
	CompanyType  int64             `json:"company_type"`
	ContactEmail string            `json:"contact_email,omitempty"`
	Manager      int64             `json:"manager,omitempty"`
	Organization string            `json:"organization,omitempty"`
	Country      string            `json:"country,omitempty"`
	VerifyType   string            `json:"verify_type,omitempty"`
	CAType       string            `json:"ca_type,omitempty"`
	AutoRenew    bool              `json:"auto_renew,omitempty"`
	Submitted    map[string]string `json:"submitted,omitempty"` // the other texts, for SubmittedData
}

// names are all names that were asked for, the common name first.
func (m *materials) names() []string { return append([]string{m.CommonName}, m.DNSNames...) }

// company and manager are stored applicants of the account.
type company struct {
	ID      int64  `json:"id"`
	Name    string `json:"name"`
	Country string `json:"country"`
}

type manager struct {
	ID      int64  `json:"id"`
	Company int64  `json:"company"`
	Status  string `json:"status"` // none, audit, CAaudit, ok, invalid, expiring, expired
	First   string `json:"first"`
	Last    string `json:"last"`
	Email   string `json:"email"`
}

func (st *state) company(id int64) *company {
	i := slices.IndexFunc(st.Companies, func(c *company) bool { return c.ID == id })
	if i < 0 {
		return nil
	}
	return st.Companies[i]
}

func (st *state) manager(id int64) *manager {
	i := slices.IndexFunc(st.Managers, func(m *manager) bool { return m.ID == id })
	if i < 0 {
		return nil
	}
	return st.Managers[i]
}

// find finds a certificate, nil where there is none. Ids differ by case.
func (st *state) find(id string) *certificate {
	for _, c := range st.Certificates {
		if c.ID == id {
			return c
		}
	}
	return nil
}

// pending reports whether the CA has the order and has not decided.
func (c *certificate) pending() bool {
	if c.OrderID == "" {
		return false
	}
	return c.Status == statusReview || c.Status == statusAutoRecord || c.Status == statusLetter ||
		c.Status == statusReissuing && len(c.DER) == 0
}

// domain is the main name, empty before the materials.
func (c *certificate) domain() string {
	if c.Materials == nil {
		return ""
	}
	return c.Materials.CommonName
}

const (
	idLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	idDigits  = "0123456789"
	idLength  = 8
)

// newID makes a CertificateId: short, of letters in both cases and digits. It begins with a letter.
func (st *state) newID() string {
	for {
		id := randomOf(idLetters, 1) + randomOf(idLetters+idDigits, idLength-1)
		if st.find(id) == nil {
			return id
		}
	}
}

func randomOf(alphabet string, n int) string {
	var b strings.Builder
	most := 256 - 256%len(alphabet) // beyond it some characters would be likelier than others
	for one := make([]byte, 1); b.Len() < n; {
		_, _ = rand.Read(one) // never fails
		if int(one[0]) < most {
			b.WriteByte(alphabet[int(one[0])%len(alphabet)])
		}
	}
	return b.String()
}

// beijing is the zone in which the service writes its times, without saying so.
func beijing() *time.Location { return time.FixedZone("CST", 8*60*60) }

// timeForm is how it writes them.
const timeForm = "2006-01-02 15:04:05"

// timeText writes a time, nil where there is none.
func timeText(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.In(beijing()).Format(timeForm)
}
