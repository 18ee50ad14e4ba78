package dcv

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// publication is something that is published through a profile, perhaps for several challenges.
type publication struct {
	// busy is held by whoever publishes or withdraws it.
	busy chan struct{}
	// pub is what it was published with, or nil when this process has not published it. It belongs to who holds busy.
	pub publisher
	// owners are the challenges it is published for, by showingKey; users counts who works with this publication. Both are
	// guarded by the Solver.
	owners map[string]bool
	users  int
}

// showing is what this process knows of a challenge it has published.
type showing struct {
	// name is where its record stands, after CNAME records.
	name string
	// key is that of its publication.
	key string
	// wrong counts the waits that did not see it.
	wrong int
}

// Publish puts up what a challenge asks for. It is safe to repeat, also after a restart, and then wants the receipt of
// the earlier call: what a plugin has published outlives the process that asked for it, and is not published twice. The
// receipt belongs to Withdraw. What is published already in another version fails with a Conflict. A TXT record is published where the CNAME records
// at its name lead to. A profile that publishes one challenge at a time fails with ErrTurn while it publishes another.
func (s *Solver) Publish(ctx context.Context, profile string, c pluginapi.Challenge, earlier []byte) (receipt []byte, err error) {
	pub, err := s.profile(profile)
	if err != nil {
		return nil, err
	}
	switch outlived, err := s.outlived(ctx, profile, pub, c, earlier); {
	case err != nil:
		return nil, fmt.Errorf("dcv profile %q: publish %s: %w", profile, describe(c), err)
	case outlived:
		if err := s.takeOver(ctx, profile, pub, c, earlier); err != nil {
			return nil, err
		}
		return earlier, nil
	}
	at := c
	if isPlugin(pub) && isFollowed(c) {
		if at.DNS, err = s.follow(ctx, c); err != nil {
			return nil, fmt.Errorf("dcv profile %q: publish %s: %w", profile, describe(c), err)
		}
		if before := s.shownAt(profile, c); before != "" && !sameName(before, at.DNS.Name) {
			// The CNAME records have changed. The new receipt would not know of the old place.
			if err := s.Withdraw(ctx, profile, c, earlier); err != nil {
				return nil, err
			}
		}
	}
	key, err := s.publicationKey(ctx, profile, pub, at)
	if err != nil {
		return nil, fmt.Errorf("dcv profile %q: publish %s: %w", profile, describe(c), err)
	}
	if before := s.shownKey(profile, c); c.HTTP != nil && before != "" && before != key {
		// The profile now ignores hosts, or does so no more: what it means is another publication.
		if err := s.Withdraw(ctx, profile, c, earlier); err != nil {
			return nil, err
		}
	}
	p, release, err := s.acquire(ctx, profile, key, at)
	if err != nil {
		return nil, err
	}
	defer release()
	if before := s.wayBefore(p, earlier); before != nil && before != pub && (!isPlugin(before) || !isPlugin(pub)) {
		// The profile means something else now. What it published before would be forgotten.
		if err := before.withdraw(ctx, at, nil); err != nil {
			return nil, fmt.Errorf("dcv profile %q, as it was: withdraw %s: %w", profile, describeAt(c, at), err)
		}
		p.pub = nil
	}
	first, err := s.takeTurn(ctx, profile, pub, key, at)
	if err != nil {
		return nil, fmt.Errorf("dcv profile %q: publish %s: %w", profile, describe(c), err)
	}
	s.show(profile, c, at, key)
	receipt, err = pub.publish(ctx, at)
	if err != nil {
		if first {
			s.endTurn(key)
		}
		if errors.Is(err, ErrTurn) {
			s.unshow(profile, c)
		}
		return nil, fmt.Errorf("dcv profile %q: publish %s: %w", profile, describeAt(c, at), err)
	}
	p.pub = pub
	s.own(p, profile, c)
	return keepOwn(receipt, earlier), nil
}

// wayBefore is what something was published with before, by memory or by the receipt; nil when neither tells.
func (s *Solver) wayBefore(p *publication, earlier []byte) publisher {
	if p.pub != nil {
		return p.pub
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fromReceipt(earlier)
}

// own notes for which challenge something is published.
func (s *Solver) own(p *publication, profile string, c pluginapi.Challenge) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.owners[showingKey(profile, c)] = true
}

// Withdraw takes down what Publish put up. It is safe to repeat and needs no memory of Publish, nor a receipt. What is
// published for another challenge as well stays until that one is withdrawn. While another challenge has the turn of the
// profile or place, it fails with ErrTurn: some DNS hosts know one value alone, and would lose that of the other.
//
// Of what an earlier process has published the Solver knows the challenges for which it was published again since. A file
// for several hosts, of a profile that ignores hosts, may therefore go with the first of them, when that is withdrawn right
// after a restart; publishing it for the next one puts it up again.
func (s *Solver) Withdraw(ctx context.Context, profile string, c pluginapi.Challenge, receipt []byte) error {
	at, err := s.asPublished(ctx, profile, c, receipt)
	if err != nil {
		return fmt.Errorf("dcv profile %q: withdraw %s: %w", profile, describe(c), err)
	}
	key, err := s.keyAsPublished(ctx, profile, c, at)
	if err != nil {
		return fmt.Errorf("dcv profile %q: withdraw %s: %w", profile, describe(c), err)
	}
	p, release, err := s.acquire(ctx, profile, key, at)
	if err != nil {
		return err
	}
	defer release()
	if s.othersOwn(p, showingKey(profile, c)) {
		s.unshow(profile, c)
		return nil
	}
	pub, err := s.publishedWith(p, profile, receipt)
	if err != nil {
		return fmt.Errorf("withdraw %s: take it down by hand, or bring the profile back: %w", describeAt(c, at), err)
	}
	if err := s.withdrawInTurn(ctx, profile, pub, key, at, receipt); err != nil {
		return fmt.Errorf("dcv profile %q: withdraw %s: %w", profile, describeAt(c, at), err)
	}
	s.unshow(profile, c)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(p.owners, showingKey(profile, c))
	return nil
}

// isFollowed reports whether a challenge's record is published where CNAME records lead to.
func isFollowed(c pluginapi.Challenge) bool { return c.DNS != nil && c.DNS.Type == pluginapi.TXT }

// follow returns a challenge's record with the name at which it has to stand.
func (s *Solver) follow(ctx context.Context, c pluginapi.Challenge) (*pluginapi.DNSRecord, error) {
	name, err := s.Effective(ctx, c)
	if err != nil {
		return nil, err
	}
	return atName(c, name), nil
}

func atName(c pluginapi.Challenge, name string) *pluginapi.DNSRecord {
	record := *c.DNS
	record.Name = name
	return &record
}

// asPublished returns a challenge as it was published: at the name in the receipt, or that this process remembers, or else
// where CNAME records lead to now.
func (s *Solver) asPublished(ctx context.Context, profile string, c pluginapi.Challenge, receipt []byte) (pluginapi.Challenge, error) {
	if !isFollowed(c) {
		return c, nil
	}
	at := c
	if name := decodePluginReceipt(receipt).Name; name != "" {
		at.DNS = atName(c, name)
		return at, nil
	}
	if name := s.shownAt(profile, c); name != "" {
		at.DNS = atName(c, name)
		return at, nil
	}
	if pub, err := s.profile(profile); err != nil || !isPlugin(pub) {
		return c, nil //nolint:nilerr // who withdraws will find the same
	}
	var err error
	at.DNS, err = s.follow(ctx, c)
	return at, err
}

// show remembers where a challenge is published.
func (s *Solver) show(profile string, c, at pluginapi.Challenge, publication string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := showingKey(profile, c)
	if s.shown[key] == nil {
		s.shown[key] = &showing{}
	}
	s.shown[key].key = publication
	if at.DNS != nil {
		s.shown[key].name = at.DNS.Name
	}
}

// shownKey returns the key of the publication with which this process has published a challenge, or nothing.
func (s *Solver) shownKey(profile string, c pluginapi.Challenge) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if shown := s.shown[showingKey(profile, c)]; shown != nil {
		return shown.key
	}
	return ""
}

// shownAt returns where this process has published a challenge's record, or nothing.
func (s *Solver) shownAt(profile string, c pluginapi.Challenge) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if shown := s.shown[showingKey(profile, c)]; shown != nil {
		return shown.name
	}
	return ""
}

func (s *Solver) unshow(profile string, c pluginapi.Challenge) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.shown, showingKey(profile, c))
}

// lostPatience counts a wait that did not see a challenge, and reports whether there were enough of them.
func (s *Solver) lostPatience(profile string, c pluginapi.Challenge) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	shown := s.shown[showingKey(profile, c)]
	if shown == nil {
		return false // not published by this process, which is reason enough not to be seen
	}
	shown.wrong++
	return shown.wrong > patience
}

// patienceUsedUp reports whether the next wait in vain will be the last.
func (s *Solver) patienceUsedUp(profile string, c pluginapi.Challenge) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	shown := s.shown[showingKey(profile, c)]
	return shown != nil && shown.wrong >= patience
}

// publishedWith is what something was published with, as far as that can be told: by memory, by the receipt, or else by
// what the profile is now. A plugin has only its present process, whatever is remembered.
func (s *Solver) publishedWith(p *publication, profile string, receipt []byte) (publisher, error) {
	current, err := s.profile(profile)
	if err == nil && isPlugin(current) && (p.pub == nil || isPlugin(p.pub)) {
		return current, nil
	}
	if p.pub != nil {
		return p.pub, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if pub := s.fromReceipt(receipt); pub != nil {
		return pub, nil
	}
	return current, err
}

func isPlugin(p publisher) bool {
	_, is := p.(*plugin)
	return is
}

// othersOwn reports whether a publication is needed for another challenge, and if so takes this one from its owners.
func (s *Solver) othersOwn(p *publication, own string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for owner := range p.owners {
		if owner != own {
			delete(p.owners, own)
			return true
		}
	}
	return false
}

// acquire waits for its turn with the publication of a challenge.
func (s *Solver) acquire(ctx context.Context, profile, key string, c pluginapi.Challenge) (*publication, func(), error) {
	s.mu.Lock()
	p := s.published[key]
	if p == nil {
		p = &publication{busy: make(chan struct{}, 1), owners: map[string]bool{}}
		s.published[key] = p
	}
	p.users++
	s.mu.Unlock()
	leave := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if p.users--; p.users == 0 && len(p.owners) == 0 {
			delete(s.published, key)
		}
	}
	select {
	case p.busy <- struct{}{}:
		return p, func() { <-p.busy; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, nil, fmt.Errorf("dcv profile %q: %s: waiting for another call: %w", profile, describe(c), context.Cause(ctx))
	}
}

// describeAt is describe for a challenge that is published somewhere else than where the CA looks first.
func describeAt(c, at pluginapi.Challenge) string {
	if at.DNS == nil || sameName(at.DNS.Name, c.DNS.Name) {
		return describe(c)
	}
	return fmt.Sprintf("%s (by CNAME from %s)", describe(at), c.DNS.Name)
}

// describe names what a challenge asks for, without its value.
func describe(c pluginapi.Challenge) string {
	switch {
	case c.DNS != nil:
		return fmt.Sprintf("dns (%s %s)", c.DNS.Type, c.DNS.Name)
	case c.HTTP != nil:
		return fmt.Sprintf("http (http://%s%s)", urlHost(c.HTTP.Host), c.HTTP.Path)
	case c.Email != nil:
		return fmt.Sprintf("email (to %s)", strings.Join(c.Email.Recipients, ", "))
	case c.TLSALPN != nil:
		return fmt.Sprintf("tls-alpn (%s)", c.TLSALPN.Host)
	case c.Manual != nil:
		return fmt.Sprintf("manual (%s)", c.Manual.Instructions)
	default:
		return "a challenge that asks for nothing"
	}
}
