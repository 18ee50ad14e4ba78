package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const legoModule = "github.com/go-acme/lego/v4"

// plumbing are lego's packages below its DNS providers that send and log requests: no record is made in them.
var plumbing = []string{"internal/clientdebug", "internal/errutils", "internal/ptr", "internal/useragent"}

// lego is the source of lego's DNS providers.
type lego struct {
	version   string
	root      string // the folder of all providers
	providers []*source
}

// source is the source of one provider: its own package, then those below lego's DNS providers that it imports.
type source struct {
	name    string // as in the table
	aliases []string
	folder  string // below root
	pkgs    []*goPackage
}

// goPackage is one parsed package, without its tests.
type goPackage struct {
	folder string // below the folder of all providers
	files  map[string]*ast.File
}

// readLego parses the providers once for all tests.
var readLego = sync.OnceValues(func() (*lego, error) {
	list := exec.Command("go", "list", "-m", "-json", legoModule)
	list.Env = append(os.Environ(), "GOWORK=off") // the module as it came, and not our copy of it
	out, err := list.Output()
	if err != nil {
		return nil, err
	}
	var module struct{ Version, Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return nil, err
	}
	l := &lego{version: module.Version, root: filepath.Join(module.Dir, "providers", "dns")}
	table, err := parser.ParseFile(token.NewFileSet(), filepath.Join(l.root, "zz_gen_dns_providers.go"), nil, 0)
	if err != nil {
		return nil, err
	}
	parsed := map[string]*goPackage{}
	for _, entry := range switchCases(table) {
		p := &source{name: entry.names[0], aliases: entry.names[1:], folder: importsOf(table)[entry.pkg]}
		if err := p.load(l.root, p.folder, parsed); err != nil {
			return nil, err
		}
		l.providers = append(l.providers, p)
	}
	return l, nil
})

// legoSource is lego as the module has it; a machine without Go or without the module in its cache skips the test.
func legoSource(t *testing.T) *lego {
	t.Helper()
	l, err := readLego()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("read the source of lego: %v", err)
		}
		t.Skipf("needs Go and the source of lego: %v", err)
	}
	return l
}

type switchCase struct {
	names []string
	pkg   string
}

// switchCases are the cases of lego's generated switch over the names of the providers.
func switchCases(file *ast.File) []switchCase {
	var cases []switchCase
	ast.Inspect(file, func(n ast.Node) bool {
		clause, ok := n.(*ast.CaseClause)
		if !ok || len(clause.List) == 0 {
			return true
		}
		var c switchCase
		for _, name := range clause.List {
			c.names = append(c.names, stringOf(name))
		}
		ast.Inspect(clause.Body[0], func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				c.pkg = identName(sel.X)
			}
			return true
		})
		cases = append(cases, c)
		return false
	})
	return cases
}

// load adds the package of a folder and those below lego's providers that it imports.
func (p *source) load(root, folder string, parsed map[string]*goPackage) error {
	if slices.ContainsFunc(p.pkgs, func(pkg *goPackage) bool { return pkg.folder == folder }) {
		return nil
	}
	pkg := parsed[folder]
	if pkg == nil {
		names, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
		if err != nil {
			return err
		}
		pkg = &goPackage{folder: folder, files: map[string]*ast.File{}}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			pkg.files[name] = file
		}
		parsed[folder] = pkg
	}
	p.pkgs = append(p.pkgs, pkg)
	for _, file := range pkg.files {
		for _, below := range importsOf(file) {
			if below == "" || slices.Contains(plumbing, below) {
				continue
			}
			if err := p.load(root, below, parsed); err != nil {
				return err
			}
		}
	}
	return nil
}

// digest changes with every change of the provider's source.
func (p *source) digest(root string) (string, error) {
	var names []string
	for _, pkg := range p.pkgs {
		for name := range pkg.files {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	h := sha256.New()
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return "", err
		}
		h.Write([]byte(rel + "\x00" + strconv.Itoa(len(text)) + "\x00"))
		h.Write(text)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// importsOf are the imports of a file by the name they have in it: the folder of a package below lego's DNS
// providers, or "" for any other package.
func importsOf(file *ast.File) map[string]string {
	all := map[string]string{}
	for _, spec := range file.Imports {
		target := stringOf(spec.Path)
		name := path.Base(target)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		folder, ok := strings.CutPrefix(target, legoModule+"/providers/dns/")
		if !ok {
			folder = ""
		}
		all[name] = folder
	}
	return all
}

// importName is the name that a file gives to a package; "" when it does not import it.
func importName(file *ast.File, target string) string {
	for _, spec := range file.Imports {
		if stringOf(spec.Path) == target {
			if spec.Name != nil {
				return spec.Name.Name
			}
			return path.Base(target)
		}
	}
	return ""
}

// stringOf is the value of a string literal, "" for anything else.
func stringOf(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	s, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return s
}

func identName(e ast.Expr) string {
	if id, ok := e.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}
