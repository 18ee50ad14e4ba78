package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/control"
)

// The exit codes, for scripts. They are part of the command line's contract.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitConfig      = 3
	exitUnreachable = 4
	exitNotAllowed  = 5
	exitNotFound    = 6
	exitPerson      = 7
)

const exitHelp = `Exit codes:
  0  done
  1  failed
  2  wrong usage
  3  the configuration has mistakes
  4  no daemon answers
  5  not allowed
  6  no such certificate, order or plugin
  7  a person must act first`

// codeError is an error with an exit code of its own. Without an error nothing is printed: all has been said.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *codeError) Unwrap() error { return e.err }

// exitCode is the code of an error.
func exitCode(err error) int {
	var own *codeError
	var mistakes *config.Errors
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &own):
		return own.code
	case errors.As(err, &mistakes):
		return exitConfig
	}
	switch control.KindOf(err) {
	case control.Invalid:
		return exitUsage
	case control.BadConfiguration:
		return exitConfig
	case control.NotRunning:
		return exitUnreachable
	case control.NotAllowed:
		return exitNotAllowed
	case control.NotFound:
		return exitNotFound
	case control.NeedsPerson:
		return exitPerson
	default:
		return exitFailed
	}
}

// streams are where the program reads and prints.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// app is what all commands share.
type app struct {
	streams
	configPath string
	socket     string
	json       bool
	// begun: flags and arguments were right, so that an error from here on is not about usage.
	begun bool
}

// execute runs a command line and returns its exit code.
func execute(ctx context.Context, args []string, s streams) int {
	a := &app{streams: s}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if !a.begun {
		fmt.Fprintf(s.err, "certbridged: %v\nSee '%s --help'.\n", err, cmd.CommandPath())
		return exitUsage
	}
	var own *codeError
	var mistakes *config.Errors
	switch {
	case errors.As(err, &mistakes):
		fmt.Fprintf(s.err, "certbridged: the configuration has mistakes:\n%s\n", safe(mistakes.Error()))
	case !errors.As(err, &own) || own.err != nil:
		fmt.Fprintf(s.err, "certbridged: %s\n", safe(err.Error()))
	}
	return exitCode(err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "certbridged",
		Short: "The certificate daemon for CAs that send an invoice",
		Long: `certbridged watches certificate files, renews them before they expire through the CA you pay, and makes sure the
server serves the new ones. "certbridged run" is the daemon; the other commands talk to it or look at files.

` + exitHelp,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(*cobra.Command, []string) error { a.begun = true; return nil },
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
	}
	path := os.Getenv("CERTBRIDGED_CONFIG")
	if path == "" {
		path = config.DefaultPath
	}
	flags := root.PersistentFlags()
	flags.StringVarP(&a.configPath, "config", "c", path, "main configuration `file` (environment: CERTBRIDGED_CONFIG)")
	flags.StringVar(&a.socket, "socket", "", "control socket `path`, instead of the configuration's")
	flags.BoolVar(&a.json, "json", false, "print JSON, with field names that stay")
	if err := root.MarkPersistentFlagFilename("config", "toml"); err != nil {
		panic(err) // the flag is defined two lines above
	}
	root.AddCommand(
		a.runCommand(), a.checkCommand(), a.statusCommand(), a.explainCommand(), a.renewCommand(), a.deployCommand(),
		a.ordersCommand(), a.revokeCommand(), a.pluginsCommand(), a.dcvCommand(), a.adoptCommand(), a.planCommand(), a.eventsCommand(),
		a.reloadCommand(), a.versionCommand(),
	)
	return root
}

// words says how many words a command takes after its own. Where they are too few or too many, the error shows which.
func words(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if least <= len(args) && len(args) <= most {
			return nil
		}
		return fmt.Errorf("write: %s", cmd.UseLine())
	}
}

// withClient calls do with a client of the daemon.
func (a *app) withClient(do func(c *control.Client) error) (err error) {
	socket := a.socket
	if socket == "" {
		d, err := config.LoadDaemon(a.configPath)
		if err != nil {
			return err
		}
		socket = d.ControlSocket
	}
	c, err := control.NewClient(socket)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return do(c)
}

// completeCertificates completes the name of a certificate.
func (a *app) completeCertificates(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	cfg, err := config.Load(a.configPath, config.Options{SkipSecrets: true})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for n := range cfg.Len() {
		names = append(names, cfg.Name(n))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
