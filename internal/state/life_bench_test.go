package state_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/certbridge/certbridged/internal/state"
)

// BenchmarkOrders is what orders write from the intent to the deployed certificate, 64 of them side by side: their own records, which
// grow and shrink, the history of their certificates, and what their installation notes.
func BenchmarkOrders(b *testing.B) {
	s, err := state.Open(filepath.Join(b.TempDir(), "state.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	sized := func(n int) []byte { return bytes.Repeat([]byte{'x'}, n) }
	write := func(bucket string, records map[string][]byte) {
		if err := s.Write(bucket, records); err != nil {
			b.Error(err)
		}
	}
	b.ReportAllocs()
	var next atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	for range 64 {
		all.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				name := fmt.Sprintf("c%06d", i)
				order, history := fmt.Sprintf("order/20260101-000000-%08x", rand.Uint32()), "history/"+name
				write("journal", map[string][]byte{order: sized(450)})                        // intended
				write("journal", map[string][]byte{order: sized(1200)})                       // sending
				write("journal", map[string][]byte{order: sized(2100)})                       // placed
				write("journal", map[string][]byte{order: sized(4200), history: sized(2500)}) // issued
				write("generations", map[string][]byte{"busy/" + name: {}, history: sized(900)})
				write("generations", map[string][]byte{"busy/" + name: nil, history: sized(900)})
				write("journal", map[string][]byte{order: sized(3600)}) // installed
				write("generations", map[string][]byte{"busy/" + name: nil, history: sized(900)})
				write("journal", map[string][]byte{order: sized(900), history: sized(2600)}) // deployed
			}
		})
	}
	all.Wait()
}
