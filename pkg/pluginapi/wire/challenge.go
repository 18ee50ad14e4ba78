package wire

import (
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	pb "github.com/certbridge/certbridged/proto/certbridge/plugin/v1"
)

func formatChallenge(c pluginapi.Challenge) (*pb.Challenge, error) {
	m := &pb.Challenge{Id: c.ID, Identifier: c.Identifier}
	set := 0
	if c.DNS != nil {
		set++
		m.Publication = &pb.Challenge_Dns{Dns: &pb.DNSChallenge{Name: c.DNS.Name, Type: formatRecordType(c.DNS.Type), Value: c.DNS.Value}}
	}
	if c.HTTP != nil {
		set++
		m.Publication = &pb.Challenge_Http{Http: &pb.HTTPChallenge{Host: c.HTTP.Host, Path: c.HTTP.Path, Body: c.HTTP.Body}}
	}
	if c.Email != nil {
		set++
		m.Publication = &pb.Challenge_Email{Email: &pb.EmailChallenge{Recipients: c.Email.Recipients}}
	}
	if c.TLSALPN != nil {
		set++
		m.Publication = &pb.Challenge_TlsAlpn{TlsAlpn: &pb.TLSALPNChallenge{
			Host: c.TLSALPN.Host, KeyAuthorizationDigest: c.TLSALPN.KeyAuthorizationDigest,
		}}
	}
	if c.Manual != nil {
		set++
		m.Publication = &pb.Challenge_Manual{Manual: &pb.ManualChallenge{Instructions: people(c.Manual.Instructions)}}
	}
	if set != 1 {
		return nil, bad("publication", "wants exactly one of dns, http, email, tls_alpn and manual, and has %d", set)
	}
	if c.ACME != nil {
		m.Acme = &pb.ACMEKeyAuthorization{Token: c.ACME.Token, KeyAuthorization: c.ACME.KeyAuthorization}
	}
	return m, nil
}

func formatRecordType(t pluginapi.RecordType) pb.DNSRecordType {
	switch t {
	case pluginapi.TXT:
		return pb.DNSRecordType_DNS_RECORD_TYPE_TXT
	case pluginapi.CNAME:
		return pb.DNSRecordType_DNS_RECORD_TYPE_CNAME
	default:
		return pb.DNSRecordType_DNS_RECORD_TYPE_UNSPECIFIED
	}
}

func parseChallenge(m *pb.Challenge) (pluginapi.Challenge, error) {
	var none pluginapi.Challenge
	if err := word("id", m.GetId(), maxReference); err != nil {
		return none, err
	}
	if err := nameOrIP("identifier", m.GetIdentifier()); err != nil {
		return none, err
	}
	c := pluginapi.Challenge{ID: m.GetId(), Identifier: m.GetIdentifier()}
	var err error
	switch p := m.GetPublication().(type) {
	case *pb.Challenge_Dns:
		c.DNS, err = parseDNSRecord(p.Dns)
		err = under("dns", err)
	case *pb.Challenge_Http:
		c.HTTP, err = parseHTTPFile(p.Http)
		err = under("http", err)
	case *pb.Challenge_Email:
		c.Email, err = parseEmail(p.Email)
		err = under("email", err)
	case *pb.Challenge_TlsAlpn:
		c.TLSALPN, err = parseTLSALPN(p.TlsAlpn)
		err = under("tls_alpn", err)
	case *pb.Challenge_Manual:
		c.Manual, err = parseManual(p.Manual)
		err = under("manual", err)
	default:
		err = bad("publication", "is not given")
	}
	if err != nil {
		return none, err
	}
	if a := m.GetAcme(); a != nil {
		if c.ACME, err = parseKeyAuthorization(a); err != nil {
			return none, under("acme", err)
		}
	}
	return c, nil
}

func parseDNSRecord(m *pb.DNSChallenge) (*pluginapi.DNSRecord, error) {
	if err := dnsName("name", m.GetName(), false); err != nil {
		return nil, err
	}
	r := &pluginapi.DNSRecord{Name: m.GetName(), Value: m.GetValue()}
	switch m.GetType() {
	case pb.DNSRecordType_DNS_RECORD_TYPE_TXT:
		r.Type = pluginapi.TXT
		if err := word("value", r.Value, maxRecordValue); err != nil {
			return nil, err
		}
	case pb.DNSRecordType_DNS_RECORD_TYPE_CNAME:
		r.Type = pluginapi.CNAME
		if err := dnsName("value", strings.TrimSuffix(r.Value, "."), false); err != nil {
			return nil, err
		}
	default:
		return nil, bad("type", "%d is neither TXT nor CNAME", m.GetType())
	}
	return r, nil
}

func parseHTTPFile(m *pb.HTTPChallenge) (*pluginapi.HTTPFile, error) {
	if err := nameOrIP("host", m.GetHost()); err != nil {
		return nil, err
	}
	if err := urlPath("path", m.GetPath()); err != nil {
		return nil, err
	}
	if m.GetBody() == "" {
		return nil, bad("body", "is empty")
	}
	if len(m.GetBody()) > maxChallengeBody {
		return nil, bad("body", "is longer than %d bytes", maxChallengeBody)
	}
	return &pluginapi.HTTPFile{Host: m.GetHost(), Path: m.GetPath(), Body: m.GetBody()}, nil
}

func parseEmail(m *pb.EmailChallenge) (*pluginapi.Email, error) {
	if len(m.GetRecipients()) == 0 {
		return nil, bad("recipients", "are empty")
	}
	if err := counted("recipients", len(m.GetRecipients()), maxRecipients); err != nil {
		return nil, err
	}
	for i, r := range m.GetRecipients() {
		if err := word(item("recipients", i), r, 320); err != nil {
			return nil, err
		}
		if at := strings.LastIndexByte(r, '@'); at < 1 || at == len(r)-1 {
			return nil, bad(item("recipients", i), "%q is not a mail address", r)
		}
	}
	return &pluginapi.Email{Recipients: m.GetRecipients()}, nil
}

func parseTLSALPN(m *pb.TLSALPNChallenge) (*pluginapi.TLSALPN, error) {
	if err := nameOrIP("host", m.GetHost()); err != nil {
		return nil, err
	}
	if n := len(m.GetKeyAuthorizationDigest()); n != keyAuthorizationDigestSize {
		return nil, bad("key_authorization_digest", "has %d bytes, not %d", n, keyAuthorizationDigestSize)
	}
	return &pluginapi.TLSALPN{Host: m.GetHost(), KeyAuthorizationDigest: m.GetKeyAuthorizationDigest()}, nil
}

func parseManual(m *pb.ManualChallenge) (*pluginapi.Manual, error) {
	words := people(m.GetInstructions())
	if words == "" {
		return nil, bad("instructions", "are empty")
	}
	return &pluginapi.Manual{Instructions: words}, nil
}

// parseKeyAuthorization holds RFC 8555 section 8.1: token, dot, thumbprint of the account key in base64url.
func parseKeyAuthorization(m *pb.ACMEKeyAuthorization) (*pluginapi.KeyAuthorization, error) {
	if !isACMEToken(m.GetToken()) {
		return nil, bad("token", "is not base64url text")
	}
	thumbprint, ok := strings.CutPrefix(m.GetKeyAuthorization(), m.GetToken()+".")
	if !ok || !isACMEToken(thumbprint) {
		return nil, bad("key_authorization", "is not the token, a dot and a thumbprint")
	}
	return &pluginapi.KeyAuthorization{Token: m.GetToken(), KeyAuthorization: m.GetKeyAuthorization()}, nil
}
