package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/certbridge/certbridged/test/peer"
)

// As many as may run at once do, those that wait come in their order, and one that takes long holds up nobody for more
// than a second.
func TestTurns(t *testing.T) { // invariant 6
	synctest.Test(t, func(t *testing.T) {
		turns := &turns{most: 2}
		start := time.Now()
		var mu sync.Mutex
		began := map[int]time.Duration{}
		took := func(i int) time.Duration {
			if i < 2 { // these hang
				return time.Hour
			}
			return 300 * time.Millisecond
		}
		for i := range 6 {
			go func() {
				giveBack, err := turns.take(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				began[i] = time.Since(start)
				mu.Unlock()
				time.Sleep(took(i))
				giveBack()
			}()
			synctest.Wait()
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("gone")
		time.AfterFunc(time.Millisecond, func() { cancel(gone) })
		if _, err := turns.take(ctx); !errors.Is(err, gone) {
			t.Errorf("waiting did not end: %v", err)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		turns.mu.Lock()
		defer turns.mu.Unlock()
		for i, want := range []time.Duration{0, 0, time.Second, time.Second, 1300 * time.Millisecond, 1300 * time.Millisecond} {
			if began[i] != want {
				t.Errorf("%d began after %s, want %s", i, began[i], want)
			}
		}
		if turns.running != 0 || len(turns.waiting) != 0 {
			t.Errorf("%d run and %d wait", turns.running, len(turns.waiting))
		}
	})
}

// A thousand at once start no thousand processes, and hooks run once for each certificate, with what is its own.
func TestManyHooksAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := &Runner{turns: turns{most: 3}}
	script := `mkdir "$0/$$" && set -- "$0"/* && echo "$# $CERTBRIDGED_CERTIFICATE"; sleep 0.02; rmdir "$0/$$"`
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			name := fmt.Sprintf("c%d", i)
			got := r.Reload(t.Context(), Plan{Certificate: name, Reload: []string{"sh", "-c", script, dir}})
			var n int
			var said string
			if _, err := fmt.Sscan(got.Output, &n, &said); err != nil || got.Err != nil || said != name || n > 3 {
				t.Errorf("%s: %q, %v, %v", name, got.Output, got.Err, err)
			}
		})
	}
	wg.Wait()
}

// server is a program whose runs are shared: it notes each run, and fails or hangs where a file says so.
func server(t *testing.T) (r *Runner, dir, program string) {
	t.Helper()
	dir = t.TempDir()
	program = filepath.Join(dir, "nginx")
	script := `#!/bin/sh
echo "run $CERTBRIDGED_CERTIFICATE" >> ` + dir + `/runs
echo reloading
while test -e ` + dir + `/hang; do sleep 0.02; done
test ! -e ` + dir + `/fail
`
	peer.WriteProgram(t, program, []byte(script))
	return &Runner{unaware: []string{program}}, dir, program
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func awaitRuns(t *testing.T, dir string, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if got := lines(t, filepath.Join(dir, "runs")); len(got) >= n && got[0] != "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d runs did not come", n)
		}
	}
}

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Those that wait for the same command share one run, which begins after all of them asked; each gets its outcome.
func TestAReloadIsShared(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]bool{"that succeeds": false, "that fails": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, dir, program := server(t)
			r.sharing.patience = time.Minute
			touch(t, filepath.Join(dir, "hang"))
			if fails {
				touch(t, filepath.Join(dir, "fail"))
			}
			var wg sync.WaitGroup
			reload := func(i int, argument string) {
				wg.Go(func() {
					plan := Plan{Certificate: fmt.Sprintf("c%d", i), Reload: []string{program, "-s", argument}, Env: map[string]string{"CERTBRIDGED_FILE_KEY": fmt.Sprint(i)}}
					got := r.Reload(t.Context(), plan)
					var failed *CommandError
					if errors.As(got.Err, &failed) != fails || got.Output != "reloading\n" || fails && (failed.ExitCode != 1 || got.ExitCode != 1) {
						t.Errorf("%d: %+v", i, got)
					}
				})
			}
			reload(0, "reload")
			awaitRuns(t, dir, 1) // it has begun: those that come now are not in it
			for i := range 20 {
				reload(i+1, "reload")
			}
			reload(21, "reopen")
			awaitRuns(t, dir, 2) // another command does not wait
			awaitWanted(t, r, 20)
			if err := os.Remove(filepath.Join(dir, "hang")); err != nil {
				t.Fatal(err)
			}
			wg.Wait()
			if got := lines(t, filepath.Join(dir, "runs")); len(got) != 3 || got[0] != "run " {
				t.Errorf("runs %q", got)
			}
		})
	}
}

// awaitWanted waits until a run that has not begun is wanted by so many.
func awaitWanted(t *testing.T, r *Runner, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		r.sharing.mu.Lock()
		for _, run := range r.sharing.waiting {
			if run.wanted == n {
				r.sharing.mu.Unlock()
				return
			}
		}
		r.sharing.mu.Unlock()
	}
	t.Fatalf("no run is wanted by %d", n)
}

// One that hangs is left behind by the next, and who gives up waiting takes nobody with him.
func TestASharedReloadThatHangsHoldsUpNobody(t *testing.T) { // invariant 6
	t.Parallel()
	r, dir, program := server(t)
	touch(t, filepath.Join(dir, "hang"))
	plan := Plan{Reload: []string{program}, Timeout: time.Minute}
	hung, stop := context.WithCancelCause(t.Context())
	ended := make(chan Result)
	go func() { ended <- r.Reload(hung, plan) }()
	awaitRuns(t, dir, 1)

	second := make(chan Result)
	impatient, leave := context.WithCancelCause(t.Context())
	go func() { second <- r.Reload(impatient, plan) }()
	awaitWanted(t, r, 1)
	third := make(chan Result)
	go func() { third <- r.Reload(t.Context(), plan) }()
	awaitWanted(t, r, 2)
	gone := errors.New("gone")
	leave(gone)
	if got := <-second; !errors.Is(got.Err, gone) {
		t.Errorf("%+v", got)
	}
	awaitRuns(t, dir, 2) // though the first still hangs
	if err := os.Rename(filepath.Join(dir, "hang"), filepath.Join(dir, "no")); err != nil {
		t.Fatal(err)
	}
	if got := <-third; got.Err != nil {
		t.Errorf("%+v", got)
	}
	stop(gone)
	<-ended
}

// When nobody wants it any more, the command is killed.
func TestASharedReloadEndsWithThoseWhoWantIt(t *testing.T) {
	t.Parallel()
	r, dir, program := server(t)
	touch(t, filepath.Join(dir, "hang"))
	ctx, stop := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	ended := make(chan Result)
	go func() { ended <- r.Reload(ctx, Plan{Reload: []string{program}, Timeout: time.Minute}) }()
	awaitRuns(t, dir, 1)
	stop(gone)
	if got := <-ended; !errors.Is(got.Err, gone) || !strings.Contains(got.Err.Error(), "killed") {
		t.Errorf("%v", got.Err)
	}
	got := r.Reload(t.Context(), Plan{Reload: []string{program}, Timeout: 100 * time.Millisecond})
	if !errors.Is(got.Err, ErrTimedOut) {
		t.Errorf("%v", got.Err)
	}
}

// Only what cannot tell certificates apart is shared.
func TestWhatIsShared(t *testing.T) {
	r, _, program := server(t)
	hook := filepath.Join(filepath.Dir(program), "hook")
	peer.WriteProgram(t, hook, []byte("#!/bin/sh\n"))
	keyOf := func(p Plan) string {
		key, _, _ := r.sharable(p, command{argv: p.Reload, dir: p.Dir, env: p.environment()})
		return key
	}
	base := Plan{Certificate: "a", Reload: []string{program, "x"}}
	if keyOf(base) == "" || keyOf(Plan{Certificate: "b", Domains: []string{"b"}, Reload: []string{program, "x"}}) != keyOf(base) {
		t.Error("two certificates do not share")
	}
	for name, other := range map[string]Plan{
		"arguments":   {Reload: []string{program, "x y"}},
		"folder":      {Reload: []string{program, "x"}, Dir: "/tmp"},
		"environment": {Reload: []string{program, "x"}, Env: map[string]string{"LANG": "de"}},
		"time":        {Reload: []string{program, "x"}, Timeout: time.Second},
		"a hook":      {Reload: []string{hook, "x"}},
		"a shell":     {Reload: []string{"sh", "-c", program}},
		"nothing":     {Reload: []string{""}},
	} {
		if keyOf(other) == keyOf(base) {
			t.Errorf("%s: shared", name)
		}
	}
}
