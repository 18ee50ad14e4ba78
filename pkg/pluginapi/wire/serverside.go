package wire

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// serving is what the two services share: whether Configure has succeeded, and which texts no error may show.
type serving struct {
	configuring sync.Mutex
	configured  atomic.Bool
	secrets     atomic.Pointer[[]string]
}

// minHiddenLength keeps a secret of one or two characters from turning every message into placeholders.
const minHiddenLength = 4

// keep remembers the secrets of the account, so that no error message can carry one out.
func (s *serving) keep(secrets map[string]pluginapi.Secret) {
	var texts []string
	for _, secret := range secrets {
		if len(secret.Reveal()) >= minHiddenLength {
			texts = append(texts, secret.Reveal())
		}
	}
	slices.SortFunc(texts, func(a, b string) int { return len(b) - len(a) }) // a secret may hold a shorter one
	s.secrets.Store(&texts)
}

// hider returns a function that replaces every known secret in a text, and those of one order beside them.
func (s *serving) hider(more map[string]pluginapi.Secret) func(string) string {
	return func(text string) string {
		if texts := s.secrets.Load(); texts != nil {
			for _, secret := range *texts {
				text = strings.ReplaceAll(text, secret, pluginapi.Secret{}.String())
			}
		}
		for _, path := range slices.Sorted(maps.Keys(more)) {
			if secret := more[path].Reveal(); len(secret) >= minHiddenLength {
				text = strings.ReplaceAll(text, secret, pluginapi.Secret{}.String())
			}
		}
		return text
	}
}

// configure lets Configure through one at a time and until it has succeeded once: an implementation need not guard its
// settings against change.
func (s *serving) configure(secrets map[string]pluginapi.Secret, do func() ([]pluginapi.Finding, error)) error {
	if !s.configuring.TryLock() {
		return pluginapi.Errorf(pluginapi.Conflict, "another Configure is under way")
	}
	defer s.configuring.Unlock()
	if s.configured.Load() {
		return pluginapi.Errorf(pluginapi.Conflict, "this process is configured already; start another one for other settings")
	}
	s.keep(secrets)
	findings, err := do()
	if err != nil {
		return err
	}
	if !pluginapi.HasFault(findings) {
		s.configured.Store(true)
	}
	return nil
}

func (s *serving) ready() error {
	if !s.configured.Load() {
		return pluginapi.Errorf(pluginapi.InvalidRequest, "the plugin is not configured; call Configure first")
	}
	return nil
}

// answer runs one method of an implementation: it refuses before Configure, turns a panic into an error, and every
// error into a status.
func answer[T any](ctx context.Context, s *serving, m method, secrets map[string]pluginapi.Secret, do func() (T, error)) (reply T, err error) {
	var none T
	hide := s.hider(secrets)
	defer func() {
		if r := recover(); r != nil {
			reply, err = none, statusOf(panicked(ctx, m, r), m, hide)
		}
	}()
	if reply, err = do(); err != nil {
		return none, statusOf(err, m, hide)
	}
	return reply, nil
}

// panicked logs where it happened and tells the caller that it did. The value is shown only when it is the runtime's
// own: any other may hold whatever the code was working on.
func panicked(ctx context.Context, m method, value any) error {
	what := "panic"
	var fault runtime.Error
	if err, ok := value.(error); ok && errors.As(err, &fault) {
		what = fault.Error()
	}
	slog.ErrorContext(ctx, "a method of the plugin panicked", "method", m.name, "panic", what, "stack", string(debug.Stack()))
	kind := pluginapi.Unavailable
	if m.spends {
		kind = pluginapi.UnknownOutcome
	}
	return pluginapi.Errorf(kind, "%s failed inside the plugin, which is a fault of the plugin; its log says where", m.name)
}

// unsupported is the answer for a part of the contract that the implementation lacks.
func unsupported(what string) error {
	return status.Error(codes.Unimplemented, "the plugin does not offer "+what)
}
