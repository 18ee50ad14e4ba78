package certstore

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestUnchanged is about what a sweep over many files must not miss.
func TestUnchanged(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(t *testing.T, files []File)
		fresh  bool // the files were written a moment ago
		gone   bool // one file is not there from the beginning
		want   bool
	}{
		"nothing":                {change: func(*testing.T, []File) {}, want: true},
		"a file still not there": {gone: true, change: func(*testing.T, []File) {}, want: true},
		"a file that is fresh":   {fresh: true, change: func(*testing.T, []File) {}},
		"a file that appears": {gone: true, change: func(t *testing.T, files []File) {
			writeFile(t, files[0].Path, []byte("x"), 0o600)
		}},
		"a file written anew": {change: func(t *testing.T, files []File) { writeFile(t, files[1].Path, []byte("x"), 0o600) }},
		"another file in its place": {change: func(t *testing.T, files []File) {
			text, err := os.ReadFile(files[0].Path)
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, files[0].Path+".new", text, 0o600)
			rename(t, files[0].Path+".new", files[0].Path)
			age(t, files)
		}},
		"a file that is gone": {change: func(t *testing.T, files []File) {
			if err := os.Remove(files[1].Path); err != nil {
				t.Fatal(err)
			}
		}},
		"other rights": {change: func(t *testing.T, files []File) {
			if err := os.Chmod(files[1].Path, 0o640); err != nil {
				t.Fatal(err)
			}
		}},
		"files that changed places": {change: func(t *testing.T, files []File) {
			rename(t, files[0].Path, files[0].Path+".x")
			rename(t, files[1].Path, files[0].Path)
			rename(t, files[0].Path+".x", files[1].Path)
		}},
		"a link in the place of a file": {change: func(t *testing.T, files []File) {
			rename(t, files[0].Path, files[0].Path+".x")
			symlink(t, files[0].Path+".x", files[0].Path)
		}},
		"another folder": {change: func(t *testing.T, files []File) {
			dir := filepath.Dir(files[0].Path)
			rename(t, dir, dir+".x")
			mkdir(t, dir)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "tls")
			mkdir(t, dir)
			s, files := newStore(t), separate(dir)
			install(t, s, newPair(t).generation("1", files...))
			if tt.gone {
				if err := os.Remove(files[0].Path); err != nil {
					t.Fatal(err)
				}
			}
			if !tt.fresh {
				age(t, slices.DeleteFunc(slices.Clone(files), func(f File) bool { return tt.gone && f.Path == files[0].Path }))
			}
			view, err := s.Look(files, nil)
			if err != nil {
				t.Fatal(err)
			}
			tt.change(t, files)
			paths := make([]string, len(files))
			for i, f := range files {
				paths[i] = f.Path
			}
			if got := s.Unchanged(paths, view); got != tt.want {
				t.Errorf("unchanged: %t, want %t", got, tt.want)
			}
			if s.Unchanged(paths, nil) {
				t.Error("what was never looked at passes for unchanged")
			}
			if again, err := s.Look(files, view); err != nil || tt.want && again != view {
				t.Errorf("it is read again, %v", err)
			}
		})
	}
}
