package main

import (
	"context"

	"github.com/miekg/dns"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// zoneOf returns the zone to update for a name: the one of the settings, or the one that the name server says the name
// is in.
func (p *publisher) zoneOf(ctx context.Context, name string) (string, error) {
	if zone := p.settings.zone; zone != "" {
		if !dns.IsSubDomain(zone, name) {
			return "", pluginapi.FieldErrorf("zone", "%s lies outside of the zone %s: leave zone out, or use another DCV profile for it", bare(name), bare(zone))
		}
		return zone, nil
	}
	said := ""
	for at, end := 0, false; !end; at, end = dns.NextLabel(name, at) {
		reply, err := p.server.exchange(ctx, question(name[at:], dns.TypeSOA))
		if err != nil {
			return "", err
		}
		zone, elsewhere := zoneIn(reply, name[at:])
		switch {
		case zone != "":
			return zone, nil
		case elsewhere != "":
			return "", pluginapi.FieldErrorf("nameserver", "%s has delegated %s to other name servers: give the primary of that zone in "+
				"another DCV profile", p.settings.nameserver, bare(elsewhere))
		case said == "":
			said = rcode(reply.Rcode)
		}
	}
	return "", pluginapi.FieldErrorf("nameserver", "%s has no zone for %s (it answers %s): give the primary name server of the zone, or "+
		"set zone when the server does not answer questions", p.settings.nameserver, bare(name), said)
}

// zoneBefore returns the zone that a receipt names, or nothing: where there is none, where the settings name the zone, and where
// it is no zone of the name.
func (p *publisher) zoneBefore(name string, receipt []byte) string {
	zone, err := domain(string(receipt))
	if p.settings.zone != "" || err != nil || !dns.IsSubDomain(zone, name) {
		return ""
	}
	return zone
}

// zoneIn reads the reply to the question for a name's SOA record, or for records that are not there. A server with authority names the zone in the answer
// or, where the name is not a zone's apex, in the authority section (RFC 2308 section 3). A server that has delegated
// the name says so without authority. Neither is set when the reply says nothing of both, as at a CNAME record.
func zoneIn(reply *dns.Msg, name string) (zone, elsewhere string) {
	if reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError {
		return "", ""
	}
	for _, rr := range reply.Answer {
		switch owner := dns.CanonicalName(rr.Header().Name); {
		case rr.Header().Rrtype == dns.TypeCNAME:
			return "", "" // what follows is about its target
		case rr.Header().Rrtype == dns.TypeSOA && reply.Authoritative && owner == name:
			return owner, ""
		}
	}
	for _, rr := range reply.Ns {
		owner := dns.CanonicalName(rr.Header().Name)
		switch {
		case !dns.IsSubDomain(owner, name):
		case rr.Header().Rrtype == dns.TypeSOA && reply.Authoritative:
			return owner, ""
		case rr.Header().Rrtype == dns.TypeNS && !reply.Authoritative && len(reply.Answer) == 0 && owner != ".":
			return "", owner
		}
	}
	return "", ""
}
