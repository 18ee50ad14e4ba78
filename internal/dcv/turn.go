package dcv

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// ErrTurn is what Publish and Withdraw fail for when a profile publishes one challenge at a time, or one file at a place, and another
// one has its turn. It comes with the kind Unavailable, and words that name the other one.
var ErrTurn = errors.New("another challenge has its turn")

// turn is what is published where only one challenge may be published at a time.
type turn struct {
	key  string // of the publication
	what string
}

// takeTurn gives the turn to a publication, or fails because another one has it. first reports that it had not got it
// before. Where a profile publishes side by side there are turns for all.
func (s *Solver) takeTurn(ctx context.Context, profile string, pub publisher, key string, c pluginapi.Challenge) (first bool, err error) {
	p, ok := pub.(*plugin)
	if !ok {
		return false, nil
	}
	configured, err := p.Configured(ctx)
	if err != nil {
		return false, err
	}
	var place, rule string
	switch {
	case configured.Sequential:
		place, rule = profile, "it publishes one challenge at a time"
	case configured.SequentialPerName && c.DNS != nil:
		place, rule = profile+"\x00"+strings.ToLower(c.DNS.Name), "it publishes one record of a name at a time"
	case configured.FilesIgnoreHost && c.HTTP != nil:
		place, rule = profile+"\x00"+c.HTTP.Path, fmt.Sprintf("one file can be at %s at a time, whatever the host", c.HTTP.Path)
	default:
		return false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	holder, held := s.turns[place]
	switch {
	case held && holder.key == key:
		return false, nil
	case held:
		return false, &pluginapi.Error{Kind: pluginapi.Unavailable, Err: ErrTurn, Message: fmt.Sprintf("%s, and %s has its turn", rule, holder.what)}
	default:
		s.turns[place] = turn{key: key, what: fmt.Sprintf("%s for %s", describe(c), c.Identifier)}
		return true, nil
	}
}

// withdrawInTurn withdraws while nothing else is published where there are turns. What has no turn takes it meanwhile.
func (s *Solver) withdrawInTurn(ctx context.Context, profile string, pub publisher, key string, c pluginapi.Challenge, receipt []byte) error {
	first, err := s.takeTurn(ctx, profile, pub, key, c)
	if err != nil {
		return err
	}
	err = pub.withdraw(ctx, c, receipt)
	if err == nil || first {
		s.endTurn(key)
	}
	return err
}

// endTurn lets the next one come, if a publication has its turn.
func (s *Solver) endTurn(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for place, holder := range s.turns {
		if holder.key == key {
			delete(s.turns, place)
		}
	}
}
