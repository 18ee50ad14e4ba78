package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/daemon"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// finding is something check found.
type finding struct {
	// Level is "error", "warning" or, online, "info": what a CA tells of an account.
	Level   string `json:"level"`
	File    string `json:"file"`
	Line    int    `json:"line"`
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
}

func (f finding) String() string {
	p := config.Problem{File: f.File, Line: f.Line, Path: f.Path, Message: f.Message}
	return f.Level + ": " + p.String()
}

const (
	levelError   = "error"
	levelWarning = "warning"
	levelInfo    = "info"
)

func (a *app) checkCommand() *cobra.Command {
	var online bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and name every mistake with file and line",
		Long: `Check the configuration and name every mistake with file and line: what is written, what this machine has, and what
the plugins say about their settings and those of orders. With --online the plugins also log in at their CAs, and what these
tell of the account is printed, too; nothing is ordered. The exit code is 3 when there is a mistake.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			found, sources, err := a.check(cmd.Context(), online)
			if err != nil {
				return err
			}
			return a.printFindings(found, sources)
		},
	}
	cmd.Flags().BoolVar(&online, "online", false, "let the plugins log in at their CAs; nothing is ordered")
	return cmd
}

// check returns what is wrong, and the files that were read when nothing hinders reading them.
func (a *app) check(ctx context.Context, online bool) ([]finding, []string, error) {
	cfg, err := config.Load(a.configPath, config.Options{})
	var mistakes *config.Errors
	if errors.As(err, &mistakes) {
		var found []finding
		for _, p := range mistakes.Problems {
			found = append(found, finding{levelError, p.File, p.Line, p.Path, p.Message})
		}
		return found, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	remarks, err := daemon.Check(ctx, cfg, daemon.CheckOptions{Online: online})
	if err != nil {
		return nil, nil, err
	}
	var found []finding
	for _, r := range remarks {
		level := levelWarning
		switch r.Severity {
		case pluginapi.Info:
			if !online {
				continue
			}
			level = levelInfo
		case pluginapi.Fault:
			level = levelError
		}
		found = append(found, finding{level, r.File, r.Line, r.Path, r.Message})
	}
	return found, cfg.Sources(), nil
}

// warned counts the warnings, so that they are not passed over beside "no mistakes".
func warned(found []finding) string {
	n := 0
	for _, f := range found {
		if f.Level == levelWarning {
			n++
		}
	}
	switch n {
	case 0:
		return ""
	case 1:
		return ", but 1 warning"
	default:
		return fmt.Sprintf(", but %d warnings", n)
	}
}

func (a *app) printFindings(found []finding, sources []string) error {
	mistakes := 0
	for _, f := range found {
		if f.Level == levelError {
			mistakes++
		}
	}
	switch {
	case a.json:
		report := struct {
			OK       bool      `json:"ok"`
			Sources  []string  `json:"sources"`
			Findings []finding `json:"findings"`
		}{mistakes == 0, orEmpty(sources), orEmpty(found)}
		if err := a.printJSON(report); err != nil {
			return err
		}
	default:
		for _, f := range found {
			col := map[string]colour{levelError: red, levelWarning: yellow, levelInfo: plain}[f.Level]
			a.printf("%s\n", paint(a.out, col, safe(f.String())))
		}
		if mistakes == 0 {
			a.printf("%s: %s\n", paint(a.out, green, "no mistakes"+warned(found)), strings.Join(sources, ", "))
		}
	}
	if mistakes > 0 {
		return &codeError{code: exitConfig}
	}
	return nil
}
