package pluginhost

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const (
	maskText = "[secret]"
	// minSecret is the length below which a secret is not looked for: it would hit ordinary words.
	minSecret = 4
	// minEnv is the same for environment variables, which also hold plain words such as a zone or "true".
	minEnv = 8
	// maxSecrets bounds what is remembered of secrets in order settings.
	maxSecrets = 4096
)

// masker replaces an instance's secrets in text that goes to logs and errors. It is safe for concurrent use.
type masker struct {
	mu       sync.RWMutex
	words    map[string]bool
	replacer *strings.Replacer
	longest  int
}

func newMasker(settings pluginapi.Settings, env map[string]string) *masker {
	m := &masker{words: map[string]bool{}, replacer: strings.NewReplacer()}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, value := range env {
		m.learn(value, minEnv)
	}
	for _, secret := range settings.Secrets {
		m.learn(secret.Reveal(), minSecret)
	}
	m.build()
	return m
}

// add learns the secrets of a call, such as those in an order's settings.
func (m *masker) add(secrets map[string]pluginapi.Secret) {
	if len(secrets) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	before := len(m.words)
	for _, secret := range secrets {
		m.learn(secret.Reveal(), minSecret)
	}
	if len(m.words) != before {
		m.build()
	}
}

// learn notes a secret, the lines it has, and the spellings in which it shows up in addresses, JSON and headers.
func (m *masker) learn(secret string, least int) {
	pieces := []string{secret, strings.TrimSpace(secret)}
	if strings.ContainsAny(secret, "\r\n") {
		for line := range strings.Lines(secret) {
			if line = strings.TrimSpace(line); len(line) >= minEnv {
				pieces = append(pieces, line)
			}
		}
	}
	for _, piece := range pieces {
		if len(piece) < least || len(m.words) >= maxSecrets {
			continue
		}
		m.words[piece] = true
		m.words[url.QueryEscape(piece)] = true
		m.words[url.PathEscape(piece)] = true
		m.words[base64.StdEncoding.EncodeToString([]byte(piece))] = true
		if text, err := json.Marshal(piece); err == nil {
			m.words[strings.Trim(string(text), `"`)] = true
		}
	}
}

func (m *masker) build() {
	words := make([]string, 0, len(m.words))
	for word := range m.words {
		words = append(words, word)
	}
	// The replacer takes the first match in argument order: the longest first, so that no tail stays readable.
	slices.SortFunc(words, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b))
	})
	pairs := make([]string, 0, 2*len(words))
	m.longest = 0
	for _, word := range words {
		pairs = append(pairs, word, maskText)
		m.longest = max(m.longest, len(word))
	}
	m.replacer = strings.NewReplacer(pairs...)
}

// text returns s with every secret replaced.
func (m *masker) text(s string) string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.replacer.Replace(s)
}

// cut returns s masked, where s is the beginning of a longer text: what could be the beginning of a secret is dropped.
func (m *masker) cut(s string) string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.replacer.Replace(s[:max(0, len(s)-m.longest)])
}
