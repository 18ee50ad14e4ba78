package daemon

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/internal/dcv"
	"github.com/certbridge/certbridged/internal/schedule"
	"github.com/certbridge/certbridged/internal/state"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// oneAtATime is a DNS host that knows one value alone: withdrawing anything takes it down.
type oneAtATime struct{ up string }

func (o *oneAtATime) Configured(context.Context) (pluginapi.DCVConfigured, error) {
	return pluginapi.DCVConfigured{Sequential: true, Abilities: []pluginapi.PublishAbility{pluginapi.PublishCNAME}}, nil
}

func (o *oneAtATime) Publish(_ context.Context, c pluginapi.Challenge) ([]byte, error) {
	o.up = c.DNS.Name
	return nil, nil
}

func (o *oneAtATime) Withdraw(context.Context, pluginapi.Challenge, []byte) error {
	o.up = ""
	return nil
}

// A test that has no turn leaves alone what an order shows.
func TestAProfileTestWithoutATurnTakesNothingDown(t *testing.T) {
	host := &oneAtATime{}
	solver, err := dcv.New(dcv.Options{Profiles: []dcv.Profile{{Name: "dns", Plugin: host}}, DNS: dcv.DNS{Propagation: dcv.None}})
	if err != nil {
		t.Fatal(err)
	}
	defer solver.Close()
	store, err := state.Open(filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	d := &Daemon{solver: solver, state: store}
	record := func(name string) pluginapi.Challenge {
		return pluginapi.Challenge{ID: name, Identifier: name, DNS: &pluginapi.DNSRecord{Name: name, Type: pluginapi.CNAME, Value: "target.example"}}
	}
	if _, err := solver.Publish(t.Context(), "dns", record("order.example"), nil); err != nil {
		t.Fatal(err)
	}
	var said []string
	err = d.try(t.Context(), trial{Profile: "dns", Challenge: record("test.example")}, func(s control.ProfileTestStep) error {
		said = append(said, s.Message)
		return nil
	})
	if err == nil || !strings.Contains(strings.Join(said, "\n"), "order.example") || !strings.Contains(strings.Join(said, "\n"), "has its turn") {
		t.Errorf("%q, %v", said, err)
	}
	if host.up != "order.example" {
		t.Errorf("up is %q", host.up)
	}
	if err := store.Each(trialBucket, func(id string, _ []byte) error {
		t.Errorf("the test %s is still in the journal", id)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// Nobody can withdraw through a profile that is gone. A person is told what is left, once.
func TestATestWhoseProfileIsGoneIsGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		profiles map[string]config.DCV
		givenUp  bool
	}{
		"gone":          {nil, true},
		"still to come": {map[string]config.DCV{"dns": {}}, false}, // configured, and out of order
	} {
		t.Run(name, func(t *testing.T) {
			solver, err := dcv.New(dcv.Options{DNS: dcv.DNS{Propagation: dcv.None}})
			if err != nil {
				t.Fatal(err)
			}
			defer solver.Close()
			store, err := state.Open(filepath.Join(t.TempDir(), "state.db"))
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			d := &Daemon{solver: solver, state: store, log: slog.New(slog.DiscardHandler), events: newEventLog(), timer: schedule.NewTimer()}
			d.setup.Store(&setup{config: &config.Config{DCV: c.profiles}})
			left := trial{Profile: "dns", Challenge: pluginapi.Challenge{ID: "test-1", Identifier: "example.com",
				DNS: &pluginapi.DNSRecord{Name: "_dnsauth.example.com", Type: pluginapi.TXT, Value: "the value"}}}
			if err := d.saveTrial(left); err != nil {
				t.Fatal(err)
			}
			d.clearTrial(t.Context(), "test-1")
			text, err := store.Read(trialBucket, "test-1")
			if err != nil || (text == nil) != c.givenUp {
				t.Errorf("in the journal: %q, %v", text, err)
			}
			told := ""
			for _, e := range d.events.last {
				told += e.Message
			}
			if !c.givenUp {
				if told != "" {
					t.Error(told)
				}
				return
			}
			for _, part := range []string{`profile "dns"`, "TXT record _dnsauth.example.com", `"the value"`, "by hand"} {
				if !strings.Contains(told, part) {
					t.Errorf("%q lacks %q", told, part)
				}
			}
		})
	}
}
