// Peers orders certificates with the libraries that other ACME clients are made of, so that the benchmark can tell how
// certbridged compares on the same work, in the same run, on the same machine. It is a module of its own: nothing else here
// needs these libraries.
//
//	peers -with certmagic -directory URL -root FILE -http ADDRESS -dir DIR -in-flight 32 < names
//
// It reads one domain name a line, orders a certificate (ECDSA P-256, http-01) for each, leaves certificates and keys below
// dir the way the library does, and ends. Each library is set up for speed: no limit of its own on how many orders it begins,
// and as many at once as it is told.
package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// job is what is to be ordered.
type job struct {
	directory, rootFile string
	roots               *x509.CertPool
	// http is host:port where the CA looks for the files of http-01.
	http     string
	dir      string
	inFlight int
	domains  []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	j := job{roots: x509.NewCertPool()}
	with := flag.String("with", "", "the library: certmagic or lego")
	flag.StringVar(&j.directory, "directory", "", "the CA's ACME directory")
	flag.StringVar(&j.rootFile, "root", "", "what the CA's own TLS certificate leads to, PEM")
	flag.StringVar(&j.http, "http", "", "`host:port` to answer http-01 challenges at")
	flag.StringVar(&j.dir, "dir", "", "where to leave certificates and keys")
	flag.IntVar(&j.inFlight, "in-flight", 32, "orders at once")
	flag.Parse()
	obtain := map[string]func(context.Context, job) error{"certmagic": withCertMagic, "lego": withLego}[*with]
	if obtain == nil {
		return fmt.Errorf("-with %q: certmagic and lego are known", *with)
	}
	root, err := os.ReadFile(j.rootFile)
	if err != nil {
		return err
	}
	if !j.roots.AppendCertsFromPEM(root) {
		return fmt.Errorf("%s holds no certificate", j.rootFile)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		j.domains = append(j.domains, lines.Text())
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the names: %w", err)
	}
	return obtain(ctx, j)
}

// each calls order with every domain, as many at once as the job says, and returns what went wrong.
func (j job) each(ctx context.Context, order func(context.Context, string) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	domains := make(chan string)
	var workers sync.WaitGroup
	for range j.inFlight {
		workers.Go(func() {
			for domain := range domains {
				if err := order(ctx, domain); err != nil {
					cancel(fmt.Errorf("%s: %w", domain, err))
				}
			}
		})
	}
	for _, domain := range j.domains {
		select {
		case domains <- domain:
		case <-ctx.Done():
		}
	}
	close(domains)
	workers.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return ctx.Err()
}
