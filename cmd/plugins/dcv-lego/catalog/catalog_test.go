package catalog

import (
	"flag"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "state that the table was reviewed: write the digests of the sources and the list of providers anew")

// table joins the parts, and fails when a name or an alias stands in two places.
func table(t *testing.T) map[string]Provider {
	t.Helper()
	all := map[string]Provider{}
	seen := map[string]string{}
	for _, part := range parts() {
		for name, p := range part {
			all[name] = p
			for _, n := range append([]string{name}, p.Aliases...) {
				if other, twice := seen[n]; twice {
					t.Errorf("%s is in the table twice: as %s and as %s", n, other, name)
				}
				seen[n] = name
			}
		}
	}
	return all
}

func TestTableHasEveryProviderOfLego(t *testing.T) {
	all := table(t)
	l := legoSource(t)
	if len(l.providers) < 150 {
		t.Fatalf("only %d providers were found in lego's switch", len(l.providers))
	}
	for _, p := range l.providers {
		entry, ok := all[p.name]
		if !ok {
			t.Errorf("%s is not in the table", p.name)
			continue
		}
		if !slices.Equal(slices.Sorted(slices.Values(entry.Aliases)), slices.Sorted(slices.Values(p.aliases))) {
			t.Errorf("%s: aliases %q, lego has %q", p.name, entry.Aliases, p.aliases)
		}
		delete(all, p.name)
	}
	for name := range all {
		t.Errorf("%s is in the table, and lego does not know it", name)
	}
}

func TestFind(t *testing.T) {
	for name, want := range map[string]string{"cloudflare": "cloudflare", "acmedns": "acme-dns", "acme-dns": "acme-dns", "nobody": ""} {
		got, _, ok := Find(name)
		if got != want || ok != (want != "") {
			t.Errorf("Find(%q) = %q, %t; want %q", name, got, ok, want)
		}
	}
	if names := Names(); !slices.IsSorted(names) || len(names) != len(table(t)) {
		t.Errorf("Names gives %d names, sorted %t; the table has %d", len(names), slices.IsSorted(names), len(table(t)))
	}
}

// TestLiteral finds in the sources what hints at a provider that can publish nothing but ACME's record. Each has to say
// so in the table, or to be explained in judgedLiteral.
func TestLiteral(t *testing.T) {
	all := table(t)
	left := maps.Clone(judgedLiteral)
	for _, p := range legoSource(t).providers {
		for _, hint := range p.literalHints() {
			key := p.name + ": " + hint
			_, judged := left[key]
			delete(left, key)
			if all[p.name].NotLiteral == "" && !judged {
				t.Errorf("%s, and the table says that it can publish any record", key)
			}
		}
	}
	for key := range left {
		t.Errorf("judgedLiteral explains %q, which is not found any more", key)
	}
}

// TestState: what Present keeps in the provider's value and CleanUp reads from there has to travel in the receipt.
func TestState(t *testing.T) {
	all := table(t)
	for _, p := range legoSource(t).providers {
		fields := p.remembered()
		if (len(fields) > 0) != (all[p.name].State == FromReceipt) {
			t.Errorf("%s: Present leaves %v to CleanUp, and State is %d", p.name, fields, all[p.name].State)
		}
	}
}

// TestApex: ExtractSubDomain refuses a name that is the zone's own, and so does who returns its error.
func TestApex(t *testing.T) {
	all := table(t)
	left := maps.Clone(judgedApex)
	for _, p := range legoSource(t).providers {
		if !p.heedsApex() {
			continue
		}
		_, judged := left[p.name]
		delete(left, p.name)
		if all[p.name].NoApex == "" && !judged {
			t.Errorf("%s calls dns01.ExtractSubDomain and heeds its error, and the table says that it can publish at the zone's own name", p.name)
		}
	}
	for name := range left {
		t.Errorf("judgedApex explains %s, which needs no explanation", name)
	}
}

func TestSequentialProvidersAreNotConcurrent(t *testing.T) {
	all := table(t)
	for _, p := range legoSource(t).providers {
		if p.sequential() && all[p.name].Concurrent {
			t.Errorf("%s: lego calls it for one record after the other, and Concurrent is set", p.name)
		}
	}
}

func TestEntries(t *testing.T) {
	for name, p := range table(t) {
		if p.State != FindsByValue && p.State != FindsByName && p.State != FromReceipt {
			t.Errorf("%s: State is %d", name, p.State)
		}
		if p.State == FindsByName && p.Overwrites == "" {
			t.Errorf("%s removes by name alone, and Overwrites does not say what becomes of other records", name)
		}
		if p.State == FindsByName && p.Concurrent {
			t.Errorf("%s removes by name alone, so two values at one name disturb each other, and Concurrent is set", name)
		}
		for field, sentence := range map[string]string{"NotLiteral": p.NotLiteral, "NoApex": p.NoApex, "Overwrites": p.Overwrites, "Note": p.Note} {
			if why := malformed(name, sentence); why != "" {
				t.Errorf("%s: %s %s: %q", name, field, why, sentence)
			}
		}
	}
}

// malformed says what is wrong with a provider's sentence, which may be absent. It may begin with the provider's name.
func malformed(provider, sentence string) string {
	if sentence == "" {
		return ""
	}
	first, _ := utf8.DecodeRuneInString(sentence)
	word, _, _ := strings.Cut(sentence, " ")
	switch {
	case strings.TrimSpace(sentence) != sentence || strings.Contains(sentence, "  ") || strings.ContainsAny(sentence, "\n\t|"):
		return "has white space that does not belong there, or a bar"
	case strings.ContainsAny(sentence[len(sentence)-1:], ".!?,;:"):
		return "ends with a punctuation mark"
	case unicode.IsUpper(first) && strings.ToUpper(word) != word && strings.ToLower(word) != provider:
		return "begins with a capital letter"
	case len(strings.Fields(sentence)) < 3:
		return "has less than three words"
	case !utf8.ValidString(sentence):
		return "is not UTF-8"
	}
	return ""
}

func TestMalformed(t *testing.T) {
	for _, sentence := range []string{"removes all records.", "Removes all records", "removes", " removes all records", "removes all  records", "removes all records, "} {
		if malformed("gravity", sentence) == "" {
			t.Errorf("%q passes", sentence)
		}
	}
	for _, sentence := range []string{"", "removes all records", "TTL is always 300 seconds", "Gravity removes all records"} {
		if why := malformed("gravity", sentence); why != "" {
			t.Errorf("%q: %s", sentence, why)
		}
	}
}
