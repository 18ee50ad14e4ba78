package packaging

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// service is the daemon started as systemd would: told of its sockets and its manager by the environment.
type service struct {
	t      *testing.T
	dir    string
	cmd    *exec.Cmd
	out    *bytes.Buffer
	notify *net.UnixConn
}

const daemonConfig = `
[daemon]
state_dir = "state"
plugin_dir = "plugins"
control_socket = "run/control.sock"
http_challenge_listen = "127.0.0.1:0"
log_format = "text"
[ca.local]
plugin = "local"
[ca.local.settings]
dir = "%s/ca"
[[certificate]]
name = "web"
ca = "local"
[certificate.files]
fullchain = "tls/web.pem"
key = "tls/web.key"
[certificate.deploy]
check = ["cat", "%s/tls/only-root"]
reload = ["kill", "-s", "CONT", "%d"]
`

func build(t *testing.T, dir string) {
	t.Helper()
	for name, path := range map[string]string{"certbridged": "cmd/certbridged", "plugins/ca-local": "cmd/plugins/ca-local"} {
		out, err := exec.Command("go", "build", "-o", filepath.Join(dir, name), "github.com/certbridge/certbridged/"+path).CombinedOutput()
		if err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
}

// layOut makes a folder with a configuration and a certificate about to expire. The certificate's files belong to root
// and the group of another user.
func layOut(t *testing.T, group, serverPID int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "service")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, name := range []string{"", "plugins", "tls", "state", "run", "ca"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), DNSNames: []string{"web.example.com"},
		NotBefore: time.Now().Add(-90 * 24 * time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write("tls/web.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o644)
	write("tls/web.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})), 0o640)
	if err := os.Chown(filepath.Join(dir, "tls/web.key"), os.Getuid(), group); err != nil {
		t.Fatal(err)
	}
	write("tls/only-root", "a log that nobody else may read\n", 0o600)
	write("config.toml", fmt.Sprintf(daemonConfig, dir, dir, serverPID), 0o644)
	return dir
}

// startService starts the daemon with a user and rights, a socket for challenges and a manager to notify.
func startService(t *testing.T, dir string, attr *syscall.SysProcAttr, socket *os.File) *service {
	t.Helper()
	address := filepath.Join(dir, "run", "notify")
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = notify.Close() })
	if err := os.Chmod(address, 0o666); err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, dir: dir, notify: notify, out: &bytes.Buffer{}}
	// The shell sets LISTEN_PID to the number that the daemon will have.
	s.cmd = exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ WATCHDOG_PID=$$ exec "$0" run --config "$1"`,
		filepath.Join(dir, "certbridged"), filepath.Join(dir, "config.toml"))
	s.cmd.Env = []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "NOTIFY_SOCKET=" + address, "WATCHDOG_USEC=400000",
		"LISTEN_FDS=1", "LISTEN_FDNAMES=http",
	}
	s.cmd.ExtraFiles = []*os.File{socket}
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	s.cmd.SysProcAttr = attr
	s.cmd.WaitDelay = time.Minute
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.cmd.ProcessState == nil {
			_ = s.cmd.Process.Kill()
			_ = s.cmd.Wait()
		}
	})
	return s
}

// told waits until the manager is told something.
func (s *service) told(want string) string {
	s.t.Helper()
	if err := s.notify.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		s.t.Fatal(err)
	}
	message := make([]byte, 4096)
	for {
		n, err := s.notify.Read(message)
		if err != nil {
			_ = s.cmd.Process.Kill()
			_ = s.cmd.Wait()
			s.t.Fatalf("the manager is never told %q: %v\n%s", want, err, s.out)
		}
		if strings.Contains(string(message[:n]), want) {
			return string(message[:n])
		}
	}
}

// unitRights are the capabilities that the unit gives the daemon.
func unitRights(t *testing.T) []uintptr {
	t.Helper()
	numbers := map[string]uintptr{
		"CAP_CHOWN": unix.CAP_CHOWN, "CAP_FOWNER": unix.CAP_FOWNER, "CAP_DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE,
		"CAP_KILL": unix.CAP_KILL, "CAP_NET_BIND_SERVICE": unix.CAP_NET_BIND_SERVICE,
	}
	for line := range strings.SplitSeq(read(t, serviceFile), "\n") {
		list, ok := strings.CutPrefix(line, "AmbientCapabilities=")
		if !ok {
			continue
		}
		var rights []uintptr
		for _, name := range strings.Fields(list) {
			number, known := numbers[name]
			if !known {
				t.Fatalf("this test does not know %s", name)
			}
			rights = append(rights, number)
		}
		return rights
	}
	t.Fatal("the unit has no AmbientCapabilities=")
	return nil
}

// The daemon as the unit starts it: an ordinary user with five rights renews files that belong to root and to another
// group, runs a check that reads what only root may, signals a server of root, and talks to its manager.
func TestDaemonUnderTheUnitsUserAndRights(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIP: only root can start a process as another user")
	}
	const user, group = 65534, 1 // nobody; the group daemon
	server := exec.Command("sleep", "300")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })

	dir := layOut(t, group, server.Process.Pid)
	build(t, dir)
	for _, name := range []string{"state", "run", "ca"} {
		if err := os.Chown(filepath.Join(dir, name), user, user); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()

	s := startService(t, dir, &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: user, Gid: user, NoSetGroups: false}, AmbientCaps: unitRights(t),
	}, socket)
	s.told("READY=1")
	s.told("WATCHDOG=1")
	s.awaitEvent("deployed")
	s.checkFiles(group)
	s.checkResponder(l.Addr().String())

	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if got := s.told("RELOADING=1"); !strings.Contains(got, "MONOTONIC_USEC=") {
		t.Errorf("a reload is told without its time: %q", got)
	}
	s.told("READY=1")
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.told("STOPPING=1")
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("it ends with %v\n%s", err, s.out)
	}
}

// awaitEvent follows the daemon's events until one of a kind comes.
func (s *service) awaitEvent(kind string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), filepath.Join(s.dir, "certbridged"), "--config", filepath.Join(s.dir, "config.toml"), "--json", "events", "--follow")
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	timeout := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer timeout.Stop()
	var seen []byte
	piece := make([]byte, 4096)
	for !bytes.Contains(seen, []byte(`"`+kind+`"`)) {
		n, err := out.Read(piece)
		seen = append(seen, piece[:n]...)
		if err != nil {
			s.t.Fatalf("no event %q: %v\n%s", kind, err, seen)
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func (s *service) checkFiles(group uint32) {
	s.t.Helper()
	file := filepath.Join(s.dir, "tls", "web.key")
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		s.t.Fatal(err)
	}
	if st.Uid != 0 || st.Gid != group || st.Mode&0o777 != 0o640 {
		s.t.Errorf("the renewed key belongs to %d:%d, mode %o", st.Uid, st.Gid, st.Mode&0o777)
	}
	block, _ := pem.Decode([]byte(read(s.t, filepath.Join(s.dir, "tls", "web.pem"))))
	if block == nil {
		s.t.Fatal("no certificate on disk")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil || leaf.SerialNumber.Cmp(big.NewInt(7)) == 0 {
		s.t.Errorf("it was not renewed: %v", err)
	}
}

// checkResponder looks at the socket that was handed over: the daemon answers on it, though nothing is published.
func (s *service) checkResponder(address string) {
	s.t.Helper()
	reply, err := http.Get("http://" + address + "/.well-known/acme-challenge/x")
	if err != nil {
		s.t.Fatal(err)
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusNotFound {
		s.t.Errorf("the responder says %s", reply.Status)
	}
}
