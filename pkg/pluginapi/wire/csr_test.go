package wire

import (
	"encoding/binary"
	"testing"
)

// A request that is remembered as good is no pass for another, and what is remembered stays within bounds.
func TestGoodCSRs(t *testing.T) {
	t.Parallel()
	_, _, good := testCertificates(t)
	_, _, other := testCertificates(t)
	var g goodCSRs
	for range 3 {
		if err := g.check(good); err != nil {
			t.Fatal(err)
		}
		if err := g.check(good[:len(good)-1]); err == nil {
			t.Fatal("a request that is cut off passes")
		}
	}
	if len(g.sums) != 1 {
		t.Errorf("%d requests are remembered", len(g.sums))
	}
	for i := range maxGoodCSRs {
		var key [32]byte
		binary.LittleEndian.PutUint64(key[:], uint64(i))
		g.sums[key] = struct{}{}
	}
	if err := g.check(other); err != nil || len(g.sums) != 1 {
		t.Errorf("%d requests are remembered: %v", len(g.sums), err)
	}
}
