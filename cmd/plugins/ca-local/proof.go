package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const (
	filePrefix   = "/.well-known/pki-validation/"
	recordPrefix = "_certbridge-challenge."
	lookTimeout  = 5 * time.Second // for one name
	maxFile      = 4 << 10
)

// authorizations are what must be shown: one challenge for each name, known by the name.
func (r *record) authorizations() []pluginapi.Authorization {
	var out []pluginapi.Authorization
	for _, name := range slices.Sorted(maps.Keys(r.Tokens)) {
		a := pluginapi.Authorization{Identifier: name, Valid: r.Valid[name]}
		if !a.Valid {
			a.Challenges = []pluginapi.Challenge{r.challenge(name)}
		}
		out = append(out, a)
	}
	return out
}

func (r *record) challenge(name string) pluginapi.Challenge {
	c := pluginapi.Challenge{ID: name, Identifier: name}
	token := r.Tokens[name]
	if r.Proof == challengeDNS {
		c.DNS = &pluginapi.DNSRecord{Name: recordPrefix + name, Type: pluginapi.TXT, Value: token}
	} else {
		c.HTTP = &pluginapi.HTTPFile{Host: name, Path: filePrefix + token[:16] + ".txt", Body: token}
	}
	return c
}

// look checks every name that was answered, now or before, and is not valid yet. It returns the names that are valid
// now and a sentence about the first that is not.
func (l *localCA) look(ctx context.Context, r *record, answered []string) (valid []string, trouble string) {
	for _, name := range slices.Sorted(maps.Keys(r.Tokens)) {
		if r.Valid[name] || (!r.Answered[name] && !slices.Contains(answered, name)) {
			continue
		}
		err := l.lookAt(ctx, r.challenge(name))
		if err == nil {
			valid = append(valid, name)
		} else if trouble == "" {
			trouble = fmt.Sprintf("%s: %v", name, err)
		}
	}
	return valid, trouble
}

func (l *localCA) lookAt(ctx context.Context, c pluginapi.Challenge) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if c.DNS != nil {
		return l.lookAtRecord(ctx, *c.DNS)
	}
	return l.lookAtFile(ctx, *c.HTTP)
}

func (l *localCA) lookAtRecord(ctx context.Context, want pluginapi.DNSRecord) error {
	resolver := net.DefaultResolver
	if server := l.account.dnsServer; server != "" {
		resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server)
		}}
	}
	values, err := resolver.LookupTXT(ctx, want.Name+".")
	if err != nil {
		return fmt.Errorf("ask for TXT %s: %w", want.Name, err)
	}
	if !slices.Contains(values, want.Value) {
		return fmt.Errorf("TXT %s does not hold the value asked for", want.Name)
	}
	return nil
}

func (l *localCA) lookAtFile(ctx context.Context, want pluginapi.HTTPFile) error {
	port := strconv.Itoa(l.account.httpPort)
	transport := &http.Transport{
		DisableKeepAlives: true, Proxy: nil,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if l.account.resolveTo != "" {
				address = net.JoinHostPort(l.account.resolveTo, port)
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	address := "http://" + net.JoinHostPort(want.Host, port) + want.Path
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("ask for %s: %w", address, err)
	}
	response, err := client.Do(request)
	if err != nil {
		return err // net/http names the address
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", address, response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxFile))
	if err != nil {
		return fmt.Errorf("read %s: %w", address, err)
	}
	if strings.TrimSpace(string(body)) != want.Body {
		return fmt.Errorf("%s does not hold the text asked for", address)
	}
	return nil
}
