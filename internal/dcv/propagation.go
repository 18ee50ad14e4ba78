package dcv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// How long and how often to look at a record where its profile says nothing. The first looks follow quickly one upon the
// other: most name servers have the record at once.
const (
	defaultPropagationTimeout  = 2 * time.Minute
	defaultPropagationInterval = 2 * time.Second
	firstPause                 = 250 * time.Millisecond
)

// awaitRecord waits until a record can be seen everywhere.
func (s *Solver) awaitRecord(ctx context.Context, profile string, pub publisher, c pluginapi.Challenge) error {
	w, err := s.newWatch(c)
	if err != nil {
		return err
	}
	if w.dns.propagation == None {
		return nil
	}
	limit, interval, err := pace(ctx, pub)
	if err != nil {
		return err
	}
	answers, err := s.watchRecord(ctx, w, profile, c, limit, interval)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case AllSeen(answers):
		return nil
	case err != nil:
		return pluginapi.Errorf(pluginapi.Unavailable, "%s cannot be looked at: %w; when name servers cannot be found from here, "+
			"set dns_propagation = %q, or %q", describe(c), err, Resolvers, None)
	case onlyUnheard(answers) && s.lostPatience(profile, c):
		s.log.LogAttrs(ctx, slog.LevelWarn, "challenge record not seen on every name server, going on",
			slog.String("profile", profile), slog.String("record", c.DNS.Name), slog.String("answers", heard(answers)))
		return nil
	default:
		return pluginapi.Errorf(pluginapi.Unavailable, "after %s %s", limit, w.why(answers))
	}
}

// pace is how long and how often to look.
func pace(ctx context.Context, pub publisher) (limit, interval time.Duration, err error) {
	limit, interval = defaultPropagationTimeout, defaultPropagationInterval
	p, ok := pub.(*plugin)
	if !ok {
		return limit, interval, nil
	}
	configured, err := p.Configured(ctx)
	if err != nil {
		return 0, 0, err
	}
	if configured.PropagationTimeout > 0 {
		limit = configured.PropagationTimeout
	}
	if configured.PropagationInterval > 0 {
		interval = configured.PropagationInterval
	}
	return limit, interval, nil
}

// watchRecord looks until the record is seen everywhere, the time is up, or only those are missing who were missing in
// the waits before. It returns the last answers that were heard in full, or why there are none.
func (s *Solver) watchRecord(ctx context.Context, w *watch, profile string, c pluginapi.Challenge, limit, interval time.Duration) ([]Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var answers []Answer
	lastErr := errors.New("its name servers were not found in time")
	for pause := min(firstPause, interval); ; pause = min(2*pause, interval) {
		got, err := w.look(ctx)
		switch {
		case err == nil:
			answers = heardLast(got, answers)
		case ctx.Err() == nil:
			answers, lastErr = nil, err
		}
		if AllSeen(answers) || ctx.Err() == nil && onlyUnheard(answers) && s.patienceUsedUp(profile, c) {
			return answers, nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
			continue
		case <-ctx.Done():
			timer.Stop()
		}
		if answers == nil {
			return nil, lastErr
		}
		return answers, nil
	}
}

// heardLast puts what was heard before in the place of answers for which there was no time.
func heardLast(answers, before []Answer) []Answer {
	for i, a := range answers {
		at := slices.IndexFunc(before, func(b Answer) bool { return b.Server == a.Server && b.Address == a.Address })
		if a.outcome == cut && at >= 0 {
			answers[i] = before[at]
		}
	}
	return answers
}

// onlyUnheard reports that somebody has the record and nobody who answers for the zone lacks it.
func onlyUnheard(answers []Answer) bool {
	has := func(o outcome) bool {
		return slices.ContainsFunc(answers, func(a Answer) bool { return a.outcome == o })
	}
	return has(seen) && !has(lacks)
}

// WhyUnseen says who has not got a record, and what to do about it.
func WhyUnseen(c pluginapi.Challenge, answers []Answer) string {
	if c.DNS == nil {
		return ""
	}
	w := watch{record: *c.DNS, name: c.DNS.Name}
	return w.why(answers)
}

func (w *watch) why(answers []Answer) string {
	at := strings.TrimSuffix(w.name, ".")
	place := fmt.Sprintf("%s %s", w.record.Type, strings.TrimSuffix(w.record.Name, "."))
	if !sameName(at, w.record.Name) {
		place += fmt.Sprintf(" (by CNAME at %s)", at)
	}
	return fmt.Sprintf("%s is not seen everywhere: %s; %s", place, heard(answers), advice(answers))
}

// heard lists the answers for people.
func heard(answers []Answer) string {
	words := make([]string, 0, len(answers))
	for _, a := range answers {
		what := "has it"
		if a.Err != nil {
			what = a.Err.Error()
		}
		from := a.Server
		if a.Address.IsValid() {
			from = fmt.Sprintf("%s (%s)", strings.TrimSuffix(a.Server, "."), a.Address.Addr())
		}
		words = append(words, from+" "+what)
	}
	return list(words)
}

// advice says what to do, by what is most likely wrong.
func advice(answers []Answer) string {
	count := map[outcome]int{}
	for _, a := range answers {
		count[a.outcome]++
	}
	unheard := count[silent] + count[cut] + count[unreachable]
	byResolver := slices.ContainsFunc(answers, func(a Answer) bool { return a.Server == resolverName })
	switch {
	case unheard == len(answers) && byResolver:
		return "no resolver answers: look at dns_resolvers, or /etc/resolv.conf"
	case unheard == len(answers):
		return fmt.Sprintf("no name server answers, so outgoing port 53 may be blocked here: set dns_propagation = %q", Resolvers)
	case count[lacks] > 0 && byResolver:
		return "it may need more time than the profile allows: a resolver remembers that a record was not there"
	case count[lacks] > 0 && count[seen] > 0:
		return "some servers are late: allow the profile a longer propagation time, or look whether they still get the zone's changes"
	case count[lacks] > 0:
		return "look whether the profile changes the zone that these servers have, and allow it a longer propagation time where they are slow"
	case count[lame] > 0:
		return "look at the zone's NS records: they name servers that do not serve it"
	case byResolver:
		return "look at the resolvers that do not answer, or take them out of dns_resolvers"
	default:
		return "look at the servers that do not answer, or take them out of the zone's NS records"
	}
}
