package sslapi

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Every code that Tencent documents is one of the contract's kinds, for a read, a write and the purchase; and every row of
// the table of codes is about one that is documented.
func TestCodes(t *testing.T) {
	text, err := os.ReadFile("testdata/codes.txt")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{"AuthFailure": true} // for codes of that family that are new
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		parts := strings.Fields(line)
		if len(parts) == 0 {
			continue
		}
		if len(parts) != 4 || listed[parts[0]] {
			t.Fatalf("%q is no code with three kinds, or stands there twice", line)
		}
		listed[parts[0]] = true
		for i := 2; i < 4; i++ {
			if parts[i] == "-" {
				parts[i] = parts[i-1]
			}
		}
		t.Run(parts[0], func(t *testing.T) {
			t.Parallel()
			base, _ := serve(t, no(parts[0]))
			err := newTestClient(t, base, 5*time.Second).SubmitInfo(t.Context(), []byte(`{}`), nil)
			for i, f := range []*pluginapi.Error{Fail("read", err), FailWrite("write", err), FailOnce("buy", err)} {
				if f.Kind.String() != parts[i+1] {
					t.Errorf("%s: %s, want %s", f.Message, f.Kind, parts[i+1])
				}
				for _, want := range []string{parts[0], "words", "request 9b397ac6"} {
					if !strings.Contains(f.Message, want) {
						t.Errorf("%q does not say %q", f.Message, want)
					}
				}
			}
			if !Has(err, parts[0]) || Has(err, "another") {
				t.Error("the code is not recognized")
			}
		})
	}
	for _, m := range meanings() {
		if !listed[m.code] {
			t.Errorf("%s is in the table and not in the list", m.code)
		}
	}
	if len(listed) < 70 {
		t.Errorf("only %d codes", len(listed))
	}
}
