package peer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// BINDOptions say what a BIND is to be like.
type BINDOptions struct {
	// Port to listen on; zero means 53, where alone an NS record leads.
	Port int
	// Addr is where to listen instead ("127.A.B.C:port", see DNSAddress), where a test must know it beforehand.
	Addr  string
	Zones []Zone
	// Keys are the TSIG keys it knows.
	Keys []TSIGKey
	// Secondaries are how many servers more hold the zones. They are told of every change and fetch it.
	Secondaries int
	// Stale are how many secondaries more there are that nobody tells: they keep what they have until Refresh.
	Stale int
	// Bare leaves out the root zone, so that names outside of Zones are refused, as a server on the Internet does.
	// Otherwise such names do not exist.
	Bare bool
	// Recursion makes it a resolver as well: it follows delegations to servers elsewhere, on port 53.
	Recursion bool
}

// BINDServer is a running BIND: the primary of its zones, or one of the secondaries.
type BINDServer struct {
	NameServer
	// Secondaries are told of every change; Stale are those who are not.
	Secondaries, Stale []*BINDServer

	name, dir string
	port      int         // of 127.0.0.1, where named listens and what comes to addr is passed on to
	primary   *BINDServer // nil for a primary
	opts      BINDOptions
	proc      *process
	relay     *relay
}

// BIND starts named, and as many secondaries as are asked for, and waits until all of them serve all zones.
func BIND(t testing.TB, opts BINDOptions) *BINDServer {
	t.Helper()
	binary := Need(t, "named", "apt-get install bind9")
	if opts.Port == 0 {
		opts.Port = dnsPort
	}
	if opts.Addr == "" {
		opts.Addr = DNSAddress(t, opts.Port)
	}
	if !opts.Bare {
		opts.Zones = append(slices.Clone(opts.Zones), Zone{Name: "."})
	}
	b := newBIND(t, binary, "named", opts.Addr, nil)
	for i := range opts.Secondaries + opts.Stale {
		s := newBIND(t, binary, fmt.Sprintf("named (secondary %d)", i+1), DNSAddress(t, opts.Port), b)
		if i < opts.Secondaries {
			b.Secondaries = append(b.Secondaries, s)
		} else {
			b.Stale = append(b.Stale, s)
		}
	}
	var addrs []string
	for _, s := range b.all() {
		addrs = append(addrs, s.IP())
	}
	opts.Zones = withDelegations(opts.Zones, addrs)
	for i, z := range opts.Zones {
		write(t, filepath.Join(b.dir, zoneFile(i)), z.file(addrs))
	}
	for _, s := range b.all() {
		s.opts = opts
		s.Start(t)
	}
	return b
}

// newBIND makes the folder of a server with the program in it.
func newBIND(t testing.TB, binary, name, addr string, primary *BINDServer) *BINDServer {
	t.Helper()
	s := &BINDServer{NameServer: NameServer{addr: addr}, name: name, dir: t.TempDir(), port: FreePort(t), primary: primary}
	program, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	// A copy, because AppArmor knows named by its path and lets it write in the system's folders alone.
	WriteProgram(t, s.program(), program)
	return s
}

func (s *BINDServer) program() string { return filepath.Join(s.dir, "named") }

// all returns a primary and its secondaries.
func (s *BINDServer) all() []*BINDServer {
	return slices.Concat([]*BINDServer{s}, s.Secondaries, s.Stale)
}

// Start starts it again after Stop, with what it had.
func (s *BINDServer) Start(t testing.TB) {
	t.Helper()
	conf := filepath.Join(s.dir, "named.conf")
	write(t, conf, s.config())
	s.proc = launch(t, s.name, exec.Command(s.program(), "-f", "-n", "1", "-c", conf))
	s.relay = startRelay(t, s.addr, loopback(s.port))
	if err := s.awaitZones(t.Context(), s.proc, s.opts.Zones); err != nil {
		t.Fatal(err)
	}
}

// Stop ends it, as an outage. It leaves the other servers alone.
func (s *BINDServer) Stop(t testing.TB) {
	t.Helper()
	s.relay.close()
	s.proc.stop(t)
}

// Log returns the end of what it wrote.
func (s *BINDServer) Log() string { return s.proc.log.String() }

const updateLog = "update.log"

// config is a named.conf that keeps named in its folder and away from the network.
func (s *BINDServer) config() string {
	var b strings.Builder
	fmt.Fprintf(&b, "options {\n  directory %q;\n  listen-on port %d { 127.0.0.1; };\n", s.dir, s.port)
	for _, source := range []string{"query-source", "notify-source", "transfer-source"} {
		fmt.Fprintf(&b, "  %s 127.0.0.1;\n", source)
	}
	recursion := "no"
	if s.opts.Recursion {
		recursion = "yes"
	}
	fmt.Fprintf(&b, `  listen-on-v6 { none; };
  recursion %s;
  allow-query { any; };
  allow-transfer { any; };
  notify-delay 0; notify-rate 1000; startup-notify-rate 1000; serial-query-rate 1000;
  dnssec-validation no; empty-zones-enable no; max-cache-size 8m; max-cache-ttl 1; max-ncache-ttl 1;
  pid-file none; session-keyfile none; lock-file none;
  automatic-interface-scan no; interface-interval 0;
};
controls {};
logging {
  channel out { stderr; severity info; print-time yes; print-category yes; };
  channel updates { file "%s"; severity info; };
  category default { out; };
  category update { updates; out; };
  category update-security { updates; out; };
};
`, recursion, updateLog)
	for _, k := range s.opts.Keys {
		fmt.Fprintf(&b, "key %q { algorithm %s; secret %q; };\n", k.Name, k.Algorithm, k.Secret)
	}
	for i, z := range s.opts.Zones {
		fmt.Fprintf(&b, "zone %q {\n  file %q;\n%s};\n", z.Name, zoneFile(i), s.zoneConfig(z))
	}
	return b.String()
}

// zoneConfig is what a zone says of who may change it and who is told.
func (s *BINDServer) zoneConfig(z Zone) string {
	var b strings.Builder
	if p := s.primary; p != nil {
		return fmt.Sprintf("  type secondary;\n  primaries { 127.0.0.1 port %d; };\n  notify no;\n", p.port)
	}
	b.WriteString("  type primary;\n  notify explicit;\n")
	if len(s.Secondaries) > 0 {
		b.WriteString("  also-notify {")
		for _, other := range s.Secondaries {
			fmt.Fprintf(&b, " 127.0.0.1 port %d;", other.port)
		}
		b.WriteString(" };\n")
	}
	if len(z.Keys) > 0 {
		b.WriteString("  allow-update {")
		for _, k := range z.Keys {
			fmt.Fprintf(&b, " key %q;", k)
		}
		b.WriteString(" };\n")
	}
	if len(z.Policy) > 0 {
		fmt.Fprintf(&b, "  update-policy {\n    %s;\n  };\n", strings.Join(z.Policy, ";\n    "))
	}
	return b.String()
}

func zoneFile(i int) string { return fmt.Sprintf("zone%d.db", i) }

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Refresh makes a stale secondary fetch what its primary has now, and waits until it has it.
func (s *BINDServer) Refresh(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	client := dns.Client{Net: "tcp", Timeout: stopTimeout}
	for _, z := range s.opts.Zones {
		// What a primary would send; from here it looks just the same.
		notify := new(dns.Msg).SetNotify(dns.Fqdn(z.Name))
		if reply, _, err := client.ExchangeContext(ctx, notify, s.addr); err != nil || reply.Rcode != dns.RcodeSuccess {
			t.Fatalf("notify %s of %s: %v %v", s.addr, z.Name, err, reply)
		}
		if err := s.awaitSerial(ctx, z.Name); err != nil {
			t.Fatalf("refresh %s at %s: %v", z.Name, s.addr, err)
		}
	}
}

// awaitSerial waits until a secondary has its primary's version of a zone.
func (s *BINDServer) awaitSerial(ctx context.Context, zone string) error {
	for {
		want, err := s.primary.serial(ctx, zone)
		if err != nil {
			return err
		}
		got, err := s.serial(ctx, zone)
		if err != nil {
			return err
		}
		if got == want {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it has version %d, not %d: %w", got, want, ctx.Err())
		case <-time.After(pollInterval):
		}
	}
}

func (s *BINDServer) serial(ctx context.Context, zone string) (uint32, error) {
	reply, err := s.query(ctx, zone, dns.TypeSOA)
	if err != nil {
		return 0, err
	}
	for _, rr := range reply.Answer {
		if soa, ok := rr.(*dns.SOA); ok {
			return soa.Serial, nil
		}
	}
	return 0, errors.New("no SOA record in the answer")
}

// Update is something that a dynamic update did or failed at, as BIND's log has it.
type Update struct {
	// Key is the TSIG key that signed it, empty where none did, and Zone the zone.
	Key, Zone string
	// Text is what was done, such as `adding an RR at '_dnsauth.example.com' TXT "x"`, or why it was refused.
	Text string
}

// Updates returns what updates did since the server started, in order.
func (s *BINDServer) Updates(t testing.TB) []Update {
	t.Helper()
	f, err := os.Open(filepath.Join(s.dir, updateLog))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// client @0x7f 127.0.0.1#47117/key shop: updating zone 'example.com/IN': adding an RR at 'a.example.com' TXT "x"
	line := regexp.MustCompile(`^client @\S+ [^#\s]+#\d+(?:/key (\S+))?: (?:updating zone|update) '([^'/]*)/IN':? (.*)$`)
	var list []Update
	for in := bufio.NewScanner(f); in.Scan(); {
		if m := line.FindStringSubmatch(in.Text()); m != nil {
			list = append(list, Update{Key: m[1], Zone: m[2], Text: m[3]})
		}
	}
	return list
}
