package acme

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	lego "github.com/go-acme/lego/v4/acme"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// The types of challenge that are known here: RFC 8555 section 8, RFC 8737.
const (
	http01    = "http-01"
	dns01     = "dns-01"
	tlsALPN01 = "tls-alpn-01"
)

// RespondToChallenges tells the CA to look at published challenges (RFC 8555 section 7.5.1). A challenge's id is its
// address. One that is being validated or is validated is left alone, so the call may be repeated. An order that becomes ready
// at once is taken further in the same call.
func (c *CA) RespondToChallenges(ctx context.Context, placed pluginapi.PlacedOrder, ids []string) (pluginapi.OrderReply, error) {
	s, v, err := c.open(ctx, placed)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	told, err := s.respondAsKnown(ctx, &v, ids)
	if err == nil && !told {
		err = s.respondAsRead(ctx, &v, ids)
	}
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	return s.reply(ctx, v)
}

// respondAsKnown responds to challenges that are known from an earlier call, without reading the order anew. It reports false
// when that is not possible, or when the CA sees it otherwise.
func (s *session) respondAsKnown(ctx context.Context, v *view, ids []string) (bool, error) {
	k, ok := s.orders.get(v.request.Reference)
	if !ok || v.stale() {
		return false, nil
	}
	due, err := due(k.list, ids)
	if err != nil || len(due) == 0 {
		return false, nil //nolint:nilerr // a challenge that is not known may be known to the CA
	}
	v.order.Finalize = k.finalize
	err = s.respond(ctx, v, k.list, due)
	switch pluginapi.KindOf(err) {
	case 0:
		return true, nil
	case pluginapi.Unavailable, pluginapi.RateLimited:
		return false, err
	default:
		s.orders.drop(v.request.Reference)
		return false, nil
	}
}

// respondAsRead responds to challenges after a look at the order.
func (s *session) respondAsRead(ctx context.Context, v *view, ids []string) error {
	if err := s.refresh(ctx, v); err != nil || v.order.Status != lego.StatusPending {
		return err
	}
	list, err := s.authorizations(ctx, v)
	if err != nil {
		return err
	}
	due, err := due(list, ids)
	if err != nil {
		return err
	}
	if v.stale() || len(due) == 0 {
		s.orders.put(v.request.Reference, known{list, v.order.Finalize, time.Now()})
		return nil
	}
	return s.respond(ctx, v, list, due)
}

// due returns the challenges among those named that the CA has not been told about.
func due(list []lego.Authorization, ids []string) ([]string, error) {
	var out []string
	for _, id := range ids {
		known := false
		for _, a := range list {
			i := slices.IndexFunc(a.Challenges, func(c lego.Challenge) bool { return c.URL == id })
			if i < 0 {
				continue
			}
			known = true
			if a.Status == lego.StatusPending && a.Challenges[i].Status == lego.StatusPending && !slices.Contains(out, id) {
				out = append(out, id)
			}
		}
		if !known {
			return nil, pluginapi.FieldErrorf("challenge_ids", "the order has no challenge %q", clean(id, maxWords))
		}
	}
	return out, nil
}

// respond tells the CA about each challenge, and looks how the order took it.
func (s *session) respond(ctx context.Context, v *view, list []lego.Authorization, ids []string) error {
	v.state.Responded, v.toldNow = true, true
	answers := make([]lego.Challenge, len(ids))
	paces := make([]time.Duration, len(ids))
	err := each(ctx, ids, func(ctx context.Context, i int, id string) error {
		a, err := s.signed(ctx, v.who, id, struct{}{}, &answers[i])
		if err != nil && !s.alreadyUnderWay(ctx, v.who, id, err) {
			return fail("tell the CA that a challenge is published", err)
		}
		paces[i] = a.pace()
		return nil
	})
	if err != nil {
		return err
	}
	for _, p := range paces {
		v.pace = max(v.pace, p)
	}
	s.orders.put(v.request.Reference, known{responded(list, ids, answers), v.order.Finalize, time.Now()})
	v.order.Status = lego.StatusPending // as far as is known
	s.lookSoon(ctx, v, s.validation, s.lookValidated)
	return nil
}

// responded are authorizations with what the CA answered to the responses. One without an answer is under way.
func responded(list []lego.Authorization, ids []string, answers []lego.Challenge) []lego.Authorization {
	out := slices.Clone(list)
	for n, a := range out {
		out[n].Challenges = slices.Clone(a.Challenges)
		for m, c := range a.Challenges {
			if i := slices.Index(ids, c.URL); i >= 0 {
				out[n].Challenges[m].Status = cmp.Or(answers[i].Status, lego.StatusProcessing)
			}
		}
	}
	return out
}

// alreadyUnderWay reports that a challenge left its pending state between reading it and responding to it; CAs refuse
// the response then, each in its own words, so the challenge itself is asked.
func (s *session) alreadyUnderWay(ctx context.Context, who signer, id string, err error) bool {
	if fail("", err).Kind != pluginapi.InvalidRequest {
		return false
	}
	var now lego.Challenge
	_, err = s.signed(ctx, who, id, nil, &now)
	return err == nil && now.Status != lego.StatusPending
}

// authorization reads one authorization and how long the CA wants to be left alone with it.
func (s *session) authorization(ctx context.Context, who signer, address string) (lego.Authorization, time.Duration, error) {
	if !isHTTPS(address) {
		return lego.Authorization{}, 0, pluginapi.Errorf(pluginapi.Unavailable, "read an authorization: the CA gave no https address for it")
	}
	var read lego.Authorization
	a, err := s.signed(ctx, who, address, nil, &read)
	if err != nil {
		return lego.Authorization{}, 0, fail("read an authorization", err)
	}
	return read, a.pace(), nil
}

// identifier is the name of an authorization as it was ordered.
func identifier(a lego.Authorization) string {
	if a.Wildcard {
		return "*." + a.Identifier.Value
	}
	return a.Identifier.Value
}

// tell puts an authorization into the contract's words.
func tell(a lego.Authorization, thumbprint string) (pluginapi.Authorization, error) {
	out := pluginapi.Authorization{Identifier: identifier(a), Valid: a.Status == lego.StatusValid}
	if out.Valid {
		return out, nil
	}
	if a.Status != lego.StatusPending {
		return out, pluginapi.Errorf(pluginapi.Unavailable, "read an authorization: the CA gave it the unknown status %q", clean(a.Status, 40))
	}
	for _, known := range []string{http01, dns01, tlsALPN01} { // CAs shuffle them
		for _, c := range a.Challenges {
			if c.Type != known {
				continue
			}
			told, err := challenge(a.Identifier, c, thumbprint)
			if err != nil {
				return out, err
			}
			out.Challenges = append(out.Challenges, told)
		}
	}
	return out, nil
}

// challenge puts a challenge of a known type into the contract's words.
func challenge(id lego.Identifier, c lego.Challenge, thumbprint string) (pluginapi.Challenge, error) {
	out := pluginapi.Challenge{ID: c.URL, Identifier: id.Value}
	// The token becomes part of a path and of a file's name.
	if !isToken(c.Token) || !isHTTPS(c.URL) {
		return out, pluginapi.Errorf(pluginapi.Unavailable, "read an authorization: the CA sent a challenge for %s whose token or address is malformed (RFC 8555 section 8.3)", clean(id.Value, 300))
	}
	authorization := c.Token + "." + thumbprint // RFC 8555 section 8.1
	digest := sha256.Sum256([]byte(authorization))
	out.ACME = &pluginapi.KeyAuthorization{Token: c.Token, KeyAuthorization: authorization}
	switch c.Type {
	case http01: // RFC 8555 section 8.3
		out.HTTP = &pluginapi.HTTPFile{Host: id.Value, Path: "/.well-known/acme-challenge/" + c.Token, Body: authorization}
	case dns01: // RFC 8555 section 8.4
		out.DNS = &pluginapi.DNSRecord{
			Name: "_acme-challenge." + id.Value, Type: pluginapi.TXT,
			Value: base64.RawURLEncoding.EncodeToString(digest[:]),
		}
	case tlsALPN01: // RFC 8737 section 3; for an address RFC 8738 section 6
		host := id.Value
		if address, err := netip.ParseAddr(host); err == nil {
			host = reverseName(address)
		}
		out.TLSALPN = &pluginapi.TLSALPN{Host: host, KeyAuthorizationDigest: digest[:]}
	}
	return out, nil
}

// isToken reports base64url text without padding.
func isToken(text string) bool {
	if text == "" || len(text) > 512 {
		return false
	}
	return !strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// reverseName is an address as the SNI of a tls-alpn-01 validation carries it (RFC 1034 section 5.2.1, RFC 3596
// section 2.5).
func reverseName(address netip.Addr) string {
	var b strings.Builder
	bytes := address.Unmap().AsSlice()
	slices.Reverse(bytes)
	for _, octet := range bytes {
		if len(bytes) == 4 {
			fmt.Fprintf(&b, "%d.", octet)
		} else {
			fmt.Fprintf(&b, "%x.%x.", octet&0xf, octet>>4)
		}
	}
	if len(bytes) == 4 {
		return b.String() + "in-addr.arpa"
	}
	return b.String() + "ip6.arpa"
}

// ended says how authorizations ended that can not become valid any more; a zero status means that none did.
func ended(list []lego.Authorization) (pluginapi.OrderStatus, string) {
	var status pluginapi.OrderStatus
	var words []string
	for _, a := range list {
		switch a.Status {
		case lego.StatusInvalid:
			status = pluginapi.OrderRejected
			words = append(words, identifier(a)+": "+why(a))
		case lego.StatusRevoked:
			status = pluginapi.OrderRejected
			words = append(words, identifier(a)+": the CA revoked the authorization")
		case lego.StatusDeactivated:
			if status == 0 || status == pluginapi.Expired {
				status = pluginapi.Canceled
			}
			words = append(words, identifier(a)+": the authorization was deactivated")
		case lego.StatusExpired:
			if status == 0 {
				status = pluginapi.Expired
			}
			words = append(words, identifier(a)+": the authorization expired before it was validated")
		}
	}
	return status, clean(strings.Join(words, "; "), maxMessage)
}

// why says why an authorization is invalid.
func why(a lego.Authorization) string {
	for _, c := range a.Challenges {
		if c.Error != nil {
			return fmt.Sprintf("%s failed: %s", clean(c.Type, 40), problemWords(c.Error))
		}
	}
	return "the CA gave no reason"
}

// challengeTypes lists what a CA offers, for people.
func challengeTypes(a lego.Authorization) string {
	var out []string
	for _, c := range a.Challenges {
		out = append(out, clean(c.Type, 40))
	}
	if len(out) == 0 {
		return "none at all"
	}
	return strings.Join(out, ", ")
}
