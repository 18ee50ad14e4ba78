package plugintest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

// session is a configured CA account: a process, and what the daemon would store between two calls.
type session struct {
	s     *suite
	p     *process
	state []byte
	// killing makes every call start from a new process, the last one having been killed.
	killing bool
}

func (s *suite) open(ctx context.Context) (*session, error) {
	n := &session{s: s}
	if err := n.begin(ctx); err != nil {
		return nil, err
	}
	return n, nil
}

// session opens one for a check and closes it afterwards.
func (s *suite) session(ctx context.Context, v *verdict, do func(n *session)) {
	n, err := s.open(ctx)
	if err != nil {
		v.failf("%v", err)
		return
	}
	defer n.close()
	do(n)
}

func (n *session) begin(ctx context.Context) error {
	p, err := launch(n.s.o, n.s.rec)
	if err != nil {
		return err
	}
	n.p = p
	findings, state, err := n.s.configure(ctx, p, n.s.o.Settings, n.state)
	if err == nil && len(faultsOf(findings)) > 0 {
		err = fmt.Errorf("%s: %s", faultsOf(findings)[0].Field, faultsOf(findings)[0].Message)
	}
	if err != nil {
		p.stop()
		return fmt.Errorf("Configure: %w", err)
	}
	n.keep(state)
	return nil
}

func (n *session) close() { n.p.stop() }

func (n *session) keep(state []byte) {
	if state != nil {
		n.state = state
	}
}

// order makes one call that replies with an order.
func (n *session) order(ctx context.Context, do func(context.Context, *wire.CAClient) (pluginapi.OrderReply, error)) (pluginapi.Order, error) {
	if n.killing {
		n.p.kill()
		if err := n.begin(ctx); err != nil {
			return pluginapi.Order{}, err
		}
	}
	ctx, cancel := n.s.callContext(ctx)
	defer cancel()
	reply, err := do(ctx, n.p.ca)
	n.keep(reply.AccountState)
	return reply.Order, err
}

func (n *session) place(ctx context.Context, r pluginapi.OrderRequest) (pluginapi.Order, error) {
	return n.order(ctx, func(ctx context.Context, ca *wire.CAClient) (pluginapi.OrderReply, error) {
		return ca.PlaceOrder(ctx, r)
	})
}

func (n *session) get(ctx context.Context, r pluginapi.OrderRequest, o pluginapi.Order) (pluginapi.Order, error) {
	return n.order(ctx, func(ctx context.Context, ca *wire.CAClient) (pluginapi.OrderReply, error) {
		return ca.GetOrder(ctx, placed(r, o))
	})
}

func placed(r pluginapi.OrderRequest, o pluginapi.Order) pluginapi.PlacedOrder {
	return pluginapi.PlacedOrder{OrderRequest: r, Reference: o.Reference, State: o.State}
}

// newRequest makes an order for the names of the options, with a key of its own.
func (s *suite) newRequest() (pluginapi.OrderRequest, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pluginapi.OrderRequest{}, fmt.Errorf("make a key: %w", err)
	}
	template := &x509.CertificateRequest{}
	for _, id := range s.o.Identifiers {
		if id.Type == pluginapi.IP {
			template.IPAddresses = append(template.IPAddresses, net.ParseIP(id.Value))
		} else {
			template.DNSNames = append(template.DNSNames, id.Value)
		}
	}
	if s.desc.CSRCommonName {
		template.Subject = pkix.Name{CommonName: s.o.Identifiers[0].Value}
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return pluginapi.OrderRequest{}, fmt.Errorf("make a request: %w", err)
	}
	return pluginapi.OrderRequest{
		IdempotencyKey: randomHex(), Kind: pluginapi.New, CSR: csr, Identifiers: s.o.Identifiers,
		Settings: s.o.OrderSettings, CertificateName: "plugintest",
	}, nil
}

var errNeedsPerson = errors.New("the order waits for a person")

// finish takes an order from its placing to its certificate.
func (n *session) finish(ctx context.Context, r pluginapi.OrderRequest, o pluginapi.Order) (pluginapi.Order, error) {
	ctx, cancel := context.WithTimeout(ctx, n.s.o.OrderTimeout)
	defer cancel()
	shown := make(map[string]bool)
	var withdraw []func()
	defer func() {
		for _, w := range withdraw {
			w()
		}
	}()
	reference := o.Reference
	contents := make(map[string]pluginapi.Challenge)
	for {
		if o.Reference != reference {
			return o, fmt.Errorf("the reference changed from %q to %q", reference, o.Reference)
		}
		if err := sameContents(contents, o); err != nil {
			return o, err
		}
		var err error
		switch o.Status {
		case pluginapi.Issued:
			return o, nil
		case pluginapi.PendingApproval:
			return o, errNeedsPerson
		case pluginapi.PendingValidation, pluginapi.Processing:
			var ids []string
			if o.Status == pluginapi.PendingValidation {
				if ids, err = n.publish(ctx, o, shown, &withdraw); err != nil {
					return o, err
				}
			}
			o, err = n.next(ctx, r, o, ids)
		default:
			return o, fmt.Errorf("the order is %s: %s", o.Status, o.Detail)
		}
		if err != nil {
			return o, fmt.Errorf("order %s: %w", reference, err)
		}
	}
}

// sameContents holds that the id of a challenge stands for one content, and adds those of an order to the known ones.
func sameContents(known map[string]pluginapi.Challenge, o pluginapi.Order) error {
	for _, a := range o.Authorizations {
		for _, c := range a.Challenges {
			if before, ok := known[c.ID]; ok && !reflect.DeepEqual(before, c) {
				return fmt.Errorf("the challenge %q for %s has another content than before: new content needs a new id", c.ID, a.Identifier)
			}
			known[c.ID] = c
		}
	}
	return nil
}

// publish puts up one challenge for every name that still needs one, once.
func (n *session) publish(ctx context.Context, o pluginapi.Order, shown map[string]bool, withdraw *[]func()) ([]string, error) {
	var ids []string
	for _, a := range o.Authorizations {
		if a.Valid || shown[a.Identifier] || len(a.Challenges) == 0 {
			continue
		}
		if n.s.o.Publish == nil {
			return nil, errNoPublish
		}
		var troubles []error
		for _, c := range a.Challenges {
			w, err := n.s.o.Publish(ctx, c)
			if err != nil {
				troubles = append(troubles, err)
				continue
			}
			*withdraw = append(*withdraw, w)
			shown[a.Identifier] = true
			ids = append(ids, c.ID)
			break
		}
		if !shown[a.Identifier] {
			return nil, fmt.Errorf("no challenge for %s could be published: %w", a.Identifier, errors.Join(troubles...))
		}
	}
	return ids, nil
}

var errNoPublish = errors.New("the CA asks for validation and Options.Publish is not set")

// next tells the CA to look when something was published just now, and otherwise looks again in due time.
func (n *session) next(ctx context.Context, r pluginapi.OrderRequest, o pluginapi.Order, ids []string) (pluginapi.Order, error) {
	if len(ids) > 0 {
		return n.order(ctx, func(ctx context.Context, ca *wire.CAClient) (pluginapi.OrderReply, error) {
			return ca.RespondToChallenges(ctx, placed(r, o), ids)
		})
	}
	wait := time.Second
	if o.LookAgainAfter != nil {
		wait = *o.LookAgainAfter
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return n.get(ctx, r, o)
	case <-ctx.Done():
		return o, fmt.Errorf("no certificate within %s; last status %s: %s", n.s.o.OrderTimeout, o.Status, o.Detail)
	}
}

// checkChain looks at what was issued as the daemon will before it installs it.
func checkChain(v *verdict, r pluginapi.OrderRequest, chain [][]byte) {
	csr, err := x509.ParseCertificateRequest(r.CSR)
	if err != nil {
		v.failf("read the request: %v", err)
		return
	}
	var certs []*x509.Certificate
	for _, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			v.failf("read the chain: %v", err)
			return
		}
		certs = append(certs, c)
	}
	leaf := certs[0]
	if !bytes.Equal(leaf.RawSubjectPublicKeyInfo, csr.RawSubjectPublicKeyInfo) {
		v.failf("the certificate is not for the key of the request")
	}
	for _, id := range r.Identifiers {
		if !covers(leaf, id) {
			v.failf("the certificate does not cover %s", id.Value)
		}
	}
	if now := time.Now(); now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		v.failf("the certificate is good from %s to %s, which is not now", leaf.NotBefore, leaf.NotAfter)
	}
	for i, c := range certs[:len(certs)-1] {
		if err := c.CheckSignatureFrom(certs[i+1]); err != nil {
			v.failf("the chain breaks after certificate %d: %v", i, err)
		}
	}
}

func covers(leaf *x509.Certificate, id pluginapi.Identifier) bool {
	if rest, ok := strings.CutPrefix(id.Value, "*."); ok {
		for _, name := range leaf.DNSNames {
			if strings.EqualFold(name, "*."+rest) {
				return true
			}
		}
		return false
	}
	return leaf.VerifyHostname(id.Value) == nil
}
