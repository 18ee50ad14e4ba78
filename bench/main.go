// Bench measures certbridged: the real daemon with real plugin processes and real files, against a ceiling that is measured
// in the same run. It prints one table and writes JSON; docs/performance.md says what each part means.
//
//	make bench                                    # everything; some ten minutes
//	go run ./bench -parts a -orders 100           # one part, at one size
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/certbridge/certbridged/bench/lab"
	"github.com/certbridge/certbridged/bench/report"
)

// options are the flags.
type options struct {
	parts            string
	orders, managed  []int
	inFlight         []int
	idle             time.Duration
	limit            float64
	limited          int
	limitedFor       time.Duration
	nonceReject      int
	retryAfter       int
	daemon, plugins  string
	pebble, dir, out string
	// peers is the program of bench/peers, peerOrders are how many certificates are ordered with each peer.
	peers      string
	peerOrders []int
	keep       bool
	env        []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func readFlags() (options, error) {
	var o options
	var errs [4]error
	sizes := func(into *[]int, err *error) func(string) error {
		return func(text string) error {
			*into, *err = readSizes(text)
			return *err
		}
	}
	o.orders, o.managed, o.inFlight = []int{100, 300, 1000}, []int{1000, 3000, 10000}, []int{8, 32, 128}
	o.peerOrders = []int{100, 1000}
	flag.StringVar(&o.parts, "parts", "abcdefgh", "which `parts` to run; p compares with other clients (make bench-peers)")
	flag.Func("orders", "numbers of certificates to order, parts a and b (default 100,300,1000)", sizes(&o.orders, &errs[0]))
	flag.Func("managed", "numbers of certificates to manage, parts c, d and e (default 1000,3000,10000; 100000 is worth a try)", sizes(&o.managed, &errs[1]))
	flag.Func("in-flight", "orders in flight to look for the ceiling with (default 8,32,128)", sizes(&o.inFlight, &errs[2]))
	flag.DurationVar(&o.idle, "idle", time.Minute, "how long to look at an idle daemon")
	flag.Float64Var(&o.limit, "limit", 100, "requests a second that the limited CA takes, part f")
	flag.IntVar(&o.limited, "limited", 1000, "certificates that are due at once at the limited CA")
	flag.DurationVar(&o.limitedFor, "limited-for", 3*time.Minute, "how long to look at the limited CA at most")
	flag.IntVar(&o.nonceReject, "nonce-reject", 5, "how many in a hundred nonces Pebble refuses for no reason; 5 is its own default")
	flag.IntVar(&o.retryAfter, "retry-after", 0, "how many `seconds` Pebble asks to be left alone with an order; the daemon heeds that, the ceiling does not")
	flag.StringVar(&o.daemon, "daemon", "build/bin/certbridged", "the daemon")
	flag.StringVar(&o.plugins, "plugins", "build/plugins", "the folder of its plugins")
	flag.StringVar(&o.pebble, "pebble", "build/bench/pebble", "the mended Pebble")
	flag.StringVar(&o.peers, "peers", "build/bench/peers", "the program that orders with other clients' libraries, part p")
	flag.Func("peer-orders", "numbers of certificates to order with each other client, part p (default 100,1000)", sizes(&o.peerOrders, &errs[3]))
	flag.StringVar(&o.dir, "dir", "build/bench", "where to work; it must be on a real disk")
	flag.StringVar(&o.out, "json", "build/bench/result.json", "where to write the result")
	flag.BoolVar(&o.keep, "keep", false, "leave the folders of the runs, with the daemon's log")
	flag.Func("env", "`NAME=VALUE` for the environment of the daemon, such as GODEBUG=gctrace=1; may be given more than once", func(text string) error {
		o.env = append(o.env, text)
		return nil
	})
	flag.Parse()
	if flag.NArg() > 0 {
		errs[0] = errors.Join(errs[0], fmt.Errorf("unexpected argument %q", flag.Arg(0)))
	}
	for _, path := range []*string{&o.daemon, &o.plugins, &o.pebble, &o.peers, &o.dir} {
		absolute, err := filepath.Abs(*path)
		errs[0] = errors.Join(errs[0], err)
		*path = absolute
	}
	return o, errors.Join(errs[:]...)
}

func readSizes(text string) ([]int, error) {
	var list []int
	for word := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no list of numbers such as 100,1000", text)
		}
		list = append(list, n)
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// bench is one run.
type bench struct {
	options
	*report.Report
	ca *lab.Authority
}

// part is a letter of the plan and what it does.
type part struct {
	letter, title string
	run           func(context.Context) error
}

func run(ctx context.Context) error {
	o, err := readFlags()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	ca, err := lab.NewAuthority()
	if err != nil {
		return err
	}
	b := &bench{options: o, ca: ca, Report: &report.Report{Began: time.Now().UTC(), Progress: os.Stderr}}
	b.Machine = machine(ctx, o)
	if err := b.disk(); err != nil {
		return err
	}
	var errs []error
	for _, p := range []part{
		{"a", "orders through Pebble, beside the ceiling", b.throughPebble},
		{"b", "orders through ca-local", b.throughLocal},
		{"cde", "many certificates at rest: start, memory, rescan, reaction", b.atRest},
		{"f", "a limited CA, a hung CA, a hung command", b.underLimits},
		{"g", "plugins: a call, a start", b.plugin},
		{"p", "other clients at the same work", b.besidePeers},
	} {
		if !strings.ContainsAny(o.parts, p.letter) || ctx.Err() != nil {
			continue
		}
		fmt.Fprintf(os.Stderr, "(%s) %s\n", p.letter, p.title)
		if err := p.run(ctx); err != nil { // what the other parts measured is told all the same
			errs = append(errs, fmt.Errorf("part %s: %w", p.letter, err))
		}
	}
	if strings.Contains(o.parts, "h") {
		b.Grow()
	}
	return errors.Join(append(errs, b.tell(), context.Cause(ctx))...)
}

// tell prints the table and writes the JSON.
func (b *bench) tell() error {
	m := b.Machine
	fmt.Printf("certbridged %s, %s, %d cores, load %s, Linux %s, %s, %s\n\n", m.Version, m.CPU, m.Cores, m.Load, m.Kernel, m.Disk, m.Go)
	if err := b.Table(os.Stdout); err != nil {
		return err
	}
	file, err := os.Create(b.out)
	if err != nil {
		return err
	}
	return errors.Join(b.JSON(file), file.Close())
}

// folder makes a world for one run. The caller calls the function it gets when done.
func (b *bench) folder() (*lab.Folder, func(), error) {
	f, err := lab.NewFolder(b.dir, b.daemon, b.plugins)
	if err != nil {
		return nil, nil, err
	}
	f.Env, f.KeepLog = b.env, b.keep
	return f, func() {
		if b.keep {
			fmt.Fprintln(os.Stderr, "kept", f.Dir)
			return
		}
		if err := f.Remove(); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}, nil
}
