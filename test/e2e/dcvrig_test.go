package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/test/peer"
)

// estate is a daemon whose domains lie in zones of a real BIND, and a shop that looks at the records there.
type estate struct {
	*rig
	bind *peer.BINDServer
	shop *shop
}

// grant is a DCV profile: a plugin with a TSIG key.
type grant struct {
	profile, plugin string // plugin: "rfc2136", or "lego" for lego's provider of that name
	key             peer.TSIGKey
}

// newEstate makes one without a configuration, with the plugins of the profiles.
func newEstate(t testing.TB, bind *peer.BINDServer, profiles ...grant) *estate {
	t.Helper()
	e := &estate{rig: newRig(t, failing.get(t), caFake), bind: bind}
	e.shop = newShop(t, e.challenges, nil)
	e.shop.set(func(s *shop) { s.resolver, s.proofs = bind.Addr(), []string{"dnsauth"} })
	e.write("api-key", e.shop.apiKey+"\n", 0o600)
	for _, p := range profiles {
		e.write("tsig-"+p.profile, p.key.Secret+"\n", 0o600)
	}
	if has(profiles, "rfc2136") {
		copyFile(t, dcvRFC2136.get(t), e.path("plugins", "dcv-rfc2136"), 0o700)
	}
	if has(profiles, "lego") {
		copyFile(t, peer.DCVLego(t), e.path("plugins", "dcv-lego"), 0o700)
	}
	return e
}

func has(profiles []grant, plugin string) bool {
	return slices.ContainsFunc(profiles, func(p grant) bool { return p.plugin == plugin })
}

// legoTimeout is how long a record may take to be seen through lego, in seconds; the plugin of our own has the daemon's
// two minutes.
const legoTimeout = 60

// base is the configuration without certificates. settings are further ones of the shop's account.
func (e *estate) base(settings string, profiles ...grant) string {
	text := e.daemonTOML(fmt.Sprintf("dns_resolvers = [%q]", e.bind.Addr())) + fmt.Sprintf(`
[ca.shop]
plugin = "fake"
max_orders_per_day = 100
[ca.shop.settings]
base_url = %q
api_key = { file = "api-key" }
%s
`, e.shop.server.URL, settings)
	for _, p := range profiles {
		text += e.profileTOML(p)
	}
	return text
}

func (e *estate) profileTOML(p grant) string {
	if p.plugin == "rfc2136" {
		return fmt.Sprintf(`
[dcv.%s]
plugin = "rfc2136"
[dcv.%s.settings]
nameserver = %q
tsig_key = %q
tsig_algorithm = %q
tsig_secret = { file = "tsig-%s" }
ttl = 5
`, p.profile, p.profile, e.bind.Addr(), p.key.Name, p.key.Algorithm, p.profile)
	}
	return fmt.Sprintf(`
[dcv.%s]
plugin = "lego"
provider = "rfc2136"
[dcv.%s.env]
RFC2136_NAMESERVER = %q
RFC2136_TSIG_KEY = %q
RFC2136_TSIG_ALGORITHM = %q
RFC2136_TSIG_SECRET = { file = "tsig-%s" }
RFC2136_TTL = "5"
RFC2136_POLLING_INTERVAL = "1"
RFC2136_PROPAGATION_TIMEOUT = "%d"
`, p.profile, p.profile, e.bind.Addr(), p.key.Name+".", p.key.Algorithm+".", p.profile, legoTimeout)
}

// shopped is a certificate from the shop. dcv is TOML.
func (e *estate) shopped(name, dcv string, domains ...string) string {
	return fmt.Sprintf(`
[[certificate]]
name = %q
domains = %s
ca = "shop"
dcv = %s
renew_before = "30d"
order = { product = "dv" }
[certificate.files]
fullchain = "tls/%s.pem"
key = "tls/%s.key"
`, name, list(domains), dcv, name, name)
}

// due puts certificates on disk that end soon, and starts the daemon.
func (e *estate) due(config string, certificates map[string][]string, env ...string) {
	e.t.Helper()
	for name, domains := range certificates {
		e.put(name, e.shop.ca, endsIn, domains...)
	}
	e.write("config.toml", config, 0o600)
	e.start(env...)
}

// untilDone waits until a certificate from the shop is in place and nothing of its order is published any more.
func (e *estate) untilDone(name string) {
	e.t.Helper()
	e.until(name, "renewed", func(c control.Certificate) bool {
		return c.Leaf != nil && time.Until(c.Leaf.NotAfter) > endsIn && c.Order == nil && c.Problem == ""
	})
	e.untilWithdrawn()
}

// untilTrouble waits until an order of a certificate says that something is wrong, and returns how it is explained.
func (e *estate) untilTrouble(name, kind string) string {
	e.t.Helper()
	e.until(name, "trouble of kind "+kind, func(c control.Certificate) bool {
		return c.Order != nil && c.Order.LastError != nil && c.Order.LastError.Kind == kind
	})
	return e.cli("explain", name)
}

// texts waits until a name has some TXT record, and returns them.
func (e *estate) texts(name string) []string {
	e.t.Helper()
	var values []string
	if !await(e.t.Context(), patience, func() bool {
		values = e.bind.TXT(e.t, name)
		return len(values) > 0
	}) {
		e.t.Fatalf("nothing was published at %s", name)
	}
	return values
}

// bare checks that names have no records of any type.
func bare(t testing.TB, server *peer.NameServer, names ...string) {
	t.Helper()
	for _, name := range names {
		if values := server.TXT(t, name); len(values) > 0 {
			t.Errorf("%s is left at %s: %q", dns.TypeToString[dns.TypeTXT], name, values)
		}
		if target := server.CNAME(t, name); target != "" {
			t.Errorf("CNAME is left at %s: %q", name, target)
		}
	}
}

// acts are what updates did, such as `+ alpha a.test _dnsauth.a.test/TXT`: added (+) or deleted (-), by which key, in which
// zone, where.
func acts(t testing.TB, bind *peer.BINDServer) []string {
	t.Helper()
	var list []string
	for _, u := range bind.Updates(t) {
		// adding an RR at 'a.test' TXT "x"; deleting an RR at a.test TXT; deleting rrset at 'a.test' TXT
		f := strings.Fields(strings.ReplaceAll(u.Text, "'", ""))
		sign := map[string]string{"adding": "+", "deleting": "-"}[f[0]]
		at := slices.Index(f, "at")
		switch {
		case sign == "" || at < 0 || at+2 >= len(f):
			t.Errorf("an update came to nothing: %+v", u)
		case f[1] != "rrset": // lego clears a name before it adds
			list = append(list, fmt.Sprintf("%s %s %s %s/%s", sign, u.Key, u.Zone, f[at+1], f[at+2]))
		}
	}
	return list
}

// update makes a dynamic update as an administrator would by hand: remove all records of the added ones' names and types,
// then add them.
func update(t testing.TB, bind *peer.BINDServer, zone string, key peer.TSIGKey, records ...string) {
	t.Helper()
	m := new(dns.Msg).SetUpdate(dns.Fqdn(zone))
	var list []dns.RR
	for _, r := range records {
		rr, err := dns.NewRR(r)
		if err != nil {
			t.Fatalf("%s: %v", r, err)
		}
		list = append(list, rr)
	}
	m.RemoveRRset(list)
	m.Insert(list)
	client := dns.Client{Net: "tcp", Timeout: 5 * time.Second, TsigSecret: map[string]string{key.Name + ".": key.Secret}}
	m.SetTsig(key.Name+".", key.Algorithm+".", 300, time.Now().Unix())
	reply, _, err := client.ExchangeContext(t.Context(), m, bind.Addr())
	if err != nil || reply.Rcode != dns.RcodeSuccess {
		t.Fatalf("update %q: %v %v", records, err, reply)
	}
}

// recordShows looks a record up as a commercial CA does: CNAME records are followed for a TXT record.
func (s *shop) recordShows(ctx context.Context, o shopOrder, proof, name string) error {
	base := strings.TrimPrefix(name, "*.")
	at, kind, want := "_dnsauth."+base, dns.TypeTXT, o.Token
	switch proof {
	case "apex":
		at = base
	case "cname":
		at, kind, want = "_"+o.Token+"."+base, dns.TypeCNAME, "dcv.shop-ca.example."
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	reply, _, err := (&dns.Client{Net: "tcp"}).ExchangeContext(ctx, new(dns.Msg).SetQuestion(dns.Fqdn(at), kind), s.resolver)
	if err != nil {
		return fmt.Errorf("ask for %s: %w", at, err)
	}
	for _, rr := range reply.Answer {
		switch r := rr.(type) {
		case *dns.TXT:
			if kind == dns.TypeTXT && strings.Join(r.Txt, "") == want {
				return nil
			}
		case *dns.CNAME:
			if kind == dns.TypeCNAME && r.Target == want {
				return nil
			}
		}
	}
	return fmt.Errorf("%s %s does not hold what was asked for", dns.TypeToString[kind], at)
}

// run runs a command of the command line and returns what it prints and its exit code.
func (r *rig) run(args ...string) (string, int) {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), r.binary, append(args, "--config", r.path("config.toml"))...)
	cmd.Dir = r.dir
	text, err := cmd.CombinedOutput()
	var code *exec.ExitError
	if err != nil && !errors.As(err, &code) {
		r.t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// pidsOf are the processes of a plugin of this rig.
func (r *rig) pidsOf(plugin string) []int {
	var pids []int
	for _, p := range processesOf(r.path("plugins")) {
		var name string
		var pid int
		if _, err := fmt.Sscan(p, &name, &pid); err == nil && filepath.Base(name) == plugin {
			pids = append(pids, pid)
		}
	}
	return pids
}

// filesBelow are the files in a folder and all below it.
func filesBelow(t testing.TB, folder string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func readFile(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
