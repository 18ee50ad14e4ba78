package deploy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// unaware are programs that do the same for every certificate: what they are told in their environment reaches nobody.
// Runs of them with the same arguments can be shared. Anything else may be a hook that does its work for the certificate
// it is told of.
func unaware() []string {
	var list []string
	for _, dir := range []string{"/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"} { // not /usr/local: there are people's own
		list = append(list, dir+"nginx", dir+"systemctl")
	}
	return list
}

// sharing lets those that want the same command at the same moment have one run of it. A run that has begun is joined by
// nobody: it may have read the files before they were replaced. The zero value is ready for use.
type sharing struct {
	mu      sync.Mutex
	waiting map[string]*sharedRun // by what is run: it has not begun
	turns   map[string]*turns     // by what is run: one at once
	// patience is that of the turns.
	patience time.Duration
}

type sharedRun struct {
	cancel context.CancelCauseFunc
	wanted int           // by so many; guarded by sharing's lock
	done   chan struct{} // closed when what follows is known

	out      output
	exitCode int
	err      error
}

// shareable runs a command in its turn and calls begin right before.
type shareable func(ctx context.Context, begin func(), out *output) (exitCode int, err error)

// join has a command run once for all who ask for it before it begins. When the context ends of all who asked, so does
// the run's.
func (s *sharing) join(ctx context.Context, key string, do shareable, out *output) (exitCode int, err error) {
	s.mu.Lock()
	r := s.waiting[key]
	if r == nil {
		if s.waiting == nil {
			s.waiting, s.turns = map[string]*sharedRun{}, map[string]*turns{}
		}
		if s.turns[key] == nil {
			s.turns[key] = &turns{most: 1, patience: s.patience}
		}
		shared, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
		r = &sharedRun{cancel: cancel, done: make(chan struct{})}
		s.waiting[key] = r
		go s.run(shared, r, key, s.turns[key], do)
	}
	r.wanted++
	s.mu.Unlock()
	select {
	case <-r.done:
	case <-ctx.Done():
		if !s.leave(key, r, context.Cause(ctx)) {
			return -1, context.Cause(ctx)
		}
		<-r.done // killed, for nobody wants it any more
	}
	_, _ = out.Write([]byte(r.out.String())) // never fails
	return r.exitCode, r.err
}

func (s *sharing) run(ctx context.Context, r *sharedRun, key string, own *turns, do shareable) {
	defer close(r.done)
	defer r.cancel(nil)
	begin := sync.OnceFunc(func() { s.begin(key, r) })
	defer begin()
	giveBack, err := own.take(ctx)
	if err != nil {
		r.exitCode, r.err = -1, err
		return
	}
	defer giveBack()
	r.exitCode, r.err = do(ctx, begin, &r.out)
}

// begin keeps others from joining from now on.
func (s *sharing) begin(key string, r *sharedRun) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[key] == r {
		delete(s.waiting, key)
	}
}

// leave says that one fewer wants a run, and reports whether it is ended for that.
func (s *sharing) leave(key string, r *sharedRun, cause error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.wanted--; r.wanted > 0 {
		return false
	}
	if s.waiting[key] == r {
		delete(s.waiting, key)
	}
	r.cancel(cause)
	return true
}

// sharable returns what tells a run from others, and the command without a certificate of its own; false for one that
// may depend on the certificate.
func (r *Runner) sharable(plan Plan, c command) (key string, _ command, ok bool) {
	known := r.unaware
	if known == nil {
		known = unaware()
	}
	path, err := lookUp(c.argv[0], cmp.Or(c.dir, "/"), c.env["PATH"])
	if err != nil || !slices.Contains(known, path) {
		return "", c, false
	}
	env := map[string]string{}
	var words []string
	for name, value := range c.env {
		if !strings.HasPrefix(name, "CERTBRIDGED_") {
			env[name] = value
			words = append(words, name+"="+value)
		}
	}
	c.env = env
	slices.Sort(words)
	return fmt.Sprintf("%q %q %q %s", c.argv, c.dir, words, plan.Timeout), c, true
}
