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
	"github.com/certbridge/certbridged/internal/sandbox/digicert"
)

const (
	digicertConfig = `[ca.digicert]
plugin = "digicert"
[ca.digicert.settings]
api_key = %q
base_url = %q
organization_id = %d
`
	// shutdownTimeout is how long calls under way may take when the program ends.
	shutdownTimeout = 5 * time.Second
	// headerTimeout is how long a client may take to say what it wants.
	headerTimeout = 10 * time.Second
)

// digicertFlags are how the stand-in is run.
type digicertFlags struct {
	listen, dir, resolver, key string
	httpPort, httpsPort        int
	tls, public, looseFields   bool
	singleYear                 bool
	day, watch                 time.Duration
	approval, dcvScope         string
}

// digicertRun is the command with its flags.
type digicertRun struct {
	app   *app
	flags *digicertFlags
}

func (d *digicertRun) run(cmd *cobra.Command, _ []string) error {
	return d.app.runDigicert(cmd.Context(), *d.flags)
}

func (a *app) digicertCommand() *cobra.Command {
	var f digicertFlags
	cmd := &cobra.Command{
		Use:   "digicert",
		Short: "Stand in for DigiCert CertCentral (Services API v2)",
		Long: `Stand in for DigiCert CertCentral (Services API v2). Orders cost nothing, and the certificates are worth nothing.

To use it, put this into the configuration of certbridged, with what is printed at the start:

` + indent(fmt.Sprintf(digicertConfig, "SANDBOX...", "http://127.0.0.1:8443"+digicert.BasePath, digicert.DemoOrganization)) + `
The account has organization ` + fmt.Sprint(digicert.DemoOrganization) + `, which is validated, organization ` + fmt.Sprint(digicert.PendingOrganization) + `, which is not, and the
container ` + fmt.Sprint(digicert.DemoContainer) + `. What a person would do is done by calls below /_sandbox/, from this machine only:

  GET   /_sandbox/ledger                    what was bought
  GET   /_sandbox/calls                     what was asked, with remarks on what DigiCert would silently ignore
  GET   /_sandbox/orders, /_sandbox/requests
  POST  /_sandbox/requests/ID               {"status": "approved"} or {"status": "rejected"}
  POST  /_sandbox/orders/ID/follow-email    as if somebody followed the link in the validation email
  POST  /_sandbox/organizations/ID          {"validated": true}
  POST  /_sandbox/clock                     {"days": 170}
  POST  /_sandbox/misbehave                 {"method": "POST", "path": "/order/certificate/*", "kind": "drop", "after": true}
  PATCH /_sandbox/settings                  {"approval": "manual", "multi_year_plans": false, ...}
  GET   /_sandbox/roots                     the roots, to trust them while you rehearse`,
		Args: cobra.NoArgs,
		RunE: (&digicertRun{a, &f}).run,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8443", "`address:port` to listen on; port 0 takes a free one")
	flags.BoolVar(&f.public, "listen-anywhere", false, "allow an address that other machines reach")
	flags.BoolVar(&f.tls, "tls", false, "speak HTTPS, with a certificate of the sandbox's own root")
	flags.StringVar(&f.dir, "dir", "", "`folder` to keep the account in; without it a restart forgets all")
	flags.StringVar(&f.key, "api-key", "", "API `key` of a new account's administrator (default: made up)")
	flags.StringVar(&f.resolver, "resolver", "", "`address:port` of the name server to look at domains with (default: the system's)")
	flags.IntVar(&f.httpPort, "http-port", 80, "`port` to fetch validation files from")
	flags.IntVar(&f.httpsPort, "https-port", 443, "`port` to fetch validation files from over HTTPS; -1 for never")
	flags.DurationVar(&f.watch, "watch", time.Minute, "look at the domains of waiting orders this often; 0 for only when asked")
	flags.DurationVar(&f.day, "day", 24*time.Hour, "how long a day of plans and certificates is; \"1s\" lets a plan pass in six minutes")
	flags.StringVar(&f.approval, "approval", string(digicert.ApproveByHand), "what a new account does with requests: manual, two-step, auto, none")
	flags.StringVar(&f.dcvScope, "dcv-scope", "fqdn", "validation scope of a new account: fqdn or base_domain")
	flags.BoolVar(&f.singleYear, "no-multi-year", false, "a new account without Multi-year Plans: orders end with their certificate")
	flags.BoolVar(&f.looseFields, "ignore-unknown-fields", false, "a new account that ignores fields which are not documented")
	return cmd
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ") + "\n"
}

// check says what is wrong with the flags.
func (f digicertFlags) check() error {
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

func (f digicertFlags) server(log *slog.Logger) (*digicert.Server, error) {
	settings := digicert.DefaultSettings()
	settings.Approval, settings.DCVScope = digicert.Approval(f.approval), f.dcvScope
	settings.MultiYearPlans, settings.Strict = !f.singleYear, !f.looseFields
	var users []digicert.User
	if f.key != "" {
		users = []digicert.User{{Key: f.key, Name: "Api", Role: digicert.Administrator, EVApprover: true}}
	}
	return digicert.New(digicert.Options{
		Dir: f.dir, Look: &sandbox.Look{Resolver: f.resolver, HTTPPort: f.httpPort, HTTPSPort: f.httpsPort},
		Users: users, Settings: &settings, Day: f.day, Logger: log,
	})
}

// runDigicert serves until the context ends.
func (a *app) runDigicert(ctx context.Context, f digicertFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	s, err := f.server(slog.New(slog.NewTextHandler(a.err, nil)))
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
	if err := a.introduce(s, f, scheme+"://"+address); err != nil {
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
func (a *app) introduce(s *digicert.Server, f digicertFlags, address string) error {
	_, err := fmt.Fprintf(a.out, "Standing in for DigiCert CertCentral at %s.\nNothing costs money here, and the certificates are worth nothing: never serve them to visitors.\n\n%s\nWhat was bought: %s/_sandbox/ledger\n",
		address, fmt.Sprintf(digicertConfig, s.Key(), address+digicert.BasePath, digicert.DemoOrganization), address)
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
func serverTLS(s *digicert.Server, address string) (*tls.Config, error) {
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
