package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
)

// change is one place in a function that is written otherwise. was must stand there exactly once.
type change struct{ was, now string }

// mending is what changes in one function of one file.
type mending struct {
	file, function string
	changes        []change
}

// mends are all changes. Pebble reads and writes its orders under a lock for each order and one for all of them.
func mends() []mending {
	return []mending{
		{
			// letsencrypt/pebble issue 554: the handler that shows an order held its read lock while it called a function
			// that takes the same read lock again. A writer that came between the two (the end of an issuance, or another
			// look at the order) waited for the first and was waited for by the second: neither ever went on. The lock is
			// let go once what it guards is read.
			file: "wfe/wfe.go", function: "Order",
			changes: []change{
				{"orderAccountID := order.AccountID\n\tdefer order.RUnlock()", "orderAccountID, orderStatus := order.AccountID, order.Status\n\torder.RUnlock()"},
				{"if order.Status == ", "if orderStatus == "},
			},
		},
		{
			// The same issue, why one stuck order stopped the whole server: looking an order up waited for that order's
			// lock while it held the one for all orders. Now the lock for all is held for the map alone.
			file: "db/memorystore.go", function: "GetOrderByID",
			changes: []change{
				{"m.RLock()\n\tdefer m.RUnlock()\n\n\tif order, ok := m.ordersByID[id]; ok {", "m.RLock()\n\torder, ok := m.ordersByID[id]\n\tm.RUnlock()\n\n\tif ok {"},
			},
		},
		{
			// A circle that stops the server too, seen here with some hundred orders: the handler of authorizations holds an
			// authorization's lock and waits for the one for all, to look up the account; a writer waits for the one for all;
			// and a new order, which holds that for reading, waits for every authorization's lock in turn, to find one to use
			// again. Where nothing is to be used again (PEBBLE_AUTHZREUSE=0) it need not look. The search is also what made
			// each order take longer than the one before.
			file: "wfe/wfe.go", function: "makeAuthorizations",
			changes: []change{
				{"authz := wfe.db.FindValidAuthorization(order.AccountID, ident)", "var authz *core.Authorization\n\t\tif wfe.authzReusePercent > 0 {\n\t\t\tauthz = wfe.db.FindValidAuthorization(order.AccountID, ident)\n\t\t}"},
			},
		},
		{
			// To show a validated authorization left the challenges locked that it did not show.
			file: "wfe/wfe.go", function: "prepAuthorizationForDisplay",
			changes: []change{
				{"c.Status != acme.StatusValid) {\n", "c.Status != acme.StatusValid) {\n\t\t\tc.RUnlock()\n"},
			},
		},
		{
			// letsencrypt/pebble pull request 553: an order whose authorization is not valid any more left that
			// authorization locked.
			file: "ca/ca.go", function: "CompleteOrder",
			changes: []change{
				{"if authz.Status != acme.StatusValid {\n", "if authz.Status != acme.StatusValid {\n\t\t\tauthz.RUnlock()\n"},
			},
		},
	}
}

// mend applies changes to files, by their path. An error names every change that does not fit.
func mend(files map[string]string, list []mending) error {
	var errs []error
	for _, m := range list {
		text, err := m.apply(files[m.file])
		if err != nil {
			errs = append(errs, fmt.Errorf("%s, %s: %w", m.file, m.function, err))
			continue
		}
		files[m.file] = text
	}
	return errors.Join(errs...)
}

func (m mending) apply(text string) (string, error) {
	for _, c := range m.changes {
		begin, end, err := bounds(text, m.function)
		if err != nil {
			return "", err
		}
		body := text[begin:end]
		if n := strings.Count(body, c.was); n != 1 {
			return "", fmt.Errorf("%q stands there %d times, not once: Pebble has changed; look whether it still needs this", c.was, n)
		}
		text = text[:begin] + strings.Replace(body, c.was, c.now, 1) + text[end:]
	}
	return text, nil
}

// bounds returns where a function's or method's body begins and ends in a Go text.
func bounds(text, function string) (begin, end int, err error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "", text, parser.SkipObjectResolution)
	if err != nil {
		return 0, 0, err
	}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == function && f.Body != nil {
			return set.Position(f.Body.Pos()).Offset, set.Position(f.Body.End()).Offset, nil
		}
	}
	return 0, 0, errors.New("there is no such function")
}
