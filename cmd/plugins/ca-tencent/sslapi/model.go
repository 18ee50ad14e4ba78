package sslapi

import (
	"strconv"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// ID is a number that names something.
type ID = restca.ID

// Text is a string, or what can stand for one.
type Text = restca.Text

// Flag is true or false.
type Flag = restca.Flag

// List is a list; null is an empty one.
type List[T any] = restca.List[T]

// Status is where a certificate stands.
type Status int

// The statuses. UnknownStatus stands for one that is missing or no number: 0 has a meaning of its own.
const (
	UnknownStatus   Status = -1
	UnderReview     Status = 0
	Issued          Status = 1
	ReviewFailed    Status = 2
	Expired         Status = 3
	RecordAdded     Status = 4
	ToSubmit        Status = 5
	Canceling       Status = 6
	Canceled        Status = 7
	LetterWanted    Status = 8
	Revoking        Status = 9
	Revoked         Status = 10
	Reissuing       Status = 11
	RevokeLetter    Status = 12
	FreeToSubmit    Status = 13
	Refunded        Status = 14
	Migrating       Status = 15
	highestStatus          = Migrating
	longestIDLength        = 64
)

// UnmarshalJSON takes a number, or text with one.
func (s *Status) UnmarshalJSON(text []byte) error {
	*s = UnknownStatus
	if n, err := strconv.Atoi(strings.Trim(string(text), `"`)); err == nil && n >= 0 {
		*s = Status(n)
	}
	return nil
}

// String is the status in words for people, with its number.
func (s Status) String() string {
	words := "in a status that is not known here"
	if s >= 0 && s <= highestStatus {
		words = [...]string{
			UnderReview: "under review", Issued: "issued", ReviewFailed: "rejected in review", Expired: "expired",
			RecordAdded: "waiting for domain control, with the record added", ToSubmit: "paid, and waits for its materials",
			Canceling: "being canceled", Canceled: "canceled", LetterWanted: "submitted, and waits for a letter of confirmation",
			Revoking: "being revoked", Revoked: "revoked", Reissuing: "being reissued", RevokeLetter: "waiting for a letter to confirm the revocation",
			FreeToSubmit: "a free one that waits for its materials", Refunded: "refunded", Migrating: "being migrated",
		}[s]
	}
	return words + " (status " + strconv.Itoa(int(s)) + ")"
}

// Number is a whole number that may be negative; what is none is zero.
type Number int64

// UnmarshalJSON takes a number, or text with one.
func (n *Number) UnmarshalJSON(text []byte) error {
	v, err := strconv.ParseInt(strings.Trim(string(text), `"`), 10, 64)
	if err != nil {
		v = 0
	}
	*n = Number(v)
	return nil
}

// beijing is the zone that the API's times are in, which they do not say.
var beijing = time.FixedZone("UTC+8", 8*60*60)

// Time is an instant; zero is none.
type Time struct{ time.Time }

// UnmarshalJSON takes "2006-01-02 15:04:05" in China's time; anything else is none.
func (t *Time) UnmarshalJSON(text []byte) error {
	t.Time = time.Time{}
	if at, err := time.ParseInLocation(time.DateTime, strings.Trim(string(text), `" `), beijing); err == nil {
		t.Time = at
	}
	return nil
}

// What the API answers with, as far as it is of use here. Every field may be missing or null. The private keys that some
// answers hold are not among them.

// Certificate is one certificate of the account, issued or not: what is bought, and what is waited for.
type Certificate struct {
	ID             Text    `json:"CertificateId"`
	Status         *Status `json:"Status"`
	StatusMsg      Text    `json:"StatusMsg"`
	PackageType    Text    `json:"PackageType"`
	Domain         Text    `json:"Domain"`
	Alias          Text    `json:"Alias"`
	VerifyType     Text    `json:"VerifyType"`
	InsertTime     Time    `json:"InsertTime"`
	CertEndTime    Time    `json:"CertEndTime"`
	ValidityPeriod ID      `json:"ValidityPeriod"` // months
	OrderID        Text    `json:"OrderId"`        // the CA's
	Extra          Extra   `json:"CertificateExtra"`
	Auth           Auths   `json:"DvAuthDetail"`
	// RevokeAuth is what must be shown before the certificate is revoked.
	RevokeAuth  List[Auth] `json:"DvRevokeAuthDetail"`
	Tags        List[Tag]  `json:"Tags"`
	PublicKey   Text       `json:"CertificatePublicKey"` // PEM
	Fingerprint Text       `json:"CertFingerprint"`      // SHA-1
	// Deadline is until when control over the names is to be shown; in lists alone.
	Deadline Time `json:"DVAuthDeadline"`
	// PreAudit is in lists alone.
	PreAudit struct {
		TotalPeriod ID `json:"TotalPeriod"` // years
	} `json:"PreAuditInfo"`
	Submitted struct {
		CSR Text `json:"CsrContent"`
	} `json:"SubmittedData"`
}

// Is reports whether the certificate is in one of the statuses.
func (c Certificate) Is(list ...Status) bool {
	for _, s := range list {
		if c.Stands() == s {
			return true
		}
	}
	return false
}

// Stands is the certificate's status.
func (c Certificate) Stands() Status {
	if c.Status == nil {
		return UnknownStatus
	}
	return *c.Status
}

// Tagged reports whether the certificate has a tag.
func (c Certificate) Tagged(key, value string) bool {
	for _, t := range c.Tags {
		if string(t.Key) == key && string(t.Value) == value {
			return true
		}
	}
	return false
}

// Extra links a certificate with others.
type Extra struct {
	// ReplacedBy and ReplacedFor are the two sides of a reissue.
	// (Not confirmed by Tencent's pages: which is which; their words contradict the names. Both are looked at.)
	ReplacedBy  Text `json:"ReplacedBy"`
	ReplacedFor Text `json:"ReplacedFor"`
	// RenewOrder is the certificate that renews this one.
	RenewOrder Text `json:"RenewOrder"`
}

// Auths is what has to be shown for domain control: List for all names; the fields beside it for the first alone.
type Auths struct {
	Key    Text       `json:"DvAuthKey"`
	Value  Text       `json:"DvAuthValue"`
	Domain Text       `json:"DvAuthDomain"`
	Path   Text       `json:"DvAuthPath"`
	List   List[Auth] `json:"DvAuths"`
}

// All are those of all names; where the list is empty, that of the first.
func (a Auths) All() []Auth {
	if len(a.List) > 0 || a.Key == "" || a.Value == "" {
		return a.List
	}
	return []Auth{{Key: a.Key, Value: a.Value, Domain: a.Domain, Path: a.Path}}
}

// Auth is one record or file.
type Auth struct {
	// Key is a record's full name, or a file's name; Value what it holds.
	Key   Text `json:"DvAuthKey"`
	Value Text `json:"DvAuthValue"`
	// Domain is the registrable domain.
	Domain Text `json:"DvAuthDomain"`
	// Path is the folder of a file, with its name at the end or without.
	Path Text `json:"DvAuthPath"`
	// Type is TXT, CNAME or FILE.
	Type Text `json:"DvAuthVerifyType"`
	// Host is the name that a file is for.
	// (Not confirmed by Tencent's pages; another client has met it.)
	Host Text `json:"Domain"`
}

// Tag is a word that people or programs put on a certificate.
type Tag struct {
	Key   Text `json:"TagKey"`
	Value Text `json:"TagValue"`
}

// Bought is the answer to a purchase.
type Bought struct {
	IDs   List[Text] `json:"CertificateIds"`
	Deals List[Text] `json:"DealIds"`
}

// Submitted is the answer to an order that was sent to the CA.
type Submitted struct {
	OrderID Text    `json:"OrderId"` // the CA's
	Status  *Status `json:"Status"`
	// Audited: people look at it before the CA does.
	Audited Flag `json:"IsAudited"`
}

// Verification is what was seen of one name.
type Verification struct {
	Domain     Text       `json:"Domain"`
	VerifyType Text       `json:"VerifyType"`
	LocalCheck Number     `json:"LocalCheck"` // 1: seen by Tencent
	CACheck    Number     `json:"CaCheck"`    // 2: seen by the CA
	Reason     Text       `json:"LocalCheckFailReason"`
	Found      List[Text] `json:"CheckValue"`
	// Frequently: asked too often, so that this is an older answer.
	Frequently Flag `json:"Frequently"`
	Issued     Flag `json:"Issued"`
}

// Seen reports that the CA is content with the name.
func (v Verification) Seen() bool { return v.CACheck == 2 || bool(v.Issued) }

// Proof is what must be shown before a certificate is revoked.
type Proof struct {
	Path   Text `json:"DomainValidateAuthPath"`
	Key    Text `json:"DomainValidateAuthKey"`
	Value  Text `json:"DomainValidateAuthValue"`
	Domain Text `json:"DomainValidateAuthDomain"`
}

// Manager is a person who answers for a company.
type Manager struct {
	ID     ID   `json:"ManagerId"`
	Status Text `json:"Status"`
}

// ValidID reports whether a text can be the id of a certificate.
func ValidID(id string) bool {
	if id == "" || len(id) > longestIDLength {
		return false
	}
	for _, r := range id {
		if (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '_' {
			return false
		}
	}
	return true
}
