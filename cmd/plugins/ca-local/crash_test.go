package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// In the environment of the test binary these make it a process that orders until it is killed.
const (
	buyerDir = "CA_LOCAL_TEST_BUYER_DIR"
	buyerCSR = "CA_LOCAL_TEST_BUYER_CSR" // hexadecimal
)

// nthOrder is what every process orders under the nth key.
func nthOrder(csr []byte, n int) pluginapi.OrderRequest {
	return pluginapi.OrderRequest{
		IdempotencyKey: fmt.Sprintf("%08x%024x", n, n), Kind: pluginapi.New, CSR: csr,
		Identifiers: []pluginapi.Identifier{{Value: "a.example", Type: pluginapi.DNS}},
	}
}

// buy orders one certificate after another and tells the digest of each.
func buy(dir string, out io.Writer) error {
	csr, err := hex.DecodeString(os.Getenv(buyerCSR))
	if err != nil {
		return err
	}
	l := &localCA{now: time.Now, account: account{dir: dir, commonName: "crash", challenge: challengeNone, lifetime: time.Hour}}
	for n := 0; ; n++ {
		got, err := l.PlaceOrder(context.Background(), nthOrder(csr, n))
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%x\n", sha256.Sum256(got.Order.Chain[0]))
	}
}

// TestKilledAtAnyInstant lets two processes order the same on one folder, and kills them. What they were told is what the
// folder holds, both were told the same, and what they were at when they died is not there or whole.
func TestKilledAtAnyInstant(t *testing.T) {
	t.Parallel()
	const rounds = 8
	for range rounds {
		now := time.Now()
		l := newCA(t, &now, nil)
		csr := newRequest(t, 0, ecKey(t), "a.example").CSR
		told := ordersUntilKilled(t, l.account.dir, csr)
		if len(told[0])+len(told[1]) == 0 {
			t.Error("both were killed before they had ordered")
		}
		for n := range max(len(told[0]), len(told[1])) + 1 {
			r := nthOrder(csr, n)
			found, err := l.FindOrder(t.Context(), r, now)
			if err != nil && pluginapi.KindOf(err) != pluginapi.NotFound {
				t.Fatalf("order %d: %v", n, err)
			}
			placed, leaf := issue(t, l, r)
			if err == nil && (found.Order.Status != pluginapi.Issued || !strings.EqualFold(digest(found.Order), digest(placed))) {
				t.Errorf("order %d is found %s as %s and then placed as %s", n, found.Order.Status, digest(found.Order), digest(placed))
			}
			for i, list := range told {
				if n < len(list) && list[n] != digest(placed) {
					t.Errorf("order %d: process %d was told %s, the folder has %s", n, i, list[n], digest(placed))
				}
			}
			if again, err := l.FindOrderByCertificate(t.Context(), leaf.Raw); err != nil || again.Order.Reference != placed.Reference {
				t.Errorf("order %d by its certificate: %q, %v", n, again.Order.Reference, err)
			}
		}
	}
}

func digest(o pluginapi.Order) string {
	if len(o.Chain) == 0 {
		return "no certificate"
	}
	sum := sha256.Sum256(o.Chain[0])
	return hex.EncodeToString(sum[:])
}

// ordersUntilKilled returns what each of two processes was told before it died.
func ordersUntilKilled(t *testing.T, dir string, csr []byte) [2][]string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var told [2][]string
	var commands [2]*exec.Cmd
	var outputs [2]*bufio.Scanner
	for i := range commands {
		c := exec.CommandContext(t.Context(), self)
		c.Env = append(os.Environ(), buyerDir+"="+dir, buyerCSR+"="+hex.EncodeToString(csr))
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		commands[i], outputs[i] = c, bufio.NewScanner(out)
	}
	outputs[0].Scan() // both work, or are about to
	told[0] = append(told[0], outputs[0].Text())
	for i, c := range commands {
		<-time.After(time.Duration(rand.IntN(20_000)) * time.Microsecond)
		if err := c.Process.Kill(); err != nil {
			t.Error(err)
		}
		for outputs[i].Scan() {
			if line := outputs[i].Text(); len(line) == 2*sha256.Size { // and not cut off
				told[i] = append(told[i], line)
			}
		}
		_ = c.Wait() // it was killed
	}
	return told
}
