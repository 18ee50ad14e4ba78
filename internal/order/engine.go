// Package order is the order's state machine and its journal: it takes an order from the intent to the deployed
// certificate, one external thing and one save at a time, and never buys one intent twice.
package order

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Journal keeps records durably. Write is one transaction; a nil value deletes. Read returns nil for a record that is not
// there.
type Journal interface {
	Write(bucket string, records map[string][]byte) error
	Read(bucket, key string) ([]byte, error)
	Each(bucket string, visit func(key string, value []byte) error) error
}

// CA is one CA account. Every plugin error it returns has a kind; anything else counts as an unknown outcome where
// money can be spent.
type CA interface {
	Describe(ctx context.Context) (pluginapi.Description, error)
	pluginapi.OrderChecker
	pluginapi.OrderFinder
	pluginapi.CertificateFinder
	pluginapi.OrderInspector
	pluginapi.OrderCanceler
	pluginapi.Revoker
	Orderer
}

// Orderer is the part of a CA that every plugin has.
type Orderer interface {
	PlaceOrder(ctx context.Context, order pluginapi.OrderRequest) (pluginapi.OrderReply, error)
	GetOrder(ctx context.Context, order pluginapi.PlacedOrder) (pluginapi.OrderReply, error)
	RespondToChallenges(ctx context.Context, order pluginapi.PlacedOrder, challengeIDs []string) (pluginapi.OrderReply, error)
}

// Publisher publishes and withdraws challenges. All calls are safe to repeat. Publish is given the receipt of an earlier
// call for the same challenge, where there is one, and fails with ErrTurn when another challenge has the profile's turn.
type Publisher interface {
	// InProcess reports whether what a profile publishes is up only as long as this process runs, however it ends. To choose,
	// publish and withdraw it waits for nobody.
	InProcess(profile string) bool
	ChallengeTypes(ctx context.Context, profiles []string, identifier string) ([]pluginapi.ChallengeType, error)
	Choose(ctx context.Context, profiles []string, a pluginapi.Authorization) (profile string, c pluginapi.Challenge, err error)
	Publish(ctx context.Context, profile string, c pluginapi.Challenge, earlier []byte) (receipt []byte, err error)
	Withdraw(ctx context.Context, profile string, c pluginapi.Challenge, receipt []byte) error
	AwaitVisible(ctx context.Context, profile string, c pluginapi.Challenge) error
}

// Current is what is on disk for a certificate.
type Current struct {
	// Leaf is nil when there is none.
	Leaf *x509.Certificate
	// Whole: all files are there and belong together.
	Whole bool
}

// Files puts sets of files in place. All calls are safe to repeat; id names the set.
type Files interface {
	Current(certificate string) (Current, error)
	// Ready says what would keep a set from being installed, such as a folder that is missing; it changes nothing.
	Ready(certificate string) error
	// CurrentKey returns the private key on disk.
	CurrentKey(certificate string) (crypto.Signer, error)
	Install(ctx context.Context, certificate, id string, key crypto.Signer, chain []*x509.Certificate) error
	RollBack(ctx context.Context, certificate, id string) error
	Commit(ctx context.Context, certificate, id string) error
}

// Deployer makes servers use what is on disk and looks at what they serve.
type Deployer interface {
	// Deploy checks, reloads and verifies, and stops at the first failure.
	Deploy(ctx context.Context, certificate string, leaf *x509.Certificate) Deployment
	// Reload makes servers use the set that was rolled back.
	Reload(ctx context.Context, certificate string) Deployment
}

// Spec is what the configuration says about a certificate and its CA account.
type Spec struct {
	Name, Account string
	// Names are the configured ones, or those of the certificate on disk.
	Names    []string
	KeyType  string
	ReuseKey bool
	Settings pluginapi.Settings
	// Profiles are the DCV profiles for one name, the favourite first.
	Profiles func(name string) []string
	// MaxPerDay and MaxPerCertificate limit purchases of the account, and for this certificate, in 24 hours.
	MaxPerDay, MaxPerCertificate int
	// PollInterval overrides the plugin's own pace; zero leaves it.
	PollInterval time.Duration
	// Place says what is found about the settings, and where they are written; nil: the finding's own words will do.
	Place func(pluginapi.Finding) string
}

// Catalog answers with the configuration of the day.
type Catalog interface {
	Spec(certificate string) (Spec, bool)
	CA(account string) (CA, bool)
}

// Options are an Engine's ports.
type Options struct {
	Journal   Journal
	Catalog   Catalog
	Publisher Publisher
	Files     Files
	Deployer  Deployer
	// CAA is asked before an order is sent; nil means that nothing is looked at.
	CAA CAAChecker
	Now func() time.Time
	// Entropy is where keys of intents come from; nil means crypto/rand.
	Entropy io.Reader
	Logger  *slog.Logger
	// Changed is called after every save of an order, outside any lock.
	Changed func(before, after Record)
}

// The ways a call to the Engine can be refused.
var (
	ErrOpenOrder     = errors.New("an order is open already")
	ErrNotConfigured = errors.New("not in the configuration")
	ErrNoOrder       = errors.New("no such order")
	ErrBusy          = errors.New("the order is being worked on")
	ErrWrongPhase    = errors.New("the order's phase excludes it")
)

// Engine holds all orders and works on them. Its methods are safe for concurrent use; one order is stepped by one
// caller at a time.
type Engine struct {
	Options

	mu        sync.Mutex
	orders    map[string]*entry  // those that something is still to be done for
	past      map[string]past    // the others: they are read from the journal when asked for
	open      map[string]string  // certificate -> id of its open order
	histories map[string]memo    // without what only the next order needs
	whole     map[string]History // those of certificates that are being worked on
	// historyLocks are held while a certificate's history is changed and saved.
	historyLocks map[string]*sync.Mutex
	purchases    map[string]Purchase
	// recent are the purchases that a budget may count, as of recentSince.
	recent      map[string]Purchase
	recentSince time.Time
	// inherited are the orders that had something up when the journal was read, which nobody may have looked at since.
	inherited map[string]*entry
}

// entry is one order in memory. Its record changes only under mu and only after the journal has it.
type entry struct {
	mu     sync.Mutex
	record Record
	// unsaved is a change that the journal could not take, with what belongs to it: what a CA answered must not be lost
	// to a full disk.
	unsaved     *Record
	unsavedMore []sidecar

	stepping, withdrawing bool
	// live: what the record says is published was published by this process. A responder forgets on restart.
	live bool
	// installed is when this process has put the certificate in place; zero once it has been looked whether it still is there.
	installed time.Time
	parsed    parsed
}

const (
	bucket         = "journal"
	orderPrefix    = "order/"
	historyPrefix  = "history/"
	purchasePrefix = "purchase/"
)

// New reads the journal. A record that cannot be read is an error that names it: going on without it could buy twice.
func New(o Options) (*Engine, error) {
	if o.Entropy == nil {
		o.Entropy = rand.Reader
	}
	// By the wall clock alone: what is noted must mean the same before and after a restart, and while a machine sleeps.
	clock := o.Now
	o.Now = func() time.Time { return clock().Round(0) }
	if o.Changed == nil {
		o.Changed = func(Record, Record) {}
	}
	e := &Engine{
		Options: o, orders: map[string]*entry{}, past: map[string]past{}, open: map[string]string{},
		histories: map[string]memo{}, whole: map[string]History{}, historyLocks: map[string]*sync.Mutex{}, purchases: map[string]Purchase{},
		inherited: map[string]*entry{},
	}
	if err := o.Journal.Each(bucket, e.load); err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	return e, nil
}

func (e *Engine) load(key string, value []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("record %s: %w", key, err)
		}
	}()
	switch {
	case strings.HasPrefix(key, orderPrefix):
		var r Record
		if r, err = DecodeRecord(value); err != nil {
			return err
		}
		if r.over() {
			e.past[r.ID] = past{certificate: r.Certificate, created: r.Created}
			return nil
		}
		if !r.Phase.Final() {
			if other, taken := e.open[r.Certificate]; taken {
				return fmt.Errorf("certificate %s has two open orders, the other is %s", r.Certificate, other)
			}
			e.open[r.Certificate] = r.ID
		}
		en := &entry{record: r}
		e.orders[r.ID] = en
		if slices.ContainsFunc(r.Publications, func(p Publication) bool { return p.inherited }) {
			e.inherited[r.ID] = en
		}
	case strings.HasPrefix(key, historyPrefix):
		var h History
		if h, err = decode[History](value); err != nil {
			return err
		}
		e.histories[h.Certificate] = h.pack()
	case strings.HasPrefix(key, purchasePrefix):
		var p Purchase
		if p, err = decode[Purchase](value); err != nil {
			return err
		}
		e.purchases[p.Order] = p
	default:
		return errors.New("unknown kind of record")
	}
	return nil
}

// Intent is the wish for an order and why.
type Intent struct {
	Certificate    string
	Reason, Detail string
}

// Begin journals an intent. Nothing is sent yet. It fails with ErrOpenOrder when the certificate has an open order.
func (e *Engine) Begin(intent Intent) (Record, error) {
	spec, ok := e.Catalog.Spec(intent.Certificate)
	if !ok {
		return Record{}, fmt.Errorf("certificate %s: %w", intent.Certificate, ErrNotConfigured)
	}
	if len(spec.Names) == 0 {
		return Record{}, fmt.Errorf("certificate %s: no domains are configured and none are on disk", intent.Certificate)
	}
	var random [24]byte
	if _, err := io.ReadFull(e.Entropy, random[:]); err != nil {
		return Record{}, fmt.Errorf("make an idempotency key: %w", err)
	}
	now := e.Now()
	r := Record{
		ID:             now.UTC().Format("20060102-150405-") + hex.EncodeToString(random[16:20]),
		Certificate:    intent.Certificate,
		Account:        spec.Account,
		Phase:          Intended,
		Reason:         intent.Reason,
		ReasonDetail:   intent.Detail,
		IdempotencyKey: hex.EncodeToString(random[:16]),
		Names:          slices.Clone(spec.Names),
		KeyType:        spec.KeyType,
		Settings:       spec.Settings.Values,
		Created:        now,
		NextAt:         now,
	}

	e.mu.Lock()
	if id, taken := e.open[r.Certificate]; taken {
		e.mu.Unlock()
		return Record{}, fmt.Errorf("certificate %s, order %s: %w", r.Certificate, id, ErrOpenOrder)
	}
	e.open[r.Certificate] = r.ID // taken before the lock is let go, so that two callers cannot both begin
	en := &entry{record: r, live: true}
	e.orders[r.ID] = en
	e.mu.Unlock()

	err := e.update(en, "intended", func(*Record) {})
	if err != nil {
		e.mu.Lock()
		delete(e.open, r.Certificate)
		delete(e.orders, r.ID)
		e.mu.Unlock()
		return Record{}, err
	}
	return en.snapshot(), nil
}

// snapshot returns the record as it is now. Its lists are never changed, but replaced with the record: they are not to be changed
// by the caller either, who clones it first.
func (en *entry) snapshot() Record {
	en.mu.Lock()
	defer en.mu.Unlock()
	return en.record
}

// update changes a record and journals it, with what belongs to it, in one transaction. When the journal cannot take
// it, the change is kept in memory and saved before anything else is done for the order.
func (e *Engine) update(en *entry, step string, change func(*Record), more ...sidecar) error {
	en.mu.Lock()
	before := en.record
	after := en.record.clone()
	if en.unsaved != nil {
		after, more = en.unsaved.clone(), append(en.unsavedMore, more...)
	}
	change(&after)
	after.Step, after.Updated = step, e.Now()
	if after.Phase.Final() {
		after.forget()
	}
	err := e.save(en, after, more)
	en.mu.Unlock()
	if err != nil {
		return err
	}
	e.Changed(before, after)
	return nil
}

// sidecar is a record that is saved in the same transaction as an order. value makes it, nil deletes; apply makes it
// known in memory afterwards. lock, where there is one, is held from value to apply, so that no other change of the
// same record is lost between them.
type sidecar struct {
	key   string
	value func() (any, error)
	apply func()
	lock  *sync.Mutex
}

func (e *Engine) save(en *entry, after Record, more []sidecar) error {
	records := map[string][]byte{}
	text, err := EncodeRecord(after)
	if err != nil {
		return fmt.Errorf("order %s: encode: %w", after.ID, err)
	}
	records[orderPrefix+after.ID] = text
	held := map[*sync.Mutex]bool{}
	for _, s := range more {
		if s.lock != nil && !held[s.lock] {
			held[s.lock] = true
			s.lock.Lock()
			defer s.lock.Unlock()
		}
		if records[s.key], err = encodeSidecar(s.value()); err != nil {
			return fmt.Errorf("order %s: encode %s: %w", after.ID, s.key, err)
		}
	}
	if err := e.Journal.Write(bucket, records); err != nil {
		en.unsaved, en.unsavedMore = &after, more
		return fmt.Errorf("order %s: journal %s: %w", after.ID, after.Step, err)
	}
	en.record, en.unsaved, en.unsavedMore = after, nil, nil
	e.mu.Lock()
	for _, s := range more {
		s.apply()
	}
	if after.Phase.Final() && e.open[after.Certificate] == after.ID {
		delete(e.open, after.Certificate)
		delete(e.whole, after.Certificate)
	}
	if after.over() { // whoever works on the entry still sees what the journal has: such a record changes no more
		delete(e.orders, after.ID)
		e.past[after.ID] = past{certificate: after.Certificate, created: after.Created}
	}
	e.mu.Unlock()
	return nil
}

func encodeSidecar(value any, err error) ([]byte, error) {
	if value == nil || err != nil {
		return nil, err
	}
	return encode(value)
}

// saveHistory changes what is remembered of a certificate, outside any order.
func (e *Engine) saveHistory(certificate string, change func(*History)) error {
	s := e.historySidecar(certificate, change)
	s.lock.Lock()
	defer s.lock.Unlock()
	text, err := encodeSidecar(s.value())
	if err != nil {
		return fmt.Errorf("certificate %s: encode: %w", certificate, err)
	}
	if err := e.Journal.Write(bucket, map[string][]byte{s.key: text}); err != nil {
		return fmt.Errorf("certificate %s: journal: %w", certificate, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s.apply()
	return nil
}

// historySidecar is a changed history to be saved together with an order.
func (e *Engine) historySidecar(certificate string, change func(*History)) sidecar {
	e.mu.Lock()
	defer e.mu.Unlock()
	lock := e.historyLocks[certificate]
	if lock == nil {
		lock = &sync.Mutex{}
		e.historyLocks[certificate] = lock
	}
	var h History
	return sidecar{
		key:  historyPrefix + certificate,
		lock: lock,
		value: func() (any, error) {
			var err error
			if h, err = e.wholeHistory(certificate); err != nil {
				return nil, err
			}
			h.Certificate = certificate
			change(&h)
			return h, nil
		},
		apply: func() {
			e.histories[certificate] = h.pack()
			if delete(e.whole, certificate); e.open[certificate] != "" { // it is changed again soon
				e.whole[certificate] = h
			}
		},
	}
}
