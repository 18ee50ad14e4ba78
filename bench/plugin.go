package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/certbridge/certbridged/bench/report"
	"github.com/certbridge/certbridged/internal/pluginhost"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// How often things are done to plugins.
const (
	pluginStarts = 3
	warmCalls    = 200
	pluginCalls  = 5000
	callers      = 16
)

// plugin is part g.
func (b *bench) plugin(ctx context.Context) error {
	return errors.Join(b.pluginStarts(ctx), b.pluginCalls(ctx))
}

// host makes a plugin host as the daemon has one. The caller calls the function it gets when done.
func (b *bench) host() (*pluginhost.Host, string, func() error, error) {
	f, remove, err := b.folder()
	if err != nil {
		return nil, "", nil, err
	}
	h, err := pluginhost.New(pluginhost.Options{Dir: b.plugins, RuntimeDir: f.Path("run", "p"), OwnerUID: os.Geteuid()})
	if err != nil {
		remove()
		return nil, "", nil, err
	}
	return h, f.Dir, func() error {
		err := h.Close()
		remove()
		return err
	}, nil
}

// pluginStarts measures from the wish to the description: verifying the file, starting the process, shaking hands.
func (b *bench) pluginStarts(ctx context.Context) error {
	files, err := os.ReadDir(b.plugins)
	if err != nil {
		return err
	}
	for _, file := range files {
		kind, name, ok := strings.Cut(file.Name(), "-")
		if !ok || kind != "ca" && kind != "dcv" {
			continue
		}
		var took []time.Duration
		for range pluginStarts {
			t, err := b.startOnce(ctx, kind, name)
			if err != nil {
				return fmt.Errorf("%s: %w", file.Name(), err)
			}
			took = append(took, t)
		}
		size := int64(0)
		if info, err := file.Info(); err == nil {
			size = info.Size()
		}
		b.Add(report.Row{
			Part: "g", What: "start of " + file.Name(), Value: milliseconds(median(took)), Unit: "ms",
			Note: fmt.Sprintf("median of %d, by a host that knows nothing yet; %.0f MB", pluginStarts, float64(size)/(1<<20)),
		})
	}
	return nil
}

func (b *bench) startOnce(ctx context.Context, kind, name string) (took time.Duration, err error) {
	h, _, end, err := b.host()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, end()) }()
	begun := time.Now()
	if kind == "ca" {
		_, err = h.CA(pluginhost.Instance{Name: "bench", Plugin: name}).Describe(ctx)
	} else {
		_, err = h.DCV(pluginhost.Instance{Name: "bench", Plugin: name}).Describe(ctx)
	}
	return time.Since(begun), err
}

// pluginCalls measures a call that does next to nothing in the plugin: to ask ca-local for an order that it does not have
// makes it look for one file.
func (b *bench) pluginCalls(ctx context.Context) (err error) {
	h, dir, end, err := b.host()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	ca := h.CA(pluginhost.Instance{
		Name: "bench", Plugin: "local", Settings: pluginapi.Settings{Values: map[string]any{"dir": filepath.Join(dir, "ca")}},
	})
	request, err := unknownOrder()
	if err != nil {
		return err
	}
	call := func() error {
		_, err := ca.GetOrder(ctx, request)
		if pluginapi.KindOf(err) != pluginapi.NotFound {
			return fmt.Errorf("a question for an order that is not there is answered by: %w", err)
		}
		return nil
	}
	for range warmCalls {
		if err := call(); err != nil {
			return err
		}
	}
	took := make([]time.Duration, pluginCalls)
	for i := range took {
		begun := time.Now()
		if err := call(); err != nil {
			return err
		}
		took[i] = time.Since(begun)
	}
	slices.Sort(took)
	b.Add(report.Row{
		Part: "g", What: "a call across the plugin boundary", Value: milliseconds(took[len(took)/2]) * 1000, Unit: "µs", Target: report.AtMost(300),
		Note: fmt.Sprintf("median of %d one after the other; 99 in 100 under %d µs", pluginCalls, took[len(took)*99/100].Microseconds()),
	})
	return b.callsAtOnce(call)
}

// unknownOrder is an order as the daemon hands one in, which no CA has.
func unknownOrder() (pluginapi.PlacedOrder, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pluginapi.PlacedOrder{}, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"a.test"}}, key)
	return pluginapi.PlacedOrder{
		OrderRequest: pluginapi.OrderRequest{
			IdempotencyKey: strings.Repeat("0", 32), Kind: pluginapi.New, CSR: csr,
			Identifiers: []pluginapi.Identifier{{Type: pluginapi.DNS, Value: "a.test"}},
		},
		Reference: "local-" + strings.Repeat("0", 32),
	}, err
}

func (b *bench) callsAtOnce(call func() error) error {
	errs := make([]error, callers)
	begun := time.Now()
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for range pluginCalls / callers {
				if errs[i] = call(); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	rate := float64(pluginCalls/callers*callers) / time.Since(begun).Seconds()
	b.Add(report.Row{Part: "g", What: fmt.Sprintf("calls across the plugin boundary, %d at once", callers), Value: rate, Unit: "1/s"})
	return errors.Join(errs...)
}
