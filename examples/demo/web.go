package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// socketFD is the descriptor at which the web server finds its listening socket.
const socketFD = 3

// webServer is a stand-in for nginx: it serves a certificate and reads it again when it is told to.
type webServer struct {
	dir     string
	current atomic.Pointer[tls.Certificate]
}

// serve runs the web server until SIGTERM, which the kernel sends when the daemon is gone.
func serve(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	socket := os.NewFile(socketFD, "socket")
	l, err := net.FileListener(socket)
	if err != nil {
		return fmt.Errorf("web server: take the socket: %w", err)
	}
	_ = socket.Close() // the listener has a copy
	w := &webServer{dir: dir}
	if _, err := w.read(); err != nil {
		return fmt.Errorf("web server: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", w.show)
	mux.HandleFunc("POST /reload", w.reload)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	config := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return w.current.Load(), nil },
	}
	if err := server.Serve(tls.NewListener(l, config)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("web server: %w", err)
	}
	return nil
}

// read takes over what is on disk and says so on the terminal.
func (w *webServer) read() (string, error) {
	pair, err := loadPair(w.dir, shop)
	if err != nil {
		return "", err
	}
	w.current.Store(pair)
	text := "serves " + sentence(pair)
	fmt.Printf("%s web server: %s\n", time.Now().Format("15:04:05"), text)
	return text, nil
}

func (w *webServer) show(out http.ResponseWriter, _ *http.Request) {
	_, _ = fmt.Fprintf(out, "This server serves %s.\n", sentence(w.current.Load())) // who has gone does not read it
}

func (w *webServer) reload(out http.ResponseWriter, _ *http.Request) {
	text, err := w.read()
	if err != nil {
		http.Error(out, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = fmt.Fprintln(out, text)
}

// reload is the deploy command: it asks the web server to read its files again and prints what it serves then. What
// stands behind a slash is the certificate's name, for a server that has several.
func reload(at string) error {
	address, name, several := strings.Cut(at, "/")
	path := "/reload"
	if several {
		path += "/" + name
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	client := &http.Client{Transport: &http.Transport{
		// What is served now may have expired; the daemon looks at what is served afterwards.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	reply, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(io.LimitReader(reply.Body, 4096))
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	if reply.StatusCode != http.StatusOK {
		return fmt.Errorf("reload: the web server says: %s", text)
	}
	fmt.Printf("the web server %s", text)
	return nil
}
