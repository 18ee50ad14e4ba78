package tencent

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// Site is one of the two services, which have accounts, products and a few actions of their own.
type Site string

// The sites.
const (
	International Site = "international"
	Mainland      Site = "mainland"
)

func (s Site) check() error {
	if s != International && s != Mainland {
		return fmt.Errorf("site %q is neither %s nor %s", s, International, Mainland)
	}
	return nil
}

// Key is an API key of the account.
type Key struct {
	SecretID  string `json:"secret_id"`
	SecretKey string `json:"secret_key"`
	// Token is the session token that comes with temporary keys.
	Token string `json:"token,omitempty"`
	// Denied are the actions that the access management does not grant; tag:* are tags at a purchase.
	Denied []string `json:"denied,omitempty"`
	// Foreign: the key may not work on the project of the account's certificates.
	Foreign bool `json:"foreign,omitempty"`
}

func (k Key) check() error {
	if k.SecretID == "" || k.SecretKey == "" {
		return errors.New("a key needs a secret id and a secret key")
	}
	return nil
}

// The ways in which ReplaceCertificate is told.
const (
	// SameExpiry gives a reissue the end of the certificate that it replaces; WholeTerm the longest certificate that ends
	// inside of what was paid for.
	SameExpiry = "same-expiry"
	WholeTerm  = "whole-term"

	// AtNew, AtOld and AtBoth are the certificate that shows status 11 while a reissue runs.
	AtNew  = "new"
	AtOld  = "old"
	AtBoth = "both"

	// LinksByDocs has ReplacedBy as the original's id and ReplacedFor as the reissue's; LinksByName the other way round.
	LinksByDocs = "docs"
	LinksByName = "name"

	// ChainInDetail and LeafInDetail are what CertificatePublicKey holds.
	ChainInDetail = "chain"
	LeafInDetail  = "leaf"

	// ZipByServer and ZipByConsole are the layouts of the archive.
	ZipByServer  = "server"
	ZipByConsole = "console"
)

// Settings are what the documentation leaves open, and what differs from account to account.
type Settings struct {
	// RateLimits: at most ten calls a second and action.
	RateLimits bool `json:"rate_limits"`
	// Verified: the account's owner has shown who they are. CABusy: the CA system is busy.
	Verified bool `json:"verified"`
	CABusy   bool `json:"ca_busy"`
	// Skew puts the server's clock ahead for the check of timestamps.
	Skew sandbox.Delay `json:"skew"`

	// Products are those that the account may buy; none means all of its site.
	Products []int64 `json:"products"`
	// MostYears is the longest TimeSpan.
	MostYears int64 `json:"most_years"`
	// BalanceCode is the code where the balance does not suffice. Vouchers each pay for one purchase.
	BalanceCode string `json:"balance_code"`
	Vouchers    int64  `json:"vouchers"`
	// TagKeys are the keys of tags that there are; none means any.
	TagKeys []string `json:"tag_keys"`
	// VisibleAfter and TagsAfter are how long a purchase and its tags are not yet seen by reads.
	VisibleAfter sandbox.Delay `json:"visible_after"`
	TagsAfter    sandbox.Delay `json:"tags_after"`

	// SubmitTakes is how long an order is on its way to the CA; the status remains 5 until then.
	SubmitTakes sandbox.Delay `json:"submit_takes"`
	// PendingStatus is that of a DV order that waits for domain control: 0, 4 or 8.
	PendingStatus int64 `json:"pending_status"`
	// SubmittedTwice is the code for an order that the CA has already.
	SubmittedTwice string `json:"submitted_twice"`

	// DCVDataAfter is how long an order does not show yet what must be published.
	DCVDataAfter sandbox.Delay `json:"dcv_data_after"`
	// CheckInterval is how often CheckCertificateDomainVerification really looks.
	CheckInterval sandbox.Delay `json:"check_interval"`
	// DCVDays is how long an order waits for domain control, ReuseDays how long it holds for the next order.
	DCVDays   int64 `json:"dcv_days"`
	ReuseDays int64 `json:"reuse_days"`
	// Counterparts: a file for an apex must stand on www as well, and the other way round.
	Counterparts bool `json:"counterparts"`
	// PathWithFile: DvAuthPath ends with the file's name. HostInAuths: DvAuths have the undocumented field Domain.
	PathWithFile bool `json:"path_with_file"`
	HostInAuths  bool `json:"host_in_auths"`
	// Zones are the account's DNS zones, in which DNS_AUTO sets records.
	Zones     []string `json:"zones"`
	CheckCAA  bool     `json:"check_caa"`
	FreeNames bool     `json:"free_names"`

	IssueDelay  sandbox.Delay `json:"issue_delay"`
	CancelTakes sandbox.Delay `json:"cancel_takes"`

	ReplaceValidity string `json:"replace_validity"`
	ReplaceStatus   string `json:"replace_status"`
	ReplaceLinks    string `json:"replace_links"`
	// ReplaceSubmits: a reissue waits in status 5 for its materials.
	ReplaceSubmits bool `json:"replace_submits"`
	// Successors: where a term outlasts its certificate, the service makes the next one itself, 30 days before the end.
	Successors bool `json:"successors"`
	// RevokeProof: DV certificates show domain control again before they are revoked.
	RevokeProof bool `json:"revoke_proof"`

	DetailPEM string `json:"detail_pem"`
	Zip       string `json:"zip"`
}

// DefaultSettings are those of a new account.
//
// Unconfirmed: the code where the balance does not suffice; the stand-in has the bare FailedOperation. Whether a tag's key
// must exist before, and how soon a purchase and its tags are seen; the stand-in takes any and shows them at once.
//
// Unconfirmed: the status of a DV order that waits for domain control (0, 4 or 8); the stand-in has 0, and Settings the
// others.
//
// Unconfirmed: the answer to a second CertificateOrderSubmit; CertificateOrderSubmitProcessing, unless Settings say another
// code.
//
// Unconfirmed: how long domain control may take (the pages say 3 and show 7 days) and whether it holds for the next
// order; the stand-in has 7 days, and asks again.
//
// Unconfirmed: that a reissue may outlast the certificate which it replaces while paid time is left; the documentation,
// older than certificates of 200 days, says same expiry, and so does the stand-in by default.
//
// Unconfirmed: which certificate shows status 11 while a reissue runs, in which direction ReplacedBy and ReplacedFor point,
// and whether a reissue must be submitted once more; see Settings.
func DefaultSettings() Settings {
	return Settings{
		RateLimits: true, Verified: true, MostYears: 1, BalanceCode: failedBalance, SubmittedTwice: failedProcessing,
		CheckInterval: sandbox.Delay(time.Minute), DCVDays: 7, Counterparts: true, CheckCAA: true, FreeNames: true,
		ReplaceValidity: SameExpiry, ReplaceStatus: AtNew, ReplaceLinks: LinksByDocs, RevokeProof: true,
		DetailPEM: ChainInDetail, Zip: ZipByServer,
	}
}

func (s Settings) clone() Settings {
	s.Products, s.TagKeys, s.Zones = slices.Clone(s.Products), slices.Clone(s.TagKeys), slices.Clone(s.Zones)
	return s
}

// check says what is wrong with settings.
func (s Settings) check() error {
	var errs []error
	for name, c := range map[string]struct {
		value   string
		allowed []string
	}{
		"replace_validity": {s.ReplaceValidity, []string{SameExpiry, WholeTerm}},
		"replace_status":   {s.ReplaceStatus, []string{AtNew, AtOld, AtBoth}},
		"replace_links":    {s.ReplaceLinks, []string{LinksByDocs, LinksByName}},
		"detail_pem":       {s.DetailPEM, []string{ChainInDetail, LeafInDetail}},
		"zip":              {s.Zip, []string{ZipByServer, ZipByConsole}},
	} {
		if !slices.Contains(c.allowed, c.value) {
			errs = append(errs, fmt.Errorf("%s %q is none of %v", name, c.value, c.allowed))
		}
	}
	if !slices.Contains([]int64{statusReview, statusAutoRecord, statusLetter}, s.PendingStatus) {
		errs = append(errs, fmt.Errorf("pending_status %d is none of 0, 4, 8", s.PendingStatus))
	}
	if s.MostYears < 1 || s.DCVDays < 1 || s.ReuseDays < 0 || s.Vouchers < 0 {
		errs = append(errs, errors.New("most_years and dcv_days are at least 1, reuse_days and vouchers not negative"))
	}
	for name, d := range map[string]sandbox.Delay{
		"visible_after": s.VisibleAfter, "tags_after": s.TagsAfter, "submit_takes": s.SubmitTakes, "dcv_data_after": s.DCVDataAfter,
		"check_interval": s.CheckInterval, "issue_delay": s.IssueDelay, "cancel_takes": s.CancelTakes,
	} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("%s is negative", name))
		}
	}
	for _, id := range s.Products {
		if _, ok := productByID(id); !ok {
			errs = append(errs, fmt.Errorf("product %d is none that the stand-in sells", id))
		}
	}
	for name, code := range map[string]string{"balance_code": s.BalanceCode, "submitted_twice": s.SubmittedTwice} {
		if code == "" {
			errs = append(errs, fmt.Errorf("%s is empty", name))
		}
	}
	return errors.Join(errs...)
}

// settingsFields are those of a change of settings.
func settingsFields() []sandbox.Field {
	fields := []sandbox.Field{
		sandbox.Integer("most_years", 1, 10), sandbox.Integer("pending_status", 0, 8), sandbox.Integer("vouchers", 0, 1<<30), sandbox.Integer("dcv_days", 1, 1<<20),
		sandbox.Integer("reuse_days", 0, 1<<20), sandbox.ListOf("products", sandbox.Integer("", 1, 1<<20)), sandbox.ListOf("tag_keys", sandbox.Text("")), sandbox.ListOf("zones", sandbox.Text("")),
	}
	for _, name := range []string{
		"skew", "balance_code", "visible_after", "tags_after", "submit_takes", "submitted_twice", "dcv_data_after", "check_interval",
		"issue_delay", "cancel_takes", "replace_validity", "replace_status", "replace_links", "detail_pem", "zip",
	} {
		fields = append(fields, sandbox.Text(name))
	}
	for _, name := range []string{
		"rate_limits", "verified", "ca_busy", "counterparts", "path_with_file", "host_in_auths", "check_caa", "free_names",
		"replace_submits", "successors", "revoke_proof",
	} {
		fields = append(fields, sandbox.Boolean(name))
	}
	return fields
}
