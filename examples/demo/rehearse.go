package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// patience is how long the whole rehearsal may take.
const patience = 5 * time.Minute

// rehearsal is one certificate at each kind of CA, none of which is real: the stand-ins of certbridge-sandbox, an ACME
// test server, and a private CA. Each is due, is ordered, served, and renewed once more.
type rehearsal struct {
	*layout
	sandbox, pebble string // programs
	out             io.Writer
	began           time.Time

	children children
	names    *nameServer
	web      *vitrine
	houses   []*house
	// directory is the ACME server's address.
	directory string
}

// house is one CA of the rehearsal.
type house struct {
	// name is that of the CA account, of its plugin and of its certificate; order is the TOML of what is ordered.
	name, order string
	// flags start its stand-in; nil: it has none of its own.
	flags []string
	// config is the account's TOML, ledger the address of its stand-in's ledger.
	config, ledger string
}

func (h *house) domain() string { return h.name + "." + strings.TrimSuffix(zone, ".") }

// contacts are the people whom ServerTastic wants named: the technical contact gets the certificate by mail as well.
const contacts = `
tech_contact_first_name = "Ada"
tech_contact_last_name = "Example"
tech_contact_phone = "+44 20 7946 0000"
tech_contact_email = "tls@shop.test"
tech_contact_title = "Engineer"
admin_contact_first_name = "Bo"
admin_contact_last_name = "Example"
admin_contact_phone = "+44 20 7946 0001"
admin_contact_email = "bo@shop.test"
admin_contact_title = "Manager"`

func houses() []*house {
	return []*house{
		{name: "digicert", flags: []string{}, order: `product = "ssl_dv_geotrust"
order_validity = { years = 1 }
skip_approval = true`},
		// The stand-in's data are a second old where ServerTastic's are five minutes old.
		{name: "servertastic", flags: []string{"--sync-lag", "1s", "--watch", "1s"}, order: `st_product_code = "RapidSSL-12"` + contacts},
		{name: "tencent", flags: []string{"--watch", "1s"}, order: `ProductId = 25
TimeSpan = 1
ContactEmail = "tls@shop.test"`},
		{name: "acme"},
		{name: "local"},
	}
}

// rehearse is the command "demo rehearse".
func rehearse(args []string) error {
	o := options{lifetime: 90 * 24 * time.Hour}
	r := &rehearsal{out: os.Stdout, began: time.Now(), houses: houses()}
	flags := flag.NewFlagSet("demo rehearse", flag.ContinueOnError)
	flags.StringVar(&o.dir, "dir", "run/rehearsal", "`folder` to lay out, made anew")
	flags.StringVar(&o.daemon, "daemon", "build/bin/certbridged", "the daemon's `file`")
	flags.StringVar(&o.plugins, "plugins", "build/plugins", "`folder` of the built plugins")
	flags.StringVar(&r.sandbox, "sandbox", "build/bin/certbridge-sandbox", "the stand-ins' `file`")
	flags.StringVar(&r.pebble, "pebble", "build/bin/pebble", "the ACME test server's `file`")
	only := flags.String("only", "", "`names` of the CAs to rehearse, separated by commas; without it all")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("read the command line: %w", err)
	}
	if *only != "" {
		if err := r.choose(strings.Split(*only, ",")); err != nil {
			return err
		}
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q: no such argument; see --help", flags.Arg(0))
	}
	for _, p := range []*string{&r.sandbox, &r.pebble} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return fmt.Errorf("find %s: %w", *p, err)
		}
		if *p = abs; !isFile(abs) {
			return fmt.Errorf("there is no %s: run \"make sandbox-all\"", abs)
		}
	}
	if err := o.makeAbsolute(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return r.run(ctx, o)
}

// choose leaves all CAs out but some.
func (r *rehearsal) choose(names []string) error {
	var chosen []*house
	for _, name := range names {
		i := slices.IndexFunc(r.houses, func(h *house) bool { return h.name == name })
		if i < 0 {
			return fmt.Errorf("--only %s: there is no such CA here", name)
		}
		chosen = append(chosen, r.houses[i])
	}
	r.houses = chosen
	return nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func (r *rehearsal) run(ctx context.Context, o options) (err error) {
	if err := os.RemoveAll(o.dir); err != nil {
		return fmt.Errorf("clear the folder: %w", err)
	}
	if r.layout, err = newLayout(o); err != nil {
		return err
	}
	if err := r.layOut(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.end()) }()
	if err := r.startAround(ctx); err != nil {
		return err
	}
	if err := r.writeConfig(); err != nil {
		return err
	}
	if err := r.startDaemon(ctx); err != nil {
		return err
	}
	if err := r.follow(ctx); err != nil {
		return errors.Join(err, fmt.Errorf("the daemon's log is %s", r.path("log/certbridged.log")))
	}
	return r.account(ctx)
}

// layOut fills the folder with all that is there before certbridged: a certificate for each name that is about to end.
func (r *rehearsal) layOut() error {
	for _, dir := range []string{"log", "sandbox"} {
		if err := makeFolder(r.path(dir), 0o700); err != nil {
			return err
		}
	}
	for _, h := range r.houses {
		if err := r.writePair(h.name, h.domain()); err != nil {
			return err
		}
	}
	return r.copyPlugins()
}

func (r *rehearsal) end() error {
	r.children.end()
	var errs []error
	if r.web != nil {
		errs = append(errs, r.web.close())
	}
	if r.names != nil {
		errs = append(errs, r.names.close())
	}
	return errors.Join(errs...)
}

// say tells what happens, with the time since the beginning.
func (r *rehearsal) say(format string, args ...any) {
	fmt.Fprintf(r.out, "%5.1fs  %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

// startAround starts what is around certbridged: name server, web server, stand-ins, ACME server.
func (r *rehearsal) startAround(ctx context.Context) (err error) {
	if r.names, err = startNameServer(); err != nil {
		return err
	}
	r.say("a name server for %s takes dynamic updates at %s", strings.TrimSuffix(zone, "."), r.names.addr)
	var hosts []string
	for _, h := range r.houses {
		hosts = append(hosts, h.domain())
	}
	load := func(domain string) (*tls.Certificate, error) {
		name, _, _ := strings.Cut(domain, ".")
		return loadPair(r.dir, name)
	}
	if r.web, err = openVitrine(hosts, load); err != nil {
		return err
	}
	r.say("a web server serves %d certificates that are about to end at https://%s", len(hosts), r.web.addr)
	for _, h := range r.houses {
		if h.flags == nil {
			continue
		}
		if err := r.startStandIn(ctx, h); err != nil {
			return err
		}
		r.say("%s: a stand-in, its ledger is at %s", h.name, h.ledger)
	}
	return r.startACME(ctx)
}

// startStandIn starts a stand-in and takes over the configuration that it prints.
func (r *rehearsal) startStandIn(ctx context.Context, h *house) error {
	argv := []string{r.sandbox, h.name, "--listen", "127.0.0.1:0", "--dir", r.path("sandbox/" + h.name), "--resolver", r.names.addr}
	c, err := r.children.start(r.path("log"), h.name, nil, append(argv, h.flags...)...)
	if err != nil {
		return err
	}
	const last = "What was bought: "
	lines, err := c.until(ctx, last)
	if err != nil {
		return err
	}
	h.ledger = strings.TrimPrefix(lines[len(lines)-1], last)
	first := slices.Index(lines, "[ca."+h.name+"]")
	if first < 0 {
		return fmt.Errorf("%s printed no configuration:\n%s", h.name, strings.Join(lines, "\n"))
	}
	// The plugin looks as often as the CA's documentation allows; the stand-in is always there.
	config := append([]string{lines[first], `poll_interval = "1s"`}, lines[first+1:len(lines)-1]...)
	h.config = strings.Join(config, "\n")
	return nil
}

// startDaemon starts certbridged and waits until it answers.
func (r *rehearsal) startDaemon(ctx context.Context) error {
	if _, err := r.cli(ctx, "check"); err != nil {
		return err
	}
	c, err := r.children.start(r.path("log"), "certbridged", nil, r.daemon, "run", "--config", r.path("config.toml"))
	if err != nil {
		return err
	}
	if _, err := c.until(ctx, "ready"); err != nil {
		return err
	}
	r.say("certbridged is ready")
	return nil
}

// cli runs a command of certbridged and returns what it prints.
func (r *rehearsal) cli(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, r.daemon, append([]string{"--config", r.path("config.toml")}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s%s", err, exit.Stderr, out)
		}
		return nil, fmt.Errorf("certbridged %s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}

// follow waits until every certificate was renewed, and renewed once more.
func (r *rehearsal) follow(ctx context.Context) error {
	events, err := r.children.start(r.path("log"), "events", nil, r.daemon, "--config", r.path("config.toml"), "--json", "events", "--follow")
	if err != nil {
		return err
	}
	deployed := map[string]int{}
	for done := 0; done < len(r.houses); {
		var e struct{ Level, Type, Certificate, Message string }
		select {
		case line, ok := <-events.lines:
			if !ok {
				return errors.New("the daemon tells no events any more")
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				return fmt.Errorf("read an event: %w: %s", err, line)
			}
		case <-ctx.Done():
			return fmt.Errorf("not all certificates were renewed within %s: %w", patience, ctx.Err())
		}
		switch {
		case e.Type == "held", e.Type == "failed":
			return fmt.Errorf("%s: %s", e.Certificate, e.Message)
		case e.Level == "error":
			r.say("%s: %s", e.Certificate, e.Message)
		case e.Type == "deployed":
			deployed[e.Certificate]++
			r.say("%s: %s", e.Certificate, e.Message)
			if deployed[e.Certificate] == 2 {
				done++
				continue
			}
			if _, err := r.cli(ctx, "renew", e.Certificate, "--force"); err != nil {
				return err
			}
		}
	}
	return nil
}

// freePort finds a port that nobody listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	at, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("find a free port: %s", l.Addr())
	}
	return at.Port, nil
}
