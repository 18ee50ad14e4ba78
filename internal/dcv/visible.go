package dcv

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const (
	defaultSelfCheck = 5 * time.Second
	fetchTimeout     = 3 * time.Second
	firstLook        = 100 * time.Millisecond
	longestLook      = time.Second
	// patience is how many looks at a publication may fail for what its public address answers. Then the CA is left to
	// judge: inside a network a name may lead to another server than outside, and a certificate must not expire for
	// that.
	patience = 3
)

// AwaitVisible returns when a published challenge can be seen, as far as that can be told from here.
//
// A file must be there through the responder's own listener. Through its public address it must be there unless nothing
// answers at that address, which is common behind address translation and proves nothing, and unless it was not there in
// several waits before: then it is left to the CA to look.
//
// A record must be there at every address of every name server of its zone (or at every resolver, or nowhere, as
// dns_propagation says) within the time its profile allows. That is left to the CA too after several waits, but only
// when those that miss it are servers that do not answer for the zone at all.
func (s *Solver) AwaitVisible(ctx context.Context, profile string, c pluginapi.Challenge) error {
	pub, err := s.profile(profile)
	if err != nil {
		return err
	}
	if c.DNS != nil {
		if err := s.awaitRecord(ctx, profile, pub, c); err != nil {
			return fmt.Errorf("dcv profile %q: %w", profile, err)
		}
		return nil
	}
	if c.HTTP == nil {
		return nil
	}
	unasked, err := s.awaitFile(ctx, pub, *c.HTTP)
	if unasked != nil && !errors.Is(unasked, ErrNotAsked) {
		s.log.LogAttrs(ctx, slog.LevelInfo, "challenge file not looked at through its public address",
			slog.String("host", c.HTTP.Host), slog.String("path", c.HTTP.Path), slog.Any("error", unasked))
	}
	var wrong *wrongAnswerError
	if err != nil && errors.As(err, &wrong) && wrong.public && s.lostPatience(profile, c) {
		s.log.LogAttrs(ctx, slog.LevelWarn, "challenge file not seen at its public address, going on",
			slog.String("profile", profile), slog.Any("error", err))
		return nil
	}
	if err != nil {
		return fmt.Errorf("dcv profile %q: %w", profile, err)
	}
	return nil
}

// ErrNotAsked is what LookAtFile fails with when self-checks are switched off.
var ErrNotAsked = errors.New("http_challenge_self_check is off")

// LookAtFile looks at a published file as AwaitVisible does, but is content with nothing less than the file: that nobody
// answers at its public address is an error too.
func (s *Solver) LookAtFile(ctx context.Context, profile string, c pluginapi.Challenge) error {
	pub, err := s.profile(profile)
	if err != nil {
		return err
	}
	unasked, err := s.awaitFile(ctx, pub, *c.HTTP)
	switch {
	case err != nil:
		return fmt.Errorf("dcv profile %q: %w", profile, err)
	case errors.Is(unasked, ErrNotAsked):
		return unasked
	case unasked != nil:
		return fmt.Errorf("nobody answers there from this machine: %w; where the address leads here only from outside, a CA may still see it", unasked)
	default:
		return nil
	}
}

// awaitFile waits for a file. unasked is why nobody could be asked at its public address.
func (s *Solver) awaitFile(ctx context.Context, pub publisher, f pluginapi.HTTPFile) (unasked, err error) {
	if r, ok := pub.(*responder); ok {
		if err := r.look(ctx, f); err != nil {
			return nil, s.invisible(ctx, err)
		}
	}
	if s.checker.limit < 0 {
		return ErrNotAsked, nil
	}
	err = s.checker.look(ctx, f)
	var wrong *wrongAnswerError
	switch {
	case err == nil:
		return nil, nil
	case ctx.Err() != nil || errors.As(err, &wrong):
		return nil, s.invisible(ctx, err)
	default:
		return err, nil
	}
}

func (s *Solver) invisible(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return pluginapi.Errorf(pluginapi.Unavailable, "the challenge cannot be seen: %w", err)
}

// checker looks at files as a CA would.
type checker struct {
	dial  dialFunc
	limit time.Duration
}

func newChecker(opts Options, dial dialFunc) checker {
	c := checker{dial: opts.Dial, limit: opts.SelfCheck}
	if c.dial == nil {
		c.dial = dial
	}
	if c.limit == 0 {
		c.limit = defaultSelfCheck
	}
	return c
}

// look fetches a file until it is right, nothing answers, or the time is up.
func (c checker) look(ctx context.Context, f pluginapi.HTTPFile) error {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	var last *wrongAnswerError
	for pause := firstLook; ; pause = min(2*pause, longestLook) {
		err := fetch(ctx, c.dial, f)
		var wrong *wrongAnswerError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &wrong):
			last = wrong
			last.public = true
		case last != nil:
			return last // this attempt was cut short, or says less
		default:
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return last
		}
	}
}

// dialTimeout is for each of a host's addresses: one that hangs must not hide the others.
const dialTimeout = time.Second

// dialWeb opens a connection to a host, whose name it looks up through the configured resolvers where there are some: what
// /etc/hosts or a resolver of the local network say, a CA does not see.
func (s *Solver) dialWeb(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := new(net.Dialer)
	host, port, err := net.SplitHostPort(address)
	_, notIP := netip.ParseAddr(host)
	if err != nil || notIP == nil || len(s.dns.Load().resolvers) == 0 {
		return dialer.DialContext(ctx, network, address)
	}
	found, err := s.addresses(ctx, host)
	if len(found) == 0 {
		return nil, cmp.Or(err, fmt.Errorf("the resolvers know no address of %s", host))
	}
	dialer.Timeout = dialTimeout
	var errs []error
	for _, a := range found {
		conn, err := dialer.DialContext(ctx, network, net.JoinHostPort(a.String(), port))
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// wrongAnswerError is an answer that is not the challenge.
type wrongAnswerError struct {
	url, answer string
	public      bool // it came from the public address
}

func (e *wrongAnswerError) Error() string {
	return fmt.Sprintf("%s answers %s, and the CA will see the same: look which server that is, whether its document "+
		"root is the profile's webroot, or whether it passes %s on to http_challenge_listen", e.url, e.answer, wellKnown)
}

// fetch gets a file from the public address and compares it. Like a CA it follows redirects and trusts every certificate
// on the way: the one that is there may be the expired one.
func fetch(ctx context.Context, dial dialFunc, f pluginapi.HTTPFile) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	client := &http.Client{
		Transport: &http.Transport{
			// Our context, not the transport's, which lets a dial go on in case another request could use it.
			DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
				return dial(ctx, network, address)
			},
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: 64 << 10,
			TLSClientConfig:        &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
		},
	}
	req, err := fileRequest(ctx, f)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	return compare(resp, f)
}

func fileRequest(ctx context.Context, f pluginapi.HTTPFile) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+urlHost(f.Host)+f.Path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", userAgent)
	return req, nil
}

// compare reads an answer to its end and says whether it is the file.
func compare(resp *http.Response, f pluginapi.HTTPFile) error {
	defer resp.Body.Close()
	at := resp.Request.URL.String() // after redirects
	if resp.StatusCode != http.StatusOK {
		return &wrongAnswerError{url: at, answer: resp.Status}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(body)) != strings.TrimSpace(f.Body) {
		return &wrongAnswerError{url: at, answer: "something else"}
	}
	return nil
}
