package sandbox

import (
	"slices"
	"time"
)

// What a ledger's entry is about.
const (
	// Purchase is an order that was accepted and costs money.
	Purchase = "purchase"
	// ExtraNames are names that a reissue added, charged for what is left of the plan.
	ExtraNames = "extra-names"
	// Refund gives back what an order cost.
	Refund = "refund"
	// Reissue is another certificate inside paid time.
	Reissue = "reissue"
	// Duplicate is another certificate beside the present one.
	Duplicate = "duplicate"
	// Cancel ends an order before its certificate.
	Cancel = "cancel"
	// Revoke ends certificates.
	Revoke = "revoke"
	// Issue is a certificate that was signed.
	Issue = "issue"
)

// Entry is one thing that happened, as an accountant sees it.
type Entry struct {
	Time  time.Time `json:"time"`
	Kind  string    `json:"kind"`
	Order string    `json:"order"`
	// Reference is the client's own name of the order.
	Reference string   `json:"reference,omitempty"`
	Product   string   `json:"product,omitempty"`
	Names     []string `json:"names,omitempty"`
	// Amount is in cents of the account's currency, negative for what is given back.
	Amount int64 `json:"amount"`
	// Renews is the order that this one continues.
	Renews string `json:"renews,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// Ledger is all that happened, oldest first. Its owner guards it.
type Ledger struct {
	Entries []Entry `json:"entries"`
}

// Add appends an entry.
func (l *Ledger) Add(e Entry) { l.Entries = append(l.Entries, e) }

// Copy returns a ledger that later entries do not change.
func (l *Ledger) Copy() Ledger { return Ledger{Entries: slices.Clone(l.Entries)} }

// Count is how often something happened.
func (l *Ledger) Count(kind string) int {
	n := 0
	for _, e := range l.Entries {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// Counts is how often each thing happened.
func (l *Ledger) Counts() map[string]int {
	counts := map[string]int{Purchase: 0, Reissue: 0, Duplicate: 0, Cancel: 0, Revoke: 0, Issue: 0, Refund: 0, ExtraNames: 0}
	for _, e := range l.Entries {
		counts[e.Kind]++
	}
	return counts
}

// Sum is what was paid in all, in cents.
func (l *Ledger) Sum() int64 {
	var sum int64
	for _, e := range l.Entries {
		sum += e.Amount
	}
	return sum
}
