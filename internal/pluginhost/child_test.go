package pluginhost

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hostChildEnv makes the test binary a host on the folder it names.
const hostChildEnv = "PLUGINHOST_TEST_BASE"

// serveHost runs a host with two plugins, prints their process numbers and runs until SIGTERM.
func serveHost() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	base := os.Getenv(hostChildEnv)
	h, err := New(Options{Dir: filepath.Join(base, "plugins"), RuntimeDir: filepath.Join(base, "run"), OwnerUID: os.Geteuid(), CloseGrace: 100 * time.Millisecond})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	if os.Getenv(peekEnv) != "" {
		servePeek(h)
		return
	}
	for _, name := range []string{"one", "two"} {
		c := h.CA(Instance{Name: name, Plugin: "test", Env: map[string]string{behaviourEnv: "stubborn"}})
		reply, err := c.GetOrder(ctx, placed("pid"))
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("pid", reply.Order.Detail)
		go func() { _, _ = c.PlaceOrder(context.Background(), request("hang")) }()
	}
	if err := h.Run(ctx); err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
}

// alive reports whether a process is there and no zombie.
func alive(pid string) bool {
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(after, "Z") && !strings.HasPrefix(after, "X")
}

func TestNoPluginSurvivesItsHost(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGQUIT} {
		t.Run(sig.String(), func(t *testing.T) {
			base := tempDir(t)
			dir := filepath.Join(base, "plugins")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			install(t, dir, "ca-test", "")
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			host := exec.Command(self)
			host.Env = append(os.Environ(), hostChildEnv+"="+base)
			out, err := host.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := host.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = host.Process.Kill() }()
			var pids []string
			lines := bufio.NewScanner(out)
			for len(pids) < 2 && lines.Scan() {
				pid, ok := strings.CutPrefix(lines.Text(), "pid ")
				if !ok {
					t.Fatalf("host: %s", lines.Text())
				}
				pids = append(pids, pid)
			}
			if len(pids) != 2 || !alive(pids[0]) || !alive(pids[1]) {
				t.Fatalf("plugins do not run: %v", pids)
			}
			if err := host.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			err = host.Wait()
			if sig == syscall.SIGTERM && err != nil {
				t.Errorf("host: %v", err)
			}
			for _, pid := range pids {
				eventually(t, "plugin "+pid+" is gone", func() bool { return !alive(pid) })
			}
		})
	}
}

// peekEnv makes the child host ask a plugin whether it can read the host's environment; "hide" hides it first.
const peekEnv = "PLUGINHOST_TEST_PEEK"

func servePeek(h *Host) {
	if os.Getenv(peekEnv) == "hide" {
		if err := HideProcess(); err != nil {
			fmt.Println("error", err)
		}
	}
	reply, err := h.CA(Instance{Name: "peek", Plugin: "test"}).GetOrder(context.Background(), placed("peek"))
	if err != nil {
		fmt.Println("error", err)
	}
	fmt.Println(reply.Order.Detail)
	if err := h.Close(); err != nil {
		fmt.Println("error", err)
	}
}

// A plugin runs as the daemon's user, who can look into the processes of its own. Root would always be let in, so the
// host of this test is nobody.
func TestEnvironmentOfAHiddenHostIsNotReadable(t *testing.T) {
	base := tempDir(t)
	dir := filepath.Join(base, "plugins")
	must(t, os.Mkdir(dir, 0o755))
	host := install(t, dir, "ca-test", "")
	var as *syscall.Credential
	if os.Geteuid() == 0 {
		const nobody = 65534
		as = &syscall.Credential{Uid: nobody, Gid: nobody, NoSetGroups: false}
		must(t, os.Chmod(base, 0o755))
		must(t, os.Chown(base, nobody, nobody))
	}
	for mode, want := range map[string]string{"show": "readable, ", "hide": "not readable\n"} {
		cmd := exec.Command(host)
		cmd.Env = append(os.Environ(), hostChildEnv+"="+base, peekEnv+"="+mode)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), want) {
			t.Errorf("%s: %v: %s", mode, err, out)
		}
	}
}
