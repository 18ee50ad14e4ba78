package dcv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/miekg/dns"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// caaZone answers as a resolver would from lines of a zone file. A name that is broken gets no answer.
type caaZone struct {
	t       *testing.T
	records string
	broken  []string

	mu    sync.Mutex
	asked []string
}

func (z *caaZone) lookup(_ context.Context, name string, qtype uint16) (*dns.Msg, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if qtype != dns.TypeCAA {
		z.t.Errorf("asked for %s", dns.TypeToString[qtype])
	}
	z.asked = append(z.asked, name)
	if slices.Contains(z.broken, name) {
		return nil, errors.New("i/o timeout")
	}
	m := new(dns.Msg)
	m.Rcode = dns.RcodeNameError
	for line := range strings.Lines(z.records) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		rr, err := dns.NewRR(strings.TrimSpace(line))
		if err != nil {
			z.t.Fatal(err)
		}
		if rr.Header().Name != dns.Fqdn(name) {
			continue
		}
		m.Rcode = dns.RcodeSuccess
		m.Answer = append(m.Answer, rr)
		if cname, ok := rr.(*dns.CNAME); ok { // the resolver follows it
			name = strings.TrimSuffix(cname.Target, ".")
		}
	}
	// Through the wire, as a real answer comes: the library keeps other bytes for a value it has parsed as text.
	bytes, err := m.Pack()
	if err != nil {
		z.t.Fatal(err)
	}
	back := new(dns.Msg)
	if err := back.Unpack(bytes); err != nil {
		z.t.Fatal(err)
	}
	return back, nil
}

func (z *caaZone) check(q CAAQuery) (CAAReport, error) {
	return checkCAA(z.t.Context(), z.lookup, slog.New(slog.DiscardHandler), q)
}

// rfc8659 holds the examples of RFC 8659 sections 4.2 to 4.5, and some of what the text says beside them.
const rfc8659 = `
certs.example.com.     CAA 0 issue "ca1.example.net"
account.example.com.   CAA 0 issue "ca1.example.net; account=230123"
nocerts.example.com.   CAA 0 issue ";"
several.example.com.   CAA 0 issue "ca1.example.net"
several.example.com.   CAA 0 issue "ca2.example.org"
wild.example.com.      CAA 0 issue "ca1.example.net"
wild2.example.com.     CAA 0 issue "ca1.example.net"
wild2.example.com.     CAA 0 issuewild "ca2.example.org"
wild3.example.com.     CAA 0 issuewild "ca1.example.net"
wild3.example.com.     CAA 0 issue ";"
wild4.example.com.     CAA 0 issuewild ";"
wild4.example.com.     CAA 0 issue "ca1.example.net"
wild5.example.com.     CAA 0 issuewild ";"
report.example.com.    CAA 0 iodef "mailto:security@example.com"
new.example.com.       CAA 0 issue "ca1.example.net"
new.example.com.       CAA 128 tbs "Unknown"
newer.example.com.     CAA 0 issue "ca1.example.net"
newer.example.com.     CAA 0 tbs "Unknown"
known.example.com.     CAA 128 issue "ca1.example.net"
known.example.com.     CAA 128 iodef "mailto:security@example.com"
malformed.example.com. CAA 0 issue "%%%%%"
halves.example.com.    CAA 0 issue "%%%%%"
halves.example.com.    CAA 0 issue "ca1.example.net"
case.example.com.      CAA 0 ISSUE "  CA1.Example.NET\009; "
mail.example.com.      CAA 0 issuemail ";"
alias.example.com.     CNAME target.example.org.
target.example.org.    CAA 0 issue "ca2.example.org"
bare.example.com.      CNAME empty.example.org.
example.org.           CAA 0 issue "ca2.example.org"
top.                   CAA 0 issue "ca2.example.org"
under.example.com.     CAA 0 issue ";"
`

func TestCAAOfRFC8659(t *testing.T) {
	forbidden := map[string]string{ // name: a part of the sentence
		"nocerts.example.com":      `at nocerts.example.com stands CAA 0 issue ";", which lets nobody issue; add the record: nocerts.example.com. CAA 0 issue "ca1.example.net"`,
		"a.b.nocerts.example.com":  `at nocerts.example.com stands CAA 0 issue ";"`,
		"*.wild2.example.com":      `CAA 0 issuewild "ca2.example.org", which lets others issue; add the record: wild2.example.com. CAA 0 issuewild "ca1.example.net"`,
		"wild3.example.com":        `add the record: wild3.example.com. CAA 0 issue "ca1.example.net"`,
		"*.wild4.example.com":      `CAA 0 issuewild ";"`,
		"*.wild5.example.com":      `add the record: wild5.example.com. CAA 0 issuewild "ca1.example.net"`,
		"new.example.com":          `stands CAA 128 tbs "Unknown", which is critical and which a CA that does not know it must take for a no; remove that record`,
		"malformed.example.com":    `CAA 0 issue "%%%%%", whose value is malformed, so that it names nobody ("%%%%%" is no domain name); add`,
		"*.malformed.example.com":  `malformed`,
		"alias.example.com":        `at target.example.org stands CAA 0 issue "ca2.example.org", which lets others issue; add the record: target.example.org. CAA 0 issue "ca1.example.net"`,
		"shop.top":                 `at top stands CAA 0 issue "ca2.example.org", which lets others issue; add the record: shop.top. CAA 0 issue "ca1.example.net"`,
		"x.shop.example.org":       `at example.org stands`,
		"Deep.Under.Example.Com":   `for Deep.Under.Example.Com: at under.example.com stands`,
		"*.x.nocerts.example.com.": `nocerts.example.com. CAA 0 issue`,
	}
	allowed := []string{
		"certs.example.com", "*.certs.example.com", "www.certs.example.com", "account.example.com", "several.example.com", "*.several.example.com",
		"wild.example.com", "*.wild.example.com", "wild2.example.com", "sub.wild2.example.com", "*.wild3.example.com", "wild4.example.com", "wild5.example.com",
		"report.example.com", "*.report.example.com", "newer.example.com", "known.example.com", "halves.example.com", "case.example.com", "mail.example.com",
		"example.com", "nothing.example.net", "com", "192.0.2.1", "2001:db8::1",
		"bare.example.com", // its target has no records, and what is above the target does not count
	}
	z := &caaZone{t: t, records: rfc8659}
	query := func(names ...string) CAAQuery {
		q := CAAQuery{Identifiers: []string{"ca1.example.net"}}
		for _, n := range names {
			q.Names = append(q.Names, CAAName{Name: n})
		}
		return q
	}
	for name, want := range forbidden {
		_, err := z.check(query(name))
		var e *CAAForbiddenError
		switch {
		case !errors.Is(err, ErrCAAForbids) || errors.Is(err, ErrCAAUnknown) || !errors.As(err, &e) || pluginapi.KindOf(err) != pluginapi.Conflict:
			t.Errorf("%s: %v, want it forbidden", name, err)
		case !strings.Contains(err.Error(), want):
			t.Errorf("%s: %v\nwant a word of %s", name, err, want)
		case !slices.Equal(e.Names, []string{name}):
			t.Errorf("%s: names %v", name, e.Names)
		}
	}
	for _, name := range allowed {
		if report, err := z.check(query(name)); err != nil || len(report.Excluded) > 0 || len(report.Remarks) > 0 {
			t.Errorf("%s: %+v, %v; want it allowed", name, report, err)
		}
	}
	if _, err := z.check(query(allowed...)); err != nil {
		t.Errorf("all that are allowed in one order: %v", err)
	}
}

func TestCAAOfSeveralNames(t *testing.T) {
	z := &caaZone{t: t, records: rfc8659, broken: []string{"down.example.com"}}
	q := CAAQuery{Identifiers: []string{"other.example", "third.example"}, Names: []CAAName{
		{Name: "b.nocerts.example.com"}, {Name: "certs.example.com"}, {Name: "*.a.nocerts.example.com"}, {Name: "down.example.com"}, {Name: "fine.example.com"},
	}}
	_, err := z.check(q)
	if !errors.Is(err, ErrCAAForbids) || errors.Is(err, ErrCAAUnknown) {
		t.Fatalf("got %v", err)
	}
	want := `CAA records forbid this CA, which goes by other.example or third.example, to issue for b.nocerts.example.com, *.a.nocerts.example.com: ` +
		`at nocerts.example.com stands CAA 0 issue ";", which lets nobody issue; add the record: nocerts.example.com. CAA 0 issue "other.example"; ` +
		`CAA records forbid this CA, which goes by other.example or third.example, to issue for certs.example.com: ` +
		`at certs.example.com stands CAA 0 issue "ca1.example.net", which lets others issue; add the record: certs.example.com. CAA 0 issue "other.example"`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
	slices.Sort(z.asked)
	if twice := slices.Compact(slices.Clone(z.asked)); len(twice) != len(z.asked) {
		t.Errorf("asked more than once: %v", z.asked)
	}

	q.Names = q.Names[3:]
	_, err = z.check(q)
	if errors.Is(err, ErrCAAForbids) || !errors.Is(err, ErrCAAUnknown) || pluginapi.KindOf(err) != pluginapi.Unavailable ||
		!strings.Contains(err.Error(), "the CAA records of down.example.com cannot be looked up: i/o timeout") {
		t.Errorf("a name that cannot be looked up: %v", err)
	}
	// What is below of a name that cannot be looked up may have records of its own.
	z.broken = []string{"example.com", "com"}
	if _, err := z.check(CAAQuery{Identifiers: []string{"ca1.example.net"}, Names: []CAAName{{Name: "certs.example.com"}}}); err != nil {
		t.Errorf("records below a name that cannot be looked up: %v", err)
	}
	if _, err := z.check(CAAQuery{Names: []CAAName{{Name: "nocerts.example.com"}, {Name: "com"}}}); err != nil {
		t.Errorf("a CA that tells no identifiers: %v", err)
	}
}

// rfc8657 holds the examples of RFC 8657 section 5 and what the text says beside them.
const rfc8657 = `
account.example.com.  CAA 0 issue "example.net; accounturi=https://example.net/account/1234"
two.example.com.      CAA 0 issue "example.net; accounturi=https://example.net/account/1234"
two.example.com.      CAA 0 issue "example.net; accounturi=https://example.net/account/2345"
both.example.com.     CAA 0 issue "example.net; validationmethods=dns-01,xyz-01"
each.example.com.     CAA 0 issue "example.net; accounturi=https://example.net/account/1234; validationmethods=dns-01"
each.example.com.     CAA 0 issue "example.net; accounturi=https://example.net/account/2345; validationmethods=http-01"
none.example.com.     CAA 0 issue "example.net; validationmethods="
alpn.example.com.     CAA 0 issue "example.net; validationmethods=tls-alpn-01"
empty.example.com.    CAA 0 issue "example.net; accounturi="
double.example.com.   CAA 0 issue "example.net; accounturi=https://example.net/account/1234; accounturi=https://example.net/account/1234"
free.example.com.     CAA 0 issue "example.net; accounturi=https://example.net/account/9"
free.example.com.     CAA 0 issue "example.net"
wide.example.com.     CAA 0 issue "example.net; validationmethods=http-01"
wide.example.com.     CAA 0 issue "example.net; validationmethods=DNS-01"
other.example.com.    CAA 0 issue "example.net; novel=1"
`

func TestCAAParameters(t *testing.T) {
	const ours, theirs = "https://example.net/account/1234", "https://example.net/account/2345"
	dnsOnly, both := []pluginapi.ChallengeType{pluginapi.ChallengeDNS}, []pluginapi.ChallengeType{pluginapi.ChallengeDNS, pluginapi.ChallengeHTTP}
	httpOnly := []pluginapi.ChallengeType{pluginapi.ChallengeHTTP}
	acme := []pluginapi.CAAMethod{
		{Type: pluginapi.ChallengeDNS, Label: "dns-01"}, {Type: pluginapi.ChallengeHTTP, Label: "http-01"}, {Type: pluginapi.ChallengeTLSALPN, Label: "tls-alpn-01"},
	}
	for name, c := range map[string]struct {
		name     string
		account  string
		types    []pluginapi.ChallengeType
		methods  []pluginapi.CAAMethod
		want     string // part of what forbids it
		excluded []pluginapi.ChallengeType
		remark   string
	}{
		"our account":                          {name: "account", account: ours},
		"another account":                      {name: "account", account: theirs, want: `which names another account than ours, ` + theirs + `; add the record: account.example.com. CAA 0 issue "example.net; accounturi=` + theirs + `"`},
		"an account that is not known":         {name: "account", remark: "names an account, and the address of ours is not known here"},
		"one of two accounts":                  {name: "two", account: theirs},
		"none of two accounts":                 {name: "two", account: "https://example.net/account/3", want: "another account"},
		"a method that is possible":            {name: "both", types: dnsOnly, methods: acme},
		"one of two methods":                   {name: "both", types: both, methods: acme, excluded: httpOnly},
		"a method that is not possible":        {name: "both", types: httpOnly, methods: acme, want: `which leaves no method that is configured for the name (http-01); add the record: both.example.com. CAA 0 issue "example.net; validationmethods=http-01"`},
		"a CA that names no methods":           {name: "both", types: httpOnly},
		"a type that the CA has no label for":  {name: "both", types: httpOnly, methods: acme[:1]},
		"what is possible is not known":        {name: "both", methods: acme},
		"account and method of one record":     {name: "each", account: ours, types: both, methods: acme, excluded: httpOnly},
		"account of one, method of the other":  {name: "each", account: ours, types: httpOnly, methods: acme, want: "forbid"},
		"account not known, methods of both":   {name: "each", types: both, methods: acme, remark: "not known here"},
		"no methods at all":                    {name: "none", types: both, methods: acme, want: "leaves no method"},
		"a method that nobody configured":      {name: "alpn", types: both, methods: acme, want: "(dns-01, http-01)"},
		"an empty account":                     {name: "empty", account: ours, want: "empty account"},
		"an empty account, ours is not known":  {name: "empty", want: "empty account"},
		"two accounts in one record":           {name: "double", account: ours, want: "names two accounts"},
		"a record for all accounts beside one": {name: "free"},
		"methods of several records":           {name: "wide", types: both, methods: acme},
		"a parameter nobody knows":             {name: "other", account: ours, types: both, methods: acme},
		"wildcard by the same rules":           {name: "*.both", types: both, methods: acme, excluded: httpOnly},
	} {
		t.Run(name, func(t *testing.T) {
			z := &caaZone{t: t, records: rfc8657}
			full := c.name + ".example.com"
			report, err := z.check(CAAQuery{
				Names: []CAAName{{Name: full, Types: c.types}}, Identifiers: []string{"Example.net"}, AccountURI: c.account, Methods: c.methods,
			})
			if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrCAAForbids) || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(c.want))) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if diff := cmp.Diff(c.excluded, report.Excluded[full], cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("excluded: %s", diff)
			}
			if got := strings.Join(report.Remarks, "; "); c.remark == "" && got != "" || !strings.Contains(got, c.remark) {
				t.Errorf("remarks %q, want %q", got, c.remark)
			}
		})
	}
}

func TestCAALookupsEndWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := func(ctx context.Context, _ string, _ uint16) (*dns.Msg, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		q := CAAQuery{Identifiers: []string{"ca.example"}}
		for i := range 50 {
			q.Names = append(q.Names, CAAName{Name: fmt.Sprintf("n%d.example.com", i)})
		}
		begin := time.Now()
		_, err := checkCAA(t.Context(), hangs, slog.New(slog.DiscardHandler), q)
		if took := time.Since(begin); !errors.Is(err, ErrCAAUnknown) || took != caaTimeout {
			t.Errorf("after %s: %v", took, err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("stopping"))
		if _, err := checkCAA(ctx, hangs, slog.New(slog.DiscardHandler), q); err == nil || err.Error() != "stopping" {
			t.Errorf("a context that ended: %v", err)
		}
	})
}

func TestCAALookupsGoSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(context.Context, string, uint16) (*dns.Msg, error) {
			time.Sleep(100 * time.Millisecond)
			return new(dns.Msg), nil
		}
		q := CAAQuery{Identifiers: []string{"ca.example"}}
		for i := range 50 {
			q.Names = append(q.Names, CAAName{Name: fmt.Sprintf("n%d.example.com", i)})
		}
		begin := time.Now()
		_, err := checkCAA(t.Context(), slow, slog.New(slog.DiscardHandler), q)
		if took := time.Since(begin); err != nil || took > time.Second {
			t.Errorf("50 names took %s: %v", took, err)
		}
	})
}

func TestParseIssueValue(t *testing.T) {
	for value, want := range map[string]issueValue{
		"":                             {},
		";":                            {},
		" \t; \t":                      {},
		"ca.example":                   {issuer: "ca.example"},
		"  CA.example  ;  ":            {issuer: "ca.example"},
		"ca":                           {issuer: "ca"},
		"xn--bcher-kva.example":        {issuer: "xn--bcher-kva.example"},
		"ca.example;a=b":               {issuer: "ca.example", parameters: []caaParameter{{"a", "b"}}},
		"ca.example; A = b ; c-1=x=y,": {issuer: "ca.example", parameters: []caaParameter{{"a", "b"}, {"c-1", "x=y,"}}},
		"ca.example; a=":               {issuer: "ca.example", parameters: []caaParameter{{"a", ""}}},
		";a=b":                         {parameters: []caaParameter{{"a", "b"}}},
	} {
		got, err := parseIssueValue(value)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(issueValue{}, caaParameter{})); err != nil || diff != "" {
			t.Errorf("%q: %v %s", value, err, diff)
		}
	}
	for _, value := range []string{
		"%%%%%", "ca example", "ca.example.", ".ca", "-ca.example", "ca-.example", "ca..example", "ca_.example", "ca.example;;", "ca.example; a=b;", "ca.example;a",
		"ca.example; =b", "ca.example; -a=b", "ca.example; a=b c", "ca.example; a=\x7f", "ca.example; a=ü", "ca.example\n", "ca.example a=b", "\x00",
	} {
		if got, err := parseIssueValue(value); err == nil {
			t.Errorf("%q is taken as %+v", value, got)
		}
	}
}

// What is read from any value says no more than the value: written anew, it reads the same, and it never names an issuer
// that does not stand in it.
func FuzzCAAValue(f *testing.F) {
	for _, seed := range []string{"", ";", "ca.example", "ca.example; accounturi=https://ca.example/1; validationmethods=dns-01,http-01", "%%%%%", " CA ; a=b ;c=", "\x00;\xff=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		v, err := parseIssueValue(value)
		r := newCAARecord(0, "issue", value)
		if (err == nil) != (r.malformed == nil) {
			t.Fatal("the record and its value disagree")
		}
		if strings.ContainsFunc(r.String(), func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Fatalf("%q is shown as %q", value, r)
		}
		if err != nil {
			return
		}
		if !strings.Contains(strings.ToLower(value), v.issuer) {
			t.Fatalf("%q: issuer %q", value, v.issuer)
		}
		text := v.issuer
		for _, p := range v.parameters {
			text += ";" + p.tag + "=" + p.value
		}
		again, err := parseIssueValue(text)
		if diff := cmp.Diff(v, again, cmp.AllowUnexported(issueValue{}, caaParameter{}), cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Fatalf("%q: %v %s", text, err, diff)
		}
		for _, rr := range []string{r.String()} {
			if _, err := dns.NewRR("a.example. " + rr); err != nil {
				t.Fatalf("%s cannot stand in a zone: %v", rr, err)
			}
		}
	})
}
