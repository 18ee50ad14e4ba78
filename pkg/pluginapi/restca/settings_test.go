package restca

import (
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

func TestBaseURL(t *testing.T) {
	const standard = "https://ca.example/v1"
	for in, want := range map[string]struct{ out, fault string }{
		"":                            {standard, ""},
		"https://eu.ca.example/v1/":   {"https://eu.ca.example/v1", ""},
		"http://127.0.0.1:8443/v1":    {"http://127.0.0.1:8443/v1", ""},
		"http://localhost/v1":         {"http://localhost/v1", ""},
		"http://[::1]:80":             {"http://[::1]:80", ""},
		"http://ca.example":           {"", "https://"},
		"http://127.0.0.1.ca.example": {"", "https://"},
		"ftp://ca.example":            {"", "https://"},
		"ca.example":                  {"", "no address"},
		"https://u:p4ss@ca.example":   {"", "no user"},
		"https://ca.example/?x=1":     {"", "no user"},
		"://p4ss":                     {"", "no address"},
	} {
		var f Findings
		got := f.BaseURL(in, standard)
		switch {
		case want.fault == "" && (len(f) > 0 || got != want.out):
			t.Errorf("%q: got %q, %v", in, got, f)
		case want.fault != "" && (len(f) != 1 || !strings.Contains(f[0].Message, want.fault) || f[0].Field != "base_url" || strings.Contains(f[0].Message, "p4ss")):
			t.Errorf("%q: got %v", in, f)
		}
	}
}

func TestCredentialAndTimeout(t *testing.T) {
	var f Findings
	if got := f.Credential("api_key", pluginapi.NewSecret(" ABC123\n")); got.Reveal() != "ABC123" || len(f) > 0 {
		t.Errorf("got %q, %v", got.Reveal(), f)
	}
	for _, text := range []string{"two words", "zero\x00", "ümlaut"} {
		f = nil
		if f.Credential("api_key", pluginapi.NewSecret(text)); len(f) != 1 || strings.Contains(f[0].Message, text) {
			t.Errorf("%q: %v", text, f)
		}
	}
	f = nil
	if got := f.Timeout(""); got != DefaultTimeout || len(f) > 0 {
		t.Errorf("the default is %s, %v", got, f)
	}
	if got := f.Timeout("90s"); got != 90*time.Second || len(f) > 0 {
		t.Errorf("got %s, %v", got, f)
	}
	if f.Timeout("3m"); len(f) != 1 || f[0].Field != "request_timeout" {
		t.Errorf("too long: %v", f)
	}
}

func TestFindingsOfOrders(t *testing.T) {
	var f Findings
	f.Fault("a", "is %d", 1)
	f.FaultOf(2, "b", "is wrong")
	if f[0].Order != 0 || f[1].Order != 3 || !pluginapi.HasFault(f) {
		t.Errorf("got %v", f)
	}
}
