package restca

import (
	"context"
	"slices"
	"sync"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Configured holds what Configure made, for the calls that come after it. The zero value is a plugin before Configure.
type Configured[S any] struct {
	mu sync.RWMutex
	up *S
}

// Set puts a session in place and returns the one before, or nil: its connections are to be dropped.
func (c *Configured[S]) Set(up *S) (before *S) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before, c.up = c.up, up
	return before
}

// Get returns the session, or before Configure an error for the caller.
func (c *Configured[S]) Get() (*S, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.up == nil {
		return nil, pluginapi.Errorf(pluginapi.InvalidRequest, "the account is not configured: call Configure first, with settings that have no fault")
	}
	return c.up, nil
}

// Gate lets one caller at a time work on what has a name: two calls at once must not both find nothing and both buy.
// The zero value is open.
type Gate struct {
	mu   sync.Mutex
	busy map[string]chan struct{} // closed when its holder is done
}

// Enter waits for its turn, or for the context's end. The caller must call leave.
func (g *Gate) Enter(ctx context.Context, name string) (leave func(), err error) {
	for {
		g.mu.Lock()
		before, taken := g.busy[name]
		if !taken {
			mine := make(chan struct{})
			if g.busy == nil {
				g.busy = map[string]chan struct{}{}
			}
			g.busy[name] = mine
			g.mu.Unlock()
			return func() {
				g.mu.Lock()
				delete(g.busy, name)
				g.mu.Unlock()
				close(mine)
			}, nil
		}
		g.mu.Unlock()
		select {
		case <-before:
		case <-ctx.Done():
			return nil, pluginapi.Errorf(pluginapi.Unavailable, "the order is being placed by another call: %w", ctx.Err())
		}
	}
}

// Unpublishable returns the names whose DCV profiles are known to publish no challenge of a type. Of a name without any types
// nothing is known.
func Unpublishable(names []pluginapi.Identifier, kind pluginapi.ChallengeType) []string {
	var out []string
	for _, id := range names {
		if len(id.ChallengeTypes) > 0 && !slices.Contains(id.ChallengeTypes, kind) {
			out = append(out, id.Value)
		}
	}
	return out
}
