package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"text/template"
	"time"
)

// The configuration that is laid out; a person who wonders what to write reads these.
//
//go:embed config.toml.tmpl
var configText string

//go:embed shop.toml.tmpl
var shopText string

// layout is the folder of the demonstration.
type layout struct {
	options
	self      string // this program
	pluginDir string // where the daemon loads plugins from
	socketDir string // of the control socket, and beside it those of plugins
	web       string // address of the web server
}

// socketRoom is how long the folder of sockets may be: a unix socket's path has 107 bytes at most (unix(7)), and the
// daemon puts "/plugins/plugin-dir4294967295/plugin4294967295" after it.
const socketRoom = 107 - len("/plugins/plugin-dir4294967295/plugin4294967295")

func newLayout(o options) (*layout, error) {
	l := &layout{options: o}
	var err error
	if l.self, err = os.Executable(); err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	for _, dir := range []string{"", "conf.d", "tls"} {
		if err := makeFolder(l.path(dir), 0o755); err != nil {
			return nil, err
		}
	}
	// The real path, since a link on the way would be judged too.
	if l.dir, err = filepath.EvalSymlinks(l.dir); err != nil {
		return nil, fmt.Errorf("find the folder: %w", err)
	}
	if err := l.choosePlugins(); err != nil {
		return nil, err
	}
	return l, l.chooseSockets()
}

func (l *layout) path(name string) string { return filepath.Join(l.dir, name) }

// choosePlugins finds a place that the daemon loads plugins from: nobody else may be able to put a program there.
func (l *layout) choosePlugins() error {
	l.pluginDir = l.path("plugins")
	why := untrusted(l.dir)
	if why == nil {
		return makeFolder(l.pluginDir, 0o755)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return fmt.Errorf("the daemon would load no plugin from %s: %w; move the checkout, or give --dir a folder that only you can write", l.dir, why)
	}
	l.pluginDir = filepath.Join(cache, "certbridged-demo-"+l.mark(), "plugins")
	if err := makeFolder(l.pluginDir, 0o700); err != nil {
		return err
	}
	if other := untrusted(l.pluginDir); other != nil {
		return fmt.Errorf("the daemon would load no plugin from %s (%w) nor from %s (%w): run chmod go-w on the folder that is named, or give --dir a folder that only you can write",
			l.dir, why, l.pluginDir, other)
	}
	return nil
}

// chooseSockets finds a place for sockets whose path is short enough and that nobody else can write.
func (l *layout) chooseSockets() error {
	l.socketDir = l.path("sockets")
	if len(l.socketDir) > socketRoom || untrusted(l.dir) != nil {
		l.socketDir = filepath.Join(os.TempDir(), "certbridged-demo-"+strconv.Itoa(os.Getuid())+"-"+l.mark())
	}
	if len(l.socketDir) > socketRoom {
		return fmt.Errorf("%s is too long a path for sockets, which leave room for %d bytes; set TMPDIR to a shorter one", l.socketDir, socketRoom)
	}
	if err := makeFolder(l.socketDir, 0o700); err != nil {
		return err
	}
	if why := untrusted(l.socketDir); why != nil {
		return fmt.Errorf("no place for sockets: %w", why)
	}
	return nil
}

// mark tells the folders of two checkouts apart.
func (l *layout) mark() string {
	sum := sha256.Sum256([]byte(l.dir))
	return fmt.Sprintf("%x", sum[:4])
}

func (l *layout) socket() string { return filepath.Join(l.socketDir, "control.sock") }

// makeFolder makes a folder with exactly this mode, whatever the umask.
func makeFolder(path string, mode fs.FileMode) error {
	if err := os.MkdirAll(path, mode); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	if info.Mode().Perm() == mode {
		return nil
	}
	if err := os.Chmod(path, mode); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	return nil
}

// untrusted says who else could exchange what lies in a folder, or returns nil. The daemon asks the same of the folder
// of its plugins and of every folder above it.
func untrusted(dir string) error {
	me := os.Getuid()
	for at := dir; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return fmt.Errorf("look at the folder: %w", err)
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Uid != 0 && int(st.Uid) != me {
			return fmt.Errorf("%s belongs to another user", at)
		}
		// A folder such as /tmp is good enough above: there everybody's own stays their own.
		sticky := at != dir && info.Mode()&fs.ModeSticky != 0
		if info.Mode().Perm()&0o022 != 0 && !sticky {
			return fmt.Errorf("%s is writable by other users", at)
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

// refuseSecond refuses to lay out a folder whose daemon runs.
func (l *layout) refuseSecond() error {
	conn, err := net.DialTimeout("unix", l.socket(), time.Second)
	if err != nil {
		return nil //nolint:nilerr // nobody listens
	}
	_ = conn.Close() // it was only to see
	return fmt.Errorf("a demonstration runs in %s already; end it with Ctrl-C in its terminal", l.dir)
}

// write fills the folder. What is there from an earlier run, the CA, the state and the certificate, stays.
func (l *layout) write() error {
	if err := l.copyPlugins(); err != nil {
		return err
	}
	if err := l.writeCertificate(); err != nil {
		return err
	}
	values := map[string]string{
		"Plugins": l.pluginDir, "Socket": l.socket(), "CA": l.path("ca"), "Lifetime": l.lifetime.String(), "Self": l.self, "Web": l.web,
	}
	// The main file comes last: a daemon would begin with it.
	return errors.Join(writeTemplate(l.path("conf.d/shop.toml"), shopText, values), writeTemplate(l.path("config.toml"), configText, values))
}

func writeTemplate(path, text string, values any) error {
	t, err := template.New(filepath.Base(path)).Funcs(template.FuncMap{"quote": quote}).Parse(text)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return replaceFile(path, 0o644, func(w io.Writer) error { return t.Execute(w, values) })
}

// quote writes a TOML basic string; what Go escapes beyond that does not occur in a path that prints.
func quote(s string) string { return strconv.Quote(s) }

// copyPlugins puts the built plugins where the daemon may load them. A finished file takes the place of the old one.
func (l *layout) copyPlugins() error {
	entries, err := os.ReadDir(l.plugins)
	if err != nil {
		return fmt.Errorf("read the built plugins: %w", err)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		if err := copyFile(filepath.Join(l.plugins, e.Name()), filepath.Join(l.pluginDir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copy a plugin: %w", err)
	}
	defer in.Close()
	return replaceFile(to, 0o755, func(w io.Writer) error {
		_, err := io.Copy(w, in)
		return err
	})
}

// replaceFile writes a file in full under a hidden name beside its place and then renames it.
func replaceFile(path string, mode fs.FileMode, fill func(io.Writer) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	err = errors.Join(fill(tmp), tmp.Chmod(mode), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(tmp.Name())))
	}
	return nil
}

// writeCertificate puts a pair in place that a person once made by hand and that is about to expire, unless there is
// one from an earlier run.
func (l *layout) writeCertificate() error {
	if _, err := loadPair(l.dir, shop); err == nil {
		return nil
	}
	return l.writePair(shop, "shop.example.com", "www.shop.example.com")
}

// writePair makes a pair of files for names, about to expire.
func (l *layout) writePair(name string, domains ...string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "made by hand, long ago"}, DNSNames: domains,
		NotBefore: time.Now().AddDate(0, 0, -90), NotAfter: time.Now().Add(10 * time.Minute),
	}
	return l.writeSigned(template, key, "tls/"+name)
}

// writeSigned writes a certificate that signs itself, and its key, to files of the folder without their ending.
func (l *layout) writeSigned(template *x509.Certificate, key *ecdsa.PrivateKey, file string) error {
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("make a certificate: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	return errors.Join(
		writePEM(l.path(file+".key"), 0o600, "PRIVATE KEY", pkcs8),
		writePEM(l.path(file+".pem"), 0o644, "CERTIFICATE", der),
	)
}

func writePEM(path string, mode fs.FileMode, kind string, der []byte) error {
	return replaceFile(path, mode, func(w io.Writer) error { return pem.Encode(w, &pem.Block{Type: kind, Bytes: der}) })
}

// explain tells a newcomer what is about to be seen.
func (l *layout) explain(w io.Writer) {
	command := l.daemon + " --config " + l.path("config.toml")
	if wd, err := os.Getwd(); err == nil {
		daemon, errDaemon := filepath.Rel(wd, l.daemon)
		config, errConfig := filepath.Rel(wd, l.path("config.toml"))
		if errDaemon == nil && errConfig == nil {
			command = daemon + " --config " + config
		}
	}
	fmt.Fprintf(w, `
A web server on https://%s serves a certificate that is about to expire.
certbridged takes it over: it orders a new one from a private CA, puts the files in place, reloads
the web server and looks at what it serves. Certificates last %s here, so it goes on and on.
Ctrl-C ends it. In a second terminal:

  %[3]s status
  %[3]s explain shop
  %[3]s orders --all
  %[3]s plugins list

`, l.web, l.lifetime, command)
}
