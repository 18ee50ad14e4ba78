package request

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields/fieldstest"
)

const (
	yearBegins = "<!-- a year: written by go test ./cmd/plugins/ca-digicert/request -update -->\n"
	yearEnds   = "<!-- end of a year -->\n"
	planBegins = "<!-- a plan: written by go test ./cmd/plugins/ca-digicert/request -update -->\n"
	planEnds   = "<!-- end of a plan -->\n"

	day = 24 * time.Hour
)

// renewBefore is how early a certificate is renewed: a part of its lifetime, or a time.
type renewBefore struct {
	part float64
	time time.Duration
}

func (r renewBefore) of(lifetime time.Duration) time.Duration {
	if r.time > 0 {
		return r.time
	}
	return time.Duration(r.part * float64(lifetime))
}

// issued is one certificate of a plan.
type issued struct {
	kind         string
	from, to     time.Time
	unusedOfPlan time.Duration // of the plan before, at a renewal
}

// walk follows a certificate from a purchase to the renewal after it, as certbridged does: a reissue while the plan
// outlasts the certificate on disk by a day, else a linked renewal.
func walk(start time.Time, years int, early renewBefore, longest func(time.Time) int) []issued {
	end := start.AddDate(years, 0, 0).Add(-day)
	until := func(from time.Time) time.Time {
		to := from.Add(time.Duration(longest(from)) * day)
		if to.After(end) {
			return end
		}
		return to
	}
	out := []issued{{kind: "new", from: start, to: until(start)}}
	for {
		last := out[len(out)-1]
		now := last.to.Add(-early.of(last.to.Sub(last.from)))
		if !end.After(last.to.Add(day)) {
			end = now.AddDate(years, 0, 0).Add(-day)
			return append(out, issued{kind: "renew", from: now, to: until(now), unusedOfPlan: last.to.Sub(now)})
		}
		out = append(out, issued{kind: "reissue", from: now, to: until(now)})
	}
}

func TestDocumentationHasTheCalendar(t *testing.T) {
	fieldstest.Documented(t, *update, documentation, yearBegins, yearEnds, yearTable())
	fieldstest.Documented(t, *update, documentation, planBegins, planEnds, planTable())
}

// yearTable compares how early one renews, in a year's plan with certificates of one longest lifetime.
func yearTable() string {
	ways := []struct {
		text  string
		early renewBefore
	}{{`"33%"`, renewBefore{part: 0.33}}, {`"30d"`, renewBefore{time: 30 * day}}, {`"21d"`, renewBefore{time: 21 * day}}, {`"10d"`, renewBefore{time: 10 * day}}}
	var b strings.Builder
	b.WriteString("\n| longest lifetime |")
	for _, w := range ways {
		fmt.Fprintf(&b, " `renew_before = %s` |", w.text)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(ways)) + "\n")
	start := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	for _, days := range []int{199, 99, 46} {
		fmt.Fprintf(&b, "| %d days |", days)
		for _, w := range ways {
			list := walk(start, 1, w.early, func(time.Time) int { return days })
			fmt.Fprintf(&b, " %s, %d days unused |", reissues(len(list)-2), list[len(list)-1].unusedOfPlan/day)
		}
		b.WriteString("\n")
	}
	return b.String() + "\n"
}

func reissues(n int) string {
	if n == 1 {
		return "1 reissue"
	}
	return fmt.Sprintf("%d reissues", n)
}

// planTable follows one plan through the calendar.
func planTable() string {
	var b strings.Builder
	b.WriteString("\n| day | certbridged orders | costs | certificate ends | days |\n|---|---|---|---|---|\n")
	start := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	for _, i := range walk(start, 1, renewBefore{time: 30 * day}, LongestLifetime) {
		costs := "nothing"
		if i.kind != "reissue" {
			costs = "a year's plan"
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %d |\n", i.from.Format(time.DateOnly), i.kind, costs, i.to.Format(time.DateOnly), i.to.Sub(i.from)/day)
	}
	return b.String() + "\n"
}

func TestWalk(t *testing.T) {
	start := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	// DigiCert's own table of a year's plan: a reissue 32 days before the end makes the second certificate end with
	// the plan, and one 60 or 90 days before needs a third.
	for early, want := range map[int]int{32: 1, 60: 2, 90: 2} {
		list := walk(start, 1, renewBefore{time: time.Duration(early) * day}, func(time.Time) int { return 199 })
		if got := len(list) - 2; got != want {
			t.Errorf("%d days before: %d reissues, want %d", early, got, want)
		}
		if last := list[len(list)-1]; last.kind != "renew" {
			t.Errorf("%d days before: ends with %s", early, last.kind)
		}
	}
}
