package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/certbridge/certbridged/internal/control"
)

// Folder is a daemon's world: its configuration, its state, the certificate files. It outlives the daemon's processes.
type Folder struct {
	Dir string
	// Binary is the daemon, Plugins the folder of its plugins.
	Binary, Plugins string
	// Env is what the daemon's environment holds beside the necessary.
	Env []string
	// KeepLog lets the daemon's log be kept in the folder, as daemon.log.
	KeepLog bool
}

// NewFolder makes a folder below base, which must be on a real disk: what durability costs is part of the measurement.
func NewFolder(base, binary, plugins string) (*Folder, error) {
	if err := spread(base); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(base, "w")
	if err != nil {
		return nil, err
	}
	f := &Folder{Dir: dir, Binary: binary, Plugins: plugins}
	for _, name := range []string{"tls", "conf.d", "state", "run"} {
		if err := os.Mkdir(f.Path(name), 0o700); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
	return f, nil
}

// Remove removes the folder.
func (f *Folder) Remove() error { return os.RemoveAll(f.Dir) }

// Path is a path below the folder.
func (f *Folder) Path(parts ...string) string {
	return filepath.Join(append([]string{f.Dir}, parts...)...)
}

// DaemonTable is the [daemon] table; more are further keys of it.
func (f *Folder) DaemonTable(more ...string) string {
	return fmt.Sprintf(`[daemon]
state_dir = "state"
plugin_dir = %q
control_socket = "run/c.sock"
log_format = "json"
%s
`, f.Plugins, strings.Join(more, "\n"))
}

// Configure writes the main file.
func (f *Folder) Configure(text string) error {
	return os.WriteFile(f.Path("config.toml"), []byte(text), 0o600)
}

// Certificate is a certificate to be managed.
type Certificate struct {
	Name, Domain, CA string
	// DCV is its profile; empty for none.
	DCV string
	// Reload is its reload command; empty for none.
	Reload []string
}

// Name is how the benchmark calls its nth certificate.
func Name(n int) string { return fmt.Sprintf("c%06d", n) }

// text is its file in conf.d, one for each managed certificate as the manual says.
func (c Certificate) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "[[certificate]]\nname = %q\ndomains = [%q]\nca = %q\nkey = \"ecdsa-p256\"\n", c.Name, c.Domain, c.CA)
	if c.DCV != "" {
		fmt.Fprintf(&b, "dcv = %q\n", c.DCV)
	}
	fmt.Fprintf(&b, "[certificate.files]\nfullchain = \"tls/%s.pem\"\nkey = \"tls/%s.key\"\n", c.Name, c.Name)
	if len(c.Reload) > 0 {
		quoted := make([]string, len(c.Reload))
		for i, word := range c.Reload {
			quoted[i] = fmt.Sprintf("%q", word)
		}
		fmt.Fprintf(&b, "[certificate.deploy]\nreload = [%s]\ntimeout = \"10m\"\n", strings.Join(quoted, ", "))
	}
	return b.String()
}

// Manage writes the configuration of certificates, each in a file of its own.
func (f *Folder) Manage(list []Certificate) error {
	return inParallel(len(list), func(n int) error {
		return os.WriteFile(f.Path("conf.d", list[n].Name+".toml"), []byte(list[n].text()), 0o600)
	})
}

// Client speaks to the daemon by its control socket.
func (f *Folder) Client() (*control.Client, error) { return control.NewClient(f.Path("run/c.sock")) }

// inParallel calls do with 0 to n-1 and returns the first errors.
func inParallel(n int, do func(int) error) error {
	workers := 2 * runtime.NumCPU()
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n && errs[w] == nil; i += workers {
				errs[w] = do(i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
