package certstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/certbridge/certbridged/internal/cert"
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
		steps  int  // are the least that it takes
	}{
		"install": {
			before: func(*testing.T, *Store, []File) {},
			run:    func(s *Store, files []File) error { return s.Install(ctx, newPair.generation("new", files...)) },
			after:  newPair,
			steps:  10,
		},
		"roll back": {
			before: func(t *testing.T, s *Store, files []File) { install(t, s, newPair.generation("new", files...)) },
			run:    func(s *Store, _ []File) error { return s.RollBack(ctx, "shop", "new") },
			after:  oldPair,
			steps:  10,
		},
		"commit": {
			before: func(t *testing.T, s *Store, files []File) { install(t, s, newPair.generation("new", files...)) },
			run:    func(s *Store, _ []File) error { return s.Commit(ctx, "shop", "new") },
			after:  newPair,
			steps:  1, // of the journal
		},
	}
	for name, op := range operations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// scenario crashes before step n, and its recovery before step m; it reports whether both happened.
			scenario := func(n, m int) (crashed, again bool) {
				root, journal := memoryDir(t), newMemory()
				files := separate(root)
				s := openStore(journal)
				install(t, s, oldPair.generation("old", files...))
				if err := s.Commit(ctx, "shop", "old"); err != nil {
					t.Fatal(err)
				}
				op.before(t, s, files)

				dying := openStore(journal)
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

				dyingAgain := openStore(journal)
				steps, last = crashAt(dyingAgain, m)
				_, _ = dyingAgain.Recover(ctx) // it dies, or not
				if again = *steps > m; again {
					when += fmt.Sprintf(" and in the recovery before step %d (%s)", m, *last)
				}

				reborn := openStore(journal)
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
			if n <= op.steps {
				t.Fatalf("only %d steps: the steps are not counted", n-1)
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
		root, journal := memoryDir(t), newMemory()
		files := append(separate(root), File{Form: Combined, Path: filepath.Join(root, "new.pem")})
		s := openStore(journal)
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
		keptIsSaved(t, s)
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

// TestJournalThatFailsAfterTheWrite has a journal that reports an error for a write that took place, as a disk may: the files
// are one whole set, and the next operation finds its way.
func TestJournalThatFailsAfterTheWrite(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	oldPair, newPair := newPair(t), newPair(t)
	operations := map[string]func(s *Store, files []File) error{
		"install": func(s *Store, files []File) error { return s.Install(ctx, newPair.generation("new", files...)) },
		"roll back": func(s *Store, files []File) error {
			return errors.Join(s.Install(ctx, newPair.generation("new", files...)), s.RollBack(ctx, "shop", "new"))
		},
		"commit": func(s *Store, files []File) error {
			return errors.Join(s.Install(ctx, newPair.generation("new", files...)), s.Commit(ctx, "shop", "new"))
		},
	}
	for name, run := range operations {
		for n, writes := 0, 1; n < writes; n++ {
			root, journal := memoryDir(t), newMemory()
			files := separate(root)
			s := openStore(journal)
			install(t, s, oldPair.generation("old", files...))
			writes = 0
			journal.answer = func() error {
				writes++
				if writes == n+1 {
					return unix.EIO
				}
				return nil
			}
			_ = run(s, files)
			journal.answer = nil
			keptIsSaved(t, s)
			when := fmt.Sprintf("%s, write %d", name, n)
			if _, err := s.Recover(ctx); err != nil {
				t.Fatalf("%s: %v", when, err)
			}
			whole(t, s, files, when, oldPair, newPair)
			noLeftovers(t, root)
			if err := s.Install(ctx, newPair.generation("next", files...)); err != nil {
				t.Fatalf("%s: the certificate is stuck: %v", when, err)
			}
			if err := s.Commit(ctx, "shop", "next"); err != nil {
				t.Fatalf("%s: %v", when, err)
			}
			holds(t, s, files, newPair)
			if left := len(journal.keys("")); left != 1 {
				t.Errorf("%s: %d records are left, want the history alone", when, left)
			}
		}
	}
}

// TestRollBackFailureAtEveryStep is the same for a roll-back: the new set stays whole or the old one is back.
func TestRollBackFailureAtEveryStep(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	oldPair, newPair := newPair(t), newPair(t)
	for n := 0; ; n++ {
		root, journal := memoryDir(t), newMemory()
		files := separate(root)
		s := openStore(journal)
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
		keptIsSaved(t, s)
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
			root, journal := memoryDir(t), newMemory()
			files := separate(root)
			s := openStore(journal)
			install(t, s, oldPair.generation("old", files...))
			dying := openStore(journal)
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
			reborn := openStore(journal)
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
				root, journal := filepath.Join(memoryDir(t), "tls"), newMemory()
				if err := os.Mkdir(root, 0o755); err != nil {
					t.Fatal(err)
				}
				files := separate(root)
				s := openStore(journal)
				install(t, s, oldPair.generation("old", files...))
				dying := openStore(journal)
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
				reborn := openStore(journal)
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
	root, journal := memoryDir(t), newMemory()
	s := openStore(journal)
	files := separate(root)
	old := newPair(t)
	install(t, s, old.generation("a", files...))
	install(t, s, newPair(t).generation("b", files...))
	key, err := cert.EncodeKey(old.key)
	if err != nil {
		t.Fatal(err)
	}
	has := func(prefix string) bool {
		return slices.ContainsFunc(journal.keys(prefix), func(k string) bool { return bytes.Contains(journal.records[k], key) })
	}
	if !has(copyPrefix) || has(historyPrefix) || has(busyPrefix) {
		t.Fatal("the old key was not saved, or elsewhere than among the copies")
	}
	if err := s.Commit(t.Context(), "shop", "b"); err != nil {
		t.Fatal(err)
	}
	if left := journal.keys(copyPrefix); len(left) != 0 {
		t.Fatalf("copies are left: %q", left)
	}
	for i := range 10 {
		id := fmt.Sprint(i)
		install(t, s, newPair(t).generation(id, files...))
		if err := s.Commit(t.Context(), "shop", id); err != nil {
			t.Fatal(err)
		}
	}
	h, err := s.history("shop")
	if err != nil || len(h.Generations) != keptGenerations || h.find("9") == nil {
		t.Errorf("%d generations are kept, want the last %d (%v)", len(h.Generations), keptGenerations, err)
	}
	if n := len(journal.keys("")); n != 1 {
		t.Errorf("%d records are left, want one", n)
	}
}
