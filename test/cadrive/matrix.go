package cadrive

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// StandIn is what the tests need of a stand-in; every one that embeds sandbox.Frame has it.
type StandIn interface {
	// Ledger counts what was bought.
	Ledger() sandbox.Ledger
	// Calls are the HTTP calls that have come in.
	Calls() []sandbox.Call
	// Misbehave makes one of the next calls go wrong.
	Misbehave(m sandbox.Misbehaviour) error
}

// WantSpent holds how often money was spent and reissues were made.
func WantSpent(t testing.TB, s StandIn, purchases, reissues int) {
	t.Helper()
	l := s.Ledger()
	if p, re := l.Count(sandbox.Purchase), l.Count(sandbox.Reissue); p != purchases || re != reissues {
		t.Errorf("%d purchases and %d reissues, want %d and %d", p, re, purchases, reissues)
	}
}

// Fault is one way for an HTTP call to go wrong.
type Fault struct {
	// Misbehaviour is the stand-in's.
	sandbox.Misbehaviour
	// Kill lets the plugin die within the call instead: before the stand-in has done its work, or with After when it has.
	Kill bool
}

// Slow is how long the fault "slow" waits: the plugin's time-out in these runs must be shorter, and with it the plugin
// gives up before the work is done.
const Slow = 1500 * time.Millisecond

// Faults are the ways in which a call can go wrong, before the work is done and after it.
func Faults() map[string]Fault {
	answer := func(m sandbox.Misbehaviour) Fault { return Fault{Misbehaviour: m} }
	return map[string]Fault{
		"dropped before":      answer(sandbox.Misbehaviour{Kind: sandbox.Drop}),
		"dropped after":       answer(sandbox.Misbehaviour{Kind: sandbox.Drop, After: true}),
		"reset before":        answer(sandbox.Misbehaviour{Kind: sandbox.Reset}),
		"reset after":         answer(sandbox.Misbehaviour{Kind: sandbox.Reset, After: true}),
		"429":                 answer(sandbox.Misbehaviour{Kind: sandbox.RateLimited, RetryAfter: "1"}),
		"500 before":          answer(sandbox.Misbehaviour{Kind: sandbox.ServerError, Status: 500}),
		"503 after":           answer(sandbox.Misbehaviour{Kind: sandbox.ServerError, After: true}),
		"HTML, 200, before":   answer(sandbox.Misbehaviour{Kind: sandbox.HTML}),
		"HTML, 200, after":    answer(sandbox.Misbehaviour{Kind: sandbox.HTML, After: true}),
		"HTML, 502, after":    answer(sandbox.Misbehaviour{Kind: sandbox.HTML, Status: 502, After: true}),
		"HTML, 400, after":    answer(sandbox.Misbehaviour{Kind: sandbox.HTML, Status: 400, After: true}),
		"truncated":           answer(sandbox.Misbehaviour{Kind: sandbox.Truncated}),
		"cut off":             answer(sandbox.Misbehaviour{Kind: sandbox.Cut}),
		"slow":                answer(sandbox.Misbehaviour{Kind: sandbox.Slow, Delay: sandbox.Delay(Slow)}), // the client gives up, and then the work is done
		"types flipped":       answer(sandbox.Misbehaviour{Kind: sandbox.FlipTypes}),
		"another certificate": answer(sandbox.Misbehaviour{Kind: sandbox.OtherCertificate}),
		"killed before":       {Kill: true},
		"killed after":        {Kill: true, Misbehaviour: sandbox.Misbehaviour{After: true}},
	}
}

// Driven is what a Matrix needs of a Driver.
type Driven interface {
	KillAt(n int, after bool)
	Died() bool
	SettleFor(pause time.Duration)
}

// Case is one run, with all done that comes before what is tried.
type Case struct {
	StandIn StandIn
	Driver  Driven
	// Run does what is tried, and fails the test where it comes to no good end.
	Run func()
}

// Matrix tries every fault at every HTTP call of something that may spend money.
type Matrix struct {
	// Prepare makes a fresh stand-in and a Driver for it, and does what comes before.
	Prepare func(t testing.TB) Case
	// Purchases and Reissues are what the stand-in must have counted at the end of every run.
	Purchases, Reissues int
	// FewestCalls is how many HTTP calls it takes at least when nothing goes wrong: with fewer the test is about less than
	// it was.
	FewestCalls int
	// Faults to try; nil: Faults().
	Faults map[string]Fault
}

// Test counts the calls of a run without a fault, then runs once for each fault and each of them, side by side, and says
// how many runs that were.
func (m Matrix) Test(t *testing.T) {
	t.Helper()
	calls := m.calls(t)
	if calls < m.FewestCalls || calls == 0 {
		t.Fatalf("it takes only %d calls", calls)
	}
	faults := m.Faults
	if faults == nil {
		faults = Faults()
	}
	runs := 0
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		for at := range calls {
			runs++
			t.Run(fmt.Sprintf("%s at call %d", name, at+1), func(t *testing.T) {
				t.Parallel()
				m.run(t, faults[name], at)
			})
		}
	}
	t.Cleanup(func() { // when all runs are through
		if !t.Failed() {
			t.Logf("%d runs (%d faults at each of %d calls), in every one purchases: %d, reissues: %d", runs, len(faults), calls, m.Purchases, m.Reissues)
		}
	})
}

// calls is how many HTTP calls it takes when nothing goes wrong.
func (m Matrix) calls(t *testing.T) int {
	t.Helper()
	clean := m.Prepare(t)
	before := len(clean.StandIn.Calls())
	clean.Run()
	WantSpent(t, clean.StandIn, m.Purchases, m.Reissues)
	return len(clean.StandIn.Calls()) - before
}

func (m Matrix) run(t *testing.T, fault Fault, at int) {
	t.Helper()
	c := m.Prepare(t)
	c.Driver.SettleFor(time.Duration(fault.Delay))
	if fault.Kill {
		c.Driver.KillAt(at, fault.After)
	} else {
		fault.Skip = at
		if err := c.StandIn.Misbehave(fault.Misbehaviour); err != nil {
			t.Fatal(err)
		}
	}
	c.Run()
	WantSpent(t, c.StandIn, m.Purchases, m.Reissues)
	misbehaved := func(c sandbox.Call) bool { return c.Misbehaved != "" }
	if !c.Driver.Died() && !slices.ContainsFunc(c.StandIn.Calls(), misbehaved) {
		t.Error("nothing went wrong")
	}
}
