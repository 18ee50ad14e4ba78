package acme

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	lego "github.com/go-acme/lego/v4/acme"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// accountBook holds the account state of this process: what the daemon handed in and what was learned since.
type accountBook struct {
	directory string
	// gate lets one call at a time find out about the account at the CA; unlike a mutex it can be left when a context
	// ends. It has room for one.
	gate chan struct{}

	mu    sync.Mutex
	state accountState
	// dirty: the state is not what the daemon was last told.
	dirty bool
	// inForce is the signer of the record's key.
	inForce signer
	// known: the CA was asked, or need not be, which key is in force, and the account's address is known.
	known bool
	// placing holds the idempotency keys of orders that are being placed right now.
	placing map[string]bool
	// notes are the orders of this process and those of the state, by idempotency key.
	notes *memory[orderNote]
}

// openBook reads the account state and makes what keys are missing.
func openBook(data []byte, s accountSettings) (*accountBook, []pluginapi.Finding) {
	var found findings
	state, err := decodeAccountState(data)
	if err != nil {
		found.fault("", "the stored account state cannot be used: %v; it holds the account key, so restore it from a backup, or remove it to register a new account", err)
		return nil, found
	}
	record, exists := state.Accounts[s.directoryURL]
	dirty := !exists
	if !exists {
		if record.Key, err = newKeyRecord(s.keyType, s.keyGeneration); err != nil {
			found.fault("account_key_type", "%v", err)
			return nil, found
		}
	}
	switch {
	case s.keyGeneration < record.Key.Generation:
		found.add(pluginapi.Warning, "account_key_generation", "is %d, but the account already has key %d; an earlier key does not come back", s.keyGeneration, record.Key.Generation)
	case s.keyGeneration > record.Key.Generation && record.Next == nil:
		// A change to another key that is under way is finished first: the CA may have made it already.
		next, err := newKeyRecord(s.keyType, s.keyGeneration)
		if err != nil {
			found.fault("account_key_type", "%v", err)
			return nil, found
		}
		record.Next, dirty = &next, true
	}
	state.Accounts[s.directoryURL] = record
	b := &accountBook{
		directory: s.directoryURL, gate: make(chan struct{}, 1),
		state: state, dirty: dirty, known: record.URL != "" && record.Next == nil,
		placing: map[string]bool{}, notes: newMemory[orderNote](maxRemembered),
	}
	for _, note := range record.Orders {
		b.notes.put(note.IdempotencyKey, note)
	}
	if b.inForce, err = record.Key.signer(record.URL); err != nil {
		found.fault("", "the stored account key cannot be used: %v", err)
		return nil, found
	}
	return b, found
}

func (k keyRecord) signer(url string) (signer, error) {
	key, err := parseAccountKey(k.PKCS8)
	if err != nil {
		return signer{}, err
	}
	print, err := thumbprint(key)
	if err != nil {
		return signer{}, err
	}
	return signer{key: key, thumbprint: print, url: url}, nil
}

// changed returns the state's bytes when they are not what the daemon was last told, else nil.
//
// A reply may be lost, and those of concurrent calls may be stored in any order, without harm: addresses and orders
// are found again, and while a change of key is under way every state of this process but the last holds both keys,
// which are both tried.
func (b *accountBook) changed() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.dirty {
		return nil
	}
	now, err := b.state.encode()
	if err != nil {
		return nil // encoding plain structures of text and bytes does not fail
	}
	b.dirty = false
	return now
}

// begin claims an idempotency key. It reports false while another call has it; else it returns the order that the key
// made before, if that is remembered. The caller ends the claim.
func (b *accountBook) begin(key string) (note orderNote, free bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.placing[key] {
		return orderNote{}, false
	}
	b.placing[key] = true
	note, _ = b.notes.get(key)
	return note, true
}

func (b *accountBook) end(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.placing, key)
}

// placed remembers an order in the place of any other that its key made.
func (b *accountBook) placed(note orderNote) {
	b.notes.put(note.IdempotencyKey, note)
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.state.Accounts[b.directory]
	orders := slices.DeleteFunc(slices.Clone(r.Orders), func(n orderNote) bool { return n.IdempotencyKey == note.IdempotencyKey })
	orders = append(orders, note)
	r.Orders = orders[max(0, len(orders)-maxNotes):]
	b.state.Accounts[b.directory], b.dirty = r, true
}

// arrived notes that the daemon knows where an order is: it will not place it again, so the state need not tell any more. That
// alone is no reason to have the state stored.
func (b *accountBook) arrived(url string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.state.Accounts[b.directory]
	if i := slices.IndexFunc(r.Orders, func(n orderNote) bool { return n.URL == url }); i >= 0 {
		r.Orders = slices.Delete(slices.Clone(r.Orders), i, i+1)
		b.state.Accounts[b.directory] = r
	}
}

// learn notes the issuer domain names of the CA. What is no domain name helps nobody and is left out.
func (b *accountBook) learn(identities []string) {
	var names []string
	for _, name := range identities {
		if name = strings.ToLower(name); len(names) < maxCAAIdentities && isDomainName(name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.state.Accounts[b.directory]
	if slices.Equal(r.CAAIdentities, names) {
		return
	}
	r.CAAIdentities = names
	b.state.Accounts[b.directory], b.dirty = r, true
}

// maxCAAIdentities bounds what is remembered of a directory.
const maxCAAIdentities = 20

// isDomainName takes labels of letters, digits and hyphens (RFC 8659 section 4.2).
func isDomainName(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "-") != label || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return len(name) <= 253
}

func (b *accountBook) record() accountRecord {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.Accounts[b.directory]
}

// current returns the signer in force.
func (b *accountBook) current() signer {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.inForce
}

// settled returns the signer in force when nothing is left to find out or, with mayChange, to change.
func (b *accountBook) settled(mayChange bool) (signer, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	changing := b.state.Accounts[b.directory].Next != nil
	return b.inForce, b.known && (!changing || !mayChange)
}

// registered notes the account's address.
func (b *accountBook) registered(url string) signer {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.state.Accounts[b.directory]
	b.dirty = b.dirty || r.URL != url
	r.URL = url
	b.state.Accounts[b.directory] = r
	b.inForce.url = url
	b.known = url != ""
	return b.inForce
}

// changedKey notes that the next key is in force at an account's address.
func (b *accountBook) changedKey(next signer) signer {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.state.Accounts[b.directory]
	r.Key, r.Next, r.URL = *r.Next, nil, next.url
	b.state.Accounts[b.directory], b.dirty = r, true
	b.inForce = next
	b.known = next.url != ""
	return b.inForce
}

// account returns the account's signer. Where needed it registers the account, finds out which of two keys is in
// force, and with mayChange carries out a change of key that was asked for. It asks the CA once per process.
func (s *session) account(ctx context.Context, mayChange bool) (signer, error) {
	if who, ok := s.book.settled(mayChange); ok {
		return who, nil
	}
	select {
	case s.book.gate <- struct{}{}:
		defer func() { <-s.book.gate }()
	case <-ctx.Done():
		return signer{}, &pluginapi.Error{Kind: pluginapi.Unavailable, Message: "the call's time ended while another call asked the CA about the account", Err: ctx.Err()}
	}
	if who, ok := s.book.settled(mayChange); ok {
		return who, nil
	}
	return s.settle(ctx, mayChange)
}

// settle does what account says; the caller holds the gate.
func (s *session) settle(ctx context.Context, mayChange bool) (signer, error) {
	who := s.book.current()
	record := s.book.record()
	if record.Next == nil {
		return s.register(ctx, who)
	}
	next, err := record.Next.signer("")
	if err != nil {
		return signer{}, pluginapi.Errorf(pluginapi.InvalidRequest, "the stored next account key cannot be used: %w", err)
	}
	// An earlier process may have changed the key and been killed before its reply was stored.
	if next.url, err = s.lookUp(ctx, next); err != nil {
		return signer{}, err
	}
	if next.url != "" {
		return s.book.changedKey(next), nil
	}
	if who.url == "" {
		if who.url, err = s.lookUp(ctx, who); err != nil {
			return signer{}, err
		}
		if who.url == "" {
			// The account was never registered, so there is nothing to change.
			return s.register(ctx, s.book.changedKey(next))
		}
	}
	who = s.book.registered(who.url)
	if !mayChange {
		return who, nil
	}
	return s.changeKey(ctx, who, next)
}

// changeKey puts next in force. When the CA clearly did not take it the old key goes on: a certificate is worth more
// than a new account key, the next order tries again, and Preflight tells.
func (s *session) changeKey(ctx context.Context, who, next signer) (signer, error) {
	refused := s.client.changeKey(ctx, who, next)
	if refused == nil {
		next.url = who.url
		s.log.Info("account key changed", "account", who.url)
		return s.book.changedKey(next), nil
	}
	url, err := s.lookUp(ctx, next)
	if err != nil {
		return signer{}, fail("change the account key", refused)
	}
	if url != "" {
		next.url = url
		return s.book.changedKey(next), nil
	}
	s.log.Warn("account key not changed; the old one stays in force", "account", who.url, "error", fail("change the account key", refused).Error())
	return who, nil
}

// lookUp asks for the address of the account with a key, empty when there is none (RFC 8555 section 7.3.1).
func (s *session) lookUp(ctx context.Context, who signer) (string, error) {
	who.url = ""
	found, err := s.client.newAccount(ctx, who, lego.Account{OnlyReturnExisting: true})
	if isProblem(err, "accountDoesNotExist") {
		return "", nil
	}
	if err != nil {
		return "", fail("look up the account", err)
	}
	return accountAddress(found)
}

// register makes the account, or finds it: newAccount with a key that the CA knows returns its account (RFC 8555
// section 7.3), so a lost answer costs nothing.
func (s *session) register(ctx context.Context, who signer) (signer, error) {
	if s.settings.eabKID != "" {
		// Some CAs take an external binding only once; an account that exists must not be bound again.
		url, err := s.lookUp(ctx, who)
		if err != nil {
			return signer{}, err
		}
		if url != "" {
			return s.book.registered(url), nil
		}
	}
	who.url = ""
	wanted := lego.Account{TermsOfServiceAgreed: true, Contact: s.settings.contacts}
	if s.settings.eabKID != "" {
		dir, err := s.client.directory(ctx)
		if err != nil {
			return signer{}, fail("register the account", err)
		}
		if wanted.ExternalAccountBinding, err = who.bind(dir.NewAccountURL, s.settings.eabKID, s.settings.eabHMAC); err != nil {
			return signer{}, fail("register the account", err)
		}
	}
	made, err := s.client.newAccount(ctx, who, wanted)
	if err != nil {
		out := fail("register the account", err)
		var p *problem
		if errors.As(err, &p) && p.kind() == "externalAccountRequired" && s.settings.eabKID == "" {
			out.Message += "; set eab_kid and eab_hmac_key to what the CA gives for your account there"
		}
		return signer{}, out
	}
	url, err := accountAddress(made)
	if err != nil {
		return signer{}, err
	}
	s.log.Info("account registered", "account", url)
	return s.book.registered(url), nil
}

// newAccount sends newAccount (RFC 8555 section 7.3), signed by a key that has no address.
func (c *client) newAccount(ctx context.Context, who signer, wanted lego.Account) (lego.ExtendedAccount, error) {
	dir, err := c.directory(ctx)
	if err != nil {
		return lego.ExtendedAccount{}, err
	}
	a, err := c.post(ctx, who, dir.NewAccountURL, wanted)
	if err != nil {
		return lego.ExtendedAccount{}, err
	}
	made := lego.ExtendedAccount{Location: a.header.Get("Location")}
	return made, a.read(&made.Account)
}

func accountAddress(a lego.ExtendedAccount) (string, error) {
	if a.Status != "" && a.Status != lego.StatusValid {
		return "", pluginapi.Errorf(pluginapi.Unauthorized, "the account %s is %s at the CA", clean(a.Location, maxWords), clean(a.Status, 40))
	}
	if !isHTTPS(a.Location) {
		return "", pluginapi.Errorf(pluginapi.Unavailable, "the CA gave no https address for the account")
	}
	return a.Location, nil
}

// signed sends a request as the account and decodes the answer, where into is not nil. When the account's key was changed by
// another call meanwhile, the request is sent once more.
func (s *session) signed(ctx context.Context, who signer, address string, payload, into any) (answer, error) {
	a, err := s.post(ctx, who, address, payload)
	if err != nil || into == nil {
		return a, err
	}
	if err := a.read(into); err != nil {
		return a, &outcome{err: err, sent: true}
	}
	return a, nil
}

func (s *session) post(ctx context.Context, who signer, address string, payload any) (answer, error) {
	a, err := s.client.post(ctx, who, address, payload)
	if err == nil {
		return a, nil
	}
	now := s.book.current()
	var p *problem
	if now.thumbprint != who.thumbprint && now.url != "" && errors.As(err, &p) && p.status < 500 && !isProblem(err, "rateLimited") {
		return s.client.post(ctx, now, address, payload)
	}
	return a, err
}
