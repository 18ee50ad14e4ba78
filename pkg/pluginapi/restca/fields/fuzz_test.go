package fields_test

import (
	"encoding/json"
	"net/url"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
)

// FuzzCheck: no settings make Check or Fill panic, every finding has words, and what has no fault can be sent: as JSON,
// and as a form that reads the same on the other side.
func FuzzCheck(f *testing.F) {
	whole, err := json.Marshal(everything())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole, "card.number", "12345")
	f.Add([]byte(`{"product":"x","years":9e99,"items":[{"size":1},{"mark":1},null],"others":{"a":[]}}`), "others[0].name", "x")
	f.Add([]byte(`{"product":["x"],"admin":[{"name":1}],"labels":{"a":{}},"card":{"number":"1"}}`), "", "")
	table := example()
	f.Fuzz(func(t *testing.T, text []byte, path, secret string) {
		var decoded map[string]any
		if json.Unmarshal(text, &decoded) != nil {
			t.Skip()
		}
		s := pluginapi.Settings{Values: decoded, Secrets: secrets(map[string]string{path: secret})}
		found := table.Check(s, today).Findings()
		for _, finding := range found {
			if finding.Message == "" {
				t.Errorf("%q: no message", finding.Field)
			}
		}
		body := fields.Body{}
		table.Fill(body, s, fields.Out{In: both})
		if pluginapi.HasFault(found) {
			return
		}
		if text, err := body.JSON(); err != nil || !json.Valid(text) {
			t.Errorf("no JSON: %s, %v", text, err)
		}
		form := body.Form(nil)
		if back, err := url.ParseQuery(form.Encode()); err != nil || back.Encode() != form.Encode() {
			t.Errorf("the form %v became %v, %v", form, back, err)
		}
	})
}
