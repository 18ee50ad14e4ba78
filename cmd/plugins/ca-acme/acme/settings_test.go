package acme

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

func TestAccountSettings(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		change  map[string]any
		secret  string
		field   string // of the fault; empty: none
		message string
	}{
		"all that is needed":            {},
		"base_url in its place":         {change: map[string]any{"directory_url": nil, "base_url": "https://ca.example/dir"}},
		"everything":                    {change: map[string]any{"email": "a@example.com", "contacts": []any{"mailto:b@example.com", "c@example.com"}, "eab_kid": "k", "account_key_type": "rsa-2048", "account_key_generation": float64(3), "request_timeout": "5s", "requests_per_second": 2.5, "order": map[string]any{"profile": "p"}}, secret: "c2VjcmV0"},
		"binding in plain base64":       {change: map[string]any{"eab_kid": "k"}, secret: "+/+/c2VjcmV0aaaa=="},
		"no directory":                  {change: map[string]any{"directory_url": nil}, field: "directory_url", message: "is missing"},
		"two directories":               {change: map[string]any{"base_url": "https://other.example/dir"}, field: "base_url", message: "only one"},
		"directory without TLS":         {change: map[string]any{"directory_url": "http://ca.example/dir"}, field: "directory_url", message: "https://"},
		"directory that is a word":      {change: map[string]any{"directory_url": "letsencrypt"}, field: "directory_url", message: "https://"},
		"directory with a password":     {change: map[string]any{"directory_url": "https://u:geheim@ca.example/dir"}, field: "directory_url", message: "password"},
		"base_url without a host":       {change: map[string]any{"directory_url": nil, "base_url": "https:///dir"}, field: "base_url", message: "no host"},
		"terms not agreed to":           {change: map[string]any{"terms_of_service_agreed": false}, field: "terms_of_service_agreed", message: "must be true"},
		"terms not mentioned":           {change: map[string]any{"terms_of_service_agreed": nil}, field: "terms_of_service_agreed", message: "must be true"},
		"bad e-mail":                    {change: map[string]any{"email": "nobody"}, field: "email", message: "not an e-mail"},
		"bad contact":                   {change: map[string]any{"contacts": []any{"a@example.com", "tel:+49"}}, field: "contacts.1", message: "neither"},
		"half a binding":                {change: map[string]any{"eab_kid": "k"}, field: "eab_hmac_key", message: "is missing"},
		"the other half":                {secret: "c2VjcmV0", field: "eab_kid", message: "is missing"},
		"binding that is not base64":    {change: map[string]any{"eab_kid": "k"}, secret: "ge heim!", field: "eab_hmac_key", message: "not base64url"},
		"roots that are not there":      {change: map[string]any{"root_ca_file": "/nonexistent/root.pem"}, field: "root_ca_file", message: "cannot be read"},
		"roots without a certificate":   {change: map[string]any{"root_ca_file": empty}, field: "root_ca_file", message: "no PEM certificate"},
		"roots in a folder":             {change: map[string]any{"root_ca_file": t.TempDir()}, field: "root_ca_file", message: "not a PEM file"},
		"unknown type of key":           {change: map[string]any{"account_key_type": "ed25519"}, field: "account_key_type", message: "ecdsa-p256"},
		"generation below zero":         {change: map[string]any{"account_key_generation": float64(-1)}, field: "account_key_generation", message: "negative"},
		"timeout that is none":          {change: map[string]any{"request_timeout": "soon"}, field: "request_timeout", message: "not a duration"},
		"timeout too short":             {change: map[string]any{"request_timeout": "1ms"}, field: "request_timeout", message: "between"},
		"requests that are too few":     {change: map[string]any{"requests_per_second": 0.01}, field: "requests_per_second", message: "between"},
		"requests that are too many":    {change: map[string]any{"requests_per_second": float64(5000)}, field: "requests_per_second", message: "between"},
		"setting of another type":       {change: map[string]any{"email": float64(3)}, field: "email", message: "wants string"},
		"setting that does not exist":   {change: map[string]any{"api_key": "x"}, field: "", message: "api_key"},
		"mistake in an order's default": {change: map[string]any{"order": map[string]any{"lifetime": "long"}}, field: "order.lifetime", message: "not a duration"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			values := map[string]any{"directory_url": "https://ca.example/dir", "terms_of_service_agreed": true}
			for k, v := range c.change {
				if values[k] = v; v == nil {
					delete(values, k)
				}
			}
			account := pluginapi.Account{Settings: pluginapi.Settings{Values: values}}
			if c.secret != "" {
				account.Settings.Secrets = map[string]pluginapi.Secret{"eab_hmac_key": pluginapi.NewSecret(c.secret)}
			}
			ca := New(Options{})
			done, err := ca.Configure(t.Context(), account)
			if err != nil {
				t.Fatal(err)
			}
			var faults []pluginapi.Finding
			for _, f := range done.Findings {
				if f.Severity == pluginapi.Fault {
					faults = append(faults, f)
				}
				if strings.Contains(f.Message, "geheim") || (c.secret != "" && strings.Contains(f.Message, c.secret)) {
					t.Errorf("a secret is in %q", f.Message)
				}
			}
			if c.message == "" {
				if len(faults) > 0 || len(done.AccountState) == 0 {
					t.Errorf("faults %v, %d bytes of state", faults, len(done.AccountState))
				}
				return
			}
			if len(faults) != 1 || faults[0].Field != c.field || !strings.Contains(faults[0].Message, c.message) {
				t.Errorf("got %v, want one of %q with %q", faults, c.field, c.message)
			}
			if done.AccountState != nil {
				t.Error("a key was made for an account that cannot be used")
			}
			if _, err := ca.PlaceOrder(t.Context(), pluginapi.OrderRequest{}); pluginapi.KindOf(err) != pluginapi.InvalidRequest {
				t.Errorf("PlaceOrder after a fault: %v", err)
			}
		})
	}
}

func TestAllMistakesAtOnce(t *testing.T) {
	t.Parallel()
	done, err := New(Options{}).Configure(t.Context(), pluginapi.Account{Settings: pluginapi.Settings{Values: map[string]any{
		"directory_url": "ftp://ca", "email": "x", "account_key_type": "dsa",
	}}})
	if err != nil || len(done.Findings) != 4 {
		t.Errorf("%d findings: %v, %v", len(done.Findings), done.Findings, err)
	}
}

// Pointing an account at another CA and back again keeps both keys.
func TestKeysByDirectory(t *testing.T) {
	t.Parallel()
	var state []byte
	keys := map[string][]string{}
	for _, host := range []string{"staging", "production", "staging", "production"} {
		url := "https://" + host + ".example/dir"
		done, err := New(Options{}).Configure(t.Context(), pluginapi.Account{State: state, Settings: pluginapi.Settings{
			Values: map[string]any{"directory_url": url, "terms_of_service_agreed": true},
		}})
		if err != nil || pluginapi.HasFault(done.Findings) {
			t.Fatal(done.Findings, err)
		}
		if done.AccountState != nil {
			state = done.AccountState
		}
		decoded, err := decodeAccountState(state)
		if err != nil {
			t.Fatal(err)
		}
		keys[host] = append(keys[host], string(decoded.Accounts[url].Key.PKCS8))
	}
	if keys["staging"][0] != keys["staging"][1] || keys["production"][0] != keys["production"][1] || keys["staging"][0] == keys["production"][0] {
		t.Error("keys were not kept by directory")
	}
}

func TestGenerations(t *testing.T) {
	t.Parallel()
	configure := func(state []byte, generation int) pluginapi.Configured {
		done, err := New(Options{}).Configure(t.Context(), pluginapi.Account{State: state, Settings: pluginapi.Settings{Values: map[string]any{
			"directory_url": "https://ca.example/dir", "terms_of_service_agreed": true, "account_key_generation": float64(generation),
		}}})
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	first := configure(nil, 2).AccountState
	if configure(first, 2).AccountState != nil {
		t.Error("the state changes without need")
	}
	second := configure(first, 3).AccountState
	if second == nil {
		t.Fatal("no new key for a higher generation")
	}
	// Under way to 3: a still higher number waits until that is done, and nothing is thrown away.
	if third := configure(second, 4).AccountState; third != nil {
		t.Error("a key that may be in force was replaced")
	}
	if !hasFinding(configure(first, 1).Findings, pluginapi.Warning, "account_key_generation") {
		t.Error("a lower generation goes unnoticed")
	}
}

func TestSchemaCoversSettings(t *testing.T) {
	t.Parallel()
	d, err := New(Options{Version: "1.0"}).Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{}
	for _, f := range d.AccountSettings {
		switch {
		case f.Secret:
		case f.Type == pluginapi.Boolean:
			values[f.Name] = true
		case f.Type == pluginapi.Integer, f.Type == pluginapi.Number:
			values[f.Name] = float64(1)
		case f.Type == pluginapi.List:
			values[f.Name] = []any{}
		default:
			values[f.Name] = ""
		}
	}
	var raw rawAccount
	if err := (pluginapi.Settings{Values: values}).Decode(&raw); err != nil {
		t.Errorf("a setting of the schema is not read: %v", err)
	}
	orders := map[string]any{}
	for _, f := range d.OrderSettings {
		orders[f.Name] = ""
	}
	if _, err := readOrderSettings(pluginapi.Settings{Values: orders}); err != nil {
		t.Errorf("an order setting of the schema is not read: %v", err)
	}
}
