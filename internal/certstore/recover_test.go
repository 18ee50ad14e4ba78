package certstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// interrupted is a switch of two files that ended when all was staged and nothing in its place.
type interrupted struct {
	root      string
	journal   *memory
	files     []File
	temps     []string // of the staged files
	old, next pair
}

// interrupt makes one. Where same is set, the key is kept: the second file's content stays as it is.
func interrupt(t *testing.T, same bool) interrupted {
	t.Helper()
	i := interrupted{root: memoryDir(t), journal: newMemory(), old: newPair(t), next: newPair(t)}
	i.files = separate(i.root)
	if same {
		i.next = i.old.reissued(t)
	}
	install(t, openStore(i.journal), i.old.generation("old", i.files...))
	dying := openStore(i.journal)
	dead := false
	dying.disk.fault = func(op, _ string) error {
		if dead = dead || op == "rename"; dead {
			return errCrash
		}
		return nil
	}
	if err := dying.Install(t.Context(), i.next.generation("next", i.files...)); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	h, err := dying.history("shop")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range h.find("next").Files {
		i.temps = append(i.temps, filepath.Join(e.Dir, e.Temp))
	}
	return i
}

// reissued is another certificate for the same key.
func (p pair) reissued(t *testing.T) pair {
	t.Helper()
	caKey := newKey(t)
	ca := *p.chain[1]
	ca.PublicKey = caKey.Public()
	leaf := *p.chain[0]
	return pair{p.key, append(p.chain[:0:0], sign(t, &leaf, &ca, p.key.Public(), caKey), p.chain[1])}
}

// fate is how a crash, or a power cut that loses what was not synced, can leave one file of a switch.
type fate struct {
	name string
	// placed: the new file is in its place. staged: it lies complete beside it. gone: its place is empty.
	placed, staged, gone bool
	do                   func(path, temp string) error
}

var fates = []fate{
	{name: "staged", staged: true, do: func(string, string) error { return nil }},
	{name: "staged, not all of it", do: func(_, temp string) error { return os.Truncate(temp, 10) }},
	{name: "not staged", do: func(_, temp string) error { return os.Remove(temp) }},
	{name: "in place", placed: true, do: func(path, temp string) error { return os.Rename(temp, path) }},
	{name: "in place and staged", placed: true, staged: true, do: func(path, temp string) error {
		return errors.Join(os.Remove(path), os.Link(temp, path))
	}},
	{name: "staged, and the old one gone", staged: true, gone: true, do: func(path, _ string) error { return os.Remove(path) }},
	{name: "lost, and the old one gone", gone: true, do: func(path, temp string) error {
		return errors.Join(os.Remove(path), os.Remove(temp))
	}},
}

// TestRecoveryFindsOneWholeSet has each of two files left in each way: whatever it is, the outcome is one whole set, the new
// one wherever all of it is there.
func TestRecoveryFindsOneWholeSet(t *testing.T) {
	t.Parallel()
	for _, same := range []bool{false, true} {
		for _, first := range fates {
			for _, second := range fates {
				i := interrupt(t, same)
				if err := errors.Join(first.do(i.files[0].Path, i.temps[0]), second.do(i.files[1].Path, i.temps[1])); err != nil {
					t.Fatal(err)
				}
				when := fmt.Sprintf("certificate %s; key %s; the same key: %t", first.name, second.name, same)
				reborn := openStore(i.journal)
				recoveries, err := reborn.Recover(t.Context())
				if err != nil || len(recoveries) != 1 || recoveries[0].Err != nil {
					t.Fatalf("%s: %v, %v", when, recoveries, err)
				}
				noLeftovers(t, i.root)
				forward := (first.placed || first.staged) && (second.placed || second.staged)
				if same && !second.staged { // what is in the key's place proves nothing
					forward = first.placed && !second.gone
				}
				want, outcome := i.old, Undone
				if forward {
					want, outcome = i.next, Finished
				}
				if recoveries[0].Outcome != outcome {
					t.Errorf("%s: %s, want %s", when, recoveries[0].Outcome, outcome)
				}
				holds(t, reborn, i.files, want)
				if again, err := reborn.Recover(t.Context()); err != nil || len(again) != 0 {
					t.Errorf("%s: a second recovery found %v, %v", when, again, err)
				}
				install(t, reborn, i.next.generation("next", i.files...))
				holds(t, reborn, i.files, i.next)
			}
		}
	}
}

// TestRecoveryLeavesTheWorkOfOthers has somebody install by hand what a crash kept the daemon from installing.
func TestRecoveryLeavesTheWorkOfOthers(t *testing.T) {
	t.Parallel()
	i, theirs := interrupt(t, false), newPair(t)
	install(t, newStore(t), theirs.generation("by hand", i.files...))
	reborn := openStore(i.journal)
	recoveries, err := reborn.Recover(t.Context())
	if err != nil || len(recoveries) != 1 || recoveries[0].Outcome != Undone {
		t.Errorf("%v, %v", recoveries, err)
	}
	holds(t, reborn, i.files, theirs)
	noLeftovers(t, i.root)
}

// TestRecoveryGivesAttributes ends an installation after a staged file had its content and before it had its rights: an
// empty file is complete from the beginning.
func TestRecoveryGivesAttributes(t *testing.T) {
	t.Parallel()
	root, journal := memoryDir(t), newMemory()
	p := newPair(t)
	p.chain = p.chain[:1]
	files := append(separate(root), File{Form: Chain, Path: filepath.Join(root, "chain.pem"), Mode: 0o640})
	dying, dead := openStore(journal), false
	dying.disk.fault = func(op, path string) error {
		if info, err := os.Stat(path); op == "attributes" && err == nil && len(filesIn(t, root)) == len(files) {
			dead = info.Size() == 0
		}
		if dead {
			return errCrash
		}
		return nil
	}
	if err := dying.Install(t.Context(), p.generation("1", files...)); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	reborn := openStore(journal)
	if recoveries, err := reborn.Recover(t.Context()); err != nil || len(recoveries) != 1 || recoveries[0].Outcome != Finished {
		t.Errorf("%v, %v", recoveries, err)
	}
	for i, want := range []fs.FileMode{0o644, 0o600, 0o640} {
		if got := modeOf(t, files[i].Path); got != want {
			t.Errorf("%s: mode %04o, want %04o", files[i].Path, got, want)
		}
	}
}

func filesIn(t *testing.T, dir string) []os.DirEntry {
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestRecoverLooksAtWhatIsUnderWay counts the records that a start reads.
func TestRecoverLooksAtWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	i := interrupt(t, false)
	for n := range 100 {
		i.journal.records[fmt.Sprint(historyPrefix, n)] = []byte("not to be read")
		i.journal.records[fmt.Sprint(copyPrefix, n, "/000001/0")] = []byte("not to be read")
	}
	counted := &counting{memory: i.journal}
	recoveries, err := Open(counted, nil).Recover(t.Context())
	if err != nil || len(recoveries) != 1 || recoveries[0].Outcome != Finished {
		t.Errorf("%v, %v", recoveries, err)
	}
	if counted.visits > 2 || counted.reads > 1 {
		t.Errorf("%d records were visited and %d read, for one certificate", counted.visits, counted.reads)
	}
}

// counting is a journal that counts what is read of it.
type counting struct {
	*memory
	visits, reads int
}

func (j *counting) Read(key string) ([]byte, error) {
	j.reads++
	return j.memory.Read(key)
}

func (j *counting) Each(visit func(key string, value []byte) error) error {
	return j.memory.Each(func(key string, value []byte) error {
		j.visits++
		return visit(key, value)
	})
}
