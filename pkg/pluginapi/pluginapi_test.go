package pluginapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

func TestSettingsRead(t *testing.T) {
	schema := []pluginapi.Field{{Name: "years", Type: pluginapi.Integer}}
	var in struct {
		Years int `json:"years"`
	}
	if found := (pluginapi.Settings{Values: map[string]any{"years": int64(2)}}).Read(schema, &in); len(found) > 0 || in.Years != 2 {
		t.Errorf("%+v, %v", in, found)
	}
	in.Years = 0
	for name, bad := range map[string]map[string]any{"another type": {"years": "2"}, "unknown": {"years": int64(2), "months": int64(1)}} {
		if found := (pluginapi.Settings{Values: bad}).Read(schema, &in); len(found) != 1 || found[0].Severity != pluginapi.Fault || in.Years != 0 {
			t.Errorf("%s: %+v, %v", name, in, found)
		}
	}
	var text struct {
		Years string `json:"years"`
	}
	found := (pluginapi.Settings{Values: map[string]any{"years": int64(2)}}).Read(schema, &text)
	if len(found) != 1 || found[0].Field != "years" {
		t.Errorf("a struct that does not fit the schema: %v", found)
	}
}

func TestFaultOf(t *testing.T) {
	for want, err := range map[string]error{
		"3 years: are too many":           pluginapi.FieldErrorf("years", "are too many"),
		"3 : no order can be read":        errors.New("no order can be read"),
		"3 years: order: years: too many": fmt.Errorf("order: %w", pluginapi.FieldErrorf("years", "too many")),
	} {
		f := pluginapi.FaultOf(err, 3)
		if got := fmt.Sprintf("%d %s: %s", f.Order, f.Field, f.Message); got != want || f.Severity != pluginapi.Fault {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestSecretPrintsNowhere(t *testing.T) {
	const text = "planted-secret"
	s := pluginapi.NewSecret(text)
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "settings", pluginapi.Settings{Secrets: map[string]pluginapi.Secret{"k": s}})
	encoded, err := json.Marshal(map[string]any{"secret": s, "in": []pluginapi.Secret{s}})
	if err != nil {
		t.Fatal(err)
	}
	all := log.String() + string(encoded)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		all += fmt.Sprintf(verb, s) + fmt.Sprintf(verb, &s) + fmt.Sprintf(verb, struct{ S pluginapi.Secret }{s})
	}
	if strings.Contains(all, text) || strings.Contains(all, fmt.Sprintf("%x", text)) {
		t.Errorf("the secret shows: %s", all)
	}
	if s.Reveal() != text {
		t.Error("the secret is lost")
	}
}

func TestErrorKinds(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range pluginapi.ErrorKinds() {
		if seen[k.String()] || k.String() == "unspecified" {
			t.Errorf("kind %d is called %q", k, k)
		}
		seen[k.String()] = true
		wrapped := fmt.Errorf("somewhere: %w", pluginapi.Errorf(k, "reading: %w", io.ErrUnexpectedEOF))
		if pluginapi.KindOf(wrapped) != k || !errors.Is(wrapped, io.ErrUnexpectedEOF) {
			t.Errorf("%s is lost on the way", k)
		}
	}
	if pluginapi.KindOf(io.EOF) != 0 || pluginapi.KindOf(nil) != 0 {
		t.Error("an error without a kind has one")
	}
	if got := pluginapi.FieldErrorf("order.years", "is %d", 9).Error(); got != "order.years: is 9" {
		t.Error(got)
	}
	if got := (&pluginapi.Error{Kind: pluginapi.Conflict}).Error(); got != "conflict" {
		t.Error(got)
	}
}

func TestDecodeSettings(t *testing.T) {
	type account struct {
		ID    int64 `json:"id"`
		Order struct {
			Years float64 `json:"years"`
		} `json:"order"`
	}
	for name, c := range map[string]struct {
		values map[string]any
		want   string
	}{
		"good":         {map[string]any{"id": int64(7), "order": map[string]any{"years": 1.5}}, ""},
		"nothing":      {nil, ""},
		"unknown key":  {map[string]any{"idd": int64(7)}, "idd"},
		"wrong type":   {map[string]any{"order": map[string]any{"years": "one"}}, "order.years: wants float64"},
		"no JSON form": {map[string]any{"id": func() {}}, "encode settings"},
	} {
		t.Run(name, func(t *testing.T) {
			var a account
			err := pluginapi.Settings{Values: c.values}.Decode(&a)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func schema() []pluginapi.Field {
	return []pluginapi.Field{
		{Name: "api_key", Type: pluginapi.String, Required: true, Secret: true, Help: "the key"},
		{Name: "id", Type: pluginapi.Integer, Required: true, Help: "the number"},
		{Name: "mode", Type: pluginapi.String, Allowed: []any{"a", "b"}, Help: "the mode"},
		{Name: "years", Type: pluginapi.Integer, Required: true, Default: int64(1), Help: "years"},
		{Name: "wait", Type: pluginapi.Duration, Help: "how long"},
		{Name: "labels", Type: pluginapi.Map, Help: "labels"},
		{Name: "card", Type: pluginapi.Table, Help: "a card", Fields: []pluginapi.Field{
			{Name: "number", Type: pluginapi.String, Required: true, Secret: true, Help: "its number"},
		}},
		{Name: "contacts", Type: pluginapi.List, Help: "people", Element: &pluginapi.Field{Type: pluginapi.Table, Fields: []pluginapi.Field{
			{Name: "email", Type: pluginapi.String, Required: true, Help: "address"},
		}}},
	}
}

func TestCheckSettings(t *testing.T) {
	good := func() pluginapi.Settings {
		return pluginapi.Settings{
			Values:  map[string]any{"id": int64(1)},
			Secrets: map[string]pluginapi.Secret{"api_key": pluginapi.NewSecret("k")},
		}
	}
	for name, c := range map[string]struct {
		change func(*pluginapi.Settings)
		want   []string // field: part of the message
	}{
		"good": {func(*pluginapi.Settings) {}, nil},
		"all of it": {func(s *pluginapi.Settings) {
			s.Values["mode"], s.Values["wait"], s.Values["labels"] = "a", "5m", map[string]any{"x": "y"}
			s.Values["contacts"] = []any{map[string]any{"email": "a@b"}}
			s.Secrets["card.number"] = pluginapi.NewSecret("4")
		}, nil},
		"unknown key":            {func(s *pluginapi.Settings) { s.Values["idd"] = int64(2) }, []string{"idd: is unknown; known are api_key, card"}},
		"missing key":            {func(s *pluginapi.Settings) { delete(s.Values, "id") }, []string{"id: is missing: the number"}},
		"missing secret":         {func(s *pluginapi.Settings) { s.Secrets = nil }, []string{"api_key: is missing"}},
		"secret in the open":     {func(s *pluginapi.Settings) { s.Values["api_key"] = "k" }, []string{"api_key: is a secret"}},
		"empty secret":           {func(s *pluginapi.Settings) { s.Secrets["api_key"] = pluginapi.Secret{} }, []string{"api_key: is empty"}},
		"secret for a plain one": {func(s *pluginapi.Settings) { s.Secrets["mode"] = pluginapi.NewSecret("a") }, []string{"mode: is no secret"}},
		"secret without a place": {func(s *pluginapi.Settings) { s.Secrets["card.pin"] = pluginapi.NewSecret("1") }, []string{"card.number: is missing", "card.pin: is no secret setting"}},
		"wrong type":             {func(s *pluginapi.Settings) { s.Values["id"] = "one" }, []string{`id: wants a whole number, not text "one"`}},
		"half a number":          {func(s *pluginapi.Settings) { s.Values["id"] = 1.5 }, []string{"id: wants a whole number"}},
		"value that is not on":   {func(s *pluginapi.Settings) { s.Values["mode"] = "c" }, []string{"mode: c is not allowed; allowed are a, b"}},
		"no duration":            {func(s *pluginapi.Settings) { s.Values["wait"] = "5 minutes" }, []string{"wait: \"5 minutes\" is no duration"}},
		"map of numbers":         {func(s *pluginapi.Settings) { s.Values["labels"] = map[string]any{"x": int64(1)} }, []string{"labels.x: wants text"}},
		"mistake in a list": {func(s *pluginapi.Settings) {
			s.Values["contacts"] = []any{map[string]any{"email": "a@b"}, map[string]any{}}
		}, []string{"contacts[1].email: is missing"}},
		"no list":                 {func(s *pluginapi.Settings) { s.Values["contacts"] = "me" }, []string{"contacts: wants a list"}},
		"table that is no table":  {func(s *pluginapi.Settings) { s.Values["card"] = true }, []string{"card: wants a table, not true"}},
		"secret for its table":    {func(s *pluginapi.Settings) { s.Values["card"] = "4" }, []string{"card: wants a table, not text"}},
		"number for its table":    {func(s *pluginapi.Settings) { s.Values["card"] = int64(4) }, []string{"card: wants a table, not a number"}},
		"several mistakes a time": {func(s *pluginapi.Settings) { s.Values, s.Secrets = map[string]any{"x": int64(1)}, nil }, []string{"api_key: is missing", "id: is missing", "x: is unknown"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := good()
			c.change(&s)
			var got []string
			for _, f := range pluginapi.CheckSettings(schema(), s) {
				if f.Severity != pluginapi.Fault {
					t.Errorf("%s is only %s", f.Field, f.Severity)
				}
				got = append(got, f.Field+": "+f.Message)
				if f.Field == "card" && strings.Contains(f.Message, "4") {
					t.Errorf("the message shows what may be a secret: %s", f.Message)
				}
			}
			equal := cmp.Comparer(func(a, b string) bool { return strings.Contains(a, b) || strings.Contains(b, a) })
			if diff := cmp.Diff(c.want, got, equal); diff != "" {
				t.Error(diff)
			}
		})
	}
}
