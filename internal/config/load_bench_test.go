package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/certbridge/certbridged/internal/config"
)

const manyCertificates = 10000

// writeMany writes a configuration with a file for each of many certificates, and returns its path.
func writeMany(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	for _, name := range []string{"conf.d", "tls"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			b.Fatal(err)
		}
	}
	put("config.toml", "[ca.local]\nplugin = \"local\"\n[ca.local.settings]\ndir = \"/var/lib/ca\"\n")
	for i := range manyCertificates {
		name := fmt.Sprintf("c%06d", i)
		put("conf.d/"+name+".toml", fmt.Sprintf(`[[certificate]]
name = %q
domains = ["%s.example.com"]
ca = "local"
key = "ecdsa-p256"
[certificate.files]
fullchain = "tls/%s.pem"
key = "tls/%s.key"
`, name, name, name, name))
	}
	return filepath.Join(dir, "config.toml")
}

// BenchmarkLoad reads a configuration with a file for each of 10 000 certificates.
func BenchmarkLoad(b *testing.B) {
	path := writeMany(b)
	b.ReportAllocs()
	for b.Loop() {
		c, err := config.Load(path, config.Options{})
		if err != nil || c.Len() != manyCertificates {
			b.Fatal(err)
		}
	}
}

// BenchmarkCertificate asks for one of 10 000 certificates by its name.
func BenchmarkCertificate(b *testing.B) {
	c, err := config.Load(writeMany(b), config.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if crt, ok := c.Certificate("c007077"); !ok || len(crt.Files) != 2 {
			b.Fatal("it is not there")
		}
	}
}
