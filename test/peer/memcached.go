package peer

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Memcached starts memcached and returns where it listens, "127.0.0.1:port".
func Memcached(t testing.TB) string {
	t.Helper()
	binary := Need(t, "memcached", "apt-get install memcached")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	port := FreePort(t)
	// As root it wants to be told whom to run as.
	cmd := exec.Command(binary, "-l", "127.0.0.1", "-p", strconv.Itoa(port), "-U", "0", "-u", me.Username, "-t", "1", "-m", "8")
	p := launch(t, "memcached", cmd)
	addr := loopback(port)
	err = p.ready(func() error {
		_, _, err := memcachedGet(addr, "ready")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// MemcachedGet returns the value that memcached holds for a key, and whether it holds one.
func MemcachedGet(t testing.TB, addr, key string) (value string, found bool) {
	t.Helper()
	value, found, err := memcachedGet(addr, key)
	if err != nil {
		t.Fatalf("ask memcached for %s: %v", key, err)
	}
	return value, found
}

// memcachedGet speaks memcached's text protocol.
func memcachedGet(addr, key string) (value string, found bool, err error) {
	c, err := net.DialTimeout("tcp", addr, stopTimeout)
	if err != nil {
		return "", false, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(stopTimeout)); err != nil {
		return "", false, err
	}
	if _, err := fmt.Fprintf(c, "get %s\r\n", key); err != nil {
		return "", false, err
	}
	in := bufio.NewReader(c)
	line, err := in.ReadString('\n')
	if err != nil {
		return "", false, err
	}
	fields := strings.Fields(line) // VALUE key flags bytes, or END
	if len(fields) == 1 && fields[0] == "END" {
		return "", false, nil
	}
	if len(fields) != 4 || fields[0] != "VALUE" {
		return "", false, fmt.Errorf("answer %q", line)
	}
	size, err := strconv.Atoi(fields[3])
	if err != nil || size < 0 {
		return "", false, errors.Join(fmt.Errorf("answer %q", line), err)
	}
	text := make([]byte, size)
	_, err = io.ReadFull(in, text)
	return string(text), err == nil, err
}
