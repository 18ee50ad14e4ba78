package sandbox

import (
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "account")
	s := Store{Dir: dir, Name: "x.json"}
	var v map[string]int
	if found, err := s.Load(&v); err != nil || found {
		t.Fatalf("found %v, %v", found, err)
	}
	for n := range 3 {
		if err := s.Save(map[string]int{"n": n}); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := s.Load(&v); err != nil || !found || v["n"] != 2 {
		t.Fatalf("found %v, %v, %v", found, v, err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("temporary files are left: %v, %v", files, err)
	}
	info, err := os.Stat(filepath.Join(dir, "x.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(&v); err == nil || !strings.Contains(err.Error(), "x.json") {
		t.Errorf("a broken file: %v", err)
	}
	if err := (Store{}).Save(1); err != nil {
		t.Errorf("a store without a folder: %v", err)
	}
}

func TestAuthorityIsTheSameAfterARestart(t *testing.T) {
	a, err := NewAuthority([]IssuerShape{{Root: "Root", Name: "One", Kind: ECDSA}, {Root: "Root", Name: "Two", Kind: ECDSA}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	var again Authority
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if again.Named("Two").ID != a.Named("Two").ID || !again.Issuers[0].Root.Equal(a.Issuers[1].Root) {
		t.Error("another authority")
	}
	i := again.Issuer(strings.ToLower(a.Named("Two").ID))
	if i == nil || i.Cert.Subject.CommonName != "Two" {
		t.Fatal("not found by its ID")
	}
	now := time.Now()
	for _, hash := range []string{"", "sha256", "sha384", "sha512"} {
		leaf, err := i.Issue(Leaf{PublicKey: i.Cert.PublicKey, CommonName: "a.example", Names: []string{"a.example", "192.0.2.1"}, NotBefore: now, NotAfter: now.Add(time.Hour), Hash: hash})
		if err != nil {
			t.Fatal(err)
		}
		roots, between := x509.NewCertPool(), x509.NewCertPool()
		roots.AddCert(i.Root)
		between.AddCert(i.Cert)
		for _, name := range []string{"a.example", "192.0.2.1"} {
			if _, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, Intermediates: between}); err != nil {
				t.Errorf("%s: %v", hash, err)
			}
		}
		if Serial(leaf) == "" || len(Thumbprint(leaf.Raw)) != 40 {
			t.Error("no serial or thumbprint")
		}
	}
	if _, err := i.Issue(Leaf{PublicKey: i.Cert.PublicKey, Hash: "md5"}); err == nil {
		t.Error("md5 was taken")
	}
	for _, broken := range []string{"[]", "{}", `[{"cert":"AA=="}]`} {
		if json.Unmarshal([]byte(broken), &again) == nil {
			t.Errorf("%s was taken", broken)
		}
	}
}

func TestClock(t *testing.T) {
	var c Clock
	before := time.Now()
	c.Advance(48 * time.Hour)
	c.Advance(-24 * time.Hour)
	if d := c.Now().Sub(before); d < 24*time.Hour || d > 25*time.Hour || c.Offset() != 24*time.Hour {
		t.Errorf("%v ahead", d)
	}
}

func TestCallsForgetTheOldest(t *testing.T) {
	var c Calls
	for range mostCalls + 1 {
		c.Begin(time.Now(), "GET", "/")
	}
	c.Note(1, func(*Call) { t.Error("a call that is forgotten") })
	noted := false
	c.Note(mostCalls+1, func(call *Call) { noted = call.Number == mostCalls+1 })
	if list := c.List(); !noted || list[0].Number == 1 || list[len(list)-1].Number != mostCalls+1 {
		t.Errorf("%d calls", len(list))
	}
}
