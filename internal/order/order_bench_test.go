package order_test

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// mostSteps is more than an order takes.
const mostSteps = 50

// finish steps an order until it is final. It does not wait for the time of a step: what is measured is the engine.
func finish(b *testing.B, w *world, id string) order.Record {
	b.Helper()
	for range mostSteps {
		if r, _ := w.engine.Order(id); r.Phase.Final() {
			return r
		}
		if err := w.engine.Step(b.Context(), id); err != nil {
			b.Fatal(err)
		}
	}
	b.Fatal("the order does not end")
	return order.Record{}
}

// BenchmarkOrder is one order from the intent to the deployed certificate, with a journal in memory and a CA that takes no
// time: what the engine itself costs, beside the keys that are made.
func BenchmarkOrder(b *testing.B) {
	b.ReportAllocs()
	var w *world
	n, writes := 0, 0
	for b.Loop() {
		if n%ordersPerWorld == 0 { // what is over is not forgotten here
			b.StopTimer()
			w = newWorld(b)
			w.shop.description.OrdersCostMoney = false // so many would be over the budget
			b.StartTimer()
		}
		before := w.journal.writes
		r, err := w.engine.Begin(order.Intent{Certificate: "web", Reason: "requested"})
		if err != nil {
			b.Fatal(err)
		}
		if r = finish(b, w, r.ID); r.Phase != order.Deployed {
			b.Fatalf("%s: %+v", r.Phase, r.LastError)
		}
		n++
		writes += w.journal.writes - before
	}
	b.ReportMetric(float64(writes)/float64(n), "journal-writes/op")
}

// ordersPerWorld is how many orders one world of the benchmark sees.
const ordersPerWorld = 200

// oldJournal is a journal of certificates that were ordered once each.
func oldJournal(b *testing.B, certificates int) *memory {
	b.Helper()
	w := newWorld(b)
	r := w.begin("web")
	r = finish(b, w, r.ID)
	now := time.Now()
	r.Publications = nil // withdrawn
	window := order.Window{Serial: "1", Start: now, End: now.Add(time.Hour), LookAt: now}
	if _, err := w.engine.SaveWindow("web", window); err != nil {
		b.Fatal(err)
	}
	history := w.journal.buckets["journal"]["history/web"]
	if !bytes.Contains(history, []byte(`"chain":`)) {
		b.Fatal("no history")
	}
	records := map[string][]byte{}
	for i := range certificates {
		name := fmt.Sprintf("c%06d", i)
		r.ID, r.Certificate, r.Created, r.Updated = fmt.Sprintf("20260101-000000-%08x", i), name, now, now
		text, err := order.EncodeRecord(r)
		if err != nil {
			b.Fatal(err)
		}
		records["order/"+r.ID] = text
		records["history/"+name] = bytes.ReplaceAll(history, []byte(`"web"`), []byte(`"`+name+`"`))
	}
	journal := &memory{}
	if err := journal.Write("journal", records); err != nil {
		b.Fatal(err)
	}
	return journal
}

// BenchmarkReplay is what a start reads: an order and a history for each of 10 000 certificates.
func BenchmarkReplay(b *testing.B) {
	const certificates = 10000
	journal := oldJournal(b, certificates)
	w := newWorld(b)
	w.journal = journal
	b.ReportAllocs()
	w.engine = nil
	before := heap()
	for b.Loop() {
		w.restart()
	}
	b.ReportMetric(float64(heap()-before)/certificates, "heap-B/certificate")
	if n := len(w.engine.Orders()); n != certificates {
		b.Fatalf("%d orders", n)
	}
}

// heap is how much memory is in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkOrders is what looks at all orders cost, such as a change of the configuration.
func BenchmarkOrders(b *testing.B) {
	w := newWorld(b)
	w.journal = oldJournal(b, 10000)
	w.restart()
	b.ReportAllocs()
	for b.Loop() {
		_ = w.engine.Orders()
	}
}

// BenchmarkEncodeRecord is one record of an order that is being validated, as it is journaled some ten times.
func BenchmarkEncodeRecord(b *testing.B) {
	r := order.Record{
		ID: "20260101-000000-00000001", Certificate: "web", Account: "shop", Phase: order.Validating, Key: make([]byte, 138), CSR: make([]byte, 230),
		Names: []string{"a.example.com"}, Reference: "https://ca.example.com/order/1", PluginState: make([]byte, 120), Created: time.Now(), Updated: time.Now(),
		Authorizations: []pluginapi.Authorization{{Identifier: "a.example.com", Challenges: []pluginapi.Challenge{{
			ID: "https://ca.example.com/challenge/1", Identifier: "a.example.com",
			HTTP: &pluginapi.HTTPFile{Host: "a.example.com", Path: "/.well-known/acme-challenge/token", Body: "token.thumbprint"},
		}}}},
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := order.EncodeRecord(r); err != nil {
			b.Fatal(err)
		}
	}
}
