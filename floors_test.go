package certbridged_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/certbridge/certbridged"

// floors says which of our packages each of our packages may import; imports go downward only. A package that is not
// here has no floor yet: put it where it belongs. docs/architecture.md has the picture.
var floors = map[string][]string{
	// What is known by itself.
	"pkg/pluginapi":               {},
	"internal/cert":               {},
	"internal/packed":             {},
	"internal/state":              {}, // named byte records: who writes them knows what they are
	"proto/certbridge/plugin/v1":  {},
	"proto/certbridge/control/v1": {},

	// The plugin contract for plugin authors.
	"pkg/pluginapi/handover":                 {"pkg/pluginapi"},
	"pkg/pluginapi/restca":                   {"pkg/pluginapi"},
	"pkg/pluginapi/restca/fields":            {"pkg/pluginapi"},
	"pkg/pluginapi/restca/fields/fieldstest": {"pkg/pluginapi", "pkg/pluginapi/restca/fields"},
	"pkg/pluginapi/wire":                     {"pkg/pluginapi", "proto/certbridge/plugin/v1"},
	"pkg/pluginapi/plugintest":               {"pkg/pluginapi", "pkg/pluginapi/wire", "proto/certbridge/plugin/v1"},

	// Adapters: each speaks to one thing outside, and none knows another.
	"internal/config":     {"pkg/pluginapi", "internal/cert", "internal/packed"},
	"internal/pluginhost": {"pkg/pluginapi", "pkg/pluginapi/wire", "internal/cert"},
	"internal/dcv":        {"pkg/pluginapi", "internal/cert"},
	"internal/certstore":  {"pkg/pluginapi", "internal/cert", "internal/packed"},
	"internal/deploy":     {"pkg/pluginapi", "internal/cert"},
	"internal/control":    {"pkg/pluginapi", "proto/certbridge/control/v1"},

	// Decisions: they declare what they need as small interfaces.
	"internal/schedule": {"pkg/pluginapi", "internal/cert"},
	"internal/order":    {"pkg/pluginapi", "internal/cert", "internal/packed", "internal/schedule"},

	// Wiring.
	"internal/checkup": {"pkg/pluginapi", "internal/cert", "internal/config", "internal/certstore", "internal/deploy", "internal/pluginhost"},
	"internal/daemon": {
		"pkg/pluginapi", "internal/cert", "internal/state", "internal/config", "internal/pluginhost", "internal/dcv", "internal/certstore",
		"internal/deploy", "internal/control", "internal/schedule", "internal/order", "internal/checkup",
	},
	"cmd/certbridged": {
		"internal/daemon", "internal/config", "internal/control", "internal/checkup", "internal/pluginhost", "internal/certstore", "internal/cert",
		"pkg/pluginapi", "pkg/pluginapi/wire", "pkg/pluginapi/plugintest",
	},

	// Plugins know the contract alone. What a third party cannot import, ours may not either.
	"cmd/plugins/ca-local":     {"pkg/pluginapi", "pkg/pluginapi/wire"},
	"cmd/plugins/ca-acme":      {"pkg/pluginapi", "pkg/pluginapi/wire", "cmd/plugins/ca-acme/acme"},
	"cmd/plugins/ca-acme/acme": {"pkg/pluginapi"},
	"test/plugins/ca-fake":     {"pkg/pluginapi", "pkg/pluginapi/wire"},

	"cmd/plugins/ca-digicert":             {"pkg/pluginapi", "pkg/pluginapi/wire", "cmd/plugins/ca-digicert/digicert"},
	"cmd/plugins/ca-digicert/digicert":    {"pkg/pluginapi", "pkg/pluginapi/restca", "cmd/plugins/ca-digicert/certcentral", "cmd/plugins/ca-digicert/request"},
	"cmd/plugins/ca-digicert/certcentral": {"pkg/pluginapi", "pkg/pluginapi/restca"},
	"cmd/plugins/ca-digicert/request":     {"pkg/pluginapi", "pkg/pluginapi/restca/fields"},

	"cmd/plugins/ca-tencent":         {"pkg/pluginapi", "pkg/pluginapi/wire", "cmd/plugins/ca-tencent/tencent"},
	"cmd/plugins/ca-tencent/tencent": {"pkg/pluginapi", "pkg/pluginapi/restca", "cmd/plugins/ca-tencent/sslapi", "cmd/plugins/ca-tencent/request"},
	"cmd/plugins/ca-tencent/sslapi":  {"pkg/pluginapi", "pkg/pluginapi/restca"},
	"cmd/plugins/ca-tencent/request": {"pkg/pluginapi", "pkg/pluginapi/restca/fields"},

	"cmd/plugins/ca-servertastic":              {"pkg/pluginapi", "pkg/pluginapi/wire", "cmd/plugins/ca-servertastic/servertastic"},
	"cmd/plugins/ca-servertastic/servertastic": {"pkg/pluginapi", "pkg/pluginapi/restca", "cmd/plugins/ca-servertastic/ordertoken", "cmd/plugins/ca-servertastic/request"},
	"cmd/plugins/ca-servertastic/ordertoken":   {"pkg/pluginapi", "pkg/pluginapi/restca"},
	"cmd/plugins/ca-servertastic/request":      {"pkg/pluginapi", "pkg/pluginapi/restca/fields"},

	"cmd/plugins/dcv-lego":                  {"pkg/pluginapi", "pkg/pluginapi/wire", "cmd/plugins/dcv-lego/publisher"},
	"cmd/plugins/dcv-lego/catalog":          {},
	"cmd/plugins/dcv-lego/publisher":        {"pkg/pluginapi", "cmd/plugins/dcv-lego/catalog", "cmd/plugins/dcv-lego/publisher/memory"},
	"cmd/plugins/dcv-lego/publisher/memory": {},
	"cmd/plugins/dcv-exec":                  {"pkg/pluginapi", "pkg/pluginapi/wire", "pkg/pluginapi/handover"},
	"cmd/plugins/dcv-httpreq":               {"pkg/pluginapi", "pkg/pluginapi/wire", "pkg/pluginapi/handover"},
	"cmd/plugins/dcv-rfc2136":               {"pkg/pluginapi", "pkg/pluginapi/wire", "pkg/pluginapi/handover"},

	// Stand-ins for commercial CAs. They share nothing with the plugins that are tried against them.
	"internal/sandbox":              {},
	"internal/sandbox/sandboxtest":  {"internal/sandbox"}, // for the tests of all of them
	"internal/sandbox/digicert":     {"internal/sandbox", "internal/sandbox/sandboxtest"},
	"internal/sandbox/servertastic": {"internal/sandbox", "internal/sandbox/sandboxtest"},
	"internal/sandbox/tencent":      {"internal/sandbox", "internal/sandbox/sandboxtest"},
	"cmd/certbridge-sandbox":        {"internal/sandbox", "internal/sandbox/digicert", "internal/sandbox/servertastic", "internal/sandbox/tencent"},

	// Tests, examples and what lies beside the programs.
	"test/e2e":           {},
	"test/cadrive":       {"pkg/pluginapi", "internal/sandbox"},
	"test/dcvplugins":    {"pkg/pluginapi"},
	"test/peer":          {},
	"examples":           {},
	"examples/ca-python": {},
	"examples/demo":      {},
	"packaging":          {},

	// The benchmark stands above everything, and looks at it from outside.
	"bench": {
		"bench/acmeload", "bench/lab", "bench/nameserver", "bench/pebble", "bench/report", "bench/throttle",
		"internal/cert", "internal/order", "internal/pluginhost", "internal/state", "pkg/pluginapi",
	},
	"bench/acmeload":   {},
	"bench/lab":        {"internal/control"},
	"bench/nameserver": {},
	"bench/pebble":     {},
	"bench/report":     {},
	"bench/throttle":   {},
	"tools/pebblemend": {},

	// What makes the copy of lego that dcv-lego is built with.
	"tools/legohook":         {}, // it holds the source of the next one, and imports nothing
	"tools/legohook/literal": {},
}

// owners says who may import a package from outside of the module, each with all that is below it. What is not here is
// imported by nobody.
var owners = map[string][]string{
	"github.com/BurntSushi/toml":                 {"internal/config", "pkg/pluginapi/restca/fields/fieldstest"},
	"github.com/coreos/go-systemd/v22":           {"cmd/certbridged"},
	"github.com/fsnotify/fsnotify":               {"internal/certstore", "internal/pluginhost", "internal/daemon"},
	"github.com/go-acme/lego/v4":                 {"cmd/plugins/ca-acme", "cmd/plugins/dcv-lego"},
	"github.com/go-jose/go-jose/v4":              {"cmd/plugins/ca-acme"},
	"github.com/google/go-cmp":                   {"pkg/pluginapi/plugintest"},
	"github.com/hashicorp/go-hclog":              {"pkg/pluginapi", "internal/pluginhost"},
	"github.com/hashicorp/go-plugin":             {"pkg/pluginapi/wire", "pkg/pluginapi/plugintest", "internal/pluginhost"},
	"github.com/letsencrypt/challtestsrv":        {"test"},
	"github.com/miekg/dns":                       {"examples/demo", "test", "internal/dcv", "internal/sandbox", "cmd/plugins/ca-local", "cmd/plugins/dcv-lego", "cmd/plugins/dcv-rfc2136", "bench/nameserver"},
	"github.com/pavlo-v-chernykh/keystore-go/v4": {"internal/cert"},
	"github.com/prometheus/client_golang":        {"internal/daemon"},
	"github.com/spf13/cobra":                     {"cmd/certbridged", "cmd/certbridge-sandbox"},
	"github.com/tencentcloud":                    {}, // a test of internal/sandbox/tencent speaks by it
	"go.etcd.io/bbolt":                           {"internal/state"},
	"golang.org/x/net/idna":                      {"internal/cert"},
	"golang.org/x/net/publicsuffix":              {"internal/sandbox", "cmd/plugins/ca-digicert/request", "cmd/plugins/ca-tencent"},
	"golang.org/x/net/netutil":                   {"internal/dcv"},
	"golang.org/x/sync":                          {"internal", "cmd"},
	"golang.org/x/sys":                           {"internal", "cmd", "pkg/pluginapi", "test", "bench"},
	"golang.org/x/term":                          {"cmd/certbridged"},
	"golang.org/x/time":                          {"cmd/plugins", "pkg/pluginapi/restca"},
	"google.golang.org/genproto/googleapis/rpc":  {"pkg/pluginapi/wire"},
	"google.golang.org/grpc":                     {"proto", "pkg/pluginapi/wire", "pkg/pluginapi/plugintest", "internal/pluginhost", "internal/control"},
	"google.golang.org/protobuf":                 {"proto", "pkg/pluginapi/wire", "pkg/pluginapi/plugintest", "internal/control"},
	"software.sslmate.com/src/go-pkcs12":         {"internal/cert"},
	"os/exec":                                    {"examples/demo", "internal/deploy", "internal/pluginhost", "pkg/pluginapi/plugintest", "cmd/plugins/dcv-exec", "test", "tools/legohook", "bench", "tools/pebblemend"},
	"net/http":                                   {"internal/dcv", "internal/daemon", "internal/checkup", "internal/sandbox", "cmd/certbridge-sandbox", "cmd/plugins", "pkg/pluginapi/restca", "examples/demo", "test", "bench"},
	"plugin":                                     {},
	"unsafe":                                     {"internal/control", "proto"},
}

// pure are the packages that decide. They reach nothing outside the process, and know no time but what they are given.
var pure = []string{"internal/order", "internal/schedule", "pkg/pluginapi", "internal/cert", "internal/packed"}

// impure is what they may not import, each with all that is below it.
var impure = []string{"os", "net/http", "net", "syscall", "io/ioutil", "plugin"}

// pureExceptions: what a pure package imports of it all the same, and why.
var pureExceptions = map[string][]string{
	"internal/order": {"net/netip"},                   // addresses as values
	"internal/cert":  {"net", "net/netip", "net/url"}, // x509 has addresses as net.IP
}

// clockOwners are the files of order and schedule that read the clock: the timer that wakes what is due.
var clockOwners = []string{"internal/schedule/timer.go"}

// pkg is one package as "go list" describes it.
type pkg struct {
	ImportPath, Name, Doc, Dir         string
	GoFiles, TestGoFiles, XTestGoFiles []string
	Imports, TestImports, XTestImports []string
	path                               string // below the module
}

var packages = sync.OnceValues(func() ([]pkg, error) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Name,Doc,Dir,GoFiles,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports", "./...").Output()
	if err != nil {
		return nil, err
	}
	var list []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return list, nil
		} else if err != nil {
			return nil, err
		}
		p.path = strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		if p.path == "" || len(p.GoFiles)+len(p.TestGoFiles)+len(p.XTestGoFiles) == 0 {
			continue // this test itself
		}
		list = append(list, p)
	}
})

func all(t *testing.T) []pkg {
	t.Helper()
	list, err := packages()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 20 {
		t.Fatalf("only %d packages", len(list))
	}
	return list
}

// below reports whether a path is root or lies below it.
func below(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

func belowAny(path string, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool { return below(path, root) })
}

func TestImportsGoDownward(t *testing.T) {
	for _, p := range all(t) {
		allowed, known := floors[p.path]
		if !known {
			t.Errorf("%s has no floor: give it one in floors_test.go", p.path)
			continue
		}
		for _, i := range p.Imports {
			own, ok := strings.CutPrefix(i, module+"/")
			if ok && !slices.Contains(allowed, own) {
				t.Errorf("%s must not import %s", p.path, own)
			}
		}
	}
}

func TestTestsKnowNoMoreThanTheirFloor(t *testing.T) {
	for _, p := range all(t) {
		for _, i := range slices.Concat(p.TestImports, p.XTestImports) {
			switch own, ok := strings.CutPrefix(i, module+"/"); {
			case !ok, own == p.path, slices.Contains(floors[p.path], own):
			case own == "internal/daemon":
				t.Errorf("a test of %s imports internal/daemon; start the program instead", p.path)
			case strings.HasPrefix(p.path, "internal/") && strings.HasPrefix(own, "internal/") && p.path != "internal/daemon":
				t.Errorf("a test of %s must not import %s", p.path, own)
			case strings.HasPrefix(p.path, "pkg/") && strings.HasPrefix(own, "internal/"):
				t.Errorf("a test of %s imports %s, which a third party cannot", p.path, own)
			}
		}
	}
}

func TestFloorsAreReal(t *testing.T) {
	there := map[string]bool{}
	for _, p := range all(t) {
		there[p.path] = true
	}
	for path, allowed := range floors {
		if !there[path] {
			t.Errorf("floors_test.go has a floor for %s, which does not exist", path)
		}
		for _, a := range allowed {
			if !there[a] {
				t.Errorf("floors_test.go lets %s import %s, which does not exist", path, a)
			}
		}
	}
}

func TestOutsidePackagesHaveOwners(t *testing.T) {
	for _, p := range all(t) {
		for _, i := range p.Imports {
			owner := ownersOf(i)
			switch {
			case below(i, module):
			case owner == nil && strings.Contains(strings.Split(i, "/")[0], "."):
				t.Errorf("%s imports %s, which has no owner in floors_test.go", p.path, i)
			case owner != nil && !belowAny(p.path, owner):
				t.Errorf("%s must not import %s; that is for %s", p.path, i, strings.Join(owner, ", "))
			}
		}
	}
}

// ownersOf finds the most exact entry; it returns nil where there is none.
func ownersOf(path string) []string {
	best, found := "", []string(nil)
	for root, list := range owners {
		if below(path, root) && len(root) > len(best) {
			best, found = root, append([]string{}, list...)
		}
	}
	return found
}

func TestDecisionsReachNothingOutside(t *testing.T) {
	for _, p := range all(t) {
		if !slices.Contains(pure, p.path) {
			continue
		}
		for _, i := range p.Imports {
			if belowAny(i, impure) && !slices.Contains(pureExceptions[p.path], i) {
				t.Errorf("%s must not import %s", p.path, i)
			}
		}
	}
}

func TestDecisionsReadNoClock(t *testing.T) {
	eachFile(t, func(p pkg, name string, file *ast.File, set *token.FileSet) {
		if p.path != "internal/order" && p.path != "internal/schedule" || slices.Contains(clockOwners, name) {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}, sel.Sel.Name) {
				t.Errorf("%s reads the clock by time.%s; it is handed one", set.Position(n.Pos()), sel.Sel.Name)
			}
			return true
		})
	})
}

// mostModules is how many modules a plugin may link by importing the contract.
const mostModules = 20

// A plugin author inherits every module we add to the contract.
func TestPluginContractStaysSmall(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./pkg/pluginapi/wire").Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := slices.Compact(slices.Sorted(strings.FieldsSeq(string(out))))
	if len(modules) > mostModules {
		t.Errorf("a plugin links %d modules: %s", len(modules), strings.Join(modules, " "))
	}
	t.Logf("a plugin links %d modules", len(modules))
}

// commonModules are those that lego's providers need and that other programs need as well. All others that the
// providers need are there for dcv-lego alone.
var commonModules = []string{
	"github.com/cenkalti/backoff/v5",
	"github.com/cespare/xxhash/v2",
	"github.com/fsnotify/fsnotify",
	"github.com/go-acme/lego/v4",
	"github.com/go-jose/go-jose/v4",
	"github.com/golang/protobuf",
	"github.com/miekg/dns",
	"github.com/spf13/pflag",
	"golang.org/x/crypto",
	"golang.org/x/net",
	"golang.org/x/sync",
	"golang.org/x/sys",
	"golang.org/x/text",
	"golang.org/x/time",
	"google.golang.org/genproto/googleapis/rpc",
	"google.golang.org/grpc",
	"google.golang.org/protobuf",
}

// The libraries of some hundred clouds are one program's, started when there is something to publish, and no other's.
func TestOnlyDCVLegoLinksProviders(t *testing.T) {
	const (
		providers = "github.com/go-acme/lego/v4/providers"
		dcvLego   = "cmd/plugins/dcv-lego"
	)
	_, ofProviders := linked(t, providers+"/...")
	common, seen := map[string]bool{}, map[string]bool{}
	for _, m := range commonModules {
		common[m] = true
	}
	for _, p := range all(t) {
		if p.Name != "main" || !below(p.path, "cmd") {
			continue
		}
		seen[p.path] = true
		packages, modules := linked(t, "./"+p.path)
		if p.path == dcvLego {
			if !packages[providers+"/dns"] {
				t.Errorf("%s links no DNS providers", p.path)
			}
			continue
		}
		for name := range packages {
			if below(name, providers) {
				t.Errorf("%s links %s", p.path, name)
			}
		}
		for m := range modules {
			switch {
			case common[m]:
				seen[m] = true
			case ofProviders[m]:
				t.Errorf("%s links the module %s, which lego's providers need", p.path, m)
			}
		}
	}
	for _, want := range append([]string{dcvLego, "cmd/certbridged"}, commonModules...) {
		if !seen[want] {
			t.Errorf("%s is no program, or a module that no other program needs", want)
		}
	}
}

// linked returns all packages that go into a program, and the modules that they are of.
func linked(t *testing.T, pattern string) (packages, modules map[string]bool) {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}} {{.Module.Path}}{{end}}", pattern).Output()
	if err != nil {
		t.Fatal(err)
	}
	packages, modules = map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(string(out)) {
		name, of, _ := strings.Cut(strings.TrimSpace(line), " ")
		packages[name], modules[of] = true, true
	}
	return packages, modules
}

func TestPackagesSayWhatTheyAreFor(t *testing.T) {
	for _, p := range all(t) {
		base := path.Base(p.path)
		if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "types", "misc", "shared"}, base) {
			t.Errorf("%s: a package is called by what it is for", p.path)
		}
		if strings.HasPrefix(p.path, "proto/") {
			continue // generated; the .proto files are the documentation
		}
		want := "Package " + p.Name + " "
		if p.Name == "main" {
			want = strings.ToUpper(base[:1]) + base[1:] + " "
			if strings.HasPrefix(p.Doc, "Command ") {
				want = "Command " + base + " "
			}
		}
		if !strings.HasPrefix(p.Doc, want) {
			t.Errorf("%s: its package comment begins with %q, want %q and what it is for in one sentence", p.path, firstWords(p.Doc), want)
		}
	}
}

func firstWords(s string) string {
	if len(s) > 40 {
		return s[:40]
	}
	return s
}

// Sizes in lines. Beyond warnLines a file is named, beyond mostLines it must be split.
const (
	warnLines = 500
	mostLines = 600
	// mostTestLines is for tests: a table of cases is long without being complicated.
	mostTestLines = 800
)

func TestFilesAreOfReadableSize(t *testing.T) {
	for _, p := range all(t) {
		for _, name := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
			if strings.HasSuffix(name, ".pb.go") {
				continue
			}
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			most := mostLines
			if strings.HasSuffix(name, "_test.go") {
				most = mostTestLines
			}
			switch n := bytes.Count(text, []byte("\n")); {
			case n > most:
				t.Errorf("%s has %d lines: split it", path.Join(p.path, name), n)
			case n > warnLines:
				t.Logf("%s has %d lines", path.Join(p.path, name), n)
			}
		}
	}
}

func TestNoInitFunctions(t *testing.T) {
	eachFile(t, func(_ pkg, _ string, file *ast.File, set *token.FileSet) {
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: an init function; call it from where it is needed", set.Position(f.Pos()))
			}
		}
	})
}

func TestNoPackageVariableChanges(t *testing.T) {
	variables := map[string]map[string]bool{} // by package: names of package variables
	eachFile(t, func(p pkg, _ string, file *ast.File, _ *token.FileSet) {
		if variables[p.path] == nil {
			variables[p.path] = map[string]bool{}
		}
		for _, d := range file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				for _, name := range spec.(*ast.ValueSpec).Names {
					variables[p.path][name.Name] = true
				}
			}
		}
	})
	eachFile(t, func(p pkg, _ string, file *ast.File, set *token.FileSet) {
		ast.Inspect(file, func(n ast.Node) bool {
			var changed []ast.Expr
			switch s := n.(type) {
			case *ast.AssignStmt:
				if s.Tok != token.DEFINE {
					changed = s.Lhs
				}
			case *ast.IncDecStmt:
				changed = []ast.Expr{s.X}
			}
			for _, e := range changed {
				if name := rootOf(e); name != nil && name.Name != "_" && variables[p.path][name.Name] && isPackageLevel(name, file) {
					t.Errorf("%s: the package variable %s changes", set.Position(n.Pos()), name.Name)
				}
			}
			return true
		})
	})
}

// rootOf is the variable that an expression such as a.b[c] begins with.
func rootOf(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// isPackageLevel reports that a name is not one of a function: the parser has resolved those of functions.
func isPackageLevel(name *ast.Ident, file *ast.File) bool {
	return name.Obj == nil || file.Scope.Lookup(name.Name) == name.Obj
}

// eachFile visits every file of the programs, neither tests nor generated code.
func eachFile(t *testing.T, visit func(p pkg, name string, file *ast.File, set *token.FileSet)) {
	t.Helper()
	set := token.NewFileSet()
	for _, p := range all(t) {
		for _, name := range p.GoFiles {
			if strings.HasSuffix(name, ".pb.go") {
				continue
			}
			file, err := parser.ParseFile(set, filepath.Join(p.Dir, name), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			visit(p, path.Join(p.path, name), file, set)
		}
	}
}
