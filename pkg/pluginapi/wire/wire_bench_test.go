package wire

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	pb "github.com/certbridge/certbridged/proto/certbridge/plugin/v1"
)

// plainCA answers without a thought, and keeps nothing, so that many may ask at once.
type plainCA struct {
	pluginapi.CA
	reply pluginapi.OrderReply
}

func (c *plainCA) Configure(context.Context, pluginapi.Account) (pluginapi.Configured, error) {
	return pluginapi.Configured{}, nil
}

func (c *plainCA) GetOrder(context.Context, pluginapi.PlacedOrder) (pluginapi.OrderReply, error) {
	return c.reply, nil
}

// overSocket serves a CA on a unix socket, encrypted and with all that stands before the implementation, as a plugin does.
func overSocket(b *testing.B, impl pluginapi.CA) *CAClient {
	b.Helper()
	l, err := net.Listen("unix", filepath.Join(b.TempDir(), "s"))
	if err != nil {
		b.Fatal(err)
	}
	secret := selfSigned(b)
	life := newLifetime()
	server := life.newServer([]grpc.ServerOption{grpc.Creds(credentials.NewServerTLSFromCert(&secret))})
	pb.RegisterCAServiceServer(server, &caServer{impl: impl})
	go server.Serve(l)
	roots := x509.NewCertPool()
	roots.AddCert(secret.Leaf)
	conn, err := grpc.NewClient("unix:"+l.Addr().String(), append(DialOptions(),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "localhost"})))...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close(); server.Stop() })
	client := NewCAClient(conn)
	if _, err := client.Configure(b.Context(), pluginapi.Account{}); err != nil {
		b.Fatal(err)
	}
	return client
}

// selfSigned makes a certificate such as go-plugin makes for each start.
func selfSigned(b *testing.B) tls.Certificate {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		b.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		b.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// BenchmarkCall is one call for an order that waits for validation, from the daemon's types to the plugin's and back.
func BenchmarkCall(b *testing.B) {
	reply := pluginapi.OrderReply{Order: pluginapi.Order{
		Reference: "https://ca.example.com/order/1", State: make([]byte, 120), Status: pluginapi.PendingValidation, Detail: "1 of 1 names wait to be validated",
		Authorizations: []pluginapi.Authorization{{Identifier: "a.example.com", Challenges: []pluginapi.Challenge{{
			ID: "https://ca.example.com/challenge/1", Identifier: "a.example.com",
			HTTP: &pluginapi.HTTPFile{Host: "a.example.com", Path: "/.well-known/acme-challenge/token", Body: "token.thumbprint"},
		}}}},
	}}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"a.example.com"}}, key)
	if err != nil {
		b.Fatal(err)
	}
	request := pluginapi.PlacedOrder{
		Reference: reply.Order.Reference, State: reply.Order.State,
		OrderRequest: pluginapi.OrderRequest{
			IdempotencyKey: "0123456789abcdef0123456789abcdef", Kind: pluginapi.New, CSR: csr,
			Identifiers: []pluginapi.Identifier{{Type: pluginapi.DNS, Value: "a.example.com"}},
		},
	}
	client := overSocket(b, &plainCA{reply: reply})
	call := func(b *testing.B) bool {
		got, err := client.GetOrder(context.Background(), request)
		if err != nil || got.Order.Status != pluginapi.PendingValidation {
			b.Error(got, err)
			return false
		}
		return true
	}
	b.Run("callers=1", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() && call(b) {
		}
	})
	b.Run("callers=16", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(8) // for each core
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() && call(b) {
			}
		})
	})
}
