package request

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

type values = map[string]any

// with lays values over a copy of others; a nil takes a key away.
func with(base, more values) values {
	out := maps.Clone(base)
	for k, v := range more {
		if v == nil {
			delete(out, k)
		} else {
			out[k] = v
		}
	}
	return out
}

func dv() values {
	return values{"ProductId": int64(48), "TimeSpan": int64(1), "ContactEmail": "certs@example.com"}
}

func ov() values {
	return values{"ProductId": int64(43), "TimeSpan": int64(1), "CompanyId": int64(20001), "ManagerId": int64(30001)}
}

// described is a company that the console does not know.
func described() values {
	return values{
		"ProductId": int64(45), "TimeSpan": int64(1),
		"OrgOrganization": "Example Ltd", "OrgDivision": "IT", "OrgAddress": "1 Test Road", "OrgCity": "Singapore", "OrgRegion": "Singapore", "OrgCountry": "SG",
		"OrgPhoneArea": "65", "OrgPhoneNumber": "60000000",
		"AdminFirstName": "Ann", "AdminLastName": "Admin", "AdminPhone": "60000001", "AdminEmail": "ann@example.com", "AdminTitle": "IT manager",
		"TechFirstName": "Tom", "TechLastName": "Tech", "TechPhone": "60000002", "TechEmail": "tom@example.com", "TechTitle": "Engineer",
	}
}

func settings(v values) pluginapi.Settings { return pluginapi.Settings{Values: v} }

// computed is what the plugin fills in for an order of names.
func computed(t testing.TB, names ...string) Computed {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: names[0]}, DNSNames: names}, key)
	if err != nil {
		t.Fatal(err)
	}
	return Computed{CSR: csr, Names: names, Mark: Mark{"certbridged", "7c0f5f0e2b6d4f6c9a1e55d3b1c2a901"}, VerifyType: VerifyDNS}
}

func shown(list []pluginapi.Finding) string {
	var b strings.Builder
	for _, f := range list {
		fmt.Fprintf(&b, "%s %s: %s\n", f.Severity, f.Field, f.Message)
	}
	return b.String()
}
