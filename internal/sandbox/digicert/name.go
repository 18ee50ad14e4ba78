package digicert

import (
	"slices"
	"strings"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// scopesOf are the domains that must be validated for the names of an order, each with the names it stands for. With
// the scope base_domain they are the registrable domains; with fqdn each name, but for those below another one.
// Files prove exactly the name they are fetched from.
func scopesOf(names []string, scope, method string) []validation {
	var list []validation
	put := func(at, name string) {
		for i := range list {
			if list[i].Scope == at {
				list[i].Names = append(list[i].Names, name)
				return
			}
		}
		list = append(list, validation{Scope: at, Names: []string{name}})
	}
	exact := byFile(method)
	for _, name := range names {
		at := sandbox.Bare(name)
		switch {
		case exact || sandbox.IsAddress(name):
		case scope == scopeBase:
			at = sandbox.BaseOf(name)
		default:
			for _, other := range names {
				if o := sandbox.Bare(other); len(o) < len(at) && sandbox.Covers(o, at) {
					at = o
				}
			}
		}
		put(at, name)
	}
	return list
}

func byFile(method string) bool { return method == methodHTTP || method == methodHTTPDynamic }

// dropped are the names of one list that another does not have.
func dropped(before, after []string) []string {
	var gone []string
	for _, n := range before {
		if !slices.ContainsFunc(after, func(m string) bool { return strings.EqualFold(n, m) }) {
			gone = append(gone, n)
		}
	}
	return gone
}
