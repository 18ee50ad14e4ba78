package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

func lockOrder(t *testing.T, d folder, key string) (unlock func()) {
	t.Helper()
	unlock, err := d.lockOrder(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return unlock
}

func TestTheLockEndsWithItsContext(t *testing.T) {
	d := folder(t.TempDir())
	key := strings.Repeat("f", 32)
	unlock := lockOrder(t, d, key)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := d.lockOrder(ctx, key); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	unlock()
	lockOrder(t, d, key)()
}

// TestOneChangeWaitsForNoOther holds one order's lock: other orders and the revocation list go on, that order does not.
func TestOneChangeWaitsForNoOther(t *testing.T) {
	now := time.Now()
	l := newCA(t, &now, nil)
	held := newRequest(t, 1, ecKey(t), "a.example")
	held.IdempotencyKey = "1" + held.IdempotencyKey[1:]
	unlock := lockOrder(t, l.folder(), held.IdempotencyKey)
	_, leaf := issue(t, l, newRequest(t, 2, ecKey(t), "b.example"))
	if _, err := l.RevokeCertificate(t.Context(), pluginapi.Revocation{Leaf: leaf.Raw}); err != nil {
		t.Error(err)
	}
	done := make(chan error)
	go func() {
		_, err := l.PlaceOrder(t.Context(), held)
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("the order did not wait: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	unlock()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestOneKeyIsOneCertificate places each of some orders many times at once, from two plugins on one folder.
func TestOneKeyIsOneCertificate(t *testing.T) {
	now := time.Now()
	first := newCA(t, &now, nil)
	second := newCA(t, &now, map[string]any{"dir": first.account.dir})
	const orders, times = 4, 6
	leaves := make([][times][]byte, orders)
	var group sync.WaitGroup
	for i := range orders {
		r := newRequest(t, i, ecKey(t), "a.example")
		for j := range times {
			l := []*localCA{first, second}[j%2]
			group.Go(func() {
				got, err := l.PlaceOrder(t.Context(), r)
				if err != nil || got.Order.Status != pluginapi.Issued {
					t.Error(got.Order.Status, err)
					return
				}
				leaves[i][j] = got.Order.Chain[0]
			})
		}
	}
	group.Wait()
	for i, of := range leaves {
		for _, leaf := range of {
			if !slices.Equal(leaf, of[0]) {
				t.Errorf("order %d has two certificates", i)
			}
		}
	}
}

// TestFoldersOfOlderVersionsAreRead makes of new orders what older versions left: a certificate whose serial number has a
// file in place of the key in it, and an order that was placed and left to GetOrder.
func TestFoldersOfOlderVersionsAreRead(t *testing.T) {
	now := time.Now()
	l := newCA(t, &now, nil)
	r := newRequest(t, 1, ecKey(t), "a.example")
	issue(t, l, r)
	old, err := l.folder().load(r.IdempotencyKey)
	if err != nil {
		t.Fatal(err)
	}
	old.Chain = nil
	if err := l.folder().save(old); err != nil {
		t.Fatal(err)
	}
	if found, err := l.FindOrder(t.Context(), r, now); err != nil || found.Order.Status != pluginapi.Processing {
		t.Errorf("an order that was left to GetOrder: %s, %v", found.Order.Status, err)
	}
	for name, call := range map[string]func() (pluginapi.OrderReply, error){
		"PlaceOrder": func() (pluginapi.OrderReply, error) { return l.PlaceOrder(t.Context(), r) },
		"GetOrder": func() (pluginapi.OrderReply, error) {
			return l.GetOrder(t.Context(), pluginapi.PlacedOrder{OrderRequest: r, Reference: referencePrefix + r.IdempotencyKey})
		},
	} {
		if err := l.folder().save(old); err != nil {
			t.Fatal(err)
		}
		got, err := call()
		if err != nil || got.Order.Status != pluginapi.Issued {
			t.Errorf("%s: %s, %v", name, got.Order.Status, err)
		}
	}

	leaf := leafWithSerial(t, l, r, new(big.Int).Lsh(big.NewInt(1), 127))
	if _, err := l.FindOrderByCertificate(t.Context(), leaf); pluginapi.KindOf(err) != pluginapi.NotFound {
		t.Errorf("before its file is there: %v", err)
	}
	if err := l.folder().write([]byte(r.IdempotencyKey+"\n"), 0o600, "serials", fmt.Sprintf("8%031x", 0)); err != nil {
		t.Fatal(err)
	}
	if found, err := l.FindOrderByCertificate(t.Context(), leaf); err != nil || found.Order.Reference != referencePrefix+r.IdempotencyKey {
		t.Errorf("found %q, %v", found.Order.Reference, err)
	}
}

// leafWithSerial puts a certificate with a serial number of choice in place of the one that an order has.
func leafWithSerial(t *testing.T, l *localCA, r pluginapi.OrderRequest, serial *big.Int) []byte {
	t.Helper()
	ca, err := l.folder().readAuthority()
	if err != nil {
		t.Fatal(err)
	}
	have, err := l.folder().load(r.IdempotencyKey)
	if err != nil {
		t.Fatal(err)
	}
	if have.Chain, err = ca.signAs(serial, have, l.account, l.now()); err != nil {
		t.Fatal(err)
	}
	if err := l.folder().save(have); err != nil {
		t.Fatal(err)
	}
	return have.Chain[0]
}

// TestWhatIsHalfWrittenIsNoOrder has beside an order what a process leaves that is killed while it writes.
func TestWhatIsHalfWrittenIsNoOrder(t *testing.T) {
	now := time.Now()
	l := newCA(t, &now, nil)
	r := newRequest(t, 1, ecKey(t), "a.example")
	if err := os.MkdirAll(l.folder().path("orders"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.folder().path("orders", ".new-123"), []byte(`{"version":1,`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.FindOrder(t.Context(), r, now); pluginapi.KindOf(err) != pluginapi.NotFound {
		t.Errorf("got %v", err)
	}
	issue(t, l, r)
}

func TestSerialNumbersLeadToTheirOrder(t *testing.T) {
	d := folder(t.TempDir())
	for _, key := range []string{strings.Repeat("0", 32), strings.Repeat("f", 32), "0123456789abcdef0123456789abcdef"} {
		serial, err := leafSerial(key)
		if err != nil {
			t.Fatal(err)
		}
		again, err := leafSerial(key)
		if err != nil || serial.Cmp(again) == 0 {
			t.Errorf("%s: two serial numbers %x and %x, %v", key, serial, again, err)
		}
		if got, ok := d.keyOfSerial(serial); !ok || got != key || serial.BitLen() != serialBits {
			t.Errorf("%s: %x of %d bits leads to %q, %v", key, serial, serial.BitLen(), got, ok)
		}
	}
	for _, key := range []string{"", "0123", strings.Repeat("g", 32), strings.Repeat("0", 34)} {
		if serial, err := leafSerial(key); err == nil {
			t.Errorf("%q makes %x", key, serial)
		}
	}
	for _, serial := range []*big.Int{big.NewInt(0), big.NewInt(-1), big.NewInt(1), new(big.Int).Neg(new(big.Int).Lsh(big.NewInt(1), 158)), new(big.Int).Lsh(big.NewInt(1), 4000)} {
		if key, ok := d.keyOfSerial(serial); ok {
			t.Errorf("a serial number of %d bits leads to %q", serial.BitLen(), key)
		}
	}
}

// FuzzRecord holds that a file of any content is an order that is whole, or an error.
func FuzzRecord(f *testing.F) {
	key := strings.Repeat("0", 32)
	whole, err := json.Marshal(&record{Version: recordVersion, Key: key, Chain: [][]byte{{1}}})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{whole, whole[:len(whole)/2], nil, []byte("null"), []byte(`{"version":2}`)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d := folder(t.TempDir())
		if err := d.write(text, 0o600, "orders", key+".json"); err != nil {
			t.Fatal(err)
		}
		r, err := d.load(key)
		if err == nil && (r.Version != recordVersion || r.Key != key || r.Valid == nil || r.Answered == nil) {
			t.Errorf("read %+v", r)
		}
	})
}

// TestAReplacedCAIsNoticed exchanges the CA's files, as a restore from a backup does, while the plugin runs.
func TestAReplacedCAIsNoticed(t *testing.T) {
	now := time.Now()
	l := newCA(t, &now, nil)
	before, _ := issue(t, l, newRequest(t, 1, ecKey(t), "a.example"))
	again, _ := issue(t, l, newRequest(t, 2, ecKey(t), "a.example"))
	if !slices.Equal(before.Chain[1], again.Chain[1]) {
		t.Error("two orders have two CAs")
	}
	if err := os.Rename(l.folder().path("ca"), l.folder().path("ca.old")); err != nil {
		t.Fatal(err)
	}
	if err := l.folder().makeAuthority("another", now); err != nil {
		t.Fatal(err)
	}
	after, leaf := issue(t, l, newRequest(t, 3, ecKey(t), "a.example"))
	issuer, err := x509.ParseCertificate(after.Chain[1])
	if err != nil {
		t.Fatal(err)
	}
	if slices.Equal(before.Chain[1], after.Chain[1]) || leaf.CheckSignatureFrom(issuer) != nil {
		t.Errorf("issued by %s, which was replaced", issuer.Subject)
	}
}
