// Package pebble runs the mended copy of the test CA Pebble for the benchmark (see tools/pebblemend), strict and without
// sleep in its validation.
package pebble

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// Options say what a Pebble is to be like.
type Options struct {
	// Binary is the mended Pebble. Dir is a folder for its files.
	Binary, Dir string
	// Chain and Key are its own TLS certificate, PEM.
	Chain, Key []byte
	// Root is what that leads to, PEM.
	Root []byte
	// HTTPPort is where it looks for http-01 challenges; DNS is the name server that it asks.
	HTTPPort int
	DNS      string
	// NonceReject is how many in a hundred nonces it refuses for no reason. Its own default is 5.
	NonceReject int
	// RetryAfter is how many seconds it asks to be left alone with an order or an authorization that is not done; zero: it does
	// not say.
	RetryAfter int
}

// Server is a running Pebble.
type Server struct {
	// Address is host:port of the CA, DirectoryURL its ACME directory there.
	Address, DirectoryURL string

	cmd  *exec.Cmd
	done chan struct{}
}

// startTimeout bounds a start; a Pebble makes its keys then.
const startTimeout = 20 * time.Second

// Start starts a Pebble and waits until it answers. It ends with this process, however that ends.
func Start(ctx context.Context, o Options) (*Server, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	listen, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	if err := o.write(listen); err != nil {
		return nil, err
	}
	s := &Server{Address: listen, DirectoryURL: "https://" + listen + "/dir", done: make(chan struct{})}
	s.cmd = exec.Command(o.Binary, "-config", filepath.Join(o.Dir, "pebble.json"), "-strict", "-dnsserver", o.DNS)
	s.cmd.Env = []string{
		"PEBBLE_VA_NOSLEEP=1",
		// All names are new, so no authorization could be used again. tools/pebblemend says why none must be looked for.
		"PEBBLE_AUTHZREUSE=0",
		"PEBBLE_WFE_NONCEREJECT=" + strconv.Itoa(o.NonceReject),
	}
	// Its log would be a part of the load. What it says as it dies, also of a signal that asks for its goroutines, is kept.
	words, err := os.Create(filepath.Join(o.Dir, "pebble.err"))
	if err != nil {
		return nil, err
	}
	defer words.Close()
	s.cmd.Stderr = words
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the death signal follows the thread that forked
		defer runtime.UnlockOSThread()
		defer close(s.done)
		err := s.cmd.Start()
		started <- err
		if err == nil {
			_ = s.cmd.Wait() // killed, or its end shows as calls that fail
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start Pebble: %w", err)
	}
	if err := s.await(ctx, o.Root); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (o Options) write(listen string) error {
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": listen, "httpPort": o.HTTPPort, "tlsPort": 1,
		"certificate": filepath.Join(o.Dir, "server.pem"), "privateKey": filepath.Join(o.Dir, "server.key"),
		"caaIdentities": []string{"pebble.test"}, "keyAlgorithm": "ecdsa",
		"profiles":   map[string]any{"default": map[string]any{"description": "The default profile", "validityPeriod": 90 * 24 * 3600}},
		"retryAfter": map[string]int{"authz": o.RetryAfter, "order": o.RetryAfter},
	}})
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(o.Dir, "pebble.json"), config, 0o600),
		os.WriteFile(filepath.Join(o.Dir, "server.pem"), o.Chain, 0o600),
		os.WriteFile(filepath.Join(o.Dir, "server.key"), o.Key, 0o600),
	)
}

// await waits until the directory can be read.
func (s *Server) await(ctx context.Context, root []byte) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(root)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots}}}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.DirectoryURL, nil)
		if err != nil {
			return err
		}
		reply, err := client.Do(req)
		if err == nil {
			return reply.Body.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no answer from Pebble: %w", err)
		case <-s.done:
			return errors.New("the process of Pebble ended as it started")
		case <-tick.C:
		}
	}
}

// PID is its process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Close ends it, and forgets with it all that it issued.
func (s *Server) Close() {
	_ = s.cmd.Process.Kill() // it may be gone already
	<-s.done
}

// FreeAddress is a loopback address that nothing listens on.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
