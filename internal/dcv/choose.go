package dcv

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// ChallengeTypes returns what the profiles can publish for a name, in the order of the profiles. None is no error: the CA
// may need none, or ask a person. When nothing is found because a profile cannot be asked, that is the error.
func (s *Solver) ChallengeTypes(ctx context.Context, profiles []string, identifier string) ([]pluginapi.ChallengeType, error) {
	var found []pluginapi.ChallengeType
	var errs []error
	for _, name := range profiles {
		pub, err := s.profile(name)
		if err != nil {
			return nil, err // a mistake in the configuration, not a passing fault
		}
		types, err := pub.types(ctx)
		if err != nil {
			errs = append(errs, fmt.Errorf("dcv profile %q: %w", name, err))
		}
		for _, t := range types {
			if unfit(t, identifier) == nil && !slices.Contains(found, t) {
				found = append(found, t)
			}
		}
	}
	if len(found) == 0 {
		return nil, errors.Join(errs...)
	}
	return found, nil
}

// Choose picks the challenge of an authorization that the earliest of the profiles can publish. When there is none, the
// error says what the CA offers and why each profile cannot: NeedsPerson, or the kind of the error of a profile that
// could not be asked.
func (s *Solver) Choose(ctx context.Context, profiles []string, a pluginapi.Authorization) (profile string, c pluginapi.Challenge, err error) {
	var reasons []string
	kind := pluginapi.NeedsPerson
	for _, name := range profiles {
		pub, err := s.profile(name)
		if err != nil {
			return "", pluginapi.Challenge{}, err
		}
		var why []string
		for _, c := range a.Challenges {
			err := unfit(c.Type(), a.Identifier)
			if err == nil {
				err = pub.can(ctx, c)
			}
			if err == nil {
				return name, c, nil
			}
			if passing := pluginapi.KindOf(err); passing != 0 {
				kind = passing
			}
			if text := err.Error(); !slices.Contains(why, text) {
				why = append(why, text)
			}
		}
		reasons = append(reasons, fmt.Sprintf("profile %q: %s", name, strings.Join(why, "; ")))
	}
	offers := make([]string, 0, len(a.Challenges))
	for _, c := range a.Challenges {
		offers = append(offers, describe(c))
	}
	message := fmt.Sprintf("no dcv profile can show control over %s: the CA offers %s; ", a.Identifier, list(offers))
	if len(reasons) == 0 {
		message += "no profile is configured for this name"
	}
	return "", pluginapi.Challenge{}, pluginapi.Errorf(kind, "%s%s", message, strings.Join(reasons, "; "))
}

func list(words []string) string {
	if len(words) == 0 {
		return "nothing"
	}
	return strings.Join(words, ", ")
}

// unfit says why a type of challenge cannot show control over a name, whoever publishes it.
func unfit(t pluginapi.ChallengeType, identifier string) error {
	_, notIP := netip.ParseAddr(identifier)
	switch {
	case t == pluginapi.ChallengeHTTP && strings.HasPrefix(identifier, "*."):
		return errors.New("a wildcard needs a dns challenge")
	case t == pluginapi.ChallengeDNS && notIP == nil:
		return errors.New("an IP address has no dns challenge")
	}
	return nil
}

// plugin is a profile that a plugin serves.
type plugin struct {
	Plugin
}

func (p *plugin) types(ctx context.Context) ([]pluginapi.ChallengeType, error) {
	configured, err := p.Configured(ctx)
	if err != nil {
		return nil, err
	}
	var types []pluginapi.ChallengeType
	for _, ability := range configured.Abilities {
		var t pluginapi.ChallengeType
		switch ability {
		case pluginapi.PublishACMEDNS, pluginapi.PublishTXT, pluginapi.PublishCNAME:
			t = pluginapi.ChallengeDNS
		case pluginapi.PublishACMEHTTP, pluginapi.PublishFile:
			t = pluginapi.ChallengeHTTP
		default:
			continue
		}
		if !slices.Contains(types, t) {
			types = append(types, t)
		}
	}
	return types, nil
}

func (p *plugin) can(ctx context.Context, c pluginapi.Challenge) error {
	needs := abilitiesFor(c)
	if len(needs) == 0 {
		return fmt.Errorf("%s challenges cannot be published", c.Type())
	}
	configured, err := p.Configured(ctx)
	if err != nil {
		return err
	}
	for _, ability := range needs {
		if slices.Contains(configured.Abilities, ability) {
			return nil
		}
	}
	can := make([]string, 0, len(configured.Abilities))
	for _, ability := range configured.Abilities {
		can = append(can, ability.String())
	}
	return fmt.Errorf("publishes %s, not %s", list(can), describe(c))
}

func (p *plugin) publish(ctx context.Context, c pluginapi.Challenge) ([]byte, error) {
	own, err := p.Publish(ctx, c)
	if err != nil {
		return nil, err
	}
	r := pluginReceipt{Plugin: own}
	if isFollowed(c) {
		r.Name = c.DNS.Name
	}
	return r.encode(), nil
}

func (p *plugin) withdraw(ctx context.Context, c pluginapi.Challenge, receipt []byte) error {
	return p.Withdraw(ctx, c, decodePluginReceipt(receipt).Plugin)
}

// abilitiesFor are the abilities of which one is enough to publish a challenge.
func abilitiesFor(c pluginapi.Challenge) []pluginapi.PublishAbility {
	var needs []pluginapi.PublishAbility
	switch {
	case c.DNS != nil && c.DNS.Type == pluginapi.TXT:
		needs = append(needs, pluginapi.PublishTXT)
		if c.ACME != nil {
			needs = append(needs, pluginapi.PublishACMEDNS)
		}
	case c.DNS != nil && c.DNS.Type == pluginapi.CNAME:
		needs = append(needs, pluginapi.PublishCNAME)
	case c.HTTP != nil:
		needs = append(needs, pluginapi.PublishFile)
		if c.ACME != nil {
			needs = append(needs, pluginapi.PublishACMEHTTP)
		}
	}
	return needs
}
