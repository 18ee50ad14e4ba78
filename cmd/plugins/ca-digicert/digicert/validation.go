package digicert

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/certcentral"
	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/request"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

const (
	// valueLife is for how long a random value counts (30 days), with a margin for publishing the next one.
	valueLife = 29 * 24 * time.Hour
	// valueAge is how old the knowledge of a random value may be: whoever changes the method in the console changes it.
	valueAge = 12 * time.Hour
	// tokenLife is for how long a request token is published before another is made; DigiCert takes it for 30 days.
	tokenLife = 25 * 24 * time.Hour
	// tokenSkew is taken off the time in a request token: DigiCert refuses one from the future.
	tokenSkew = 2 * time.Minute
)

// RespondToChallenges has DigiCert look at what is published. When the daemon could publish only in another way than the
// order was placed with, the order is changed to that way first.
func (c *CA) RespondToChallenges(ctx context.Context, placed pluginapi.PlacedOrder, challengeIDs []string) (pluginapi.OrderReply, error) {
	s, v, err := c.view(ctx, placed)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	if !s.validating(v) {
		return s.step(ctx, v)
	}
	method, current := methodOf(challengeIDs), v.method("")
	if method != "" && method != current {
		if err := s.change(ctx, v, method); err != nil {
			return pluginapi.OrderReply{}, err
		}
		return s.step(ctx, v)
	}
	if current == request.MethodEmail {
		return s.step(ctx, v)
	}
	if err := s.value(ctx, v, current); err != nil {
		return pluginapi.OrderReply{}, err
	}
	if !slices.ContainsFunc(challengeIDs, func(id string) bool { return strings.HasSuffix(id, "/"+valueMark(v.st.Value)) }) {
		return s.step(ctx, v) // what is published has expired, and the reply tells what to publish instead
	}
	v.st.Responded = true
	if err := s.check(ctx, v); err != nil {
		return pluginapi.OrderReply{}, err
	}
	return s.step(ctx, v)
}

// valueMark tells challenges with one value from those with another.
func valueMark(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:6])
}

// validating reports whether an order is in need of domain control.
func (s *session) validating(v *view) bool {
	return v.order.Status == certcentral.OrderPending || v.order.Status == certcentral.OrderReissuePending
}

// change changes the way that control is shown in. The value may be another afterwards, and is published anew.
func (s *session) change(ctx context.Context, v *view, method string) error {
	value, err := s.client.ChangeMethod(ctx, v.id, method)
	if err != nil {
		return restca.Fail(fmt.Sprintf("change dcv_method of order %s to %s", v.id, method), err)
	}
	s.log.Info("dcv_method changed", "order", v.id, "dcv_method", method)
	v.st.Responded, v.st.Checks, v.st.NextCheck = false, 0, time.Time{}
	v.order.DCVMethod = certcentral.Text(method)
	return s.keep(v, method, value)
}

// check tells DigiCert to look, and reads the order again. That something is not to be seen yet is no failure: DigiCert
// answers so with a list of names or with an error, and looks again on its own.
func (s *session) check(ctx context.Context, v *view) error {
	pauses := []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute}
	pause := 10 * time.Minute
	if v.st.Checks < len(pauses) {
		pause = pauses[v.st.Checks]
	}
	err := s.client.CheckDCV(ctx, v.id)
	no := restca.RefusalOf(err)
	switch {
	case err == nil:
	case no != nil && len(no.Problems) > 0 && no.Status >= 400 && no.Status < 500 && !forbidden(no):
		v.remark = no.Error()
	default:
		return restca.Fail("have DigiCert look at the challenges of order "+v.id.String(), err)
	}
	v.st.Checks++
	v.st.NextCheck = s.now().Add(pause).UTC()
	return s.refresh(ctx, v)
}

func forbidden(no *restca.Refusal) bool {
	return slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests}, no.Status)
}

// validate says what is left to show for an order, and has DigiCert look again when it is time.
func (s *session) validate(ctx context.Context, v *view) (pluginapi.Order, error) {
	if v.st.Responded && !v.st.NextCheck.IsZero() && !s.now().Before(v.st.NextCheck) {
		if err := s.check(ctx, v); err != nil {
			return pluginapi.Order{}, err
		}
		if !s.validating(v) { // and so no second look here
			return s.stand(ctx, v)
		}
	}
	status, err := s.client.Validation(ctx, v.id)
	if err != nil {
		return pluginapi.Order{}, restca.Fail("read the validation of order "+v.id.String(), err)
	}
	method := v.method(string(status.DCVMethod))
	names := namesToShow(v, status, method)
	pending := slices.ContainsFunc(names, func(n nameToShow) bool { return !n.valid })
	if !pending {
		return s.atWork(ctx, v, status, names), nil
	}
	if method == request.MethodEmail {
		return s.byMail(v, names), nil
	}
	if err := s.value(ctx, v, method); err != nil {
		return pluginapi.Order{}, err
	}
	out := pluginapi.Order{Status: pluginapi.PendingValidation, Detail: s.validationWords(v, status, names)}
	for _, n := range names {
		a := pluginapi.Authorization{Identifier: n.name, Valid: n.valid}
		if !n.valid {
			a.Challenges = s.challenges(v, method, n, names)
		}
		out.Authorizations = append(out.Authorizations, a)
	}
	return out, nil
}

// method is the way control is shown in: as DigiCert says, or else as the order was placed.
func (v *view) method(validation string) string {
	for _, told := range []string{string(v.order.DCVMethod), validation, v.st.Method} {
		if told != "" {
			return told
		}
	}
	method, err := chooseMethod(v.settings, v.validation, v.placed.Identifiers)
	if err != nil {
		return request.MethodTXT
	}
	return method
}

// nameToShow is a name that control is shown over.
type nameToShow struct {
	name  string
	valid bool
	// whole: the name stands for no other one.
	whole bool
}

// namesToShow lists the names that DigiCert validates, those that it has validated among them. Records are published for
// the name a validation is about; a file shows control over its own host alone.
func namesToShow(v *view, status certcentral.Validation, method string) []nameToShow {
	var out []nameToShow
	add := func(name string, valid, whole bool) {
		name = baseName(name)
		i := slices.IndexFunc(out, func(n nameToShow) bool { return n.name == name })
		switch {
		case !isDNSName(name):
		case i < 0:
			out = append(out, nameToShow{name: name, valid: valid, whole: whole})
		default:
			out[i].valid = out[i].valid && valid
		}
	}
	for _, n := range status.Names {
		hosts := n.DNSNames
		if method != request.MethodHTTP && n.Scope != "" || len(hosts) == 0 {
			whole := len(hosts) == 0 || len(hosts) == 1 && string(hosts[0]) == string(n.Scope)
			add(string(n.Scope), n.Valid(), whole)
			continue
		}
		for _, host := range hosts {
			add(string(host), n.Valid(), !strings.HasPrefix(string(host), "*."))
		}
	}
	if len(out) == 0 && v.validation != request.Private {
		// DigiCert does not say: it wants all names then, as it does of every DV order.
		for _, id := range v.placed.Identifiers {
			add(id.Value, false, !strings.HasPrefix(id.Value, "*."))
		}
	}
	return out
}

// isDNSName keeps what is no name away from those who publish records.
var isDNSName = regexp.MustCompile(`^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])$`).MatchString

// value sees to it that what is to be published is known and counts.
func (s *session) value(ctx context.Context, v *view, method string) error {
	now := s.now()
	if method == request.MethodAuthKey {
		key := v.placed.Settings.Secret(request.SecretAuthKey)
		if key.Empty() {
			return pluginapi.FieldErrorf(request.SecretAuthKey, "order %s is validated with an AuthKey: give its text", v.id)
		}
		if v.st.TokenTime.IsZero() || now.Sub(v.st.TokenTime) > tokenLife || v.st.TokenTime.After(now) {
			v.st.TokenTime, v.st.Responded = now.Add(-tokenSkew).UTC().Truncate(time.Second), false
		}
		v.st.Method, v.st.Value = method, request.Token(key, request.CSRText(v.placed.CSR), v.st.TokenTime)
		return nil
	}
	if v.st.Value != "" && v.st.Method == method && now.Before(v.st.Expires) && now.Sub(v.st.Fetched) < valueAge && !now.Before(v.st.Fetched) {
		return nil
	}
	value, err := s.client.RandomValue(ctx, v.id)
	if err != nil {
		return restca.Fail("read the random value of order "+v.id.String(), err)
	}
	return s.keep(v, method, value)
}

// isToken is what a random value may look like: it becomes a record, a label of a name, or the body of a file.
var isToken = regexp.MustCompile(`^[A-Za-z0-9_-]{8,255}$`).MatchString

// keep notes a random value.
func (s *session) keep(v *view, method string, value certcentral.RandomValue) error {
	if !isToken(string(value.Value)) {
		return pluginapi.Errorf(pluginapi.Unavailable, "DigiCert gives a random value for order %s that is none", v.id)
	}
	if v.st.Value != string(value.Value) {
		v.st.Responded = false // nobody has published it yet
	}
	now := s.now().UTC()
	v.st.Method, v.st.Value, v.st.Fetched = method, string(value.Value), now
	if v.st.Expires = value.Expires.Time; v.st.Expires.IsZero() {
		v.st.Expires = now.Add(valueLife)
	}
	return nil
}

// challenges are the ways to show control over a name: the one the order is placed with, and where the settings leave it
// open those that the order can be changed to.
func (s *session) challenges(v *view, method string, n nameToShow, all []nameToShow) []pluginapi.Challenge {
	list := []pluginapi.Challenge{challenge(v, method, n.name)}
	if request.DCVMethod(v.settings) != "" || method == request.MethodAuthKey {
		return list
	}
	for _, other := range []string{request.MethodTXT, request.MethodCNAME, request.MethodHTTP} {
		// A file has to be possible for every name: all change together.
		if other == method || other == request.MethodHTTP && (slices.ContainsFunc(all, func(n nameToShow) bool { return !n.whole }) || hasWildcard(v)) {
			continue
		}
		list = append(list, challenge(v, other, n.name))
	}
	return list
}

func hasWildcard(v *view) bool {
	return slices.ContainsFunc(v.placed.Identifiers, func(id pluginapi.Identifier) bool { return strings.HasPrefix(id.Value, "*.") })
}

// fileauth is where DigiCert looks for a file.
const fileauth = "/.well-known/pki-validation/fileauth.txt"

// challenge is one way to show control over a name with the value of the order.
func challenge(v *view, method, name string) pluginapi.Challenge {
	c := pluginapi.Challenge{ID: method + "/" + name + "/" + valueMark(v.st.Value), Identifier: name}
	switch method {
	case request.MethodHTTP, request.MethodHTTPDynamic:
		c.HTTP = &pluginapi.HTTPFile{Host: name, Path: fileauth, Body: v.st.Value}
	case request.MethodCNAME:
		c.DNS = &pluginapi.DNSRecord{Name: "_dnsauth." + name, Type: pluginapi.CNAME, Value: v.st.Value + ".dcv.digicert.com"}
	default: // a random value, or an AuthKey's request token
		c.DNS = &pluginapi.DNSRecord{Name: "_dnsauth." + name, Type: pluginapi.TXT, Value: v.st.Value}
	}
	return c
}

// methodOf returns the method of challenges by their ids. Where they differ, it is that of records: all names can be
// shown by them.
func methodOf(ids []string) string {
	chosen := ""
	for _, id := range ids {
		method, _, ok := strings.Cut(id, "/")
		switch {
		case !ok:
		case method == request.MethodTXT || chosen == "":
			chosen = method
		}
	}
	switch chosen {
	case request.MethodTXT, request.MethodCNAME, request.MethodHTTP, request.MethodAuthKey:
		return chosen
	default:
		return ""
	}
}

// byMail is the reply while somebody must follow the link in a mail.
func (s *session) byMail(v *view, names []nameToShow) pluginapi.Order {
	out := pluginapi.Order{Status: pluginapi.PendingValidation, Detail: fmt.Sprintf("DigiCert validates order %s by mail", v.id)}
	var open []string
	for _, n := range names {
		a := pluginapi.Authorization{Identifier: n.name, Valid: n.valid}
		if !n.valid {
			open = append(open, n.name)
			a.Challenges = []pluginapi.Challenge{{ID: request.MethodEmail + "/" + n.name, Identifier: n.name, Email: &pluginapi.Email{Recipients: recipients(v, n.name)}}}
		}
		out.Authorizations = append(out.Authorizations, a)
	}
	out.Action = &pluginapi.PersonAction{
		Who:  "a reader of the mail of " + strings.Join(open, ", "),
		What: "follow the link in DigiCert's mail (to be sent again in the console, in order " + v.id.String() + ")",
		URL:  s.client.Console("orders/" + v.id.String()),
	}
	return out
}

// recipients are who DigiCert writes to about a name: those the settings choose, else the mailboxes every domain has for
// this, beside those in its records.
func recipients(v *view, name string) []string {
	var chosen []string
	list, _ := v.settings.Values["dcv_emails"].([]any)
	for _, entry := range list {
		e, _ := entry.(map[string]any)
		mail, _ := e["email"].(string)
		if of, _ := e["dns_name"].(string); baseName(of) == name && strings.Contains(strings.Trim(mail, "@"), "@") {
			chosen = append(chosen, mail)
		}
	}
	if len(chosen) > 0 {
		return chosen
	}
	for _, box := range []string{"admin", "administrator", "hostmaster", "postmaster", "webmaster"} {
		chosen = append(chosen, box+"@"+name)
	}
	return chosen
}

// atWork is the reply while all names are valid and DigiCert has something left to do.
func (s *session) atWork(ctx context.Context, v *view, status certcentral.Validation, names []nameToShow) pluginapi.Order {
	out := pluginapi.Order{Status: pluginapi.Processing, Detail: fmt.Sprintf("all names of order %s are validated; DigiCert is at work", v.id)}
	for _, n := range names {
		out.Authorizations = append(out.Authorizations, pluginapi.Authorization{Identifier: n.name, Valid: true})
	}
	if words := organizationWords(v, status); words != "" {
		out.Detail = fmt.Sprintf("order %s waits for the validation of the organization: %s", v.id, strings.TrimSpace(string(v.order.Organization.Name)+" "+words))
		out.Action = &pluginapi.PersonAction{
			Who: "the organization's contact, with DigiCert's validation team", What: "complete the validation of the organization (" + words + ")",
			URL: s.client.Console("orders/" + v.id.String()),
		}
		return out
	}
	s.tellCAA(ctx, v, &out)
	return out
}

// organizationWords says what is missing of an organization's validation for an order.
func organizationWords(v *view, status certcentral.Validation) string {
	if v.validation != request.OV && v.validation != request.EV {
		return ""
	}
	var open []string
	for _, o := range status.Organizations {
		switch o.Status {
		case "active", "approved", "valid":
			if string(o.Type) == v.validation {
				return ""
			}
		default:
			open = append(open, fmt.Sprintf("%s is %s", strings.ToUpper(string(o.Type)), orElse(string(o.Status), "not done")))
		}
	}
	return orElse(strings.Join(open, ", "), strings.ToUpper(v.validation)+" is not done")
}

func (s *session) validationWords(v *view, status certcentral.Validation, names []nameToShow) string {
	open := 0
	for _, n := range names {
		if !n.valid {
			open++
		}
	}
	words := fmt.Sprintf("order %s: %d of %d names are still to be validated (%s)", v.id, open, len(names), v.st.Method)
	if v.remark != "" {
		words += "; DigiCert says: " + v.remark
	}
	if o := organizationWords(v, status); o != "" {
		words += "; the organization, too: " + o
	}
	return words
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
