package pluginapi

// ChallengeType is the way domain control is shown.
type ChallengeType int

// The types of challenge.
const (
	ChallengeDNS     ChallengeType = 1
	ChallengeHTTP    ChallengeType = 2
	ChallengeEmail   ChallengeType = 3
	ChallengeTLSALPN ChallengeType = 4
	ChallengeManual  ChallengeType = 5
)

// String returns the type's name.
func (t ChallengeType) String() string {
	switch t {
	case ChallengeDNS:
		return "dns"
	case ChallengeHTTP:
		return "http"
	case ChallengeEmail:
		return "email"
	case ChallengeTLSALPN:
		return "tls-alpn"
	case ChallengeManual:
		return "manual"
	default:
		return "unspecified"
	}
}

// Challenge is one way to show control over one name. Exactly one of DNS, HTTP, Email, TLSALPN and Manual is set;
// Type says which.
type Challenge struct {
	// ID is the plugin's own name for it, unique in its order. It stands for one content for good: a CA that gives a name
	// another token or value gives it another challenge, and that needs an ID of its own. What was published for the old
	// one is withdrawn when its ID is gone from the order.
	ID string
	// Identifier is the name control is shown over, without "*.".
	Identifier string
	DNS        *DNSRecord
	HTTP       *HTTPFile
	Email      *Email
	TLSALPN    *TLSALPN
	Manual     *Manual
	// ACME is present for ACME challenges, for publishers that compute the record themselves.
	ACME *KeyAuthorization
}

// Type returns the type of what is set, or zero.
func (c Challenge) Type() ChallengeType {
	switch {
	case c.DNS != nil:
		return ChallengeDNS
	case c.HTTP != nil:
		return ChallengeHTTP
	case c.Email != nil:
		return ChallengeEmail
	case c.TLSALPN != nil:
		return ChallengeTLSALPN
	case c.Manual != nil:
		return ChallengeManual
	default:
		return 0
	}
}

// RecordType is the type of a DNS record that shows control.
type RecordType string

// The record types.
const (
	TXT   RecordType = "TXT"
	CNAME RecordType = "CNAME"
)

// DNSRecord is a record to publish. Name is full and has no trailing dot.
type DNSRecord struct {
	Name  string
	Type  RecordType
	Value string
}

// HTTPFile is a file to publish at http://Host + Path.
type HTTPFile struct {
	Host, Path, Body string
}

// Email is a mail the CA sends; a person answers it.
type Email struct {
	Recipients []string
}

// TLSALPN is a certificate to show for Host under ALPN "acme-tls/1"; KeyAuthorizationDigest is the 32 bytes of its
// acmeIdentifier extension (RFC 8737 section 3).
type TLSALPN struct {
	Host                   string
	KeyAuthorizationDigest []byte
}

// Manual is something only a person can do.
type Manual struct {
	Instructions string
}

// KeyAuthorization is what an ACME challenge is made of (RFC 8555 section 8.1).
type KeyAuthorization struct {
	Token, KeyAuthorization string
}

// PublishAbility is something a DCV profile can publish.
type PublishAbility int

// What a DCV profile can publish.
const (
	PublishACMEDNS  PublishAbility = 1 // ACME's own TXT record
	PublishACMEHTTP PublishAbility = 2 // ACME's own file
	PublishTXT      PublishAbility = 3 // any TXT record
	PublishCNAME    PublishAbility = 4 // any CNAME record
	PublishFile     PublishAbility = 5 // any file
)

// String returns the ability's name.
func (a PublishAbility) String() string {
	switch a {
	case PublishACMEDNS:
		return "acme-dns"
	case PublishACMEHTTP:
		return "acme-http"
	case PublishTXT:
		return "txt"
	case PublishCNAME:
		return "cname"
	case PublishFile:
		return "file"
	default:
		return "unspecified"
	}
}
