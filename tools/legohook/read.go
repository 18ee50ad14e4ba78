package main

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// tree holds files by their slash-separated path.
type tree map[string][]byte

// names returns the paths of the files of one folder that end in a suffix, sorted.
func (t tree) names(dir, suffix string) []string {
	var list []string
	for name := range t {
		if path.Dir(name) == dir && strings.HasSuffix(name, suffix) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// leftOut are the top folders of lego that no other program imports: its own command, generators and documents.
var leftOut = []string{"cmd", "docs", "e2e", "internal"}

// readModule reads the files of lego that a build needs: Go without tests, go.mod, and the licence, which goes with
// every copy.
func readModule(dir string) (tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	files := tree{}
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (slices.Contains(leftOut, name) || notBuilt(d.Name())):
			return fs.SkipDir
		case d.IsDir() || !wanted(name):
			return nil
		case !d.Type().IsRegular():
			return fmt.Errorf("%s is no regular file", name)
		}
		files[name], err = root.ReadFile(name)
		return err
	})
	return files, err
}

// notBuilt reports that the go command does not look into a folder of this name.
func notBuilt(name string) bool {
	return name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

func wanted(name string) bool {
	return name == "go.mod" || name == "LICENSE" ||
		strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go")
}

// checkComplete finds what the copy would need and does not have: packages that were left out, and embedded files.
func checkComplete(files tree) error {
	packages := map[string]bool{}
	for name := range files {
		packages[path.Dir(name)] = true
	}
	var faults []error
	for name, text := range files {
		if !strings.HasSuffix(name, ".go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("%s: import %s: %w", name, spec.Path.Value, err)
			}
			own, ok := strings.CutPrefix(imported, legoPath+"/")
			switch {
			case ok && !packages[own]:
				faults = append(faults, fmt.Errorf("lego's %s imports %s, which is not copied; see leftOut in tools/legohook/read.go", name, own))
			case imported == "embed":
				faults = append(faults, fmt.Errorf("lego's %s embeds files, which are not copied; teach wanted in tools/legohook/read.go", name))
			}
		}
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(faults...)
}
