package plugintest

import (
	"context"
	"crypto/x509"
	"errors"
	"math/big"
	"sync"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

// runCA makes the checks of the CA contract.
func (s *suite) runCA(ctx context.Context) {
	s.check(ctx, "configure-first", s.checkConfigureFirst)
	s.check(ctx, "bad-settings", s.checkBadSettings)
	if !s.check(ctx, "configure", s.checkSettings) || s.settingsMissing() {
		return
	}
	s.check(ctx, "abilities", s.checkAbilities)
	s.check(ctx, "preflight", s.checkPreflight)
	s.check(ctx, "check-orders", s.checkCheckOrders)
	s.check(ctx, "unknown-order", s.checkUnknownOrder)
	s.check(ctx, "garbage", s.checkGarbage)
	s.check(ctx, "deadline", s.checkDeadline)
	s.check(ctx, "concurrency", s.checkConcurrency)
	for _, c := range []struct {
		name string
		do   func(context.Context, *verdict)
	}{
		{"order", s.checkOrder},
		{"replay", s.checkReplay},
		{"find-order", s.checkFindOrder},
		{"inspect-order", s.checkInspectOrder},
		{"kill-between-calls", s.checkKill},
		{"order-settings", s.checkOrderSettings},
		{"cancel", s.checkCancel},
		{"certificate", s.checkCertificate},
		{"follow-up", s.checkFollowUp},
	} {
		s.check(ctx, c.name, func(ctx context.Context, v *verdict) {
			switch {
			case len(s.o.Identifiers) == 0:
				v.skip("no identifiers are given to order for")
			case s.desc.OrdersCostMoney && !s.o.SpendMoney:
				v.skip("orders cost money, and it was not allowed to spend any")
			default:
				c.do(ctx, v)
			}
		})
	}
}

// sample is an order that is well formed, for calls that must fail for another reason.
func (s *suite) sample() (pluginapi.OrderRequest, error) {
	if len(s.o.Identifiers) > 0 {
		return s.newRequest()
	}
	with := *s
	with.o.Identifiers = []pluginapi.Identifier{{Value: "plugintest.example", Type: pluginapi.DNS}}
	return with.newRequest()
}

// attempt is one call of the contract, by name.
type attempt struct {
	name    string
	ability pluginapi.Ability // zero: every plugin has it
	do      func(context.Context, *wire.CAClient) error
}

// attempts calls everything but Describe, Configure and PlaceOrder about an order and a certificate that the CA
// cannot know.
func attempts(r pluginapi.OrderRequest, leaf []byte) []attempt {
	unknown := pluginapi.PlacedOrder{OrderRequest: r, Reference: "no-such-order-" + r.IdempotencyKey}
	return []attempt{
		{"GetOrder", 0, func(ctx context.Context, ca *wire.CAClient) error { _, err := ca.GetOrder(ctx, unknown); return err }},
		{"RespondToChallenges", 0, func(ctx context.Context, ca *wire.CAClient) error {
			_, err := ca.RespondToChallenges(ctx, unknown, []string{"no-such-challenge"})
			return err
		}},
		{"Preflight", pluginapi.AbilityPreflight, func(ctx context.Context, ca *wire.CAClient) error {
			_, err := ca.Preflight(ctx, nil)
			return err
		}},
		{"CheckOrders", pluginapi.AbilityCheckOrders, func(ctx context.Context, ca *wire.CAClient) error {
			_, err := ca.CheckOrders(ctx, nil)
			return err
		}},
		{"FindOrder", pluginapi.AbilityFindOrder, func(ctx context.Context, ca *wire.CAClient) error {
			// Long ago: a plugin may say of a call that was just lost that it is too early to tell.
			_, err := ca.FindOrder(ctx, r, time.Now().Add(-24*time.Hour))
			return err
		}},
		{"FindOrder by certificate", pluginapi.AbilityFindByCertificate, func(ctx context.Context, ca *wire.CAClient) error {
			_, err := ca.FindOrderByCertificate(ctx, leaf)
			return err
		}},
		{"InspectOrder", pluginapi.AbilityInspectOrder, func(ctx context.Context, ca *wire.CAClient) error {
			_, err := ca.InspectOrder(ctx, unknown.Reference, nil)
			return err
		}},
		{"CancelOrder", pluginapi.AbilityCancel, func(ctx context.Context, ca *wire.CAClient) error {
			_, err := ca.CancelOrder(ctx, unknown, "plugintest")
			return err
		}},
		{"RevokeCertificate", pluginapi.AbilityRevoke, func(ctx context.Context, ca *wire.CAClient) error {
			_, err := ca.RevokeCertificate(ctx, pluginapi.Revocation{Leaf: leaf})
			return err
		}},
		{"RenewalInfo", pluginapi.AbilityRenewalInfo, func(ctx context.Context, ca *wire.CAClient) error {
			_, err := ca.RenewalInfo(ctx, leaf)
			return err
		}},
	}
}

func (s *suite) strangers(v *verdict) (pluginapi.OrderRequest, []byte, bool) {
	r, err := s.sample()
	if err != nil {
		v.failf("%v", err)
		return r, nil, false
	}
	leaf, err := strangeLeaf()
	if err != nil {
		v.failf("%v", err)
		return r, nil, false
	}
	return r, leaf, true
}

func (s *suite) checkConfigureFirst(ctx context.Context, v *verdict) {
	r, leaf, ok := s.strangers(v)
	if !ok {
		return
	}
	calls := attempts(r, leaf)
	calls = append(calls, attempt{"PlaceOrder", 0, func(ctx context.Context, ca *wire.CAClient) error {
		_, err := ca.PlaceOrder(ctx, r)
		return err
	}})
	s.with(v, func(p *process) {
		for _, c := range calls {
			if c.ability != 0 && !s.desc.Has(c.ability) {
				continue
			}
			ctx, cancel := s.callContext(ctx)
			err := c.do(ctx, p.ca)
			cancel()
			if pluginapi.KindOf(err) != pluginapi.InvalidRequest || errors.Is(err, wire.ErrNotSent) {
				v.failf("%s before Configure: want invalid-request, got %s", c.name, kindAndWords(err))
			}
		}
		if !p.alive(ctx) {
			v.failf("the plugin died")
		}
	})
}

func kindAndWords(err error) string {
	if err == nil {
		return "success"
	}
	return pluginapi.KindOf(err).String() + ": " + err.Error()
}

// checkAbilities holds that what is offered is there and what is not offered says so.
func (s *suite) checkAbilities(ctx context.Context, v *verdict) {
	r, leaf, ok := s.strangers(v)
	if !ok {
		return
	}
	s.session(ctx, v, func(n *session) {
		for _, c := range attempts(r, leaf) {
			if c.ability == 0 {
				continue
			}
			ctx, cancel := s.callContext(ctx)
			err := c.do(ctx, n.p.ca)
			cancel()
			missing := errors.Is(err, wire.ErrUnsupported)
			switch {
			case s.desc.Has(c.ability) && missing:
				v.failf("%s is offered and not there", c.ability)
			case c.ability == pluginapi.AbilityCheckOrders: // who does not know of it takes it for a Preflight
			case !s.desc.Has(c.ability) && !missing:
				v.failf("%s is not offered, and %s answers %s", c.ability, c.name, kindAndWords(err))
			}
		}
	})
}

func (s *suite) checkPreflight(ctx context.Context, v *verdict) {
	if !s.desc.Has(pluginapi.AbilityPreflight) {
		v.skip("not offered")
		return
	}
	s.session(ctx, v, func(n *session) {
		ctx, cancel := s.callContext(ctx)
		defer cancel()
		reply, err := n.p.ca.Preflight(ctx, []pluginapi.Settings{s.o.OrderSettings})
		if err != nil {
			v.failf("Preflight: %v", err)
		}
		for _, f := range faultsOf(reply.Findings) {
			v.failf("Preflight: %s: %s", f.Field, f.Message)
		}
	})
}

// checkUnknownOrder asks about orders and certificates that do not exist. To answer with an order would be a lie; to
// say not-found in FindOrder is allowed only because the key was surely never sent.
func (s *suite) checkUnknownOrder(ctx context.Context, v *verdict) {
	r, leaf, ok := s.strangers(v)
	if !ok {
		return
	}
	s.session(ctx, v, func(n *session) {
		for _, c := range attempts(r, leaf) {
			if c.name == "Preflight" || c.name == "CheckOrders" || c.ability != 0 && !s.desc.Has(c.ability) {
				continue
			}
			ctx, cancel := s.callContext(ctx)
			err := c.do(ctx, n.p.ca)
			cancel()
			kind := pluginapi.KindOf(err)
			if err == nil {
				v.failf("%s about what does not exist succeeds", c.name)
			}
			if c.name == "FindOrder" && err != nil && kind != pluginapi.NotFound && kind != pluginapi.UnknownOutcome {
				v.failf("FindOrder with a key never used: want not-found or unknown-outcome, got %s", kindAndWords(err))
			}
			if c.name == "InspectOrder" && err != nil && kind != pluginapi.NotFound {
				v.failf("InspectOrder of an order that does not exist: want not-found, got %s", kindAndWords(err))
			}
		}
		if !n.p.alive(ctx) {
			v.failf("the plugin died")
		}
	})
}

// checkDeadline calls with so little time that nobody can do anything. The plugin's process must be done with the
// call, too: the next one gets through.
func (s *suite) checkDeadline(ctx context.Context, v *verdict) {
	r, leaf, ok := s.strangers(v)
	if !ok {
		return
	}
	const tight, patience = 5 * time.Millisecond, 3 * time.Second
	s.session(ctx, v, func(n *session) {
		for _, c := range attempts(r, leaf) {
			if c.ability != 0 && !s.desc.Has(c.ability) {
				continue
			}
			short, cancel := context.WithTimeout(ctx, tight)
			began := time.Now()
			_ = c.do(short, n.p.ca)
			cancel()
			if took := time.Since(began); took > patience {
				v.failf("%s with a deadline of %s returned after %s", c.name, tight, took)
			}
		}
		after, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if _, err := n.p.ca.Describe(after); err != nil {
			v.failf("Describe right after calls that ran out of time: %v", err)
		}
	})
}

func (s *suite) checkConcurrency(ctx context.Context, v *verdict) {
	const callers = 16
	s.session(ctx, v, func(n *session) {
		var group sync.WaitGroup
		errs := make(chan error, callers)
		for range callers {
			group.Go(func() {
				ctx, cancel := s.callContext(ctx)
				defer cancel()
				r, err := s.sample()
				if err != nil {
					errs <- err
					return
				}
				if _, err := n.p.ca.Describe(ctx); err != nil {
					errs <- err
				}
				_, err = n.p.ca.GetOrder(ctx, pluginapi.PlacedOrder{OrderRequest: r, Reference: "no-such-order"})
				if errors.Is(err, wire.ErrNoDetail) {
					errs <- err
				}
			})
		}
		group.Wait()
		close(errs)
		for err := range errs {
			v.failf("%d calls at once: %v", callers, err)
			break
		}
	})
}

// sameSerial compares a serial number in hexadecimal with a certificate's.
func sameSerial(leaf []byte, serial string) bool {
	c, err := x509.ParseCertificate(leaf)
	if err != nil {
		return false
	}
	n, ok := new(big.Int).SetString(serial, 16)
	return ok && n.Cmp(c.SerialNumber) == 0
}
