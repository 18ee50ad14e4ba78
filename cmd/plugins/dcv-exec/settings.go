package main

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/handover"
)

// timeout is how long one run may take.
func timeout() handover.Timeout {
	return handover.Timeout{Default: "1m", Least: time.Second, Most: 30 * time.Minute}
}

func schema() []pluginapi.Field {
	return []pluginapi.Field{
		{
			Name: "command", Type: pluginapi.List, Required: true, Element: &pluginapi.Field{Type: pluginapi.String},
			Help: "The program, by its absolute path or as a name in PATH, and its first arguments; no shell reads them.",
		},
		handover.Publishes("the program"),
		timeout().Field("How long one run may take; then it is stopped with all that it started."),
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
	var w written
	findings := s.Read(schema(), &w)
	if len(findings) > 0 {
		return settings{}, findings
	}
	out := settings{command: w.Command}
	if err := checkCommand(w.Command); err != nil {
		findings = append(findings, pluginapi.Faultf("command", "%v", err))
	}
	var err error
	if out.abilities, err = handover.Abilities(w.Publishes); err != nil {
		findings = append(findings, pluginapi.Faultf("publishes", "%v", err))
	}
	if out.timeout, err = timeout().Read(w.Timeout); err != nil {
		findings = append(findings, pluginapi.Faultf("timeout", "%v", err))
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
