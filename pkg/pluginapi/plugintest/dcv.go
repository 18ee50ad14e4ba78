package plugintest

import (
	"context"
	"errors"
	"sync"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

// The domain control plugin's calls, for messages of the suite's own.
const (
	callDCVPublish  = "/certbridge.plugin.v1.DCVService/Publish"
	callDCVWithdraw = "/certbridge.plugin.v1.DCVService/Withdraw"
)

// runDCV makes the checks of the domain control contract.
func (s *suite) runDCV(ctx context.Context) {
	s.check(ctx, "configure-first", s.checkDCVConfigureFirst)
	s.check(ctx, "bad-settings", s.checkBadSettings)
	if !s.check(ctx, "configure", s.checkSettings) || s.settingsMissing() {
		return
	}
	s.check(ctx, "garbage", s.checkDCVGarbage)
	for _, c := range []struct {
		name string
		do   func(context.Context, *verdict)
	}{
		{"publish", s.checkPublish},
		{"withdraw-later", s.checkWithdrawLater},
		{"withdraw-unknown", s.checkWithdrawUnknown},
		{"beside", s.checkBeside},
	} {
		s.check(ctx, c.name, func(ctx context.Context, v *verdict) {
			if len(s.o.Challenges) == 0 {
				v.skip("no challenges are given to publish")
				return
			}
			c.do(ctx, v)
		})
	}
}

// profile runs do on a configured process.
func (s *suite) profile(ctx context.Context, v *verdict, do func(p *process)) {
	s.with(v, func(p *process) {
		findings, _, err := s.configure(ctx, p, s.o.Settings, nil)
		if err != nil || len(faultsOf(findings)) > 0 {
			v.failf("Configure: %v %v", faultsOf(findings), err)
			return
		}
		do(p)
	})
}

func (s *suite) checkDCVConfigureFirst(ctx context.Context, v *verdict) {
	c := pluginapi.Challenge{
		ID: "1", Identifier: "plugintest.example",
		DNS: &pluginapi.DNSRecord{Name: "_dnsauth.plugintest.example", Type: pluginapi.TXT, Value: "plugintest"},
	}
	s.with(v, func(p *process) {
		ctx, cancel := s.callContext(ctx)
		defer cancel()
		if _, err := p.dcv.Publish(ctx, c); pluginapi.KindOf(err) != pluginapi.InvalidRequest || errors.Is(err, wire.ErrUnsupported) {
			v.failf("Publish before Configure: want invalid-request, got %s", kindAndWords(err))
		}
		if err := p.dcv.Withdraw(ctx, c, nil); pluginapi.KindOf(err) != pluginapi.InvalidRequest || errors.Is(err, wire.ErrUnsupported) {
			v.failf("Withdraw before Configure: want invalid-request, got %s", kindAndWords(err))
		}
	})
}

func (s *suite) checkDCVGarbage(ctx context.Context, v *verdict) {
	file := func(path string) []byte {
		http := message(nil).bytes(1, []byte("plugintest.example")).bytes(2, []byte(path)).bytes(3, []byte("x"))
		return message(nil).bytes(1, message(nil).bytes(1, []byte("1")).bytes(2, []byte("plugintest.example")).bytes(4, http))
	}
	s.profile(ctx, v, func(p *process) {
		for _, call := range []string{callDCVPublish, callDCVWithdraw} {
			for _, g := range []garbage{
				{"no challenge", call, nil, true},
				{"a challenge of no type", call, message(nil).bytes(1, message(nil).bytes(1, []byte("1")).bytes(2, []byte("plugintest.example"))), true},
				{"a path that climbs", call, file("/.well-known/../../../etc/plugintest"), true},
				{"a path that is not absolute", call, file("plugintest"), true},
				{"a message cut off", call, []byte{0x0a, 0xff, 0x01, 0x41}, false},
			} {
				s.checkOneGarbage(ctx, v, p, g)
			}
		}
		ctx, cancel := s.callContext(ctx)
		defer cancel()
		if !p.alive(ctx) {
			v.failf("the plugin died")
		}
	})
}

// expect compares what can be seen with what should be.
func (s *suite) expect(ctx context.Context, v *verdict, c pluginapi.Challenge, want bool, when string) {
	if s.o.Published == nil {
		return
	}
	got, err := s.o.Published(ctx, c)
	switch {
	case err != nil:
		v.failf("look for challenge %s %s: %v", c.ID, when, err)
	case got && !want:
		v.failf("challenge %s can still be seen %s", c.ID, when)
	case !got && want:
		v.failf("challenge %s cannot be seen %s", c.ID, when)
	}
}

// checkPublish publishes twice and withdraws twice.
func (s *suite) checkPublish(ctx context.Context, v *verdict) {
	s.profile(ctx, v, func(p *process) {
		for _, c := range s.o.Challenges {
			ctx, cancel := s.callContext(ctx)
			defer cancel()
			var receipt []byte
			for _, when := range []string{"after Publish", "after Publish twice"} {
				var err error
				if receipt, err = p.dcv.Publish(ctx, c); err != nil {
					v.failf("challenge %s %s: %s", c.ID, when, kindAndWords(err))
				}
				s.expect(ctx, v, c, true, when)
			}
			for _, when := range []string{"after Withdraw", "after Withdraw twice"} {
				if err := p.dcv.Withdraw(ctx, c, receipt); err != nil {
					v.failf("challenge %s %s: %s", c.ID, when, kindAndWords(err))
				}
				s.expect(ctx, v, c, false, when)
			}
		}
	})
}

// checkWithdrawLater kills the process that published, and withdraws in a new one without a receipt.
func (s *suite) checkWithdrawLater(ctx context.Context, v *verdict) {
	s.profile(ctx, v, func(p *process) {
		ctx, cancel := s.callContext(ctx)
		defer cancel()
		for _, c := range s.o.Challenges {
			if _, err := p.dcv.Publish(ctx, c); err != nil {
				v.failf("publish challenge %s: %s", c.ID, kindAndWords(err))
			}
		}
		p.kill()
	})
	s.profile(ctx, v, func(p *process) {
		ctx, cancel := s.callContext(ctx)
		defer cancel()
		for _, c := range s.o.Challenges {
			s.expect(ctx, v, c, true, "after the process that published it was killed")
			if err := p.dcv.Withdraw(ctx, c, nil); err != nil {
				v.failf("withdraw challenge %s in a new process without a receipt: %s", c.ID, kindAndWords(err))
			}
			s.expect(ctx, v, c, false, "after Withdraw in a new process without a receipt")
		}
	})
}

// checkWithdrawUnknown withdraws what was never published.
func (s *suite) checkWithdrawUnknown(ctx context.Context, v *verdict) {
	s.profile(ctx, v, func(p *process) {
		ctx, cancel := s.callContext(ctx)
		defer cancel()
		for _, c := range s.o.Challenges {
			if err := p.dcv.Withdraw(ctx, c, nil); err != nil {
				v.failf("withdraw challenge %s, which is not there: %s", c.ID, kindAndWords(err))
			}
		}
	})
}

// checkBeside publishes all challenges at once, and takes the first one down: the others must stay.
func (s *suite) checkBeside(ctx context.Context, v *verdict) {
	if len(s.o.Challenges) < 2 {
		v.skip("two challenges are needed")
		return
	}
	s.profile(ctx, v, func(p *process) {
		ctx, cancel := s.callContext(ctx)
		defer cancel()
		receipts := make([][]byte, len(s.o.Challenges))
		errs := make([]error, len(s.o.Challenges))
		var group sync.WaitGroup
		for i, c := range s.o.Challenges {
			group.Go(func() { receipts[i], errs[i] = p.dcv.Publish(ctx, c) })
		}
		group.Wait()
		if err := errors.Join(errs...); err != nil {
			v.failf("publish several at once: %v", err)
		}
		for i, c := range s.o.Challenges {
			if err := p.dcv.Withdraw(ctx, c, receipts[i]); err != nil {
				v.failf("withdraw challenge %s: %s", c.ID, kindAndWords(err))
			}
			for j, other := range s.o.Challenges {
				s.expect(ctx, v, other, j > i, "after Withdraw of challenge "+c.ID)
			}
		}
	})
}
