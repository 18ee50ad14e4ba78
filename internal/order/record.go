package order

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Phase is where an order stands in its life here.
type Phase string

// The phases, in the order an order passes through them; the last four are where it can stop.
const (
	Intended   Phase = "intended"   // wanted; nothing is known at the CA yet, or not for sure
	Placed     Phase = "placed"     // the CA has it and is at work
	Approval   Phase = "approval"   // a person at the customer must approve
	Validating Phase = "validating" // domain control must be shown
	Issued     Phase = "issued"     // the chain is in the journal
	Installed  Phase = "installed"  // the files are in place
	Deployed   Phase = "deployed"   // the server serves it
	Held       Phase = "held"       // a person must decide
	Failed     Phase = "failed"     // the CA said a final no, or the request can never succeed
	Superseded Phase = "superseded" // something newer is in place or wanted
)

// Phases lists every phase.
func Phases() []Phase {
	return []Phase{Intended, Placed, Approval, Validating, Issued, Installed, Deployed, Held, Failed, Superseded}
}

// Final reports that an order in this phase will do nothing more.
func (p Phase) Final() bool { return p == Deployed || p == Failed || p == Superseded }

// HoldKind says what a person has to decide.
type HoldKind string

// The kinds of hold.
const (
	// HoldUnknownOutcome: a paid call went out, no answer came, and the CA cannot tell whether it arrived.
	HoldUnknownOutcome HoldKind = "unknown-outcome"
	// HoldBudget: the purchase would go over a limit.
	HoldBudget HoldKind = "budget"
	// HoldNeedsPerson: the CA wants a person to act first.
	HoldNeedsPerson HoldKind = "needs-person"
	// HoldDropsNames: the CA will revoke earlier certificates because names are dropped.
	HoldDropsNames HoldKind = "drops-names"
	// HoldSettings: the order settings are at fault, and a purchase with them would be refused.
	HoldSettings HoldKind = "order-settings"
	// HoldUnclearOrder: which paid order is to be followed, or whether any is left, cannot be told from what the CA says.
	HoldUnclearOrder HoldKind = "unclear-order"
	// HoldRepeats: the last paid order for the certificate failed; another costs again.
	HoldRepeats HoldKind = "repeats-failed-order"
	// HoldUnusable: a paid certificate does not fit what was ordered.
	HoldUnusable HoldKind = "unusable-certificate"
)

// Hold is why an order waits for a person.
type Hold struct {
	Kind HoldKind `json:"kind"`
	// Subject is what exactly a yes would be said to, where an order may be held for several of its kind.
	Subject string    `json:"subject,omitempty"`
	Detail  string    `json:"detail"`
	Since   time.Time `json:"since"`
	// Resume is the phase the order goes on in when it is released.
	Resume Phase `json:"resume"`
}

// Publication is a challenge that is, or may be, published.
type Publication struct {
	Profile   string              `json:"profile"`
	Challenge pluginapi.Challenge `json:"challenge"`
	Receipt   []byte              `json:"receipt,omitempty"`
	// Published: Publish has answered, and it is up. A publication is journaled before the call, so that a crash leaves no record
	// behind that nobody remembers.
	Published bool `json:"published,omitempty"`
	// Waiting is why it waits for its turn with the profile: another challenge has it. Empty when it does not.
	Waiting string `json:"waiting,omitempty"`
	// MayBeUp: it is not known to be published, and yet it may be up: from before a restart, or the answer of Publish was
	// lost, or it only could not be seen.
	MayBeUp bool `json:"may_be_up,omitempty"`
	// Refused: the last call of Publish surely did not publish it.
	Refused bool `json:"refused,omitempty"`
	// Responded: the CA was told.
	Responded bool `json:"responded,omitempty"`
	// Obsolete: the CA no longer asks for it; it is to be withdrawn.
	Obsolete bool `json:"obsolete,omitempty"`

	// inherited: it was, or may have been, up when the journal was read, and this process has not called Publish for it.
	inherited bool
}

// publicationID tells the publications of an order apart: a challenge may move from one profile to another.
type publicationID struct{ profile, challenge string }

func (p Publication) id() publicationID { return publicationID{p.Profile, p.Challenge.ID} }

// Problem is the last thing that went wrong.
type Problem struct {
	// Kind is the name of the plugin error kind, or of the part that failed ("install", "check", "reload", "verify",
	// "publish", "visible", "choose", "caa", "journal").
	Kind    string    `json:"kind"`
	Message string    `json:"message"`
	At      time.Time `json:"at"`
}

// Previous is the order that a renewal or reissue follows.
type Previous struct {
	Reference   string    `json:"reference,omitempty"`
	PluginState []byte    `json:"plugin_state,omitempty"`
	Chain       [][]byte  `json:"chain,omitempty"`
	CoverageEnd time.Time `json:"coverage_end,omitzero"`
	// Bought is when its plan was bought through us; zero where that is not known.
	Bought time.Time `json:"bought,omitzero"`
	// Names are those it was ordered for, where we did that. The certificate may have more: some CAs add a name for free.
	Names []string `json:"names,omitempty"`

	// Inspected is when the CA last said how it stands; zero: never. What follows is as it said then.
	Inspected time.Time `json:"inspected,omitzero"`
	// Held are all names that the order holds, whoever added them; empty when the CA does not tell.
	Held []string `json:"held,omitempty"`
	// Gone says why nothing is left of it; empty while something may be.
	Gone string `json:"gone,omitempty"`
	// RenewedBy is the CA's reference of the order that renewed it.
	RenewedBy string `json:"renewed_by,omitempty"`
	// NotFound: the CA does not know it.
	NotFound bool `json:"not_found,omitempty"`

	// digests stand for Chain where that is left in the journal.
	digests [][sha256.Size]byte
}

// Record is one order in the journal: everything that is needed to go on after a crash at any instant.
type Record struct {
	ID          string              `json:"id"`
	Certificate string              `json:"certificate"`
	Account     string              `json:"account"`
	Kind        pluginapi.OrderKind `json:"kind,omitempty"`
	Phase       Phase               `json:"phase"`
	// Reason and ReasonDetail are why it began: schedule's word and sentence.
	Reason       string `json:"reason"`
	ReasonDetail string `json:"reason_detail"`

	IdempotencyKey string         `json:"idempotency_key"`
	Names          []string       `json:"names"`
	KeyType        string         `json:"key_type"`
	Key            []byte         `json:"key,omitempty"` // PKCS#8 DER; gone once the order is final
	CSR            []byte         `json:"csr,omitempty"`
	Settings       map[string]any `json:"settings,omitempty"`
	// CostsMoney: the CA sells orders. Buys says whether this one is bought.
	CostsMoney bool `json:"costs_money,omitempty"`
	// ReissueCosts: it is a reissue that spends money all the same, for names that it adds.
	ReissueCosts bool      `json:"reissue_costs,omitempty"`
	Previous     *Previous `json:"previous,omitempty"`
	// Planned is when its kind was decided, for what has not been sent.
	Planned time.Time `json:"planned,omitzero"`
	// Excluded are, by name, the types of challenge that CAA records exclude; CAAUnknown counts how often the records could
	// not be looked up.
	Excluded   map[string][]pluginapi.ChallengeType `json:"excluded,omitempty"`
	CAAUnknown int                                  `json:"caa_unknown,omitempty"`
	// Approved lists the holds a person has released, ApprovedFor what of a kind that has subjects.
	Approved    []HoldKind            `json:"approved,omitempty"`
	ApprovedFor map[HoldKind][]string `json:"approved_for,omitempty"`

	// SentAt is when PlaceOrder was first called without a known outcome; zero when it surely is not at the CA.
	SentAt time.Time `json:"sent_at,omitzero"`
	// LastSentAt is when it was last called.
	LastSentAt time.Time `json:"last_sent_at,omitzero"`
	// NotFound counts answers of "no such order" that can be trusted since SentAt.
	NotFound int `json:"not_found,omitempty"`

	Reference      string                    `json:"reference,omitempty"`
	PluginState    []byte                    `json:"plugin_state,omitempty"`
	Status         pluginapi.OrderStatus     `json:"status,omitempty"`
	Detail         string                    `json:"detail,omitempty"`
	Authorizations []pluginapi.Authorization `json:"authorizations,omitempty"`
	Publications   []Publication             `json:"publications,omitempty"`
	Chain          [][]byte                  `json:"chain,omitempty"`
	CoverageEnd    time.Time                 `json:"coverage_end,omitzero"`
	Price          *pluginapi.Price          `json:"price,omitempty"`
	Action         *pluginapi.PersonAction   `json:"action,omitempty"`
	Hold           *Hold                     `json:"hold,omitempty"`

	// ReplacesWhole: a whole set was on disk before this one was installed, so there is something to go back to.
	ReplacesWhole bool `json:"replaces_whole,omitempty"`
	// Deploy is the outcome of the last deployment.
	Deploy *Deployment `json:"deploy,omitempty"`

	// Attempts counts failures in a row in this phase; NextAt is when to step again.
	Attempts  int       `json:"attempts,omitempty"`
	NextAt    time.Time `json:"next_at,omitzero"`
	LastError *Problem  `json:"last_error,omitempty"`
	// LookAt is when to look at the order at the CA again. Steps that have to do with a turn may come earlier.
	LookAt time.Time `json:"look_at,omitzero"`
	// TurnTried: since the last look, what waits for its turn has been tried.
	TurnTried bool `json:"turn_tried,omitempty"`
	// WithdrawAttempts and WithdrawAt are the same for withdrawals, which go their own pace.
	WithdrawAttempts int       `json:"withdraw_attempts,omitempty"`
	WithdrawAt       time.Time `json:"withdraw_at,omitzero"`

	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	// Step names the save that this is, for logs and crash tests.
	Step string `json:"step"`
}

// Deployment is the outcome of one deployment.
type Deployment struct {
	OK bool `json:"ok"`
	// Stage is where it ended: "check", "reload", "verify".
	Stage    string        `json:"stage,omitempty"`
	Message  string        `json:"message,omitempty"`
	Output   string        `json:"output,omitempty"`
	ExitCode int           `json:"exit_code,omitempty"`
	At       time.Time     `json:"at"`
	Took     time.Duration `json:"took,omitempty"`
	// RolledBack: the set that was there before is back.
	RolledBack bool `json:"rolled_back,omitempty"`
}

// recordVersion is the version of the encoding. A record of a later version is refused, never guessed at: an older
// daemon must not go on with an order it half understands.
const recordVersion = 1

// errRecordVersion says that a record was written by a newer certbridged.
var errRecordVersion = errors.New("written by a newer certbridged")

type envelope[T any] struct {
	Version int `json:"version"`
	Record  T   `json:"record"`
}

func encode[T any](record T) ([]byte, error) {
	return json.Marshal(envelope[T]{Version: recordVersion, Record: record})
}

func decode[T any](text []byte) (T, error) {
	var e envelope[T]
	if err := json.Unmarshal(text, &e); err != nil {
		return e.Record, fmt.Errorf("decode: %w", err)
	}
	switch {
	case e.Version == recordVersion:
		return e.Record, nil
	case e.Version > recordVersion:
		return e.Record, fmt.Errorf("version %d: %w", e.Version, errRecordVersion)
	default:
		return e.Record, fmt.Errorf("version %d is unknown", e.Version)
	}
}

// DecodeRecord reads a record as it stands in the journal and checks what the engine relies on.
func DecodeRecord(text []byte) (Record, error) {
	r, err := decode[Record](text)
	if err != nil {
		return Record{}, err
	}
	if err := r.check(); err != nil {
		return Record{}, err
	}
	for i, p := range r.Publications {
		r.Publications[i].inherited = p.Published || p.MayBeUp
	}
	return r, nil
}

// EncodeRecord writes a record as it stands in the journal.
func EncodeRecord(r Record) ([]byte, error) { return encode(r) }

func (r *Record) check() error {
	switch {
	case r.ID == "" || r.Certificate == "" || r.Account == "":
		return errors.New("no id, certificate or account")
	case !known(r.Phase):
		return fmt.Errorf("unknown phase %q", r.Phase)
	case r.Phase == Held && (r.Hold == nil || !known(r.Hold.Resume) || r.Hold.Resume == Held):
		return errors.New("held without a phase to go on in")
	case r.needsReference() && r.Reference == "":
		return fmt.Errorf("phase %s without the CA's reference", r.Phase)
	case (r.Phase == Issued || r.Phase == Installed) && (len(r.Chain) == 0 || len(r.Key) == 0):
		return fmt.Errorf("phase %s without a chain and key", r.Phase)
	}
	return nil
}

func (r *Record) needsReference() bool {
	switch r.Phase {
	case Placed, Approval, Validating, Issued, Installed:
		return true
	default:
		return false
	}
}

func known(p Phase) bool {
	for _, k := range Phases() {
		if p == k {
			return true
		}
	}
	return false
}

func (r *Record) approved(kind HoldKind) bool {
	for _, k := range r.Approved {
		if k == kind {
			return true
		}
	}
	return false
}

// approvedFor reports whether a person has said yes to a hold of a kind about a subject. A yes from before subjects were
// noted is one to each.
func (r *Record) approvedFor(kind HoldKind, subject string) bool {
	subjects, noted := r.ApprovedFor[kind]
	return r.approved(kind) && (!noted || slices.Contains(subjects, subject))
}

// approve notes a person's yes to the hold that is on.
func (r *Record) approve() {
	if !r.approved(r.Hold.Kind) {
		r.Approved = append(r.Approved, r.Hold.Kind)
	}
	if r.ApprovedFor == nil {
		r.ApprovedFor = map[HoldKind][]string{}
	}
	r.ApprovedFor[r.Hold.Kind] = append(slices.Clip(r.ApprovedFor[r.Hold.Kind]), r.Hold.Subject)
}

// unsent notes that the order surely is not at the CA. It is planned anew before it is sent.
func (r *Record) unsent() {
	r.SentAt, r.LastSentAt, r.NotFound, r.Planned = time.Time{}, time.Time{}, 0, time.Time{}
}

// forget drops what a final order no longer needs: its key is on disk or worthless, its chain is in the history.
func (r *Record) forget() {
	r.Key, r.CSR, r.Authorizations, r.Action = nil, nil, nil, nil
	if r.Phase == Deployed {
		r.Chain, r.Previous = nil, nil
	}
}

// clone copies a record so deeply that changing the copy's lists leaves the original alone.
func (r *Record) clone() Record {
	c := *r
	c.Approved, c.ApprovedFor = append([]HoldKind(nil), r.Approved...), maps.Clone(r.ApprovedFor)
	c.Authorizations = append([]pluginapi.Authorization(nil), r.Authorizations...)
	c.Publications = append([]Publication(nil), r.Publications...)
	return c
}

// Purchase is one paid call that went out, kept to hold the budget.
type Purchase struct {
	Order       string           `json:"order"`
	Account     string           `json:"account"`
	Certificate string           `json:"certificate"`
	At          time.Time        `json:"at"`
	Price       *pluginapi.Price `json:"price,omitempty"`
}

// History is what is remembered of a certificate beyond its orders.
type History struct {
	Certificate string `json:"certificate"`
	// Account and Last are the last order that was issued, for linking what comes next to it.
	Account string    `json:"account,omitempty"`
	Last    *Previous `json:"last,omitempty"`
	// Failures counts orders that failed one after the other; RetryAt keeps the next one back; LastFailure says why.
	Failures    int       `json:"failures,omitempty"`
	RetryAt     time.Time `json:"retry_at,omitzero"`
	LastFailure string    `json:"last_failure,omitempty"`
	// FailedPaid: the last of them cost money.
	FailedPaid bool `json:"failed_paid,omitempty"`
	// RevokedSerial is the certificate that was revoked through us.
	RevokedSerial string `json:"revoked_serial,omitempty"`
	// Window is what the CA last said about a certificate's renewal.
	Window *Window `json:"window,omitempty"`
	// Deploy is the outcome of the last deployment, whoever asked for it.
	Deploy     *Deployment `json:"deploy,omitempty"`
	DeployedAt time.Time   `json:"deployed_at,omitzero"`
}

// Window is a renewal window as the CA gave it for one serial (RFC 9773 section 4.2).
type Window struct {
	Serial         string    `json:"serial"`
	Start          time.Time `json:"start"`
	End            time.Time `json:"end"`
	ExplanationURL string    `json:"explanation_url,omitempty"`
	// LookAt is when to ask again.
	LookAt time.Time `json:"look_at"`
}
