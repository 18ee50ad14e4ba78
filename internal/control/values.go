package control

import "time"

// The values below are what --json prints, so their field names are stable: fields are added, never renamed.

// Info says which daemon this is.
type Info struct {
	Version    string    `json:"version"`
	ConfigPath string    `json:"config_path"`
	PID        int       `json:"pid"`
	Started    time.Time `json:"started"`
	// ConfigLoaded is when the configuration that runs was read; ConfigProblems are mistakes that keep the files on disk
	// from being it.
	ConfigLoaded   time.Time `json:"config_loaded"`
	ConfigProblems []string  `json:"config_problems,omitempty"`
}

// Certificate is a managed certificate.
type Certificate struct {
	Name    string   `json:"name"`
	Enabled bool     `json:"enabled"`
	Names   []string `json:"names"`
	Account string   `json:"account"`
	Files   []File   `json:"files"`
	// Leaf is what is on disk, nil when there is none.
	Leaf *Leaf `json:"leaf,omitempty"`
	// Problem is what is wrong with what is on disk.
	Problem string `json:"problem,omitempty"`
	Next    Next   `json:"next"`
	// Order is the one under way.
	Order *Order `json:"order,omitempty"`
	// Deployment is the last one.
	Deployment  *Deployment `json:"deployment,omitempty"`
	CoverageEnd time.Time   `json:"coverage_end,omitzero"`
}

// File is a file of a certificate.
type File struct {
	Form    string `json:"form"`
	Path    string `json:"path"`
	Problem string `json:"problem,omitempty"`
}

// Leaf is the certificate on disk.
type Leaf struct {
	Serial      string    `json:"serial"`
	Issuer      string    `json:"issuer"`
	Names       []string  `json:"names"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	KeyType     string    `json:"key_type"`
	Fingerprint string    `json:"fingerprint"`
}

// Next says what comes next: when, and why in a word and in a sentence. At is zero when nothing but an event changes
// it; Due means now.
type Next struct {
	At     time.Time `json:"at,omitzero"`
	Due    bool      `json:"due"`
	Reason string    `json:"reason"`
	Detail string    `json:"detail"`
}

// Order is one order in the journal, without its key and the plugin's state.
type Order struct {
	ID          string `json:"id"`
	Certificate string `json:"certificate"`
	Account     string `json:"account"`
	Kind        string `json:"kind,omitempty"`
	// Phase is where it stands here, Status where it stands at the CA.
	Phase        string   `json:"phase"`
	Status       string   `json:"status,omitempty"`
	Detail       string   `json:"detail,omitempty"`
	Reason       string   `json:"reason"`
	ReasonDetail string   `json:"reason_detail"`
	Reference    string   `json:"reference,omitempty"`
	Names        []string `json:"names"`
	CostsMoney   bool     `json:"costs_money"`
	// CostsUnknown: CostsMoney is not known yet. The order's kind is decided when it is prepared.
	CostsUnknown bool          `json:"costs_unknown,omitempty"`
	Price        *Price        `json:"price,omitempty"`
	Hold         *Hold         `json:"hold,omitempty"`
	Action       *PersonAction `json:"action,omitempty"`
	Publications []Publication `json:"publications,omitempty"`
	// Attempts counts failures in a row.
	Attempts    int         `json:"attempts"`
	LastError   *Problem    `json:"last_error,omitempty"`
	NextAt      time.Time   `json:"next_at,omitzero"`
	CoverageEnd time.Time   `json:"coverage_end,omitzero"`
	Created     time.Time   `json:"created"`
	Updated     time.Time   `json:"updated"`
	Deployment  *Deployment `json:"deployment,omitempty"`
}

// Price is what an order costs.
type Price struct {
	Amount   string `json:"amount"`
	Currency string `json:"currency"`
}

// Hold is why an order waits for a person.
type Hold struct {
	Kind   string    `json:"kind"`
	Detail string    `json:"detail"`
	Since  time.Time `json:"since"`
}

// PersonAction says who must do what, and where.
type PersonAction struct {
	Who  string `json:"who"`
	What string `json:"what"`
	URL  string `json:"url,omitempty"`
}

// Publication is a challenge that is, or may be, published.
type Publication struct {
	Profile    string `json:"profile"`
	Identifier string `json:"identifier"`
	Type       string `json:"type"`
	Place      string `json:"place"`
	// Published: it surely is; otherwise it may be.
	Published bool `json:"published"`
}

// Problem is something that went wrong.
type Problem struct {
	Kind    string    `json:"kind"`
	Message string    `json:"message"`
	At      time.Time `json:"at"`
}

// Deployment is the outcome of check, reload and verify.
type Deployment struct {
	OK bool `json:"ok"`
	// Stage is where it ended: "check", "reload", "verify".
	Stage   string `json:"stage,omitempty"`
	Message string `json:"message,omitempty"`
	// Output is the end of the command's output.
	Output     string        `json:"output,omitempty"`
	ExitCode   int           `json:"exit_code"`
	At         time.Time     `json:"at"`
	Took       time.Duration `json:"took_ns"`
	RolledBack bool          `json:"rolled_back"`
	// NextAt is when it is tried again.
	NextAt time.Time `json:"next_at,omitzero"`
}

// Explanation says why a certificate is or is not being renewed.
type Explanation struct {
	Certificate Certificate `json:"certificate"`
	// Facts are what the decision rests on, each a sentence.
	Facts []string `json:"facts"`
}

// RenewRequest asks for an order.
type RenewRequest struct {
	Name   string
	DryRun bool
	Force  bool
}

// Renewal says what was or would be ordered.
type Renewal struct {
	// Ordered: something was, or in a dry run would be, ordered.
	Ordered    bool     `json:"ordered"`
	Kind       string   `json:"kind,omitempty"`
	Account    string   `json:"account"`
	Names      []string `json:"names,omitempty"`
	Reason     string   `json:"reason"`
	Detail     string   `json:"detail"`
	CostsMoney bool     `json:"costs_money"`
	// CostsUnknown: CostsMoney is not known yet.
	CostsUnknown bool   `json:"costs_unknown,omitempty"`
	Price        *Price `json:"price,omitempty"`
	// Order is the one that was begun or is under way already.
	Order *Order `json:"order,omitempty"`
	// WouldHold is why the order would be held for a person.
	WouldHold string `json:"would_hold,omitempty"`
}

// RevokeRequest asks to revoke the certificate on disk.
type RevokeRequest struct {
	Name string
	// Reason is a CRLReason (RFC 5280 section 5.3.1).
	Reason int
	// Serial, when given, must be that of the certificate on disk.
	Serial string
}

// Revocation says what came of it.
type Revocation struct {
	Serial string        `json:"serial"`
	Detail string        `json:"detail,omitempty"`
	Action *PersonAction `json:"action,omitempty"`
}

// OrderFilter chooses orders.
type OrderFilter struct {
	// Certificate chooses those of one certificate; empty means all.
	Certificate string
	// All chooses finished ones too.
	All bool
}

// Plugin is a file of the plugin folder.
type Plugin struct {
	// File is the file's name, Name the name in the configuration.
	File    string `json:"file"`
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	// State is "idle", "running", "starting", "backing-off", "quarantined" or "refused"; Reason says why.
	State    string `json:"state"`
	Reason   string `json:"reason,omitempty"`
	PIDs     []int  `json:"pids,omitempty"`
	Restarts int    `json:"restarts"`
	SHA256   string `json:"sha256,omitempty"`
	// Users are the CA accounts or DCV profiles.
	Users []string `json:"users,omitempty"`
}

// PluginDescription says what a plugin is.
type PluginDescription struct {
	Plugin          Plugin    `json:"plugin"`
	Summary         string    `json:"summary,omitempty"`
	Abilities       []string  `json:"abilities,omitempty"`
	ChallengeTypes  []string  `json:"challenge_types,omitempty"`
	OrdersCostMoney bool      `json:"orders_cost_money"`
	Settings        []Setting `json:"settings,omitempty"`
	OrderSettings   []Setting `json:"order_settings,omitempty"`
}

// Setting describes one setting of a plugin; nested ones have a dotted path.
type Setting struct {
	Path     string `json:"path"`
	Type     string `json:"type"`
	Required bool   `json:"required"`
	Secret   bool   `json:"secret"`
	Default  any    `json:"default,omitempty"`
	Allowed  []any  `json:"allowed,omitempty"`
	Help     string `json:"help"`
}

// PlannedAct is one thing to come.
type PlannedAct struct {
	At          time.Time `json:"at"`
	Certificate string    `json:"certificate"`
	Account     string    `json:"account"`
	Kind        string    `json:"kind,omitempty"`
	Reason      string    `json:"reason"`
	Detail      string    `json:"detail"`
	CostsMoney  bool      `json:"costs_money"`
}

// EventFilter chooses events.
type EventFilter struct {
	// Follow goes on with what happens from now on.
	Follow bool
	// Certificate chooses those of one certificate; empty means all.
	Certificate string
}

// Event is something that happened.
type Event struct {
	At time.Time `json:"at"`
	// Level is "info", "warn" or "error".
	Level string `json:"level"`
	// Type is a word such as "order-placed", Message a sentence.
	Type        string `json:"type"`
	Message     string `json:"message"`
	Certificate string `json:"certificate,omitempty"`
	Order       string `json:"order,omitempty"`
	Account     string `json:"account,omitempty"`
	Plugin      string `json:"plugin,omitempty"`
}

// ProfileTest says what to try of a DCV profile.
type ProfileTest struct {
	Profile, Domain string
	// Type is "txt", "cname" or "http"; empty: what the profile can do.
	Type string
	// Place is where, in place of where ACME wants it: the labels before the domain ("@" for none), or the path of a
	// file.
	Place string
}

// ProfileTestStep is one step of a test.
type ProfileTestStep struct {
	// Step is "place", "published", "look", "seen", "withdrawn" or "gone".
	Step string `json:"step"`
	// OK: it went well; of "look": everybody has it.
	OK      bool           `json:"ok"`
	Message string         `json:"message"`
	Answers []ServerAnswer `json:"answers,omitempty"`
	Took    time.Duration  `json:"took_ns,omitempty"`
}

// ServerAnswer is what one name server says about a record.
type ServerAnswer struct {
	Server  string `json:"server,omitempty"`
	Address string `json:"address"`
	// Values are what it has at the name; Seen: what was published is among them.
	Values  []string      `json:"values,omitempty"`
	Seen    bool          `json:"seen"`
	Problem string        `json:"problem,omitempty"`
	Took    time.Duration `json:"took_ns"`
}
