package schedule_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/schedule"
)

// BenchmarkDecide decides about 10 000 certificates that are not due.
func BenchmarkDecide(b *testing.B) {
	now := time.Now()
	inputs := make([]schedule.Input, 10000)
	for i := range inputs {
		inputs[i] = schedule.Input{
			Name: fmt.Sprintf("c%06d", i), HasNames: true, KeyType: "ecdsa-p256", RenewBefore: schedule.RenewBefore{Fraction: 0.33},
			Certificate: &schedule.Certificate{Serial: fmt.Sprint(i), NotBefore: now.AddDate(0, 0, -10), NotAfter: now.AddDate(0, 0, 80), KeyType: "ecdsa-p256"},
			Window:      &schedule.Window{Serial: fmt.Sprint(i), Start: now.AddDate(0, 0, 40), End: now.AddDate(0, 0, 42)},
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, in := range inputs {
			if v := schedule.Decide(in, now); v.Act {
				b.Fatal(v)
			}
		}
	}
}

// BenchmarkTimer sets 10 000 keys anew in a timer that holds them all, as a full look at everything does.
func BenchmarkTimer(b *testing.B) {
	t := schedule.NewTimer()
	keys := make([]string, 10000)
	for i := range keys {
		keys[i] = fmt.Sprintf("evaluate/c%06d", i)
	}
	at := time.Now().Add(time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		for i, key := range keys {
			t.Set(key, at.Add(time.Duration(i*7919%10000)*time.Second))
		}
	}
	if t.Len() != len(keys) {
		b.Fatal(t.Len())
	}
}
