package cert_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/internal/cert"
)

func readPEM(t *testing.T, dir, name string) cert.Contents {
	t.Helper()
	contents, err := cert.ParsePEM(readFile(t, dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return contents
}

func readFile(t *testing.T, dir, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestOpenSSLKeys reads every form of key that openssl writes, and gives ours back to it.
func TestOpenSSLKeys(t *testing.T) {
	tests := map[string]struct {
		commands [][]string
		want     cert.KeyType
		wantErr  error
	}{
		"PKCS#8 RSA":       {commands: [][]string{{"genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "key"}}, want: cert.RSA2048},
		"PKCS#1":           {commands: [][]string{{"genrsa", "-traditional", "-out", "key", "2048"}}, want: cert.RSA2048},
		"PKCS#8 EC":        {commands: [][]string{{"genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", "key"}}, want: cert.ECDSAP384},
		"SEC 1 and params": {commands: [][]string{{"ecparam", "-name", "prime256v1", "-genkey", "-out", "key"}}, want: cert.ECDSAP256},
		"Ed25519":          {commands: [][]string{{"genpkey", "-algorithm", "ED25519", "-out", "key"}}, want: cert.Ed25519},
		"encrypted":        {commands: [][]string{{"genpkey", "-algorithm", "ED25519", "-aes256", "-pass", "pass:secret", "-out", "key"}}, wantErr: cert.ErrEncryptedKey},
		"encrypted PKCS#1": {commands: [][]string{{"genrsa", "-traditional", "-aes256", "-passout", "pass:secret", "-out", "key", "2048"}}, wantErr: cert.ErrEncryptedKey},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, command := range tt.commands {
				run(t, dir, "openssl", command...)
			}
			contents, err := cert.ParsePEM(readFile(t, dir, "key"))
			if !errors.Is(err, tt.wantErr) {
				t.Fatalf("err = %v, want %v", err, tt.wantErr)
			}
			if tt.wantErr != nil {
				return
			}
			if got, err := cert.KeyTypeOf(contents.Key.Public()); err != nil || got != tt.want {
				t.Errorf("KeyTypeOf = %q, %v", got, err)
			}
			ours, err := cert.EncodeKey(contents.Key)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "ours"), ours, 0o600); err != nil {
				t.Fatal(err)
			}
			if a, b := run(t, dir, "openssl", "pkey", "-in", "key", "-pubout"), run(t, dir, "openssl", "pkey", "-in", "ours", "-pubout"); a != b {
				t.Errorf("openssl reads another key from what we wrote:\n%s\n%s", a, b)
			}
		})
	}
}

func TestParsePEM(t *testing.T) {
	root := newRoot(t, "root")
	key := newKey(t)
	leaf := root.sign(t, leafTemplate("example.com"), key.Public())
	keyPEM, err := cert.EncodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	otherPEM, err := cert.EncodeKey(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	good := string(cert.EncodeChain(append([]*x509.Certificate{leaf}, root.cert)))
	lines := strings.SplitAfter(good, "\n")
	cutLine := strings.Join(append(append([]string{}, lines[:2]...), lines[3:]...), "")
	dh := "-----BEGIN DH PARAMETERS-----\nMAYCAQcCAQI=\n-----END DH PARAMETERS-----\n"
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}

	tests := map[string]struct {
		in        string
		certs     int
		key       bool
		dh        int
		wantErr   []string
		wantBlock int
		wantLine  int
	}{
		"chain":                     {in: good, certs: 2},
		"chain and key":             {in: good + string(keyPEM), certs: 2, key: true},
		"key first, parameters too": {in: string(keyPEM) + dh + good, certs: 2, key: true, dh: 1},
		"same key twice":            {in: string(keyPEM) + string(keyPEM), key: true},
		"text around":               {in: "subject=/CN=x\r\n\r\n" + good + "trailing text without end of line", certs: 2},
		"CRLF":                      {in: strings.ReplaceAll(good, "\n", "\r\n"), certs: 2},
		"byte order mark":           {in: "\ufeff" + good, certs: 2},
		"no last end of line":       {in: strings.TrimSpace(good), certs: 2},
		"other blocks":              {in: block("CERTIFICATE REQUEST", []byte{1}) + block("X509 CRL", []byte{2}) + good, certs: 2},
		"trusted certificate":       {in: block("TRUSTED CERTIFICATE", append(bytes.Clone(leaf.Raw), 0x30, 0)), certs: 1},
		"old name":                  {in: block("X509 CERTIFICATE", leaf.Raw), certs: 1},
		"empty":                     {in: ""},
		"garbage":                   {in: "\x00\xff not PEM"},
		"line lost":                 {in: cutLine, certs: 1, wantErr: []string{"block 1 (CERTIFICATE) at line 1"}, wantBlock: 1, wantLine: 1},
		"cut short":                 {in: good[:len(good)-100], certs: 1, wantErr: []string{"block 2", "END line is missing"}, wantBlock: 2, wantLine: len(lines)/2 + 1},
		"bad base64":                {in: "\n\n" + strings.Replace(good, "\nM", "\n*", 1), certs: 1, wantErr: []string{"line 3", "damaged"}, wantBlock: 1, wantLine: 3},
		"not a certificate":         {in: block("CERTIFICATE", []byte("x")) + good, certs: 2, wantErr: []string{"block 1", "parse certificate"}, wantBlock: 1, wantLine: 1},
		"bytes after certificate":   {in: block("CERTIFICATE", append(bytes.Clone(leaf.Raw), 0)), wantErr: []string{"trailing data"}, wantBlock: 1, wantLine: 1},
		"bad trusted certificate":   {in: block("TRUSTED CERTIFICATE", []byte{0x30}), wantErr: []string{"parse certificate"}, wantBlock: 1, wantLine: 1},
		"bad key":                   {in: block("PRIVATE KEY", []byte("x")), wantErr: []string{"neither PKCS#8"}, wantBlock: 1, wantLine: 1},
		"DSA":                       {in: block("DSA PRIVATE KEY", []byte("x")), wantErr: []string{"cannot be used for TLS"}, wantBlock: 1, wantLine: 1},
		"two keys":                  {in: string(keyPEM) + string(otherPEM), key: true, wantErr: []string{"second, different private key"}, wantBlock: 2, wantLine: strings.Count(string(keyPEM), "\n") + 1},
		"two mistakes":              {in: block("CERTIFICATE", nil) + good + block("PRIVATE KEY", nil), certs: 2, wantErr: []string{"block 1", "block 4"}, wantBlock: 1, wantLine: 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := cert.ParsePEM([]byte(tt.in))
			if len(got.Certificates) != tt.certs || (got.Key != nil) != tt.key || len(got.DHParameters) != tt.dh {
				t.Errorf("%d certificates, key %t, %d DH parameters", len(got.Certificates), got.Key != nil, len(got.DHParameters))
			}
			if (err != nil) != (len(tt.wantErr) > 0) {
				t.Fatalf("err = %v", err)
			}
			for _, want := range tt.wantErr {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("err = %v, want %q in it", err, want)
				}
			}
			var place *cert.PEMError
			if err != nil && (!errors.As(err, &place) || place.Block != tt.wantBlock || place.Line != tt.wantLine) {
				t.Errorf("place = %+v, want block %d at line %d", place, tt.wantBlock, tt.wantLine)
			}
		})
	}
}

func FuzzParsePEM(f *testing.F) {
	root := newRoot(f, "root")
	key, err := cert.EncodeKey(root.key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(cert.EncodeChain([]*x509.Certificate{root.cert}), key...))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n"))
	f.Add([]byte("-----BEGIN DH PARAMETERS-----\nMAYCAQcCAQI=\n-----END DH PARAMETERS-----"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := cert.ParsePEM(data)
		if err != nil {
			var place *cert.PEMError
			if !errors.As(err, &place) || place.Line < 1 || place.Block < 1 {
				t.Fatalf("an error without a place: %v", err)
			}
			return
		}
		again, err := cert.ParsePEM(cert.EncodeChain(got.Certificates))
		if err != nil || len(again.Certificates) != len(got.Certificates) {
			t.Fatalf("%d certificates came back as %d: %v", len(got.Certificates), len(again.Certificates), err)
		}
	})
}
