package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sys/unix"

	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/control"
)

// startParts starts what runs beside the work: watching files, the plugin folder and the configuration, the control
// socket, metrics, and the timer. A part that cannot be started stops the daemon before it is ready.
func (d *Daemon) startParts(ctx context.Context, start func(string, func(context.Context) error)) error {
	c := d.setup.Load().config.Daemon
	if err := d.startWatching(start); err != nil {
		return err
	}
	if err := d.startMetrics(ctx, c, start); err != nil {
		return err
	}
	l, err := control.Listen(ctx, c.ControlSocket)
	if err != nil {
		return err
	}
	start("control socket", func(ctx context.Context) error { return d.server.Serve(ctx, l) })
	start("plugin folder", d.host.Run)
	start("timer", func(ctx context.Context) error {
		d.timer.Run(ctx, d.fire)
		return nil
	})
	return nil
}

// startMetrics serves Prometheus where the configuration says.
func (d *Daemon) startMetrics(ctx context.Context, c config.Daemon, start func(string, func(context.Context) error)) error {
	if c.MetricsListen == "" {
		return nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", c.MetricsListen)
	if err != nil {
		return fmt.Errorf("metrics_listen %s: %w", c.MetricsListen, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(d.registry, promhttp.HandlerOpts{Registry: d.registry}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute}
	start("metrics", func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // Serve returns ErrServerClosed
		defer stop()
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return nil
}

// envName makes an environment variable's name of a form's: "key-der" becomes "KEY_DER".
func envName(form string) string { return strings.ToUpper(strings.ReplaceAll(form, "-", "_")) }

// serverName is the name to ask a server for: the first one, with a host in the place of a wildcard.
func serverName(names []string) string {
	if len(names) == 0 {
		return ""
	}
	if rest, ok := strings.CutPrefix(names[0], "*."); ok {
		return "www." + rest
	}
	return names[0]
}

// monotonic is the machine's monotonic clock in microseconds, as sd_notify(3) wants it at a reload.
func monotonic() string {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return "0"
	}
	return strconv.FormatInt(ts.Nano()/1000, 10)
}
