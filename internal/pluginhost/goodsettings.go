package pluginhost

import (
	"crypto/sha256"
	"encoding/json"
	"sync"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// goodSettings remembers order settings that a process found nothing to say about: thousands of certificates share a few, and the
// contract lets the answer depend on the settings alone. It may be used concurrently; its zero value is ready.
type goodSettings struct {
	mu   sync.Mutex
	sums map[[sha256.Size]byte]struct{}
}

// maxGoodSettings bounds what is remembered; what is forgotten is asked once more.
const maxGoodSettings = 1024

// has reports whether the settings were good, and returns what stands for them in add; nil for settings that cannot be told
// from others.
func (g *goodSettings) has(settings []pluginapi.Settings) (sum *[sha256.Size]byte, good bool) {
	type order struct {
		Values  map[string]any
		Secrets map[string]string
	}
	orders := make([]order, 0, len(settings))
	for _, s := range settings {
		o := order{Values: s.Values, Secrets: make(map[string]string, len(s.Secrets))}
		for path, secret := range s.Secrets {
			o.Secrets[path] = secret.Reveal()
		}
		orders = append(orders, o)
	}
	text, err := json.Marshal(orders) // sorts the keys of maps
	if err != nil {
		return nil, false
	}
	this := sha256.Sum256(text)
	g.mu.Lock()
	defer g.mu.Unlock()
	_, good = g.sums[this]
	return &this, good
}

func (g *goodSettings) add(sum *[sha256.Size]byte) {
	if sum == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sums == nil || len(g.sums) >= maxGoodSettings {
		g.sums = map[[sha256.Size]byte]struct{}{}
	}
	g.sums[*sum] = struct{}{}
}
