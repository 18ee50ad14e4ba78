package examples

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/config"
)

func TestConfigurationIsAccepted(t *testing.T) {
	c, err := config.Load("config.toml", config.Options{SkipSecrets: true})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for cert := range c.All() {
		names = append(names, cert.Name)
	}
	if !slices.Contains(names, "shop") || !slices.Contains(names, "intranet") || len(c.Warnings) > 0 {
		t.Errorf("certificates %v, warnings %v", names, c.Warnings)
	}
}

// lookUp skips a test whose server is missing; where everything must be there, it fails.
func lookUp(t *testing.T, tool string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		file := filepath.Join(dir, tool)
		if info, err := os.Stat(file); err == nil && !info.IsDir() {
			return file
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing", tool)
	}
	t.Skipf("SKIP: %s is missing", tool)
	return ""
}

// writePair writes a certificate and its key, alone and in one file.
func writePair(t *testing.T, certificate, key, combined string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"shop.example.com"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	leaf := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	secret := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	for name, data := range map[string][]byte{certificate: leaf, key: secret, combined: slices.Concat(leaf, secret)} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// elsewhere copies an example, with paths and ports that a test may use.
func elsewhere(t *testing.T, file string, replace ...string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(string(text), replace[i]) {
			t.Errorf("%s has no %q", file, replace[i])
		}
	}
	copied := filepath.Join(t.TempDir(), filepath.Base(file))
	if err := os.WriteFile(copied, []byte(strings.NewReplacer(replace...).Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	return copied
}

func TestNginxAcceptsItsExample(t *testing.T) {
	nginx := lookUp(t, "nginx")
	dir := t.TempDir()
	writePair(t, filepath.Join(dir, "shop.pem"), filepath.Join(dir, "shop.key"), filepath.Join(dir, "combined.pem"))
	// "nginx -t" opens the ports, logs and temporary folders it is told, which only root may.
	const temporary = "http {\n access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;\n"
	conf := elsewhere(t, "nginx/nginx.conf", "/etc/nginx/tls", dir, "http {\n", temporary,
		"listen 80;", "listen unix:"+dir+"/plain;", "    listen [::]:80;\n", "\n",
		"listen 443 ssl;", "listen unix:"+dir+"/secure ssl;", "    listen [::]:443 ssl;\n", "\n")
	out, err := exec.Command(nginx, "-t", "-e", "stderr", "-p", dir, "-c", conf,
		"-g", "pid "+dir+"/pid; error_log stderr;").CombinedOutput()
	if err != nil {
		t.Errorf("nginx -t: %v\n%s", err, out)
	}
}

func TestHAProxyAcceptsItsExample(t *testing.T) {
	haproxy := lookUp(t, "haproxy")
	dir := t.TempDir()
	writePair(t, filepath.Join(dir, "a.pem"), filepath.Join(dir, "a.key"), filepath.Join(dir, "intranet.pem"))
	conf := elsewhere(t, "haproxy/haproxy.cfg", "/etc/haproxy/tls", dir)
	out, err := exec.Command(haproxy, "-c", "-f", conf).CombinedOutput() // opens no port
	if err != nil {
		t.Errorf("haproxy -c: %v\n%s", err, out)
	}
}
