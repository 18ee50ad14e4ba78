// Command demo shows in half a minute what certbridged does: it lays out a folder with a configuration, a private CA, a
// small web server and a certificate that is about to expire, and becomes the daemon that looks after them.
//
// It is behind "make run". Every certificate lasts a minute, so that renewals go on for as long as one watches.
//
// "demo rehearse" is behind "make sandbox-all": one certificate at each kind of CA, ordered from stand-ins and renewed.
package main

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
}

// run is the demonstration, or one of the two parts that it starts itself: the web server and the command that makes
// the web server read its files again.
func run(args []string) error {
	if len(args) == 2 && args[0] == "serve" {
		return serve(args[1])
	}
	if len(args) == 2 && args[0] == "reload" {
		return reload(args[1])
	}
	if len(args) > 0 && args[0] == "rehearse" {
		return rehearse(args[1:])
	}
	o := options{}
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.StringVar(&o.dir, "dir", "run", "`folder` to lay out")
	flags.StringVar(&o.daemon, "daemon", "build/bin/certbridged", "the daemon's `file`")
	flags.StringVar(&o.plugins, "plugins", "build/plugins", "`folder` of the built plugins")
	flags.DurationVar(&o.lifetime, "lifetime", time.Minute, "how long a certificate lasts; at least 15s")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("read the command line: %w", err)
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("%q: no such argument; see --help", flags.Arg(0))
	case o.lifetime < 15*time.Second:
		return fmt.Errorf("--lifetime %s is too short to watch; give at least 15s", o.lifetime)
	}
	return o.start()
}

type options struct {
	dir, daemon, plugins string
	lifetime             time.Duration
}

// start lays the folder out, starts the web server and becomes the daemon. It returns only when that fails.
func (o options) start() error {
	if err := o.makeAbsolute(); err != nil {
		return err
	}
	l, err := newLayout(o)
	if err != nil {
		return err
	}
	if err := l.refuseSecond(); err != nil {
		return err
	}
	web, err := listen()
	if err != nil {
		return err
	}
	defer web.Close()
	l.web = web.Addr().String()
	if err := l.write(); err != nil {
		return err
	}
	// The kernel ends the web server when the thread that started it ends: this one, which becomes the daemon's first.
	runtime.LockOSThread()
	server, err := startServer(l.self, l.dir, web)
	if err != nil {
		return err
	}
	l.explain(os.Stdout)
	argv := []string{l.daemon, "run", "--config", l.path("config.toml")}
	err = syscall.Exec(l.daemon, argv, os.Environ())
	return errors.Join(fmt.Errorf("start %s: %w", l.daemon, err), server.Kill())
}

func (o *options) makeAbsolute() error {
	for _, p := range []*string{&o.dir, &o.daemon, &o.plugins} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return fmt.Errorf("find %s: %w", *p, err)
		}
		*p = abs
	}
	for _, p := range []string{o.daemon, filepath.Join(o.plugins, "ca-local")} {
		if _, err := os.Stat(p); err != nil {
			return fmt.Errorf("%w: run \"make build\" first", err)
		}
	}
	return nil
}

// listen opens the web server's socket here, so that its port is known before the configuration is written.
func listen() (*net.TCPListener, error) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("open a port for the web server: %w", err)
	}
	return l, nil
}

// startServer starts the web server on an open socket, in a process group of its own: Ctrl-C is for the daemon, and the
// server ends after it.
func startServer(self, dir string, l *net.TCPListener) (*os.Process, error) {
	socket, err := l.File()
	if err != nil {
		return nil, fmt.Errorf("start the web server: %w", err)
	}
	defer socket.Close()
	p, err := os.StartProcess(self, []string{self, "serve", dir}, &os.ProcAttr{
		Files: []*os.File{nil, os.Stdout, os.Stderr, socket},
		Env:   os.Environ(),
		Sys:   &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM},
	})
	if err != nil {
		return nil, fmt.Errorf("start the web server: %w", err)
	}
	return p, nil
}

// shop is the certificate of the demonstration.
const shop = "shop"

// loadPair reads what the web server is to serve under a name.
func loadPair(dir, name string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls", name+".pem"), filepath.Join(dir, "tls", name+".key"))
	if err != nil {
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	return &pair, nil
}

// sentence describes a certificate in the words of the web server.
func sentence(pair *tls.Certificate) string {
	leaf := pair.Leaf
	return fmt.Sprintf("certificate %s of %q, valid until %s",
		shorten(leaf.SerialNumber.Text(16)), leaf.Issuer.CommonName, leaf.NotAfter.Local().Format("15:04:05"))
}

func shorten(serial string) string {
	if len(serial) > 8 {
		return strings.ToLower(serial[:8]) + "…"
	}
	return serial
}
