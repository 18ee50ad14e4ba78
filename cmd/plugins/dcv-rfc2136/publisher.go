package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// publisher is the plugin. Configure is over before anything else begins, so that nothing here is guarded.
type publisher struct {
	version string
	now     func() time.Time

	settings settings
	server   *server
}

// Describe says what the plugin is.
func (p *publisher) Describe(context.Context) (pluginapi.DCVDescription, error) {
	return pluginapi.DCVDescription{
		Name: "rfc2136", Version: p.version,
		Summary:  "Publishes TXT and CNAME records by dynamic updates (RFC 2136), signed by TSIG.",
		Settings: schema(),
	}, nil
}

// Configure checks the settings.
func (p *publisher) Configure(_ context.Context, profile pluginapi.DCVProfile) (pluginapi.DCVConfigured, error) {
	s, findings := readSettings(profile.Settings)
	p.settings, p.server = s, newServer(s, profile.DNSResolvers, p.now)
	return pluginapi.DCVConfigured{
		Findings:  findings,
		Abilities: []pluginapi.PublishAbility{pluginapi.PublishACMEDNS, pluginapi.PublishTXT, pluginapi.PublishCNAME},
	}, nil
}

// Publish adds the record. The receipt is the zone that it was added to, which spares Withdraw the question.
func (p *publisher) Publish(ctx context.Context, c pluginapi.Challenge) ([]byte, error) {
	r, err := recordOf(c)
	if err != nil {
		return nil, err
	}
	if r.cname {
		zone, err := p.zoneOf(ctx, r.name)
		if err != nil {
			return nil, err
		}
		return []byte(zone), p.addCNAME(ctx, zone, r)
	}
	zone, err := p.publishTXT(ctx, r)
	if err != nil {
		return nil, err
	}
	return []byte(zone), nil
}

// publishTXT adds a TXT record beside others, and returns the zone that it was added to. Where the settings name the zone, and no
// other stands there, as mostly, one message does.
func (p *publisher) publishTXT(ctx context.Context, r record) (zone string, err error) {
	if p.settings.zone != "" {
		if zone, err = p.zoneOf(ctx, r.name); err != nil {
			return "", err
		}
		reply, err := p.addTXT(ctx, zone, r, p.settings.ttl, dns.TypeCNAME, dns.TypeTXT)
		if err != nil {
			return "", err
		}
		if reply.Rcode != dns.RcodeYXRrset {
			return zone, p.explain(reply, zone, r)
		}
	}
	zone, ttl, err := p.placeOf(ctx, r)
	if err != nil {
		return "", err
	}
	// A server ignores a record that is added beside a CNAME, and says that all is well (RFC 2136 section 3.4.2.2).
	reply, err := p.addTXT(ctx, zone, r, ttl, dns.TypeCNAME)
	switch {
	case err != nil:
		return "", err
	case reply.Rcode == dns.RcodeYXRrset:
		return "", pluginapi.Errorf(pluginapi.Conflict, "%s has a CNAME record, beside which nothing can stand: remove it, or publish at its target", bare(r.name))
	default:
		return zone, p.explain(reply, zone, r)
	}
}

// Withdraw deletes the record and no other. A record that is not there is deleted as well as one that is (RFC 2136
// section 3.4.2.4).
func (p *publisher) Withdraw(ctx context.Context, c pluginapi.Challenge, receipt []byte) error {
	r, err := recordOf(c)
	if err != nil {
		return err
	}
	if zone := p.zoneBefore(r.name, receipt); zone != "" {
		reply, err := p.remove(ctx, zone, r)
		if err != nil {
			return err
		}
		if reply.Rcode != dns.RcodeNotAuth && reply.Rcode != dns.RcodeNotZone { // else the server's zones are others by now
			return p.explain(reply, zone, r)
		}
	}
	zone, err := p.zoneOf(ctx, r.name)
	if err != nil {
		return err
	}
	reply, err := p.remove(ctx, zone, r)
	if err != nil {
		return err
	}
	return p.explain(reply, zone, r)
}

func (p *publisher) remove(ctx context.Context, zone string, r record) (*dns.Msg, error) {
	m := new(dns.Msg).SetUpdate(zone)
	m.Remove([]dns.RR{r.rr(0)})
	return p.server.exchange(ctx, m)
}

// addTXT adds a TXT record unless there are records of certain types at its name: then the reply is YXRRSET.
func (p *publisher) addTXT(ctx context.Context, zone string, r record, ttl uint32, without ...uint16) (*dns.Msg, error) {
	m := new(dns.Msg).SetUpdate(zone)
	for _, t := range without {
		m.RRsetNotUsed([]dns.RR{&dns.ANY{Hdr: dns.RR_Header{Name: r.name, Rrtype: t}}})
	}
	m.Insert([]dns.RR{r.rr(ttl)})
	return p.server.exchange(ctx, m)
}

// placeOf returns the zone to add a TXT record to, and the time to live of those that stand at its name already: all of a set have
// the same (RFC 2181 section 5.2), and a new one with another would change the others'. Mostly none stands there, and the answer
// that says so names the zone as well.
func (p *publisher) placeOf(ctx context.Context, r record) (zone string, ttl uint32, err error) {
	reply, err := p.server.exchange(ctx, question(r.name, dns.TypeTXT))
	if err != nil {
		return "", 0, err
	}
	ttl = p.settings.ttl
	for _, rr := range reply.Answer {
		if rr.Header().Rrtype == dns.TypeTXT && dns.CanonicalName(rr.Header().Name) == r.name {
			ttl = rr.Header().Ttl
		}
	}
	if p.settings.zone == "" {
		zone, _ = zoneIn(reply, r.name)
	}
	if zone == "" {
		zone, err = p.zoneOf(ctx, r.name)
	}
	return zone, ttl, err
}

// addCNAME adds a CNAME record at a name that has no records.
func (p *publisher) addCNAME(ctx context.Context, zone string, r record) error {
	m := new(dns.Msg).SetUpdate(zone)
	// A server replaces one CNAME by another, and ignores one beside other records (RFC 2136 section 3.4.2.2).
	m.NameNotUsed([]dns.RR{r.rr(0)})
	m.Insert([]dns.RR{r.rr(p.settings.ttl)})
	reply, err := p.server.exchange(ctx, m)
	if err != nil {
		return err
	}
	if reply.Rcode != dns.RcodeYXDomain {
		return p.explain(reply, zone, r)
	}
	there, err := p.server.exchange(ctx, question(r.name, dns.TypeCNAME))
	if err != nil {
		return err
	}
	for _, rr := range there.Answer {
		cname, ok := rr.(*dns.CNAME)
		if !ok || dns.CanonicalName(cname.Hdr.Name) != r.name {
			continue
		}
		if dns.CanonicalName(cname.Target) == dns.CanonicalName(r.value) {
			return nil // it is there already
		}
		return pluginapi.Errorf(pluginapi.Conflict, "%s is a CNAME record to %s already, and a name can have one only: remove it, or let "+
			"another challenge be used", bare(r.name), bare(cname.Target))
	}
	return pluginapi.Errorf(pluginapi.Conflict, "%s has other records, beside which no CNAME record can stand: remove them, or let another "+
		"challenge be used", bare(r.name))
}

// explain turns the reply to an update into an error that says what to do (RFC 2136 section 2.2).
func (p *publisher) explain(reply *dns.Msg, zone string, r record) error {
	who := "updates that are not signed"
	if key := p.settings.key; !key.none() {
		who = fmt.Sprintf("the key %q", bare(key.name))
	}
	at := p.settings.nameserver
	switch reply.Rcode {
	case dns.RcodeSuccess:
		return nil
	case dns.RcodeRefused:
		return pluginapi.Errorf(pluginapi.Unauthorized, "the name server %s refuses %s to change %s %s in the zone %s (REFUSED): allow it "+
			"there by update-policy or allow-update; a secondary refuses as well: nameserver must be the primary",
			at, who, bare(r.name), r.kind(), bare(zone))
	case dns.RcodeNotAuth:
		return pluginapi.FieldErrorf("nameserver", "%s has no authority over the zone %s (NOTAUTH): name the zone's primary, or correct zone; "+
			"PowerDNS says so of a wrong key as well", at, bare(zone))
	case dns.RcodeNotZone:
		return pluginapi.FieldErrorf("zone", "%s lies outside of the zone %s, says %s (NOTZONE)", bare(r.name), bare(zone), at)
	case dns.RcodeNotImplemented:
		return pluginapi.FieldErrorf("nameserver", "%s takes no dynamic updates (NOTIMP): switch them on there, or publish in another way", at)
	case dns.RcodeFormatError:
		return pluginapi.Errorf(pluginapi.InvalidRequest, "the name server %s does not understand the update (FORMERR)", at)
	case dns.RcodeServerFailure:
		return pluginapi.Errorf(pluginapi.Unavailable, "the name server %s failed (SERVFAIL): its log says why; often the zone's files or "+
			"their folder cannot be written, or its disk is full", at)
	default:
		return pluginapi.Errorf(pluginapi.Unavailable, "the name server %s answers %s to the update of the zone %s", at, rcode(reply.Rcode), bare(zone))
	}
}

// record is what a challenge wants to be published. The name is in lower case with a trailing dot.
type record struct {
	name, value string
	cname       bool
}

func recordOf(c pluginapi.Challenge) (record, error) {
	if c.DNS == nil {
		return record{}, pluginapi.Errorf(pluginapi.InvalidRequest, "%s challenges have no place in the DNS", c.Type())
	}
	name, err := domain(c.DNS.Name)
	if err != nil {
		return record{}, pluginapi.FieldErrorf("challenge.dns.name", "%q %w", c.DNS.Name, err)
	}
	r := record{name: name, value: c.DNS.Value}
	switch c.DNS.Type {
	case pluginapi.TXT:
	case pluginapi.CNAME:
		r.cname = true
		if _, ok := dns.IsDomainName(r.value); !ok || r.value == "" {
			return record{}, pluginapi.FieldErrorf("challenge.dns.value", "%q is no domain name", r.value)
		}
		r.value = dns.Fqdn(r.value)
	default:
		return record{}, pluginapi.FieldErrorf("challenge.dns.type", "%q is neither TXT nor CNAME", c.DNS.Type)
	}
	rr := r.rr(0)
	room := min(dns.Len(rr), dns.MaxMsgSize) // the length is with escapes, and never too short
	if _, err := dns.PackRR(rr, make([]byte, room), 0, nil, false); err != nil {
		return record{}, pluginapi.FieldErrorf("challenge.dns.value", "fits into no record: %w", err)
	}
	return r, nil
}

func (r record) kind() string {
	if r.cname {
		return string(pluginapi.CNAME)
	}
	return string(pluginapi.TXT)
}

func (r record) rr(ttl uint32) dns.RR {
	h := dns.RR_Header{Name: r.name, Class: dns.ClassINET, Ttl: ttl}
	if r.cname {
		h.Rrtype = dns.TypeCNAME
		return &dns.CNAME{Hdr: h, Target: r.value}
	}
	h.Rrtype = dns.TypeTXT
	return &dns.TXT{Hdr: h, Txt: characterStrings(r.value)}
}

// maxString is the size of one character-string of a TXT record, in bytes (RFC 1035 section 3.3).
const maxString = 255

// characterStrings cuts a value into strings that a TXT record can hold, in the form in which the DNS library wants them:
// with backslashes doubled.
func characterStrings(value string) []string {
	var list []string
	for len(value) > maxString {
		list = append(list, escape(value[:maxString]))
		value = value[maxString:]
	}
	return append(list, escape(value))
}

func escape(text string) string { return strings.ReplaceAll(text, `\`, `\\`) }

// bare is a name as people write it.
func bare(name string) string {
	if name == "." {
		return name
	}
	return strings.TrimSuffix(name, ".")
}

func question(name string, kind uint16) *dns.Msg {
	m := new(dns.Msg).SetQuestion(name, kind)
	m.RecursionDesired = false // what the server knows itself, or nothing
	return m
}
