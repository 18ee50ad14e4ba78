package order

import (
	"testing"

	"github.com/certbridge/certbridged/internal/cert"
)

// What was parsed is used for the bytes that it was parsed from, and for no others.
func TestWhatWasParsedIsOfTheRecord(t *testing.T) {
	first, second := newKeyDER(t), newKeyDER(t)
	key, err := cert.ParseKey(first)
	if err != nil {
		t.Fatal(err)
	}
	w := &work{entry: &entry{}, record: Record{Key: first}}
	w.entry.keepKey(first, key)
	if got, err := w.key(); err != nil || got != key {
		t.Errorf("%v: it was parsed again", err)
	}
	w.record.Key = second
	if got, err := w.key(); err != nil || cert.SamePublicKey(got.Public(), key.Public()) {
		t.Errorf("%v: another key passes for the record's", err)
	}
	if chain, err := w.chain(); err != nil || len(chain) != 0 {
		t.Errorf("a chain of %d out of none, %v", len(chain), err)
	}
}

func newKeyDER(t *testing.T) []byte {
	t.Helper()
	key, err := cert.GenerateKey(cert.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	der, err := cert.MarshalKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
