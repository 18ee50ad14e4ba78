package dcv

import (
	"context"
	"fmt"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// outlived reports whether a challenge is up that an earlier process has published: through a plugin, with a receipt, and
// this process knows nothing of it yet. One that cannot be seen then is published again, and known by that time.
//
// A file that is the same for all hosts never counts as such: it may have been withdrawn for another host since the start,
// before this process knew of this one, and publishing it once more does no harm.
func (s *Solver) outlived(ctx context.Context, profile string, pub publisher, c pluginapi.Challenge, earlier []byte) (bool, error) {
	if !isPlugin(pub) || len(earlier) == 0 {
		return false, nil
	}
	if hostless, err := ignoresHost(ctx, pub, c); hostless || err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown[showingKey(profile, c)] == nil && s.fromReceipt(earlier) == nil, nil
}

// takeOver takes a publication of an earlier process for this one's. The plugin is not called: some DNS hosts would keep
// a record that is published once more as a second one.
func (s *Solver) takeOver(ctx context.Context, profile string, pub publisher, c pluginapi.Challenge, earlier []byte) error {
	at := c
	if name := decodePluginReceipt(earlier).Name; name != "" && isFollowed(c) {
		at.DNS = atName(c, name)
	}
	key, err := s.publicationKey(ctx, profile, pub, at)
	if err != nil {
		return fmt.Errorf("dcv profile %q: publish %s: %w", profile, describe(c), err)
	}
	p, release, err := s.acquire(ctx, profile, key, at)
	if err != nil {
		return err
	}
	defer release()
	if _, err := s.takeTurn(ctx, profile, pub, key, at); err != nil {
		return fmt.Errorf("dcv profile %q: publish %s: %w", profile, describe(c), err)
	}
	s.show(profile, c, at, key)
	p.pub = pub
	s.own(p, profile, c)
	return nil
}

// keepOwn puts a plugin's earlier receipt in the place of an empty one for the same record: it says that the record
// stands there already, and only the earlier receipt tells how to take it down.
func keepOwn(receipt, earlier []byte) []byte {
	if len(earlier) == 0 {
		return receipt
	}
	now, before := decodePluginReceipt(receipt), decodePluginReceipt(earlier)
	if len(now.Plugin) > 0 || len(before.Plugin) == 0 || !sameName(now.Name, before.Name) {
		return receipt
	}
	return before.encode()
}
