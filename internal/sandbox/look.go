package sandbox

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// lookTimeout is for one exchange.
	lookTimeout = 5 * time.Second
	// mostAliases is how many CNAME records are followed.
	mostAliases = 10
	// mostRedirects and mostBody are the limits of DigiCert's published engine, and sane ones for all.
	mostRedirects = 5
	mostBody      = 5000
)

// Look sees records and files as a CA does: from outside, through a resolver. The zero value asks the machine's
// resolver and the usual ports.
type Look struct {
	// Resolver is host:port of a name server; empty means the first of /etc/resolv.conf.
	Resolver string
	// HTTPPort and HTTPSPort stand in for 80 and 443. An HTTPSPort below 0 leaves HTTPS out.
	HTTPPort, HTTPSPort int
	// SameHost follows no redirect to another host.
	SameHost bool
}

// Texts returns the TXT records of a name, following CNAME records; none is no error.
func (l *Look) Texts(ctx context.Context, name string) ([]string, error) {
	records, err := l.follow(ctx, name, dns.TypeTXT)
	if err != nil {
		return nil, err
	}
	var texts []string
	for _, r := range records {
		if txt, ok := r.(*dns.TXT); ok {
			texts = append(texts, strings.Join(txt.Txt, ""))
		}
	}
	return texts, nil
}

// Alias returns what a name's CNAME record says, without a dot at its end; empty where there is none.
func (l *Look) Alias(ctx context.Context, name string) (string, error) {
	answer, err := l.exchange(ctx, name, dns.TypeCNAME)
	if err != nil {
		return "", err
	}
	for _, r := range answer.Answer {
		if c, ok := r.(*dns.CNAME); ok && strings.EqualFold(c.Hdr.Name, dns.Fqdn(name)) {
			return strings.ToLower(strings.TrimSuffix(c.Target, ".")), nil
		}
	}
	return "", nil
}

// CAA returns the CAA records that hold for a domain: those of the closest name at or above it that has any (RFC 8659
// section 3).
func (l *Look) CAA(ctx context.Context, domain string) ([]*dns.CAA, error) {
	for name := domain; name != ""; {
		records, err := l.follow(ctx, name, dns.TypeCAA)
		if err != nil {
			return nil, err
		}
		var found []*dns.CAA
		for _, r := range records {
			if caa, ok := r.(*dns.CAA); ok {
				found = append(found, caa)
			}
		}
		if len(found) > 0 {
			return found, nil
		}
		_, name, _ = strings.Cut(name, ".")
	}
	return nil, nil
}

// MayIssue reports whether the CAA records that hold for a name, a wildcard or not, let a CA issue that goes by one of
// the identifiers (RFC 8659 section 4).
func (l *Look) MayIssue(ctx context.Context, name string, identifiers []string) (bool, error) {
	records, err := l.CAA(ctx, Bare(name))
	if err != nil {
		return false, err
	}
	tag := "issue"
	if strings.HasPrefix(name, Wildcard) && slices.ContainsFunc(records, func(r *dns.CAA) bool { return strings.EqualFold(r.Tag, "issuewild") }) {
		tag = "issuewild"
	}
	allowed := true
	for _, r := range records {
		if !strings.EqualFold(r.Tag, tag) {
			continue
		}
		domain, _, _ := strings.Cut(r.Value, ";")
		if slices.ContainsFunc(identifiers, func(id string) bool { return strings.EqualFold(strings.TrimSpace(domain), id) }) {
			return true, nil
		}
		allowed = false
	}
	return allowed, nil
}

// follow asks for records of one type and follows CNAME records, also where the server asked does not do so itself.
func (l *Look) follow(ctx context.Context, name string, kind uint16) ([]dns.RR, error) {
	at := dns.Fqdn(name)
	for range mostAliases {
		answer, err := l.exchange(ctx, at, kind)
		if err != nil {
			return nil, err
		}
		var found []dns.RR
		aliases := map[string]string{}
		for _, r := range answer.Answer {
			if c, ok := r.(*dns.CNAME); ok {
				aliases[strings.ToLower(c.Hdr.Name)] = c.Target
			}
			if r.Header().Rrtype == kind {
				found = append(found, r)
			}
		}
		if len(found) > 0 || len(aliases) == 0 {
			return found, nil
		}
		next := at
		for range aliases {
			target, ok := aliases[strings.ToLower(next)]
			if !ok {
				break
			}
			next = target
		}
		if strings.EqualFold(next, at) {
			return nil, nil
		}
		at = next
	}
	return nil, fmt.Errorf("more than %d CNAME records from %s on", mostAliases, name)
}

// exchange asks one question, over TCP where the answer does not fit.
func (l *Look) exchange(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
	server, err := l.resolver()
	if err != nil {
		return nil, err
	}
	question := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
	question.SetEdns0(1232, false)
	var answer *dns.Msg
	for _, network := range []string{"udp", "tcp"} {
		client := &dns.Client{Net: network, Timeout: lookTimeout}
		answer, _, err = client.ExchangeContext(ctx, question, server)
		if err == nil && !answer.Truncated {
			break
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s for %s %s: %w", server, dns.TypeToString[kind], name, err)
	}
	if answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError {
		return nil, fmt.Errorf("ask %s for %s %s: it answers %s", server, dns.TypeToString[kind], name, dns.RcodeToString[answer.Rcode])
	}
	return answer, nil
}

func (l *Look) resolver() (string, error) {
	if l.Resolver != "" {
		return l.Resolver, nil
	}
	config, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil {
		return "", fmt.Errorf("find a resolver: %w", err)
	}
	if len(config.Servers) == 0 {
		return "", errors.New("find a resolver: /etc/resolv.conf names none")
	}
	return net.JoinHostPort(config.Servers[0], config.Port), nil
}

// Fetch gets a file of a web server as a CA does: over HTTP, and where that does not serve it, over HTTPS with any
// certificate. A few redirects are followed, to the usual ports only.
func (l *Look) Fetch(ctx context.Context, host, path string) (string, error) {
	body, err := l.fetch(ctx, "http", host, path)
	if err == nil || l.HTTPSPort < 0 {
		return body, err
	}
	body, errTLS := l.fetch(ctx, "https", host, path)
	if errTLS != nil {
		return "", errors.Join(err, errTLS)
	}
	return body, nil
}

// FetchOver gets a file over http or https alone.
func (l *Look) FetchOver(ctx context.Context, scheme, host, path string) (string, error) {
	return l.fetch(ctx, scheme, host, path)
}

func (l *Look) fetch(ctx context.Context, scheme, host, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext:       l.dial,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // what is looked for has no certificate yet
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > mostRedirects {
				return fmt.Errorf("more than %d redirects", mostRedirects)
			}
			if l.SameHost && !strings.EqualFold(r.URL.Hostname(), host) {
				return fmt.Errorf("a redirect to %s is not followed", r.URL.Hostname())
			}
			if p := r.URL.Port(); p != "" && p != "80" && p != "443" {
				return fmt.Errorf("a redirect to port %s is not followed", p)
			}
			return nil
		},
	}
	where := url.URL{Scheme: scheme, Host: host, Path: path}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where.String(), nil)
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", where.String(), err)
	}
	req.Header.Set("User-Agent", "certbridge-sandbox")
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("fetch %s: status %d", where.String(), resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostBody))
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", where.String(), err)
	}
	return string(body), nil
}

// dial connects to an address that the resolver knows, at the port that stands in for the usual one.
func (l *Look) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	switch {
	case port == "80" && l.HTTPPort > 0:
		port = strconv.Itoa(l.HTTPPort)
	case port == "443" && l.HTTPSPort > 0:
		port = strconv.Itoa(l.HTTPSPort)
	}
	addresses, err := l.addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	var failed []error
	for _, a := range addresses {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(a, port))
		if err == nil {
			return conn, nil
		}
		failed = append(failed, err)
	}
	return nil, errors.Join(failed...)
}

func (l *Look) addresses(ctx context.Context, host string) ([]string, error) {
	if _, err := netip.ParseAddr(host); err == nil {
		return []string{host}, nil
	}
	var list []string
	for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
		records, err := l.follow(ctx, host, kind)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			switch a := r.(type) {
			case *dns.A:
				list = append(list, a.A.String())
			case *dns.AAAA:
				list = append(list, a.AAAA.String())
			}
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s has no address", host)
	}
	return slices.Compact(list), nil
}

// CheckResolver checks the form of a resolver's address early, so that the mistake is not found at the first order.
func CheckResolver(address string) error {
	if address == "" {
		return nil
	}
	if _, err := netip.ParseAddrPort(address); err != nil {
		return fmt.Errorf("resolver %q is no address:port: %w", address, err)
	}
	return nil
}
