package publisher

import (
	"errors"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-acme/lego/v4/challenge"
	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const zoneName = "example.com"

// host is a DNS host with an API: records with ids, as lego's providers find them.
type host struct {
	mu      sync.Mutex
	records map[int]record
	next    int
	// unique: a second record of the same name and value is refused.
	unique bool
	// rrset: publishing replaces all records of the name, withdrawing removes them all.
	rrset bool
	// down: every call fails.
	down error
	// hidden: the name servers do not have the records yet.
	hidden bool
	calls  []string
	// domains are what the calls named as such.
	domains []string
	// block, when it is there, is waited for in each call; entered is told of it.
	block, entered chan struct{}
	inside, most   int
}

type record struct{ name, value string }

// byID is a provider that finds its records by what it remembers, as lego's own do.
type byID struct {
	host *host
	ids  map[string]int
}

// byValue is one that finds them itself.
type byValue struct{ host *host }

var errGone = errors.New("no such record")

func (h *host) enter(call, domain string, t task) (leave func(), err error) {
	h.mu.Lock()
	h.calls = append(h.calls, call+" "+t.name)
	h.domains = append(h.domains, domain)
	h.inside++
	h.most = max(h.most, h.inside)
	block, err := h.block, h.down
	h.mu.Unlock()
	if block != nil {
		h.entered <- struct{}{}
		<-block
	}
	h.mu.Lock()
	return func() { h.inside--; h.mu.Unlock() }, err
}

// taskOf undoes what the copy of lego does with a literal record, or lego with a key authorization.
func taskOf(domain, keyAuth string) task {
	if rest, ok := strings.CutPrefix(keyAuth, literalTXT); ok {
		name, value, _ := strings.Cut(rest, "\x00")
		return task{name: name, value: value}
	}
	return task{name: "_acme-challenge." + domain, value: keyAuth}
}

func (h *host) add(t task) (int, error) {
	if h.rrset {
		maps.DeleteFunc(h.records, func(_ int, r record) bool { return r.name == t.name })
	}
	for _, r := range h.records {
		if h.unique && r == (record{t.name, t.value}) {
			return 0, errors.New("there is one already")
		}
	}
	h.next++
	h.records[h.next] = record{t.name, t.value}
	return h.next, nil
}

func (p *byID) Present(domain, token, keyAuth string) error {
	t := taskOf(domain, keyAuth)
	leave, err := p.host.enter("present", domain, t)
	defer leave()
	if err != nil {
		return err
	}
	id, err := p.host.add(t)
	if err != nil {
		return err
	}
	p.ids[token] = id
	return nil
}

func (p *byID) CleanUp(domain, token, keyAuth string) error {
	leave, err := p.host.enter("cleanup", domain, taskOf(domain, keyAuth))
	defer leave()
	if err != nil {
		return err
	}
	id, ok := p.ids[token]
	if !ok {
		return errors.New("unknown record id")
	}
	if _, ok := p.host.records[id]; !ok {
		return errGone
	}
	delete(p.host.records, id)
	return nil
}

func (p *byValue) Present(domain, _, keyAuth string) error {
	t := taskOf(domain, keyAuth)
	leave, err := p.host.enter("present", domain, t)
	defer leave()
	if err == nil {
		_, err = p.host.add(t)
	}
	return err
}

func (p *byValue) CleanUp(domain, _, keyAuth string) error {
	t := taskOf(domain, keyAuth)
	leave, err := p.host.enter("cleanup", domain, t)
	defer leave()
	if err != nil {
		return err
	}
	before := len(p.host.records)
	maps.DeleteFunc(p.host.records, func(_ int, r record) bool {
		return r.name == t.name && (p.host.rrset || r.value == t.value)
	})
	if len(p.host.records) == before {
		return errGone
	}
	return nil
}

func newHost() *host { return &host{records: map[int]record{}} }

func (h *host) values(name string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var values []string
	for _, r := range h.records {
		if r.name == name {
			values = append(values, r.value)
		}
	}
	slices.Sort(values)
	return values
}

func (h *host) put(name, value string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next++
	h.records[h.next] = record{name, value}
}

func (h *host) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

// ServeDNS is the host's name server, and a resolver for its zone.
func (h *host) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := new(dns.Msg).SetReply(q)
	name := strings.TrimSuffix(strings.ToLower(q.Question[0].Name), ".")
	header := func(kind uint16) dns.RR_Header {
		return dns.RR_Header{Name: q.Question[0].Name, Rrtype: kind, Class: dns.ClassINET, Ttl: 1}
	}
	ip, _, _ := net.SplitHostPort(w.LocalAddr().String())
	switch q.Question[0].Qtype {
	case dns.TypeNS:
		m.Answer = append(m.Answer, &dns.NS{Hdr: header(dns.TypeNS), Ns: "ns." + zoneName + "."})
	case dns.TypeA:
		m.Answer = append(m.Answer, &dns.A{Hdr: header(dns.TypeA), A: net.ParseIP(ip)})
	case dns.TypeSOA:
		soa := &dns.SOA{Hdr: header(dns.TypeSOA), Ns: "ns." + zoneName + ".", Mbox: "m."}
		if soa.Hdr.Name = zoneName + "."; name == zoneName {
			m.Answer = append(m.Answer, soa)
		} else {
			m.Ns = append(m.Ns, soa)
		}
	case dns.TypeTXT:
		for _, r := range h.records {
			if r.name == name && !h.hidden {
				m.Answer = append(m.Answer, &dns.TXT{Hdr: header(dns.TypeTXT), Txt: []string{r.value}})
			}
		}
	}
	_ = w.WriteMsg(m)
}

// serve starts the host's name server and returns its address.
func (h *host) serve(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	server := &dns.Server{PacketConn: conn, Handler: h, NotifyStartedFunc: func() { close(ready) }}
	done := make(chan error, 1)
	go func() { done <- server.ActivateAndServe() }()
	<-ready
	t.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return conn.LocalAddr().String()
}

// start is a new process with a profile at the host.
func start(t *testing.T, h *host, address string, tr traits) *Publisher {
	t.Helper()
	tr.acme, tr.literal = pluginapi.PublishACMEDNS, pluginapi.PublishTXT
	r := newResolver([]string{address})
	_, r.port, _ = net.SplitHostPort(address)
	return &Publisher{profile: &profile{
		name: "fake", traits: tr, literals: true, gate: newGate(tr.concurrent), seen: newSeen(), dns: r, settle: time.Minute,
		make: func() (challenge.Provider, error) {
			if tr.needsReceipt {
				return &byID{host: h, ids: map[string]int{}}, nil
			}
			return &byValue{host: h}, nil
		},
	}}
}

func txt(name, value string) pluginapi.Challenge {
	return pluginapi.Challenge{ID: name + value, Identifier: "*." + zoneName, DNS: &pluginapi.DNSRecord{Name: name, Type: pluginapi.TXT, Value: value}}
}

func numbered(i int) pluginapi.Challenge { return txt("n"+strconv.Itoa(i)+"."+zoneName, "v") }
