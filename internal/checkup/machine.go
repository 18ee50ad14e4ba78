package checkup

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/certbridge/certbridged/internal/certstore"
	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/deploy"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// machine looks at users, groups, folders and commands. Most of it are warnings: they may come later than the
// configuration.
func machine(c *config.Config) []Remark {
	var remarks []Remark
	warn := func(path []string, format string, args ...any) {
		remarks = append(remarks, remark(c, pluginapi.Warning, path, format, args...))
	}
	if g := c.Daemon.ControlGroup; g != "" && !groupExists(g) {
		remarks = append(remarks, remark(c, pluginapi.Fault, []string{"daemon", "control_group"}, "there is no group %q on this machine", g))
	}
	if err := folder(c.Daemon.PluginDir); err != nil {
		warn([]string{"daemon", "plugin_dir"}, "%v", err)
	}
	for name, d := range c.DCV {
		if d.Webroot == "" {
			continue
		}
		if err := folder(d.Webroot); err != nil {
			warn([]string{"dcv", name, "webroot"}, "%v", err)
		}
	}
	if info, err := os.Stat(c.Daemon.StateDir); err == nil && !info.IsDir() {
		remarks = append(remarks, remark(c, pluginapi.Fault, []string{"daemon", "state_dir"}, "%s is not a folder", c.Daemon.StateDir))
	}
	for cert := range c.All() {
		if len(cert.Domains) == 0 && !present(cert) {
			warn([]string{"certificate", cert.Name}, "has no domains, and no certificate is on disk to take them from: nothing can be ordered")
		}
		for key, words := range map[string][]string{"check": cert.Deploy.Check, "reload": cert.Deploy.Reload} {
			if len(words) > 0 && !executable(words[0]) {
				warn([]string{"certificate", cert.Name, "deploy", key}, "%s", noCommand(words[0]))
			}
		}
	}
	return append(remarks, files(c)...)
}

// files looks at whether the files could be installed. Two certificates that would write one file are a mistake; the
// rest depends on the user who checks, and may be mended later.
func files(c *config.Config) []Remark {
	var remarks []Remark
	sets := map[string][]certstore.File{}
	for cert := range c.All() {
		for _, f := range cert.Files {
			at := []string{"certificate", cert.Name, "files", strings.ReplaceAll(string(f.Form), "-", "_")}
			// The store would stop at the first of these.
			if f.Owner != "" && !userExists(f.Owner) {
				remarks = append(remarks, remark(c, pluginapi.Warning, append(slices.Clone(at), "owner"), "there is no user %q on this machine", f.Owner))
				f.Owner = ""
			}
			if f.Group != "" && !groupExists(f.Group) {
				remarks = append(remarks, remark(c, pluginapi.Warning, append(slices.Clone(at), "group"), "there is no group %q on this machine", f.Group))
				f.Group = ""
			}
			sets[cert.Name] = append(sets[cert.Name], StoreFile(f))
		}
	}
	for _, err := range apart(certstore.Check(sets)) {
		severity := pluginapi.Warning
		if errors.Is(err, certstore.ErrShared) {
			severity = pluginapi.Fault
		}
		path := []string{"certificate"}
		for name := range sets {
			if strings.HasPrefix(err.Error(), "certificate "+strconv.Quote(name)+":") {
				path = append(path, name, "files")
			}
		}
		remarks = append(remarks, remark(c, severity, path, "%v", err))
	}
	return append(remarks, onDisk(c, sets)...)
}

// StoreFile is a configured file as the certificate store wants it.
func StoreFile(f config.File) certstore.File {
	return certstore.File{
		Form: certstore.Form(f.Form), Path: f.Path, Owner: f.Owner, Group: f.Group, Mode: f.Mode, Password: f.Password, Alias: f.Alias,
	}
}

// apart takes a joined error to pieces.
func apart(err error) []error {
	var joined interface{ Unwrap() []error }
	switch {
	case err == nil:
		return nil
	case errors.As(err, &joined):
		return joined.Unwrap()
	default:
		return []error{err}
	}
}

// present reports whether a file is there that the names could be taken from.
func present(cert config.Certificate) bool {
	return slices.ContainsFunc(cert.Files, func(f config.File) bool {
		if !f.Form.HasLeaf() {
			return false
		}
		_, err := os.Stat(f.Path)
		return err == nil
	})
}

func folder(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		return errors.New(path + " is not a folder")
	}
	return err
}

// executable looks for a command where deploy would find it.
func executable(name string) bool {
	dirs := []string{""}
	if !strings.ContainsRune(name, '/') {
		dirs = filepath.SplitList(deploy.SearchPath)
	}
	return slices.ContainsFunc(dirs, func(dir string) bool {
		info, err := os.Stat(filepath.Join(dir, name))
		return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
	})
}

// noCommand says why a command cannot be run, and what may have been meant.
func noCommand(name string) string {
	if info, err := os.Stat(name); filepath.IsAbs(name) && err == nil && info.Mode().IsRegular() {
		return fmt.Sprintf("%s is not executable; run: chmod +x %s", name, name)
	}
	if words := strings.Fields(name); len(words) > 1 {
		return fmt.Sprintf(`there is no command %q; write each word for itself: ["%s"]`, name, strings.Join(words, `", "`))
	}
	return fmt.Sprintf("there is no command %q", name)
}

func userExists(name string) bool {
	_, err := user.Lookup(name)
	return err == nil || isNumber(name)
}

func groupExists(name string) bool {
	_, err := user.LookupGroup(name)
	return err == nil || isNumber(name)
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 32)
	return err == nil
}
