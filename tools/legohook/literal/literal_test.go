package literal

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
)

func TestRecord(t *testing.T) {
	for what, c := range map[string]struct {
		in, name, value string
		ok              bool
	}{
		"a record":                         {"\x00certbridge-txt\x00_dnsauth.example.com\x00abc", "_dnsauth.example.com", "abc", true},
		"the apex":                         {"\x00certbridge-txt\x00example.com\x00_globalsign=x", "example.com", "_globalsign=x", true},
		"an empty value":                   {"\x00certbridge-txt\x00example.com\x00", "example.com", "", true},
		"a value with a NUL":               {"\x00certbridge-txt\x00example.com\x00a\x00b", "example.com", "a\x00b", true},
		"a value that looks like a record": {"\x00certbridge-txt\x00a.test\x00\x00certbridge-txt\x00b.test\x00v", "a.test", "\x00certbridge-txt\x00b.test\x00v", true},
		"nothing":                          {"", "", "", false},
		"a key authorization":              {"evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "", "", false},
		"no NUL before the prefix":         {"certbridge-txt\x00example.com\x00abc", "", "", false},
		"the prefix later on":              {"x\x00certbridge-txt\x00example.com\x00abc", "", "", false},
		"the prefix alone":                 {"\x00certbridge-txt\x00", "", "", false},
		"no value":                         {"\x00certbridge-txt\x00example.com", "", "", false},
		"no name":                          {"\x00certbridge-txt\x00\x00abc", "", "", false},
		"a name with its last dot":         {"\x00certbridge-txt\x00example.com.\x00abc", "", "", false},
		"a path":                           {"\x00certbridge-file\x00/a", "", "", false},
	} {
		name, value, ok := Record(c.in)
		if name != c.name || value != c.value || ok != c.ok {
			t.Errorf("%s: Record(%q) = %q, %q, %t; want %q, %q, %t", what, c.in, name, value, ok, c.name, c.value, c.ok)
		}
	}
}

func TestPath(t *testing.T) {
	for what, c := range map[string]struct {
		in, path string
		ok       bool
	}{
		"a path":                   {"\x00certbridge-file\x00/.well-known/pki-validation/fileauth.txt", "/.well-known/pki-validation/fileauth.txt", true},
		"the root":                 {"\x00certbridge-file\x00/", "/", true},
		"nothing":                  {"", "", false},
		"a token":                  {"evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA", "", false},
		"no NUL before the prefix": {"certbridge-file\x00/a", "", false},
		"the prefix alone":         {"\x00certbridge-file\x00", "", false},
		"a relative path":          {"\x00certbridge-file\x00a", "", false},
		"a record":                 {"\x00certbridge-txt\x00a.test\x00v", "", false},
	} {
		if path, ok := Path(c.in); path != c.path || ok != c.ok {
			t.Errorf("%s: Path(%q) = %q, %t; want %q, %t", what, c.in, path, ok, c.path, c.ok)
		}
	}
}

// Tokens and key authorizations as RFC 8555, section 8.1, makes them.
func TestRealArgumentsAreNoLiterals(t *testing.T) {
	for range 10000 {
		secret := make([]byte, 16+rand.Text()[0]%48)
		if _, err := rand.Read(secret); err != nil {
			t.Fatal(err)
		}
		thumbprint := sha256.Sum256(secret)
		token := base64.RawURLEncoding.EncodeToString(secret)
		if _, ok := Path(token); ok {
			t.Errorf("the token %q is taken for a literal", token)
		}
		keyAuth := token + "." + base64.RawURLEncoding.EncodeToString(thumbprint[:])
		if _, _, ok := Record(keyAuth); ok {
			t.Errorf("the key authorization %q is taken for a literal", keyAuth)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("\x00certbridge-txt\x00example.com\x00abc")
	f.Add("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.NzbLsXh8uDCcd")
	f.Add("\x00certbridge-txt\x00\x00")
	f.Fuzz(func(t *testing.T, in string) {
		name, value, ok := Record(in)
		if ok && "\x00certbridge-txt\x00"+name+"\x00"+value != in {
			t.Errorf("Record(%q) = %q, %q: not all of it", in, name, value)
		}
		if ok && (name == "" || strings.ContainsRune(name, 0) || strings.HasSuffix(name, ".")) {
			t.Errorf("Record(%q) has the name %q", in, name)
		}
		if !ok && name+value != "" {
			t.Errorf("Record(%q) is no literal and yet %q, %q", in, name, value)
		}
	})
}

func FuzzPath(f *testing.F) {
	f.Add("\x00certbridge-file\x00/.well-known/pki-validation/fileauth.txt")
	f.Add("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA")
	f.Fuzz(func(t *testing.T, in string) {
		path, ok := Path(in)
		if ok && ("\x00certbridge-file\x00"+path != in || path[0] != '/') {
			t.Errorf("Path(%q) = %q", in, path)
		}
		if !ok && path != "" {
			t.Errorf("Path(%q) is no literal and yet %q", in, path)
		}
	})
}
