package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// entry is one line of a stand-in's ledger.
type entry struct {
	Kind   string
	Amount int64 // cents, or points
}

// account prints what is served now and what it would have cost.
func (r *rehearsal) account(ctx context.Context) error {
	fmt.Fprintln(r.out)
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CERTIFICATE\tORDERS\tSERVED UNTIL\tPURCHASES\tWOULD HAVE COST")
	for _, h := range r.houses {
		orders, err := r.orders(ctx, h)
		if err != nil {
			return err
		}
		purchases, cost, err := h.spent(ctx)
		if err != nil {
			return err
		}
		leaf := r.web.of(h.domain()).Leaf
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", h.domain(), strings.Join(orders, ", "), leaf.NotAfter.UTC().Format(time.DateOnly), purchases, cost)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if n := r.names.left(); n > 0 {
		return fmt.Errorf("%d records are left in the zone", n)
	}
	fmt.Fprintf(r.out, "\nNothing is left in the zone. Logs and configuration are in %s.\n", r.dir)
	return nil
}

// orders are the kinds of a certificate's orders, the first one first.
func (r *rehearsal) orders(ctx context.Context, h *house) ([]string, error) {
	text, err := r.cli(ctx, "orders", "--all", "--certificate", h.name, "--json")
	if err != nil {
		return nil, err
	}
	type order struct {
		Kind    string    `json:"kind"`
		Created time.Time `json:"created"`
	}
	var told struct {
		Orders []order `json:"orders"`
	}
	if err := json.Unmarshal(text, &told); err != nil {
		return nil, fmt.Errorf("read the orders of %s: %w", h.name, err)
	}
	list := told.Orders
	slices.SortFunc(list, func(a, b order) int { return a.Created.Compare(b.Created) })
	var kinds []string
	for _, o := range list {
		kinds = append(kinds, o.Kind)
	}
	return kinds, nil
}

// spent reads a stand-in's ledger.
func (h *house) spent(ctx context.Context) (purchases int, cost string, err error) {
	if h.ledger == "" {
		return 0, "nothing", nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.ledger, http.NoBody)
	if err != nil {
		return 0, "", fmt.Errorf("read the ledger of %s: %w", h.name, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", fmt.Errorf("read the ledger of %s: %w", h.name, err)
	}
	defer resp.Body.Close()
	var book struct {
		Entries  []entry
		Currency string
	}
	if err := json.NewDecoder(resp.Body).Decode(&book); err != nil {
		return 0, "", fmt.Errorf("read the ledger of %s: %w", h.name, err)
	}
	var sum int64
	for _, e := range book.Entries {
		if e.Kind == "purchase" {
			purchases++
		}
		sum += e.Amount
	}
	return purchases, fmt.Sprintf("%d.%02d %s", sum/100, sum%100, book.Currency), nil
}
