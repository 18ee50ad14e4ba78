package publisher

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-acme/lego/v4/challenge"
	"github.com/go-acme/lego/v4/challenge/http01"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// ownWebroot is lego's webroot with respect for what is there: lego's would write over a file of somebody else's, and
// fails to remove what is gone.
type ownWebroot struct {
	challenge.Provider
	path string
}

// Present implements challenge.Provider.
func (w *ownWebroot) Present(domain, token, keyAuth string) error {
	file := filepath.Join(w.path, http01.ChallengePath(token))
	content, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("look what is there: %w", err)
	case string(content) != keyAuth:
		return pluginapi.Errorf(pluginapi.Conflict, "%s is there already with another content: remove it, or use another way to show control", file)
	}
	return w.Provider.Present(domain, token, keyAuth)
}

// CleanUp implements challenge.Provider. What another one has put in the file's place stays.
func (w *ownWebroot) CleanUp(domain, token, keyAuth string) error {
	content, err := os.ReadFile(filepath.Join(w.path, http01.ChallengePath(token)))
	if errors.Is(err, fs.ErrNotExist) || err == nil && string(content) != keyAuth {
		return nil
	}
	if err := w.Provider.CleanUp(domain, token, keyAuth); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

const (
	memcachedTimeout = 10 * time.Second
	// memcachedAge is when a file goes by itself, should it never be withdrawn. A commercial CA may look for days; more
	// than thirty would be taken as a date.
	memcachedAge = 14 * 24 * time.Hour
	// memcachedKey is how long a key may be, in bytes.
	memcachedKey = 250
)

// memcached stores files under the keys that lego's provider uses, their paths, where a web server's memcached module
// finds them. lego's provider itself cannot be used: its entries vanish after a minute, long before a commercial CA has
// looked, it does not notice when an entry is not stored, and it removes nothing.
type memcached []string

// Present implements challenge.Provider. Each of the servers must have the file, for the web server may ask any.
func (hosts memcached) Present(_, token, keyAuth string) error {
	return hosts.each(fmt.Sprintf("set %s 0 %d %d\r\n%s\r\n", http01.ChallengePath(token), int(memcachedAge.Seconds()), len(keyAuth), keyAuth),
		http01.ChallengePath(token), "STORED")
}

// CleanUp implements challenge.Provider.
func (hosts memcached) CleanUp(_, token, _ string) error {
	return hosts.each(fmt.Sprintf("delete %s\r\n", http01.ChallengePath(token)), http01.ChallengePath(token), "DELETED", "NOT_FOUND")
}

// each gives every server a command of memcached's text protocol.
func (hosts memcached) each(command, key string, want ...string) error {
	if len(key) > memcachedKey {
		return pluginapi.Errorf(pluginapi.InvalidRequest, "the path %.300s has %d bytes, and memcached's keys at most %d", key, len(key), memcachedKey)
	}
	var errs []error
	for _, host := range hosts {
		if err := tellMemcached(host, command, want); err != nil {
			errs = append(errs, fmt.Errorf("memcached at %s: %w", host, err))
		}
	}
	return errors.Join(errs...)
}

func tellMemcached(host, command string, want []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), memcachedTimeout)
	defer cancel()
	network := "tcp"
	if strings.HasPrefix(host, "/") {
		network = "unix"
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, host)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(memcachedTimeout)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte(command)); err != nil {
		return err
	}
	const longest = 512
	line, err := bufio.NewReaderSize(conn, longest).ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("read its answer: %w", err)
	}
	said := strings.TrimSpace(string(line))
	for _, w := range want {
		if said == w {
			return nil
		}
	}
	return fmt.Errorf("it says %q, not %s", said, want[0])
}
