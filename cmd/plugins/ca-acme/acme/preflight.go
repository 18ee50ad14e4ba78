package acme

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Preflight reads the directory, looks for the account without making it, and checks profiles. A change of the account
// key that was asked for is carried out, so that a key that leaked can be replaced without waiting for an order.
func (c *CA) Preflight(ctx context.Context, orders []pluginapi.Settings) (pluginapi.PreflightReply, error) {
	s, err := c.configured()
	if err != nil {
		return pluginapi.PreflightReply{}, err
	}
	dir, err := s.client.directory(ctx)
	if err != nil {
		return pluginapi.PreflightReply{}, fail("reach the CA", err)
	}
	var found findings
	if terms := dir.Meta.TermsOfService; terms != "" {
		found.add(pluginapi.Info, "terms_of_service_agreed", "the CA's terms of service: %s", clean(terms, maxWords))
	}
	if list := dir.Meta.CaaIdentities; len(list) > 0 {
		found.add(pluginapi.Info, "", "CAA records, where there are any, must name %s", clean(strings.Join(list, " or "), maxWords))
	}
	s.book.learn(dir.Meta.CaaIdentities)
	if dir.RenewalInfo == "" {
		found.add(pluginapi.Info, "", "the CA offers no renewal information (RFC 9773); renewals follow renew_before alone")
	}
	found.profiles(dir.Meta.Profiles, orders)
	if err := s.checkAccount(ctx, dir, &found); err != nil {
		return pluginapi.PreflightReply{}, err
	}
	return pluginapi.PreflightReply{Findings: found, AccountState: s.book.changed()}, nil
}

// profiles compares the profiles that will be ordered with those the CA offers.
func (f *findings) profiles(offered map[string]string, orders []pluginapi.Settings) {
	names := clean(strings.Join(slices.Sorted(maps.Keys(offered)), ", "), maxWords)
	var asked []string
	for _, order := range orders {
		settings, err := readOrderSettings(order)
		var e *pluginapi.Error
		if errors.As(err, &e) {
			f.fault(e.Field, "%s", e.Message)
			continue
		}
		if settings.profile == "" || slices.Contains(asked, settings.profile) {
			continue
		}
		asked = append(asked, settings.profile)
		switch _, ok := offered[settings.profile]; {
		case ok:
		case len(offered) == 0:
			f.fault("profile", "%q: the CA offers no profiles; leave the setting out", settings.profile)
		default:
			f.fault("profile", "the CA has no profile %q; it offers %s", settings.profile, names)
		}
	}
	if len(offered) > 0 && len(asked) == 0 {
		f.add(pluginapi.Info, "profile", "the CA offers the profiles %s", names)
	}
}

// checkAccount finds out how the account stands.
func (s *session) checkAccount(ctx context.Context, dir *directory, found *findings) error {
	record := s.book.record()
	url, err := s.lookUp(ctx, s.book.current())
	if err == nil && url == "" && record.Next == nil {
		found.add(pluginapi.Info, "", "there is no account yet; the first order registers it")
		if dir.Meta.ExternalAccountRequired && s.settings.eabKID == "" {
			found.fault("eab_kid", "the CA registers accounts only with external account binding: set eab_kid and eab_hmac_key to what it gives for your account there")
		}
		return nil
	}
	if err == nil && url != "" && record.Next == nil {
		s.book.registered(url)
		found.add(pluginapi.Info, "", "the account is %s", clean(url, maxWords))
		return nil
	}
	if record.Next != nil {
		return s.checkKeyChange(ctx, found)
	}
	if pluginapi.KindOf(err) == pluginapi.Unauthorized {
		found.fault("", "%s", err.Error())
		return nil
	}
	return err
}

// checkKeyChange carries out a change of the account key that is due.
func (s *session) checkKeyChange(ctx context.Context, found *findings) error {
	want := s.book.record().Next.Generation
	who, err := s.account(ctx, true)
	if err != nil {
		return err
	}
	if s.book.record().Next == nil {
		found.add(pluginapi.Info, "account_key_generation", "the account %s has key %d now", clean(who.url, maxWords), want)
		return nil
	}
	found.add(pluginapi.Warning, "account_key_generation", "the CA did not take key %d; the account goes on with its old key, and the next order tries again", want)
	return nil
}
