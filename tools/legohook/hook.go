package main

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/scanner"
	"go/token"
	"path"
	"strconv"
	"strings"
)

// literalSource is added to the copy as a package of its own. It is compiled and tested here as it is.
//
//go:embed literal/literal.go
var literalSource []byte

// literalDir is where it goes: no program but lego itself can import it there.
const literalDir = "challenge/internal/literal"

// version is the version of lego that the changes below were written for.
//
// To move to another one: read what changed in the packages of targets; see that providers still take their record from
// GetChallengeInfo and their path from ChallengePath, and from nothing else; then set version and the digests, which
// this tool prints.
const version = "v4.35.2"

// target is a function of lego that is changed.
type target struct {
	dir, name string
	signature string
	// relies are types of the same package that the added statement makes values of, with their fields.
	relies map[string]string
	// digest is that of the function's source: see digestOf.
	digest string
	// first is the statement that comes before all others.
	first string
}

var targets = []target{{
	dir:       "challenge/dns01",
	name:      "GetChallengeInfo",
	signature: "func(domain, keyAuth string) ChallengeInfo",
	relies:    map[string]string{"ChallengeInfo": "FQDN string; EffectiveFQDN string; Value string"},
	digest:    "becb4711067882c646626f42b74bdcfeec3d6f56e7416fd468ba4c86437bad0f",
	first: `// Added by certbridged: the caller may name the record itself.
	if name, value, ok := literal.Record(keyAuth); ok {
		return ChallengeInfo{FQDN: name + ".", EffectiveFQDN: name + ".", Value: value}
	}
`,
}, {
	dir:       "challenge/http01",
	name:      "ChallengePath",
	signature: "func(token string) string",
	digest:    "748228978487917330580f7d6c1fc41fd85ff995fbd8df21695b2fb5993bebd2",
	first: `// Added by certbridged: the caller may name the path itself.
	if path, ok := literal.Path(token); ok {
		return path
	}
`,
}}

// hook changes the files of lego. When lego is not as expected it changes nothing and says all that differs.
func hook(files tree, got string) error {
	var faults []error
	if got != version {
		faults = append(faults, fmt.Errorf("it is %s, and the changes were written for %s", got, version))
	}
	if there := files.names(literalDir, ""); len(there) > 0 {
		faults = append(faults, fmt.Errorf("it has a package %s of its own", literalDir))
	}
	changed := tree{}
	for _, t := range targets {
		name, text, err := t.change(files)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		changed[name] = text
	}
	if len(faults) > 0 {
		return fmt.Errorf("lego is not as expected; see what changed in it, then the constants in tools/legohook/hook.go:\n%w", errors.Join(faults...))
	}
	for name, text := range changed {
		files[name] = text
	}
	files[path.Join(literalDir, "literal.go")] = literalSource
	return nil
}

// change returns the file of the function, with the statement added.
func (t target) change(files tree) (name string, text []byte, err error) {
	p, err := parsePackage(files, t.dir)
	if err != nil {
		return "", nil, err
	}
	found, err := p.function(t.name)
	if err != nil {
		return "", nil, err
	}
	if err := errors.Join(t.checkFunction(p, found), t.checkTypes(p), t.checkNames(p)); err != nil {
		return "", nil, err
	}
	text = files[found.file]
	afterName := p.set.Position(p.files[found.file].Name.End()).Offset
	inBody := p.set.Position(found.decl.Body.Lbrace).Offset + 1
	// Text goes in at the places that the syntax tree names, for a node without a position would draw comments to it.
	changed := string(text[:afterName]) + "\n\nimport " + strconv.Quote(path.Join(legoPath, literalDir)) + "\n" +
		string(text[afterName:inBody]) + "\n\t" + t.first + string(text[inBody:])
	if text, err = format.Source([]byte(changed)); err != nil {
		return "", nil, fmt.Errorf("format the changed %s: %w", found.file, err)
	}
	return found.file, text, nil
}

func (t target) checkFunction(p *sources, found function) error {
	where := p.set.Position(found.decl.Pos())
	if found.decl.Body == nil {
		return fmt.Errorf("%s: %s has no body", where, t.name)
	}
	signature, err := printed(found.decl.Type)
	if err != nil {
		return err
	}
	if signature != t.signature {
		return fmt.Errorf("%s: %s is %s, want %s", where, t.name, signature, t.signature)
	}
	if digest := digestOf(p.text(found.file, found.decl)); digest != t.digest {
		return fmt.Errorf("%s: %s has changed (its digest is %s, want %s): it may do something else before or after the added statement",
			where, t.name, digest, t.digest)
	}
	return nil
}

func (t target) checkTypes(p *sources) error {
	var faults []error
	for name, want := range t.relies {
		got, err := p.fields(name)
		if err == nil && got != want {
			err = fmt.Errorf("%s: %s has the fields %q, want %q", t.dir, name, got, want)
		}
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// checkNames finds what the import of the added package would collide with.
func (t target) checkNames(p *sources) error {
	own := path.Base(literalDir)
	for name, file := range p.files {
		if file.Scope.Lookup(own) != nil {
			return fmt.Errorf("%s declares %s, the name of the package to be imported", name, own)
		}
		for _, spec := range file.Imports {
			if spec.Name != nil && spec.Name.Name == own || spec.Name == nil && strings.HasSuffix(spec.Path.Value, "/"+own+`"`) {
				return fmt.Errorf("%s imports something as %s, the name of the package to be imported", name, own)
			}
		}
	}
	return nil
}

// sources is a parsed package.
type sources struct {
	dir   string
	set   *token.FileSet
	files map[string]*ast.File
	texts tree
}

// function is a declaration and the file it stands in.
type function struct {
	file string
	decl *ast.FuncDecl
}

func parsePackage(files tree, dir string) (*sources, error) {
	p := &sources{dir: dir, set: token.NewFileSet(), files: map[string]*ast.File{}, texts: files}
	for _, name := range files.names(dir, ".go") {
		file, err := parser.ParseFile(p.set, name, files[name], parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("parse lego: %w", err)
		}
		p.files[name] = file
	}
	if len(p.files) == 0 {
		return nil, fmt.Errorf("there is no package %s", dir)
	}
	return p, nil
}

// function returns the one function, not method, of a name. Two can stand in files for different systems.
func (p *sources) function(name string) (function, error) {
	var found []function
	for file, syntax := range p.files {
		for _, d := range syntax.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == name {
				found = append(found, function{file, f})
			}
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return function{}, fmt.Errorf("%s has no function %s", p.dir, name)
	default:
		return function{}, fmt.Errorf("%s has %d functions %s; which one is built?", p.dir, len(found), name)
	}
}

// fields prints the fields of a struct type on one line.
func (p *sources) fields(name string) (string, error) {
	for _, syntax := range p.files {
		object := syntax.Scope.Lookup(name)
		if object == nil {
			continue
		}
		spec, ok := object.Decl.(*ast.TypeSpec)
		if !ok {
			return "", fmt.Errorf("%s: %s is no type", p.dir, name)
		}
		structure, ok := spec.Type.(*ast.StructType)
		if !ok {
			return "", fmt.Errorf("%s: %s is no struct", p.dir, name)
		}
		var list []string
		for _, field := range structure.Fields.List {
			kind, err := printed(field.Type)
			if err != nil {
				return "", err
			}
			if len(field.Names) == 0 {
				list = append(list, kind)
			}
			for _, n := range field.Names {
				list = append(list, n.Name+" "+kind)
			}
		}
		return strings.Join(list, "; "), nil
	}
	return "", fmt.Errorf("%s has no type %s", p.dir, name)
}

// text is the source of a declaration, without the comment above it.
func (p *sources) text(file string, decl *ast.FuncDecl) []byte {
	return p.texts[file][p.set.Position(decl.Type.Pos()).Offset:p.set.Position(decl.End()).Offset]
}

// printed is a type as Go source, on one line.
func printed(node ast.Expr) (string, error) {
	var b strings.Builder
	// Of a file set that knows no positions, so that no line is broken where the source breaks one.
	if err := format.Node(&b, token.NewFileSet(), node); err != nil {
		return "", err
	}
	return b.String(), nil
}

// digestOf is the SHA-256 of the tokens of Go source, in hex: comments and spacing do not count.
func digestOf(source []byte) string {
	set := token.NewFileSet()
	var s scanner.Scanner
	s.Init(set.AddFile("", set.Base(), len(source)), source, nil, 0)
	digest := sha256.New()
	for {
		_, tok, text := s.Scan()
		if tok == token.EOF {
			return hex.EncodeToString(digest.Sum(nil))
		}
		if tok == token.SEMICOLON {
			text = ";" // at the end of a line it stands for the line break
		}
		fmt.Fprintf(digest, "%s %q\n", tok, text)
	}
}
