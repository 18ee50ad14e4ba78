package publisher

import (
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
)

const (
	maskText = "[secret]"
	// minSecret is the length below which a secret is not looked for: it would hit ordinary words.
	minSecret = 4
	// maxSecretFile bounds what is read of a file that a variable names.
	maxSecretFile = 64 << 10
)

// mask takes credentials out of what providers say: some put a whole URL into an error, with the token in it.
type mask struct{ replacer *strings.Replacer }

// maskOf learns the credentials in an environment: the variables whose name says so, and the files that such variables
// name (lego reads NAME_FILE in place of NAME), of which the daemon knows nothing.
func maskOf(environ []string) mask {
	words := map[string]bool{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !isCredential(name) {
			continue
		}
		if strings.HasSuffix(name, "_FILE") {
			value = contentOf(value)
		}
		if value = strings.TrimSpace(value); len(value) < minSecret {
			continue
		}
		words[value], words[url.QueryEscape(value)], words[url.PathEscape(value)] = true, true, true
	}
	var pairs []string
	longest := func(a, b string) int { return len(b) - len(a) }
	for _, word := range slices.SortedFunc(maps.Keys(words), longest) {
		pairs = append(pairs, word, maskText)
	}
	return mask{strings.NewReplacer(pairs...)}
}

func isCredential(name string) bool {
	for _, part := range []string{"KEY", "SECRET", "TOKEN", "PASS", "CREDENTIAL", "AUTH", "PIN"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

func contentOf(path string) string {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxSecretFile {
		return ""
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "" // lego cannot read it either, and says so
	}
	return string(content)
}

func (m mask) text(s string) string {
	if m.replacer == nil {
		return s
	}
	return m.replacer.Replace(s)
}

// logger is lego's log: it goes the way of all of the plugin's lines.
type logger struct{ mask mask }

// Print implements lego's log.StdLogger.
func (l logger) Print(args ...any) { l.line(fmt.Sprint(args...)) }

// Println implements lego's log.StdLogger.
func (l logger) Println(args ...any) { l.line(fmt.Sprintln(args...)) }

// Printf implements lego's log.StdLogger.
func (l logger) Printf(format string, args ...any) { l.line(fmt.Sprintf(format, args...)) }

// Fatal implements lego's log.StdLogger. None of lego's providers calls it; if one did, its call would fail, and no other.
func (l logger) Fatal(args ...any) { panic(l.mask.text(fmt.Sprint(args...))) }

// Fatalln implements lego's log.StdLogger.
func (l logger) Fatalln(args ...any) { panic(l.mask.text(fmt.Sprintln(args...))) }

// Fatalf implements lego's log.StdLogger.
func (l logger) Fatalf(format string, args ...any) { panic(l.mask.text(fmt.Sprintf(format, args...))) }

func (l logger) line(text string) {
	text = strings.TrimSpace(l.mask.text(text))
	if words, warning := strings.CutPrefix(text, "[WARN] "); warning {
		slog.Warn("lego", "says", words)
		return
	}
	slog.Info("lego", "says", strings.TrimPrefix(text, "[INFO] "))
}
