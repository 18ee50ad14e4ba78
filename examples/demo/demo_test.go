package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/control"
)

// built are the programs of the demonstration, built once.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "demo")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	const module = "github.com/certbridge/certbridged/"
	programs := map[string]string{
		module + "cmd/certbridged": "certbridged", module + "cmd/certbridge-sandbox": "certbridge-sandbox", module + "examples/demo": "demo",
		"github.com/letsencrypt/pebble/v2/cmd/pebble": "pebble",
	}
	for _, plugin := range []string{"ca-acme", "ca-digicert", "ca-local", "ca-servertastic", "ca-tencent", "dcv-rfc2136"} {
		programs[module+"cmd/plugins/"+plugin] = "plugins/" + plugin
	}
	for path, name := range programs {
		out, err := exec.Command("go", "build", "-o", filepath.Join(dir, name), path).CombinedOutput()
		if err != nil {
			return dir, errors.Join(err, errors.New(string(out)))
		}
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := built(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// session is a running demonstration.
type session struct {
	t   *testing.T
	cmd *exec.Cmd
	out *lockedBuffer
	web string
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
	// grown is closed and made anew at each write.
	grown chan struct{}
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.grown)
	l.grown = make(chan struct{})
	return l.b.Write(p)
}

func (l *lockedBuffer) text() (string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String(), l.grown
}

// await waits for a text in the output.
func (s *session) await(pattern string) []string {
	s.t.Helper()
	re := regexp.MustCompile(pattern)
	deadline := time.After(time.Minute)
	for {
		text, grown := s.out.text()
		if found := re.FindStringSubmatch(text); found != nil {
			return found
		}
		select {
		case <-grown:
		case <-deadline:
			s.t.Fatalf("%q does not come; the output is:\n%s", pattern, text)
		}
	}
}

func start(t *testing.T, dir string, as *syscall.Credential, env ...string) *session {
	t.Helper()
	programs, err := built()
	if err != nil {
		t.Fatal(err)
	}
	s := &session{t: t, out: &lockedBuffer{grown: make(chan struct{})}}
	s.cmd = exec.Command(filepath.Join(programs, "demo"), "--dir", dir, "--lifetime", "15s",
		"--daemon", filepath.Join(programs, "certbridged"), "--plugins", filepath.Join(programs, "plugins"))
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	s.cmd.Env = append(os.Environ(), env...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.cmd.ProcessState == nil {
			_ = s.cmd.Process.Kill()
			_ = s.cmd.Wait()
		}
	})
	t.Cleanup(func() { // where the path is long, the sockets are elsewhere
		if d, err := config.LoadDaemon(filepath.Join(dir, "config.toml")); err == nil {
			_ = os.RemoveAll(filepath.Dir(d.ControlSocket))
		}
	})
	s.web = s.await(`https://(127\.0\.0\.1:\d+)`)[1]
	return s
}

// end ends the demonstration as Ctrl-C does and looks at what is left.
func (s *session) end() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil { // also waits until the web server has closed its output
		text, _ := s.out.text()
		s.t.Errorf("it ended with %v:\n%s", err, text)
	}
	if conn, err := net.Dial("tcp", s.web); err == nil {
		_ = conn.Close()
		s.t.Error("the web server outlives the daemon")
	}
}

func (s *session) client(dir string) *control.Client {
	s.t.Helper()
	d, err := config.LoadDaemon(filepath.Join(dir, "config.toml"))
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := control.NewClient(d.ControlSocket)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// served is the issuer of what the web server serves.
func (s *session) served() string {
	s.t.Helper()
	conn, err := tls.Dial("tcp", s.web, &tls.Config{InsecureSkipVerify: true, ServerName: "shop.example.com"})
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Issuer.CommonName
}

func TestDemoRenewsAgainAndAgainAndEndsCleanly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a path with spaces", "run")
	s := start(t, dir, nil)
	s.await(`(?s)deployed: renewal done.*deployed: renewal done`)
	if got := s.served(); !strings.Contains(got, "certbridged demonstration CA") {
		t.Errorf("the web server serves a certificate of %q", got)
	}
	list, err := s.client(dir).Status(t.Context(), "shop")
	if err != nil || len(list) != 1 || list[0].Deployment == nil || !list[0].Deployment.OK || len(list[0].Names) != 2 {
		t.Errorf("status says %+v, %v", list, err)
	}
	programs, err := built()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(filepath.Join(programs, "demo"), "--dir", dir, "--daemon", filepath.Join(programs, "certbridged"),
		"--plugins", filepath.Join(programs, "plugins")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "runs in "+dir+" already") {
		t.Errorf("a second one in the same folder: %v, %s", err, out)
	}
	s.end()

	again := start(t, dir, nil)
	again.await(`deployed: renewal done`)
	again.end()
}

// A checkout that others may write, as a umask of 002 leaves it, and one at the end of a long path.
func TestDemoFindsAnotherPlaceWhereTheCheckoutWillNotDo(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "shared", strings.Repeat("long-", 20), "run")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(base, "shared"), 0o775); err != nil {
		t.Fatal(err)
	}
	cache := filepath.Join(base, "cache")
	s := start(t, dir, nil, "XDG_CACHE_HOME="+cache, "TMPDIR=/tmp")
	s.await(`deployed: renewal done`)
	if found, err := filepath.Glob(filepath.Join(cache, "certbridged-demo-*", "plugins", "ca-local")); err != nil || len(found) != 1 {
		t.Errorf("plugins in %v, %v", found, err)
	}
	s.end()
}

func TestDemoRunsAsAnOrdinaryUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIP: the other tests run as an ordinary user already")
	}
	const nobody = 65534
	base, err := os.MkdirTemp("", "demo-user")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	if err := os.Chown(base, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	s := start(t, filepath.Join(base, "run"), &syscall.Credential{Uid: nobody, Gid: nobody}, "HOME="+base)
	s.await(`deployed: renewal done`)
	s.end()
}

func TestDemoSaysWhatIsInItsWay(t *testing.T) {
	base := t.TempDir()
	open := filepath.Join(base, "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	programs, err := built()
	if err != nil {
		t.Fatal(err)
	}
	daemon, plugins := filepath.Join(programs, "certbridged"), filepath.Join(programs, "plugins")
	cases := map[string]struct {
		args []string
		want string
	}{
		"open to everybody": {[]string{"--dir", filepath.Join(open, "run"), "--daemon", daemon, "--plugins", plugins}, open + " is writable by other users"},
		"not built":         {[]string{"--dir", filepath.Join(base, "run"), "--daemon", filepath.Join(base, "absent"), "--plugins", plugins}, `run "make build" first`},
		"too short a life":  {[]string{"--lifetime", "1s"}, "too short to watch"},
		"unknown argument":  {[]string{"now"}, `"now": no such argument`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, filepath.Join(programs, "demo"), c.args...)
			cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+filepath.Join(open, "cache"))
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.want) {
				t.Errorf("%v, %q; want %q", err, out, c.want)
			}
		})
	}
}
