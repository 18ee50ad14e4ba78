package wire

import (
	"bytes"
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

func TestCheckSigned(t *testing.T) {
	t.Parallel()
	_, _, good := testCertificates(t)
	var g goodCSRs
	if err := g.checkSigned(good); err != nil || len(g.sums) != 1 {
		t.Fatalf("%d requests are remembered: %v", len(g.sums), err)
	}
	other := bytes.Clone(good)
	other[len(other)-1] ^= 1
	for what, der := range map[string][]byte{"none": nil, "cut off": good[:len(good)-1], "wrongly signed": other} {
		if err := g.checkSigned(der); err == nil || len(g.sums) != 1 {
			t.Errorf("%s: %d requests are remembered: %v", what, len(g.sums), err)
		}
	}
	if err := g.check(other); err != nil { // its form is good
		t.Error(err)
	}
	if err := g.checkSigned(other); err == nil {
		t.Error("a request whose form is known passes without a look at its signature")
	}
}
