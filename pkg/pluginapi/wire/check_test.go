package wire

import (
	"strings"
	"testing"
)

func TestACMEToken(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"": false, "a": true, "azAZ09-_": true, strings.Repeat("a", 512): true, strings.Repeat("a", 513): false,
		"a=": false, "a.b": false, "a b": false, "a\n": false, "ä": false, "a/": false, "@": false, "[": false, "`": false, "{": false, "\xff": false,
	} {
		if got := isACMEToken(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
