package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/test/peer"
)

// trials is an estate with several profiles to test and nothing to order. lego waits three seconds for a record.
func trials(t *testing.T, secondaries, stale int) *estate {
	t.Helper()
	key := peer.NewTSIGKey("k", "hmac-sha256")
	profiles := []grant{{"own", "rfc2136", key}, {"lego", "lego", key}, {"wrong", "rfc2136", peer.NewTSIGKey("k", "hmac-sha256")}}
	e := newEstate(t, peer.BIND(t, peer.BINDOptions{
		Keys: []peer.TSIGKey{key}, Zones: []peer.Zone{shopZone("k"), {Name: "foreign.test"}}, Secondaries: secondaries, Stale: stale,
	}), profiles...)
	e.mkdir("webroot")
	config := strings.Replace(e.base("", profiles...), fmt.Sprintf(`PROPAGATION_TIMEOUT = "%d"`, legoTimeout), `PROPAGATION_TIMEOUT = "3"`, 1)
	e.write("config.toml", config+"[dcv.web]\nwebroot = \"webroot\"\n", 0o600)
	e.start()
	return e
}

// TestProfileTestSaysWhatIsWrong is "certbridged dcv test" as a person meets it: words and exit codes.
func TestProfileTestSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	e := trials(t, 1, 0)
	for _, c := range []struct {
		args  string
		code  int
		words []string
	}{
		{"own www.shop.test", 0, []string{
			"_acme-challenge.www.shop.test TXT", "2 of 2 servers have it", "ns1.shop.test (" + e.bind.Addr() + "): has it",
			"ns2.shop.test (" + e.bind.Secondaries[0].Addr() + "): has it", "seen on every server", "withdrawn", "gone from every server",
		}},
		{"lego www.shop.test", 0, []string{"_acme-challenge.www.shop.test TXT", "2 of 2 servers have it", "gone from every server"}},
		{"own shop.test --type txt --place @", 0, []string{"publishing shop.test TXT", "has it, beside 2 other values", "gone from every server"}},
		{"own shop.test --type txt --place _dnsauth", 0, []string{"publishing _dnsauth.shop.test TXT", "gone from every server"}},
		{"own shop.test --type cname", 0, []string{"_certbridged-test.shop.test CNAME", "2 of 2 servers have it", "gone from every server"}},
		{"web www.shop.test", 0, []string{"http://www.shop.test/.well-known/acme-challenge/", "withdrawn"}},
		{"web www.shop.test --type http --place pki-validation/fileauth.txt", 0, []string{"http://www.shop.test/.well-known/pki-validation/fileauth.txt"}},

		{"wrong www.shop.test", 1, []string{"has another secret for the key \"k\"", "compare tsig_secret", "could not publish"}},
		{"own www.foreign.test", 1, []string{"refuses the key \"k\"", "update-policy or allow-update", "could not publish"}},
		{"own www.shop.test --type cname --place @", 1, []string{"www.shop.test has other records", "could not publish"}},
		{"lego shop.test --type cname", 1, []string{"publishes acme-dns, txt, not", "CNAME"}},
		{"lego shop.test --type txt --place @", 1, []string{"would lose other TXT records", spf, other}},
		{"web www.shop.test --type txt", 1, []string{"publishes files"}},
		{"nobody www.shop.test", 6, []string{`there is no dcv profile "nobody"`, "own"}},
		{"own www..test", 2, []string{`"www..test"`}},
		{"own www.shop.test --type mx", 2, []string{"txt, cname, http"}},
		{"own www.shop.test --place x", 2, []string{"--place needs a --type"}},
		{"own", 2, nil},
	} {
		text, code := e.run(append([]string{"dcv", "test"}, strings.Fields(c.args)...)...)
		if code != c.code {
			t.Errorf("dcv test %s: exit code %d, want %d", c.args, code, c.code)
		}
		for _, words := range c.words {
			if !strings.Contains(text, words) {
				t.Errorf("dcv test %s does not say %q:\n%s", c.args, words, text)
			}
		}
		if c.code != 0 && strings.Contains(text, "tried again until it works") {
			t.Errorf("dcv test %s: nothing was published, so there is nothing to be withdrawn for ever:\n%s", c.args, text)
		}
	}
	e.mustStay()
	bare(t, &e.bind.NameServer, "_acme-challenge.www.shop.test", "_dnsauth.shop.test", "_certbridged-test.shop.test", "www.shop.test")
	for _, f := range filesBelow(t, e.path("webroot")) {
		t.Errorf("the file %s is left", f)
	}
	e.stop()
	if text, code := e.run("dcv", "test", "own", "www.shop.test"); code != 4 {
		t.Errorf("without a daemon the exit code is %d:\n%s", code, text)
	}
}

// steps reads the steps of a test from its output with --json, until done says that it has seen enough. It returns them all.
func steps(t *testing.T, d *json.Decoder, done func(control.ProfileTestStep) bool) []control.ProfileTestStep {
	t.Helper()
	var list []control.ProfileTestStep
	for {
		var s control.ProfileTestStep
		if err := d.Decode(&s); err != nil {
			t.Fatalf("after %+v: %v", list, err)
		}
		if list = append(list, s); done(s) {
			return list
		}
	}
}

// TestProfileTestWaitsForALateServer: every server is told of one by one, as it answers.
func TestProfileTestWaitsForALateServer(t *testing.T) {
	t.Parallel()
	e := trials(t, 0, 1)
	cmd := exec.CommandContext(t.Context(), e.binary, "dcv", "test", "own", "www.shop.test", "--json", "--config", e.path("config.toml"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(out)
	late := e.bind.Stale[0]
	seen := steps(t, d, func(s control.ProfileTestStep) bool { return s.Step == "look" })
	first := seen[len(seen)-1]
	if first.OK || len(first.Answers) != 2 || !first.Answers[0].Seen || first.Answers[1].Seen || first.Answers[1].Address != late.Addr() || first.Answers[1].Problem == "" {
		t.Errorf("the first look says %+v", first)
	}
	late.Refresh(t)
	seen = steps(t, d, func(s control.ProfileTestStep) bool { return s.Step == "seen" })
	if last := seen[len(seen)-1]; !last.OK || last.Took <= 0 || !slices.ContainsFunc(seen, func(s control.ProfileTestStep) bool { return s.Step == "look" && s.OK }) {
		t.Errorf("with both it says %+v", seen)
	}
	steps(t, d, func(s control.ProfileTestStep) bool { return s.Step == "withdrawn" && s.OK })
	late.Refresh(t)
	steps(t, d, func(s control.ProfileTestStep) bool { return s.Step == "gone" && s.OK })
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	e.stop()
}

// TestProfileTestGivesUpOnAServerThatNeverFollows: it says which, and what to do, and withdraws.
func TestProfileTestGivesUpOnAServerThatNeverFollows(t *testing.T) {
	t.Parallel()
	e := trials(t, 0, 1)
	text, code := e.run("dcv", "test", "lego", "www.shop.test")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	for _, words := range []string{
		"1 of 2 servers have it", "ns2.shop.test (" + e.bind.Stale[0].Addr() + ")", "some servers are late", "not seen on every server within 3s", "withdrawn",
	} {
		if !strings.Contains(text, words) {
			t.Errorf("it does not say %q:\n%s", words, text)
		}
	}
	bare(t, &e.bind.NameServer, "_acme-challenge.www.shop.test")
	e.stop()
}
