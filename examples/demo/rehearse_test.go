package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

// table finds the rows of the rehearsal's table in a text, without what differs from day to day.
func table(text string) []string {
	day := regexp.MustCompile(`\b\d{4}-\d\d-\d\d\b`)
	var rows []string
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 3 && strings.HasSuffix(fields[0], "."+strings.TrimSuffix(zone, ".")) {
			rows = append(rows, strings.Join(strings.Fields(day.ReplaceAllString(line, "DAY")), " "))
		}
	}
	return rows
}

// TestRehearsalEndsAsTheREADMEShows: all CAs of the rehearsal, each certificate ordered and renewed once more.
func TestRehearsalEndsAsTheREADMEShows(t *testing.T) {
	programs, err := built()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "rehearsal")
	cmd := exec.CommandContext(t.Context(), filepath.Join(programs, "demo"), "rehearse", "--dir", dir,
		"--daemon", filepath.Join(programs, "certbridged"), "--plugins", filepath.Join(programs, "plugins"),
		"--sandbox", filepath.Join(programs, "certbridge-sandbox"), "--pebble", filepath.Join(programs, "pebble"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log", "certbridged.log"))
		t.Fatalf("%v\n%s\n%s", err, out, log)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	got, want := table(string(out)), table(string(readme))
	if len(want) != len(houses()) || !slices.Equal(got, want) {
		t.Errorf("the rehearsal ends with\n%s\nand the README shows\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestRehearsalRefuses(t *testing.T) {
	for want, args := range map[string][]string{
		"no such CA":             {"--only", "nobody"},
		"no such argument":       {"now"},
		`run "make sandbox-all"`: {"--sandbox", "/nowhere/certbridge-sandbox"},
	} {
		if err := rehearse(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", args, err, want)
		}
	}
}

// The name server takes signed updates and no others, and leaves nothing behind.
func TestNameServer(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s, err := startNameServer()
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	const name = "_acme-challenge.acme." + zone
	record := func(text string) *dns.TXT {
		return &dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 1}, Txt: []string{text}}
	}
	update := func(secret string, change func(*dns.Msg)) int {
		t.Helper()
		m := new(dns.Msg).SetUpdate(zone)
		change(m)
		c := &dns.Client{Net: "tcp"}
		if secret != "" {
			m.SetTsig(keyName, dns.HmacSHA256, 300, time.Now().Unix())
			c.TsigSecret = map[string]string{keyName: secret}
		}
		answer, _, err := c.Exchange(m, s.addr)
		if answer == nil {
			t.Fatal(err)
		}
		return answer.Rcode
	}
	texts := func() (list []string) {
		t.Helper()
		answer, err := dns.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeTXT), s.addr)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range answer.Answer {
			if txt, ok := r.(*dns.TXT); ok {
				list = append(list, txt.Txt...)
			}
		}
		return list
	}
	insert := func(text string) func(*dns.Msg) { return func(m *dns.Msg) { m.Insert([]dns.RR{record(text)}) } }
	for what, code := range map[string]int{
		"unsigned":    update("", insert("a")),
		"another key": update("c2VjcmV0", insert("a")),
	} {
		if code != dns.RcodeRefused || len(texts()) > 0 {
			t.Errorf("%s: %s, %q", what, dns.RcodeToString[code], texts())
		}
	}
	for _, text := range []string{"a", "b", "b"} {
		if code := update(s.secret, insert(text)); code != dns.RcodeSuccess {
			t.Fatal(dns.RcodeToString[code])
		}
	}
	if got := texts(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("published is %q", got)
	}
	update(s.secret, func(m *dns.Msg) { m.Remove([]dns.RR{record("a")}) })
	if got := texts(); !slices.Equal(got, []string{"b"}) {
		t.Errorf("left is %q", got)
	}
	update(s.secret, func(m *dns.Msg) { m.RemoveName([]dns.RR{record("")}) })
	if got := texts(); len(got) > 0 || s.left() != 0 {
		t.Errorf("left is %q", got)
	}
	outside := record("x")
	outside.Hdr.Name = "elsewhere.example."
	if code := update(s.secret, func(m *dns.Msg) { m.Insert([]dns.RR{outside}) }); code != dns.RcodeNotZone {
		t.Errorf("another zone: %s", dns.RcodeToString[code])
	}
}
