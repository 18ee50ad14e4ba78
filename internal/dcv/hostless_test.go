package dcv

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// store keeps files by their path alone, as a cache or a bucket does.
type store struct {
	perHost bool

	mu    sync.Mutex
	files map[string]string
	calls []string
}

func newStore() *store { return &store{files: map[string]string{}} }

func (s *store) Configured(context.Context) (pluginapi.DCVConfigured, error) {
	return pluginapi.DCVConfigured{Abilities: []pluginapi.PublishAbility{pluginapi.PublishFile}, FilesIgnoreHost: !s.perHost}, nil
}

func (s *store) Publish(_ context.Context, c pluginapi.Challenge) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[c.HTTP.Path] = c.HTTP.Body
	s.calls = append(s.calls, "publish "+c.HTTP.Host)
	return []byte("receipt of " + c.HTTP.Host), nil
}

func (s *store) Withdraw(_ context.Context, c pluginapi.Challenge, receipt []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, c.HTTP.Path)
	s.calls = append(s.calls, "withdraw "+c.HTTP.Host+" "+string(receipt))
	return nil
}

func (s *store) profile() []Profile { return []Profile{{Name: "store", Plugin: s}} }

const fileauth = "/.well-known/pki-validation/fileauth.txt"

func wantFiles(t *testing.T, s *store, when string, want map[string]string) {
	t.Helper()
	if !maps.Equal(s.files, want) {
		t.Errorf("%s: %v, want %v", when, s.files, want)
	}
}

func TestAFileForAllHostsStaysForTheLast(t *testing.T) {
	st := newStore()
	s := newSolver(t, Options{Profiles: st.profile()})
	a, b := httpChallenge("a.example.com", fileauth, "value"), httpChallenge("b.example.com", fileauth, "value")
	a.ID, b.ID = "same id in two orders", "same id in two orders"
	receiptA, receiptB := mustPublish(t, s, "store", a), mustPublish(t, s, "store", b)
	up := map[string]string{fileauth: "value"}
	mustWithdraw(t, s, "store", a, receiptA)
	mustWithdraw(t, s, "store", a, receiptA)
	wantFiles(t, st, "while b needs it", up)
	mustWithdraw(t, s, "store", b, receiptB)
	wantFiles(t, st, "withdrawn", map[string]string{})
	if want := []string{"publish a.example.com", "publish b.example.com", "withdraw b.example.com receipt of b.example.com"}; !slices.Equal(st.calls, want) {
		t.Errorf("%q, want %q", st.calls, want)
	}
	if len(s.shown) != 0 || len(s.published) != 0 || len(s.turns) != 0 {
		t.Errorf("remembered: %v, %v, %v", s.shown, s.published, s.turns)
	}
}

func TestFilesForAllHostsTakeTurns(t *testing.T) {
	st := newStore()
	s := newSolver(t, Options{Profiles: st.profile()})
	a, b := httpChallenge("a.example.com", fileauth, "one"), httpChallenge("b.example.com", fileauth, "two")
	elsewhere := httpChallenge("b.example.com", token, "two")
	mustPublish(t, s, "store", a)
	mustPublish(t, s, "store", elsewhere)
	_, err := s.Publish(t.Context(), "store", b, nil)
	wantError(t, err, pluginapi.Unavailable, "one file can be at "+fileauth, "http://a.example.com"+fileauth, "has its turn")
	if !errors.Is(err, ErrTurn) {
		t.Errorf("%v is not ErrTurn", err)
	}
	wantError(t, s.Withdraw(t.Context(), "store", b, nil), pluginapi.Unavailable, "has its turn")
	wantFiles(t, st, "a has its turn", map[string]string{fileauth: "one", token: "two"})
	mustWithdraw(t, s, "store", a, nil)
	mustPublish(t, s, "store", b)
	wantFiles(t, st, "b has its turn", map[string]string{fileauth: "two", token: "two"})
}

func TestAFileForAllHostsAfterARestart(t *testing.T) {
	a, b := httpChallenge("a.example.com", fileauth, "value"), httpChallenge("b.example.com", fileauth, "value")
	up := map[string]string{fileauth: "value"}
	again := func(t *testing.T, s *Solver, c pluginapi.Challenge, receipt []byte) []byte {
		t.Helper()
		receipt, err := s.Publish(t.Context(), "store", c, receipt)
		if err != nil {
			t.Fatal(err)
		}
		return receipt
	}
	restart := func(t *testing.T) (st *store, s *Solver, receiptA, receiptB []byte) {
		st = newStore()
		s = newSolver(t, Options{Profiles: st.profile()})
		receiptA, receiptB = mustPublish(t, s, "store", a), mustPublish(t, s, "store", b)
		return st, newSolver(t, Options{Profiles: st.profile()}), receiptA, receiptB
	}
	t.Run("both are known when one is withdrawn", func(t *testing.T) {
		st, s, receiptA, receiptB := restart(t)
		receiptA, receiptB = again(t, s, a, receiptA), again(t, s, b, receiptB)
		mustWithdraw(t, s, "store", a, receiptA)
		wantFiles(t, st, "while b needs it", up)
		mustWithdraw(t, s, "store", b, receiptB)
		wantFiles(t, st, "withdrawn", map[string]string{})
	})
	t.Run("one alone is known", func(t *testing.T) {
		st, s, receiptA, receiptB := restart(t)
		receiptB = again(t, s, b, receiptB)
		mustWithdraw(t, s, "store", a, receiptA) // nobody has taken it over
		wantFiles(t, st, "while b needs it", up)
		mustWithdraw(t, s, "store", b, receiptB)
		wantFiles(t, st, "withdrawn", map[string]string{})
	})
	t.Run("one is withdrawn before the other is known", func(t *testing.T) {
		st, s, receiptA, receiptB := restart(t)
		mustWithdraw(t, s, "store", a, receiptA)
		receiptB = again(t, s, b, receiptB)
		wantFiles(t, st, "published for b again", up)
		mustWithdraw(t, s, "store", b, receiptB)
		wantFiles(t, st, "withdrawn", map[string]string{})
	})
}

// A profile may come to mean something else by a reload.
func TestAProfileThatIgnoresHostsNoMore(t *testing.T) {
	st := newStore()
	s := newSolver(t, Options{Profiles: st.profile()})
	a := httpChallenge("a.example.com", fileauth, "value")
	receipt := mustPublish(t, s, "store", a)
	other := newStore()
	other.perHost = true
	if err := s.Reconfigure(other.profile(), noDNS); err != nil {
		t.Fatal(err)
	}
	receipt, err := s.Publish(t.Context(), "store", a, receipt)
	if err != nil {
		t.Fatal(err)
	}
	mustWithdraw(t, s, "store", a, receipt)
	wantFiles(t, other, "withdrawn", map[string]string{})
	if len(s.shown) != 0 || len(s.published) != 0 || len(s.turns) != 0 {
		t.Errorf("remembered: %v, %v, %v", s.shown, s.published, s.turns)
	}
	if err := s.Reconfigure(nil, noDNS); err != nil { // the profile is gone
		t.Fatal(err)
	}
	wantError(t, s.Withdraw(t.Context(), "store", a, nil), pluginapi.InvalidRequest, "by hand")
}
