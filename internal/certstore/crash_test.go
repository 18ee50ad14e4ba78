package certstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var errCrash = errors.New("crash")

// crashAt makes a store die before its n-th step (from 0): that step and all later ones fail, as in a process that is
// gone. It returns how many steps were begun and what the n-th was.
func crashAt(s *Store, n int) (steps *int, last *string) {
	steps, last = new(int), new(string)
	s.disk.fault = func(op, path string) error {
		*steps++
		if *steps > n {
			if *steps == n+1 {
				*last = op + " " + filepath.Base(path)
			}
			return errCrash
		}
		return nil
	}
	return steps, last
}

// TestCrashAtEveryStep kills the store before each of its steps, of an installation and of a roll-back, starts it anew,
// and looks at the files: they are one whole set, and nothing else is left.
func TestCrashAtEveryStep(t *testing.T) {
	ctx := context.Background()
	oldPair, newPair := newPair(t), newPair(t)
	operations := map[string]struct {
		before func(t *testing.T, s *Store, files []File)
		run    func(s *Store, files []File) error
		after  pair // what is there when it was not interrupted
	}{
		"install": {
			before: func(*testing.T, *Store, []File) {},
			run:    func(s *Store, files []File) error { return s.Install(ctx, newPair.generation("new", files...)) },
			after:  newPair,
		},
		"roll back": {
			before: func(t *testing.T, s *Store, files []File) { install(t, s, newPair.generation("new", files...)) },
			run:    func(s *Store, _ []File) error { return s.RollBack(ctx, "shop", "new") },
			after:  oldPair,
		},
		"commit": {
			before: func(t *testing.T, s *Store, files []File) { install(t, s, newPair.generation("new", files...)) },
			run:    func(s *Store, _ []File) error { return s.Commit(ctx, "shop", "new") },
			after:  newPair,
		},
	}
	for name, op := range operations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// scenario crashes before step n, and its recovery before step m; it reports whether both happened.
			scenario := func(n, m int) (crashed, again bool) {
				root, state := memoryDir(t), filepath.Join(memoryDir(t), "generations")
				files := separate(root)
				s := openStore(t, state)
				install(t, s, oldPair.generation("old", files...))
				if err := s.Commit(ctx, "shop", "old"); err != nil {
					t.Fatal(err)
				}
				op.before(t, s, files)

				dying := openStore(t, state)
				steps, last := crashAt(dying, n)
				err := op.run(dying, files)
				if *steps <= n {
					if err != nil {
						t.Fatalf("not interrupted and yet: %v", err)
					}
					holds(t, s, files, op.after)
					noLeftovers(t, root)
					return false, false
				}
				when := fmt.Sprintf("crash before step %d (%s)", n, *last)

				dyingAgain := openStore(t, state)
				steps, last = crashAt(dyingAgain, m)
				_, _ = dyingAgain.Recover(ctx) // it dies, or not
				if again = *steps > m; again {
					when += fmt.Sprintf(" and in the recovery before step %d (%s)", m, *last)
				}

				reborn := openStore(t, state)
				recoveries, err := reborn.Recover(ctx)
				if err != nil {
					t.Fatalf("%s: %v", when, err)
				}
				for _, r := range recoveries {
					if r.Err != nil {
						t.Fatalf("%s: %s: %v", when, r.Outcome, r.Err)
					}
				}
				noLeftovers(t, root)
				whole(t, reborn, files, when, oldPair, newPair)

				// Doing it again ends as if nothing had happened.
				if err := op.run(reborn, files); err != nil && !errors.Is(err, ErrUnknownGeneration) {
					t.Fatalf("again after a %s: %v", when, err)
				}
				holds(t, reborn, files, op.after)
				noLeftovers(t, root)
				if again, err := reborn.Recover(ctx); err != nil || len(again) != 0 {
					t.Fatalf("%s: a second recovery found %v, %v", when, again, err)
				}
				return true, again
			}
			n, total := 0, 0
			for crashed := true; crashed; n++ {
				again := true
				for m := 0; again; m++ {
					crashed, again = scenario(n, m)
					total++
					if testing.Short() {
						break // one crash in the recovery is enough for a quick look
					}
				}
			}
			if n < 10 {
				t.Fatalf("only %d steps: the steps are not counted", n)
			}
			t.Logf("%d steps, %d scenarios", n-1, total)
		})
	}
}

// whole checks that files hold one of some pairs.
func whole(t *testing.T, s *Store, files []File, when string, allowed ...pair) {
	t.Helper()
	snap, err := s.Read(files)
	if err != nil {
		t.Fatal(err)
	}
	if err := snap.Err(); err != nil || !snap.KeyMatches {
		t.Fatalf("%s: not a whole set: %v", when, err)
	}
	for _, p := range allowed {
		if snap.Leaf().Equal(p.chain[0]) {
			return
		}
	}
	t.Fatalf("%s: an unknown certificate", when)
}

// TestFailureAtEveryStep makes each step fail once, as for a full disk, while the process lives on: an installation
// that reports an error leaves the old set, byte for byte, and nothing else; one that does not has done its work.
func TestFailureAtEveryStep(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	oldPair, newPair := newPair(t), newPair(t)
	for n := 0; ; n++ {
		root, state := memoryDir(t), filepath.Join(memoryDir(t), "generations")
		files := append(separate(root), File{Form: Combined, Path: filepath.Join(root, "new.pem")})
		s := openStore(t, state)
		install(t, s, oldPair.generation("old", files[:2]...))
		if err := s.Commit(ctx, "shop", "old"); err != nil {
			t.Fatal(err)
		}
		before := tree(t, root)
		steps, last := 0, ""
		s.disk.fault = func(op, path string) error {
			steps++
			if steps == n+1 {
				last = op + " " + filepath.Base(path)
				return unix.ENOSPC
			}
			return nil
		}
		err := s.Install(ctx, newPair.generation("new", files...))
		if steps <= n {
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d steps", n)
			return
		}
		s.disk.fault = nil
		switch {
		case err == nil:
			holds(t, s, files, newPair)
		case tree(t, root) != before:
			t.Fatalf("step %d (%s) failed, and the files are not as before:\n%s\nbut\n%s", n, last, before, tree(t, root))
		case !errors.Is(err, unix.ENOSPC):
			t.Fatalf("step %d (%s): the error hides its cause: %v", n, last, err)
		}
		noLeftovers(t, root)
		if err := s.Install(ctx, newPair.generation("new", files...)); err != nil {
			t.Fatalf("again after step %d (%s) failed: %v", n, last, err)
		}
		holds(t, s, files, newPair)
	}
}

// TestRollBackFailureAtEveryStep is the same for a roll-back: the new set stays whole or the old one is back.
func TestRollBackFailureAtEveryStep(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	oldPair, newPair := newPair(t), newPair(t)
	for n := 0; ; n++ {
		root, state := memoryDir(t), filepath.Join(memoryDir(t), "generations")
		files := separate(root)
		s := openStore(t, state)
		install(t, s, oldPair.generation("old", files...))
		install(t, s, newPair.generation("new", files...))
		steps := 0
		s.disk.fault = func(string, string) error {
			steps++
			if steps == n+1 {
				return unix.ENOSPC
			}
			return nil
		}
		err := s.RollBack(ctx, "shop", "new")
		s.disk.fault = nil
		if steps <= n {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		if err := s.RollBack(ctx, "shop", "new"); err != nil {
			t.Fatalf("again after step %d failed: %v", n, err)
		}
		holds(t, s, files, oldPair)
		noLeftovers(t, root)
	}
}

// failRename makes every renaming onto a file fail, as for one that is a mount point, beside what fault does.
func failRename(base string, fault func(op, path string) error) func(op, path string) error {
	return func(op, path string) error {
		if fault != nil {
			if err := fault(op, path); err != nil {
				return err
			}
		}
		if op == "rename" && filepath.Base(path) == base {
			return unix.EBUSY
		}
		return nil
	}
}

// TestCrashWhileUndoing has a switch that fails half-way and a process that dies before each step of putting the old
// files back. The recovery may go either way, but all the way.
func TestCrashWhileUndoing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	oldPair, newPair := newPair(t), newPair(t)
	for _, stillFailing := range []bool{false, true} {
		for n := 0; ; n++ {
			root, state := memoryDir(t), filepath.Join(memoryDir(t), "generations")
			files := separate(root)
			s := openStore(t, state)
			install(t, s, oldPair.generation("old", files...))
			dying := openStore(t, state)
			steps, last := crashAt(dying, n)
			dying.disk.fault = failRename("shop.key", dying.disk.fault)
			err := dying.Install(ctx, newPair.generation("new", files...))
			if err == nil {
				t.Fatal("no renaming failed")
			}
			if *steps <= n {
				if !errors.Is(err, unix.EBUSY) {
					t.Fatal(err)
				}
				holds(t, s, files, oldPair)
				noLeftovers(t, root)
				break
			}
			when := fmt.Sprintf("crash before step %d (%s), file still busy: %t", n, *last, stillFailing)
			reborn := openStore(t, state)
			if stillFailing {
				reborn.disk.fault = failRename("shop.key", nil)
			}
			recoveries, err := reborn.Recover(ctx)
			if err != nil {
				t.Fatalf("%s: %v", when, err)
			}
			for _, r := range recoveries {
				if r.Err != nil {
					t.Fatalf("%s: %s: %v", when, r.Outcome, r.Err)
				}
			}
			noLeftovers(t, root)
			whole(t, reborn, files, when, oldPair, newPair)
		}
	}
}

// TestInterruptedAndChanged has an interrupted generation whose files, or their whole folder, somebody else changed before
// the next start: nothing of theirs is lost, and the certificate is not stuck.
func TestInterruptedAndChanged(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	oldPair, newPair := newPair(t), newPair(t)
	mine := []byte("an administrator's own work")
	for _, what := range []string{"install", "roll back"} {
		for _, change := range []string{"file", "folder"} {
			for n := 0; ; n++ {
				root, state := filepath.Join(memoryDir(t), "tls"), filepath.Join(memoryDir(t), "generations")
				if err := os.Mkdir(root, 0o755); err != nil {
					t.Fatal(err)
				}
				files := separate(root)
				s := openStore(t, state)
				install(t, s, oldPair.generation("old", files...))
				dying := openStore(t, state)
				if what == "roll back" {
					install(t, s, newPair.generation("new", files...))
				}
				steps, last := crashAt(dying, n)
				if what == "install" {
					_ = dying.Install(ctx, newPair.generation("new", files...))
				} else {
					_ = dying.RollBack(ctx, "shop", "new")
				}
				if *steps <= n {
					break
				}
				when := fmt.Sprintf("%s, crash before step %d (%s), %s changed", what, n, *last, change)
				if change == "file" {
					writeFile(t, files[0].Path, mine, 0o644)
				} else if err := os.RemoveAll(root); err != nil {
					t.Fatal(err)
				}
				reborn := openStore(t, state)
				recoveries, err := reborn.Recover(ctx)
				if err != nil {
					t.Fatalf("%s: %v", when, err)
				}
				for _, r := range recoveries {
					if r.Err != nil {
						t.Fatalf("%s: %s: %v", when, r.Outcome, r.Err)
					}
				}
				if change == "folder" {
					if err := os.Mkdir(root, 0o755); err != nil {
						t.Fatal(err)
					}
				}
				noLeftovers(t, root)
				if err := reborn.Install(ctx, newPair.generation("next", files...)); err != nil {
					t.Fatalf("%s: the certificate is stuck: %v", when, err)
				}
				holds(t, reborn, files, newPair)
			}
		}
	}
}

// TestNoPrivateCopiesAfterCommit looks for old private keys where none may be.
func TestNoPrivateCopiesAfterCommit(t *testing.T) {
	root, state := memoryDir(t), filepath.Join(memoryDir(t), "generations")
	s := openStore(t, state)
	files := separate(root)
	install(t, s, newPair(t).generation("a", files...))
	install(t, s, newPair(t).generation("b", files...))
	if all := tree(t, state); !strings.Contains(all, "old-1 -rw-------") {
		t.Fatalf("the old key was not saved, or not privately:\n%s", all)
	}
	if err := s.Commit(t.Context(), "shop", "b"); err != nil {
		t.Fatal(err)
	}
	if all := tree(t, state); strings.Contains(all, "old-") {
		t.Fatalf("copies are left:\n%s", all)
	}
	for i := range 10 {
		id := fmt.Sprint(i)
		install(t, s, newPair(t).generation(id, files...))
		if err := s.Commit(t.Context(), "shop", id); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(tree(t, state), manifestName); n != keptManifests {
		t.Errorf("%d manifests are kept, want %d", n, keptManifests)
	}
}
