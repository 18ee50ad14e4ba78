package certstore

import (
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
