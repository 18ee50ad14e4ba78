package dcv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// CAAQuery asks whether a CA may issue for names (RFC 8659).
type CAAQuery struct {
	Names []CAAName
	// Identifiers are the CA's issuer domain names. Without any nothing is looked up: nobody knows what to look for.
	Identifiers []string
	// AccountURI is the account's address (RFC 8657 section 3); empty when it is not known.
	AccountURI string
	// Methods say what the CA calls its challenge types (RFC 8657 section 4). Types that are not named are not judged.
	Methods []pluginapi.CAAMethod
}

// CAAName is a name of a certificate.
type CAAName struct {
	// Name may have "*." in front. An IP address has no CAA records and may always be issued for.
	Name string
	// Types are the types of challenge that can show control over the name; none when that is not known.
	Types []pluginapi.ChallengeType
}

// CAAReport is what CAA records that let a CA issue say beyond that.
type CAAReport struct {
	// Excluded are, by name as asked, the types of challenge that the records exclude.
	Excluded map[string][]pluginapi.ChallengeType
	// Remarks are sentences about what could not be judged.
	Remarks []string
}

// How CheckCAA fails. Its errors hold a CAAForbiddenError for each thing that ErrCAAForbids is about.
var (
	// ErrCAAForbids: the records forbid the CA to issue for at least one name.
	ErrCAAForbids = errors.New("CAA records forbid it")
	// ErrCAAUnknown: nothing is known to forbid it, and the records of at least one name cannot be looked up.
	ErrCAAUnknown = errors.New("CAA records cannot be looked up")
)

const (
	// caaTimeout is for all look-ups of one CheckCAA. A CA has its own, and looks itself.
	caaTimeout = 30 * time.Second
	// caaLookupsAtOnce keeps an order of a hundred names from flooding a resolver.
	caaLookupsAtOnce = 16
)

// CheckCAA looks up the CAA records of names as a CA will before it issues. Names that are forbidden come before those
// that could not be looked up: the error of the former is a Conflict with ErrCAAForbids, that of the latter Unavailable
// with ErrCAAUnknown.
func (s *Solver) CheckCAA(ctx context.Context, q CAAQuery) (CAAReport, error) {
	return checkCAA(ctx, s.lookup, s.log, q)
}

// lookupFunc asks a resolver for records; one that says that there are none, or no such name, is no error.
type lookupFunc func(ctx context.Context, name string, qtype uint16) (*dns.Msg, error)

func checkCAA(ctx context.Context, lookup lookupFunc, log *slog.Logger, q CAAQuery) (CAAReport, error) {
	report := CAAReport{Excluded: map[string][]pluginapi.ChallengeType{}}
	if len(q.Identifiers) == 0 {
		return report, nil
	}
	names := slices.DeleteFunc(slices.Clone(q.Names), func(n CAAName) bool {
		_, err := netip.ParseAddr(n.Name)
		return err == nil
	})
	limited, cancel := context.WithTimeout(ctx, caaTimeout)
	defer cancel()
	sets := lookUpCAA(limited, lookup, names)
	if ctx.Err() != nil {
		return report, context.Cause(ctx)
	}
	var refused []*CAAForbiddenError
	var unknown []error
	for _, n := range names {
		set, err := relevantCAA(sets, n.base())
		if err != nil {
			unknown = append(unknown, err)
			continue
		}
		verdict := q.judge(n, set)
		if verdict.forbidden != nil {
			refused = merge(refused, verdict.forbidden)
			continue
		}
		if len(verdict.excluded) > 0 {
			report.Excluded[n.Name] = verdict.excluded
		}
		if verdict.remark != "" && !slices.Contains(report.Remarks, verdict.remark) {
			report.Remarks = append(report.Remarks, verdict.remark)
		}
	}
	for _, remark := range report.Remarks {
		log.InfoContext(ctx, "CAA records", "remark", remark)
	}
	return report, caaFailure(refused, unknown)
}

func caaFailure(refused []*CAAForbiddenError, unknown []error) error {
	switch {
	case len(refused) > 0:
		errs := make([]error, len(refused))
		for i, r := range refused {
			errs[i] = r
		}
		return &pluginapi.Error{Kind: pluginapi.Conflict, Message: sentences(errs), Err: errors.Join(errs...)}
	case len(unknown) > 0:
		return &pluginapi.Error{
			Kind: pluginapi.Unavailable, Message: sentences(unknown), Err: errors.Join(append(unknown, ErrCAAUnknown)...),
		}
	default:
		return nil
	}
}

// sentences says each thing once.
func sentences(errs []error) string {
	var list []string
	for _, err := range errs {
		if text := err.Error(); !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return strings.Join(list, "; ")
}

func (n CAAName) base() string {
	return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(n.Name, "*."), "."))
}

func (n CAAName) wildcard() bool { return strings.HasPrefix(n.Name, "*.") }

// caaSet is the records found under a name. Where the name is an alias, the resolver has followed it, and they stand
// elsewhere.
type caaSet struct {
	place   string // where they stand, without the dot at the end
	records []caaRecord
	err     error
}

// lookUpCAA asks for the records of all names and of all that is above them, each once and side by side: mostly there
// are no records, so that all have to be asked for anyway.
func lookUpCAA(ctx context.Context, lookup lookupFunc, names []CAAName) map[string]caaSet {
	sets := map[string]caaSet{}
	for _, n := range names {
		for name := range upward(n.base()) {
			sets[name] = caaSet{}
		}
	}
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		slots = make(chan struct{}, caaLookupsAtOnce)
		found = make(map[string]caaSet, len(sets))
	)
	for name := range sets {
		wg.Go(func() {
			slots <- struct{}{}
			set := askCAA(ctx, lookup, name)
			<-slots
			mu.Lock()
			defer mu.Unlock()
			found[name] = set
		})
	}
	wg.Wait()
	return found
}

// upward yields a name and all above it but the root: "a.example.com", "example.com", "com".
func upward(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for rest := name; rest != ""; {
			if !yield(rest) {
				return
			}
			_, rest, _ = strings.Cut(rest, ".")
		}
	}
}

func askCAA(ctx context.Context, lookup lookupFunc, name string) caaSet {
	reply, err := lookup(ctx, name, dns.TypeCAA)
	switch {
	case err != nil:
		return caaSet{err: fmt.Errorf("the CAA records of %s cannot be looked up: %w", name, err)}
	case reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError:
		return caaSet{err: fmt.Errorf("the CAA records of %s cannot be looked up: the resolver says %s", name, dns.RcodeToString[reply.Rcode])}
	}
	set := caaSet{place: name}
	for _, rr := range reply.Answer {
		if caa, ok := rr.(*dns.CAA); ok {
			set.place = strings.ToLower(strings.TrimSuffix(caa.Hdr.Name, "."))
			set.records = append(set.records, newCAARecord(caa.Flag, caa.Tag, caa.Value))
		}
	}
	return set
}

// relevantCAA climbs to the first name that has records (RFC 8659 section 3). It climbs from the name itself also where
// that is an alias: what stands above the alias's target says nothing.
func relevantCAA(sets map[string]caaSet, name string) (caaSet, error) {
	for at := range upward(name) {
		if set := sets[at]; set.err != nil || len(set.records) > 0 {
			return set, set.err
		}
	}
	return caaSet{}, nil
}
