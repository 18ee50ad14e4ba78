package dcv

import (
	"context"
	"errors"
	"fmt"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// ErrTurn is what Publish fails for when a profile publishes one challenge at a time and another one has its turn. It
// comes with the kind Unavailable, and words that name the other one.
var ErrTurn = errors.New("another challenge has its turn")

// turn is what a profile that publishes one challenge at a time publishes.
type turn struct {
	key  string // of the publication
	what string
}

// takeTurn gives a profile's turn to a publication, or fails because another one has it. first reports that it had not
// got it before. A profile that publishes side by side has turns for all.
func (s *Solver) takeTurn(ctx context.Context, profile string, pub publisher, key string, c pluginapi.Challenge) (first bool, err error) {
	p, ok := pub.(*plugin)
	if !ok {
		return false, nil
	}
	configured, err := p.Configured(ctx)
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	holder, held := s.turns[profile]
	switch {
	case held && holder.key == key:
		return false, nil
	case held && configured.Sequential:
		return false, &pluginapi.Error{Kind: pluginapi.Unavailable, Err: ErrTurn,
			Message: fmt.Sprintf("it publishes one challenge at a time, and %s has its turn", holder.what)}
	case held || !configured.Sequential:
		return false, nil
	default:
		s.turns[profile] = turn{key: key, what: fmt.Sprintf("%s for %s", describe(c), c.Identifier)}
		return true, nil
	}
}

// endTurn frees a profile for the next one, if a publication has its turn.
func (s *Solver) endTurn(profile, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.turns[profile].key == key {
		delete(s.turns, profile)
	}
}
