// Package catalog says what each of lego's DNS providers does with a record that is not ACME's own.
//
// lego's providers were written for one record, _acme-challenge, that nobody else uses. What they do with any other
// record, and with its neighbours, was found by reading their source; the tests hold the table against that source.
package catalog

import (
	"maps"
	"slices"
)

// State is how a provider finds the record that it shall remove.
type State int

// The ways to find a record.
const (
	// FindsByValue: CleanUp finds the record by its name and value.
	FindsByValue State = 1
	// FindsByName: CleanUp removes what has the name, whatever its value.
	FindsByName State = 2
	// FromReceipt: CleanUp needs what Present remembered.
	FromReceipt State = 3
)

// Provider is what one provider does.
type Provider struct {
	// Aliases are other names of the same provider.
	Aliases []string
	// NotLiteral says why it can publish nothing but ACME's record; empty: it can publish any TXT record.
	NotLiteral string
	// NoApex says why it cannot publish at the zone's own name; empty: it can.
	NoApex string
	// Overwrites says what becomes of other TXT records of the same name; empty: they stay as they are.
	Overwrites string
	// State is how a record is found when it shall be removed.
	State State
	// Concurrent: calls for different records do not disturb each other. The others are called one after the other.
	Concurrent bool
	// Note is something else that a user must know.
	Note string
}

// Find returns a provider by its name or one of its aliases, and its canonical name.
func Find(name string) (canonical string, p Provider, ok bool) {
	for _, part := range parts() {
		if p, ok := part[name]; ok {
			return name, p, true
		}
		for canonical, p := range part {
			if slices.Contains(p.Aliases, name) {
				return canonical, p, true
			}
		}
	}
	return "", Provider{}, false
}

// Names are the canonical names of all providers, in alphabetical order.
func Names() []string {
	var names []string
	for _, part := range parts() {
		names = slices.AppendSeq(names, maps.Keys(part))
	}
	slices.Sort(names)
	return names
}

// parts are the table, which is in several files for its size.
func parts() []map[string]Provider {
	return []map[string]Provider{providersAToD(), providersEToM(), providersNToZ()}
}
