package pluginhost

import (
	"math"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

func TestGoodSettings(t *testing.T) {
	secret := func(text string) map[string]pluginapi.Secret {
		return map[string]pluginapi.Secret{"password": pluginapi.NewSecret(text)}
	}
	good := []pluginapi.Settings{{Values: map[string]any{"product": "dv", "years": int64(1)}, Secrets: secret("one")}}
	var g goodSettings
	sum, known := g.has(good)
	if known || sum == nil {
		t.Fatalf("%v, %v", sum, known)
	}
	g.add(sum)
	if _, known := g.has(good); !known {
		t.Error("it was forgotten")
	}
	for name, other := range map[string][]pluginapi.Settings{
		"a value":      {{Values: map[string]any{"product": "ov", "years": int64(1)}, Secrets: secret("one")}},
		"a secret":     {{Values: map[string]any{"product": "dv", "years": int64(1)}, Secrets: secret("two")}},
		"no secret":    {{Values: map[string]any{"product": "dv", "years": int64(1)}}},
		"one more":     append(good[:1:1], pluginapi.Settings{}),
		"none":         nil,
		"untellable":   {{Values: map[string]any{"years": math.NaN()}}},
		"of no values": {{}},
	} {
		if _, known := g.has(other); known {
			t.Errorf("%s: other settings pass for those that were good", name)
		}
	}
	g.add(nil)
	for i := range 2 * maxGoodSettings {
		sum, _ := g.has([]pluginapi.Settings{{Values: map[string]any{"n": i}}})
		g.add(sum)
	}
	if len(g.sums) > maxGoodSettings {
		t.Errorf("%d are remembered", len(g.sums))
	}
}
