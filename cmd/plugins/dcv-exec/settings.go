package main

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const (
	defaultTimeout = time.Minute
	leastTimeout   = time.Second
	mostTimeout    = 30 * time.Minute
)

// What a program can say that it publishes.
const (
	publishesTXT   = "txt"
	publishesCNAME = "cname"
	publishesFile  = "file"
)

func schema() []pluginapi.Field {
	return []pluginapi.Field{
		{
			Name: "command", Type: pluginapi.List, Required: true, Element: &pluginapi.Field{Type: pluginapi.String},
			Help: "The program, by its absolute path or as a name in PATH, and its first arguments; no shell reads them.",
		},
		{
			Name: "publishes", Type: pluginapi.List, Default: []any{publishesTXT},
			Element: &pluginapi.Field{Type: pluginapi.String, Allowed: []any{publishesTXT, publishesCNAME, publishesFile}},
			Help:    "What the program can publish: TXT records, CNAME records, files.",
		},
		{Name: "timeout", Type: pluginapi.Duration, Default: "1m", Help: "How long one run may take; then it is stopped with all that it started."},
	}
}

// written are [dcv.NAME.settings] as written.
type written struct {
	Command   []string `json:"command"`
	Publishes []string `json:"publishes"`
	Timeout   string   `json:"timeout"`
}

// settings are what the profile says, checked.
type settings struct {
	command   []string
	timeout   time.Duration
	abilities []pluginapi.PublishAbility
}

// readSettings returns what is wrong as findings; there is nothing to use when there are any.
func readSettings(s pluginapi.Settings) (settings, []pluginapi.Finding) {
	findings := pluginapi.CheckSettings(schema(), s)
	if len(findings) > 0 {
		return settings{}, findings
	}
	var w written
	if err := s.Decode(&w); err != nil {
		return settings{}, []pluginapi.Finding{pluginapi.Faultf(pluginapi.FieldOf(err), "%v", err)}
	}
	out := settings{command: w.Command, timeout: defaultTimeout}
	if err := checkCommand(w.Command); err != nil {
		findings = append(findings, pluginapi.Faultf("command", "%v", err))
	}
	if _, given := s.Values["publishes"]; !given {
		w.Publishes = []string{publishesTXT}
	}
	if len(w.Publishes) == 0 {
		findings = append(findings, pluginapi.Faultf("publishes", "is empty: the profile would publish nothing"))
	}
	out.abilities = abilities(w.Publishes)
	if w.Timeout != "" {
		var err error
		if out.timeout, err = time.ParseDuration(w.Timeout); err != nil || out.timeout < leastTimeout || out.timeout > mostTimeout {
			findings = append(findings, pluginapi.Faultf("timeout", "must be between %s and %s", leastTimeout, mostTimeout))
		}
	}
	return out, findings
}

// checkCommand finds out now what would otherwise fail when a certificate is about to expire.
func checkCommand(argv []string) error {
	if len(argv) == 0 || argv[0] == "" {
		return errors.New("is empty: give the program and its arguments")
	}
	for _, arg := range argv {
		if strings.ContainsRune(arg, 0) {
			return errors.New("holds a zero byte")
		}
	}
	if strings.Contains(argv[0], "/") && !filepath.IsAbs(argv[0]) {
		return fmt.Errorf("%s is a relative path: give the whole one", argv[0])
	}
	if _, err := exec.LookPath(argv[0]); err != nil {
		return fmt.Errorf("cannot be run: %w", err)
	}
	return nil
}

// abilities are what the words of publishes stand for. Who publishes any record publishes ACME's own as well.
func abilities(words []string) []pluginapi.PublishAbility {
	var list []pluginapi.PublishAbility
	for _, word := range words {
		switch word {
		case publishesTXT:
			list = append(list, pluginapi.PublishTXT, pluginapi.PublishACMEDNS)
		case publishesCNAME:
			list = append(list, pluginapi.PublishCNAME)
		case publishesFile:
			list = append(list, pluginapi.PublishFile, pluginapi.PublishACMEHTTP)
		}
	}
	return list
}
