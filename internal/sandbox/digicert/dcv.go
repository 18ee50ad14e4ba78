package digicert

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

const (
	// randomAge is how many days a random value is good, randomLength how long it is in newer examples.
	randomAge    = 30
	randomLength = 32
	// reuseDays is how long a domain validation of OV and EV is used again.
	reuseDays = 199

	filePath  = "/.well-known/pki-validation/"
	fileName  = "fileauth.txt"
	cnameHost = "dcv.digicert.com"
	labelDNS  = "_dnsauth."
)

// dcvState is how far the domain control of an order's open certificate is.
type dcvState struct {
	Method  string    `json:"method"`
	Scope   string    `json:"scope"`
	Random  string    `json:"random,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
	// File is the name of the file of http-token-dynamic.
	File       string     `json:"file,omitempty"`
	UseAuthKey bool       `json:"use_auth_key,omitempty"`
	AuthKeyID  string     `json:"auth_key_id,omitempty"`
	CSR        string     `json:"csr,omitempty"`
	Emails     []dcvEmail `json:"emails,omitempty"`
	// Validations are empty for private certificates.
	Validations []validation `json:"validations,omitempty"`
}

// validation is one domain to be validated and the names that it stands for.
type validation struct {
	Scope    string    `json:"scope"`
	Names    []string  `json:"names"`
	Approved time.Time `json:"approved,omitzero"`
	// Domain is the account's record of it, for OV and EV.
	Domain int64 `json:"domain,omitempty"`
}

func (d *dcvState) usesRandom() bool {
	return slices.Contains([]string{methodTXT, methodCNAME, methodHTTP, methodHTTPDynamic}, d.Method)
}

func (d *dcvState) done() bool {
	return !slices.ContainsFunc(d.Validations, func(v validation) bool { return v.Approved.IsZero() })
}

func (d *dcvState) approveAll(now time.Time) {
	for i := range d.Validations {
		d.Validations[i].Approved = now
	}
}

// file is the name of the file to fetch.
func (d *dcvState) file() string {
	if d.Method == methodHTTPDynamic {
		return d.File
	}
	return fileName
}

// newDCV begins the domain control of an order or reissue. DV uses no earlier validation; OV and EV use those of the
// account.
func (s *Server) newDCV(c *call, o *order, p product, b *orderBody, names []string) dcvState {
	d := dcvState{
		Method: b.DCVMethod, Scope: b.DCVScope, UseAuthKey: b.UseAuthKey, AuthKeyID: b.AuthKeyID, CSR: b.Certificate.CSR, Emails: b.DCVEmails,
	}
	if d.Method == "" {
		d.Method = methodEmail
		c.remark("dcv_method is left out: the domains are validated by email")
	}
	if d.Scope == "" {
		d.Scope = s.Account.Settings.DCVScope
	}
	if !p.public() {
		return d
	}
	s.renewRandom(&d, c.now)
	d.Validations = scopesOf(names, d.Scope, d.Method)
	if p.reuses() {
		for i := range d.Validations {
			s.attachDomain(c.now, o, &d, &d.Validations[i])
		}
	}
	return d
}

// renewRandom makes a new random value, for methods that have one.
func (s *Server) renewRandom(d *dcvState, now time.Time) {
	if !d.usesRandom() {
		d.Random, d.Expires, d.File = "", time.Time{}, ""
		return
	}
	d.Random, d.Expires = sandbox.RandomValue(randomLength), now.Add(randomAge*s.Day())
	if d.Method == methodHTTPDynamic {
		d.File = sandbox.RandomValue(randomLength) + ".txt"
	}
}

// attachDomain joins a validation with the account's record of the domain, and takes over what is valid there.
func (s *Server) attachDomain(now time.Time, o *order, d *dcvState, v *validation) {
	for _, have := range s.Account.Domains {
		if have.Organization == o.Organization && have.valid(now) && sandbox.Covers(have.Name, v.Scope) && (!byFile(d.Method) || have.Name == v.Scope) {
			v.Approved, v.Domain = now, have.ID
			return
		}
	}
	for _, have := range s.Account.Domains {
		if have.Organization == o.Organization && have.Name == v.Scope {
			v.Domain = have.ID
			if have.Method != d.Method || have.Random == "" || !now.Before(have.Expires) {
				have.Method = d.Method
				s.renewDomain(have, now)
			}
			have.File = d.File
			return
		}
	}
	made := s.newDomain(now, v.Scope, o.Organization, o.Container, d.Method)
	v.Domain, made.File = made.ID, d.File
}

// proof is what a validation may be proven with.
type proof struct {
	method, file string
	values       []string
	authKey, csr string
}

// proves looks whether a domain shows a proof; the error says what is there instead.
func (s *Server) proves(ctx context.Context, pr proof, v validation) error {
	switch pr.method {
	case methodTXT:
		return s.anyText(ctx, v.Scope, func(text string) bool {
			return slices.ContainsFunc(pr.values, func(value string) bool { return strings.Contains(text, value) })
		})
	case methodToken:
		return s.anyText(ctx, v.Scope, func(text string) bool { return findToken(text, pr.authKey, pr.csr, s.Now()) })
	case methodCNAME:
		return s.alias(ctx, v.Scope, pr.values)
	case methodHTTP, methodHTTPDynamic:
		for _, name := range v.Names {
			text, err := s.look.Fetch(ctx, sandbox.Bare(name), filePath+pr.file)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(pr.values, func(value string) bool { return strings.Contains(text, value) }) {
				return fmt.Errorf("http://%s%s%s does not hold the random value", sandbox.Bare(name), filePath, pr.file)
			}
		}
		return nil
	default:
		return errors.New("nobody has followed the link in the email")
	}
}

// anyText looks for a TXT record at _dnsauth.D and then at D.
//
// Unconfirmed: that a CNAME record at _dnsauth.D is followed to a TXT record elsewhere, as any resolver does.
func (s *Server) anyText(ctx context.Context, domain string, fits func(text string) bool) error {
	var failed []error
	for _, at := range []string{labelDNS + domain, domain} {
		texts, err := s.look.Texts(ctx, at)
		if err != nil {
			failed = append(failed, err)
		}
		if slices.ContainsFunc(texts, fits) {
			return nil
		}
	}
	return errors.Join(append(failed, fmt.Errorf("no TXT record of %s%s or %s holds the value", labelDNS, domain, domain))...)
}

// alias looks for the CNAME record.
//
// Unconfirmed: the older form R.D -> dcv.digicert.com; it is taken as well.
func (s *Server) alias(ctx context.Context, domain string, values []string) error {
	target, err := s.look.Alias(ctx, labelDNS+domain)
	if err != nil {
		return err
	}
	for _, value := range values {
		if target == strings.ToLower(value)+"."+cnameHost {
			return nil
		}
		old, err := s.look.Alias(ctx, value+"."+domain)
		if err == nil && old == cnameHost {
			return nil
		}
	}
	return fmt.Errorf("the CNAME record of %s%s is %q", labelDNS, domain, target)
}

// pendingProof is what has to be looked at for an order.
type pendingProof struct {
	certificate int64
	random      string
	proof       proof
	validations []validation
}

// toLookAt collects what an order's validations may be proven with. Each is good for its lifetime only. The lock is held.
func (s *Server) toLookAt(o *order, now time.Time, only []string) pendingProof {
	d := &o.DCV
	p := pendingProof{random: d.Random, proof: proof{method: d.Method, file: d.file(), csr: d.CSR}}
	if cert := o.open(); cert != nil {
		p.certificate = cert.ID
	}
	if d.Random != "" && now.Before(d.Expires) {
		p.proof.values = append(p.proof.values, d.Random)
	}
	if key := s.Account.authKey(d.AuthKeyID, now); d.UseAuthKey && key != nil {
		p.proof.authKey = key.Key
	}
	for _, v := range d.Validations {
		chosen := len(only) == 0 || slices.ContainsFunc(v.Names, func(n string) bool { return slices.Contains(only, n) })
		if v.Approved.IsZero() && chosen {
			p.validations = append(p.validations, v)
		}
	}
	return p
}

// checkOrder looks at the domains of an order that are not yet validated, and issues when nothing is left. It returns
// what was found wrong by domain.
func (s *Server) checkOrder(ctx context.Context, id int64, only []string) (map[string]error, error) {
	var p pendingProof
	tokens := map[int64]string{}
	if err := s.Read(func(st *state) error {
		o := st.Orders[id]
		if o == nil {
			return orderNotFound()
		}
		p = s.toLookAt(o, s.Now(), only)
		for _, v := range p.validations {
			if d := st.Domains[v.Domain]; d != nil && d.Random != "" && s.Now().Before(d.Expires) {
				tokens[v.Domain] = d.Random
			}
		}
		return nil
	}); err != nil {
		return nil, err
	}
	missing, found := map[string]error{}, map[string]bool{}
	for _, v := range p.validations {
		pr := p.proof
		if token := tokens[v.Domain]; token != "" && pr.method != methodToken {
			pr.values = append(slices.Clone(pr.values), token)
		}
		if err := s.proves(ctx, pr, v); err != nil {
			missing[v.Scope] = err
			continue
		}
		found[v.Scope] = true
	}
	if len(found) > 0 {
		if err := s.approveValidations(id, p, found); err != nil {
			return nil, err
		}
	}
	return missing, s.tryIssue(ctx, id)
}

// approveValidations notes what was found, unless the order has changed since it was looked at.
func (s *Server) approveValidations(id int64, p pendingProof, found map[string]bool) error {
	now := s.Now()
	return s.Change(now, func(st *state) error {
		o := st.Orders[id]
		if o == nil || o.open() == nil || o.open().ID != p.certificate || o.DCV.Random != p.random {
			return nil
		}
		for i := range o.DCV.Validations {
			v := &o.DCV.Validations[i]
			if found[v.Scope] && v.Approved.IsZero() {
				v.Approved = now
				if d := st.Domains[v.Domain]; d != nil {
					d.approve(now, o.DCV.Method, s.Day())
				}
			}
		}
		return nil
	})
}

// requestTokens looks for the request tokens of an order that uses an AuthKey.
func (s *Server) requestTokens(ctx context.Context, b *orderBody) error {
	var key *authKey
	now := s.Now()
	_ = s.Read(func(st *state) error { // the function below returns none
		key = st.authKey(b.AuthKeyID, now)
		return nil
	})
	if key == nil {
		return nil // it is judged elsewhere
	}
	pr := proof{method: methodToken, authKey: key.Key, csr: b.Certificate.CSR}
	for _, v := range scopesOf(namesOf(b.Certificate.CommonName, b.Certificate.DNSNames), scopeFQDN, methodToken) {
		if err := s.proves(ctx, pr, v); err != nil {
			return err
		}
	}
	return nil
}
