package publisher

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-acme/lego/v4/challenge/http01"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/peer"
)

func TestWebrootRespectsWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	p, err := newWebroot(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, http01.ChallengePath(token))
	for range 2 {
		if err := p.Present(zoneName, token, keyAuth); err != nil {
			t.Fatal(err)
		}
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != keyAuth {
		t.Fatalf("%q %v", content, err)
	}
	for range 2 {
		if err := p.CleanUp(zoneName, token, keyAuth); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, []byte("another's"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantError(t, p.Present(zoneName, token, keyAuth), pluginapi.Conflict, path)
	if err := p.CleanUp(zoneName, token, keyAuth); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "another's" {
		t.Errorf("%q %v", content, err)
	}
}

func TestMemcached(t *testing.T) {
	hosts := memcached{peer.Memcached(t), peer.Memcached(t)}
	body := keyAuth + "\r\nEND\r\n"
	for range 2 {
		if err := hosts.Present(zoneName, token, body); err != nil {
			t.Fatal(err)
		}
	}
	for _, host := range hosts {
		if got, found := peer.MemcachedGet(t, host, http01.ChallengePath(token)); !found || got != body {
			t.Errorf("%s has %q", host, got)
		}
	}
	for range 2 {
		if err := hosts.CleanUp(zoneName, token, body); err != nil {
			t.Fatal(err)
		}
	}
	for _, host := range hosts {
		if got, found := peer.MemcachedGet(t, host, http01.ChallengePath(token)); found {
			t.Errorf("%s still has %q", host, got)
		}
	}
	// What is not stored everywhere is no success.
	gone := append(memcached{"127.0.0.1:1"}, hosts...)
	if err := gone.Present(zoneName, token, body); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("%v", err)
	}
	if err := hosts.Present(zoneName, strings.Repeat("x", 300), body); pluginapi.KindOf(err) != pluginapi.InvalidRequest {
		t.Errorf("a long path: %v", err)
	}
}

// A server that is none answers what it likes, without end.
func TestMemcachedThatIsNone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, answer := range []string{"220 mail.example.com ESMTP\r\n", strings.Repeat("x", 10_000), ""} {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(answer))
			_ = conn.Close()
		}
	}()
	for range 3 {
		if err := (memcached{l.Addr().String()}).Present(zoneName, token, "x"); err == nil {
			t.Error("taken for memcached")
		}
	}
	<-done
}

func TestMask(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := maskOf([]string{
		"OVH_APPLICATION_SECRET=s3cr&t", "OVH_LONG_TOKEN=s3cr&t-longer", "X_TOKEN_FILE=" + filepath.Join(dir, "token"),
		"Y_TOKEN_FILE=" + dir, "A_KEY=abc", "DO_AUTH_TOKEN=", "OVH_ENDPOINT=ovh-eu", "PATH=/usr/bin",
	})
	got := m.text("s3cr&t s3cr%26t s3cr&t-longer from a file abc ovh-eu /usr/bin from+a+file")
	want := "[secret] [secret] [secret] [secret] abc ovh-eu /usr/bin [secret]"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := (mask{}).text("s3cr&t"); got != "s3cr&t" {
		t.Errorf("%q", got)
	}
}
