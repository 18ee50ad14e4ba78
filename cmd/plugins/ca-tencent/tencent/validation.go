package tencent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/certbridge/certbridged/cmd/plugins/ca-tencent/sslapi"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// RespondToChallenges has Tencent look at what is published.
func (c *CA) RespondToChallenges(ctx context.Context, placed pluginapi.PlacedOrder, challengeIDs []string) (pluginapi.OrderReply, error) {
	s, v, err := c.view(ctx, placed)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	if toShow, err := challenges(v); err == nil && slices.ContainsFunc(toShow, func(c pluginapi.Challenge) bool { return slices.Contains(challengeIDs, c.ID) }) {
		v.st.Responded = true
	}
	return s.step(ctx, v)
}

// validate says what is to be shown for an order, and has Tencent look again when it is time. Names that the CA has seen
// are not told apart: what is published stays until the certificate is there.
func (s *session) validate(ctx context.Context, v *view) (pluginapi.Order, error) {
	toShow, err := challenges(v)
	if err != nil {
		return pluginapi.Order{}, err
	}
	if v.st.Responded && !s.now().Before(v.st.NextCheck) {
		moved, err := s.check(ctx, v)
		if err != nil {
			return pluginapi.Order{}, err
		}
		if moved {
			return s.stand(ctx, v)
		}
	}
	if v.st.Shown && v.reviewed() {
		return s.review(v), nil
	}
	s.learnDeadline(ctx, v)
	out := pluginapi.Order{Status: pluginapi.PendingValidation, Detail: v.validationWords(toShow)}
	for _, c := range toShow {
		out.Authorizations = append(out.Authorizations, pluginapi.Authorization{Identifier: c.Identifier, Challenges: []pluginapi.Challenge{c}})
	}
	switch manual := slices.IndexFunc(toShow, func(c pluginapi.Challenge) bool { return c.Manual != nil }); {
	case v.reviewed():
		out.Action = s.reviewer(v)
	case manual >= 0:
		out.Action = s.person(toShow[manual].Manual.Instructions)
	}
	return out, nil
}

// check has Tencent look at what is published, and reads the certificate again. It reports whether that has moved on. That
// something is not seen yet is no failure: Tencent looks on its own, too.
// (Not confirmed by Tencent's pages: that the call makes the CA look.)
func (s *session) check(ctx context.Context, v *view) (moved bool, err error) {
	pauses := []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute} // more often it repeats what it said before
	pause := 10 * time.Minute
	if v.st.Checks < len(pauses) {
		pause = pauses[v.st.Checks]
	}
	results, err := s.client.Verify(ctx, v.id)
	switch {
	case err == nil:
		v.remark = unseen(results)
		v.st.Shown = len(results) > 0 && !slices.ContainsFunc(results, func(r sslapi.Verification) bool { return !r.Seen() && r.LocalCheck != 1 })
	case sslapi.Has(err, sslapi.NotVerifiable):
	default: // the look helps, and nothing hangs on it
		v.remark = sslapi.Fail("have Tencent look", err).Message
		s.log.Warn("Tencent was not made to look at what is published", "certificate", v.id, "error", err)
	}
	v.st.Checks++
	v.st.NextCheck = s.now().Add(pause).UTC()
	before := v.cert.Stands()
	if err := s.refresh(ctx, v); err != nil {
		return false, err
	}
	return v.cert.Stands() != before || len(v.cert.Auth.All()) == 0, nil
}

// learnDeadline asks until when domain control is to be shown, which lists alone tell, and may tell some time later. It is for
// people: that it cannot be had keeps nothing up.
func (s *session) learnDeadline(ctx context.Context, v *view) {
	const most = 4
	if !v.st.Deadline.IsZero() || v.st.Asked >= most {
		return
	}
	v.st.Asked++
	list, _, err := s.client.List(ctx, sslapi.Filter{IDs: []string{v.id}}, 0)
	if err != nil {
		s.log.Warn("until when domain control is to be shown cannot be read", "certificate", v.id, "error", err)
		return
	}
	for _, c := range list {
		if string(c.ID) == v.id && !c.Deadline.IsZero() {
			v.st.Deadline = c.Deadline.UTC()
		}
	}
}

// unseen says for people what is not seen yet.
func unseen(results []sslapi.Verification) string {
	var words []string
	for _, r := range results {
		if r.Seen() {
			continue
		}
		reason := restca.Clean(string(r.Reason), 200)
		if reason == "" {
			reason = localCheck(r)
		}
		words = append(words, fmt.Sprintf("%s: %s", restca.Clean(string(r.Domain), 253), reason))
	}
	return strings.Join(words, "; ")
}

// localCheck is what Tencent's own look says by its numbers. The mainland's service has others for the same.
func localCheck(r sslapi.Verification) string {
	if r.Frequently {
		return "asked too often, an answer from before"
	}
	switch r.LocalCheck {
	case 1:
		return "seen by Tencent, and not by the CA yet"
	case -1:
		return "the TXT record is not seen"
	case -2:
		return "the TXT record holds something else"
	case -3, -8:
		return "no name server answers"
	case -4, -9:
		return "the file is not seen"
	case -5, -10:
		return "the file holds something else"
	case -6:
		return "the CNAME record is not seen"
	case -7:
		return "the CNAME record leads elsewhere"
	default:
		return "not seen yet"
	}
}

func (v *view) validationWords(challenges []pluginapi.Challenge) string {
	var what []string
	for _, c := range challenges {
		text := "what the console says"
		switch {
		case c.DNS != nil:
			text = fmt.Sprintf("%s %s", c.DNS.Type, c.DNS.Name)
		case c.HTTP != nil:
			text = "http://" + c.HTTP.Host + c.HTTP.Path
		}
		what = append(what, text)
	}
	until := ""
	if !v.st.Deadline.IsZero() {
		until = " until " + v.st.Deadline.UTC().Format("2006-01-02 15:04 MST")
	}
	words := fmt.Sprintf("certificate %s waits for domain control%s: %s", v.id, until, list(what))
	if v.remark != "" {
		words += "; Tencent says: " + v.remark
		if domain := v.unserved(challenges); domain != "" {
			words += fmt.Sprintf("; nothing is put up on %s itself, which its answer names and its pages do not: should it look there, put the file there by hand", domain)
		}
	}
	if v.reviewed() {
		words += "; people look at the order, too"
	}
	return words
}

// unserved is the registrable domain that a file is told with, where nothing is put up there: for a name below it the pages
// have the file on that name alone, and a server for the domain may be another one.
// (Not confirmed by Tencent's pages: that it is looked for on the domain as well, as a client's authors took it.)
func (v *view) unserved(published []pluginapi.Challenge) string {
	for _, a := range v.cert.Auth.All() {
		domain := bare(string(a.Domain))
		if kindOf(a) == asFile && domain != "" && !slices.ContainsFunc(published, func(c pluginapi.Challenge) bool { return c.HTTP != nil && c.HTTP.Host == domain }) {
			return domain
		}
	}
	return ""
}

// The types of what is to be published.
const (
	asTXT   = "TXT"
	asCNAME = "CNAME"
	asFile  = "FILE"
	asMail  = "EMAIL"
)

// challenges are all that is to be published, each once: a file for every host, and one record for all names that share it.
func challenges(v *view) ([]pluginapi.Challenge, error) {
	names := bareNames(v.placed.Identifiers)
	var out []pluginapi.Challenge
	var strange error
	for _, a := range v.cert.Auth.All() {
		some, err := challengesOf(a, names, v.id)
		if errors.Is(err, errStrangeHost) { // nothing is put up there, and the order need not hang on it
			strange = err
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, c := range some {
			if !slices.ContainsFunc(out, func(o pluginapi.Challenge) bool { return o.ID == c.ID }) {
				out = append(out, c)
			}
		}
	}
	if len(out) == 0 {
		return nil, strange
	}
	return out, nil
}

// errStrangeHost marks a file for a host that has nothing to do with the names of the order.
var errStrangeHost = errors.New("a host that has nothing to do with its names")

func bareNames(identifiers []pluginapi.Identifier) []string {
	var out []string
	for _, id := range identifiers {
		if name := bare(id.Value); !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

func challengesOf(a sslapi.Auth, names []string, id string) ([]pluginapi.Challenge, error) {
	if a.Value == "" && kindOf(a) != asMail {
		return nil, nil // it comes a moment later
	}
	switch kind := kindOf(a); kind {
	case asTXT, asCNAME:
		return record(a, kind, names, id)
	case asFile:
		return files(a, names, id)
	case asMail:
		return []pluginapi.Challenge{{
			ID: kind + "/" + id, Identifier: names[0],
			Manual: &pluginapi.Manual{Instructions: "answer the mail of the CA about certificate " + id + ", as the console says"},
		}}, nil
	default:
		return nil, pluginapi.Errorf(pluginapi.Unavailable, "certificate %s asks for a proof of a kind that is not known here, %q", id, restca.Clean(kind, 40))
	}
}

// hostLike is what a CNAME record can lead to.
var hostLike = regexp.MustCompile(`^(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)+[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]\.?$`)

// kindOf is the type of what is to be published; where it is not said, what it looks like.
func kindOf(a sslapi.Auth) string {
	switch kind := strings.ToUpper(string(a.Type)); {
	case kind == "FILE_PROXY":
		return asFile
	case kind != "":
		return kind
	case strings.Contains(string(a.Path), "/"):
		return asFile
	case hostLike.MatchString(string(a.Value)):
		return asCNAME
	default:
		return asTXT
	}
}

// recordName is a name that a record can have.
var recordName = regexp.MustCompile(`^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$`)

// record is a record as Tencent asks for it. Its name says whose control it shows; one that has nothing to do with the
// names of the order is not published.
func record(a sslapi.Auth, kind string, names []string, id string) ([]pluginapi.Challenge, error) {
	name, value := strings.TrimSuffix(strings.ToLower(string(a.Key)), "."), string(a.Value)
	// (Not confirmed by Tencent's pages: whether the name is always the whole one. One that has nothing to do with the order
	// is taken for one inside of the domain.)
	if domain := bare(string(a.Domain)); domain != "" && !related(ownerOf(name), names) {
		name += "." + domain
	}
	owner := ownerOf(name)
	if !recordName.MatchString(name) || !related(owner, names) || !registrable(owner) {
		return nil, pluginapi.Errorf(pluginapi.Unavailable, "certificate %s asks for a record at %q, which is no place for the proof of its names", id, restca.Clean(name, 253))
	}
	if kind == asCNAME {
		value = strings.TrimSuffix(value, ".")
	}
	if kind == asCNAME && !hostLike.MatchString(value) || len(value) > 255 || restca.Clean(value, 512) != value {
		return nil, pluginapi.Errorf(pluginapi.Unavailable, "certificate %s asks for a record that cannot be published at %s", id, name)
	}
	identifier := ""
	for _, n := range names { // the longest ordered name where there is one: by it the DCV profile is chosen
		if below(owner, n) && len(n) > len(identifier) {
			identifier = n
		}
	}
	if identifier == "" {
		identifier = owner
	}
	return []pluginapi.Challenge{{
		ID: kind + "/" + name + "/" + contentMark(value), Identifier: identifier,
		DNS: &pluginapi.DNSRecord{Name: name, Type: pluginapi.RecordType(kind), Value: value},
	}}, nil
}

// ownerOf is the name whose control a record shows.
func ownerOf(record string) string {
	for strings.HasPrefix(record, "_") {
		_, record, _ = strings.Cut(record, ".")
	}
	return record
}

// related reports whether a name has to do with those of an order.
func related(owner string, names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return below(n, owner) || below(owner, n) })
}

// registrable reports whether a name can be anybody's own: not a top level, nor what registries sell names below.
func registrable(name string) bool {
	_, err := publicsuffix.EffectiveTLDPlusOne(name)
	return err == nil
}

// below reports whether a name is a domain or lies under it.
func below(name, domain string) bool {
	return domain != "" && (name == domain || strings.HasSuffix(name, "."+domain))
}

// files are a file as Tencent asks for it, on every host where it is looked for. The answer names the registrable domain
// alone (and sometimes the host, in a field that is not documented), so that it is put up for every name below that.
func files(a sslapi.Auth, names []string, id string) ([]pluginapi.Challenge, error) {
	where := string(a.Path)
	if key := string(a.Key); key != "" && path.Base(where) != key {
		where = strings.TrimSuffix(where, "/") + "/" + key
	}
	where = path.Clean("/" + where)
	hosts := fileHosts(a, names)
	if len(hosts) == 0 && a.Host != "" {
		return nil, pluginapi.Errorf(pluginapi.Unavailable, "certificate %s asks for a file that cannot be published, on %q, %w", id, restca.Clean(string(a.Host), 253), errStrangeHost)
	}
	if where == "/" || strings.ContainsAny(where, "%?#\\<>\" ") || len(hosts) == 0 || len(a.Value) > 1<<14 {
		return nil, pluginapi.Errorf(pluginapi.Unavailable, "certificate %s asks for a file that cannot be published, at %q", id, restca.Clean(where, 253))
	}
	var out []pluginapi.Challenge
	for _, h := range hosts {
		out = append(out, pluginapi.Challenge{
			ID: asFile + "/" + h.host + "/" + contentMark(where+" "+string(a.Value)), Identifier: h.name,
			HTTP: &pluginapi.HTTPFile{Host: h.host, Path: where, Body: string(a.Value)},
		})
	}
	return out, nil
}

// fileHost is a host that a file is put up on, for the sake of a name of the order.
type fileHost struct{ host, name string }

// fileHosts are those that the CA looks at: for a registrable domain its www as well, and for a www what is below it; for
// all other names themselves.
func fileHosts(a sslapi.Auth, names []string) []fileHost {
	var out []fileHost
	add := func(host, name string) {
		if !slices.ContainsFunc(out, func(h fileHost) bool { return h.host == host }) {
			out = append(out, fileHost{host, name})
		}
	}
	domain := bare(string(a.Domain))
	for _, name := range names {
		if host := bare(string(a.Host)); host != "" && host != name || domain != "" && !below(name, domain) {
			continue
		}
		add(name, name)
		if rest, www := strings.CutPrefix(name, "www."); www {
			add(rest, name)
		} else if apex, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil && apex == name {
			add("www."+name, name)
		}
	}
	if len(out) > 0 {
		return out
	}
	for _, name := range names { // a host beside the names, such as a www that comes for free
		host := bare(string(a.Host))
		if apex, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil && below(host, apex) && (domain == "" || below(host, domain)) {
			add(host, name)
		}
	}
	return out
}

// contentMark tells challenges with one content from those with another.
func contentMark(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:6])
}
