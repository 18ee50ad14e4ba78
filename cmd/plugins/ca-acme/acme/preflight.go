package acme

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	lego "github.com/go-acme/lego/v4/acme"

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
	found.orders(orders, time.Now())
	found.profiles(dir.Meta.Profiles, orders)
	if err := s.checkAccount(ctx, dir, &found); err != nil {
		return pluginapi.PreflightReply{}, err
	}
	return pluginapi.PreflightReply{Findings: found, AccountState: s.book.changed()}, nil
}

// CheckOrders looks at the settings of orders alone. Which profiles there are only the CA's directory tells.
func (c *CA) CheckOrders(_ context.Context, orders []pluginapi.Settings) ([]pluginapi.Finding, error) {
	if _, err := c.configured(); err != nil {
		return nil, err
	}
	var found findings
	found.orders(orders, time.Now())
	return found, nil
}

// orders looks at settings as far as that takes no CA.
func (f *findings) orders(orders []pluginapi.Settings, now time.Time) {
	for i, order := range orders {
		settings, err := readOrderSettings(order)
		if err == nil {
			_, err = settings.end(now)
		}
		if err != nil {
			*f = append(*f, pluginapi.FaultOf(err, i+1))
		}
	}
}

// profiles compares the profiles that will be ordered with those the CA offers.
func (f *findings) profiles(offered map[string]string, orders []pluginapi.Settings) {
	names := clean(strings.Join(slices.Sorted(maps.Keys(offered)), ", "), maxWords)
	asked := false
	for i, order := range orders {
		settings, err := readOrderSettings(order)
		if err != nil || settings.profile == "" {
			continue
		}
		asked = true
		if _, ok := offered[settings.profile]; ok {
			continue
		}
		fault := pluginapi.Faultf("profile", "the CA has no profile %q; it offers %s", settings.profile, names)
		if len(offered) == 0 {
			fault = pluginapi.Faultf("profile", "%q: the CA offers no profiles; leave the setting out", settings.profile)
		}
		fault.Order = i + 1
		*f = append(*f, fault)
	}
	if len(offered) > 0 && !asked {
		f.add(pluginapi.Info, "profile", "the CA offers the profiles %s", names)
	}
}

// checkAccount finds out how the account stands.
func (s *session) checkAccount(ctx context.Context, dir *lego.Directory, found *findings) error {
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
