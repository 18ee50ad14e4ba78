// Package dcv shows control over domain names: it finds a DCV profile that can publish what a CA asks for, publishes it,
// looks whether it can be seen, and withdraws it.
//
// Two ways to publish are built in: a shared HTTP responder, and files in the document root of a web server. All others
// are plugins.
package dcv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// BuiltIn is the name of the profile that is always there: the shared HTTP responder.
const BuiltIn = "http"

// Plugin is a DCV profile that a plugin serves. Its methods mean what those of pluginapi.DCV mean; Configured returns
// what Configure returned, from memory where it can.
type Plugin interface {
	Configured(ctx context.Context) (pluginapi.DCVConfigured, error)
	Publish(ctx context.Context, challenge pluginapi.Challenge) (receipt []byte, err error)
	Withdraw(ctx context.Context, challenge pluginapi.Challenge, receipt []byte) error
}

// Profile is one way to publish challenges. Exactly one of Webroot, Plugin and Responder is set.
type Profile struct {
	Name string
	// Webroot is the document root of a web server, an absolute path.
	Webroot string
	Plugin  Plugin
	// Responder is the shared HTTP responder.
	Responder bool
}

// Options say what a Solver works with.
type Options struct {
	Profiles []Profile
	DNS      DNS
	// ListenHTTP is the address of the shared responder, "host:port", listened on only while something is published
	// there. Empty without a Listener means that there is no responder.
	ListenHTTP string
	// Listener, when it is set, is used in place of ListenHTTP and kept open all the time: a socket that systemd handed
	// over. The Solver closes it.
	Listener net.Listener
	// Logger is for what an administrator may want to know; nil means none.
	Logger *slog.Logger
	// SelfCheck is how long AwaitVisible may look at a file through its public address. Zero means five seconds, below
	// zero it does not look there.
	SelfCheck time.Duration
	// Dial opens the connections of AwaitVisible to public addresses of web servers; nil means a net.Dialer, and names
	// looked up through the resolvers of DNS where there are some.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// DialDNS opens the connections to resolvers and name servers, "udp" or "tcp" to "ip:port"; nil means a net.Dialer.
	DialDNS func(ctx context.Context, network, address string) (net.Conn, error)
}

// Solver publishes challenges. It may be used concurrently; what hangs in one profile delays no other.
type Solver struct {
	log       *slog.Logger
	responder *responder // nil when there is none
	checker   checker

	client     client
	system     systemResolvers
	dns        atomic.Pointer[dnsSettings]
	resolverAt atomic.Int32 // which of the resolvers answered last
	zones      memo[string] // by name
	servers    memo[[]nameServer]

	mu        sync.Mutex
	profiles  map[string]publisher
	webroots  map[string]*webroot // by path, so that profiles with one document root share a lock
	published map[string]*publication
	shown     map[string]*showing
	turns     map[string]turn // by profile, or by profile and record name or path of a file
}

// publisher is one way to publish.
type publisher interface {
	// can returns nil or why the challenge cannot be published.
	can(ctx context.Context, c pluginapi.Challenge) error
	// types are the types of challenge it can publish.
	types(ctx context.Context) ([]pluginapi.ChallengeType, error)
	publish(ctx context.Context, c pluginapi.Challenge) (receipt []byte, err error)
	withdraw(ctx context.Context, c pluginapi.Challenge, receipt []byte) error
}

// New makes a Solver. It must be closed.
func New(opts Options) (*Solver, error) {
	log := opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	dialDNS := opts.DialDNS
	if dialDNS == nil {
		dialDNS = new(net.Dialer).DialContext
	}
	s := &Solver{
		log:       log,
		client:    client{dial: dialDNS},
		system:    systemResolvers{path: resolvConf},
		zones:     memo[string]{keep: authorityKept},
		servers:   memo[[]nameServer]{keep: authorityKept},
		webroots:  map[string]*webroot{},
		published: map[string]*publication{},
		shown:     map[string]*showing{},
		turns:     map[string]turn{},
	}
	s.checker = newChecker(opts, s.dialWeb)
	if opts.ListenHTTP != "" || opts.Listener != nil {
		s.responder = newResponder(opts.ListenHTTP, opts.Listener, log)
	}
	if err := s.Reconfigure(opts.Profiles, opts.DNS); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Reconfigure replaces the profiles and the ways of the DNS, or changes nothing and returns everything that is wrong with
// the new ones. What is published stays, and can be withdrawn also when its profile is gone or has changed.
func (s *Solver) Reconfigure(profiles []Profile, d DNS) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := map[string]publisher{}
	var errs []error
	settings, err := d.check()
	if err != nil {
		errs = append(errs, err)
	}
	for _, p := range profiles {
		if _, twice := next[p.Name]; twice {
			errs = append(errs, fmt.Errorf("dcv profile %q: defined twice", p.Name))
			continue
		}
		pub, err := s.publisher(p)
		if err != nil {
			errs = append(errs, fmt.Errorf("dcv profile %q: %w", p.Name, err))
		}
		next[p.Name] = pub
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if _, ok := next[BuiltIn]; !ok {
		next[BuiltIn] = s.shared()
	}
	s.profiles = next
	s.dns.Store(&settings)
	s.zones.clear() // other resolvers may know others
	s.servers.clear()
	return nil
}

// publisher makes what a profile publishes with. The lock is held.
func (s *Solver) publisher(p Profile) (publisher, error) {
	ways := 0
	for _, is := range []bool{p.Webroot != "", p.Plugin != nil, p.Responder} {
		if is {
			ways++
		}
	}
	switch {
	case p.Name == "":
		return nil, errors.New("has no name")
	case ways != 1:
		return nil, errors.New("wants exactly one of a webroot, a plugin and the shared responder")
	case p.Name == BuiltIn && !p.Responder:
		return nil, errors.New("this name is that of the shared responder, which is built in: use another one")
	case p.Responder:
		return s.shared(), nil
	case p.Plugin != nil:
		return &plugin{p.Plugin}, nil
	}
	if !filepath.IsAbs(p.Webroot) {
		return nil, fmt.Errorf("webroot %q is not an absolute path", p.Webroot)
	}
	return s.webroot(p.Webroot), nil
}

// webroot returns the one publisher for a document root. The lock is held.
func (s *Solver) webroot(path string) *webroot {
	path = filepath.Clean(path)
	if s.webroots[path] == nil {
		s.webroots[path] = newWebroot(path, s.log)
	}
	return s.webroots[path]
}

func (s *Solver) shared() publisher {
	if s.responder == nil {
		return absent{}
	}
	return s.responder
}

// Close stops the responder. What is published in other ways stays, for it outlives the daemon anyway: the journal says
// what is to be withdrawn.
func (s *Solver) Close() error {
	s.client.close()
	if s.responder == nil {
		return nil
	}
	return s.responder.close()
}

// profile returns what publishes for a profile.
func (s *Solver) profile(name string) (publisher, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pub, ok := s.profiles[name]
	if !ok {
		return nil, pluginapi.Errorf(pluginapi.InvalidRequest, "there is no dcv profile %q", name)
	}
	return pub, nil
}

// InProcess reports whether a profile publishes through the shared responder: what is up there is up as long as this process
// runs, however it ends, and nothing about it waits for anybody.
func (s *Solver) InProcess(profile string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.profiles[profile].(*responder)
	return ok
}

// absent stands for the shared responder where there is none.
type absent struct{}

func (absent) can(context.Context, pluginapi.Challenge) error {
	return errors.New("the shared responder is switched off: http_challenge_listen is empty")
}

func (absent) types(context.Context) ([]pluginapi.ChallengeType, error) { return nil, nil }

func (a absent) publish(ctx context.Context, c pluginapi.Challenge) ([]byte, error) {
	return nil, pluginapi.Errorf(pluginapi.InvalidRequest, "%w", a.can(ctx, c))
}

// withdraw succeeds: nothing of an earlier responder outlived its process.
func (absent) withdraw(context.Context, pluginapi.Challenge, []byte) error { return nil }
