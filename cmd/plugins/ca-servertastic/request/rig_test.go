package request

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

var update = flag.Bool("update", false, "write the golden requests and the tables in docs/ca-servertastic.md anew")

type values = map[string]any

// dv are the settings of a DV order, with changes; nil takes a value away.
func dv(change values) pluginapi.Settings {
	v := values{"st_product_code": "RapidSSL-12"}
	for _, who := range []string{"tech", "admin"} {
		for name, text := range map[string]string{"first_name": "Ada", "last_name": "Example", "phone": "+49 (30) 555-0100", "email": who + "@example.com", "title": "Engineer"} {
			v[who+"_contact_"+name] = text
		}
	}
	return with(pluginapi.Settings{Values: v}, change)
}

// ov are those of an OV order.
func ov(change values) pluginapi.Settings {
	s := dv(values{"st_product_code": "SecureSite-12"})
	for _, name := range NeedsOrganization() {
		text := "Text of " + name
		if strings.HasSuffix(name, "_country") {
			text = "DE"
		}
		if strings.HasSuffix(name, "_phone") {
			text = "030 5550100"
		}
		s.Values[name] = text
	}
	return with(s, change)
}

// sectigo are those of an order of Sectigo's.
func sectigo(change values) pluginapi.Settings {
	return with(dv(values{"st_product_code": "PositiveSSL-12", Sectigo1: "ada@example.com", Sectigo2: "49305550100"}), change)
}

func with(s pluginapi.Settings, change values) pluginapi.Settings {
	s.Values = maps.Clone(s.Values)
	for name, value := range change {
		if s.Values[name] = value; value == nil {
			delete(s.Values, name)
		}
	}
	return s
}

func newCSR(t testing.TB, common string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: common}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// specs are the fields that an order has: all that are known for its product, and those in the API's own names.
func specs(s pluginapi.Settings, more ...Spec) []Spec {
	product := ProductOf(s)
	var out []Spec
	for _, row := range table().Rows() {
		if !row.In.Has(onPlace) || row.Own || slices.Contains(Unnamed(), row.Name) || product.Validation == DV && organizational(row.Name) {
			continue
		}
		spec := Spec{Name: row.Name, Required: row.Required}
		if row.Name == "dv_auth_method" {
			spec.Options = []string{MethodEmail, MethodFile, MethodDNS}
		}
		out = append(out, spec)
	}
	return append(append(out, Spec{Name: SecretToken, Required: true}), more...)
}

// said is one finding as tests write it: severity, path, part of the message.
type said struct {
	severity pluginapi.Severity
	field    string
	part     string
}

func shown(list []pluginapi.Finding) string {
	var b strings.Builder
	for _, f := range list {
		fmt.Fprintf(&b, "%s %s: %s\n", f.Severity, f.Field, f.Message)
	}
	return b.String()
}
