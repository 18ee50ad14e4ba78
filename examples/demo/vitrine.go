package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// vitrine is the web server of the rehearsal: it serves every name's own certificate, and reads one again when it is
// told to.
type vitrine struct {
	addr   string
	server *http.Server
	load   func(name string) (*tls.Certificate, error)

	mu     sync.Mutex
	served map[string]*tls.Certificate
}

// openVitrine serves the certificates of some names.
func openVitrine(names []string, load func(name string) (*tls.Certificate, error)) (*vitrine, error) {
	v := &vitrine{load: load, served: map[string]*tls.Certificate{}}
	for _, name := range names {
		if err := v.read(name); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a port for the web server: %w", err)
	}
	v.addr = l.Addr().String()
	v.server = &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(v.handle)}
	config := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if c := v.of(hello.ServerName); c != nil {
			return c, nil
		}
		return v.of(names[0]), nil // as the reload command asks, by address
	}}
	go func() { _ = v.server.Serve(tls.NewListener(l, config)) }()
	return v, nil
}

func (v *vitrine) of(name string) *tls.Certificate {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.served[name]
}

func (v *vitrine) read(name string) error {
	pair, err := v.load(name)
	if err != nil {
		return fmt.Errorf("web server: %w", err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.served[name] = pair
	return nil
}

// handle answers the reload command, POST /reload/NAME.
func (v *vitrine) handle(w http.ResponseWriter, r *http.Request) {
	var name string
	if _, err := fmt.Sscanf(r.URL.Path, "/reload/%s", &name); err != nil || r.Method != http.MethodPost || v.of(name) == nil {
		http.NotFound(w, r)
		return
	}
	if err := v.read(name); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = fmt.Fprintf(w, "serves %s\n", sentence(v.of(name)))
}

func (v *vitrine) close() error {
	if err := v.server.Close(); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
