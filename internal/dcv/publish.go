package dcv

import (
	"context"
	"fmt"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// publication is something that is published through a profile, perhaps for several orders.
type publication struct {
	// busy is held by whoever publishes or withdraws it.
	busy chan struct{}
	// pub is what it was published with, or nil when this process has not published it. It belongs to who holds busy.
	pub publisher
	// owners are the ids of the challenges it is published for; users counts who works with this publication; wrong
	// counts in how many looks something else was seen. All are guarded by the Solver.
	owners map[string]bool
	users  int
	wrong  int
}

// Publish puts up what a challenge asks for. It is safe to repeat, also after a restart. The receipt belongs to Withdraw.
// What is published already in another version fails with a Conflict.
func (s *Solver) Publish(ctx context.Context, profile string, c pluginapi.Challenge) (receipt []byte, err error) {
	pub, err := s.profile(profile)
	if err != nil {
		return nil, err
	}
	p, release, err := s.acquire(ctx, profile, c)
	if err != nil {
		return nil, err
	}
	defer release()
	if p.pub != nil && p.pub != pub && (!isPlugin(p.pub) || !isPlugin(pub)) {
		// The profile means something else now. What it published before would be forgotten.
		if err := p.pub.withdraw(ctx, c, nil); err != nil {
			return nil, fmt.Errorf("dcv profile %q, as it was: withdraw %s: %w", profile, describe(c), err)
		}
		p.pub = nil
	}
	receipt, err = pub.publish(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("dcv profile %q: publish %s: %w", profile, describe(c), err)
	}
	p.pub = pub
	s.mu.Lock()
	defer s.mu.Unlock()
	p.owners[c.ID] = true
	return receipt, nil
}

// Withdraw takes down what Publish put up. It is safe to repeat and needs no memory of Publish, nor a receipt. What is
// published for another challenge as well stays until that one is withdrawn.
func (s *Solver) Withdraw(ctx context.Context, profile string, c pluginapi.Challenge, receipt []byte) error {
	p, release, err := s.acquire(ctx, profile, c)
	if err != nil {
		return err
	}
	defer release()
	if s.othersOwn(p, c.ID) {
		return nil
	}
	pub, err := s.publishedWith(p, profile, receipt)
	if err != nil {
		return fmt.Errorf("withdraw %s: take it down by hand, or bring the profile back: %w", describe(c), err)
	}
	if err := pub.withdraw(ctx, c, receipt); err != nil {
		return fmt.Errorf("dcv profile %q: withdraw %s: %w", profile, describe(c), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(p.owners, c.ID)
	return nil
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
func (s *Solver) othersOwn(p *publication, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for owner := range p.owners {
		if owner != id {
			delete(p.owners, id)
			return true
		}
	}
	return false
}

// acquire waits for its turn with the publication of a challenge.
func (s *Solver) acquire(ctx context.Context, profile string, c pluginapi.Challenge) (*publication, func(), error) {
	key := publicationKey(profile, c)
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

func publicationKey(profile string, c pluginapi.Challenge) string {
	return profile + "\x00" + fingerprint(c)
}

// fingerprint is the same for challenges that ask for the same thing in the same place.
func fingerprint(c pluginapi.Challenge) string {
	parts := []string{c.Type().String()}
	switch {
	case c.DNS != nil:
		parts = append(parts, strings.ToLower(c.DNS.Name), string(c.DNS.Type), c.DNS.Value)
	case c.HTTP != nil:
		parts = append(parts, normalHost(c.HTTP.Host), c.HTTP.Path, c.HTTP.Body)
	default:
		parts = append(parts, c.Identifier, c.ID)
	}
	return strings.Join(parts, "\x00")
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
