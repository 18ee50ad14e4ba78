package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/test/peer"
)

// rig is a daemon's whole world in one folder, which outlives the daemon's processes.
type rig struct {
	t      testing.TB
	dir    string
	binary string
	// env is what the daemon's environment holds beside the necessary.
	env  []string
	out  *output
	proc *process
	pid  atomic.Int64
	// challenges is the address at which the world sees challenge files.
	challenges string
	client     *control.Client
}

// patience is how long a test waits for what must happen. The longest wait that the daemon itself has in these tests
// is ten seconds; the rest is for slow machines.
const patience = 3 * time.Minute

func newRig(t testing.TB, binary string, plugins ...*build) *rig {
	t.Helper()
	dir, err := os.MkdirTemp(base, "r")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, dir: dir, binary: binary, out: &output{}, challenges: fmt.Sprintf("127.0.0.1:%d", peer.FreePort(t))}
	for _, name := range []string{"plugins", "tls", "conf.d", "state", "run"} {
		if err := os.Mkdir(r.path(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range plugins {
		// A copy each: a hard link more changes the file for all who have it, and the daemon takes that for a new plugin.
		copyFile(t, p.get(t), r.path("plugins", filepath.Base(p.file)), 0o700)
	}
	t.Cleanup(r.clear)
	return r
}

// clear ends what runs and removes the folder.
func (r *rig) clear() {
	r.kill()
	if r.client != nil {
		_ = r.client.Close() // its daemon is gone
	}
	if r.t.Failed() {
		r.t.Logf("what the daemon wrote in %s:\n%s", r.dir, r.out)
	}
	if err := os.RemoveAll(r.dir); err != nil {
		r.t.Error(err)
	}
}

func (r *rig) path(parts ...string) string {
	return filepath.Join(append([]string{r.dir}, parts...)...)
}

func (r *rig) mkdir(name string) {
	r.t.Helper()
	if err := os.MkdirAll(r.path(name), 0o755); err != nil {
		r.t.Fatal(err)
	}
}

// write replaces a file as editors do.
func (r *rig) write(name, text string, mode fs.FileMode) {
	r.t.Helper()
	tmp := r.path(name + "~")
	err := errors.Join(os.WriteFile(tmp, []byte(text), mode), os.Rename(tmp, r.path(name)))
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) read(name string) string {
	r.t.Helper()
	text, err := os.ReadFile(r.path(name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

// daemonTOML is the [daemon] table.
func (r *rig) daemonTOML(more string) string {
	return fmt.Sprintf(`
[daemon]
state_dir = "state"
plugin_dir = "plugins"
control_socket = "run/c.sock"
http_challenge_listen = %q
http_challenge_self_check = false
plugin_idle_after = "2s"
log_level = "debug"
log_format = "json"
%s
`, r.challenges, more)
}

// begin starts the daemon and does not wait for it.
func (r *rig) begin(env ...string) {
	r.t.Helper()
	if r.client == nil {
		client, err := control.NewClient(r.path("run/c.sock"))
		if err != nil {
			r.t.Fatal(err)
		}
		r.client = client
	}
	cmd := exec.Command(r.binary, "run", "--config", r.path("config.toml"))
	cmd.Dir = r.dir
	cmd.Env = append(append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir}, r.env...), env...)
	r.proc = launch(r.t, r.dir, r.out, cmd)
	r.pid.Store(int64(r.proc.cmd.Process.Pid))
}

// start starts the daemon and waits until it is ready.
func (r *rig) start(env ...string) {
	r.t.Helper()
	r.begin(env...)
	select {
	case <-r.proc.ready:
	case <-r.proc.done:
		r.t.Fatalf("the daemon ended before it was ready: %v\n%s", r.proc.err, r.out)
	case <-time.After(patience):
		r.t.Fatalf("the daemon is not ready after %s\n%s", patience, r.out)
	}
}

// stop ends the daemon as a service manager does.
func (r *rig) stop() {
	r.t.Helper()
	r.proc.signal(r.t, syscall.SIGTERM)
	if r.proc.err != nil {
		r.t.Errorf("the daemon ended with %v", r.proc.err)
	}
}

// kill ends the daemon as a power cut does. It may be called from anywhere, also when there is none.
func (r *rig) kill() {
	if r.pid.Load() == 0 {
		return
	}
	p := r.proc
	_ = p.cmd.Process.Kill() // it may be gone already
	<-p.done
}

// alive reports whether the daemon has not ended.
func (r *rig) alive() bool {
	select {
	case <-r.proc.done:
		return false
	default:
		return true
	}
}

// cli runs a command of the command line and returns what it prints.
func (r *rig) cli(args ...string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), r.binary, append(args, "--config", r.path("config.toml"))...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, r.env...)
	text, err := cmd.CombinedOutput()
	var code *exec.ExitError
	if err != nil && !errors.As(err, &code) {
		r.t.Fatal(err)
	}
	return string(text)
}

// certificate returns a certificate's status.
func (r *rig) certificate(name string) (control.Certificate, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Second)
	defer cancel()
	list, err := r.client.Status(ctx, name)
	if err != nil || len(list) != 1 {
		return control.Certificate{}, errors.Join(err, fmt.Errorf("%d certificates", len(list)))
	}
	return list[0], nil
}

// until waits for a certificate's status to be as wanted.
func (r *rig) until(name, what string, wanted func(control.Certificate) bool) control.Certificate {
	r.t.Helper()
	return r.untilWithin(patience, name, what, wanted)
}

func (r *rig) untilWithin(limit time.Duration, name, what string, wanted func(control.Certificate) bool) control.Certificate {
	r.t.Helper()
	var c control.Certificate
	var err error
	ok := await(r.t.Context(), limit, func() bool {
		c, err = r.certificate(name)
		return err == nil && wanted(c)
	})
	if !ok {
		r.t.Fatalf("%s: waited %s for %q in vain; last seen %+v, order %+v, %v", name, limit, what, c, c.Order, err)
	}
	return c
}

// replaced reports whether a certificate is another one than before, and no order for it is under way.
func replaced(c control.Certificate, before *x509.Certificate) bool {
	return c.Leaf != nil && c.Leaf.Serial != serialOf(before) && c.Order == nil
}

// serialOf is a serial number as the daemon writes it.
func serialOf(c *x509.Certificate) string { return fmt.Sprintf("%x", c.SerialNumber) }

// through reports whether another certificate than before is in place and nothing is left to do.
func (r *rig) through(name string, before *x509.Certificate) bool {
	c, err := r.certificate(name)
	if err != nil || !replaced(c, before) {
		return false
	}
	left, err := r.publications()
	return err == nil && len(left) == 0
}

// untilRenewed waits until another certificate than before is in place and served, and nothing is left to be done.
func (r *rig) untilRenewed(name string, before *x509.Certificate) control.Certificate {
	r.t.Helper()
	return r.until(name, "renewed", func(c control.Certificate) bool {
		return replaced(c, before) && c.Problem == "" && !c.Next.Due
	})
}

// untilWithdrawn waits until no order of the daemon has anything published.
func (r *rig) untilWithdrawn() {
	r.t.Helper()
	var left []control.Publication
	var err error
	ok := await(r.t.Context(), patience, func() bool {
		left, err = r.publications()
		return err == nil && len(left) == 0
	})
	if !ok {
		r.t.Errorf("still published: %+v, %v", left, err)
	}
}

func (r *rig) publications() ([]control.Publication, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Second)
	defer cancel()
	orders, err := r.client.Orders(ctx, control.OrderFilter{All: true})
	var list []control.Publication
	for _, o := range orders {
		list = append(list, o.Publications...)
	}
	return list, err
}

// pair reads key and chain of a certificate and checks that they belong together.
func (r *rig) pair(name string) []*x509.Certificate {
	r.t.Helper()
	pair, err := tls.LoadX509KeyPair(r.path("tls", name+".pem"), r.path("tls", name+".key"))
	if err != nil {
		r.t.Fatalf("key and chain on disk: %v", err)
	}
	var chain []*x509.Certificate
	for _, der := range pair.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			r.t.Fatal(err)
		}
		chain = append(chain, c)
	}
	return chain
}

// put writes a certificate for names that ends soon, so that it is due, and returns it.
func (r *rig) put(name string, ca *authority, ends time.Duration, names ...string) *x509.Certificate {
	r.t.Helper()
	key := newKey(r.t)
	chain, err := ca.issue(key.Public(), names, time.Now().Add(-time.Hour), time.Now().Add(ends))
	if err != nil {
		r.t.Fatal(err)
	}
	r.write("tls/"+name+".key", keyPEM(r.t, key), 0o600)
	r.write("tls/"+name+".pem", chainPEM(chain), 0o644)
	return chain[0]
}

// noPlugins checks that no plugin process is left.
func (r *rig) noPlugins(when string) {
	r.t.Helper()
	var left []string
	ok := await(r.t.Context(), 10*time.Second, func() bool {
		left = processesOf(r.path("plugins"))
		return len(left) == 0
	})
	if !ok {
		r.t.Errorf("%s there are plugin processes: %v", when, left)
	}
}

// only checks that a folder holds these files and no others.
func (r *rig) only(folder string, names ...string) {
	r.t.Helper()
	var have []string
	err := filepath.WalkDir(r.path(folder), func(path string, _ fs.DirEntry, err error) error {
		if name, _ := filepath.Rel(r.path(folder), path); name != "." {
			have = append(have, name)
		}
		return err
	})
	if err != nil || strings.Join(have, " ") != strings.Join(names, " ") {
		r.t.Errorf("%s holds %q, want %q (%v)", folder, have, names, err)
	}
}

// nothingAnswers checks that the daemon does not listen where challenges are shown. Another process may: the port is
// free then.
func (r *rig) nothingAnswers() {
	r.t.Helper()
	_, port, err := net.SplitHostPort(r.challenges)
	if err != nil {
		r.t.Fatal(err)
	}
	if listens(r.t, r.proc.cmd.Process.Pid, port) {
		r.t.Error("the responder still listens")
	}
}

// listens reports whether a process has a socket that listens on a TCP port (proc(5): /proc/net/tcp has local addresses
// in hexadecimal, 0A for a socket that listens, and the socket's inode). One that has ended has none.
func listens(t testing.TB, pid int, port string) bool {
	t.Helper()
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	inodes := map[string]bool{}
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile("/proc/net/" + table)
		if errors.Is(err, fs.ErrNotExist) {
			continue // without IPv6
		} else if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", n)) {
				inodes["socket:["+f[9]+"]"] = true
			}
		}
	}
	descriptors := fmt.Sprintf("/proc/%d/fd", pid)
	entries, _ := os.ReadDir(descriptors) // none when it has ended
	for _, e := range entries {
		if link, err := os.Readlink(filepath.Join(descriptors, e.Name())); err == nil && inodes[link] {
			return true
		}
	}
	return false
}

// serveWebroot serves a folder where challenges are looked for, as a web server does.
func (r *rig) serveWebroot() {
	r.t.Helper()
	r.mkdir("webroot")
	server := httptest.NewServer(http.FileServer(http.Dir(r.path("webroot"))))
	r.t.Cleanup(server.Close)
	r.challenges = server.Listener.Addr().String()
}

// copyFile copies a program. Nothing is forked meanwhile: a child would keep the file open for writing, and then it
// cannot be executed.
func copyFile(t testing.TB, from, to string, mode fs.FileMode) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if !listens(t, os.Getpid(), port) {
		t.Error("a port that this process listens on is not found")
	}
	if listens(t, os.Getppid(), port) {
		t.Error("the port counts as another process's")
	}
	_ = l.Close()
	if listens(t, os.Getpid(), port) {
		t.Error("a port that was closed is found")
	}
}
