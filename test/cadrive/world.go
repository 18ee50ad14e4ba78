package cadrive

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/certbridge/certbridged/internal/sandbox"
	"github.com/certbridge/certbridged/internal/sandbox/sandboxtest"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// World is where challenges are published: a name server for all names, and a web server for all hosts. Every name has
// the address 127.0.0.1. It ends with the test.
type World struct {
	world *sandboxtest.World
	https bool

	mu        sync.Mutex
	refused   map[pluginapi.PublishAbility]bool
	published map[pluginapi.PublishAbility]int
}

// NewWorld starts one.
func NewWorld(t testing.TB) *World {
	t.Helper()
	return &World{
		world: sandboxtest.NewWorld(t), refused: map[pluginapi.PublishAbility]bool{}, published: map[pluginapi.PublishAbility]int{},
	}
}

// WithHTTPS serves the files over HTTPS as well, with a certificate that nobody trusts. It is called before Look.
func (w *World) WithHTTPS() *World {
	w.https = true
	return w
}

// Look looks at the world as a CA does.
func (w *World) Look() *sandbox.Look {
	look := w.world.Look()
	if !w.https {
		look.HTTPSPort = -1
	}
	return look
}

// Resolver is the name server's address, host:port over UDP.
func (w *World) Resolver() string { return w.world.Look().Resolver }

// Refuse makes the world like a DCV profile that cannot publish some challenges.
func (w *World) Refuse(kinds ...pluginapi.PublishAbility) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range kinds {
		w.refused[k] = true
	}
}

// Published is how many challenges of a kind were published.
func (w *World) Published(kind pluginapi.PublishAbility) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.published[kind]
}

// abilityFor is what it takes to publish a challenge; zero for one that only a person can answer.
func abilityFor(c pluginapi.Challenge) pluginapi.PublishAbility {
	switch {
	case c.HTTP != nil:
		return pluginapi.PublishFile
	case c.DNS != nil && c.DNS.Type == pluginapi.CNAME:
		return pluginapi.PublishCNAME
	case c.DNS != nil && c.DNS.Type == pluginapi.TXT:
		return pluginapi.PublishTXT
	default:
		return 0
	}
}

// Choose takes the first challenge that can be published.
func (w *World) Choose(a pluginapi.Authorization) (pluginapi.Challenge, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range a.Challenges {
		if kind := abilityFor(c); kind != 0 && !w.refused[kind] {
			return c, true
		}
	}
	return pluginapi.Challenge{}, false
}

// errNotPublishable is for a challenge that only a person can answer.
var errNotPublishable = errors.New("the challenge is no record and no file")

// Publish puts a challenge up and returns what takes it down again. It fits plugintest.Options.Publish.
func (w *World) Publish(_ context.Context, c pluginapi.Challenge) (withdraw func(), err error) {
	kind := abilityFor(c)
	if kind == 0 {
		return nil, errNotPublishable
	}
	w.mu.Lock()
	w.published[kind]++
	w.mu.Unlock()
	if kind == pluginapi.PublishFile {
		at := strings.ToLower(c.HTTP.Host) + c.HTTP.Path
		w.world.File("http", at, c.HTTP.Body)
		w.world.File("https", at, c.HTTP.Body)
		return func() {
			w.world.RemoveFile("http", at, c.HTTP.Body)
			w.world.RemoveFile("https", at, c.HTTP.Body)
		}, nil
	}
	value := strconv.Quote(c.DNS.Value)
	if kind == pluginapi.PublishCNAME {
		value = dns.Fqdn(c.DNS.Value)
	}
	record := fmt.Sprintf("%s %s %s", dns.Fqdn(c.DNS.Name), c.DNS.Type, value)
	w.world.Withdraw(c.DNS.Name, "CNAME") // a name with a CNAME record has no other (RFC 1034 section 3.6.2)
	w.world.Publish(record)
	return func() { w.world.Remove(record) }, nil
}
