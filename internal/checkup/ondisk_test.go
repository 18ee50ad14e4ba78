package checkup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/internal/certstore"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

func TestOnDisk(t *testing.T) {
	dir := t.TempDir()
	c := load(t, dir, `[daemon]
state_dir = "`+dir+`"
[ca.x]
plugin = "x"
[[certificate]]
name = "shop"
domains = ["shop.example.com"]
ca = "x"
files = { fullchain = "shop.pem", key = "shop.key" }
`)
	chain := filepath.Join(dir, "shop.pem")
	sets := map[string][]certstore.File{"shop": {{Form: certstore.Fullchain, Path: chain}, {Form: certstore.Key, Path: filepath.Join(dir, "shop.key")}}}
	if remarks := onDisk(c, sets); len(remarks) > 0 {
		t.Errorf("nothing is there: %v", remarks)
	}
	if err := os.WriteFile(chain, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	remarks := onDisk(c, sets)
	if len(remarks) != 1 || remarks[0].Severity != pluginapi.Warning || remarks[0].Line != 9 {
		t.Fatalf("%v", remarks)
	}
	for _, want := range []string{"no whole set", "shop.pem: there is no certificate in it; ", "shop.key: no such file"} {
		if !strings.Contains(remarks[0].Message, want) {
			t.Errorf("%q does not say %q", remarks[0].Message, want)
		}
	}
}
