package catalog

import (
	"go/ast"
	"slices"
	"strings"
)

// function is one function or method with the file and package it stands in.
type function struct {
	*ast.FuncDecl
	file *ast.File
	pkg  *goPackage
}

// functions are all functions of a provider that have a body.
func (p *source) functions() []function {
	var all []function
	for _, pkg := range p.pkgs {
		for _, file := range pkg.files {
			for _, decl := range file.Decls {
				if f, ok := decl.(*ast.FuncDecl); ok && f.Body != nil {
					all = append(all, function{f, file, pkg})
				}
			}
		}
	}
	return all
}

// reached are the functions that a method of the provider may come to. Types are not looked at: a method is found by
// its name in all of the provider's packages, so that rather too much is reached than too little.
func (p *source) reached(method string) []function {
	all := p.functions()
	var found []function
	seen := map[*ast.FuncDecl]bool{}
	add := func(match func(function) bool) {
		for _, f := range all {
			if !seen[f.FuncDecl] && match(f) {
				seen[f.FuncDecl] = true
				found = append(found, f)
			}
		}
	}
	add(func(f function) bool { return f.isMethod(method) })
	for i := 0; i < len(found); i++ {
		from := found[i]
		imports := importsOf(from.file)
		ast.Inspect(from.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Ident:
				add(func(f function) bool { return f.Recv == nil && f.pkg == from.pkg && f.Name.Name == n.Name })
			case *ast.SelectorExpr:
				folder, imported := imports[identName(n.X)]
				add(func(f function) bool {
					if f.Name.Name != n.Sel.Name {
						return false
					}
					if imported {
						return f.Recv == nil && folder != "" && f.pkg.folder == folder
					}
					return f.Recv != nil
				})
			}
			return true
		})
	}
	return found
}

// isMethod: the function is a method with this name and the three parameters of a challenge.
func (f function) isMethod(name string) bool {
	return f.Recv != nil && f.Name.Name == name && f.Type.Params.NumFields() == 3
}

// params are the names of the parameters, in order.
func (f function) params() []string {
	var names []string
	for _, field := range f.Type.Params.List {
		for _, name := range field.Names {
			names = append(names, name.Name)
		}
	}
	return names
}

// receiver is the name and the type of a method's receiver.
func (f function) receiver() (name, typ string) {
	if f.Recv == nil || len(f.Recv.List[0].Names) == 0 {
		return "", ""
	}
	t := f.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	return f.Recv.List[0].Names[0].Name, f.pkg.folder + "." + identName(t)
}

// calls are the calls of a function of lego's dns01 package.
func (f function) calls(names ...string) []*ast.CallExpr {
	dns01 := importName(f.file, legoModule+"/challenge/dns01")
	var found []*ast.CallExpr
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && dns01 != "" {
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok && identName(sel.X) == dns01 && slices.Contains(names, sel.Sel.Name) {
				found = append(found, call)
			}
		}
		return true
	})
	return found
}

// forMessage: the call makes an error or a log line.
func forMessage(call *ast.CallExpr) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	switch identName(sel.X) {
	case "fmt":
		return sel.Sel.Name == "Errorf"
	case "errors":
		return sel.Sel.Name == "New"
	case "log":
		return true
	}
	return false
}

// selects: the function selects the field outside of messages.
func (f function) selects(field string) bool {
	found := false
	f.walk(nil, func(n ast.Node) {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			found = found || sel.Sel.Name == field
		}
	})
	return found
}

// uses: the function uses the variable outside of messages, and for more than to pass it to calls of the given names.
func (f function) uses(variable string, calls ...string) bool {
	found := false
	f.walk(calls, func(n ast.Node) { found = found || isIdent(n, variable) })
	return found
}

// walk visits what a function computes with: neither messages, nor the arguments of calls of the given names, nor the
// names of fields.
func (f function) walk(skip []string, each func(ast.Node)) {
	var visit func(ast.Node) bool
	visit = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			sel, ok := n.Fun.(*ast.SelectorExpr)
			return !forMessage(n) && (!ok || !slices.Contains(skip, sel.Sel.Name))
		case *ast.KeyValueExpr:
			ast.Inspect(n.Value, visit)
			return false
		case *ast.SelectorExpr:
			each(n)
			ast.Inspect(n.X, visit)
			return false
		}
		each(n)
		return true
	}
	ast.Inspect(f.Body, visit)
}

// literals: a string of the provider's source holds the text.
func (p *source) literals(text string) bool {
	for _, pkg := range p.pkgs {
		for _, file := range pkg.files {
			found := false
			ast.Inspect(file, func(n ast.Node) bool {
				if e, ok := n.(*ast.BasicLit); ok && strings.Contains(stringOf(e), text) {
					found = true
				}
				return !found
			})
			if found {
				return true
			}
		}
	}
	return false
}

func isIdent(n ast.Node, name string) bool {
	id, ok := n.(*ast.Ident)
	return ok && id.Name == name
}
