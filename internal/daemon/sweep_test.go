package daemon

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/certbridge/certbridged/internal/certstore"
	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/schedule"
)

// A sweep evaluates what has changed and what waits for something, and lets the rest alone.
func TestSweepEvaluatesWhatItMust(t *testing.T) {
	dir := t.TempDir()
	var certs []config.Certificate
	for _, name := range []string{"same", "changed", "gone", "waits", "new"} {
		certs = append(certs, config.Certificate{Name: name, Files: []config.File{{Form: config.Combined, Path: filepath.Join(dir, name+".pem")}}})
	}
	c := config.Of(certs...)
	store := certstore.Open(nil, slog.New(slog.DiscardHandler)) // nothing is installed
	watcher, err := certstore.NewWatcher(certstore.WatcherOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = watcher.Close() }()
	d := &Daemon{
		timer: schedule.NewTimer(), known: map[string]*standing{}, loaded: func() {}, store: store, watcher: watcher,
		lanes: newLanes(t.Context()), metrics: newMetrics(prometheus.NewRegistry()),
	}
	d.setup.Store(&setup{config: c})

	long, later := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	for i, crt := range certs {
		path := crt.Files[0].Path
		if err := os.WriteFile(path, fmt.Append(nil, i), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, long, long); err != nil {
			t.Fatal(err)
		}
		if crt.Name == "new" {
			continue
		}
		d.look(crt)
		if crt.Name != "waits" {
			d.timer.Set(evaluateKey+crt.Name, later)
			d.timer.Set(windowKey+crt.Name, later)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "changed.pem"), []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "gone.pem")); err != nil {
		t.Fatal(err)
	}

	d.sweep()
	if err := d.lanes.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, now := range map[string]bool{"same": false, "changed": true, "gone": true, "waits": true, "new": true} {
		due := d.timer.Due(evaluateKey + name)
		if due.IsZero() || due.Before(later.Add(-time.Minute)) != now {
			t.Errorf("%s is evaluated at %v", name, due)
		}
	}
	if d.timer.Due(sweepKey).IsZero() {
		t.Error("there is no next sweep")
	}
	if testutil.ToFloat64(d.metrics.sweepTook) <= 0 {
		t.Error("how long it took is not told")
	}
}
