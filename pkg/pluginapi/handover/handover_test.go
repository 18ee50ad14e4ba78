package handover_test

import (
	"slices"
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/handover"
)

func TestAbilities(t *testing.T) {
	for name, c := range map[string]struct {
		words []string
		want  []pluginapi.PublishAbility
	}{
		"left out":        {nil, []pluginapi.PublishAbility{pluginapi.PublishTXT, pluginapi.PublishACMEDNS}},
		"empty":           {[]string{}, nil},
		"records":         {[]string{"cname", "txt"}, []pluginapi.PublishAbility{pluginapi.PublishCNAME, pluginapi.PublishTXT, pluginapi.PublishACMEDNS}},
		"files":           {[]string{"file"}, []pluginapi.PublishAbility{pluginapi.PublishFile, pluginapi.PublishACMEHTTP}},
		"something other": {[]string{"txt", "mail"}, nil},
	} {
		got, err := handover.Abilities(c.words)
		if !slices.Equal(got, c.want) || (err != nil) != (c.want == nil) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// The schema takes what Abilities takes, and nothing else.
func TestPublishesAgreesWithAbilities(t *testing.T) {
	f := handover.Publishes("the program")
	for _, word := range []string{"txt", "cname", "file", "mail", ""} {
		findings := pluginapi.CheckSettings([]pluginapi.Field{f}, pluginapi.Settings{Values: map[string]any{"publishes": []any{word}}})
		if _, err := handover.Abilities([]string{word}); (err != nil) != pluginapi.HasFault(findings) {
			t.Errorf("%q: %v, and the schema says %v", word, err, findings)
		}
	}
}

func TestTimeout(t *testing.T) {
	timeout := handover.Timeout{Default: "1m", Least: time.Second, Most: time.Hour}
	for text, want := range map[string]time.Duration{
		"": time.Minute, "1s": time.Second, "1h": time.Hour, "90m": 0, "999ms": 0, "-1m": 0, "soon": 0,
	} {
		if got, err := timeout.Read(text); got != want || (err != nil) != (want == 0) {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
	if f := timeout.Field("How long."); f.Name != "timeout" || f.Type != pluginapi.Duration || f.Default != "1m" || f.Help != "How long." {
		t.Errorf("%+v", f)
	}
}
