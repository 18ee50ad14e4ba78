package servertastic

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

const (
	// randomAge is how many days DigiCert's random value is good.
	randomAge    = 30
	randomLength = 32

	filePath     = "/.well-known/pki-validation/"
	digicertFile = "fileauth.txt"
	digicertHost = "dcv.digicert.com"
	digicertName = "_dnsauth."
	sectigoHost  = "sectigo.com"
)

// dcv is how far the domain control of an order's open certificate is.
type dcv struct {
	Method string `json:"method"`
	Email  string `json:"email,omitempty"`
	// Domain is what the values that review tells are for.
	Domain string `json:"domain"`
	// Random is DigiCert's value.
	Random  string    `json:"random,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
	// MD5 and SHA are of the CSR, and Unique is what the reseller adds: Sectigo's values.
	MD5    string `json:"md5,omitempty"`
	SHA    string `json:"sha,omitempty"`
	Unique string `json:"unique,omitempty"`
	// Names are those to be proven, and when they were. Free is the companion, which Sectigo leaves out without its proof.
	Names map[string]time.Time `json:"names"`
	Free  string               `json:"free,omitempty"`
}

func (d dcv) clone() dcv {
	d.Names = maps.Clone(d.Names)
	return d
}

// done reports whether nothing is left to prove.
func (d *dcv) done(f family) bool {
	for name, at := range d.Names {
		if at.IsZero() && (f != familySectigo || name != d.Free) {
			return false
		}
	}
	return true
}

// unproven are the names that are still to be proven, sorted.
func (d *dcv) unproven() []string {
	var list []string
	for name, at := range d.Names {
		if at.IsZero() {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// newDCV begins the domain control of a certificate. Nothing that was proven before counts.
func (s *Server) newDCV(now time.Time, p product, method, email string, r request, names []string, companion, unique string) dcv {
	d := dcv{Method: method, Email: email, Domain: shortest(names[0], companion), Free: companion, Names: map[string]time.Time{}}
	for _, name := range names {
		d.Names[name] = time.Time{}
	}
	if p.Family == familySectigo {
		d.MD5, d.SHA = csrHashes(r.csr.Raw)
		d.Unique = unique
	} else {
		d.renew(now, s.Day())
	}
	return d
}

// renew makes a new random value; the earlier one is worth nothing from now on.
func (d *dcv) renew(now time.Time, day time.Duration) {
	d.Random, d.Expires = sandbox.RandomValue(randomLength), now.Add(randomAge*day)
}

// shortest is the domain that stands for a name and its companion.
//
// Unconfirmed: which of D and www.D the record of review is for; the stand-in's is for D, which stands for both.
func shortest(name, companion string) string {
	name, companion = sandbox.Bare(name), sandbox.Bare(companion)
	if companion != "" && len(companion) < len(name) {
		return companion
	}
	return name
}

// record is the DNS record that review tells.
//
// Unconfirmed: that the record of DigiCert's goods is told to be at _dnsauth.D; it is looked for at D and above as well.
func (d *dcv) record(domain string) (kind, name, value string) {
	if d.MD5 != "" {
		return "CNAME", "_" + d.MD5 + "." + domain, d.target()
	}
	return "TXT", digicertName + domain, d.Random
}

// target is what Sectigo's CNAME record points to: the SHA-256 in two labels, for one would be too long.
func (d *dcv) target() string {
	labels := []string{d.SHA[:32], d.SHA[32:]}
	if d.Unique != "" {
		labels = append(labels, strings.ToLower(d.Unique))
	}
	return strings.Join(append(labels, sectigoHost), ".")
}

// file is the path and the content of the file.
func (d *dcv) file() (path, body string) {
	if d.MD5 == "" {
		return filePath + digicertFile, d.Random
	}
	lines := []string{d.SHA, sectigoHost}
	if d.Unique != "" {
		lines = append(lines, d.Unique)
	}
	return filePath + strings.ToUpper(d.MD5) + ".txt", strings.Join(lines, "\n")
}

// proves looks whether a name shows what is wanted; the error says what is there instead.
func (s *Server) proves(ctx context.Context, d *dcv, name string) error {
	switch d.Method {
	case methodDNS:
		return s.provesDNS(ctx, d, sandbox.Bare(name))
	case methodFile:
		return s.provesFile(ctx, d, "http", name)
	case methodSFile:
		return s.provesFile(ctx, d, "https", name)
	default:
		return errors.New("somebody has to follow the link in the email")
	}
}

// provesDNS looks at a name, and then at those above it, as far as the registrable domain.
func (s *Server) provesDNS(ctx context.Context, d *dcv, name string) error {
	var failed []error
	for at := name; ; {
		err := s.provesRecord(ctx, d, at)
		if err == nil {
			return nil
		}
		failed = append(failed, err)
		if at == sandbox.BaseOf(name) {
			return errors.Join(failed...)
		}
		_, at, _ = strings.Cut(at, ".")
	}
}

func (s *Server) provesRecord(ctx context.Context, d *dcv, domain string) error {
	if d.MD5 != "" {
		target, err := s.look.Alias(ctx, "_"+d.MD5+"."+domain)
		if err == nil && target != d.target() {
			err = fmt.Errorf("the CNAME record of _%s.%s is %q", d.MD5, domain, target)
		}
		return err
	}
	for _, at := range []string{digicertName + domain, domain} {
		texts, err := s.look.Texts(ctx, at)
		if err != nil {
			return err
		}
		if slices.Contains(texts, d.Random) {
			return nil
		}
	}
	target, err := s.look.Alias(ctx, digicertName+domain)
	if err == nil && target != d.Random+"."+digicertHost {
		err = fmt.Errorf("no TXT record of %s%s or %s is the value", digicertName, domain, domain)
	}
	return err
}

// provesFile looks at exactly the name.
//
// Unconfirmed: that DigiCert's goods wait for the file of the free companion as well; Sectigo's are known to leave it out.
func (s *Server) provesFile(ctx context.Context, d *dcv, scheme, name string) error {
	path, want := d.file()
	body, err := s.look.FetchOver(ctx, scheme, name, path)
	if err != nil {
		return err
	}
	got := strings.Fields(body)
	same := slices.EqualFunc(got, strings.Fields(want), strings.EqualFold)
	if d.MD5 == "" {
		same = strings.TrimSpace(body) == want
	}
	if !same {
		return fmt.Errorf("the file at %s://%s%s has another content", scheme, name, path)
	}
	return nil
}

// checkOrder looks at the names of an order that are not proven yet, and issues when nothing is left. It returns what
// was found wrong by name.
func (s *Server) checkOrder(ctx context.Context, token string) (map[string]error, error) {
	var d dcv
	if err := s.Read(func(st *state) error {
		if o := st.byToken(token); o != nil && o.Ended == "" && o.open() != nil && o.DCV.Method != methodEmail {
			d = o.DCV.clone()
		}
		return nil
	}); err != nil {
		return nil, err
	}
	missing, found := map[string]error{}, []string{}
	for _, name := range d.unproven() {
		err := s.proves(ctx, &d, name)
		if tookTooLong(err) {
			err = s.proves(ctx, &d, name) // a busy machine, not what the name shows
		}
		if err != nil {
			missing[name] = err
			continue
		}
		found = append(found, name)
	}
	if err := ctx.Err(); err != nil {
		// Who asked has gone, and the look was cut off: it says nothing. Else a certificate of Sectigo's would be issued
		// without a companion that was not looked for to the end.
		return nil, err
	}
	if len(found) > 0 {
		if err := s.approve(token, d, found); err != nil {
			return nil, err
		}
	}
	return missing, s.tryIssue(ctx, token)
}

// tookTooLong reports whether a look ended because there was no answer in time.
func tookTooLong(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

// approve notes what was found, unless the values have changed since it was looked at.
func (s *Server) approve(token string, seen dcv, found []string) error {
	now := s.Now()
	return s.Change(now, func(st *state) error {
		o := st.byToken(token)
		if o == nil || o.open() == nil || o.Ended != "" || o.DCV.Random != seen.Random || o.DCV.SHA != seen.SHA || o.DCV.Method != seen.Method {
			return nil
		}
		for _, name := range found {
			if at, there := o.DCV.Names[name]; there && at.IsZero() {
				o.DCV.Names[name] = now
			}
		}
		return nil
	})
}

// approvers are the addresses that may approve a domain: five of it, and of those above it.
//
// Unconfirmed: whether the approver list has root@ and the addresses of the registration, which older articles name; the first is no address of the industry's rules, and the second are forbidden since 2025-07-15.
func approvers(domain string) []string {
	var list []string
	for at := sandbox.Bare(domain); ; {
		for _, who := range []string{"admin", "administrator", "hostmaster", "postmaster", "webmaster"} {
			list = append(list, who+"@"+at)
		}
		if at == sandbox.BaseOf(domain) {
			return list
		}
		_, at, _ = strings.Cut(at, ".")
	}
}
