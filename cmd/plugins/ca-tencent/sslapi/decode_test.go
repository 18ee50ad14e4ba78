package sslapi

import (
	"archive/zip"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

func TestDecodeCertificate(t *testing.T) {
	const issued = `{"Response":{"CertificateId":"Tq7LmN2x","Status":1,"StatusMsg":"CA-REVIEWING","Domain":"shop.example.com","SubjectAltName":null,
		"InsertTime":"2026-11-21 10:00:00","CertEndTime":"2027-06-09 07:59:59","ValidityPeriod":"12","PackageType":48,"OrderId":null,
		"CertificatePublicKey":"PEM","CertificatePrivateKey":"SECRET","DvAuthDetail":null,"SubmittedData":null,"Tags":[{"TagKey":"a","TagValue":"b"}],
		"CertificateExtra":{"ReplacedBy":null,"ReplacedFor":"x","RenewOrder":7}}}`
	var c Certificate
	if err := inside([]byte(issued), &c); err != nil {
		t.Fatal(err)
	}
	if !c.Is(Issued) || c.PackageType != "48" || c.ValidityPeriod != 12 || !c.Tagged("a", "b") || c.Tagged("a", "c") || c.Extra.ReplacedFor != "x" || c.Extra.RenewOrder != "7" {
		t.Errorf("%+v", c)
	}
	if want := time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC); !c.InsertTime.Equal(want) {
		t.Errorf("bought at %s, want %s: the times are China's", c.InsertTime, want)
	}
	if strings.Contains(fmt.Sprintf("%+v", c), "SECRET") {
		t.Error("the private key is kept")
	}
}

func TestAuths(t *testing.T) {
	for name, c := range map[string]struct {
		detail string
		want   int
	}{
		"none":            {`null`, 0},
		"empty":           {`{"DvAuths":null,"DvAuthKey":"","DvAuthValue":""}`, 0},
		"a list":          {`{"DvAuthKey":"a","DvAuthValue":"b","DvAuths":[{"DvAuthKey":"a"},{"DvAuthKey":"c"}]}`, 2},
		"the first alone": {`{"DvAuthKey":"a","DvAuthValue":"b","DvAuths":[]}`, 1},
	} {
		var cert Certificate
		if err := inside([]byte(`{"Response":{"CertificateId":"a","Status":0,"DvAuthDetail":`+c.detail+`}}`), &cert); err != nil {
			t.Fatal(err)
		}
		if got := cert.Auth.All(); len(got) != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestLooseNumbers(t *testing.T) {
	for text, want := range map[string]Status{`1`: Issued, `"1"`: Issued, `0`: UnderReview, `null`: UnknownStatus, `"x"`: UnknownStatus, `-3`: UnknownStatus, `{}`: UnknownStatus, `99`: 99} {
		var s Status
		if err := s.UnmarshalJSON([]byte(text)); err != nil || s != want {
			t.Errorf("%s: %d, %v", text, s, err)
		}
	}
	for text, want := range map[string]Number{`-7`: -7, `"2"`: 2, `null`: 0, `[]`: 0} {
		var n Number
		if err := n.UnmarshalJSON([]byte(text)); err != nil || n != want {
			t.Errorf("%s: %d, %v", text, n, err)
		}
	}
	for _, text := range []string{`"--"`, `""`, `null`, `7`, `"2026-11-21"`, `{}`} {
		var at Time
		if err := at.UnmarshalJSON([]byte(text)); err != nil || !at.IsZero() {
			t.Errorf("%s: %s, %v", text, at, err)
		}
	}
}

func TestValidID(t *testing.T) {
	for id, want := range map[string]bool{"LqQxgqUe": true, "a-b_1": true, "": false, "a b": false, "../x": false, "ä": false, strings.Repeat("a", 65): false} {
		if ValidID(id) != want {
			t.Errorf("%q: %t", id, !want)
		}
	}
}

// pair is a leaf and its issuer, PEM.
func pair(t testing.TB) (leaf, issuer string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := func(name string) *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	}
	text := func(name string) string {
		der, err := x509.CreateCertificate(rand.Reader, template(name), template(name), key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	return text("leaf"), text("issuer")
}

// pack makes an archive, with names as they stand there.
func pack(t testing.TB, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, text := range files {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

// An archive is read by what it holds, within bounds.
func TestUnpack(t *testing.T) {
	leaf, issuer := pair(t)
	many := map[string]string{}
	for i := range mostMembers + 1 {
		many[fmt.Sprint(i)] = leaf
	}
	big := strings.Repeat("x", largest)
	total := map[string]string{"leaf": leaf}
	for i := range largestTotal/largest + 1 {
		total[fmt.Sprint(i)] = big
	}
	for name, c := range map[string]struct {
		content string
		want    int
		words   string
	}{
		"by server":         {pack(t, map[string]string{"Nginx/1_bundle.crt": leaf + issuer, "Apache/1_root_bundle.crt": issuer, "Apache/2.crt": leaf, "IIS/x.pfx": "\x00\x01", "Nginx/": ""}), 2, ""},
		"by the console":    {pack(t, map[string]string{"_.example.com_nginx/x_bundle.pem": leaf + issuer}), 2, ""},
		"a key beside":      {pack(t, map[string]string{"x.key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "x.crt": leaf}), 1, ""},
		"names that climb":  {pack(t, map[string]string{"../../etc/passwd": leaf}), 1, ""},
		"broken into lines": {strings.Join(strings.SplitAfter(pack(t, map[string]string{"x": leaf}), "A"), "\n"), 1, ""},
		"no base64":         {"%%%", 0, "not in base64"},
		"nothing":           {"", 0, "not in base64"},
		"no archive":        {base64.StdEncoding.EncodeToString([]byte(leaf)), 0, "no zip archive"},
		"no certificate":    {pack(t, map[string]string{"readme": "x"}), 0, "without a certificate"},
		"too many files":    {pack(t, many), 0, "with 65 files"},
		"a file too large":  {pack(t, map[string]string{"x": big + leaf}), 0, "with a file of more than"},
		"too much":          {pack(t, total), 0, "an archive of more than"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Unpack(c.content)
			if c.words != "" {
				if err == nil || !strings.Contains(err.Error(), c.words) {
					t.Errorf("%v, want %q", err, c.words)
				}
			} else if err != nil || len(got) != c.want {
				t.Errorf("%d certificates, %v, want %d", len(got), err, c.want)
			}
		})
	}
}

func FuzzUnpack(f *testing.F) {
	leaf, issuer := pair(f)
	for _, files := range []map[string]string{{"a": leaf}, {"Nginx/a": leaf + issuer, "b/": "", "c": "x"}, {}} {
		packed, err := base64.StdEncoding.DecodeString(pack(f, files))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
	}
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, packed []byte) {
		got, err := Unpack(base64.StdEncoding.EncodeToString(packed))
		if (err == nil) != (len(got) > 0) || len(got) > mostInAll {
			t.Errorf("%d certificates, %v", len(got), err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, text := range []string{
		`{"Response":{"CertificateId":"a","Status":5,"DvAuthDetail":{"DvAuths":[{"DvAuthKey":"k"}]},"Tags":null}}`,
		`{"Response":{"Error":{"Code":"FailedOperation","Message":"m"},"RequestId":"r"}}`, `{"Response":null}`, `{"code":4000}`, `[]`, ``, `{"Response":{"Error":[]}}`,
		`{"Response":{"TotalCount":"2","Certificates":[{"Status":"x","CertificateExtra":[]},null]}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		problems := decodeProblems(body)
		for _, p := range problems {
			if p.Code == "" && p.Message == "" {
				t.Error("a problem that says nothing")
			}
		}
		var c Certificate
		if inside(body, &c) == nil {
			_ = c.Auth.All()
			_ = c.Stands().String()
		}
		r := &restca.Refusal{Status: 200, Problems: problems}
		if v := judge(r); len(problems) > 0 && v.Kind == 0 {
			t.Errorf("%+v means nothing", problems)
		}
	})
}
