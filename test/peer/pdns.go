package peer

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// PowerDNSServer is a running PowerDNS Authoritative Server whose zones are changed by its HTTP API.
type PowerDNSServer struct {
	NameServer
	// APIURL is the base of the HTTP API ("http://host:port"), APIKey what it wants in X-API-Key.
	APIURL, APIKey string

	proc *process
}

// PowerDNS starts pdns_server with zones, and waits until it serves them. Names outside of them are refused.
func PowerDNS(t testing.TB, zones []Zone) *PowerDNSServer {
	t.Helper()
	binary := Need(t, "pdns_server", "apt-get install pdns-server pdns-backend-sqlite3")
	apiPort := FreePort(t)
	s := &PowerDNSServer{
		NameServer: NameServer{addr: DNSAddress(t, dnsPort)},
		APIURL:     "http://" + loopback(apiPort),
		APIKey:     rand.Text(),
	}
	dir := t.TempDir()
	database := filepath.Join(dir, "zones.sqlite3")
	makePowerDNSDatabase(t, database)
	// The path of a unix socket has at most 107 bytes, and a test's folder may be longer.
	sockets, err := os.MkdirTemp("", "pdns")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(sockets) })
	write(t, filepath.Join(dir, "pdns.conf"), fmt.Sprintf(`launch=gsqlite3
gsqlite3-database=%s
gsqlite3-pragma-synchronous=0
local-address=%s
local-port=%d
webserver=yes
webserver-address=127.0.0.1
webserver-port=%d
webserver-allow-from=127.0.0.0/8
api=yes
api-key=%s
dnsupdate=yes
allow-dnsupdate-from=127.0.0.0/8
socket-dir=%s
daemon=no
guardian=no
disable-syslog=yes
security-poll-suffix=
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
`, database, s.IP(), dnsPort, apiPort, s.APIKey, sockets))
	s.proc = launch(t, "pdns_server", exec.Command(binary, "--config-dir="+dir))
	if err := s.proc.ready(func() error { _, err := s.API(t.Context(), http.MethodGet, "", nil); return err }); err != nil {
		t.Fatal(err)
	}
	zones = withDelegations(zones, []string{s.IP()})
	for _, z := range zones {
		s.create(t, z)
	}
	if err := s.awaitZones(t.Context(), s.proc, zones); err != nil {
		t.Fatal(err)
	}
	return s
}

// makePowerDNSDatabase makes an empty database from the schema in the package. Python reads it, for the server cannot.
func makePowerDNSDatabase(t testing.TB, file string) {
	t.Helper()
	const schema = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql"
	if _, err := os.Stat(schema); errors.Is(err, fs.ErrNotExist) {
		Missing(t, "needs %s: apt-get install pdns-backend-sqlite3", schema)
	}
	python := Need(t, "python3", "apt-get install python3")
	const script = `import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(open(sys.argv[2]).read())`
	run := exec.CommandContext(t.Context(), python, "-c", script, file, schema)
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("make the database: %v\n%s", err, out)
	}
}

// Stop ends it, as an outage.
func (s *PowerDNSServer) Stop(t testing.TB) {
	t.Helper()
	s.proc.stop(t)
}

// Log returns the end of what it wrote.
func (s *PowerDNSServer) Log() string { return s.proc.log.String() }

// API calls the HTTP API below /api/v1/servers/localhost with a body as JSON, where there is one, and returns the reply.
func (s *PowerDNSServer) API(ctx context.Context, method, path string, body any) ([]byte, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, s.APIURL+"/api/v1/servers/localhost"+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-API-Key", s.APIKey)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, ResponseHeaderTimeout: startTimeout}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, req.URL, resp.Status, reply)
	}
	return reply, err
}

// AllowUpdates lets a TSIG key update a zone by dynamic updates. Before that it refuses them.
func (s *PowerDNSServer) AllowUpdates(t testing.TB, zone string, key TSIGKey) {
	t.Helper()
	for path, body := range map[string]map[string]any{
		"/tsigkeys":                              {"name": key.Name, "algorithm": key.Algorithm, "key": key.Secret},
		"/zones/" + dns.Fqdn(zone) + "/metadata": {"kind": "TSIG-ALLOW-DNSUPDATE", "metadata": []string{key.Name}},
	} {
		if _, err := s.API(t.Context(), http.MethodPost, path, body); err != nil {
			t.Fatalf("allow updates of %s by %s: %v", zone, key.Name, err)
		}
	}
}

// create makes a zone by the API, which takes the records of a name and type together.
func (s *PowerDNSServer) create(t testing.TB, z Zone) {
	t.Helper()
	type record struct {
		Content string `json:"content"`
	}
	type rrset struct {
		Name    string   `json:"name"`
		Type    string   `json:"type"`
		TTL     uint32   `json:"ttl"`
		Records []record `json:"records"`
	}
	var sets []*rrset
	known := map[string]*rrset{}
	parser := dns.NewZoneParser(strings.NewReader(z.file([]string{s.IP()})), dns.Fqdn(z.Name), "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		h := rr.Header()
		key := h.Name + " " + dns.TypeToString[h.Rrtype]
		if known[key] == nil {
			known[key] = &rrset{Name: h.Name, Type: dns.TypeToString[h.Rrtype], TTL: h.Ttl}
			sets = append(sets, known[key])
		}
		known[key].Records = append(known[key].Records, record{strings.TrimPrefix(rr.String(), h.String())})
	}
	if err := parser.Err(); err != nil {
		t.Fatalf("zone %s: %v", z.Name, err)
	}
	zone := map[string]any{"name": dns.Fqdn(z.Name), "kind": "Native", "nameservers": []string{}, "rrsets": sets}
	if _, err := s.API(t.Context(), http.MethodPost, "/zones", zone); err != nil {
		t.Fatalf("create zone %s: %v\n%s", z.Name, err, s.Log())
	}
}
