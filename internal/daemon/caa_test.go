package daemon_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/internal/daemon"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

// pickyCA is a plugin, this test's own binary, of a CA that has a name in CAA records. Its orders go no further than to
// a person; each leaves a file behind.
type pickyCA struct{ dir string }

func (p *pickyCA) Describe(context.Context) (pluginapi.Description, error) {
	return pluginapi.Description{
		Name: "picky", Version: "1", ChallengeTypes: []pluginapi.ChallengeType{pluginapi.ChallengeHTTP}, OrdersCostMoney: true,
		AccountSettings: []pluginapi.Field{{Name: "dir", Type: pluginapi.String, Required: true, Help: "Where orders leave a file."}},
		OrderSettings:   []pluginapi.Field{{Name: "product", Type: pluginapi.String, Help: "What to buy."}},
		CAAMethods:      []pluginapi.CAAMethod{{Type: pluginapi.ChallengeHTTP, Label: "ca-file"}},
	}, nil
}

func (p *pickyCA) Configure(_ context.Context, a pluginapi.Account) (pluginapi.Configured, error) {
	p.dir, _ = a.Settings.Values["dir"].(string)
	return pluginapi.Configured{CAAIdentifiers: []string{"picky.example"}, AccountURI: "https://picky.example/7"}, nil
}

func (p *pickyCA) PlaceOrder(_ context.Context, o pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	if err := os.WriteFile(filepath.Join(p.dir, "placed"), []byte(o.CertificateName), 0o600); err != nil {
		return pluginapi.OrderReply{}, err
	}
	return p.reply(), nil
}

func (p *pickyCA) GetOrder(context.Context, pluginapi.PlacedOrder) (pluginapi.OrderReply, error) {
	return p.reply(), nil
}

func (p *pickyCA) RespondToChallenges(context.Context, pluginapi.PlacedOrder, []string) (pluginapi.OrderReply, error) {
	return p.reply(), nil
}

func (p *pickyCA) reply() pluginapi.OrderReply {
	return pluginapi.OrderReply{Order: pluginapi.Order{Reference: "r", Status: pluginapi.PendingApproval}}
}

// servePicky serves the plugin when this process was started as one.
func servePicky() bool {
	if filepath.Base(os.Args[0]) != "ca-picky" {
		return false
	}
	wire.ServeCA(&pickyCA{})
	return true
}

// resolver answers with the CAA records of one name, and with nothing about any other.
type resolver struct {
	address string

	mu      sync.Mutex
	name    string
	records []string
	asked   int
}

func newResolver(t *testing.T, name string, records ...string) *resolver {
	t.Helper()
	r := &resolver{name: dns.Fqdn(name), records: records}
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.address = udp.LocalAddr().String()
	server := &dns.Server{PacketConn: udp, Handler: dns.HandlerFunc(r.answer)}
	served := make(chan struct{})
	go func() {
		_ = server.ActivateAndServe() // ends with the test
		close(served)
	}()
	t.Cleanup(func() {
		_ = udp.Close()
		<-served
	})
	return r
}

func (r *resolver) answer(w dns.ResponseWriter, q *dns.Msg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable = true
	if q.Question[0].Qtype == dns.TypeCAA {
		r.asked++
		if q.Question[0].Name == r.name {
			for _, text := range r.records {
				rr, err := dns.NewRR(r.name + " 60 IN CAA " + text)
				if err != nil {
					panic(err)
				}
				m.Answer = append(m.Answer, rr)
			}
		}
	}
	_ = w.WriteMsg(m) // a lost answer is asked for again
}

// count is how often CAA records were asked for.
func (r *resolver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

// newPickyRig is a daemon whose only CA account is the plugin's.
func newPickyRig(t *testing.T, dnsSettings string) *rig {
	t.Helper()
	r := newRig(t, `
[[certificate]]
name = "web"
ca = "picky"
domains = ["www.example.com", "192.0.2.1"]
[certificate.files]
fullchain = "tls/web.pem"
key = "tls/web.key"
`)
	r.installSelf("ca-picky")
	r.configurePicky(dnsSettings)
	return r
}

// installSelf installs this test's own binary as a plugin.
func (r *rig) installSelf(name string) {
	r.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		r.t.Fatal(err)
	}
	data, err := os.ReadFile(exe)
	if err != nil {
		r.t.Fatal(err)
	}
	r.write("plugins/"+name, string(data), 0o755)
}

func (r *rig) configurePicky(dnsSettings string) {
	r.t.Helper()
	r.write("config.toml", fmt.Sprintf(`
[daemon]
state_dir = "state"
plugin_dir = "plugins"
control_socket = "control.sock"
http_challenge_listen = "127.0.0.1:0"
http_challenge_self_check = false
%s
[ca.picky]
plugin = "picky"
settings = { dir = %q }
`, dnsSettings, r.dir), 0o600)
}

func (r *rig) placed() bool {
	_, err := os.Stat(filepath.Join(r.dir, "placed"))
	return err == nil
}

func TestCAAKeepsAnOrderBackUntilResolversSayOtherwise(t *testing.T) {
	forbids := newResolver(t, "example.com", `0 issue "other.example"`)
	allows := newResolver(t, "example.com", `0 issue "other.example"`, `0 issue "picky.example; accounturi=https://picky.example/7; validationmethods=ca-file"`)
	r := newPickyRig(t, fmt.Sprintf("dns_resolvers = [%q]", forbids.address))
	r.start()

	const add = `add the record: example.com. CAA 0 issue "picky.example"`
	c := r.until("web", func(c control.Certificate) bool { return c.Order != nil && c.Order.LastError != nil })
	if e := c.Order.LastError; e.Kind != "caa" || !strings.Contains(e.Message, add) {
		t.Errorf("the status says %+v", e)
	}
	if c.Order.Phase != "intended" || r.placed() {
		t.Errorf("the order is %s, sent: %t", c.Order.Phase, r.placed())
	}
	why, err := r.client.Explain(t.Context(), "web")
	if err != nil || !strings.Contains(strings.Join(why.Facts, "\n"), add) {
		t.Errorf("%v; explain says nothing of the record to add: %v", err, why.Facts)
	}

	r.configurePicky(fmt.Sprintf("dns_resolvers = [%q]\ndns_propagation = \"none\"", allows.address))
	if remarks, err := r.client.Reload(t.Context()); err != nil || len(remarks) != 0 {
		t.Fatalf("reload: %v, %v", remarks, err)
	}
	r.until("web", func(c control.Certificate) bool { return c.Order != nil && c.Order.Phase == "approval" })
	if !r.placed() || allows.count() == 0 {
		t.Errorf("sent: %t, the new resolver was asked %d times", r.placed(), allows.count())
	}
}

func TestCAAIsNotLookedAtWhereItIsSwitchedOff(t *testing.T) {
	forbids := newResolver(t, "example.com", `0 issue ";"`)
	r := newPickyRig(t, fmt.Sprintf("dns_resolvers = [%q]\n[ca.picky]\ncheck_caa = false", forbids.address))
	// One [ca.picky] is enough.
	text, err := os.ReadFile(filepath.Join(r.dir, "config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	r.write("config.toml", strings.Replace(string(text), "\n[ca.picky]\nplugin", "\nplugin", 1), 0o600)
	r.start()
	r.until("web", func(c control.Certificate) bool { return c.Order != nil && c.Order.Phase == "approval" })
	if n := forbids.count(); n != 0 {
		t.Errorf("asked %d times", n)
	}
}

func TestCheckOnlineTellsOfCAA(t *testing.T) {
	for name, c := range map[string]struct {
		records []string
		online  bool
		want    string
	}{
		"forbidden":                    {[]string{`0 issue "other.example"`}, true, `add the record: example.com. CAA 0 issue "picky.example"`},
		"forbidden, but not asked for": {[]string{`0 issue "other.example"`}, false, ""},
		"allowed":                      {[]string{`0 issue "picky.example"`}, true, ""},
		"another method":               {[]string{`0 issue "picky.example; validationmethods=ca-dns"`}, true, "validationmethods=ca-file"},
		"nothing there":                {nil, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dnsServer := newResolver(t, "example.com", c.records...)
			r := newPickyRig(t, fmt.Sprintf("dns_resolvers = [%q]", dnsServer.address))
			cfg, err := config.Load(filepath.Join(r.dir, "config.toml"), config.Options{})
			if err != nil {
				t.Fatal(err)
			}
			remarks, err := daemon.Check(t.Context(), cfg, daemon.CheckOptions{Online: c.online, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			var found []string
			for _, remark := range remarks {
				if !strings.Contains(remark.Message, "CAA") {
					continue
				}
				found = append(found, remark.Message)
				if remark.Severity != pluginapi.Warning || remark.Path != "certificate.web.domains" || remark.Line != 5 || filepath.Base(remark.File) != "web.toml" {
					t.Errorf("severity %s at %s:%d %s", remark.Severity, remark.File, remark.Line, remark.Path)
				}
			}
			if all := strings.Join(found, "\n"); c.want == "" && all != "" || !strings.Contains(all, c.want) {
				t.Errorf("found %q, want %q", all, c.want)
			}
		})
	}
}
