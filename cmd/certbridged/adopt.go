package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/certbridge/certbridged/internal/cert"
	"github.com/certbridge/certbridged/internal/certstore"
	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/daemon"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// adopted is a certificate found in files that are in use.
type adopted struct {
	Name     string        `json:"name"`
	Names    []string      `json:"names"`
	KeyType  string        `json:"key_type,omitempty"`
	Serial   string        `json:"serial"`
	NotAfter time.Time     `json:"not_after"`
	HasKey   bool          `json:"has_key"`
	Files    []adoptedFile `json:"files"`
	// Order is the order at the CA account that it belongs to, where one is named and sells plans.
	Order *adoptedOrder `json:"order,omitempty"`
	// TOML is what to put into the configuration.
	TOML string `json:"toml"`

	found daemon.FoundOrder
}

// adoptedFile is one of its files.
type adoptedFile struct {
	Form   string `json:"form"`
	Path   string `json:"path"`
	Target string `json:"target,omitempty"`
	Owner  string `json:"owner"`
	Group  string `json:"group"`
	Mode   string `json:"mode"`
}

// adoptedOrder is an order that was placed by other means.
type adoptedOrder struct {
	Reference   string     `json:"reference,omitempty"`
	CoverageEnd *time.Time `json:"coverage_end,omitempty"`
	// Over is what ended it; empty while it is worth something.
	Over string `json:"over,omitempty"`
	// RenewedBy is the order that renewed it.
	RenewedBy string `json:"renewed_by,omitempty"`
	// Problem is why the CA could not be asked.
	Problem string `json:"problem,omitempty"`
}

// String says what the order means for what comes next.
func (o adoptedOrder) String() string {
	switch {
	case o.Problem != "":
		return "the CA could not be asked for its order: " + o.Problem
	case o.Over != "":
		return fmt.Sprintf("belongs to order %s, which is %s at the CA: the next one is bought", o.Reference, o.Over)
	case o.RenewedBy != "":
		return fmt.Sprintf("belongs to order %s, which order %s has renewed: put a certificate of %[2]s in its place, or a person will be asked before anything is ordered",
			o.Reference, o.RenewedBy)
	case o.CoverageEnd == nil:
		return fmt.Sprintf("belongs to order %s, which is taken over", o.Reference)
	default:
		return fmt.Sprintf("belongs to order %s, paid until %s, which is taken over: nothing is bought before that is used up", o.Reference, o.CoverageEnd.UTC().Format(time.DateOnly))
	}
}

// unused is a file that belongs to no certificate.
type unused struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

func (a *app) adoptCommand() *cobra.Command {
	var account, passwordFile string
	cmd := &cobra.Command{
		Use:   "adopt PATH...",
		Short: "Read certificate files that are in use and print the configuration that manages them",
		Long: `Read certificate files that are in use, sort out which belong together, and print the configuration that manages
them. Nothing is changed: put the output into a file under conf.d and run "certbridged check". A folder stands for the
files in it and below it.

With --ca naming an account of a CA that sells plans, the CA is asked which order each certificate belongs to. certbridged
takes that order over: a certificate is reissued under it while it is paid, and nothing is bought.`,
		Args: words(1, math.MaxInt),
		RunE: func(cmd *cobra.Command, args []string) error {
			var password pluginapi.Secret
			if passwordFile != "" {
				text, err := os.ReadFile(passwordFile)
				if err != nil {
					return notFound(err)
				}
				password = pluginapi.NewSecret(strings.TrimRight(string(text), "\r\n"))
				if passwordFile, err = filepath.Abs(passwordFile); err != nil {
					return err
				}
			}
			if err := a.knowsAccount(account); err != nil {
				return err
			}
			found, rest, err := inspect(args, password)
			if err != nil {
				return err
			}
			sets, apart := certstore.Gather(found)
			for _, f := range apart {
				rest = append(rest, unused{f.Path, whyApart(f)})
			}
			list := adoptedOf(sets)
			if account != "" {
				a.findOrders(cmd.Context(), account, sets, list)
			}
			for i := range list {
				list[i].TOML = list[i].toml(a.accountFor(account), passwordFile)
			}
			return a.printAdopted(list, rest)
		},
	}
	cmd.Flags().StringVar(&account, "ca", "", "CA account to renew with; default: the configuration's, when it has only one")
	cmd.Flags().StringVar(&passwordFile, "password-file", "", "`file` with the password of PKCS#12 and JKS files")
	return cmd
}

// knowsAccount refuses an account that the configuration, where there is one, does not have.
func (a *app) knowsAccount(asked string) error {
	cfg, err := config.Load(a.configPath, config.Options{SkipSecrets: true})
	if asked == "" || err != nil {
		return nil //nolint:nilerr // files can be looked at before there is a configuration
	}
	if _, ok := cfg.CA[asked]; !ok {
		return usagef("there is no CA account [ca.%s] in %s", asked, a.configPath)
	}
	return nil
}

// findOrders notes which orders certificates belong to. That it cannot be found out keeps nobody from taking them over.
func (a *app) findOrders(ctx context.Context, account string, sets []certstore.Set, list []adopted) {
	cfg, err := config.Load(a.configPath, config.Options{})
	if err != nil {
		return // there is no configuration yet, or "certbridged check" says what is wrong with it
	}
	var leaves []*x509.Certificate
	for _, s := range sets {
		leaves = append(leaves, s.Leaf)
	}
	found, err := daemon.FindOrders(ctx, cfg, account, leaves, slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Fprintf(a.err, "the CA account %s could not be asked for orders: %s\n", safe(account), safe(err.Error()))
		return
	}
	for i, f := range found {
		list[i].found = f
		switch {
		case f.Err != nil:
			list[i].Order = &adoptedOrder{Problem: f.Err.Error()}
		case f.Reference != "":
			o := &adoptedOrder{Reference: f.Reference, RenewedBy: f.RenewedBy}
			if f.Over() {
				o.Over = f.Status.String()
			}
			if !f.CoverageEnd.IsZero() {
				o.CoverageEnd = &f.CoverageEnd
			}
			list[i].Order = o
		}
	}
}

// accountFor chooses the CA account: the one asked for, or the only one there is.
func (a *app) accountFor(asked string) string {
	if asked != "" {
		return asked
	}
	cfg, err := config.Load(a.configPath, config.Options{SkipSecrets: true})
	if err == nil && len(cfg.CA) == 1 {
		return slices.Sorted(maps.Keys(cfg.CA))[0]
	}
	return ""
}

// inspect looks into files. A file that was named and cannot be used is an error; one in a folder is not.
func inspect(paths []string, password pluginapi.Secret) (found []certstore.Found, rest []unused, err error) {
	seen := map[string]bool{}
	look := func(path string) error {
		f, err := certstore.Inspect(path, password)
		if err != nil {
			return err
		}
		// Several links may lead to one file, which one certificate can write.
		target := orText(f.Target, f.Path)
		if seen[target] {
			return errors.New("the same file as one that is used")
		}
		seen[target] = true
		found = append(found, f)
		return nil
	}
	var errs []error
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			errs = append(errs, notFound(err))
			continue
		}
		if !info.IsDir() {
			errs = append(errs, look(path))
			continue
		}
		errs = append(errs, filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				rest = append(rest, unused{p, err.Error()})
				return nil //nolint:nilerr // it is noted, and the walk goes on
			}
			if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() {
				if err := look(p); err != nil {
					rest = append(rest, unused{p, err.Error()})
				}
			}
			return nil
		}))
	}
	return found, rest, errors.Join(errs...)
}

func whyApart(f certstore.Found) string {
	switch {
	case f.NeedsPassword:
		return "a keystore whose password is needed: --password-file"
	case f.Form.HasKey():
		return "a private key without its certificate"
	default:
		return "a chain without its certificate"
	}
}

// adoptedOf names sets of files.
func adoptedOf(sets []certstore.Set) []adopted {
	var out []adopted
	taken := map[string]int{}
	for _, s := range sets {
		name := nameFor(s.Names)
		if taken[name]++; taken[name] > 1 {
			name = fmt.Sprintf("%s-%d", name, taken[name])
		}
		c := adopted{
			Name: name, Names: orEmpty(s.Names), KeyType: string(s.KeyType), Serial: cert.Serial(s.Leaf), NotAfter: s.Leaf.NotAfter,
			HasKey: s.HasKey,
		}
		for _, f := range s.Files {
			c.Files = append(c.Files, adoptedFile{string(f.Form), f.Path, f.Target, f.Owner, f.Group, fmt.Sprintf("%04o", f.Mode.Perm())})
		}
		out = append(out, c)
	}
	return out
}

// nameFor makes a certificate's name of the names it is for.
func nameFor(names []string) string {
	if len(names) == 0 {
		return "certificate"
	}
	name := strings.ReplaceAll(strings.Replace(names[0], "*.", "wildcard.", 1), ":", "-")
	if len(name) > 60 {
		name = name[:60]
	}
	return strings.Trim(name, ".-")
}

// toml writes the configuration of a certificate.
func (c adopted) toml(account, passwordFile string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[[certificate]]\nname = %s\ndomains = [", tomlText(c.Name))
	for i, n := range c.Names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(tomlText(n))
	}
	b.WriteString("]\n")
	if account == "" {
		b.WriteString("ca = \"\"  # name the CA account to renew with\n")
	} else {
		fmt.Fprintf(&b, "ca = %s\n", tomlText(account))
	}
	if c.KeyType != "" {
		fmt.Fprintf(&b, "key = %s\n", tomlText(c.KeyType))
	}
	b.WriteString("\n[certificate.files]\n")
	byForm := map[string][]string{}
	for _, f := range c.Files {
		value := tomlText(f.Path)
		if f.Form == string(certstore.PKCS12) || f.Form == string(certstore.JKS) {
			value = fmt.Sprintf("{ path = %s, password = { file = %s } }", value, tomlText(orText(passwordFile, "PASSWORD-FILE")))
		}
		key := strings.ReplaceAll(f.Form, "-", "_")
		byForm[key] = append(byForm[key], value)
	}
	// A server that reads one file with one certificate in it will miss the intermediates of a CA that has some.
	alone := len(byForm["cert"]) > 0 && len(byForm["chain"])+len(byForm["fullchain"]) == 0
	if alone {
		b.WriteString("# Held one certificate. Write cert instead where the server gets the intermediates from elsewhere.\n")
		byForm["fullchain"] = byForm["cert"]
		delete(byForm, "cert")
	}
	for _, form := range slices.Sorted(maps.Keys(byForm)) {
		value := byForm[form][0]
		if len(byForm[form]) > 1 {
			value = "[" + strings.Join(byForm[form], ", ") + "]"
		}
		fmt.Fprintf(&b, "%s = %s\n", form, value)
	}
	if !c.HasKey {
		b.WriteString("key = \"\"  # the private key was not among the files; name its file\n")
	}
	c.orderTOML(&b, account)
	b.WriteString(`
# Without this the new files are installed and no server is told of them.
#[certificate.deploy]
#check = ["nginx", "-t"]
#reload = ["systemctl", "reload", "nginx"]
#verify = "127.0.0.1:443"
`)
	return b.String()
}

// orderTOML writes what the next order is made with: what the CA tells of the one there is, and what it leaves open.
func (c adopted) orderTOML(b *strings.Builder, account string) {
	if f := c.found; len(f.Settings) > 0 {
		fmt.Fprintf(b, "\n[certificate.order]  # as the CA tells of order %s\n", f.Reference)
		for _, name := range slices.Sorted(maps.Keys(f.Settings)) {
			fmt.Fprintf(b, "%s = %s\n", tomlKey(name), tomlValue(f.Settings[name]))
		}
	}
	if len(c.found.Missing) == 0 {
		return
	}
	fmt.Fprintf(b, "\n# CA account %s takes no order like this: certbridged check refuses it, and nothing would be ordered. Mend what follows, here or,\n"+
		"# for all certificates of the account, in [ca.%s.settings.order].\n", tomlKey(account), tomlKey(account))
	if len(c.found.Settings) == 0 {
		b.WriteString("#[certificate.order]\n")
	}
	for _, f := range c.found.Missing {
		name := f.Field
		if name == "" {
			fmt.Fprintf(b, "# %s\n", oneLine(f.Message))
			continue
		}
		fmt.Fprintf(b, "#%s =   # %s\n", oneLine(name), oneLine(f.Message))
	}
}

// tomlKey writes a key, quoted where it needs to be.
func tomlKey(name string) string {
	if name != "" && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == "" {
		return name
	}
	return tomlText(name)
}

// tomlValue writes a value as a plugin gives it, on one line.
func tomlValue(v any) string {
	switch v := v.(type) {
	case string:
		return tomlText(v)
	case float64:
		text := strconv.FormatFloat(v, 'f', -1, 64)
		if !strings.Contains(text, ".") {
			text += ".0"
		}
		return text
	case []any:
		var list []string
		for _, one := range v {
			list = append(list, tomlValue(one))
		}
		return "[" + strings.Join(list, ", ") + "]"
	case map[string]any:
		var list []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			list = append(list, tomlKey(name)+" = "+tomlValue(v[name]))
		}
		return "{ " + strings.Join(list, ", ") + " }"
	default:
		return fmt.Sprint(v) // whole numbers, true and false
	}
}

func orText(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// tomlText writes a TOML basic string; JSON's escapes are a part of TOML's (TOML 1.0, "String").
func tomlText(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return `""`
	}
	return strings.ReplaceAll(strings.TrimSpace(b.String()), "\x7f", `\u007f`)
}

func (a *app) printAdopted(list []adopted, rest []unused) error {
	if a.json {
		if err := a.printJSON(struct {
			Certificates []adopted `json:"certificates"`
			Unused       []unused  `json:"unused"`
		}{orEmpty(list), orEmpty(rest)}); err != nil {
			return err
		}
	} else {
		for i, c := range list {
			if i > 0 {
				a.printf("\n")
			}
			a.printf("# serial %s, expires %s\n", c.Serial, c.NotAfter.UTC().Format(time.DateOnly))
			if c.Order != nil {
				a.printf("# %s\n", oneLine(c.Order.String()))
			}
			a.printf("%s", c.TOML)
		}
		for _, u := range rest {
			fmt.Fprintf(a.err, "not used: %s: %s\n", safe(u.Path), safe(u.Reason))
		}
	}
	if len(list) == 0 {
		return &codeError{code: exitNotFound, err: errors.New("no certificate is among these files")}
	}
	return nil
}
