package catalog

import (
	"go/ast"
	"slices"
)

const (
	hintPrefix     = "has _acme-challenge in its source"
	hintOwnPresent = "Present does not ask for the challenge's record"
	hintOwnCleanUp = "CleanUp does not ask for the challenge's record"
	hintNoName     = "Present does not use the record's name"
	hintKeyAuth    = "uses the key authorization itself"
	hintDomain     = "uses the domain itself"
)

// literalHints are the hints that a provider can carry ACME's record alone.
func (p *source) literalHints() []string {
	var hints []string
	hint := func(text string, is bool) {
		if is {
			hints = append(hints, text)
		}
	}
	hint(hintPrefix, p.literals("_acme-challenge"))
	present, cleanUp := p.reached("Present"), p.reached("CleanUp")
	asks := func(f function) bool { return len(f.calls("GetChallengeInfo", "GetRecord")) > 0 }
	hint(hintOwnPresent, !slices.ContainsFunc(present, asks))
	hint(hintOwnCleanUp, !slices.ContainsFunc(cleanUp, asks))
	hint(hintNoName, !slices.ContainsFunc(present, func(f function) bool { return f.selects("EffectiveFQDN") }))
	argument := func(i int) func(function) bool {
		return func(f function) bool {
			if !f.isMethod("Present") && !f.isMethod("CleanUp") || len(f.params()) != 3 || f.params()[i] == "_" {
				return false
			}
			return f.uses(f.params()[i], "GetChallengeInfo", "GetRecord", "Present", "CleanUp")
		}
	}
	hint(hintKeyAuth, slices.ContainsFunc(p.functions(), argument(2)))
	hint(hintDomain, slices.ContainsFunc(p.functions(), argument(0)))
	return hints
}

// remembered are the fields of the provider's value that Present sets, CleanUp reads and CleanUp does not set itself.
func (p *source) remembered() []string {
	owners := map[string]int{}
	for _, f := range p.functions() {
		if _, typ := f.receiver(); f.isMethod("Present") || f.isMethod("CleanUp") {
			owners[typ]++
		}
	}
	isOwner := func(f function) bool { _, typ := f.receiver(); return owners[typ] == 2 }
	set, _ := fields(p.reached("Present"), isOwner)
	setAgain, read := fields(p.reached("CleanUp"), isOwner)
	var names []string
	for field := range set {
		if read[field] && !setAgain[field] {
			names = append(names, field)
		}
	}
	slices.Sort(names)
	return names
}

// fields are the fields of the receivers that the functions set and read.
func fields(functions []function, isOwner func(function) bool) (set, read map[string]bool) {
	set, read = map[string]bool{}, map[string]bool{}
	for _, f := range functions {
		if !isOwner(f) {
			continue
		}
		receiver, _ := f.receiver()
		ast.Inspect(f.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, to := range n.Lhs {
					if field := fieldOf(to, receiver); field != "" {
						set[field] = true
					}
				}
				for _, from := range n.Rhs {
					if field := fieldOf(from, receiver); field != "" {
						read[field] = true
					}
				}
			case *ast.RangeStmt:
				if field := fieldOf(n.X, receiver); field != "" {
					read[field] = true
				}
			case *ast.CallExpr:
				if identName(n.Fun) == "delete" {
					return false
				}
				for _, from := range n.Args {
					if field := fieldOf(from, receiver); field != "" {
						read[field] = true
					}
				}
				if sel, ok := n.Fun.(*ast.SelectorExpr); ok {
					switch field := fieldOf(sel.X, receiver); {
					case field == "":
					case slices.Contains([]string{"Store", "LoadOrStore", "Swap", "Add", "Set"}, sel.Sel.Name):
						set[field] = true
					case slices.Contains([]string{"Load", "LoadAndDelete", "Get"}, sel.Sel.Name):
						read[field] = true
					}
				}
			}
			return true
		})
	}
	return set, read
}

// fieldOf is the field of the receiver that an expression selects or indexes.
func fieldOf(e ast.Expr, receiver string) string {
	if index, ok := e.(*ast.IndexExpr); ok {
		e = index.X
	}
	if sel, ok := e.(*ast.SelectorExpr); ok && identName(sel.X) == receiver {
		return sel.Sel.Name
	}
	return ""
}

// heedsApex: Present or CleanUp fails when ExtractSubDomain does, which it does for the zone's own name.
func (p *source) heedsApex() bool {
	return slices.ContainsFunc(p.reached("Present"), extractsOrFails) || slices.ContainsFunc(p.reached("CleanUp"), extractsOrFails)
}

// extractsOrFails: the function calls ExtractSubDomain and does not throw its error away.
func extractsOrFails(f function) bool {
	heeds := len(f.calls("ExtractSubDomain"))
	ast.Inspect(f.Body, func(n ast.Node) bool {
		assign, ok := n.(*ast.AssignStmt)
		if !ok || len(assign.Lhs) != 2 || !isIdent(assign.Lhs[1], "_") {
			return true
		}
		if call, ok := assign.Rhs[0].(*ast.CallExpr); ok && slices.Contains(f.calls("ExtractSubDomain"), call) {
			heeds--
		}
		return true
	})
	return heeds > 0
}

// sequential: lego itself calls the provider for one record after the other.
func (p *source) sequential() bool {
	return slices.ContainsFunc(p.functions(), func(f function) bool { return f.Recv != nil && f.Name.Name == "Sequential" })
}
