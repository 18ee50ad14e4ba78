package tencent

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// The kinds of what must be shown.
const (
	kindTXT   = "TXT"
	kindCNAME = "CNAME"
	kindFile  = "FILE"

	filePath = "/.well-known/pki-validation/"
	fileName = "fileauth.txt"
	label    = "_dnsauth"
	// aliasZone is where CNAME records point to. The name is one that nobody can have (RFC 6761 section 6.2).
	aliasZone = "sandbox.trust-provider.test"
)

// dcvState is how far the domain control of an order is.
type dcvState struct {
	Method   string    `json:"method,omitempty"`
	Auths    []auth    `json:"auths,omitempty"`
	Deadline time.Time `json:"deadline,omitzero"`
	// Checked is when CheckCertificateDomainVerification last looked, Passed when the last domain was shown.
	Checked time.Time `json:"checked,omitzero"`
	Passed  time.Time `json:"passed,omitzero"`
}

// auth is what must be shown for one name.
type auth struct {
	Name   string    `json:"name"`
	Kind   string    `json:"kind"`
	Key    string    `json:"key"`
	Value  string    `json:"value"`
	Domain string    `json:"domain"`
	Sub    string    `json:"sub,omitempty"`
	Auto   bool      `json:"auto,omitempty"` // the service sets the record itself
	Shown  time.Time `json:"shown,omitzero"`
}

func (d *dcvState) done() bool { return allShown(d.Auths) }

func allShown(list []auth) bool {
	return !slices.ContainsFunc(list, func(a auth) bool { return a.Shown.IsZero() })
}

// newDCV begins the domain control of an order. The lock is held.
func (s *Server) newDCV(now time.Time, cert *certificate, p product, method string) dcvState {
	d := dcvState{
		Method: method, Deadline: now.Add(time.Duration(s.Account.Settings.DCVDays) * s.days.day),
		Auths: newAuths(now, cert.Materials.names(), method, p.aliased(cert.Materials.CAType)),
	}
	for i := range d.Auths {
		known := s.Account.Validated[validatedKey(p, d.Auths[i].Name)]
		if reuse := time.Duration(s.Account.Settings.ReuseDays) * s.days.day; !known.IsZero() && now.Before(known.Add(reuse)) {
			d.Auths[i].Shown = now
		}
	}
	if d.done() {
		d.Passed = now
	}
	return d
}

func validatedKey(p product, name string) string { return p.Brand + " " + sandbox.Bare(name) }

// newAuths makes what must be shown for names.
//
// Unconfirmed: the names and values of records for each brand. The stand-in asks for a TXT record at _dnsauth.NAME with a
// value for each name, or for a CNAME record below the registrable domain, which all of its names share, and has one
// file for all names of an order, called after a hash for the brands with CNAME records.
func newAuths(now time.Time, names []string, method string, aliased bool) []auth {
	aliases := map[string]auth{}
	file := auth{Kind: kindFile, Key: fileName, Value: newToken(now)}
	if aliased {
		file.Key, file.Value = strings.ToUpper(randomHex())+".txt", randomHex()+randomHex()+"\ntrust-provider.com\n"+randomOf(idLetters, 10)
	}
	var list []auth
	for _, name := range names {
		base := sandbox.BaseOf(name)
		a := auth{Kind: kindTXT, Key: label + "." + sandbox.Bare(name), Value: newToken(now)}
		switch {
		case method == methodFile:
			a = file
		case aliased && aliases[base].Key == "":
			aliases[base] = auth{Kind: kindCNAME, Key: "_" + randomHex() + "." + base, Value: randomHex() + "." + randomHex() + "." + aliasZone}
			fallthrough
		case aliased:
			a = aliases[base]
		}
		a.Name, a.Domain, a.Auto = name, base, method == methodAuto
		if a.Kind != kindFile {
			a.Sub = relative(a.Key, base)
		}
		list = append(list, a)
	}
	return list
}

// newToken is a value that begins with its time.
func newToken(now time.Time) string {
	return now.UTC().Format("20060102150405") + sandbox.RandomValue(32)
}

func randomHex() string { return hex.EncodeToString([]byte(randomOf(idLetters, 16))) }

// verdict is what was seen of one name.
type verdict struct {
	auth  auth
	local int // LocalCheck
	found []string
	err   error
}

// The results of LocalCheck.
const (
	localOK           = 1
	localMissing      = -1 // also: asked too often
	localDiffers      = -2
	localNoServer     = -3
	localFileMissing  = -4
	localFileDiffers  = -5
	localAliasMissing = -6
	localAliasDiffers = -7

	caPassed = 2
	caFailed = -1
)

// see looks whether a name shows what it must.
func (s *Server) see(ctx context.Context, a auth, counterparts bool) verdict {
	v := verdict{auth: a, local: localOK}
	if a.Auto {
		v.found = []string{a.Value}
		return v
	}
	switch a.Kind {
	case kindTXT:
		v.found, v.err = s.look.Texts(ctx, a.Key)
		switch {
		case v.err != nil:
			v.local = localNoServer
		case len(v.found) == 0:
			v.local, v.err = localMissing, fmt.Errorf("there is no TXT record at %s", a.Key)
		case !slices.Contains(v.found, a.Value):
			v.local, v.err = localDiffers, fmt.Errorf("the TXT record at %s is another one", a.Key)
		}
	case kindCNAME:
		target, err := s.look.Alias(ctx, a.Key)
		v.err = err
		switch {
		case err != nil:
			v.local = localNoServer
		case target == "":
			v.local, v.err = localAliasMissing, fmt.Errorf("there is no CNAME record at %s", a.Key)
		case !strings.EqualFold(target, a.Value):
			v.local, v.err = localAliasDiffers, fmt.Errorf("the CNAME record at %s is %s", a.Key, target)
		}
		if target != "" {
			v.found = []string{target}
		}
	default:
		v.seeFiles(ctx, s.look, counterparts)
	}
	return v
}

// seeFiles looks on all hosts where the file must stand.
//
// Unconfirmed: that a file must stand on both of an apex and its www name; Settings choose.
func (v *verdict) seeFiles(ctx context.Context, look *sandbox.Look, counterparts bool) {
	for _, host := range fileHosts(v.auth.Name, counterparts) {
		text, err := look.Fetch(ctx, host, filePath+v.auth.Key)
		if err != nil {
			v.local, v.err = localFileMissing, fmt.Errorf("http://%s%s%s: %w", host, filePath, v.auth.Key, err)
			return
		}
		v.found = append(v.found, text)
		if strings.TrimSpace(text) != v.auth.Value {
			v.local, v.err = localFileDiffers, fmt.Errorf("http://%s%s%s holds something else", host, filePath, v.auth.Key)
			return
		}
	}
}

// toSee is what has to be looked at for a certificate, and of which order.
type toSee struct {
	order        string
	auths        []auth
	revoking     bool
	counterparts bool
}

func (s *Server) toSee(id string, now time.Time) (toSee, bool) {
	var t toSee
	_ = s.Read(func(st *state) error { // the function returns none
		t.counterparts = st.Settings.Counterparts
		switch cert := st.find(id); {
		case cert == nil:
		case cert.pending() && !s.onTheWay(cert, now):
			t.order, t.auths = cert.OrderID, slices.Clone(cert.DCV.Auths)
		case cert.Status == statusRevoking:
			t.order, t.auths, t.revoking = cert.OrderID, slices.Clone(cert.Revocation), true
		}
		return nil
	})
	return t, len(t.auths) > 0
}

// check looks at the names of a certificate, and issues or revokes it when nothing is left.
func (s *Server) check(ctx context.Context, id string) ([]verdict, error) {
	t, ok := s.toSee(id, s.Now())
	if !ok {
		return nil, nil
	}
	var list []verdict
	seen := map[string]verdict{}
	for _, a := range t.auths {
		if !a.Shown.IsZero() {
			list = append(list, verdict{auth: a, local: localOK, found: []string{a.Value}})
			continue
		}
		at := a.Key + " " + a.Value
		if a.Kind == kindFile {
			at += " " + a.Name
		}
		v, ok := seen[at]
		if !ok {
			v = s.see(ctx, a, t.counterparts)
			seen[at] = v
		}
		v.auth = a
		list = append(list, v)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err := s.shown(id, t, list); err != nil {
		return nil, err
	}
	return list, s.tryIssue(ctx, id)
}

// shown notes what was seen, unless the order has changed since.
func (s *Server) shown(id string, t toSee, list []verdict) error {
	now := s.Now()
	return s.Change(now, func(st *state) error {
		cert := st.find(id)
		if cert == nil || cert.OrderID != t.order || t.revoking != (cert.Status == statusRevoking) {
			return nil
		}
		auths := cert.DCV.Auths
		if t.revoking {
			auths = cert.Revocation
		}
		p, _ := productByID(cert.Product)
		for i := range auths {
			if i < len(list) && list[i].local == localOK && auths[i].Value == list[i].auth.Value && auths[i].Shown.IsZero() {
				auths[i].Shown = now
				st.Validated[validatedKey(p, auths[i].Name)] = now
			}
		}
		switch {
		case !allShown(auths):
		case t.revoking:
			s.revoked(now, cert)
		case cert.DCV.Passed.IsZero():
			cert.DCV.Passed = now
		}
		return nil
	})
}

// lookAtAll looks at the names of all certificates that wait for them.
func (s *Server) lookAtAll(ctx context.Context) error {
	var ids []string
	now := s.Now()
	if err := s.Change(now, func(st *state) error {
		for _, cert := range st.Certificates {
			if cert.pending() || cert.Status == statusRevoking {
				ids = append(ids, cert.ID)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		if _, err := s.check(ctx, id); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
