package deploy

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority is an intermediate CA with its root.
type authority struct {
	root, intermediate *x509.Certificate
	key                *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	root := sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "Root"}, IsCA: true, BasicConstraintsValid: true}, nil, nil, newKey(t))
	a := &authority{root: root.Leaf, key: newKey(t)}
	intermediate := sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "Intermediate"}, IsCA: true, BasicConstraintsValid: true},
		root.Leaf, root.PrivateKey.(crypto.Signer), a.key)
	a.intermediate = intermediate.Leaf
	return a
}

// issue makes a certificate for localhost and shop.example.com with its chain.
func (a *authority) issue(t *testing.T, key crypto.Signer) tls.Certificate {
	t.Helper()
	c := sign(t, &x509.Certificate{DNSNames: []string{"shop.example.com", "localhost"}}, a.intermediate, a.key, key)
	c.Certificate = append(c.Certificate, a.intermediate.Raw)
	return c
}

func sign(t *testing.T, template, parent *x509.Certificate, parentKey, key crypto.Signer) tls.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = serial
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newRSAKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// store writes chain and key into one file, as HAProxy wants it and nginx accepts it.
func store(t *testing.T, path string, c tls.Certificate) {
	t.Helper()
	var content []byte
	for _, der := range c.Certificate {
		content = append(content, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	content = append(content, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	tmp := filepath.Join(filepath.Dir(path), ".new")
	if err := os.WriteFile(tmp, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, path); err != nil {
		t.Fatal(err)
	}
}

// serve accepts connections and hands each to handle, with its number from 0. It ends with the test.
func serve(t *testing.T, network, address string, handle func(n int, c net.Conn)) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			handle(n, c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

// serveTLS serves the certificate that pick chooses for each connection.
func serveTLS(t *testing.T, pick func(n int) *tls.Config) string {
	t.Helper()
	return serve(t, "tcp", "127.0.0.1:0", func(n int, c net.Conn) {
		shake(c, pick(n))
	})
}

// shake does the server's side of a handshake and waits for the client to go.
func shake(c net.Conn, config *tls.Config) {
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	s := tls.Server(c, config)
	if s.Handshake() == nil {
		_, _ = s.Read(make([]byte, 1))
	}
}

func with(c ...tls.Certificate) *tls.Config { return &tls.Config{Certificates: c} }
