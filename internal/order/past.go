package order

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// What is over stays in the journal alone: ten thousand certificates have as many orders behind them that nobody asks
// for, and chains that only their next order needs.

// past is what is kept in memory of an order that is over.
type past struct {
	certificate string
	created     time.Time
}

// over: nothing will be done for it any more, and so its record will not change.
func (r *Record) over() bool { return r.Phase.Final() && len(r.Publications) == 0 }

// History returns what is remembered of a certificate. What stands in it of the last order is without chain and plugin
// state; Previous.Has knows the chain all the same.
func (e *Engine) History(certificate string) History {
	e.mu.Lock()
	defer e.mu.Unlock()
	if m, ok := e.histories[certificate]; ok {
		return m.history()
	}
	return History{}
}

// WholeHistory reads all that is remembered of a certificate from the journal.
func (e *Engine) WholeHistory(certificate string) (History, error) {
	text, err := e.Journal.Read(bucket, historyPrefix+certificate)
	if err != nil || text == nil {
		return History{}, err
	}
	h, err := decode[History](text)
	if err != nil {
		return History{}, fmt.Errorf("read journal: record %s%s: %w", historyPrefix, certificate, err)
	}
	return h, nil
}

// wholeHistory is WholeHistory for one that is to be changed: the same order mostly does so twice within a second.
func (e *Engine) wholeHistory(certificate string) (History, error) {
	e.mu.Lock()
	h, known := e.whole[certificate]
	e.mu.Unlock()
	if known {
		return h, nil
	}
	return e.WholeHistory(certificate)
}

// OpenOrder returns the open order of a certificate.
func (e *Engine) OpenOrder(certificate string) (Record, bool) {
	e.mu.Lock()
	en := e.orders[e.open[certificate]]
	e.mu.Unlock()
	if en == nil {
		return Record{}, false
	}
	return en.snapshot(), true
}

// Order returns an order by its id. As with all records that the Engine hands out, its lists are not to be changed.
func (e *Engine) Order(id string) (Record, bool) {
	en := e.entry(id)
	if en == nil {
		return Record{}, false
	}
	return en.snapshot(), true
}

// entry returns an order to work on. That of one that is over is made anew each time.
func (e *Engine) entry(id string) *entry {
	e.mu.Lock()
	en := e.orders[id]
	_, over := e.past[id]
	e.mu.Unlock()
	if en != nil || !over {
		return en
	}
	text, err := e.Journal.Read(bucket, orderPrefix+id)
	if err == nil && text == nil {
		return nil // forgotten this moment
	}
	var r Record
	if err == nil {
		r, err = DecodeRecord(text)
	}
	if err != nil {
		e.Logger.Error("an order that is over cannot be read from the journal", "order", id, "error", err)
		return nil
	}
	return &entry{record: r}
}

// Working returns the orders that something is still to be done for, the oldest first: those that are open, and those
// that have something to withdraw.
func (e *Engine) Working() []Record {
	e.mu.Lock()
	entries := make([]*entry, 0, len(e.orders))
	for _, en := range e.orders {
		entries = append(entries, en)
	}
	e.mu.Unlock()
	records := make([]Record, 0, len(entries))
	for _, en := range entries {
		records = append(records, en.snapshot())
	}
	slices.SortFunc(records, byAge)
	return records
}

// Orders returns all orders, the oldest first. Those that are over are read from the journal; what cannot be read there
// is logged and left out.
func (e *Engine) Orders() []Record {
	return e.list(func(string) bool { return true })
}

// OrdersOf returns all orders of a certificate, as Orders does.
func (e *Engine) OrdersOf(certificate string) []Record {
	return e.list(func(name string) bool { return name == certificate })
}

func (e *Engine) list(wanted func(certificate string) bool) []Record {
	records := slices.DeleteFunc(e.Working(), func(r Record) bool { return !wanted(r.Certificate) })
	seen := make(map[string]bool, len(records))
	for _, r := range records {
		seen[r.ID] = true
	}
	var over []string
	e.mu.Lock()
	for id, p := range e.past {
		if !seen[id] && wanted(p.certificate) { // what ended a moment ago is in the list already
			over = append(over, id)
		}
	}
	e.mu.Unlock()
	for _, id := range over {
		if en := e.entry(id); en != nil {
			records = append(records, en.record)
		}
	}
	slices.SortFunc(records, byAge)
	return records
}

// HasOrders reports whether there is, or was, an order of a certificate.
func (e *Engine) HasOrders(certificate string) bool {
	if slices.ContainsFunc(e.Working(), func(r Record) bool { return r.Certificate == certificate }) {
		return true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.past {
		if p.certificate == certificate {
			return true
		}
	}
	return false
}

func byAge(a, b Record) int {
	if c := a.Created.Compare(b.Created); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}

// superfluous lists the orders that are over and that nobody needs any more: all but the latest of each certificate. The
// caller holds the lock.
func (e *Engine) superfluous() []string {
	type ended struct {
		id string
		past
	}
	list := make([]ended, 0, len(e.past))
	for id, p := range e.past {
		list = append(list, ended{id, p})
	}
	slices.SortFunc(list, func(a, b ended) int { // the latest first
		if c := b.created.Compare(a.created); c != 0 {
			return c
		}
		return strings.Compare(b.id, a.id)
	})
	seen := map[string]int{}
	var ids []string
	for _, o := range list {
		if seen[o.certificate]++; seen[o.certificate] > keepOrders {
			ids = append(ids, o.id)
		}
	}
	return ids
}
