package plugintest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

const (
	defaultOrderTimeout = 2 * time.Minute
	defaultCallTimeout  = 30 * time.Second
)

// suite is one run.
type suite struct {
	o      Options
	rec    *recorder
	report Report
	desc   pluginapi.Description
	dcv    pluginapi.DCVDescription
}

// verdict collects what one check finds.
type verdict struct {
	words   []string
	skipped bool
}

func (v *verdict) failf(format string, args ...any) {
	v.words = append(v.words, fmt.Sprintf(format, args...))
}

func (v *verdict) skip(why string) { v.words, v.skipped = append(v.words, why), true }

// Run runs the suite. It ends early with the context, and reports what it did not get to as failed.
func Run(ctx context.Context, o Options) Report {
	if o.OrderTimeout == 0 {
		o.OrderTimeout = defaultOrderTimeout
	}
	if o.CallTimeout == 0 {
		o.CallTimeout = defaultCallTimeout
	}
	s := &suite{o: o, rec: newRecorder(), report: Report{Path: o.Path}}
	for _, settings := range append([]pluginapi.Settings{o.Settings, o.OrderSettings}, o.BadOrderSettings...) {
		for _, secret := range settings.Secrets {
			s.rec.plant(secret.Reveal())
		}
	}
	s.run(ctx)
	return s.report
}

func (s *suite) run(ctx context.Context) {
	if !s.check(ctx, "start", s.checkStart) || !s.check(ctx, "describe", s.checkDescribe) {
		return
	}
	if s.report.Kind == wire.PluginCA {
		s.runCA(ctx)
	} else {
		s.runDCV(ctx)
	}
	s.check(ctx, "stop", s.checkStop)
	s.check(ctx, "error-kinds", s.checkErrorKinds)
	s.check(ctx, "secrets", s.checkSecrets)
}

// check runs one check and reports whether it did not fail.
func (s *suite) check(ctx context.Context, name string, do func(context.Context, *verdict)) bool {
	if len(s.o.Only) > 0 && name != "start" && name != "describe" && !slices.Contains(s.o.Only, name) {
		return true
	}
	began := time.Now()
	v := &verdict{}
	if err := ctx.Err(); err != nil {
		v.failf("not checked: %v", err)
	} else {
		do(ctx, v)
	}
	c := Check{Name: name, Result: Pass, Took: time.Since(began), Words: v.words}
	switch {
	case v.skipped && len(v.words) == 1:
		c.Result = Skip
	case len(v.words) > 0:
		c.Result = Fail
	}
	s.report.Checks = append(s.report.Checks, c)
	if s.o.Progress != nil {
		s.o.Progress(c)
	}
	return c.Result != Fail
}

// with runs do on a new process that is gone afterwards.
func (s *suite) with(v *verdict, do func(p *process)) {
	p, err := launch(s.o, s.rec)
	if err != nil {
		v.failf("%v", err)
		return
	}
	defer p.stop()
	do(p)
}

func (s *suite) checkStart(ctx context.Context, v *verdict) {
	s.with(v, func(p *process) {
		ctx, cancel := s.callContext(ctx)
		defer cancel()
		ca, caErr := p.ca.Describe(ctx)
		if caErr == nil {
			s.report.Kind, s.report.Name, s.report.Version, s.desc = wire.PluginCA, ca.Name, ca.Version, ca
			return
		}
		if !errors.Is(caErr, wire.ErrUnsupported) {
			v.failf("Describe: %v", caErr)
			return
		}
		dcv, err := p.dcv.Describe(ctx)
		if err != nil {
			v.failf("it serves neither the CA contract nor the domain control contract: %v", err)
			return
		}
		s.report.Kind, s.report.Name, s.report.Version, s.dcv = wire.PluginDCV, dcv.Name, dcv.Version, dcv
	})
}

// checkDescribe asks twice in another process than the first: the answer may depend on nothing.
func (s *suite) checkDescribe(ctx context.Context, v *verdict) {
	s.with(v, func(p *process) {
		ctx, cancel := s.callContext(ctx)
		defer cancel()
		for range 2 {
			var diff string
			var err error
			if s.report.Kind == wire.PluginCA {
				var d pluginapi.Description
				d, err = p.ca.Describe(ctx)
				diff = cmp.Diff(s.desc, d)
			} else {
				var d pluginapi.DCVDescription
				d, err = p.dcv.Describe(ctx)
				diff = cmp.Diff(s.dcv, d)
			}
			if err != nil {
				v.failf("Describe: %v", err)
			} else if diff != "" {
				v.failf("Describe answers differently the second time:\n%s", diff)
			}
		}
		s.checkSchema(v, "account settings", s.accountSchema())
		s.checkSchema(v, "order settings", s.desc.OrderSettings)
	})
}

func (s *suite) accountSchema() []pluginapi.Field {
	if s.report.Kind == wire.PluginCA {
		return s.desc.AccountSettings
	}
	return s.dcv.Settings
}

// checkSchema looks at what the wire cannot refuse but people need.
func (s *suite) checkSchema(v *verdict, where string, fields []pluginapi.Field) {
	for _, f := range fields {
		if f.Help == "" {
			v.failf("%s: %s has no help", where, f.Name)
		}
		if f.Required && f.Default != nil {
			v.failf("%s: %s is required and has a default", where, f.Name)
		}
		if f.Default != nil && len(f.Allowed) > 0 && !slices.Contains(f.Allowed, f.Default) {
			v.failf("%s: the default of %s is not an allowed value", where, f.Name)
		}
		if f.Secret && f.Default != nil {
			v.failf("%s: %s is a secret and has a default", where, f.Name)
		}
		s.checkSchema(v, where+"."+f.Name, f.Fields)
	}
}

// checkStop holds that SIGTERM ends the process, and that its socket goes with it.
func (s *suite) checkStop(ctx context.Context, v *verdict) {
	s.with(v, func(p *process) {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			v.failf("send SIGTERM: %v", err)
			return
		}
		deadline := time.NewTimer(stopTimeout)
		defer deadline.Stop()
		for tick := time.NewTicker(20 * time.Millisecond); !p.client.Exited(); {
			select {
			case <-tick.C:
			case <-deadline.C:
				v.failf("the process goes on %s after SIGTERM", stopTimeout)
				return
			case <-ctx.Done():
				v.failf("%v", ctx.Err())
				return
			}
		}
		left, err := os.ReadDir(p.dir)
		if err != nil {
			v.failf("look at the folder of the socket: %v", err)
		}
		for _, f := range left {
			v.failf("%s was left behind in the folder for temporary files", f.Name())
		}
	})
}

func (s *suite) checkErrorKinds(_ context.Context, v *verdict) {
	list, failures := s.rec.withoutKind()
	for _, words := range list {
		v.failf("%s", words)
	}
	if failures == 0 {
		v.skip("no call failed")
	}
}

func (s *suite) checkSecrets(_ context.Context, v *verdict) {
	for _, where := range s.rec.found() {
		v.failf("a secret came out in %s", where)
	}
}

func (s *suite) callContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.o.CallTimeout)
}

// randomHex returns 32 lower-case hexadecimal digits that were never used before.
func randomHex() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}

func sorted(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }
