package servertastic

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/ordertoken"
	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/request"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// RespondToChallenges has the CA look at what is published.
func (c *CA) RespondToChallenges(ctx context.Context, placed pluginapi.PlacedOrder, challengeIDs []string) (pluginapi.OrderReply, error) {
	s, v, err := c.view(ctx, placed)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	if err := s.refresh(ctx, v); err != nil {
		return pluginapi.OrderReply{}, err
	}
	if err := s.learn(v); err != nil {
		return pluginapi.OrderReply{}, err
	}
	current := "/" + markOf(v.st.Control)
	if current != "/" && slices.ContainsFunc(challengeIDs, func(id string) bool { return strings.HasSuffix(id, current) }) && !ended(v.review.Status) {
		v.st.Responded = true
		if err := s.poll(ctx, v); err != nil {
			return pluginapi.OrderReply{}, err
		}
	}
	return s.step(ctx, v) // and what is published in vain is replaced by what the reply tells
}

func ended(status string) bool {
	return status == ordertoken.StatusCancelled || status == ordertoken.StatusRollBack
}

// poll has the CA look, and reads the order again. That something is not to be seen yet is no failure: the CA looks again
// on its own.
func (s *session) poll(ctx context.Context, v *view) error {
	words, err := s.client.PollAuth(ctx, v.token)
	switch {
	case err == nil:
		v.remark = s.client.Words(words, v.token)
	case declined(err):
		v.remark = restca.RefusalOf(err).Error()
	default:
		return restca.Fail("have the CA look at the challenges of order "+v.name(), err)
	}
	v.st.NextCheck = s.now().Add(s.settings.sync).UTC()
	return s.refresh(ctx, v)
}

// declined reports that pollauth was refused for what the order is, and not for whom or when it was asked.
func declined(err error) bool {
	no := restca.RefusalOf(err)
	return no != nil && !no.Verdict().Doubtful && !slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests}, no.Status)
}

// learn takes over what is to be published from what the API shows. What it showed before a reissue it may go on showing for
// some time; and values for another request than ours are those of somebody else.
func (s *session) learn(v *view) error {
	c := v.review.Control
	if c.Empty() {
		return nil
	}
	young := s.now().Sub(v.st.Placed) < 2*s.settings.sync
	if v.reissue() && young && markOf(c) == v.st.Before {
		return nil
	}
	if why := sectigoToken(v.placed.CSR).contradiction(c); why != "" {
		if v.reissue() && young {
			return nil
		}
		return pluginapi.Errorf(pluginapi.NeedsPerson, "what ServerTastic wants to be published for order %s was made from another certificate request: %s; look who has placed or reissued the order", v.name(), why)
	}
	if markOf(c) != markOf(v.st.Control) {
		v.st.Responded = false // nobody has published it yet
	}
	v.st.Control = c
	return nil
}

// validate says what is left to show for an order, and has the CA look again when it is time.
func (s *session) validate(ctx context.Context, v *view) (pluginapi.Order, error) {
	if v.method() == request.MethodEmail {
		return s.byMail(v), nil
	}
	if v.st.Responded && !v.st.NextCheck.IsZero() && !s.now().Before(v.st.NextCheck) {
		if err := s.poll(ctx, v); err != nil {
			return pluginapi.Order{}, err
		}
		if out, done, err := s.issued(v); done || err != nil {
			return out, err
		}
		if ended(v.review.Status) {
			return s.stand(ctx, v)
		}
	}
	if err := s.learn(v); err != nil {
		return pluginapi.Order{}, err
	}
	return s.show(v, pluginapi.Order{Status: pluginapi.Processing, Detail: fmt.Sprintf("ServerTastic does not tell yet what to publish for order %s", v.name())})
}

// show says what is to be published, or what it is handed where that is not known yet.
func (s *session) show(v *view, otherwise pluginapi.Order) (pluginapi.Order, error) {
	list, err := s.authorizations(v)
	if err != nil || len(list) == 0 {
		return otherwise, err
	}
	detail := fmt.Sprintf("order %s waits until control over its names is shown (%s)", v.name(), v.method())
	if v.st.Responded {
		detail = fmt.Sprintf("the CA looks for what is published for order %s (%s)", v.name(), v.method())
	}
	if v.remark != "" {
		detail += "; ServerTastic says: " + v.remark
	}
	return pluginapi.Order{Status: pluginapi.PendingValidation, Detail: detail + s.further(v), Authorizations: list}, nil
}

// method is the way control is shown in: as the API says, or else as the order was placed. Of a reissue the API may still
// show how it was for the certificate before.
func (v *view) method() string {
	told := []string{v.review.Method, v.st.Method}
	if v.reissue() {
		slices.Reverse(told)
	}
	for _, m := range told {
		if slices.Contains([]string{request.MethodEmail, request.MethodDNS, request.MethodFile, request.MethodSFile}, m) {
			return m
		}
	}
	method, err := chooseMethod(v.placed.OrderRequest)
	if err != nil {
		return request.MethodDNS
	}
	return method
}

// authorizations are what is to be published, one for each record or file. There are none while that is not known: what place
// answers lacks a record's name and type, which the API shows some minutes later, and only after that the CAs' rules have to do.
func (s *session) authorizations(v *view) ([]pluginapi.Authorization, error) {
	c := v.st.Control
	rules := s.now().Sub(v.st.Placed) >= s.settings.sync*6/5
	if v.method() == request.MethodDNS {
		if c.DNSValue == "" || c.DNSName == "" && !rules {
			return nil, nil
		}
		return v.records(c)
	}
	if c.FileBody == "" || c.FileName == "" && !rules {
		return nil, nil
	}
	return v.files(c)
}

// hosts are the names that control is shown over, each once.
func (v *view) hosts() []string {
	var out []string
	for _, id := range v.placed.Identifiers {
		if name := baseName(id.Value); !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// records are those of an order. The API shows one; those of the other names differ in the domain alone. (Not confirmed by
// ServerTastic's pages: that; it is how both CAs have it.)
func (v *view) records(c ordertoken.Control) ([]pluginapi.Authorization, error) {
	kind, value := recordKind(c), c.DNSValue
	if kind == pluginapi.CNAME {
		value = strings.TrimSuffix(value, ".")
	}
	if kind == pluginapi.CNAME && !isDNSName(strings.ToLower(value)) || !isToken(value) {
		return nil, pluginapi.Errorf(pluginapi.Unavailable, "ServerTastic gives order %s a value to publish that is none", v.name())
	}
	var out []pluginapi.Authorization
	for _, origin := range v.origins(c) {
		some, err := v.recordsFrom(origin, c, kind, value)
		if err != nil {
			return nil, err
		}
		for _, a := range some {
			if !slices.ContainsFunc(out, func(o pluginapi.Authorization) bool { return o.Challenges[0].ID == a.Challenges[0].ID }) {
				out = append(out, a)
			}
		}
	}
	return out, nil
}

// origins are the domains that a record's name may be relative to: the order's own, and where that is a www. name whose base
// domain comes with the certificate, that one before it, since control over it shows control over both. Where no name is told
// that one is enough. (Not confirmed by ServerTastic's pages: what a relative name is relative to.)
func (v *view) origins(c ordertoken.Control) []string {
	domain := baseName(v.names.Common)
	base, www := strings.CutPrefix(domain, "www.")
	off, _ := v.placed.Settings.Values[request.NoCompanion].(bool)
	if !www || !strings.Contains(base, ".") || off && v.names.Companion == "" {
		return []string{domain}
	}
	switch _, at := placeOf(ordertoken.Control{DNSName: strings.TrimSuffix(c.DNSName, ".") + "."}, domain, requestToken{}); {
	case c.DNSName == "", c.DNSName == "@":
		return []string{base}
	case at != "", strings.HasSuffix(c.DNSName, "."): // it says itself where it is
		return []string{domain}
	default:
		return []string{base, domain}
	}
}

// recordsFrom are the records, each once, where the name that the API tells is relative to a domain, if it is relative.
func (v *view) recordsFrom(origin string, c ordertoken.Control, kind pluginapi.RecordType, value string) ([]pluginapi.Authorization, error) {
	full, parent := placeOf(c, origin, sectigoToken(v.placed.CSR))
	if parent == "" {
		return nil, pluginapi.Errorf(pluginapi.Unavailable, "ServerTastic gives order %s the record name %q, which is not below %s", v.name(), restca.Clean(full, 200), origin)
	}
	prefix := strings.TrimSuffix(full, parent)
	var out []pluginapi.Authorization
	for _, host := range v.hosts() {
		at, name := host, prefix+host
		if host == parent || strings.HasSuffix(host, "."+parent) {
			at, name = parent, full
		}
		if !isDNSName(name) {
			return nil, pluginapi.Errorf(pluginapi.Unavailable, "ServerTastic gives order %s the record name %q, which is none", v.name(), name)
		}
		challenge := pluginapi.Challenge{
			ID: request.MethodDNS + "/" + name + "/" + markOf(c), Identifier: at, DNS: &pluginapi.DNSRecord{Name: name, Type: kind, Value: value},
		}
		out = append(out, pluginapi.Authorization{Identifier: at, Challenges: []pluginapi.Challenge{challenge}})
	}
	return out, nil
}

// recordKind is a record's type: as the API says, or by where its value leads.
func recordKind(c ordertoken.Control) pluginapi.RecordType {
	value := strings.TrimSuffix(strings.ToLower(c.DNSValue), ".")
	switch {
	case strings.Contains(c.DNSType, "CNAME"):
		return pluginapi.CNAME
	case strings.Contains(c.DNSType, "TXT"):
		return pluginapi.TXT
	case isSectigo(value), strings.HasSuffix(value, "dcv.digicert.com"):
		return pluginapi.CNAME
	default:
		return pluginapi.TXT
	}
}

// placeOf is the full name of the record for a domain, and the domain it stands at: the order's own, or one above it; empty
// for a name with a dot at its end that belongs to neither. Without the dot such a name is relative to the domain. Without a
// name the CAs' rules say where it is.
func placeOf(c ordertoken.Control, domain string, token requestToken) (full, parent string) {
	name := strings.ToLower(c.DNSName)
	switch {
	case name == "" && isSectigo(c.DNSValue):
		return token.label() + "." + domain, domain
	case name == "":
		return "_dnsauth." + domain, domain
	case name == "@":
		return domain, domain
	}
	name, absolute := strings.CutSuffix(name, ".")
	for at := domain; strings.Contains(at, "."); _, at, _ = strings.Cut(at, ".") {
		if name == at || strings.HasSuffix(name, "."+at) {
			return name, at
		}
	}
	if absolute {
		return name, ""
	}
	return name + "." + domain, domain
}

var (
	// isDNSName keeps what is no name away from those who publish records.
	isDNSName = regexp.MustCompile(`^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])$`).MatchString
	// isToken is what a record's value may look like.
	isToken = regexp.MustCompile(`^[!#-\[\]-~]{4,255}$`).MatchString
)

// wellKnown is where files are looked for (CA/Browser Forum Baseline Requirements section 3.2.2.4.18).
const wellKnown = "/.well-known/pki-validation/"

// maxFile bounds a file's size; a token has at most three lines.
const maxFile = 2048

// files are those of an order, one on each host: a file shows control over no other.
func (v *view) files(c ordertoken.Control) ([]pluginapi.Authorization, error) {
	at, ok := filePath(c, sectigoToken(v.placed.CSR), request.ProductOf(v.placed.Settings).Family)
	if !ok || len(c.FileBody) > maxFile {
		return nil, pluginapi.Errorf(pluginapi.Unavailable, "ServerTastic gives order %s a file to publish that is none: %q", v.name(), restca.Clean(c.FileName, 200))
	}
	var out []pluginapi.Authorization
	for _, host := range v.hosts() {
		out = append(out, pluginapi.Authorization{Identifier: host, Challenges: []pluginapi.Challenge{{
			ID: v.method() + "/" + host + "/" + markOf(c), Identifier: host,
			HTTP: &pluginapi.HTTPFile{Host: host, Path: at, Body: strings.ReplaceAll(c.FileBody, "\r\n", "\n")},
		}}})
	}
	return out, nil
}

// filePath is where a file is to be: its name may be told alone, as a path or as a URL, or not at all. Whoever serves the
// files must not be led elsewhere.
func filePath(c ordertoken.Control, token requestToken, family string) (string, bool) {
	name := c.FileName
	if u, err := url.Parse(name); err == nil && u.Host != "" {
		name = u.Path
	}
	switch {
	case name == "" && family == request.FamilySectigo:
		name = token.file()
	case name == "":
		name = "fileauth.txt"
	}
	// A host before the path, without a scheme.
	if i := strings.Index(name, wellKnown); i > 0 {
		name = name[i:]
	}
	name = strings.TrimPrefix(name, strings.TrimPrefix(wellKnown, "/"))
	if !strings.HasPrefix(name, "/") {
		name = wellKnown + name
	}
	ok := strings.HasPrefix(name, wellKnown) && path.Clean(name) == name && fileShape.MatchString(name[len(wellKnown):])
	return name, ok
}

var fileShape = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// byMail is the reply while somebody must follow the link in a mail.
func (s *session) byMail(v *view) pluginapi.Order {
	approver, _ := v.placed.Settings.Values["approver_email_address"].(string)
	approver = orElse(v.review.Approver, orElse(approver, "the approver"))
	out := pluginapi.Order{Status: pluginapi.PendingValidation, Detail: fmt.Sprintf("order %s waits until %s agrees by mail%s", v.name(), approver, s.further(v))}
	for _, host := range v.hosts() {
		out.Authorizations = append(out.Authorizations, pluginapi.Authorization{Identifier: host, Challenges: []pluginapi.Challenge{{
			ID: request.MethodEmail + "/" + host + "/" + fingerprint([]byte(approver)), Identifier: host, Email: &pluginapi.Email{Recipients: []string{approver}},
		}}})
	}
	out.Action = &pluginapi.PersonAction{
		Who:  "whoever reads the mail of " + approver,
		What: "follow the link in the CA's mail about order " + v.name() + " (ServerTastic's control panel sends it again)",
	}
	return out
}
