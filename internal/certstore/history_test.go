package certstore

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

func FuzzHistory(f *testing.F) {
	f.Add([]byte(`{"version":1,"certificate":"a","generations":[{"id":"b","sequence":1,"phase":"begun","files":[{"form":"key","path":"/a","dir":"/","base":"a","temp":".certbridged-1.tmp","before":{"sum":"00"}}]}]}`))
	f.Add([]byte(`{"version":1,"generations":[null]}`))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := decodeHistory(data)
		if err != nil {
			return
		}
		for _, m := range h.Generations {
			for _, e := range m.Files {
				if strings.Contains(e.Base+e.Temp, "/") || !filepath.IsAbs(e.Dir) {
					t.Errorf("a path that leads elsewhere: %+v", e)
				}
			}
		}
		again, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeHistory(again); err != nil {
			t.Errorf("what was written cannot be read: %v", err)
		}
	})
}

func TestPrune(t *testing.T) {
	// The generations by the first letters of their phases: a switched one may have to be rolled back and stays.
	phases := map[rune]phase{'b': begun, 's': switched, 'c': committed, 'u': rolledBack}
	for before, after := range map[string]string{
		"": "", "ccc": "ccc", "cccc": "ccc", "cuccs": "ccs", "sccc": "sccc", "scccc": "sccc", "cscccb": "sccb", "ssssc": "ssssc",
	} {
		h := &history{}
		for i, letter := range before {
			h.Generations = append(h.Generations, &manifest{Sequence: i + 1, Phase: phases[letter]})
		}
		h.prune()
		got := ""
		for _, m := range h.Generations {
			for letter, p := range phases {
				if p == m.Phase {
					got += string(letter)
				}
			}
		}
		if got != after {
			t.Errorf("%q is pruned to %q, want %q", before, got, after)
		}
	}
}

// keptIsSaved checks that what a store has of histories in memory is what the journal has.
func keptIsSaved(t *testing.T, s *Store) {
	t.Helper()
	for certificate, kept := range s.open {
		saved, err := s.journal.Read(historyPrefix + certificate)
		if err != nil {
			t.Fatal(err)
		}
		if data, err := json.Marshal(kept); err != nil || !bytes.Equal(data, saved) {
			t.Fatalf("kept is %s, saved %s, %v", data, saved, err)
		}
	}
}

// A history is kept from the installation to its proof, or to the way back, and not for ever.
func TestHistoryIsKeptUntilItIsProven(t *testing.T) {
	s, p := newStore(t), newPair(t)
	for _, id := range []string{"1", "2"} {
		install(t, s, p.generation(id, separate(t.TempDir())...))
		if keptIsSaved(t, s); s.open["shop"] == nil {
			t.Error("nothing is kept of an installation")
		}
	}
	if err := s.RollBack(t.Context(), "shop", "2"); err != nil {
		t.Fatal(err)
	}
	if keptIsSaved(t, s); s.open["shop"] != nil {
		t.Error("a history is kept though its last generation was taken back")
	}
	install(t, s, p.generation("3", separate(t.TempDir())...))
	if err := s.Commit(t.Context(), "shop", "3"); err != nil || len(s.open) != 0 {
		t.Errorf("%v, %d are kept though all is proven", err, len(s.open))
	}
	for i := range 2 * mostOpen {
		s.keep(&history{Certificate: string(rune(i)), Generations: []*manifest{{Phase: switched}}})
	}
	if n := len(s.open); n > mostOpen {
		t.Errorf("%d are kept", n)
	}
}
