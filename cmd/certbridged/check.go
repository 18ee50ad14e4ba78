package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/certbridge/certbridged/internal/config"
)

// finding is something check found.
type finding struct {
	// Level is "error" or "warning".
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
)

func (a *app) checkCommand() *cobra.Command {
	var online bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and name every mistake with file and line",
		Long: `Check the configuration and name every mistake with file and line: what is written, what this machine has, and what
the plugins say about their settings. With --online the plugins also log in at their CAs; nothing is ordered. The exit
code is 3 when there is a mistake.`,
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
	c := &checkup{cfg: cfg}
	for _, p := range cfg.Warnings {
		c.found = append(c.found, finding{levelWarning, p.File, p.Line, p.Path, p.Message})
	}
	c.machine()
	if err := c.plugins(ctx, online); err != nil {
		return nil, nil, err
	}
	slices.SortStableFunc(c.found, func(x, y finding) int {
		return cmp.Or(cmp.Compare(slices.Index(cfg.Sources, x.File), slices.Index(cfg.Sources, y.File)), cmp.Compare(x.Line, y.Line))
	})
	return c.found, cfg.Sources, nil
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
			col := yellow
			if f.Level == levelError {
				col = red
			}
			a.printf("%s\n", paint(a.out, col, safe(f.String())))
		}
		if mistakes == 0 {
			a.printf("%s: %s\n", paint(a.out, green, "no mistakes"), strings.Join(sources, ", "))
		}
	}
	if mistakes > 0 {
		return &codeError{code: exitConfig}
	}
	return nil
}

// checkup looks at what a configuration that can be read says about this machine.
type checkup struct {
	cfg   *config.Config
	found []finding
}

func (c *checkup) note(level string, path []string, format string, args ...any) {
	file, line := c.cfg.Position(path...)
	c.found = append(c.found, finding{level, file, line, strings.Join(path, "."), fmt.Sprintf(format, args...)})
}

// machine looks at users, groups, folders and commands. They are warnings: they may come later than the configuration.
func (c *checkup) machine() {
	if g := c.cfg.Daemon.ControlGroup; g != "" && !groupExists(g) {
		c.note(levelError, []string{"daemon", "control_group"}, "there is no group %q on this machine", g)
	}
	c.folder([]string{"daemon", "plugin_dir"}, c.cfg.Daemon.PluginDir)
	for _, name := range sortedKeys(c.cfg.DCV) {
		if d := c.cfg.DCV[name]; d.Webroot != "" {
			c.folder([]string{"dcv", name, "webroot"}, d.Webroot)
		}
	}
	for _, crt := range c.cfg.Certificates {
		at := []string{"certificate", crt.Name}
		for _, f := range crt.Files {
			c.file(append(at[:2:2], "files", strings.ReplaceAll(string(f.Form), "-", "_")), f)
		}
		c.command(append(at[:2:2], "deploy", "check"), crt.Deploy.Check)
		c.command(append(at[:2:2], "deploy", "reload"), crt.Deploy.Reload)
	}
}

func (c *checkup) folder(path []string, dir string) {
	if info, err := os.Stat(dir); err != nil {
		c.note(levelWarning, path, "%v", err)
	} else if !info.IsDir() {
		c.note(levelWarning, path, "%s is not a folder", dir)
	}
}

func (c *checkup) file(path []string, f config.File) {
	c.folder(path, filepath.Dir(f.Path))
	if f.Owner != "" && !userExists(f.Owner) {
		c.note(levelWarning, append(path, "owner"), "there is no user %q on this machine", f.Owner)
	}
	if f.Group != "" && !groupExists(f.Group) {
		c.note(levelWarning, append(path, "group"), "there is no group %q on this machine", f.Group)
	}
}

// command looks for a command where the daemon would find it.
func (c *checkup) command(path, words []string) {
	if len(words) == 0 {
		return
	}
	if !executable(words[0]) {
		c.note(levelWarning, path, "there is no command %q", words[0])
	}
}

func executable(name string) bool {
	dirs := []string{""}
	if !strings.ContainsRune(name, '/') {
		dirs = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}
	}
	return slices.ContainsFunc(dirs, func(dir string) bool {
		info, err := os.Stat(filepath.Join(dir, name))
		return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
	})
}

func userExists(name string) bool {
	_, err := user.Lookup(name)
	return err == nil || isNumber(name)
}

func groupExists(name string) bool {
	_, err := user.LookupGroup(name)
	return err == nil || isNumber(name)
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 32)
	return err == nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
