package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/certbridge/certbridged/bench/report"
)

// peer is another ACME client, set to the same work: new names, a P-256 key each, http-01, certificate and key on disk.
type peer struct {
	name string
	// order runs it until all is ordered.
	order func(context.Context, errand) (used time.Duration, err error)
	// program is what it needs on this machine; inFlight how many orders or processes at once it is tried with: the best counts.
	program  string
	inFlight []int
	// most is how many it orders at most: a client that is a process for each takes minutes for more, at no other rate.
	most int
}

// errand is what a peer is to do.
type errand struct {
	directory, root, http, dir string
	inFlight                   int
	domains                    []string
}

// workers is how many processes at once a client of one order at a time is run as.
const workers = 8

// peerList is who is compared with: the libraries that most clients are made of, and what Debian has.
func (b *bench) peerList() []peer {
	return []peer{
		{name: "CertMagic as a library", program: b.peers, inFlight: b.inFlight, most: math.MaxInt, order: b.library("certmagic")},
		// lego waits for seconds between two looks at an order, so many at once cost it nothing. It gets as many tries as the others.
		{name: "lego as a library", program: b.peers, inFlight: slices.Repeat([]int{512}, len(b.inFlight)), most: math.MaxInt, order: b.library("lego")},
		{name: "dehydrated, 8 processes", program: "dehydrated", inFlight: []int{workers}, most: 4 * workers, order: dehydrated},
		{name: "certbot, 8 processes", program: "certbot", inFlight: []int{workers}, most: 4 * workers, order: certbot},
	}
}

// besidePeers is part p: the ceiling, certbridged and the peers at the same work. Pebble refuses no nonce in it: at a refused one
// dehydrated gives up.
func (b *bench) besidePeers(ctx context.Context) error {
	refused := b.nonceReject
	b.nonceReject = 0
	defer func() { b.nonceReject = refused }()
	var errs []error
	least := 0 // what was ordered at least so far
	for _, n := range b.peerOrders {
		ours, err := b.besideOurs(ctx, n)
		if err != nil {
			return err
		}
		best := 0.0
		for _, p := range b.peerList() {
			if p.most <= least { // it was asked for as many before
				continue
			}
			if _, err := exec.LookPath(p.program); err != nil {
				b.Add(report.Row{Part: "p", What: p.name, N: n, Unit: "certificates/s", Note: "not measured: " + err.Error()})
				continue
			}
			rate, err := b.peer(ctx, p, min(n, p.most), ours)
			if err != nil { // the others are told all the same
				errs = append(errs, fmt.Errorf("%d by %s: %w", n, p.name, err))
			}
			best = max(best, rate)
		}
		if best > 0 {
			b.Add(report.Row{Part: "p", What: "certbridged, times the best of them", N: n, Value: ours / best, Target: report.AtLeast(5)})
		}
		least = n
	}
	return errors.Join(errs...)
}

// besideOurs measures certbridged and returns its rate.
func (b *bench) besideOurs(ctx context.Context, n int) (ours float64, err error) {
	before := len(b.Rows)
	if err := b.pebbleRun(ctx, n, "http-01"); err != nil {
		return 0, err
	}
	for i := range b.Rows[before:] {
		row := &b.Rows[before+i]
		row.Part = "p" // part a may have the same rows, of another quarter of an hour
		if row.What == "Pebble http-01: certbridged" {
			ours = row.Value
		}
	}
	return ours, nil
}

// peer measures one peer and returns its best rate.
func (b *bench) peer(ctx context.Context, p peer, n int, ours float64) (float64, error) {
	var rates tries
	note := ""
	for _, inFlight := range p.inFlight {
		took, used, err := b.peerRun(ctx, p, n, inFlight)
		if err != nil {
			return 0, fmt.Errorf("%d at once: %w", inFlight, err)
		}
		rate := float64(n) / took.Seconds()
		if rates.add(rate, fmt.Sprintf("%.3g with %d at once", rate, inFlight)) {
			note = fmt.Sprintf("; %.1f ms of processor time each", used.Seconds()*1000/float64(n))
		}
	}
	b.Add(report.Row{Part: "p", What: p.name, N: n, Value: rates.best, Unit: "certificates/s", Note: rates.note() + note})
	b.Add(report.Row{Part: "p", What: "certbridged, times " + p.name, N: n, Value: ours / rates.best, Target: report.AtLeast(1)})
	return rates.best, nil
}

// peerRun has a peer order n certificates at a fresh Pebble, from the start of its process to its end, and sees that each name
// has its certificate on disk.
func (b *bench) peerRun(ctx context.Context, p peer, n, inFlight int) (took, used time.Duration, err error) {
	f, remove, err := b.folder()
	if err != nil {
		return 0, 0, err
	}
	defer remove()
	s, end, err := b.pebbleSite(ctx, f.Dir)
	if err != nil {
		return 0, 0, err
	}
	defer end()
	e := errand{directory: s.pebble.DirectoryURL, root: f.Path("root.pem"), http: s.files, dir: f.Path("peer"), inFlight: inFlight}
	for _, c := range names(n, "peer", "", "") {
		e.domains = append(e.domains, c.Domain)
	}
	if err := errors.Join(os.Mkdir(e.dir, 0o700), writeFile(e.root, b.ca.RootPEM())); err != nil {
		return 0, 0, err
	}
	began := time.Now()
	used, err = p.order(ctx, e)
	took = time.Since(began)
	if err != nil {
		return 0, 0, err
	}
	return took, used, e.done()
}

// done sees that each domain has a certificate below the folder.
func (e errand) done() error {
	have := map[string]bool{}
	err := filepath.WalkDir(e.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		block, _ := pem.Decode(text)
		if block == nil || block.Type != "CERTIFICATE" {
			return nil
		}
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err == nil && len(leaf.DNSNames) > 0 {
			have[leaf.DNSNames[0]] = true
		}
		return err
	})
	for _, domain := range e.domains {
		if err == nil && !have[domain] {
			err = fmt.Errorf("%s has no certificate below %s", domain, e.dir)
		}
	}
	return err
}

// library runs the program that bench/peers is.
func (b *bench) library(with string) func(context.Context, errand) (time.Duration, error) {
	return func(ctx context.Context, e errand) (time.Duration, error) {
		cmd := exec.CommandContext(ctx, b.peers, "-with", with, "-directory", e.directory, "-root", e.root, "-http", e.http,
			"-dir", e.dir, "-in-flight", fmt.Sprint(e.inFlight))
		cmd.Stdin = strings.NewReader(strings.Join(e.domains, "\n") + "\n")
		return runPeer(cmd)
	}
}

// dehydrated runs one process for a share of the names each; every one has an account and a folder of its own, since they
// lock their folders.
func dehydrated(ctx context.Context, e errand) (time.Duration, error) {
	return e.inShares(ctx, func(ctx context.Context, dir, webroot string, domains []string) (time.Duration, error) {
		config := fmt.Sprintf("BASEDIR=%q\nWELLKNOWN=%q\nCA=%q\nCURL_OPTS=\"--cacert %s\"\nKEY_ALGO=prime256v1\n",
			dir, filepath.Join(webroot, wellKnown), e.directory, e.root)
		file := filepath.Join(dir, "config")
		if err := errors.Join(writeFile(file, []byte(config)),
			writeFile(filepath.Join(dir, "domains.txt"), []byte(strings.Join(domains, "\n")+"\n"))); err != nil {
			return 0, err
		}
		used, err := runPeer(exec.CommandContext(ctx, "dehydrated", "--register", "--accept-terms", "--config", file))
		if err != nil {
			return used, err
		}
		more, err := runPeer(exec.CommandContext(ctx, "dehydrated", "--cron", "--config", file))
		return used + more, err
	})
}

// certbot runs one process for each certificate, as its own documentation does.
func certbot(ctx context.Context, e errand) (time.Duration, error) {
	return e.inShares(ctx, func(ctx context.Context, dir, webroot string, domains []string) (used time.Duration, err error) {
		for _, domain := range domains {
			cmd := exec.CommandContext(ctx, "certbot", "certonly", "--non-interactive", "--quiet", "--agree-tos", "--register-unsafely-without-email",
				"--webroot", "--webroot-path", webroot, "--domain", domain, "--server", e.directory, "--key-type", "ecdsa",
				"--config-dir", dir, "--work-dir", dir, "--logs-dir", filepath.Join(dir, "logs"))
			cmd.Env = append(os.Environ(), "REQUESTS_CA_BUNDLE="+e.root)
			one, err := runPeer(cmd)
			used += one
			if err != nil {
				return used, fmt.Errorf("%s: %w", domain, err)
			}
		}
		return used, nil
	})
}

const wellKnown = ".well-known/acme-challenge"

// inShares serves a webroot where the CA looks and deals the names out to so many workers.
func (e errand) inShares(ctx context.Context, work func(ctx context.Context, dir, webroot string, domains []string) (time.Duration, error)) (time.Duration, error) {
	webroot := filepath.Join(e.dir, "webroot")
	if err := os.MkdirAll(filepath.Join(webroot, wellKnown), 0o700); err != nil {
		return 0, err
	}
	listener, err := net.Listen("tcp", e.http)
	if err != nil {
		return 0, err
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(webroot)), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with Close
	defer server.Close()

	used, errs := make([]time.Duration, e.inFlight), make([]error, e.inFlight)
	var group sync.WaitGroup
	for w := range e.inFlight {
		var share []string
		for i := w; i < len(e.domains); i += e.inFlight {
			share = append(share, e.domains[i])
		}
		dir := filepath.Join(e.dir, fmt.Sprint(w))
		if err := os.Mkdir(dir, 0o700); err != nil {
			return 0, err
		}
		group.Go(func() { used[w], errs[w] = work(ctx, dir, webroot, share) })
	}
	group.Wait()
	total := time.Duration(0)
	for _, d := range used {
		total += d
	}
	return total, errors.Join(errs...)
}

// runPeer runs a command to its end and returns the processor time that it and its children took.
func runPeer(cmd *exec.Cmd) (time.Duration, error) {
	var words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &words, &words
	// Asked first, so that it removes what it holds.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s: %w:\n%s", filepath.Base(cmd.Path), err, words.String())
	}
	if cmd.ProcessState == nil {
		return 0, err
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), err
}
