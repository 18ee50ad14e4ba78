package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/certbridge/certbridged/internal/cert"
	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/internal/daemon"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/plugintest"
)

func (a *app) pluginsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "plugins", Short: "Show, describe, test and pin plugins"}
	list := a.pluginsListCommand()
	cmd.Args = cobra.NoArgs
	cmd.RunE = list.RunE
	cmd.AddCommand(list, a.pluginDescribeCommand(), a.pluginReleaseCommand(), a.pluginTestCommand(), a.pluginPinCommand())
	return cmd
}

func (a *app) pluginsListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the plugins and how they are", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(func(c *control.Client) error {
				list, err := c.Plugins(cmd.Context())
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(struct {
						Plugins []control.Plugin `json:"plugins"`
					}{orEmpty(list)})
				}
				if len(list) == 0 {
					a.printf("There are no plugins.\n")
					return nil
				}
				var rows [][]cell
				for _, p := range list {
					col := plain
					switch p.State {
					case "running":
						col = green
					case "refused", "quarantined", "backing-off":
						col = red
					}
					rows = append(rows, []cell{{text: p.File}, {text: p.Version}, {p.State, col}, {text: fmt.Sprint(p.Restarts)}, {text: strings.Join(p.Users, ", ")}, {text: p.Reason}})
				}
				a.table([]string{"FILE", "VERSION", "STATE", "RESTARTS", "USED BY", "REASON"}, rows)
				return nil
			})
		},
	}
}

func (a *app) pluginDescribeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "describe NAME", Short: "Say what a plugin is and which settings it takes",
		Long: "Say what a plugin is and which settings it takes. Where no daemon runs, the plugin is started for that.",
		Args: words(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := a.describePlugin(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(d)
			}
			a.printDescription(d)
			return nil
		},
	}
}

// describePlugin asks the daemon or, where none runs, the plugin itself: settings are written before the first start.
func (a *app) describePlugin(ctx context.Context, name string) (d control.PluginDescription, err error) {
	err = a.withClient(func(c *control.Client) error {
		d, err = c.DescribePlugin(ctx, name)
		return err
	})
	if control.KindOf(err) != control.NotRunning {
		return d, err
	}
	settings, err := config.LoadDaemon(a.configPath)
	if err != nil {
		return d, err
	}
	return daemon.DescribePlugin(ctx, settings, name)
}

func (a *app) printDescription(d control.PluginDescription) {
	money := ""
	if d.Plugin.Kind == "ca" {
		money = yesNo(d.OrdersCostMoney)
	}
	a.facts(pairs("plugin", d.Plugin.File, "version", d.Plugin.Version, "summary", d.Summary, "state", join(d.Plugin.State, d.Plugin.Reason),
		"SHA-256", d.Plugin.SHA256, "abilities", strings.Join(d.Abilities, ", "), "challenges", strings.Join(d.ChallengeTypes, ", "),
		"orders cost money", money))
	a.printSettings("Settings of the account or profile", d.Settings)
	a.printSettings("Order settings", d.OrderSettings)
}

func (a *app) printSettings(title string, list []control.Setting) {
	if len(list) == 0 {
		return
	}
	a.printf("\n%s\n", paint(a.out, bold, title))
	var rows [][]cell
	for _, s := range list {
		kind := s.Type
		if s.Secret {
			kind += ", secret"
		}
		if s.Required {
			kind += ", required"
		}
		def := ""
		if s.Default != nil {
			def = fmt.Sprint(s.Default)
		}
		help := s.Help
		if len(s.Allowed) > 0 {
			help += " One of " + strings.Trim(fmt.Sprint(s.Allowed), "[]") + "."
		}
		rows = append(rows, []cell{{text: s.Path}, {text: kind}, {text: def}, {text: help}})
	}
	a.table([]string{"KEY", "TYPE", "DEFAULT", "MEANING"}, rows)
}

func (a *app) pluginReleaseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "release NAME", Short: "End a plugin's quarantine", Args: words(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(func(c *control.Client) error { return c.ReleasePlugin(cmd.Context(), args[0]) })
		},
	}
}

func (a *app) pluginPinCommand() *cobra.Command {
	return &cobra.Command{
		Use: "pin FILE", Short: "Print the sha256 line that pins a plugin", Args: words(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return notFound(err)
			}
			defer f.Close()
			sum := sha256.New()
			if _, err := io.Copy(sum, f); err != nil {
				return fmt.Errorf("read %s: %w", args[0], err)
			}
			digest := hex.EncodeToString(sum.Sum(nil))
			if a.json {
				return a.printJSON(struct {
					File   string `json:"file"`
					SHA256 string `json:"sha256"`
				}{args[0], digest})
			}
			a.printf("sha256 = %q\n", digest)
			return nil
		},
	}
}

// notFound gives an error of the file system the exit code that fits.
func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &codeError{code: exitNotFound, err: err}
	}
	return err
}

func (a *app) pluginTestCommand() *cobra.Command {
	var account string
	var domains []string
	var spend bool
	cmd := &cobra.Command{
		Use: "test FILE", Short: "Run the conformance suite against a plugin",
		Long: `Run the conformance suite against a plugin's file. What needs settings is skipped unless --account names a CA
account or DCV profile of the configuration; with --domain certificates are ordered, up to ten. A plugin whose orders cost
money is not asked for any without --spend-money.`,
		Args: words(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := a.testOptions(args[0], account, domains)
			if err != nil {
				return err
			}
			options.SpendMoney = spend
			report := plugintest.Run(cmd.Context(), options)
			if a.json {
				err = a.printJSON(struct {
					OK bool `json:"ok"`
					plugintest.Report
				}{report.OK(), report})
			} else {
				err = report.Print(a.out)
			}
			if err == nil && !report.OK() {
				return &codeError{code: exitFailed}
			}
			return err
		},
	}
	cmd.Flags().StringVar(&account, "account", "", "take the settings of this CA account or DCV profile, by `name`")
	cmd.Flags().StringArrayVar(&domains, "domain", nil, "order certificates for this `name`; may be repeated")
	cmd.Flags().BoolVar(&spend, "spend-money", false, "place orders even when they cost money")
	return cmd
}

// testOptions finds the settings to test a plugin with.
func (a *app) testOptions(file, account string, domains []string) (plugintest.Options, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return plugintest.Options{}, fmt.Errorf("find %s: %w", file, err)
	}
	if _, err := os.Stat(path); err != nil {
		return plugintest.Options{}, notFound(fmt.Errorf("find the plugin's file: %w", err))
	}
	options := plugintest.Options{Path: path}
	for _, d := range domains {
		name, err := cert.NormalizeName(d)
		if err != nil {
			return options, usagef("--domain: %w", err)
		}
		identifier := pluginapi.Identifier{Value: name, Type: pluginapi.DNS}
		if _, err := netip.ParseAddr(name); err == nil {
			identifier.Type = pluginapi.IP
		}
		options.Identifiers = append(options.Identifiers, identifier)
	}
	if account == "" {
		return options, nil
	}
	cfg, err := config.Load(a.configPath, config.Options{})
	if err != nil {
		return options, err
	}
	dcv := strings.HasPrefix(filepath.Base(path), "dcv-")
	if ca, ok := cfg.CA[account]; ok && !dcv {
		options.Settings, options.OrderSettings = ca.Settings, ca.OrderDefaults
		return options, nil
	}
	if d, ok := cfg.DCV[account]; ok && d.Plugin != "" {
		options.Settings = d.Settings
		for name, value := range d.Env {
			options.Env = append(options.Env, name+"="+value.Reveal())
		}
		return options, nil
	}
	return options, &codeError{code: exitNotFound, err: fmt.Errorf("there is no CA account or DCV profile %q with a plugin in %s", account, cfg.Path)}
}
