package dcv

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/peer"
)

// challengeSnippet is the nginx snippet that administrators include, for a responder at another address.
func challengeSnippet(t *testing.T, responder string) string {
	t.Helper()
	const documented = "127.0.0.1:8402"
	text, err := os.ReadFile("../../examples/nginx/challenge.conf")
	if err != nil {
		t.Fatal(err)
	}
	conf := strings.ReplaceAll(string(text), "proxy_pass http://"+documented, "proxy_pass http://"+responder)
	if conf == string(text) {
		t.Fatalf("examples/nginx/challenge.conf passes nothing on to %s", documented)
	}
	file := filepath.Join(t.TempDir(), "challenge.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestResponderBehindNginx(t *testing.T) {
	t.Parallel()
	behind, front := freeAddress(t), freeAddress(t)
	// With what other server blocks have: hidden files denied, all requests redirected, and a password.
	peer.Nginx(t, fmt.Sprintf(`
server {
  listen %[1]s;
  server_name shop.example.com www.example.com;
  auth_basic "staging";
  auth_basic_user_file /dev/null;
  location ~ /\. { deny all; }
  include %[2]s;
  location / { auth_basic off; return 301 https://$host$request_uri; }
}
server {
  listen %[1]s default_server;
  include %[2]s;
  location / { return 200 "default"; }
}`, front, challengeSnippet(t, behind)))
	s := newSolver(t, Options{ListenHTTP: behind, Dial: toAddress(front), SelfCheck: 5 * time.Second})

	const pki = "/.well-known/pki-validation/fileauth.txt"
	published := []pluginapi.Challenge{
		httpChallenge("shop.example.com", token, "shop's"), httpChallenge("www.example.com", token, "www's"),
		httpChallenge("www.example.com", pki, "a CA's own"), httpChallenge("unlisted.example.com", pki, "of the default server"),
	}
	for _, c := range published {
		mustPublish(t, s, BuiltIn, c)
	}
	for _, c := range published {
		if got := get(t, front, c.HTTP.Host, c.HTTP.Path); got != "200 "+c.HTTP.Body {
			t.Errorf("%s: %q", describe(c), got)
		}
		if err := s.AwaitVisible(t.Context(), BuiltIn, c); err != nil {
			t.Error(err)
		}
	}
	for at, want := range map[string]string{
		"shop.example.com" + pki:                                  "404 ",
		"other.example.com" + token:                               "404 ",
		"shop.example.com/.well-known/acme-challenge/other":       "404 ",
		"shop.example.com/.well-known/acme-challenge/":            "404 ",
		"shop.example.com/.well-known/acme-challenge/../../x":     "301 ",
		"shop.example.com/.git/config":                            "403 ",
		"shop.example.com/.well-known/security.txt":               "403 ", // as before: not ours
		"shop.example.com/index.html":                             "301 ",
		"other.example.com/index.html":                            "200 default",
		"shop.example.com/.well-known/pki-validation%2ffileauth/": "404 ",
	} {
		host, path, _ := strings.Cut(at, "/")
		if got := get(t, front, host, "/"+path); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", at, got, want)
		}
	}
	if _, _, header := request(t, http.MethodGet, front, "shop.example.com", "/x?y=z"); header.Get("Location") != "https://shop.example.com/x?y=z" {
		t.Errorf("redirected to %q", header.Get("Location"))
	}
	for _, c := range published {
		mustWithdraw(t, s, BuiltIn, c, nil)
	}
	if got := get(t, front, "shop.example.com", token); !strings.HasPrefix(got, "502 ") {
		t.Errorf("with nothing published: %q", got)
	}
}
