package dcv

import (
	"fmt"
	"slices"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// CAAForbiddenError says which CAA records forbid a CA to issue, and what would let it. errors.Is(err, ErrCAAForbids)
// holds.
type CAAForbiddenError struct {
	// Names are the names, as asked, that the records forbid.
	Names []string
	// Place is the name the records stand at, which may be above the names, or an alias's target.
	Place string
	// Records are the records that decide, as in a zone file.
	Records []string
	// Why is what is wrong with them.
	Why string
	// Identifiers are the CA's issuer domain names.
	Identifiers []string
	// Remedy is what to do; it holds the record to add.
	Remedy string
}

// Error says all of it.
func (e *CAAForbiddenError) Error() string {
	return fmt.Sprintf("CAA records forbid this CA, which goes by %s, to issue for %s: at %s stands %s, %s; %s",
		strings.Join(e.Identifiers, " or "), some(e.Names), e.Place, strings.Join(e.Records, " and "), e.Why, e.Remedy)
}

// Is makes it an ErrCAAForbids.
func (e *CAAForbiddenError) Is(target error) bool { return target == ErrCAAForbids }

// mostNamed is how many names a sentence lists.
const mostNamed = 5

func some(names []string) string {
	if len(names) > mostNamed {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:mostNamed], ", "), len(names)-mostNamed)
	}
	return strings.Join(names, ", ")
}

// merge adds what forbids one name to what forbids others: the same records need the same words once.
func merge(list []*CAAForbiddenError, one *CAAForbiddenError) []*CAAForbiddenError {
	for _, have := range list {
		if have.Place == one.Place && have.Why == one.Why && have.Remedy == one.Remedy {
			have.Names = append(have.Names, one.Names...)
			return list
		}
	}
	return append(list, one)
}

// caaVerdict is what the records of one name mean for a CA.
type caaVerdict struct {
	forbidden *CAAForbiddenError
	excluded  []pluginapi.ChallengeType
	remark    string
}

// judge reads the records that hold for a name (RFC 8659 sections 4.1 to 4.3).
func (q CAAQuery) judge(n CAAName, set caaSet) caaVerdict {
	var deciding []caaRecord
	tag := tagIssue
	for _, r := range set.records {
		if r.critical && !r.known() {
			return caaVerdict{forbidden: q.forbid(n, set, []caaRecord{r},
				"which is critical and which a CA that does not know it must take for a no", "remove that record, or its critical flag")}
		}
		if n.wildcard() && r.tag == tagIssueWild {
			tag = tagIssueWild
		}
	}
	for _, r := range set.records {
		if r.tag == tag {
			deciding = append(deciding, r)
		}
	}
	if len(deciding) == 0 {
		return caaVerdict{} // nothing there restricts who may issue for such a name
	}
	answers := make([]caaAnswer, len(deciding))
	for i, r := range deciding {
		answers[i] = q.ask(n, r)
	}
	return q.conclude(n, set, tag, deciding, answers)
}

// conclude joins what the records say: any one that lets the CA issue is enough.
func (q CAAQuery) conclude(n CAAName, set caaSet, tag string, deciding []caaRecord, answers []caaAnswer) caaVerdict {
	var allowed []pluginapi.ChallengeType
	yes, remark := false, ""
	for _, certain := range []bool{true, false} {
		for i, a := range answers {
			if a.why != "" || (a.doubt == "") != certain || yes && !certain {
				continue
			}
			allowed = append(allowed, a.types...)
			if !certain {
				remark = fmt.Sprintf("%s: %s at %s %s", n.Name, deciding[i], set.place, a.doubt)
			}
		}
		yes = yes || slices.ContainsFunc(answers, func(a caaAnswer) bool { return a.why == "" && (a.doubt == "") == certain })
	}
	if yes {
		verdict := caaVerdict{remark: remark}
		for _, t := range n.Types {
			if !slices.Contains(allowed, t) {
				verdict.excluded = append(verdict.excluded, t)
			}
		}
		return verdict
	}
	why, add := answers[0].why, caaAnswer{}
	for _, a := range answers {
		if a.ours { // the record that nearly does it says most
			why, add = a.why, a
			break
		}
	}
	return caaVerdict{forbidden: q.forbid(n, set, deciding, why, q.remedy(n, set, tag, add))}
}

func (q CAAQuery) forbid(n CAAName, set caaSet, records []caaRecord, why, remedy string) *CAAForbiddenError {
	e := &CAAForbiddenError{Names: []string{n.Name}, Place: set.place, Why: why, Identifiers: q.Identifiers, Remedy: remedy}
	for _, r := range records {
		e.Records = append(e.Records, r.String())
	}
	return e
}

// remedy is the record to add beside those that are there. What stands at a top level domain is nobody's to change; a
// record at the name itself goes before it.
func (q CAAQuery) remedy(n CAAName, set caaSet, tag string, a caaAnswer) string {
	place := set.place
	if !strings.Contains(place, ".") {
		place = n.base()
	}
	value := q.Identifiers[0]
	if a.otherAccount && q.AccountURI != "" {
		value += "; accounturi=" + q.AccountURI
	}
	if a.otherMethods {
		value += "; validationmethods=" + strings.Join(q.labels(n.Types), ",")
	}
	return fmt.Sprintf("add the record: %s. CAA 0 %s %s", place, tag, quoted(value))
}

// caaAnswer is what one record says to a CA.
type caaAnswer struct {
	// why is why it does not let the CA issue; empty when it does.
	why string
	// ours: it names the CA. otherAccount, otherMethods: but for another account, or other methods.
	ours, otherAccount, otherMethods bool
	// types are the challenge types that it lets the CA use, of those that are possible.
	types []pluginapi.ChallengeType
	// doubt is what could not be judged.
	doubt string
}

// ask asks one record that says who may issue.
func (q CAAQuery) ask(n CAAName, r caaRecord) caaAnswer {
	switch {
	case r.malformed != nil:
		return caaAnswer{why: fmt.Sprintf("whose value is malformed, so that it names nobody (%v)", r.malformed)}
	case r.issue.issuer == "":
		return caaAnswer{why: "which lets nobody issue"}
	case !slices.ContainsFunc(q.Identifiers, func(id string) bool { return strings.EqualFold(id, r.issue.issuer) }):
		return caaAnswer{why: "which lets others issue"}
	}
	a := caaAnswer{ours: true, types: n.Types}
	accounts := 0
	for _, p := range r.issue.parameters {
		switch p.tag {
		case "accounturi":
			accounts++
			q.account(&a, p.value)
		case "validationmethods":
			q.methods(&a, p.value)
		}
	}
	if accounts > 1 { // RFC 8657 section 3
		a.why, a.otherAccount = "which names two accounts and so can be met by none", true
	}
	return a
}

// account compares the account (RFC 8657 section 3).
func (q CAAQuery) account(a *caaAnswer, uri string) {
	switch {
	case uri == "":
		a.why, a.otherAccount = "which names an empty account and so can be met by none", true
	case q.AccountURI == "":
		a.doubt = "names an account, and the address of ours is not known here"
	case uri != q.AccountURI:
		a.why, a.otherAccount = fmt.Sprintf("which names another account than ours, %s", q.AccountURI), true
	}
}

// methods keeps the types that a list of labels lets the CA use (RFC 8657 section 4). It is not judged where the CA
// names no labels, or where it is not known what is possible.
func (q CAAQuery) methods(a *caaAnswer, list string) {
	if len(q.Methods) == 0 || len(a.types) == 0 {
		return
	}
	listed := strings.Split(strings.ToLower(list), ",")
	possible := a.types
	a.types = slices.DeleteFunc(slices.Clone(a.types), func(t pluginapi.ChallengeType) bool {
		labels := q.labels([]pluginapi.ChallengeType{t})
		return len(labels) > 0 && !slices.ContainsFunc(labels, func(l string) bool { return slices.Contains(listed, l) })
	})
	if len(a.types) == 0 {
		a.why, a.otherMethods = fmt.Sprintf("which leaves no method that is configured for the name (%s)", strings.Join(q.labels(possible), ", ")), true
	}
}

// labels are what the CA calls types of challenge, in lower case.
func (q CAAQuery) labels(types []pluginapi.ChallengeType) []string {
	var list []string
	for _, m := range q.Methods {
		if slices.Contains(types, m.Type) {
			list = append(list, strings.ToLower(m.Label))
		}
	}
	return list
}
