package servertastic

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// Names are what the parameters are called whose names stand in no source. The first five are told by productfields.
type Names struct {
	// NoCompanion keeps www.D out of a certificate for D, or D out of one for www.D.
	NoCompanion string `json:"no_companion"`
	// PreviousToken is the token of the order that is renewed.
	PreviousToken string `json:"previous_token"`
	// SectigoFirst and SectigoSecond are what PositiveSSL and SectigoSSL need beside.
	SectigoFirst  string `json:"sectigo_first"`
	SectigoSecond string `json:"sectigo_second"`
	// IssuingCA chooses the issuing CA.
	IssuingCA string `json:"issuing_ca"`
	// WildcardSANs is generatetoken's second counter of names. No call tells it.
	WildcardSANs string `json:"wildcard_sans"`
}

func (n Names) all() []string {
	return []string{n.NoCompanion, n.PreviousToken, n.SectigoFirst, n.SectigoSecond, n.IssuingCA, n.WildcardSANs}
}

// Settings are which way the stand-in takes where the documentation leaves it open. Of two ways the first named is the
// default, unless another is said to be.
type Settings struct {
	// Strict makes parameters that no page and no productfields have errors.
	Strict bool  `json:"strict"`
	Names  Names `json:"names"`
	// Products are the product codes that the account may order; none means all.
	Products []string `json:"products"`

	// TokenAnswer is the form of generatetoken's answer: "reference" with reseller_order_id, "product" with product_code.
	TokenAnswer string `json:"token_answer"`
	// DuplicateReference is what a reference used before does: "refuse", "token" answers with the first token, "allow"
	// buys again.
	DuplicateReference string `json:"duplicate_reference"`
	// TokensDelay is how long showtokens does not know a new token.
	TokensDelay sandbox.Delay `json:"tokens_delay"`
	// Unplaced is the status of an order that was not placed yet: "Order Generated" or "Order Placed".
	Unplaced string `json:"unplaced"`
	// SyncLag is how old what review tells may be. For so long after place an order seems not to be placed.
	SyncLag sandbox.Delay `json:"sync_lag"`
	// IssueDelay is how long it takes from the last validation to the certificate.
	IssueDelay sandbox.Delay `json:"issue_delay"`
	// VetDelay is how long the CA vets an organization; 0 means until somebody says that it is done.
	VetDelay sandbox.Delay `json:"vet_delay"`
	// ReviewAfterCancel puts an order into the CA's queue where one for the same name was cancelled before, for QueueDelay.
	ReviewAfterCancel bool          `json:"review_after_cancel"`
	QueueDelay        sandbox.Delay `json:"queue_delay"`
	// ReissueStatus is what review tells while a reissue is under way: "completed" or "waiting".
	ReissueStatus string `json:"reissue_status"`
	// SecondReissue is what becomes of a reissue while one is under way: "replace" or "refuse".
	SecondReissue string `json:"second_reissue"`
	// ReissueSANs lets reissue take san_domains.
	ReissueSANs bool `json:"reissue_sans"`
	// SecureFile offers SFILE for the goods of DigiCert as well.
	SecureFile bool `json:"secure_file"`
	// CheckCAA looks at CAA records before a certificate is issued.
	CheckCAA bool `json:"check_caa"`
	// UniqueValue is what the reseller adds to Sectigo's values, none or up to 20 letters and digits.
	UniqueValue string `json:"unique_value"`
	// ExtraField is a parameter that productfields and place require, and nobody knows; none leaves it out.
	ExtraField string `json:"extra_field"`

	// ErrorStatus is the HTTP status of errors: "mixed" has every second one with 200, "mirror" none, "ok" all. A wrong
	// key or token is always answered with 401.
	ErrorStatus string `json:"error_status"`
	// Layout is that of certificates in review: "list" (since 2021) or "flat".
	Layout string `json:"layout"`
	// NoCertificates is certificate_list where there is none: "missing", "null" or "list".
	NoCertificates string `json:"no_certificates"`
	// CertificateKey is what the certificate is called in an element of certificate_list.
	CertificateKey string `json:"certificate_key"`
	// Expiration is expiration_date of such an element: "certificate", "order" or "null".
	Expiration string `json:"expiration"`
	// SingleObject answers lists of one element without the list.
	SingleObject bool `json:"single_object"`
	// Empty is what stands for a value that is not there: "text" (nothing in quotes), "null" or "missing".
	Empty string `json:"empty"`
	// MethodCase is how dv_auth_method is written: "upper" or "title" (Email).
	MethodCase string `json:"method_case"`
	// RecordName is the form of the DNS record's name: "full", "dot" (at its end) or "relative" to the domain.
	RecordName string `json:"record_name"`
	// FileName is the form of the file's name: "path", "bare" or "url".
	FileName string `json:"file_name"`
	// PlaceTellsNames has the record's and the file's name in the answer of place, too.
	PlaceTellsNames bool `json:"place_tells_names"`
	// OldValueKeys has dv_auth_dns_string in place of dns_string there, and so on.
	OldValueKeys bool `json:"old_value_keys"`
	// StrayCertificate puts a certificate of another key beside the right one.
	StrayCertificate bool `json:"stray_certificate"`
	// NoIssuers leaves the issuing CAs out.
	NoIssuers bool `json:"no_issuers"`
}

// DefaultSettings are those of a new account.
//
// Unconfirmed: the names of the www switch, the previous order token, the two fields of Sectigo's products, the choice of the issuing CA, and the second counter of names; the stand-in's are its own, and Settings choose others.
//
// Unconfirmed: what a reference does that was used before; Settings choose between a refusal, the default, the first token, and another purchase.
//
// Unconfirmed: what order_status is while a reissue is under way; Settings choose between Completed, the default, and waiting.
//
// Unconfirmed: the element of certificate_list but for expiration_date; Settings choose what the certificate is called.
func DefaultSettings() Settings {
	return Settings{
		Strict: true, Products: []string{},
		Names: Names{
			NoCompanion: "omit_www_twin", PreviousToken: "renewed_order_token", SectigoFirst: "subscriber_email",
			SectigoSecond: "subscriber_phone", IssuingCA: "intermediate_choice", WildcardSANs: "san_wildcards",
		},
		TokenAnswer: "reference", DuplicateReference: "refuse", Unplaced: statusGenerated, SyncLag: sandbox.Delay(5 * time.Minute),
		ReviewAfterCancel: true, QueueDelay: sandbox.Delay(8 * time.Hour), ReissueStatus: "completed", SecondReissue: "replace",
		SecureFile: true, ErrorStatus: "mixed", Layout: "list", NoCertificates: "missing", CertificateKey: "certificate",
		Expiration: "certificate", Empty: "text", MethodCase: "upper", RecordName: "full", FileName: "path",
	}
}

// choices are the values of the settings that have a few.
func (s *Settings) choices() map[string]struct {
	have    string
	allowed []string
} {
	type choice = struct {
		have    string
		allowed []string
	}
	return map[string]choice{
		"token_answer":        {s.TokenAnswer, []string{"reference", "product"}},
		"duplicate_reference": {s.DuplicateReference, []string{"refuse", "token", "allow"}},
		"unplaced":            {s.Unplaced, []string{statusGenerated, statusPlaced}},
		"reissue_status":      {s.ReissueStatus, []string{"completed", "waiting"}},
		"second_reissue":      {s.SecondReissue, []string{"replace", "refuse"}},
		"error_status":        {s.ErrorStatus, []string{"mixed", "mirror", "ok"}},
		"layout":              {s.Layout, []string{"list", "flat"}},
		"no_certificates":     {s.NoCertificates, []string{"missing", "null", "list"}},
		"expiration":          {s.Expiration, []string{"certificate", "order", "null"}},
		"empty":               {s.Empty, []string{"text", "null", "missing"}},
		"method_case":         {s.MethodCase, []string{"upper", "title"}},
		"record_name":         {s.RecordName, []string{"full", "dot", "relative"}},
		"file_name":           {s.FileName, []string{"path", "bare", "url"}},
	}
}

// check says what is wrong with the settings.
func (s *Settings) check() error {
	var errs []error
	for name, c := range s.choices() {
		if !slices.Contains(c.allowed, c.have) {
			errs = append(errs, fmt.Errorf("%s %q is none of %q", name, c.have, c.allowed))
		}
	}
	for _, code := range s.Products {
		if _, there := productByCode(code); !there {
			errs = append(errs, fmt.Errorf("products: %q is no product", code))
		}
	}
	names := append(s.Names.all(), s.CertificateKey)
	if s.ExtraField != "" {
		names = append(names, s.ExtraField)
	}
	form := regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)
	for i, name := range names {
		if !form.MatchString(name) {
			errs = append(errs, fmt.Errorf("%q is no name of a parameter", name))
		} else if i < len(names)-1 && slices.Contains(names[i+1:], name) {
			errs = append(errs, fmt.Errorf("%q is the name of two parameters", name))
		}
	}
	if !regexp.MustCompile(`^[A-Za-z0-9]{0,20}$`).MatchString(s.UniqueValue) {
		errs = append(errs, fmt.Errorf("unique_value %q is not up to 20 letters and digits", s.UniqueValue))
	}
	if min(s.SyncLag, s.IssueDelay, s.VetDelay, s.QueueDelay, s.TokensDelay) < 0 {
		errs = append(errs, errors.New("delays are not negative"))
	}
	return errors.Join(errs...)
}

// clone returns settings that share nothing with these.
func (s *Settings) clone() Settings {
	c := *s
	c.Products = slices.Clone(s.Products)
	return c
}

func (s *Settings) sells(p product) bool {
	return len(s.Products) == 0 || slices.Contains(s.Products, p.Code)
}

// settingsFields are what a change of the settings may hold.
func settingsFields() []sandbox.Field {
	var names []sandbox.Field
	for _, name := range []string{"no_companion", "previous_token", "sectigo_first", "sectigo_second", "issuing_ca", "wildcard_sans"} {
		names = append(names, sandbox.Text(name))
	}
	fields := []sandbox.Field{sandbox.ObjectOf("names", names...), sandbox.ListOf("products", sandbox.Text(""))}
	for _, name := range []string{"sync_lag", "issue_delay", "vet_delay", "queue_delay", "tokens_delay", "unique_value", "extra_field", "certificate_key"} {
		fields = append(fields, sandbox.Text(name))
	}
	for name, c := range (&Settings{}).choices() {
		fields = append(fields, sandbox.TextOf(name, c.allowed...))
	}
	for _, name := range []string{
		"strict", "review_after_cancel", "reissue_sans", "secure_file", "check_caa", "single_object", "place_tells_names", "old_value_keys",
		"stray_certificate", "no_issuers",
	} {
		fields = append(fields, sandbox.Boolean(name))
	}
	return fields
}
