package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
	sddaemon "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/daemon"
)

func (a *app) runCommand() *cobra.Command {
	var level, format string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the daemon in the foreground",
		Long: `Run the daemon in the foreground. SIGTERM and SIGINT end it in good order, a second one at once; SIGHUP makes it read its
configuration again. Under systemd it tells when it is ready, answers the watchdog, and takes a socket for HTTP challenges.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := a.daemonLogger(level, format)
			if err != nil {
				return err
			}
			return a.runDaemon(cmd.Context(), log)
		},
	}
	cmd.Flags().StringVar(&level, "log-level", "", "`level` instead of the configuration's: debug, info, warn, error")
	cmd.Flags().StringVar(&format, "log-format", "", "`format` instead of the configuration's: auto, text, json")
	return cmd
}

// daemonLogger makes the log that flags or else the configuration want.
func (a *app) daemonLogger(level, format string) (*slog.Logger, error) {
	d, err := config.LoadDaemon(a.configPath)
	if err != nil {
		// All mistakes are wanted, not those of one table alone.
		_, all := config.Load(a.configPath, config.Options{})
		return nil, errors.Join(all)
	}
	if level != "" {
		if err := d.LogLevel.UnmarshalText([]byte(level)); err != nil {
			return nil, usagef("--log-level %q is none of debug, info, warn, error", level)
		}
	}
	switch f := config.LogFormat(format); f {
	case "":
	case config.LogAuto, config.LogText, config.LogJSON:
		d.LogFormat = f
	default:
		return nil, usagef("--log-format %q is none of auto, text, json", format)
	}
	return newLogger(a.err, d.LogFormat, d.LogLevel), nil
}

func (a *app) runDaemon(ctx context.Context, log *slog.Logger) error {
	if err := daemon.HideProcess(); err != nil {
		log.Warn("plugins of the daemon's user could look into the daemon", "error", err)
	}
	listener, err := challengeListener()
	if err != nil {
		return err
	}
	watchdog, err := sddaemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("read the watchdog's interval: %w", err)
	}
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	d, err := daemon.New(ctx, daemon.Options{
		ConfigPath: a.configPath, Version: versionText(), Logger: log, HTTPListener: listener,
		// Half the interval, so that one late sign of life is not the end.
		WatchdogEvery: watchdog / 2,
		Notify: func(state string) {
			if _, err := sddaemon.SdNotify(false, state); err != nil {
				log.Warn("could not tell the service manager", "state", state, "error", err)
			}
		},
	})
	if err != nil {
		return err
	}
	return d.Run(ctx, reload)
}

// challengeListener returns the socket that the service manager handed over, nil when it did not.
func challengeListener() (net.Listener, error) {
	listeners, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("take sockets from the service manager: %w", err)
	}
	var taken net.Listener
	for _, l := range listeners {
		switch {
		case l == nil: // not a stream socket
		case taken == nil:
			taken = l
		default:
			l.Close()
			err = errors.New("the service manager hands over more than one socket; certbridged takes one, for HTTP challenges")
		}
	}
	if err != nil && taken != nil {
		taken.Close()
		taken = nil
	}
	return taken, err
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if a.json {
				return a.printJSON(struct {
					Version string `json:"version"`
				}{versionText()})
			}
			a.printf("certbridged %s\n", versionText())
			return nil
		},
	}
}

// versionText is the linker's version, or the commit where there is none.
func versionText() string {
	info, ok := debug.ReadBuildInfo()
	if version != "devel" || !ok {
		return version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return version + "-" + s.Value[:12]
		}
	}
	return version
}
