package deploy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func verify(t *testing.T, leaf *x509.Certificate, timeout time.Duration, targets ...Target) Result {
	t.Helper()
	return new(Runner).Verify(t.Context(), Plan{Certificate: "shop", Verify: targets, Timeout: timeout}, leaf)
}

func TestVerifyWantsSeveralGoodAnswersInARow(t *testing.T) {
	ca := newAuthority(t)
	old, fresh := ca.issue(t, newKey(t)), ca.issue(t, newKey(t))
	answers := []tls.Certificate{old, fresh, fresh, old, fresh, old, fresh, fresh, fresh}
	var seen atomic.Int32
	address := serveTLS(t, func(n int) *tls.Config {
		seen.Store(int32(n) + 1)
		return with(answers[min(n, len(answers)-1)])
	})
	got := verify(t, fresh.Leaf, 30*time.Second, Target{Address: address})
	if got.Err != nil || len(got.Served) != 1 || got.Served[0].Err != nil {
		t.Fatalf("%+v", got)
	}
	if int(seen.Load()) != len(answers) {
		t.Errorf("satisfied after %d connections, want %d", seen.Load(), len(answers))
	}
	if want := describe(fresh.Leaf); got.Served[0].Leaf.Fingerprint != want.Fingerprint || got.Served[0].Warnings != nil {
		t.Errorf("served %+v, want %v without warnings", got.Served[0], want)
	}
}

func TestVerifyNamesTheCertificateThatIsServedInstead(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	old, fresh := ca.issue(t, newKey(t)), ca.issue(t, newKey(t))
	address := serveTLS(t, func(int) *tls.Config { return with(old) })
	got := verify(t, fresh.Leaf, time.Second, Target{Address: address, ServerName: "shop.example.com"})
	var mismatch *MismatchError
	if !errors.As(got.Err, &mismatch) || !errors.Is(got.Err, ErrTimedOut) {
		t.Fatalf("error %v, want a MismatchError that timed out", got.Err)
	}
	for _, part := range []string{
		"verify: " + address + " (server name shop.example.com) serves the certificate with serial " + old.Leaf.SerialNumber.Text(16),
		"(shop.example.com, localhost, valid until " + old.Leaf.NotAfter.UTC().Format(time.RFC3339) + ")",
		"not the installed one with serial " + fresh.Leaf.SerialNumber.Text(16),
		"timed out after 1s",
	} {
		if !strings.Contains(got.Err.Error(), part) {
			t.Errorf("error %q lacks %q", got.Err, part)
		}
	}
	if got.Served[0].Leaf.Serial != old.Leaf.SerialNumber.Text(16) {
		t.Errorf("served %+v", got.Served[0])
	}
}

func TestVerifyFailures(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	c := ca.issue(t, newKey(t))
	alternating := serveTLS(t, func(n int) *tls.Config {
		return with([]tls.Certificate{c, ca.issue(t, newKey(t))}[n%2])
	})
	closed := serve(t, "tcp", "127.0.0.1:0", func(int, net.Conn) {})
	silent := serve(t, "tcp", "127.0.0.1:0", func(_ int, c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	plain := serve(t, "tcp", "127.0.0.1:0", func(_ int, c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		_, _ = io.Copy(io.Discard, c)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	_ = l.Close()
	cases := map[string]struct {
		target Target
		want   string
	}{
		"nobody listens":      {Target{Address: nobody}, "connection refused"},
		"closes at once":      {Target{Address: closed}, "TLS handshake: "},
		"says nothing":        {Target{Address: silent}, "timed out after"},
		"no TLS":              {Target{Address: plain}, "first record does not look like a TLS handshake"},
		"half old, half new":  {Target{Address: alternating}, "timed out after"},
		"no port":             {Target{Address: "127.0.0.1"}, `address "127.0.0.1": want host:port`},
		"unknown protocol":    {Target{Address: nobody, Protocol: "gopher"}, `unknown protocol "gopher": want one of tls, smtp, imap, pop3, postgres`},
		"no such host":        {Target{Address: "no-such-host.invalid:443"}, "no-such-host.invalid"},
		"smtp that is none":   {Target{Address: plain, Protocol: SMTP}, `smtp before TLS: the server said "HTTP/1.1 400 Bad Request", want 220`},
		"silent before TLS":   {Target{Address: silent, Protocol: POP3}, "pop3 before TLS: timed out after"},
		"postgres that is no": {Target{Address: plain, Protocol: Postgres}, "want S"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := verify(t, c.Leaf, time.Second, tc.target)
			if got.Err == nil || !strings.Contains(got.Err.Error(), tc.want) {
				t.Errorf("error %v, want %q", got.Err, tc.want)
			}
			if got.Took > 5*time.Second {
				t.Errorf("took %s", got.Took)
			}
		})
	}
}

func TestVerifyNeedsACertificateToLookFor(t *testing.T) {
	if got := verify(t, nil, time.Second, Target{Address: "127.0.0.1:1"}); got.Err == nil {
		t.Error("no error without a certificate to look for")
	}
}

func TestVerifyEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	reached := make(chan struct{})
	address := serve(t, "tcp", "127.0.0.1:0", func(n int, c net.Conn) {
		if n == 0 {
			close(reached)
		}
		_, _ = io.Copy(io.Discard, c)
	})
	result := make(chan Result)
	leaf := newAuthority(t).issue(t, newKey(t)).Leaf
	go func() { result <- new(Runner).Verify(ctx, Plan{Verify: []Target{{Address: address}}}, leaf) }()
	<-reached
	cancel()
	if got := <-result; !errors.Is(got.Err, context.Canceled) || errors.Is(got.Err, ErrTimedOut) {
		t.Errorf("error %v, want context canceled", got.Err)
	}
}

func TestVerifyLooksAtAllTargets(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	old, fresh := ca.issue(t, newKey(t)), ca.issue(t, newKey(t))
	good := serveTLS(t, func(int) *tls.Config { return with(fresh) })
	bad := serveTLS(t, func(int) *tls.Config { return with(old) })
	got := verify(t, fresh.Leaf, 3*time.Second, Target{Address: good}, Target{Address: bad})
	if got.Err == nil || !strings.Contains(got.Err.Error(), bad) || strings.Contains(got.Err.Error(), good) {
		t.Errorf("error %v, want one about %s alone", got.Err, bad)
	}
	if got.Served[0].Err != nil || got.Served[1].Err == nil {
		t.Errorf("served %+v", got.Served)
	}
}

func TestVerifyAsksForTheRightName(t *testing.T) {
	ca := newAuthority(t)
	c := ca.issue(t, newKey(t))
	wildcard := sign(t, &x509.Certificate{DNSNames: []string{"*.example.com"}}, nil, nil, newKey(t))
	cases := map[string]struct {
		leaf       tls.Certificate
		serverName string
		want       string
	}{
		"as configured":                  {c, "www.example.com", "www.example.com"},
		"first name of the certificate":  {c, "", "shop.example.com"},
		"a name in place of a wildcard":  {wildcard, "", "www.example.com"},
		"a wildcard that was configured": {c, "*.example.org", "www.example.org"},
		"no address is sent as a name":   {c, "192.0.2.1", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			asked := make(chan string, 2*goodInARow)
			address := serveTLS(t, func(int) *tls.Config {
				return &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
					asked <- hello.ServerName
					return &tc.leaf, nil
				}}
			})
			if got := verify(t, tc.leaf.Leaf, 10*time.Second, Target{Address: address, ServerName: tc.serverName}); got.Err != nil {
				t.Fatal(got.Err)
			}
			if got := <-asked; got != tc.want {
				t.Errorf("asked for %q, want %q", got, tc.want)
			}
		})
	}
}

func TestVerifyOverIPv6(t *testing.T) {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("SKIP: no IPv6 on the loopback interface: %v", err)
	}
	_ = l.Close()
	c := newAuthority(t).issue(t, newKey(t))
	address := serve(t, "tcp6", "[::1]:0", func(_ int, conn net.Conn) { shake(conn, with(c)) })
	if got := verify(t, c.Leaf, 10*time.Second, Target{Address: address}); got.Err != nil {
		t.Error(got.Err)
	}
}

// A server with an RSA and an ECDSA certificate shows modern clients the ECDSA one; either may be ours.
func TestVerifyFindsOursAmongTwoKindsOfKey(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	ec, rsa := ca.issue(t, newKey(t)), ca.issue(t, newRSAKey(t))
	address := serveTLS(t, func(int) *tls.Config { return with(ec, rsa) })
	for _, c := range []tls.Certificate{ec, rsa} {
		if got := verify(t, c.Leaf, 10*time.Second, Target{Address: address}); got.Err != nil {
			t.Errorf("%s: %v", c.Leaf.PublicKeyAlgorithm, got.Err)
		}
	}
	other := ca.issue(t, newRSAKey(t))
	got := verify(t, other.Leaf, time.Second, Target{Address: address})
	if want := rsa.Leaf.SerialNumber.Text(16); got.Err == nil || !strings.Contains(got.Err.Error(), "serves the certificate with serial "+want) {
		t.Errorf("error %v, want the RSA certificate %s named", got.Err, want)
	}
}

func TestVerifyWhereClientsNeedACertificate(t *testing.T) {
	c := newAuthority(t).issue(t, newKey(t))
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		address := serveTLS(t, func(int) *tls.Config {
			config := with(c)
			config.ClientAuth, config.MaxVersion = tls.RequireAnyClientCert, version
			return config
		})
		if got := verify(t, c.Leaf, 5*time.Second, Target{Address: address}); got.Err != nil {
			t.Errorf("%s: %v", tls.VersionName(version), got.Err)
		}
	}
}

// A server that shows our certificate with another key cannot serve anyone.
func TestVerifyRefusesACertificateWithTheWrongKey(t *testing.T) {
	t.Parallel()
	c := newAuthority(t).issue(t, newKey(t))
	wrong := tls.Certificate{Certificate: c.Certificate, PrivateKey: newKey(t)}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		address := serveTLS(t, func(int) *tls.Config {
			config := with(wrong)
			config.MaxVersion = version
			return config
		})
		if got := verify(t, c.Leaf, time.Second, Target{Address: address}); got.Err == nil {
			t.Errorf("%s: the wrong key passes", tls.VersionName(version))
		}
	}
}

func TestVerifyReportsMissingIntermediates(t *testing.T) {
	ca := newAuthority(t)
	c := ca.issue(t, newKey(t))
	alone := tls.Certificate{Certificate: c.Certificate[:1], PrivateKey: c.PrivateKey}
	selfSigned := sign(t, &x509.Certificate{DNSNames: []string{"localhost"}}, nil, nil, newKey(t))
	cases := map[string]struct {
		served tls.Certificate
		leaf   *x509.Certificate
		chain  []*x509.Certificate
		want   string
	}{
		"complete":                          {c, c.Leaf, []*x509.Certificate{ca.intermediate, ca.root}, ""},
		"complete as far as is known":       {c, c.Leaf, nil, ""},
		"alone":                             {alone, c.Leaf, nil, "CN=Intermediate"},
		"alone, and the chain is known":     {alone, c.Leaf, []*x509.Certificate{ca.intermediate}, "CN=Intermediate"},
		"alone, as the root itself signs":   {alone, c.Leaf, []*x509.Certificate{}, ""},
		"alone and nobody else's signature": {selfSigned, selfSigned.Leaf, nil, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			address := serveTLS(t, func(int) *tls.Config { return with(tc.served) })
			plan := Plan{Verify: []Target{{Address: address}}, Chain: tc.chain}
			var log bytes.Buffer
			runner := &Runner{Logger: slog.New(slog.NewTextHandler(&log, nil))}
			got := runner.Verify(t.Context(), plan, tc.leaf)
			if got.Err != nil {
				t.Fatal(got.Err)
			}
			if logged := strings.Contains(log.String(), "served chain is incomplete"); logged != (tc.want != "") {
				t.Errorf("log:\n%s", &log)
			}
			warnings := strings.Join(got.Served[0].Warnings, "; ")
			if (tc.want == "") != (warnings == "") || !strings.Contains(warnings, tc.want) {
				t.Errorf("warnings %q, want %q", warnings, tc.want)
			}
		})
	}
}

func TestVerifyAfterStartTLS(t *testing.T) {
	t.Parallel()
	c := newAuthority(t).issue(t, newKey(t))
	// What the server says at first and after each line or message of the client.
	scripts := map[Protocol][]string{
		SMTP:     {"220-mail\r\n220 ready\r\n", "250-mail\r\n250-SIZE\r\n250 STARTTLS\r\n", "220 go\r\n"},
		IMAP:     {"* OK [CAPABILITY IMAP4rev1 STARTTLS] hello\r\n", "* CAPABILITY x\r\na1 OK begin\r\n"},
		POP3:     {"+OK hello\r\n", "+OK begin\r\n"},
		Postgres: {"", "S"},
	}
	for protocol, script := range scripts {
		t.Run(string(protocol), func(t *testing.T) {
			address := serve(t, "tcp", "127.0.0.1:0", func(_ int, conn net.Conn) {
				if converse(conn, protocol, script) == nil {
					shake(conn, with(c))
				}
			})
			got := verify(t, c.Leaf, 10*time.Second, Target{Address: address, Protocol: protocol})
			if got.Err != nil {
				t.Error(got.Err)
			}
		})
	}
	refusals := map[Protocol][]string{
		SMTP:     {"220 ready\r\n", "250 mail\r\n", "454 TLS not available\r\n"},
		IMAP:     {"* OK hello\r\n", "a1 NO not here\r\n"},
		POP3:     {"+OK hello\r\n", "-ERR not here\r\n"},
		Postgres: {"", "N"},
	}
	for protocol, script := range refusals {
		t.Run(string(protocol)+" refused", func(t *testing.T) {
			t.Parallel()
			address := serve(t, "tcp", "127.0.0.1:0", func(_ int, conn net.Conn) { _ = converse(conn, protocol, script) })
			got := verify(t, c.Leaf, time.Second, Target{Address: address, Protocol: protocol})
			if got.Err == nil || !strings.Contains(got.Err.Error(), string(protocol)+" before TLS: the server ") {
				t.Errorf("error %v", got.Err)
			}
		})
	}
}

func converse(conn net.Conn, protocol Protocol, script []string) error {
	for i, line := range script {
		if i > 0 {
			if err := hear(conn, protocol); err != nil {
				return err
			}
		}
		if _, err := io.WriteString(conn, line); err != nil {
			return err
		}
	}
	return nil
}

func hear(conn net.Conn, protocol Protocol) error {
	if protocol == Postgres {
		_, err := io.ReadFull(conn, make([]byte, 8))
		return err
	}
	// The client waits for our answer, so there is nothing beyond the line to lose in the buffer.
	_, err := bufio.NewReader(conn).ReadString('\n')
	return err
}

func FuzzStartTLS(f *testing.F) {
	f.Add("220-a\r\n220 b\r\n250 c\r\n220 d\r\n")
	f.Add("* OK x\r\n* y\r\na1 OK z\r\n")
	f.Add(strings.Repeat("x", maxPreamble+1))
	f.Add("+OK\n+OK\n")
	f.Fuzz(func(t *testing.T, said string) {
		for _, protocol := range Protocols() {
			conn := &scripted{in: strings.NewReader(said)}
			err := protocol.startTLS(conn)
			if read := len(said) - conn.in.Len(); read > maxPreamble {
				t.Errorf("%s: read %d bytes (%v)", protocol, read, err)
			}
		}
	})
}

// scripted is a connection whose other side has said everything already.
type scripted struct {
	net.Conn
	in *strings.Reader
}

func (s *scripted) Read(b []byte) (int, error)  { return s.in.Read(b) }
func (s *scripted) Write(b []byte) (int, error) { return len(b), nil }

func TestLeafNamesFewNames(t *testing.T) {
	var names []string
	for i := range 5 {
		names = append(names, fmt.Sprintf("n%d.example.com", i))
	}
	c := sign(t, &x509.Certificate{DNSNames: names, IPAddresses: []net.IP{net.IPv6loopback}}, nil, nil, newKey(t)).Leaf
	if got := describe(c).String(); !strings.Contains(got, "(n0.example.com, n1.example.com, n2.example.com and 3 more, valid until ") {
		t.Errorf("%s", got)
	}
}
