package daemon

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/certbridge/certbridged/internal/checkup"
	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/dcv"
	"github.com/certbridge/certbridged/internal/deploy"
	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/internal/pluginhost"
	"github.com/certbridge/certbridged/internal/schedule"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// setup is all that follows from one configuration. It is made whole and swapped whole, and never changed.
type setup struct {
	config *config.Config
	cas    map[string]*pluginhost.CA
	dcvs   map[string]*pluginhost.DCV
}

// certificate returns a certificate that is configured; the zero value and false for another.
func (s *setup) certificate(name string) (config.Certificate, bool) {
	return s.config.Certificate(name)
}

// has reports whether a certificate is configured.
func (s *setup) has(name string) bool {
	_, ok := s.config.Find(name)
	return ok
}

// partOf is the part of the file system that the files of a certificate of a name are in.
func (s *setup) partOf(name string) string {
	n, ok := s.config.Find(name)
	if !ok {
		return ""
	}
	return partOf(s.config.Folder(n))
}

// names are those of all certificates, sorted.
func (s *setup) names() []string {
	list := make([]string, 0, s.config.Len())
	for n := range s.config.Len() {
		list = append(list, s.config.Name(n))
	}
	slices.Sort(list)
	return list
}

// newSetup makes the setup of a configuration. Accounts and profiles that are as before keep their plugin process.
func (d *Daemon) newSetup(c *config.Config, before *setup) *setup {
	s := &setup{config: c, cas: map[string]*pluginhost.CA{}, dcvs: map[string]*pluginhost.DCV{}}
	for name, ca := range c.CA {
		if before != nil && before.cas[name] != nil && samePlugin(before.config.CA[name], ca) {
			s.cas[name] = before.cas[name]
			continue
		}
		s.cas[name] = d.host.CA(caInstance(ca, accountMemory{
			read: func() []byte { return d.accountState(name) },
			save: func(state []byte) error { return d.saveAccountState(name, state) },
		}))
	}
	for name, profile := range c.DCV {
		if profile.Plugin == "" {
			continue
		}
		if before != nil && before.dcvs[name] != nil && reflect.DeepEqual(before.config.DCV[name], profile) &&
			slices.Equal(before.config.Daemon.DNSResolvers, c.Daemon.DNSResolvers) {
			s.dcvs[name] = before.dcvs[name]
			continue
		}
		s.dcvs[name] = d.host.DCV(dcvInstance(c, profile))
	}
	return s
}

// accountMemory keeps a CA account's state between two processes. Without its functions, it is forgotten.
type accountMemory struct {
	read func() []byte
	save func(state []byte) error
}

// caInstance is what a CA account's process is made of.
func caInstance(ca config.CA, memory accountMemory) pluginhost.Instance {
	return pluginhost.Instance{
		Name: ca.Name, Plugin: ca.Plugin, SHA256: ca.SHA256, Settings: ca.Settings, Env: reveal(ca.Env),
		State: memory.read, SaveState: memory.save,
	}
}

// dcvInstance is what a DCV profile's process is made of.
func dcvInstance(c *config.Config, p config.DCV) pluginhost.Instance {
	return pluginhost.Instance{
		Name: p.Name, Plugin: p.Plugin, SHA256: p.SHA256, Settings: p.Settings, Env: reveal(p.Env), DNSResolvers: c.Daemon.DNSResolvers,
	}
}

// samePlugin reports whether one process can serve both accounts.
func samePlugin(a, b config.CA) bool { return reflect.DeepEqual(pluginPart(a), pluginPart(b)) }

// pluginPart is what a CA account's process depends on.
func pluginPart(ca config.CA) config.CA {
	return config.CA{Name: ca.Name, Plugin: ca.Plugin, SHA256: ca.SHA256, Settings: ca.Settings, Env: ca.Env}
}

func reveal(env map[string]pluginapi.Secret) map[string]string {
	plain := make(map[string]string, len(env))
	for k, v := range env {
		plain[k] = v.Reveal()
	}
	return plain
}

// profiles are the DCV profiles as the solver wants them.
func (s *setup) profiles() []dcv.Profile {
	var list []dcv.Profile
	for _, name := range slices.Sorted(maps.Keys(s.config.DCV)) {
		p := s.config.DCV[name]
		profile := dcv.Profile{Name: name, Webroot: p.Webroot, Responder: p.Responder}
		if plugin := s.dcvs[name]; plugin != nil {
			profile.Plugin = plugin
		}
		list = append(list, profile)
	}
	return list
}

// dns is how the solver looks up and looks at records.
func (s *setup) dns() dcv.DNS {
	return dcv.DNS{Resolvers: s.config.Daemon.DNSResolvers, Propagation: dcv.Propagation(s.config.Daemon.DNSPropagation)}
}

// retire closes the plugins of a setup that its successor does not use.
func (s *setup) retire(next *setup) {
	for name, ca := range s.cas {
		if next == nil || next.cas[name] != ca {
			ca.Close()
		}
	}
	for name, p := range s.dcvs {
		if next == nil || next.dcvs[name] != p {
			p.Close()
		}
	}
}

// catalog answers the order engine with the configuration of the day.
type catalog struct{ d *Daemon }

// Spec implements order.Catalog.
func (c catalog) Spec(name string) (order.Spec, bool) {
	s := c.d.setup.Load()
	cert, ok := s.certificate(name)
	if !ok {
		return order.Spec{}, false
	}
	ca := s.config.CA[cert.CA]
	spec := order.Spec{
		Name: name, Account: cert.CA, Names: cert.Domains, KeyType: string(cert.Key), ReuseKey: cert.ReuseKey,
		Settings: cert.Order, Profiles: cert.Profiles,
		Place:     func(f pluginapi.Finding) string { return checkup.OrderRemark(s.config, cert, f).String() },
		MaxPerDay: ca.MaxOrdersPerDay, MaxPerCertificate: ca.MaxOrdersPerCertificate, PollInterval: ca.PollInterval,
	}
	if len(spec.Names) > 0 && spec.KeyType != "" {
		return spec, true
	}
	// What the configuration leaves out is as it is on disk.
	look := c.d.look(cert)
	if len(spec.Names) == 0 {
		spec.Names = look.names()
	}
	if spec.KeyType == "" {
		if spec.KeyType = look.keyType(); spec.KeyType == "" {
			spec.KeyType = string(config.DefaultKey)
		}
	}
	return spec, true
}

// CA implements order.Catalog.
func (c catalog) CA(account string) (order.CA, bool) {
	ca, ok := c.d.setup.Load().cas[account]
	return pacedCA{CA: ca, heed: func(err error) { c.d.heed(account, err) }}, ok
}

const accountBucket = "accounts"

func (d *Daemon) accountState(account string) []byte {
	state, err := d.state.Read(accountBucket, account)
	if err != nil {
		d.log.Error("the account state cannot be read", "account", account, "error", err)
	}
	return state
}

func (d *Daemon) saveAccountState(account string, state []byte) error {
	if err := d.state.Write(accountBucket, map[string][]byte{account: state}); err != nil {
		return fmt.Errorf("account %s: %w", account, err)
	}
	return nil
}

func renewBefore(r config.RenewBefore) schedule.RenewBefore {
	return schedule.RenewBefore{Fraction: r.Fraction, Duration: r.Duration}
}

// deployPlan is how a certificate is deployed.
func deployPlan(c config.Certificate, names []string) deploy.Plan {
	plan := deploy.Plan{Certificate: c.Name, Domains: names, Check: c.Deploy.Check, Reload: c.Deploy.Reload, Timeout: c.Deploy.Timeout}
	plan.Env = map[string]string{}
	for _, f := range c.Files {
		plan.Env["CERTBRIDGED_FILE_"+envName(string(f.Form))] = f.Path
	}
	for _, v := range c.Deploy.Verify {
		target := deploy.Target{Address: v.Address, ServerName: v.ServerName, Protocol: deploy.Protocol(v.Protocol)}
		if target.ServerName == "" {
			target.ServerName = serverName(names)
		}
		plan.Verify = append(plan.Verify, target)
	}
	return plan
}
