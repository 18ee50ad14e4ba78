package peer

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// WebServer is a running nginx or HAProxy. Check and Reload are commands as a deploy section would hold them.
type WebServer struct {
	// Dir is the folder it runs in, ConfigFile its configuration there.
	Dir, ConfigFile string
	// PID is the process that takes signals: it stays the same through a reload.
	PID           int
	Check, Reload []string

	proc *process
	wrap func(conf string) string
}

// Log returns the end of what the server wrote.
func (s *WebServer) Log() string { return s.proc.log.String() }

// Stop ends the server.
func (s *WebServer) Stop(t testing.TB) {
	t.Helper()
	s.proc.stop(t)
}

// Configure replaces the configuration file; it takes effect with the next reload.
func (s *WebServer) Configure(t testing.TB, conf string) {
	t.Helper()
	if err := os.WriteFile(s.ConfigFile, []byte(s.wrap(conf)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Nginx starts nginx with conf as the inside of its http block.
func Nginx(t testing.TB, conf string) *WebServer {
	t.Helper()
	binary := Need(t, "nginx", "apt-get install nginx-light")
	s := newWebServer(t, "nginx.conf")
	pidFile := filepath.Join(s.Dir, "nginx.pid")
	s.wrap = func(conf string) string { return nginxConfig(s.Dir, pidFile, conf) }
	s.Configure(t, conf)
	common := []string{binary, "-p", s.Dir, "-c", s.ConfigFile, "-e", "stderr"}
	s.Check = append(common[:len(common):len(common)], "-t")
	s.Reload = append(common[:len(common):len(common)], "-s", "reload")
	run := append(common[1:len(common):len(common)], "-g", "daemon off;")
	s.run(t, "nginx", exec.Command(binary, run...), pidFile)
	return s
}

// nginxConfig completes a configuration such that nginx writes in dir alone, also when it is not root.
func nginxConfig(dir, pidFile, conf string) string {
	var b strings.Builder
	if os.Geteuid() == 0 {
		// The folder of a test can be read by nobody but its owner.
		b.WriteString("user root;\n")
	}
	fmt.Fprintf(&b, "pid %s;\nworker_processes 2;\nevents {}\nhttp {\naccess_log off;\n", pidFile)
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&b, "%s_temp_path %s;\n", kind, filepath.Join(dir, kind+"_temp"))
	}
	fmt.Fprintf(&b, "%s\n}\n", conf)
	return b.String()
}

// HAProxy starts HAProxy in master-worker mode with conf after its global section.
func HAProxy(t testing.TB, conf string) *WebServer {
	t.Helper()
	binary := Need(t, "haproxy", "apt-get install haproxy")
	s := newWebServer(t, "haproxy.cfg")
	// The path of a unix socket has at most 107 bytes, and a test's folder may be longer.
	sockets, err := os.MkdirTemp("", "haproxy")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(sockets) })
	stats := filepath.Join(sockets, "stats.sock")
	s.wrap = func(conf string) string {
		return fmt.Sprintf("global\n  log stdout format raw daemon\n  stats socket %s level admin expose-fd listeners\n"+
			"  hard-stop-after 30s\n\n%s\n", stats, conf)
	}
	s.Configure(t, conf)
	s.Check = []string{binary, "-c", "-f", s.ConfigFile}
	s.run(t, "haproxy", exec.Command(binary, "-W", "-f", s.ConfigFile), stats)
	s.Reload = []string{"kill", "-USR2", strconv.Itoa(s.PID)}
	return s
}

func newWebServer(t testing.TB, config string) *WebServer {
	t.Helper()
	dir := t.TempDir()
	return &WebServer{Dir: dir, ConfigFile: filepath.Join(dir, config)}
}

// run starts the server and waits until it has made a file that it makes after it listens.
func (s *WebServer) run(t testing.TB, name string, cmd *exec.Cmd, made string) {
	t.Helper()
	cmd.Dir = s.Dir
	s.proc = launch(t, name, cmd)
	s.PID = s.proc.pid()
	probe := func() error {
		info, err := os.Stat(made)
		if err != nil {
			return err
		}
		if info.Mode()&os.ModeSocket == 0 {
			return nil
		}
		c, err := net.Dial("unix", made)
		if err != nil {
			return err
		}
		return c.Close()
	}
	if err := s.proc.ready(probe); err != nil {
		t.Fatal(err)
	}
}
