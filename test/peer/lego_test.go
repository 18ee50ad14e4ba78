package peer

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type challengeInfo struct{ FQDN, EffectiveFQDN, Value string }

type legoAnswers struct {
	Records        []challengeInfo
	Paths          []string
	Mixed, Queries int64
}

// askLego builds testdata/literals with or without the copy of lego and asks it.
func askLego(t *testing.T, domain string, keyAuths, tokens []string, buildFlags ...string) legoAnswers {
	t.Helper()
	program := filepath.Join(t.TempDir(), "literals")
	args := append([]string{"build", "-trimpath", "-o", program}, buildFlags...)
	build := exec.Command(Need(t, "go", "the Go tool chain builds the program"), append(args, "./testdata/literals")...)
	build.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	question, err := json.Marshal(map[string]any{"Domain": domain, "KeyAuths": keyAuths, "Tokens": tokens, "Times": 50})
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(question), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ask: %v\n%s", err, &stderr)
	}
	var a legoAnswers
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatal(err)
	}
	if a.Mixed > 0 {
		t.Errorf("%d answers are those to other questions", a.Mixed)
	}
	return a
}

func withCopy(t *testing.T) string { return "-modfile=" + LegoModFile(t) }

// hashed is the value of an ACME record: RFC 8555, section 8.4.
func hashed(keyAuth string) string {
	sum := sha256.Sum256([]byte(keyAuth))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

const (
	realToken   = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
	realKeyAuth = realToken + ".NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
)

func TestCopyOfLegoTakesLiterals(t *testing.T) {
	got := askLego(t, "alias.test", []string{
		"\x00certbridge-txt\x00_dnsauth.example.com\x00abc",
		"\x00certbridge-txt\x00example.com\x00_globalsign-domain-verification=x y",
		"\x00certbridge-txt\x00_acme-challenge.alias.test\x00",
	}, []string{
		"\x00certbridge-file\x00/.well-known/pki-validation/fileauth.txt",
		"\x00certbridge-file\x00/.well-known/acme-challenge/x",
	}, withCopy(t))
	want := legoAnswers{
		Records: []challengeInfo{
			{"_dnsauth.example.com.", "_dnsauth.example.com.", "abc"},
			{"example.com.", "example.com.", "_globalsign-domain-verification=x y"},
			{"_acme-challenge.alias.test.", "_acme-challenge.alias.test.", ""},
		},
		Paths: []string{"/.well-known/pki-validation/fileauth.txt", "/.well-known/acme-challenge/x"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("want (-), got (+), where a literal is published as it is and asks no name server:\n%s", d)
	}
}

func TestPlainLegoTakesNoLiterals(t *testing.T) {
	record, file := "\x00certbridge-txt\x00_dnsauth.example.com\x00abc", "\x00certbridge-file\x00/a"
	got := askLego(t, "example.com", []string{record}, []string{file})
	if want := (challengeInfo{"_acme-challenge.example.com.", "_acme-challenge.example.com.", hashed(record)}); got.Records[0] != want {
		t.Errorf("GetChallengeInfo returns %+v, want %+v", got.Records[0], want)
	}
	if want := "/.well-known/acme-challenge/invalid"; got.Paths[0] != want {
		t.Errorf("ChallengePath returns %s, want %s", got.Paths[0], want)
	}
}

// Whatever is no literal gets the same answer, and the same queries are sent for it, as without the change.
func TestCopyOfLegoIsLegoForACME(t *testing.T) {
	keyAuths := []string{
		realKeyAuth, "", "x", "certbridge-txt\x00a.test\x00b", "\x00", "\x00certbridge-txt\x00", "\x00certbridge-txt\x00a.test",
		"\x00certbridge-txt\x00a.test.\x00b", "\x00certbridge-txt\x00\x00b", "\x00certbridge-file\x00/a",
	}
	tokens := []string{realToken, "", "a/b", "..", "\x00", "\x00certbridge-file\x00", "\x00certbridge-file\x00a", "\x00certbridge-txt\x00a.test\x00b"}
	for _, domain := range []string{"example.com", "alias.test"} {
		changed, plain := askLego(t, domain, keyAuths, tokens, withCopy(t)), askLego(t, domain, keyAuths, tokens)
		if d := cmp.Diff(plain, changed); d != "" {
			t.Errorf("%s: plain lego (-), the copy (+):\n%s", domain, d)
		}
		if plain.Queries == 0 {
			t.Errorf("%s: no query was sent, so nothing was compared", domain)
		}
	}
	alias := askLego(t, "alias.test", []string{realKeyAuth}, []string{realToken}, withCopy(t))
	want := challengeInfo{"_acme-challenge.alias.test.", "alias.elsewhere.test.", hashed(realKeyAuth)}
	if alias.Records[0] != want || alias.Paths[0] != "/.well-known/acme-challenge/"+realToken {
		t.Errorf("ACME gets %+v and %q, want %+v", alias.Records, alias.Paths, want)
	}
}

func TestDCVLegoIsAPlugin(t *testing.T) {
	path := DCVLego(t)
	for p, sticky := path, os.FileMode(0); ; p, sticky = filepath.Dir(p), os.ModeSticky {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o022 != 0 && info.Mode()&sticky == 0 {
			t.Errorf("others may write %s: %s", p, info.Mode())
		}
		if p == filepath.Dir(p) {
			break
		}
	}
	out, err := exec.CommandContext(t.Context(), "go", "version", "-m", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"certbridged/cmd/plugins/dcv-lego\n", "=>\t./build/lego\t"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("its build information lacks %q", want)
		}
	}
	if again := DCVLego(t); again == path {
		t.Error("two calls share one path")
	}
}
