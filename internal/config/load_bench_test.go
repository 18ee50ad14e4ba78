package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/certbridge/certbridged/internal/config"
)

// BenchmarkLoad reads a configuration with a file for each of 10 000 certificates.
func BenchmarkLoad(b *testing.B) {
	const certificates = 10000
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
	for i := range certificates {
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
	b.ReportAllocs()
	for b.Loop() {
		c, err := config.Load(filepath.Join(dir, "config.toml"), config.Options{})
		if err != nil || c.Len() != certificates {
			b.Fatal(err)
		}
	}
}
