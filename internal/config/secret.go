package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// maxSecret bounds the size of a secret, in bytes.
const maxSecret = 64 << 10

// isSecretReference reports whether a table is { file = }, { env = } or { credential = }, or a mix of them, which is a
// mistake.
func isSecretReference(raw map[string]any) bool {
	for key := range raw {
		if key != "file" && key != "env" && key != "credential" {
			return false
		}
	}
	return len(raw) > 0
}

// secret reads the secret that a key refers to. It is empty when there is none or a mistake was noted.
func (t *table) secret(key string) pluginapi.Secret {
	v, ok := t.raw[key]
	if !ok {
		return pluginapi.Secret{}
	}
	raw, ok := v.(map[string]any)
	if !ok {
		t.fail(key, `a secret does not stand in the configuration itself; write { file = "PATH" }, { env = "NAME" } or { credential = "NAME" }`)
		return pluginapi.Secret{}
	}
	return t.c.secret(t.c.table(t.file, t.pathOf(key), raw, t.at.below(key), sectionSecret))
}

// secret follows a reference.
func (c *checker) secret(t *table) pluginapi.Secret {
	t.refuseUnknown()
	if len(t.raw) != 1 {
		t.fail("", "a secret has exactly one of file, env and credential")
		return pluginapi.Secret{}
	}
	key := sortedKeys(t.raw)[0]
	if t.entry(key) == nil {
		return pluginapi.Secret{}
	}
	where := t.text(key)
	if where == "" {
		if t.raw[key] == "" {
			t.fail(key, "is empty")
		}
		return pluginapi.Secret{}
	}
	if c.opts.SkipSecrets {
		return pluginapi.Secret{}
	}
	text, err := c.readSecret(t, key, where)
	if err != nil {
		c.problems = append(c.problems, Problem{
			File: t.file, Line: t.at.below(key).line, Path: t.pathOf(key), Message: err.Error(), cause: err,
		})
		return pluginapi.Secret{}
	}
	return pluginapi.NewSecret(text)
}

func (c *checker) readSecret(t *table, key, where string) (string, error) {
	switch key {
	case "env":
		text, ok := c.opts.LookupEnv(where)
		if !ok {
			return "", fmt.Errorf("the environment variable %s is not set", where)
		}
		if text == "" {
			return "", fmt.Errorf("the environment variable %s is empty", where)
		}
		return text, nil
	case "credential":
		dir, ok := c.opts.LookupEnv("CREDENTIALS_DIRECTORY")
		if !ok || dir == "" {
			return "", errors.New("there are no systemd credentials here: CREDENTIALS_DIRECTORY is not set; add LoadCredential= to the unit")
		}
		if strings.ContainsRune(where, '/') || where == "." || where == ".." {
			return "", fmt.Errorf("%q is not the name of a credential", where)
		}
		text, _, err := readSecretFile(filepath.Join(dir, where))
		return text, err
	default:
		path := c.resolve(where)
		text, mode, err := readSecretFile(path)
		if err == nil && mode&0o004 != 0 {
			t.warn(key, "%s can be read by everybody; chmod o= it", path)
		}
		return text, err
	}
}

// readSecretFile reads a regular file and drops one line end at its end.
func readSecretFile(path string) (string, os.FileMode, error) {
	// O_NONBLOCK: opening a pipe nobody writes to must not wait.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", 0, fmt.Errorf("read secret: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", 0, fmt.Errorf("read secret: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", 0, fmt.Errorf("read secret: %s is not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch {
	case err != nil:
		return "", 0, fmt.Errorf("read secret: %w", err)
	case len(data) > maxSecret:
		return "", 0, fmt.Errorf("read secret: %s is larger than %d bytes", path, maxSecret)
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if text == "" {
		return "", 0, fmt.Errorf("read secret: %s is empty", path)
	}
	return text, info.Mode(), nil
}
