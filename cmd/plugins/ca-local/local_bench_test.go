package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// BenchmarkOrder is what one certificate asks of the CA: the order, and then its renewal window.
func BenchmarkOrder(b *testing.B) {
	now := time.Now()
	l := newCA(b, &now, nil)
	key := ecKey(b)
	first := newRequest(b, 0, key, "shop.example.com", "www.shop.example.com")
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r := first
		r.IdempotencyKey = fmt.Sprintf("%032x", i)
		got, err := l.PlaceOrder(b.Context(), r)
		if err != nil || got.Order.Status != pluginapi.Issued {
			b.Fatal(got.Order.Status, err)
		}
		if _, err := l.RenewalInfo(b.Context(), got.Order.Chain[0]); err != nil {
			b.Fatal(err)
		}
	}
}
