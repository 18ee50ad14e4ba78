package dcv

import (
	"context"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// publicationKey is the same for challenges that one publication of a profile serves.
func (s *Solver) publicationKey(ctx context.Context, profile string, pub publisher, c pluginapi.Challenge) (string, error) {
	hostless, err := ignoresHost(ctx, pub, c)
	if err != nil {
		return "", err
	}
	if hostless {
		file := *c.HTTP
		file.Host = ""
		c.HTTP = &file
	}
	return profile + "\x00" + fingerprint(c), nil
}

// keyAsPublished is the key of the publication with which a challenge was published: by memory, or else by what the
// profile is now.
func (s *Solver) keyAsPublished(ctx context.Context, profile string, c, at pluginapi.Challenge) (string, error) {
	if key := s.shownKey(profile, c); c.HTTP != nil && key != "" {
		return key, nil
	}
	pub, err := s.profile(profile)
	if err != nil {
		pub = absent{} // perhaps there is a receipt
	}
	return s.publicationKey(ctx, profile, pub, at)
}

// ignoresHost reports whether a challenge is a file that a plugin publishes by its path alone. The built-in webroot does so
// too, and counts the hosts itself, for several profiles may share a document root.
func ignoresHost(ctx context.Context, pub publisher, c pluginapi.Challenge) (bool, error) {
	p, ok := pub.(*plugin)
	if !ok || c.HTTP == nil {
		return false, nil
	}
	configured, err := p.Configured(ctx)
	return configured.FilesIgnoreHost, err
}

// showingKey names a challenge that is published through a profile.
func showingKey(profile string, c pluginapi.Challenge) string {
	return profile + "\x00" + fingerprint(c) + "\x00" + c.ID
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
