package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// recipe is the configuration of certbridged that uses a stand-in, but for where the stand-in is reached and where its
// secrets stand: a secret that is written into a configuration is refused.
type recipe struct {
	// plugin is the plugin's name, and the account's.
	plugin string
	// base is what follows the stand-in's address in base_url.
	base string
	// settings are further lines of [ca.NAME.settings].
	settings []string
	secrets  []credential
	// remarks go behind it as comments; "%s" stands for the stand-in's address.
	remarks []string
}

// credential is one secret of an account.
type credential struct {
	setting, text string
}

// toml is the recipe for an address; refer says where a secret stands, as a table.
func (r recipe) toml(address string, refer func(c credential) string) string {
	lines := []string{"[ca." + r.plugin + "]", "plugin = " + strconv.Quote(r.plugin), "[ca." + r.plugin + ".settings]"}
	for _, c := range r.secrets {
		lines = append(lines, c.setting+" = "+refer(c))
	}
	lines = append(lines, "base_url = "+strconv.Quote(address+r.base))
	lines = append(lines, r.settings...)
	for _, remark := range r.remarks {
		lines = append(lines, "# "+strings.ReplaceAll(remark, "%s", address))
	}
	return strings.Join(lines, "\n") + "\n"
}

// inFolder writes the secrets into files of a folder that only their owner reads, and returns the configuration.
func (r recipe) inFolder(dir, address string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find the folder for the account's keys: %w", err)
	}
	for _, c := range r.secrets {
		if err := sandbox.WriteFile(filepath.Join(dir, c.file()), []byte(c.text+"\n"), 0o600); err != nil {
			return "", err
		}
	}
	return r.example(dir, address), nil
}

// example is the recipe with the secrets in files of a folder.
func (r recipe) example(dir, address string) string {
	return r.toml(address, func(c credential) string {
		return fmt.Sprintf("{ file = %q }", filepath.Join(dir, c.file()))
	})
}

// inEnvironment returns the configuration with the secrets in the environment, and before it what sets them there: a
// stand-in that keeps nothing writes no files.
func (r recipe) inEnvironment(address string) string {
	var exports strings.Builder
	for _, c := range r.secrets {
		fmt.Fprintf(&exports, "export %s='%s'\n", r.variable(c), strings.ReplaceAll(c.text, "'", `'\''`))
	}
	config := r.toml(address, func(c credential) string { return fmt.Sprintf("{ env = %q }", r.variable(c)) })
	return "In the shell that certbridged is run from (or say --dir, and files hold them):\n\n" + exports.String() + "\nIn the configuration:\n\n" + config
}

func (c credential) file() string { return strings.ReplaceAll(c.setting, "_", "-") }

func (r recipe) variable(c credential) string {
	return strings.ToUpper("SANDBOX_" + r.plugin + "_" + c.setting)
}

// help is the recipe as the help of a command shows it.
func (r recipe) help(listen string) string {
	return indent(r.example("/home/you/"+r.plugin+"-rehearsal", "http://"+listen))
}
