package sandbox

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for name, fits := range map[string]bool{
		"example.com": true, "*.example.com": true, "a.b.example.com": true, "xn--bcher-kva.example": true, "192.0.2.1": true, "2001:db8::1": true,
		"": false, "com": false, "example.com.": false, ".example.com": false, "a..example.com": false, "a_b.example.com": false, "-a.example.com": false,
		"a-.example.com": false, "a.*.example.com": false, "*": false, "bücher.example": false, "a b.example": false,
		strings.Repeat("a", 64) + ".example.com": false, strings.Repeat("a.", 130) + "com": false,
	} {
		if wrong := CheckName(name); (wrong == "") != fits {
			t.Errorf("%q: %q", name, wrong)
		}
	}
	for name, want := range map[string]string{"a.b.example.co.uk": "example.co.uk", "*.Example.com": "example.com", "co.uk": "co.uk", "192.0.2.1": "192.0.2.1"} {
		if got := BaseOf(name); got != want {
			t.Errorf("base of %s: %s, want %s", name, got, want)
		}
	}
	if !Covers("example.com", "*.a.example.com") || !Covers("example.com", "EXAMPLE.com") || Covers("example.com", "badexample.com") || Covers("a.example.com", "example.com") {
		t.Error("a domain covers itself and what is below it, and nothing else")
	}
}
