// Command certbridge-sandbox runs strict stand-ins for commercial CAs, to rehearse a configuration without spending money.
//
// Its certificates are worth nothing. Exit codes: 0 done, 1 failed, 2 wrong usage.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker: -ldflags "-X main.version=...".
var version = "devel"

func main() { os.Exit(mainCode()) }

// mainCode runs the program and returns its exit code.
func mainCode() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	return execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
}

const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// app is what the commands share.
type app struct {
	out, err io.Writer
	// begun: flags and arguments were right, so that an error from here on is not about usage.
	begun bool
}

func execute(ctx context.Context, args []string, out, errOut io.Writer) int {
	a := &app{out: out, err: errOut}
	root := &cobra.Command{
		Use:   "certbridge-sandbox",
		Short: "Stand-ins for commercial CAs, to rehearse without spending money",
		Long: `certbridge-sandbox answers in a CA's place: it checks every request as strictly as the CA's documentation allows, looks
at domain control over DNS and HTTP, counts what would have been bought, and issues certificates that are worth nothing.`,
		SilenceErrors: true, SilenceUsage: true, Version: version,
		PersistentPreRunE: func(*cobra.Command, []string) error { a.begun = true; return nil },
	}
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	root.AddCommand(a.digicertCommand())
	root.AddCommand(a.servertasticCommand())
	root.AddCommand(a.tencentCommand())
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return exitOK
	case !a.begun:
		fmt.Fprintf(errOut, "certbridge-sandbox: %v\nSee '%s --help'.\n", err, cmd.CommandPath())
		return exitUsage
	default:
		fmt.Fprintf(errOut, "certbridge-sandbox: %v\n", err)
		return exitFailed
	}
}
