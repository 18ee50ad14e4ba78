package servertastic

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// Placed is what a ledger's entry about an order that was placed is about. It costs nothing: the token did.
const Placed = "place"

// renewalWindow is how many days before its end an order may be renewed.
const renewalWindow = 90

// placing is what place was asked for, and judged to be right.
type placing struct {
	request       request
	names         []string // the common name first
	companion     string
	method, email string
	issuer        string
	renews        *order
}

// place is order/place.
func (s *Server) place(c *call) (any, error) {
	if c.r.Method == http.MethodGet && c.form["csr"] != "" {
		return nil, refuse("a CSR must be sent by POST")
	}
	var answer obj
	err := s.byToken(c, func(st *state, o *order) error {
		switch {
		case o.Ended != "":
			return refuse("the order is %s", o.Ended)
		case !o.Placed.IsZero():
			// Unconfirmed: the answer to a second place with one token; the stand-in refuses it.
			return refuse("the order has been placed")
		}
		w, err := judgePlace(c, st, o, s.Day())
		if err != nil {
			return err
		}
		s.placeOrder(c, st, o, w)
		answer = placedAnswer(o, w.request, &st.Settings)
		return nil
	})
	return answer, err
}

// judgePlace checks a request as a whole.
func judgePlace(c *call, st *state, o *order, day time.Duration) (placing, error) {
	p, _ := productByCode(o.Product)
	settings := &st.Settings
	var f faults
	known := []string{"integration_source_id"}
	for _, field := range placeFields(o, p, settings) {
		field.check(c.form, &f)
		known = append(known, field.name)
	}
	if o.SANs+o.Wildcards == 0 && c.form.has("san_domains") {
		f.add("san_domains: the token has no additional names")
		known = append(known, "san_domains")
	}
	refuseUnknown(c, &f, settings.Strict, known)
	w := placing{method: c.form["dv_auth_method"], email: c.form["approver_email_address"], issuer: c.form[settings.Names.IssuingCA]}
	w.request = requestOf(c, &f)
	if w.request.csr == nil {
		return w, f.err()
	}
	w.names = []string{w.request.name()}
	judgeName(&f, p, w.request.name())
	if !c.form.has(settings.Names.NoCompanion) {
		if w.companion = companionOf(w.request.name()); w.companion != "" {
			w.names = append(w.names, w.companion)
		}
	}
	w.names = append(w.names, judgeSANs(c, &f, o, w.names)...)
	judgeMethod(c, &f, w.method, w.email, w.names)
	judgeReuse(&f, st, p, w.request)
	w.renews = judgeRenewal(c, &f, st, o, w.request.name(), day)
	return w, f.err()
}

// requestOf reads the CSR, or makes one where the service is to make the key.
func requestOf(c *call, f *faults) request {
	var r request
	var err error
	switch {
	case c.form["csr"] != "":
		r, err = readCSR(c, c.form["csr"])
	case c.form["domain_name"] != "":
		name := c.form["domain_name"]
		if wrong := sandbox.CheckName(name); wrong != "" || sandbox.IsAddress(name) {
			f.add("domain_name is no domain name")
			return r
		}
		c.remark("without a CSR the service makes the private key, and sends it")
		r, err = makeCSR(strings.ToLower(name))
	default:
		return r // it is found missing elsewhere
	}
	if err != nil {
		f.add("%v", err)
	}
	return r
}

func judgeName(f *faults, p product, name string) {
	switch wild := strings.HasPrefix(name, sandbox.Wildcard); {
	case wild && !p.Wildcard:
		f.add("csr: %s has no wildcards", p.Code)
	case !wild && p.Wildcard:
		f.add("csr: the common name of %s must be a wildcard", p.Code)
	case len(name) > sandbox.MostCommonName:
		f.add("csr: the common name is longer than %d characters", sandbox.MostCommonName)
	}
}

// companionOf is the name that comes free: www.D for D, D for www.D, and D for a wildcard of D.
//
// Unconfirmed: that a wildcard's companion is the domain itself, and that www.D is added below a registrable domain as well; the page speaks of names with www and without.
func companionOf(name string) string {
	if d, wild := strings.CutPrefix(name, sandbox.Wildcard); wild {
		return d
	}
	if d, www := strings.CutPrefix(name, "www."); www && sandbox.CheckName(d) == "" {
		return d
	}
	if d := "www." + name; sandbox.CheckName(d) == "" {
		return d
	}
	return ""
}

// judgeSANs reads the additional names.
//
// Unconfirmed: that san_domains must not name a companion that comes free, and may have fewer names than were paid for.
func judgeSANs(c *call, f *faults, o *order, have []string) []string {
	if c.form["san_domains"] == "" {
		return nil
	}
	var names []string
	wild := 0
	for part := range strings.SplitSeq(c.form["san_domains"], ",") {
		name := strings.ToLower(strings.TrimSpace(part))
		wrong := sandbox.CheckName(name)
		switch {
		case wrong != "":
			f.add("san_domains: %q %s", name, wrong)
			continue
		case sandbox.IsAddress(name):
			f.add("san_domains: %q is an address", name)
			continue
		case slices.Contains(have, name) || slices.Contains(names, name):
			f.add("san_domains: %q is in the certificate without it", name)
			continue
		}
		if strings.HasPrefix(name, sandbox.Wildcard) {
			wild++
		}
		names = append(names, name)
	}
	if wild > o.Wildcards {
		f.add("san_domains has %d wildcards; the token is for %d", wild, o.Wildcards)
	}
	if plain := len(names) - wild; plain > o.SANs {
		f.add("san_domains has %d names; the token is for %d", plain, o.SANs)
	}
	return names
}

// judgeMethod checks what domain control is to be proven with.
func judgeMethod(c *call, f *faults, method, email string, names []string) {
	byFile := method == methodFile || method == methodSFile
	for _, name := range names {
		if byFile && strings.HasPrefix(name, sandbox.Wildcard) {
			f.add("dv_auth_method: a file does not prove the wildcard %s", name)
		}
	}
	switch {
	case method == methodEmail && email == "":
		f.add("approver_email_address is required for EMAIL")
	case method == methodEmail && !slices.Contains(approvers(names[0]), strings.ToLower(email)):
		f.add("approver_email_address is none of the approver list")
	case method != methodEmail && email != "":
		c.remark("approver_email_address is of no use for %s", method)
	}
}

// judgeReuse: Sectigo's values are made of the CSR, so that each order needs one of its own.
//
// Unconfirmed: what becomes of a CSR that is used again; it is said that the earlier order fails. The stand-in refuses the later one, unless the reseller adds a value of its own.
func judgeReuse(f *faults, st *state, p product, r request) {
	if p.Family != familySectigo || st.Settings.UniqueValue != "" {
		return
	}
	print := fingerprint(r.csr.Raw)
	for _, o := range st.Orders {
		for _, cert := range o.Certificates {
			if have, err := sandbox.ParseCSR(cert.CSR); err == nil && fingerprint(have.Raw) == print {
				f.add("csr: it has been used before; make another one")
				return
			}
		}
	}
}

// judgeRenewal finds the order that is renewed.
//
// Unconfirmed: that the expiry of the rule of 90 days is the end of the order rather than of its last certificate; that the earlier order is of the same CA; how Sectigo's is found, which no token names; and that a renewal of nothing is refused.
func judgeRenewal(c *call, f *faults, st *state, o *order, name string, day time.Duration) *order {
	p, _ := productByCode(o.Product)
	previous := c.form[st.Settings.Names.PreviousToken]
	if !c.form.has("renewal") {
		if previous != "" {
			c.remark("%s is of no use without renewal=1", st.Settings.Names.PreviousToken)
		}
		return nil
	}
	var old *order
	if p.Family == familyDigiCert {
		if previous == "" {
			return nil // it is found missing elsewhere
		}
		old = st.byToken(previous)
	} else {
		for _, other := range st.Orders {
			if q, _ := productByCode(other.Product); q.Family == p.Family && other != o && other.commonName() == name && len(other.issued()) > 0 && other.Ended == "" {
				old = other
			}
		}
	}
	q := product{}
	if old != nil {
		q, _ = productByCode(old.Product)
	}
	switch {
	case old == nil || old == o:
		f.add("renewal: there is no previous order")
	case len(old.issued()) == 0 || old.Ended != "":
		f.add("renewal: the previous order is not completed")
	case old.commonName() != name:
		f.add("renewal: the previous order is for %s", old.commonName())
	case q.Family != p.Family:
		f.add("renewal: the previous order is of another CA")
	case old.Until.Sub(c.now) > renewalWindow*day:
		f.add("renewal: the previous order may be renewed from %d days before its end on", renewalWindow)
	default:
		return old
	}
	return nil
}

// placeOrder hands an order that was judged to the CA.
//
// Unconfirmed: when the time that was paid for begins; the stand-in counts it from place.
func (s *Server) placeOrder(c *call, st *state, o *order, w placing) {
	p, _ := productByCode(o.Product)
	st.LastID += 7
	o.ProviderID, o.Placed = strconv.FormatInt(1_200_000_000+st.LastID, 10), c.now
	o.Fields = maps.Clone(c.form)
	for _, name := range []string{needsToken, st.Settings.Names.PreviousToken, "csr"} {
		delete(o.Fields, name)
	}
	o.Until = c.now.Add(termDays * s.Day())
	if w.renews != nil {
		o.RenewalOf = w.renews.ResellerID
		o.Until = o.Until.Add(min(max(0, w.renews.Until.Sub(c.now)), mostCarried*s.Day()))
	}
	issuer := w.issuer
	if issuer == "" {
		issuer = p.Issuer
	}
	o.Certificates = []*certificate{{CSR: w.request.text, Names: w.names, Issuer: issuer}}
	o.DCV = s.newDCV(c.now, p, w.method, strings.ToLower(w.email), w.request, w.names, w.companion, st.Settings.UniqueValue)
	if p.vetted() && st.Settings.VetDelay > 0 {
		o.VetAt = c.now.Add(time.Duration(st.Settings.VetDelay))
	}
	if st.Settings.ReviewAfterCancel && st.cancelledBefore(w.names[0], o) {
		o.Held, o.Info = statusQueued, "The certificate authority reviews the order."
		if st.Settings.QueueDelay > 0 {
			o.ReleaseAt = c.now.Add(time.Duration(st.Settings.QueueDelay))
		}
	}
	o.happened(c.now, "Order Submitted")
	o.Synced = c.now // until the next time, the reseller knows nothing of it
	st.Ledger.Add(st.entry(c.now, Placed, o))
	s.Log.Info("placed", "order", o.ResellerID, "product", o.Product, "names", strings.Join(w.names, " "), "renews", o.RenewalOf)
}

// placedAnswer is the answer to place.
//
// Unconfirmed: that place tells no record's and no file's name, as its documentation lists none; Settings choose.
func placedAnswer(o *order, r request, settings *Settings) obj {
	answer := obj{
		"success": "Order placed", "reseller_order_id": o.ResellerID, "invite_url": reviewURL(o), "csr": r.text, "private_key": r.key,
	}
	for key, value := range dcvValues(&o.DCV, settings) {
		if strings.HasSuffix(key, "_name") && !settings.PlaceTellsNames || key == "dns_type" {
			continue
		}
		if settings.OldValueKeys {
			key = "dv_auth_" + key
		}
		answer[key] = value
	}
	return emptied(answer, settings)
}

// dcvValues are what is to be published: dns_type, dns_name, dns_string, file_name, file_contents. Those of another
// method than the order's are empty.
func dcvValues(d *dcv, settings *Settings) obj {
	values := obj{"dns_type": "", "dns_name": "", "dns_string": "", "file_name": "", "file_contents": ""}
	switch d.Method {
	case methodDNS:
		kind, name, value := d.record(d.Domain)
		switch settings.RecordName {
		case "dot":
			name += "."
		case "relative":
			name = strings.TrimSuffix(name, "."+d.Domain)
		}
		values["dns_type"], values["dns_name"], values["dns_string"] = kind, name, value
	case methodFile, methodSFile:
		path, body := d.file()
		switch settings.FileName {
		case "bare":
			path = path[strings.LastIndex(path, "/")+1:]
		case "url":
			path = map[string]string{methodFile: "http://", methodSFile: "https://"}[d.Method] + d.Domain + path
		}
		values["file_name"], values["file_contents"] = path, body
	}
	return values
}

// emptied writes values that are not there as the settings have it.
func emptied(answer obj, settings *Settings) obj {
	for key, value := range answer {
		if value != "" {
			continue
		}
		switch settings.Empty {
		case "null":
			answer[key] = nil
		case "missing":
			delete(answer, key)
		}
	}
	return answer
}
