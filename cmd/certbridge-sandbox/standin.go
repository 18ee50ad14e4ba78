package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/certbridge/certbridged/internal/sandbox"
)

const (
	// shutdownTimeout is how long calls under way may take when the program ends.
	shutdownTimeout = 5 * time.Second
	// headerTimeout is how long a client may take to say what it wants.
	headerTimeout = 10 * time.Second

	// commonCalls are what the help says of the calls that all stand-ins have.
	commonCalls = `  GET   /_sandbox/ledger                    what was bought
  GET   /_sandbox/calls                     what was asked, with remarks on what the CA would silently ignore
  POST  /_sandbox/clock                     {"days": 170}
  POST  /_sandbox/look                      look at the domains of all waiting orders now
  GET   /_sandbox/settings, PATCH           the account's settings
  GET   /_sandbox/roots                     the roots, to trust them while you rehearse`
)

// standIn is what the command needs of any stand-in.
type standIn interface {
	http.Handler
	Watch(ctx context.Context, every time.Duration)
	RootsPEM() []byte
	ServingCertificate(names []string) (tls.Certificate, error)
}

// standFlags are how any stand-in is run.
type standFlags struct {
	listen, dir, resolver string
	httpPort, httpsPort   int
	tls, public           bool
	day, watch            time.Duration
}

// add makes the flags of a command.
func (f *standFlags) add(cmd *cobra.Command, listen string) {
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", listen, "`address:port` to listen on; port 0 takes a free one")
	flags.BoolVar(&f.public, "listen-anywhere", false, "allow an address that other machines reach")
	flags.BoolVar(&f.tls, "tls", false, "speak HTTPS, with a certificate of the sandbox's own root")
	flags.StringVar(&f.dir, "dir", "", "`folder` to keep the account in; without it a restart forgets all")
	flags.StringVar(&f.resolver, "resolver", "", "`address:port` of the name server to look at domains with (default: the system's)")
	flags.IntVar(&f.httpPort, "http-port", 80, "`port` to fetch validation files from")
	flags.IntVar(&f.httpsPort, "https-port", 443, "`port` to fetch validation files from over HTTPS; -1 for never")
	flags.DurationVar(&f.watch, "watch", time.Minute, "look at the domains of waiting orders this often; 0 for only when asked")
	flags.DurationVar(&f.day, "day", 24*time.Hour, "how long a day of plans and certificates is; \"1s\" lets a plan pass in six minutes")
}

// check says what is wrong with the flags.
func (f *standFlags) check() error {
	address, err := netip.ParseAddrPort(f.listen)
	if err != nil {
		return fmt.Errorf("--listen %q is no address:port: %w", f.listen, err)
	}
	if !address.Addr().IsLoopback() && !f.public {
		return fmt.Errorf("--listen %s is reached by other machines; say --listen-anywhere if you mean it", f.listen)
	}
	if f.watch < 0 || f.day <= 0 {
		return errors.New("--watch must not be negative, and --day must be more than 0")
	}
	return sandbox.CheckResolver(f.resolver)
}

// look is how the stand-in looks at domains.
func (f *standFlags) look() *sandbox.Look {
	return &sandbox.Look{Resolver: f.resolver, HTTPPort: f.httpPort, HTTPSPort: f.httpsPort}
}

// logger writes what the stand-in does.
func (a *app) logger() *slog.Logger { return slog.New(slog.NewTextHandler(a.err, nil)) }

// introduction is what a stand-in says at the start.
type introduction struct {
	// name is the CA's; recipe is what to put into the configuration of certbridged.
	name   string
	recipe recipe
}

// stand checks the flags, makes a stand-in, and serves until the context ends.
func (a *app) stand(ctx context.Context, f *standFlags, begin func() (standIn, introduction, error)) error {
	if err := f.check(); err != nil {
		return err
	}
	s, intro, err := begin()
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer listener.Close()
	address, scheme := listener.Addr().String(), "http"
	if f.tls {
		config, err := serverTLS(s, address)
		if err != nil {
			return err
		}
		listener, scheme = tls.NewListener(listener, config), "https"
	}
	if err := a.introduce(s, f, intro, scheme+"://"+address); err != nil {
		return err
	}
	if f.watch > 0 {
		watched := make(chan struct{})
		watching, stop := context.WithCancel(ctx)
		go func() { defer close(watched); s.Watch(watching, f.watch) }()
		defer func() { stop(); <-watched }()
	}
	return serve(ctx, listener, s)
}

// introduce prints how to use the stand-in.
func (a *app) introduce(s standIn, f *standFlags, intro introduction, address string) error {
	config := intro.recipe.inEnvironment(address)
	if f.dir != "" {
		var err error
		if config, err = intro.recipe.inFolder(f.dir, address); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(a.out, "Standing in for %s at %s.\nNothing costs money here, and the certificates are worth nothing: never serve them to visitors.\n\n%s\nWhat was bought: %s/_sandbox/ledger\n",
		intro.name, address, config, address)
	if err != nil || !f.tls {
		return err
	}
	if f.dir == "" {
		_, err = fmt.Fprintf(a.out, "It speaks HTTPS with its own root: %s/_sandbox/roots\n", address)
		return err
	}
	file := filepath.Join(f.dir, "roots.pem")
	if err := sandbox.WriteFile(file, s.RootsPEM(), 0o644); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "It speaks HTTPS with its own root, which stands in %s\n", file)
	return err
}

// serverTLS makes a certificate for the address that is listened on.
func serverTLS(s standIn, address string) (*tls.Config, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	names := []string{host}
	if name, err := os.Hostname(); err == nil {
		names = append(names, "localhost", name)
	}
	cert, err := s.ServingCertificate(names)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}

// serve answers until the context ends, and then lets calls under way finish.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerTimeout, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(ending); err != nil {
		_ = server.Close() // a call that was told to hang
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ") + "\n"
}
