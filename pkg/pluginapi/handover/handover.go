// Package handover has the settings of domain control plugins that hand challenges over to somebody else, such as a program, a
// service or a name server: what that one can publish, and how long it may take.
package handover

import (
	"errors"
	"fmt"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// The words of the setting "publishes".
const (
	txt   = "txt"
	cname = "cname"
	file  = "file"
)

// Publishes is the setting "publishes": what whoever gets the challenges can publish, TXT records where it is left out. who
// is how the help names it: "the program".
func Publishes(who string) pluginapi.Field {
	return pluginapi.Field{
		Name: "publishes", Type: pluginapi.List, Default: []any{txt},
		Element: &pluginapi.Field{Type: pluginapi.String, Allowed: []any{txt, cname, file}},
		Help:    "What " + who + " can publish: TXT records, CNAME records, files.",
	}
}

// Abilities are what the setting "publishes" stands for. Who publishes any record or file publishes ACME's own as well. nil
// is a setting that is left out; an error is for the setting's finding.
func Abilities(publishes []string) ([]pluginapi.PublishAbility, error) {
	if publishes == nil {
		publishes = []string{txt}
	}
	if len(publishes) == 0 {
		return nil, errors.New("is empty: the profile would publish nothing")
	}
	var list []pluginapi.PublishAbility
	for _, word := range publishes {
		switch word {
		case txt:
			list = append(list, pluginapi.PublishTXT, pluginapi.PublishACMEDNS)
		case cname:
			list = append(list, pluginapi.PublishCNAME)
		case file:
			list = append(list, pluginapi.PublishFile, pluginapi.PublishACMEHTTP)
		default:
			return nil, fmt.Errorf("%q is none of %s, %s and %s", word, txt, cname, file)
		}
	}
	return list, nil
}

// Timeout is the setting "timeout": how long whoever gets a challenge may take.
type Timeout struct {
	// Default is the length as text, as TOML has it.
	Default     string
	Least, Most time.Duration
}

// Field is the setting.
func (t Timeout) Field(help string) pluginapi.Field {
	return pluginapi.Field{Name: "timeout", Type: pluginapi.Duration, Default: t.Default, Help: help}
}

// Read returns the length that is written; empty text is the default. An error is for the setting's finding.
func (t Timeout) Read(text string) (time.Duration, error) {
	if text == "" {
		text = t.Default
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < t.Least || d > t.Most {
		return 0, fmt.Errorf("must be between %s and %s", t.Least, t.Most)
	}
	return d, nil
}
