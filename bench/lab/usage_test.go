package lab

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestUsage(t *testing.T) {
	before, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); time.Since(begun) < 50*time.Millisecond; { // work
	}
	after, err := CPU(os.Getpid())
	if used := after - before; err != nil || used < 5*time.Millisecond || used > 5*time.Second {
		t.Errorf("%s was used, %v", used, err)
	}
	rss, peak, err := Memory(os.Getpid())
	mapped, err2 := Mapped(os.Getpid())
	if err != nil || err2 != nil || rss < 1<<20 || peak < rss || mapped <= 0 || mapped >= rss {
		t.Errorf("%d bytes, peak %d, mapped %d, %v, %v", rss, peak, mapped, err, err2)
	}
}

func TestChildren(t *testing.T) {
	cmd := exec.Command("sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo done; read line")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if list := Children(os.Getpid()); len(list) != 1 || list[0] != cmd.Process.Pid {
		t.Errorf("children are %v, want %d", list, cmd.Process.Pid)
	}
	running := ChildrenCPU(os.Getpid())
	if running < 10*time.Millisecond {
		t.Errorf("the child that runs has used %s", running)
	}
	_ = in.Close()
	_ = cmd.Wait() // read fails at the end of its input
	if ended := ChildrenCPU(os.Getpid()); ended < running-2*userTick {
		t.Errorf("the child that ended had used %s, now %s", running, ended)
	}
}
