// Package checkup looks at a configuration that can be read: at what plugins say about their settings, and at what this
// machine has.
package checkup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/pluginhost"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Remark is something that was found, and where in the configuration.
type Remark struct {
	config.Problem
	Severity pluginapi.Severity
}

// Mistakes are the remarks that keep something from working.
func Mistakes(remarks []Remark) []config.Problem {
	var list []config.Problem
	for _, r := range remarks {
		if r.Severity == pluginapi.Fault {
			list = append(list, r.Problem)
		}
	}
	return list
}

// Describer says what a CA plugin is.
type Describer interface {
	Describe(ctx context.Context) (pluginapi.Description, error)
}

// Account is a CA account that can be checked.
type Account interface {
	Describer
	// Findings are what the plugin says about the account's settings.
	Findings(ctx context.Context) ([]pluginapi.Finding, error)
	// Configured is what Configure returned.
	Configured(ctx context.Context) (pluginapi.Configured, error)
	pluginapi.Preflighter
	pluginapi.OrderChecker
}

// Profile is a DCV profile that can be checked.
type Profile interface {
	Findings(ctx context.Context) ([]pluginapi.Finding, error)
}

// Plugins make accounts and profiles of a configuration. An account that is made again knows what the one before has
// learned.
type Plugins interface {
	Account(ca config.CA) Account
	Profile(p config.DCV) Profile
}

// Online is how to look beyond this machine.
type Online struct {
	// CAA looks whether CAA records let an account issue a certificate.
	CAA func(ctx context.Context, cert config.Certificate, a Account) error
}

// atOnce is how many plugins are started side by side.
const atOnce = 4

// Run checks everything. Online, which may be nil, it also lets plugins log in to their CAs, which spends nothing, and
// looks at CAA records. A plugin that cannot be asked is a mistake online; otherwise a configuration may be written before
// its plugins are there.
func Run(ctx context.Context, c *config.Config, plugins Plugins, online *Online) []Remark {
	var mu sync.Mutex
	remarks := machine(c)
	for _, w := range c.Warnings {
		remarks = append(remarks, Remark{w, pluginapi.Warning})
	}
	add := func(list []Remark) {
		mu.Lock()
		defer mu.Unlock()
		remarks = append(remarks, list...)
	}
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, name := range slices.Sorted(maps.Keys(c.CA)) {
		group.Go(func() error { add(account(ctx, c, name, plugins, online)); return nil })
	}
	for _, name := range slices.Sorted(maps.Keys(c.DCV)) {
		if p := c.DCV[name]; p.Plugin != "" {
			group.Go(func() error { add(profile(ctx, c, name, plugins.Profile(p), online != nil)); return nil })
		}
	}
	_ = group.Wait() // what goes wrong is a remark
	rank := map[string]int{}
	for i, file := range c.Sources() {
		rank[file] = i
	}
	slices.SortStableFunc(remarks, func(x, y Remark) int {
		return cmp.Or(cmp.Compare(rank[x.File], rank[y.File]), cmp.Compare(x.Line, y.Line), cmp.Compare(x.Path, y.Path))
	})
	return once(remarks)
}

func account(ctx context.Context, c *config.Config, name string, plugins Plugins, online *Online) []Remark {
	a := plugins.Account(c.CA[name])
	d, err := a.Describe(ctx)
	if err != nil {
		return []Remark{silent(c, err, online != nil, "ca", name, "plugin")}
	}
	remarks := Settings(c, name, d)
	if !configurable(c, name, d) {
		return remarks // the plugin would only say the same again
	}
	findings, err := a.Findings(ctx)
	if err != nil {
		return append(remarks, silent(c, err, online != nil, "ca", name, "plugin"))
	}
	remarks = append(remarks, place(c, findings, "ca", name, "settings")...)
	if pluginapi.HasFault(findings) {
		return remarks // it answers nothing else before they are mended
	}
	more, err := Orders(ctx, c, name, d, a, certificates(c, name))
	remarks = append(remarks, more...)
	if err != nil {
		remarks = append(remarks, fault(c, err, "ca", name, "settings"))
	}
	if online == nil || len(Mistakes(remarks)) > 0 {
		return remarks
	}
	if d.Has(pluginapi.AbilityPreflight) {
		remarks = append(remarks, preflight(ctx, c, name, a)...)
	}
	return append(remarks, caa(ctx, c, name, plugins, online)...)
}

// preflight lets an account log in.
func preflight(ctx context.Context, c *config.Config, name string, a Account) []Remark {
	of := slices.DeleteFunc(certificates(c, name), func(cert config.Certificate) bool { return !cert.Enabled })
	reply, err := a.Preflight(ctx, orderSettings(of))
	if err != nil {
		return []Remark{fault(c, err, "ca", name, "settings")}
	}
	return placeOrders(c, name, of, reply.Findings)
}

// caa looks at the CAA records of an account's certificates. They may be changed by the time an order is due.
func caa(ctx context.Context, c *config.Config, name string, plugins Plugins, online *Online) []Remark {
	if !c.CA[name].CheckCAA || online.CAA == nil {
		return nil
	}
	var remarks []Remark
	var a Account
	for cert := range c.All() {
		if cert.CA != name || !cert.Enabled || len(cert.Domains) == 0 {
			continue
		}
		if a == nil {
			a = plugins.Account(c.CA[name]) // an ACME CA's names in CAA records are learned by logging in
		}
		if err := online.CAA(ctx, cert, a); err != nil {
			remarks = append(remarks, remark(c, pluginapi.Warning, []string{"certificate", cert.Name, "domains"}, "%v", err))
		}
	}
	return remarks
}

// Settings compares the settings of a CA account, and the order settings of the certificates it serves, with what its
// plugin describes.
func Settings(c *config.Config, account string, d pluginapi.Description) []Remark {
	remarks := place(c, pluginapi.CheckSettings(d.AccountSettings, c.CA[account].Settings), "ca", account, "settings")
	defaults := pluginapi.CheckSettings(d.OrderSettings, c.CA[account].OrderDefaults)
	for _, f := range defaults {
		if !strings.Contains(f.Message, "is missing") { // each certificate may add what the defaults leave out
			remarks = append(remarks, place(c, []pluginapi.Finding{f}, "ca", account, "settings", "order")...)
		}
	}
	for _, cert := range certificates(c, account) {
		for _, f := range pluginapi.CheckSettings(d.OrderSettings, cert.Order) {
			remarks = append(remarks, OrderRemark(c, cert, f))
		}
	}
	return once(remarks)
}

// configurable reports whether an account's own settings are as its plugin describes them.
func configurable(c *config.Config, account string, d pluginapi.Description) bool {
	return !pluginapi.HasFault(pluginapi.CheckSettings(d.AccountSettings, c.CA[account].Settings))
}

// certificates are those that are ordered from an account.
func certificates(c *config.Config, account string) []config.Certificate {
	return c.Select(func(cert *config.Certificate) bool { return cert.CA == account })
}

func profile(ctx context.Context, c *config.Config, name string, p Profile, online bool) []Remark {
	findings, err := p.Findings(ctx)
	if err != nil {
		return []Remark{silent(c, err, online, "dcv", name, "plugin")}
	}
	return place(c, findings, "dcv", name, "settings")
}

// silent is about a plugin that did not answer.
func silent(c *config.Config, err error, online bool, path ...string) Remark {
	r := fault(c, err, path...)
	if !online && errors.Is(err, pluginhost.ErrNotInstalled) {
		r.Severity = pluginapi.Warning
	}
	return r
}

func fault(c *config.Config, err error, path ...string) Remark {
	var e *pluginapi.Error
	if errors.As(err, &e) && e.Field != "" {
		path = append(slices.Clone(path), strings.Split(e.Field, ".")...)
	}
	return remark(c, pluginapi.Fault, path, "%v", err)
}

func place(c *config.Config, findings []pluginapi.Finding, path ...string) []Remark {
	var remarks []Remark
	for _, f := range findings {
		r := remark(c, f.Severity, slices.Concat(path, segments(f.Field)), "%s", f.Message)
		if f.Field != "" {
			r.Path = strings.Join(append(slices.Clone(path), f.Field), ".") // as the plugin writes it
		}
		remarks = append(remarks, r)
	}
	return remarks
}

func remark(c *config.Config, severity pluginapi.Severity, path []string, format string, args ...any) Remark {
	file, line := c.Position(path...)
	return Remark{config.Problem{File: file, Line: line, Path: strings.Join(path, "."), Message: fmt.Sprintf(format, args...)}, severity}
}
