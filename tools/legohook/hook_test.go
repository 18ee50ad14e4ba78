package main

import (
	"maps"
	"strings"
	"sync"
	"testing"
)

// published is lego as it is in the module cache.
var published = sync.OnceValues(func() (tree, error) {
	_, lego, err := findModules(background())
	if err != nil {
		return nil, err
	}
	return readModule(lego.Dir)
})

// lego returns a copy of the files of lego that a test may change.
func lego(t testing.TB) tree {
	t.Helper()
	files, err := published()
	if err != nil {
		t.Fatal(err)
	}
	return maps.Clone(files)
}

const (
	dnsFile  = "challenge/dns01/dns_challenge.go"
	httpFile = "challenge/http01/http_challenge.go"
)

// edit returns a change of one file; a part that is not there fails the test.
func edit(file, old, new string) func(testing.TB, tree) {
	return func(t testing.TB, files tree) {
		t.Helper()
		if strings.Count(string(files[file]), old) == 0 {
			t.Fatalf("%s does not hold %q: this test is out of date", file, old)
		}
		files[file] = []byte(strings.ReplaceAll(string(files[file]), old, new))
	}
}

func add(file, text string) func(testing.TB, tree) {
	return func(_ testing.TB, files tree) { files[file] = []byte(text) }
}

func TestHookRefusesWhatItDoesNotKnow(t *testing.T) {
	for what, c := range map[string]struct {
		change  func(testing.TB, tree)
		version string
		want    string
	}{
		"another version": {
			version: "v4.36.0", want: "it is v4.36.0, and the changes were written for v4.35.2",
		},
		"the function has another name": {
			change: edit(dnsFile, "func GetChallengeInfo(", "func ChallengeInfoFor("),
			want:   "challenge/dns01 has no function GetChallengeInfo",
		},
		"the function became a method": {
			change: edit(dnsFile, "func GetChallengeInfo(", "func (c *Challenge) GetChallengeInfo("),
			want:   "challenge/dns01 has no function GetChallengeInfo",
		},
		"the function stands there for two systems": {
			change: add("challenge/dns01/info_windows.go", "package dns01\n\nfunc GetChallengeInfo(domain, keyAuth string) ChallengeInfo { return ChallengeInfo{} }\n"),
			want:   "challenge/dns01 has 2 functions GetChallengeInfo; which one is built?",
		},
		"the function has no body": {
			change: func(_ testing.TB, files tree) {
				files[httpFile] = []byte("package http01\n\nfunc ChallengePath(token string) string\n")
			},
			want: "challenge/http01/http_challenge.go:3:1: ChallengePath has no body",
		},
		"a parameter has another name": {
			change: edit(dnsFile, "GetChallengeInfo(domain, keyAuth string)", "GetChallengeInfo(domain, authorization string)"),
			want:   "GetChallengeInfo is func(domain, authorization string) ChallengeInfo, want func(domain, keyAuth string) ChallengeInfo",
		},
		"the parameters are in another order": {
			change: edit(dnsFile, "GetChallengeInfo(domain, keyAuth string)", "GetChallengeInfo(keyAuth, domain string)"),
			want:   "GetChallengeInfo is func(keyAuth, domain string) ChallengeInfo, want",
		},
		"there is a parameter more": {
			change: edit(dnsFile, "GetChallengeInfo(domain, keyAuth string)", "GetChallengeInfo(ctx context.Context, domain, keyAuth string)"),
			want:   "GetChallengeInfo is func(ctx context.Context, domain, keyAuth string) ChallengeInfo, want",
		},
		"the result has another type": {
			change: edit(dnsFile, "keyAuth string) ChallengeInfo {", "keyAuth string) *ChallengeInfo {"),
			want:   "GetChallengeInfo is func(domain, keyAuth string) *ChallengeInfo, want",
		},
		"there is a result more": {
			change: edit(httpFile, "func ChallengePath(token string) string {", "func ChallengePath(token string) (string, error) {"),
			want:   "ChallengePath is func(token string) (string, error), want func(token string) string",
		},
		"the function does something else": {
			change: edit(dnsFile, "getChallengeFQDN(domain, !ok)", "getChallengeFQDN(domain, ok)"),
			want:   "dns_challenge.go:202:1: GetChallengeInfo has changed (its digest is ",
		},
		"the other function does something else": {
			change: edit(httpFile, "if isBase64url(token) {", "if token != \"\" {"),
			want:   "http_challenge.go:29:1: ChallengePath has changed (its digest is ",
		},
		"a field has another name": {
			change: edit(dnsFile, "EffectiveFQDN string", "ResolvedFQDN string"),
			want:   `ChallengeInfo has the fields "FQDN string; ResolvedFQDN string; Value string", want "FQDN string; EffectiveFQDN string; Value string"`,
		},
		"a field has another type": {
			change: edit(dnsFile, "\tValue string", "\tValue []byte"),
			want:   `ChallengeInfo has the fields "FQDN string; EffectiveFQDN string; Value []byte", want`,
		},
		"there is a field more": {
			change: edit(dnsFile, "\tValue string", "\tValue string\n\n\tZone string"),
			want:   `Value string; Zone string", want`,
		},
		"the type is gone": {
			change: edit(dnsFile, "type ChallengeInfo struct", "type Info struct"),
			want:   "challenge/dns01 has no type ChallengeInfo",
		},
		"the type is no struct": {
			change: edit(dnsFile, "type ChallengeInfo struct {", "type ChallengeInfo interface{}\n\ntype info struct {"),
			want:   "challenge/dns01: ChallengeInfo is no struct",
		},
		"the package is gone": {
			change: func(_ testing.TB, files tree) {
				maps.DeleteFunc(files, func(name string, _ []byte) bool { return strings.HasPrefix(name, "challenge/http01/") })
			},
			want: "there is no package challenge/http01",
		},
		"it is no Go": {
			change: edit(dnsFile, "func GetChallengeInfo(", "fun GetChallengeInfo("),
			want:   "parse lego: challenge/dns01/dns_challenge.go:202:1: expected declaration",
		},
		"it has a package of the same name": {
			change: add(literalDir+"/literal.go", "package literal\n"),
			want:   "it has a package challenge/internal/literal of its own",
		},
		"something else has the name of the package": {
			change: add("challenge/dns01/literal.go", "package dns01\n\nfunc literal() {}\n"),
			want:   "challenge/dns01/literal.go declares literal, the name of the package to be imported",
		},
		"something else is imported by the name of the package": {
			change: edit(httpFile, `"path"`, `literal "path"`),
			want:   "challenge/http01/http_challenge.go imports something as literal",
		},
		"another literal is imported": {
			change: edit(httpFile, `"path"`, `"example.com/literal"`),
			want:   "challenge/http01/http_challenge.go imports something as literal",
		},
	} {
		t.Run(what, func(t *testing.T) {
			files, got := lego(t), version
			if c.change != nil {
				c.change(t, files)
			}
			if c.version != "" {
				got = c.version
			}
			before := maps.Clone(files)
			err := hook(files, got)
			if err == nil {
				t.Fatal("it is changed all the same")
			}
			if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "tools/legohook/hook.go") {
				t.Errorf("the error is:\n%v\nwant in it:\n%s", err, c.want)
			}
			if !maps.EqualFunc(files, before, equal) {
				t.Error("some of it is changed")
			}
		})
	}
}

func TestHookSaysAllAtOnce(t *testing.T) {
	files := lego(t)
	edit(dnsFile, "func GetChallengeInfo(", "func ChallengeInfoFor(")(t, files)
	edit(httpFile, "func ChallengePath(token string)", "func ChallengePath(name string)")(t, files)
	err := hook(files, "v5.0.0")
	if err == nil {
		t.Fatal("it is changed all the same")
	}
	for _, want := range []string{"it is v5.0.0", "no function GetChallengeInfo", "ChallengePath is func(name string) string"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error says nothing of %q:\n%v", want, err)
		}
	}
}

// What does not change the meaning is no reason to stop.
func TestHookIgnoresCommentsAndSpacing(t *testing.T) {
	for what, change := range map[string]func(testing.TB, tree){
		"another comment in the function":   edit(dnsFile, "// base64URL encoding without padding", "// base64url, no padding"),
		"no comment above the function":     edit(httpFile, "// ChallengePath returns the URL path for the `http-01` challenge.\n", ""),
		"another layout of the function":    edit(httpFile, "\treturn path.Join(PathPrefix, \"invalid\")\n", "\n\treturn path.Join( PathPrefix,\"invalid\" )\n\n"),
		"another comment on a field":        edit(dnsFile, "// Value contains the value for the TXT record.", "// Value is the value."),
		"a function elsewhere":              edit(dnsFile, "const (\n", "func unrelated() {}\n\nconst (\n"),
		"a method of the function's name":   add("challenge/dns01/method.go", "package dns01\n\nfunc (preCheck) GetChallengeInfo() {}\n"),
		"the function's name in a test":     add("challenge/other/other.go", "package other\n\nfunc GetChallengeInfo() {}\n"),
		"fields of one type in one line":    edit(dnsFile, "\tValue string\n", "\tValue string // as it is\n"),
		"a file that is not for this build": add("challenge/dns01/ignored.go", "//go:build ignore\n\npackage dns01\n"),
	} {
		t.Run(what, func(t *testing.T) {
			files := lego(t)
			change(t, files)
			if err := hook(files, version); err != nil {
				t.Error(err)
			}
		})
	}
}

// A diff of two files would show nothing but this.
func TestHookChangesTwoFunctionsAndNothingElse(t *testing.T) {
	before, after := lego(t), lego(t)
	if err := hook(after, version); err != nil {
		t.Fatal(err)
	}
	if got := string(after[literalDir+"/literal.go"]); !strings.Contains(got, "\npackage literal\n") {
		t.Errorf("the added package is %q", got)
	}
	delete(after, literalDir+"/literal.go")
	for name, added := range map[string][]string{
		dnsFile: {
			"\n\nimport \"github.com/go-acme/lego/v4/challenge/internal/literal\"",
			"\t// Added by certbridged: the caller may name the record itself.\n\tif name, value, ok := literal.Record(keyAuth); ok {\n" +
				"\t\treturn ChallengeInfo{FQDN: name + \".\", EffectiveFQDN: name + \".\", Value: value}\n\t}\n\n",
		},
		httpFile: {
			"\n\nimport \"github.com/go-acme/lego/v4/challenge/internal/literal\"",
			"\t// Added by certbridged: the caller may name the path itself.\n\tif path, ok := literal.Path(token); ok {\n\t\treturn path\n\t}\n\n",
		},
	} {
		for _, part := range added {
			if strings.Count(string(after[name]), part) != 1 {
				t.Fatalf("%s does not hold, once,\n%s\nbut is\n%s", name, part, after[name])
			}
			after[name] = []byte(strings.Replace(string(after[name]), part, "", 1))
		}
	}
	for name, text := range after {
		if !equal(text, before[name]) {
			t.Errorf("%s is changed", name)
		}
	}
	if len(after) != len(before) {
		t.Errorf("there are %d files, want %d", len(after), len(before))
	}
}
