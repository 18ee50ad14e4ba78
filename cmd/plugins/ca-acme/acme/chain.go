package acme

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	lego "github.com/go-acme/lego/v4/acme"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// maxChain bounds the certificates of a chain.
const maxChain = 20

// issued downloads the chain of a valid order.
func (s *session) issued(ctx context.Context, v view, out *pluginapi.Order) error {
	if !isHTTPS(v.order.Certificate) {
		return pluginapi.Errorf(pluginapi.Unavailable, "download the certificate: the CA gave no https address for it")
	}
	settings, err := readOrderSettings(v.request.Settings)
	if err != nil {
		return err
	}
	chain, remark, err := s.download(ctx, v, settings.preferredChain)
	if err != nil {
		return err
	}
	if !csrKeyMatches(v.request.CSR, chain[0]) {
		return pluginapi.Errorf(pluginapi.Unavailable, "download the certificate: the CA sent one that is not for the order's CSR")
	}
	out.Status = pluginapi.Issued
	out.Detail = fmt.Sprintf("issued by %q, valid until %s", clean(chain[0].Issuer.CommonName, 200), chain[0].NotAfter.UTC().Format(time.RFC3339))
	if remark != "" {
		out.Detail += "; " + remark
	}
	for _, c := range chain {
		out.Chain = append(out.Chain, c.Raw)
	}
	return nil
}

// download fetches the chain and, when another is preferred, its alternates (RFC 8555 section 7.4.2).
func (s *session) download(ctx context.Context, v view, preferred string) ([]*x509.Certificate, string, error) {
	address := v.order.Certificate
	if preferred != "" {
		all, err := s.downloadAll(ctx, v.who, address)
		if err == nil {
			return choose(address, all, preferred)
		}
		// One alternate that cannot be had must not keep the certificate away.
		s.log.Warn("alternate chains could not be read", "order", v.request.Reference, "error", fail("download the chains", err).Error())
	}
	a, err := s.signed(ctx, v.who, address, nil, nil)
	if err != nil {
		return nil, "", fail("download the certificate", err)
	}
	chain, err := parseChain(a.body)
	if err != nil {
		return nil, "", pluginapi.Errorf(pluginapi.Unavailable, "download the certificate: %w", err)
	}
	if preferred != "" {
		return chain, "the CA's default chain, since the others could not be read", nil
	}
	return chain, "", nil
}

// downloadAll fetches a chain and its alternates, by their addresses.
func (s *session) downloadAll(ctx context.Context, who signer, address string) (map[string]*lego.RawCertificate, error) {
	a, err := s.signed(ctx, who, address, nil, nil)
	if err != nil {
		return nil, err
	}
	all := map[string]*lego.RawCertificate{address: {Cert: a.body}}
	for _, other := range alternates(a.header) {
		if len(all) > maxAlternates {
			break
		}
		a, err := s.signed(ctx, who, other, nil, nil)
		if err != nil {
			return nil, err
		}
		all[other] = &lego.RawCertificate{Cert: a.body}
	}
	return all, nil
}

// maxAlternates bounds the chains that are looked at besides the CA's own.
const maxAlternates = 20

// linkValue is one value of a Link header (RFC 8288 section 3): its target and its parameters.
var linkValue = regexp.MustCompile(`<([^>]*)>((?:[^,"]|"[^"]*")*)`)

// linkRelation is the parameter that says what a link is.
var linkRelation = regexp.MustCompile(`(?i);\s*rel\s*=\s*(?:"([^"]*)"|([^\s;"]+))`)

// alternates are the addresses of other chains for a certificate.
func alternates(h http.Header) []string {
	var out []string
	for _, line := range h.Values("Link") {
		for _, link := range linkValue.FindAllStringSubmatch(line, -1) {
			relation := linkRelation.FindStringSubmatch(link[2])
			if relation != nil && slices.Contains(strings.Fields(strings.ToLower(relation[1]+relation[2])), "alternate") {
				out = append(out, link[1])
			}
		}
	}
	return out
}

// choose picks the chain that leads to the preferred issuer. One whose last certificate names it as its issuer goes
// before one that merely contains it; the CA's default chain is taken when none does.
func choose(standard string, all map[string]*lego.RawCertificate, preferred string) ([]*x509.Certificate, string, error) {
	addresses := slices.Sorted(maps.Keys(all))
	slices.SortStableFunc(addresses, func(a, b string) int {
		switch standard {
		case a:
			return -1
		case b:
			return 1
		}
		return 0
	})
	var first, contains []*x509.Certificate
	for _, address := range addresses {
		chain, err := parseChain(all[address].Cert)
		if err != nil {
			if address == standard {
				return nil, "", pluginapi.Errorf(pluginapi.Unavailable, "download the certificate: %w", err)
			}
			continue
		}
		if chain[len(chain)-1].Issuer.CommonName == preferred {
			return chain, "", nil
		}
		if first == nil {
			first = chain
		}
		if contains == nil && slices.ContainsFunc(chain, func(c *x509.Certificate) bool { return c.Issuer.CommonName == preferred }) {
			contains = chain
		}
	}
	if contains != nil {
		return contains, "", nil
	}
	return first, fmt.Sprintf("the CA's default chain, since none of its %d leads to %q", len(all), preferred), nil
}

// parseChain reads application/pem-certificate-chain (RFC 8555 section 9.1): certificates alone, the leaf first.
func parseChain(text []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("the CA's chain has a PEM block %q in it", clean(block.Type, 60))
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the CA's chain: %w", len(chain)+1, err)
		}
		if chain = append(chain, c); len(chain) > maxChain {
			return nil, fmt.Errorf("the CA's chain has more than %d certificates", maxChain)
		}
	}
	if len(chain) == 0 {
		return nil, errors.New("the CA sent no PEM certificate")
	}
	return chain, nil
}
