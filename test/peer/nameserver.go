package peer

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// dnsPort is where everybody looks for a name server: an NS record has no port.
const dnsPort = 53

// Zone is a zone of a name server. Its SOA and NS records, and the addresses that those lead to, are made from where
// the servers listen.
type Zone struct {
	// Name is full and has no trailing dot.
	Name string
	// Records are further lines of a zone file (RFC 1035 section 5.1), such as `www A 192.0.2.1`. Names without a
	// trailing dot are relative to the zone.
	Records []string
	// Keys are the names of the TSIG keys that may update everything in the zone. BIND only.
	Keys []string
	// Policy are the rules of BIND's update-policy instead, without the semicolon, such as
	// `grant shop name _dnsauth.shop.example.com. TXT`.
	Policy []string
	// Elsewhere are the IP addresses of further name servers of the zone, whether or not anything listens there.
	Elsewhere []string
}

// file returns the zone as a zone file, with NS records for the servers at addrs.
func (z Zone) file(addrs []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "$ORIGIN %s\n$TTL 60\n@ SOA ns1 hostmaster 1 3600 600 604800 60\n", dns.Fqdn(z.Name))
	for i, addr := range slices.Concat(addrs, z.Elsewhere) {
		kind := "A"
		if strings.Contains(addr, ":") {
			kind = "AAAA"
		}
		fmt.Fprintf(&b, "@ NS ns%d\nns%d %s %s\n", i+1, i+1, kind, addr)
	}
	for _, r := range z.Records {
		b.WriteString(r + "\n")
	}
	return b.String()
}

// withDelegations adds to every zone the NS records of the zones right below it.
func withDelegations(zones []Zone, addrs []string) []Zone {
	out := slices.Clone(zones)
	for i := range out {
		out[i].Records = slices.Clone(out[i].Records)
	}
	for _, child := range zones {
		parent := -1
		for i, z := range zones {
			if z.Name != child.Name && dns.IsSubDomain(dns.Fqdn(z.Name), dns.Fqdn(child.Name)) && (parent < 0 || len(z.Name) > len(zones[parent].Name)) {
				parent = i
			}
		}
		if parent < 0 {
			continue
		}
		for _, line := range strings.Split(Zone{Name: child.Name, Elsewhere: child.Elsewhere}.file(addrs), "\n") {
			fields := strings.Fields(line)
			if len(fields) != 3 || strings.HasPrefix(fields[0], "$") {
				continue // not one of its NS records and their addresses
			}
			// Written out in full, because the lines are relative to the child.
			owner := dns.Fqdn(child.Name)
			if fields[0] != "@" {
				owner = fields[0] + "." + owner
			}
			if fields[1] == "NS" {
				fields[2] += "." + dns.Fqdn(child.Name)
			}
			out[parent].Records = append(out[parent].Records, strings.Join([]string{owner, fields[1], fields[2]}, " "))
		}
	}
	return out
}

// TSIGKey is a secret that a name server and who updates it share (RFC 8945).
type TSIGKey struct {
	// Name has no trailing dot. Algorithm is "hmac-sha256", "hmac-sha512" or another one of RFC 8945 section 6. Secret
	// is base64.
	Name, Algorithm, Secret string
}

// NewTSIGKey makes a key with a random secret.
func NewTSIGKey(name, algorithm string) TSIGKey {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	return TSIGKey{Name: name, Algorithm: algorithm, Secret: base64.StdEncoding.EncodeToString(secret)}
}

// DNSAddress returns an address "127.A.B.C:port" that nothing uses, by TCP or UDP. Port 53 is for root alone: others
// skip the test (see Missing).
func DNSAddress(t testing.TB, port int) string {
	t.Helper()
	var err error
	for range 100 {
		// Not 127.0.0.0/16, where systems have their own servers.
		ip := net.IPv4(127, byte(1+mathrand.IntN(254)), byte(1+mathrand.IntN(254)), byte(1+mathrand.IntN(254)))
		addr := net.JoinHostPort(ip.String(), strconv.Itoa(port))
		if err = addressFree(addr); err == nil {
			return addr
		}
		if errors.Is(err, syscall.EACCES) {
			Missing(t, "needs port %d of a loopback address: run as root", port)
		}
	}
	t.Fatalf("no free address with port %d in 100 tries: %v", port, err)
	return ""
}

func addressFree(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer l.Close()
	p, err := net.ListenPacket("udp", addr)
	if err != nil {
		return err
	}
	return p.Close()
}

// NameServer is a running name server that a test can ask.
type NameServer struct{ addr string }

// Addr returns where it listens, "127.A.B.C:port", by UDP and TCP.
func (s *NameServer) Addr() string { return s.addr }

// IP returns the address without the port.
func (s *NameServer) IP() string { return netip.MustParseAddrPort(s.addr).Addr().String() }

// Query asks for records as a resolver's client does, by TCP.
func (s *NameServer) Query(t testing.TB, name string, kind uint16) *dns.Msg {
	t.Helper()
	reply, err := s.query(t.Context(), name, kind)
	if err != nil {
		t.Fatalf("ask %s for %s %s: %v", s.addr, name, dns.TypeToString[kind], err)
	}
	return reply
}

func (s *NameServer) query(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
	client := dns.Client{Net: "tcp", Timeout: stopTimeout}
	reply, _, err := client.ExchangeContext(ctx, new(dns.Msg).SetQuestion(dns.Fqdn(name), kind), s.addr)
	return reply, err
}

// TXT returns the values of the TXT records at a name, in order; CNAME records are not followed. Another answer than
// "there are" and "there are none" ends the test.
func (s *NameServer) TXT(t testing.TB, name string) []string {
	t.Helper()
	var values []string
	for _, rr := range s.answer(t, name, dns.TypeTXT) {
		if txt, ok := rr.(*dns.TXT); ok {
			values = append(values, unescape(t, strings.Join(txt.Txt, "")))
		}
	}
	slices.Sort(values)
	return values
}

// CNAME returns where the CNAME record at a name leads, without trailing dot, or "" when there is none.
func (s *NameServer) CNAME(t testing.TB, name string) string {
	t.Helper()
	for _, rr := range s.answer(t, name, dns.TypeCNAME) {
		if cname, ok := rr.(*dns.CNAME); ok {
			return strings.TrimSuffix(cname.Target, ".")
		}
	}
	return ""
}

// answer returns the records of an answer whose owner is the name itself.
func (s *NameServer) answer(t testing.TB, name string, kind uint16) []dns.RR {
	t.Helper()
	reply := s.Query(t, name, kind)
	if reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError {
		t.Fatalf("%s answers %s for %s %s", s.addr, dns.RcodeToString[reply.Rcode], name, dns.TypeToString[kind])
	}
	return slices.DeleteFunc(reply.Answer, func(rr dns.RR) bool {
		return !strings.EqualFold(rr.Header().Name, dns.Fqdn(name))
	})
}

// unescape undoes the presentation form (RFC 1035 section 5.1) that the DNS library keeps strings in.
func unescape(t testing.TB, s string) string {
	t.Helper()
	var out []byte
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '\\':
			out = append(out, s[i])
		case i+3 < len(s) && s[i+1] >= '0' && s[i+1] <= '9':
			n, err := strconv.ParseUint(s[i+1:i+4], 10, 8)
			if err != nil {
				t.Fatalf("read %q: %v", s, err)
			}
			out, i = append(out, byte(n)), i+3
		case i+1 < len(s):
			out, i = append(out, s[i+1]), i+1
		}
	}
	return string(out)
}

// awaitZones waits until a server answers with authority for every zone.
func (s *NameServer) awaitZones(ctx context.Context, p *process, zones []Zone) error {
	for _, z := range zones {
		err := p.ready(func() error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			reply, err := s.query(ctx, z.Name, dns.TypeSOA)
			if err != nil {
				return err
			}
			if reply.Rcode != dns.RcodeSuccess || !reply.Authoritative {
				return fmt.Errorf("no authority for %s yet: %s", z.Name, dns.RcodeToString[reply.Rcode])
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
