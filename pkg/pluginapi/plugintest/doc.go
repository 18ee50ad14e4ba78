// Package plugintest is the conformance suite of the plugin contract: it starts a plugin's executable as the daemon
// does and finds out whether the plugin keeps its promises, those about money and crashes first of all.
//
// Test runs it inside a Go test; Run gives a Report to print. A check that cannot be made with the options given is
// skipped and says what is missing. The suite places real orders when the plugin says that orders are free, or when
// Options.SpendMoney allows it.
package plugintest

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Options say what to test and with what.
type Options struct {
	// Path of the executable, Args and Env beside what the handshake needs. No other environment is passed on.
	Path string
	Args []string
	Env  []string
	// Settings and secrets of a CA account or DCV profile that works.
	Settings pluginapi.Settings
	// DNSResolvers are what a DCV profile looks records up with, "host:port"; empty: the system's.
	DNSResolvers []string
	// BadSettings are more settings that must be refused, beside those the suite makes from the schema.
	BadSettings []pluginapi.Settings

	// OrderSettings are those of each order that is placed.
	OrderSettings pluginapi.Settings
	// BadOrderSettings are order settings that CheckOrders must find at fault. Without any, only what is good is asked about.
	BadOrderSettings []pluginapi.Settings
	// Identifiers to order a certificate for; without any, nothing is ordered.
	Identifiers []pluginapi.Identifier
	// Publish puts up a challenge and returns what takes it down again. Without it, only orders that need no
	// validation get through.
	Publish func(ctx context.Context, challenge pluginapi.Challenge) (withdraw func(), err error)
	// SpendMoney allows orders where the plugin says that they cost money. One run places up to ten.
	SpendMoney bool

	// Challenges are what a domain control plugin is asked to publish.
	Challenges []pluginapi.Challenge
	// Published reports whether a challenge can be seen; nil: the suite believes the plugin.
	Published func(ctx context.Context, challenge pluginapi.Challenge) (bool, error)

	// Only, if set, names the checks to make, beside "start" and "describe", which are always made.
	Only []string
	// OrderTimeout bounds one order from placing to certificate; the default is two minutes.
	OrderTimeout time.Duration
	// CallTimeout bounds one call; the default is thirty seconds.
	CallTimeout time.Duration
	// Progress, if set, is told of each check as it ends.
	Progress func(Check)
}

// Result is how a check ended.
type Result string

// The results.
const (
	Pass Result = "pass"
	Fail Result = "FAIL"
	Skip Result = "skip"
)

// Check is one promise and whether it is kept.
type Check struct {
	Name   string        `json:"name"`
	Result Result        `json:"result"`
	Took   time.Duration `json:"took_ns"`
	// Words are what was found: each fault, or why it was skipped.
	Words []string `json:"words,omitempty"`
}

// Report is what a run found.
type Report struct {
	Path string `json:"path"`
	// Kind is "ca" or "dcv"; empty when the plugin did not get that far.
	Kind    string  `json:"kind"`
	Name    string  `json:"name"`
	Version string  `json:"version"`
	Checks  []Check `json:"checks"`
}

// OK reports whether no check failed and at least one passed.
func (r Report) OK() bool {
	passed := false
	for _, c := range r.Checks {
		if c.Result == Fail {
			return false
		}
		passed = passed || c.Result == Pass
	}
	return passed
}

// Print writes the report for people.
func (r Report) Print(w io.Writer) error {
	var b strings.Builder
	counts := make(map[Result]int)
	fmt.Fprintf(&b, "%s: %s plugin %q, version %s\n", r.Path, orUnknown(r.Kind), orUnknown(r.Name), orUnknown(r.Version))
	for _, c := range r.Checks {
		counts[c.Result]++
		fmt.Fprintf(&b, "%s  %-20s %6d ms\n", c.Result, c.Name, c.Took.Milliseconds())
		for _, words := range c.Words {
			fmt.Fprintf(&b, "      %s\n", words)
		}
	}
	fmt.Fprintf(&b, "%d passed, %d failed, %d skipped\n", counts[Pass], counts[Fail], counts[Skip])
	_, err := io.WriteString(w, b.String())
	return err
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// T is the part of *testing.T that Test needs.
type T interface {
	Helper()
	Context() context.Context
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
}

// Test runs the suite inside a Go test and reports every failed check as an error of the test.
func Test(t T, o Options) Report {
	t.Helper()
	report := Run(t.Context(), o)
	for _, c := range report.Checks {
		words := strings.Join(c.Words, "; ")
		if c.Result == Fail {
			t.Errorf("%s: %s", c.Name, words)
		} else {
			t.Logf("%s  %s (%d ms) %s", c.Result, c.Name, c.Took.Milliseconds(), words)
		}
	}
	if len(report.Checks) == 0 {
		t.Errorf("no check was made")
	}
	return report
}
