package catalog

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

const docFile = "../../../../docs/dcv-providers.md"

const docHead = `# DNS providers of dcv-lego

What each DNS provider of lego %s does with a record that is not ACME's own. The table was made by reading the sources
of the providers; tests hold it against them. This page is generated: change the files in
` + "`cmd/plugins/dcv-lego/catalog`" + ` and run ` + "`go test ./cmd/plugins/dcv-lego/catalog -update`" + `.

All %d providers publish ACME's records, but for those that say below that they cannot. The columns are about the
TXT records that other CAs ask for:

- **Credentials**: the environment variables that go into ` + "`env`" + ` of the profile. Where a provider takes several kinds of
  credentials, not all of them are needed; its documentation at lego, to which the name leads, says which.
- **Any TXT**: it can publish a TXT record of any name and value. The others are refused for such a record.
- **Apex**: it can publish at the name of the zone itself.
- **Keeps others**: other TXT records of the same name stay as they are. *No* stands also where this is in doubt.
- **Sequential**: *yes* where one challenge has to be over before the next one is published, because lego asks for that
  or because one value may take the place of another. *Calls* where challenges stand side by side and only the calls of
  the provider are made one after the other.

Look at *Keeps others* before you let a CA ask for a record at a name that has others, such as an SPF record: a provider
with *no* may remove them.

`

// legoToml is what is used of the file in which lego describes a provider.
type legoToml struct {
	Name          string
	Code          string
	Configuration struct{ Credentials map[string]string }
	order         []string // the credentials in the order of the file
}

func readToml(l *lego, p *source) (legoToml, error) {
	var about legoToml
	names, err := filepath.Glob(filepath.Join(l.root, p.folder, "*.toml"))
	if err != nil || len(names) != 1 {
		return about, fmt.Errorf("%s has %d descriptions, not one: %w", p.folder, len(names), err)
	}
	meta, err := toml.DecodeFile(names[0], &about)
	if err != nil {
		return about, err
	}
	for _, key := range meta.Keys() {
		if len(key) == 3 && key[0] == "Configuration" && key[1] == "Credentials" {
			about.order = append(about.order, key[2])
		}
	}
	if about.Name == "" || about.Code != p.name || len(about.order) != len(about.Configuration.Credentials) {
		return about, fmt.Errorf("%s describes %q (%s) with %d credentials", names[0], about.Name, about.Code, len(about.order))
	}
	return about, nil
}

// TestProvidersDocument holds docs/dcv-providers.md to the table and to lego's descriptions.
func TestProvidersDocument(t *testing.T) {
	l := legoSource(t)
	var rows, limits strings.Builder
	for _, name := range Names() {
		i := slices.IndexFunc(l.providers, func(p *source) bool { return p.name == name })
		if i < 0 {
			t.Fatalf("%s is in the table, and lego does not know it", name)
		}
		about, err := readToml(l, l.providers[i])
		if err != nil {
			t.Fatal(err)
		}
		_, entry, _ := Find(name)
		rows.WriteString(row(name, about, entry, l.providers[i].sequential()))
		limits.WriteString(limitsOf(name, about, entry))
	}
	text := fmt.Sprintf(docHead, l.version, len(l.providers)) +
		"| Provider | Name | Credentials | Any TXT | Apex | Keeps others | Sequential |\n|---|---|---|---|---|---|---|\n" + rows.String() +
		"\n## Limits\n\nWhat there is to know beyond the table. Where it has *no* for the apex and nothing is said here, the provider refuses\n" +
		"a name that is the zone's own.\n" + limits.String()
	if *update {
		writeFile(t, docFile, text)
		return
	}
	got, err := os.ReadFile(docFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != text {
		t.Errorf("docs/dcv-providers.md is not what the table says: run this test with -update")
	}
}

func row(name string, about legoToml, p Provider, sequential bool) string {
	names := "`" + name + "`"
	for _, alias := range p.Aliases {
		names += ", `" + alias + "`"
	}
	var credentials []string
	for _, key := range about.order {
		if variable.MatchString(key) {
			key = "`" + key + "`"
		}
		credentials = append(credentials, key)
	}
	if len(credentials) == 0 {
		credentials = []string{"none"}
	}
	literal := p.NotLiteral == ""
	turns := "no"
	switch {
	case sequential || p.Overwrites != "":
		turns = "yes"
	case !p.Concurrent:
		turns = "calls"
	}
	return fmt.Sprintf("| [%s](https://go-acme.github.io/lego/dns/%s/) | %s | %s | %s | %s | %s | %s |\n", strings.ReplaceAll(about.Name, "|", "/"), about.Code, names,
		strings.Join(credentials, ", "), yes(literal), only(literal, p.NoApex == ""), only(literal, p.Overwrites == ""), turns)
}

// variable is the name of an environment variable; lego lists other sources of credentials too.
var variable = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

// only is nothing where the column says nothing.
func only(applies, is bool) string {
	if !applies {
		return ""
	}
	return yes(is)
}

// limitsOf is the section of one provider, "" when there is nothing to say.
func limitsOf(name string, about legoToml, p Provider) string {
	var lines []string
	add := func(topic, sentence string) {
		if sentence != "" {
			lines = append(lines, "- **"+topic+"**: "+asText(sentence)+".\n")
		}
	}
	if p.NotLiteral != "" {
		add("ACME only", p.NotLiteral)
	} else {
		if p.NoApex != apexRefused { // the table says it
			add("Apex", p.NoApex)
		}
		add("Other records", p.Overwrites)
	}
	add("Note", p.Note)
	if len(lines) == 0 {
		return ""
	}
	return fmt.Sprintf("\n### %s (`%s`)\n\n%s", about.Name, name, strings.Join(lines, ""))
}

// asText keeps Markdown from taking a name such as _acme-challenge or EXAMPLE_TTL for emphasis.
func asText(sentence string) string {
	words := strings.Split(sentence, " ")
	for i, word := range words {
		if bare := strings.Trim(word, ",;:()"); strings.ContainsAny(bare, "_*<>") && !strings.Contains(bare, "`") {
			words[i] = strings.Replace(word, bare, "`"+bare+"`", 1)
		}
	}
	return strings.Join(words, " ")
}
