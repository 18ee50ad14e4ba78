package config

import (
	"cmp"
	"slices"
	"strings"

	"github.com/certbridge/certbridged/internal/cert"
)

// DCVRule says which DCV profiles serve the domains of a pattern.
type DCVRule struct {
	// Pattern is a domain; "*.example.com" for example.com and all below it; "*" for all.
	Pattern string
	// Profiles are names of DCV profiles, the favourite first.
	Profiles []string
}

// matches reports whether a domain, "*." in front allowed, is served by the rule.
func (r DCVRule) matches(domain string) bool {
	if r.Pattern == "*" || r.Pattern == domain {
		return true
	}
	parent, ok := strings.CutPrefix(r.Pattern, "*.")
	if !ok {
		return false
	}
	domain = strings.TrimPrefix(domain, "*.")
	return domain == parent || strings.HasSuffix(domain, "."+parent)
}

// Profiles returns the DCV profiles for a domain, with or without "*." in front: those of the most exact pattern that
// matches. It returns nil when none does.
func (c Certificate) Profiles(domain string) []string {
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	for _, r := range c.DCV {
		if r.matches(domain) {
			return r.Profiles
		}
	}
	return nil
}

// dcvRules reads a name, a list of names, or a table from pattern to one of these. The most exact pattern comes first.
func (t *table) dcvRules(cfg *Config, domains []string) []DCVRule {
	v, _ := t.value("dcv")
	patterns, ok := v.(map[string]any)
	if !ok {
		return t.c.shared([]DCVRule{{Pattern: "*", Profiles: t.profiles("dcv", v, cfg)}})
	}
	sub := t.table("dcv", "dcv")
	var rules []DCVRule
	for _, written := range sortedKeys(patterns) {
		pattern := written
		if written != "*" {
			name, err := cert.NormalizeName(written)
			if err != nil {
				sub.fail(written, "%v", err)
				continue
			}
			pattern = name
		}
		rules = append(rules, DCVRule{Pattern: pattern, Profiles: sub.profiles(written, patterns[written], cfg)})
	}
	if len(patterns) == 0 {
		t.fail("dcv", "is empty; name a profile or leave it out for %q", BuiltinHTTP)
	}
	slices.SortStableFunc(rules, func(a, b DCVRule) int { return cmp.Compare(exactness(b.Pattern), exactness(a.Pattern)) })
	for i := 1; i < len(rules); i++ {
		if rules[i].Pattern == rules[i-1].Pattern {
			t.fail("dcv", "the pattern %s stands here twice, in two spellings", rules[i].Pattern)
		}
	}
	served := Certificate{DCV: rules}
	for _, d := range domains {
		if len(patterns) > 0 && served.Profiles(d) == nil && !slices.ContainsFunc(rules, func(r DCVRule) bool { return r.matches(d) }) {
			t.fail("dcv", "no pattern matches %s; add it, or \"*\" for all", d)
		}
	}
	return rules
}

// shared returns the rules of a certificate that has the same ones for all domains: most certificates do.
func (c *checker) shared(rules []DCVRule) []DCVRule {
	if len(rules[0].Profiles) != 1 {
		return rules
	}
	name := rules[0].Profiles[0]
	if c.rules[name] == nil {
		c.rules[name] = rules
	}
	return c.rules[name]
}

// exactness orders patterns: domains first, then suffixes from long to short, then "*".
func exactness(pattern string) int {
	switch {
	case pattern == "*":
		return 0
	case strings.HasPrefix(pattern, "*."):
		return len(pattern)
	default:
		return 1 << 16
	}
}

// profiles reads a name or a list of names of DCV profiles.
func (t *table) profiles(key string, v any, cfg *Config) []string {
	var names []string
	if list, isList := asList(v); isList {
		names = t.texts(key)
		if len(list) == 0 {
			t.fail(key, "is empty; name a DCV profile")
		}
	} else if s, isText := v.(string); isText {
		names = []string{s}
	} else {
		t.wrongType(key, "the name of a DCV profile, or a list of names", v)
	}
	var known []string
	for _, name := range names {
		if p, ok := cfg.DCV[name]; ok {
			if slices.Contains(known, name) {
				t.fail(key, "%q stands here twice", name)
			}
			known = append(known, p.Name)
		} else {
			t.failUnknown(key, "there is no DCV profile [dcv.%s]%s", name, didYouMean(name, sortedKeys(cfg.DCV)))
		}
	}
	return known
}
