package daemon

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"syscall"
	"time"

	"github.com/certbridge/certbridged/internal/cert"
	"github.com/certbridge/certbridged/internal/certstore"
	"github.com/certbridge/certbridged/internal/checkup"
	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/deploy"
	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/internal/schedule"
)

// look is what a certificate's files looked like at one moment.
type look struct {
	*certstore.View
	Leaf *certstore.Leaf // as View.Leaf
	trouble
}

// trouble is what is wrong with a certificate's files.
type trouble struct {
	// broken says why the files are no whole set; empty when they are, or when there are none at all. since is when that
	// was first seen, and unreadable that files could not be read and nothing else is known to be wrong.
	broken     string
	since      time.Time
	unreadable bool
}

// standing is what is remembered of a certificate: what was last seen on disk, and what was last decided, but for the words,
// which are made when somebody asks.
type standing struct {
	view    *certstore.View
	trouble *trouble // nil: none
	reason  schedule.Reason
	act     bool
	at      time.Time
}

// standing returns what is remembered of a certificate, to be changed. The caller holds the lock.
func (d *Daemon) standing(name string) *standing {
	known := d.known[name]
	if known == nil {
		known = &standing{}
		d.known[name] = known
		if s := d.setup.Load(); s != nil && len(d.known) >= s.config.Len() {
			d.loaded()
		}
	}
	return known
}

// seen returns what was last seen; false when nobody has looked yet.
func (s *standing) seen() (look, bool) {
	if s == nil || s.view == nil {
		return look{}, false
	}
	l := look{View: s.view, Leaf: s.view.Leaf()}
	if s.trouble != nil {
		l.trouble = *s.trouble
	}
	return l, true
}

// names are those of the certificate; none where there is no certificate.
func (l look) names() []string {
	if l.Leaf == nil {
		return nil
	}
	return l.Leaf.Names
}

// keyType is that of the certificate, or empty.
func (l look) keyType() string {
	if l.Leaf == nil {
		return ""
	}
	return string(l.Leaf.KeyType)
}

// look reads a certificate's files, or only their identity where they have not changed.
func (d *Daemon) look(c config.Certificate) look {
	before, _ := d.lookOf(c.Name)
	view, err := d.store.Look(storeFiles(c), before.View)
	switch {
	case err != nil:
		view = &certstore.View{}
	case view == before.View:
		return before
	case !nothingThere(view.Snapshot()) || view.Whole:
		err = view.Snapshot().Err()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	known := d.standing(c.Name)
	var now *trouble
	if err != nil {
		now = &trouble{broken: err.Error(), since: time.Now().Round(0), unreadable: unreadable(view.Snapshot())}
		if known.trouble != nil {
			now.since = known.trouble.since
		}
	}
	known.view, known.trouble = view, now
	l, _ := known.seen()
	return l
}

// leaf reads the certificate that a set has, or nil.
func (d *Daemon) leaf(c config.Certificate) (*x509.Certificate, error) {
	snapshot, err := d.store.Read(storeFiles(c))
	return snapshot.Leaf(), err
}

// unreadable tells files that the system does not let us read from files whose content is wrong: that the daemon lacks a
// right, or a descriptor, is no reason to buy a certificate.
func unreadable(s certstore.Snapshot) bool {
	if len(s.Problems) > 0 {
		return false
	}
	found := false
	for _, f := range s.Files {
		var errno syscall.Errno
		switch {
		case f.Problem == nil:
		case !errors.As(f.Problem, &errno) || errno == syscall.ENOENT || errno == syscall.ENOTDIR:
			return false
		default:
			found = true
		}
	}
	return found
}

// nothingThere tells a certificate that was never installed from one of whose files some are missing.
func nothingThere(s certstore.Snapshot) bool {
	for _, f := range s.Files {
		if !errors.Is(f.Problem, fs.ErrNotExist) {
			return false
		}
	}
	return true
}

// lookOf returns what was last seen.
func (d *Daemon) lookOf(name string) (look, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.known[name].seen()
}

// viewOf returns what tells whether a certificate's files have changed; nil when nobody has looked yet.
func (d *Daemon) viewOf(name string) *certstore.View {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.known[name]; known != nil {
		return known.view
	}
	return nil
}

func (d *Daemon) noteVerdict(name string, v schedule.Verdict) {
	d.mu.Lock()
	known := d.standing(name)
	same := known.reason == v.Reason && known.act == v.Act
	known.reason, known.act, known.at = v.Reason, v.Act, v.At
	d.mu.Unlock()
	if same {
		return
	}
	d.log.Debug("decided", "certificate", name, "act", v.Act, "reason", string(v.Reason), "detail", v.Detail)
	switch v.Reason { // these wait for a person, who must hear of it
	case schedule.NoNames:
		d.tell(Event{Kind: string(v.Reason), Certificate: name, Level: slog.LevelWarn,
			Message: "nothing is ordered: " + v.Detail + "; configure domains, or mend the paths of its files"})
	case schedule.Unreadable:
		d.tell(Event{Kind: string(v.Reason), Certificate: name, Level: slog.LevelError,
			Message: "nothing is ordered: " + v.Detail + "; let the daemon read the files"})
	}
}

// decidedFor is when a certificate is to be acted on, or decided about again, as was last decided.
func (d *Daemon) decidedFor(name string) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.known[name]; known != nil {
		return known.at
	}
	return time.Time{}
}

func (d *Daemon) noWindows(account string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.windowless[account]
}

func (d *Daemon) setNoWindows(account string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.windowless[account] = true
}

func (d *Daemon) limitOf(account string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.limits[account]
}

// storeFiles are a certificate's files as the store wants them.
func storeFiles(c config.Certificate) []certstore.File {
	list := make([]certstore.File, 0, len(c.Files))
	for _, f := range c.Files {
		list = append(list, checkup.StoreFile(f))
	}
	return list
}

// files fits the certificate store to the order engine.
type files struct{ d *Daemon }

func (f files) config(name string) (config.Certificate, error) {
	c, ok := f.d.setup.Load().certificate(name)
	if !ok {
		return c, fmt.Errorf("certificate %s: %w", name, order.ErrNotConfigured)
	}
	return c, nil
}

// Current implements order.Files.
func (f files) Current(name string) (order.Current, error) {
	c, err := f.config(name)
	if err != nil {
		return order.Current{}, err
	}
	snapshot, err := f.d.store.Read(storeFiles(c))
	if err != nil {
		return order.Current{}, err
	}
	leaf := snapshot.Leaf()
	return order.Current{Leaf: leaf, Whole: leaf != nil && snapshot.Err() == nil}, nil
}

// Ready implements order.Files.
func (f files) Ready(name string) error {
	c, err := f.config(name)
	if err != nil {
		return err
	}
	return certstore.Check(map[string][]certstore.File{name: storeFiles(c)})
}

// CurrentKey implements order.Files.
func (f files) CurrentKey(name string) (crypto.Signer, error) {
	c, err := f.config(name)
	if err != nil {
		return nil, err
	}
	return f.d.store.Key(storeFiles(c))
}

// Install implements order.Files.
func (f files) Install(ctx context.Context, name, id string, key crypto.Signer, chain []*x509.Certificate) error {
	c, err := f.config(name)
	if err != nil {
		return err
	}
	return f.d.store.Install(ctx, certstore.Generation{ID: id, Certificate: name, Files: storeFiles(c), Key: key, Chain: chain})
}

// RollBack implements order.Files.
func (f files) RollBack(ctx context.Context, name, id string) error {
	return f.d.store.RollBack(ctx, name, id)
}

// Commit implements order.Files.
func (f files) Commit(ctx context.Context, name, id string) error {
	return f.d.store.Commit(ctx, name, id)
}

// deployer fits the deploy runner to the order engine.
type deployer struct{ d *Daemon }

// Deploy implements order.Deployer.
func (p deployer) Deploy(ctx context.Context, name string, leaf *x509.Certificate) order.Deployment {
	plan, err := p.plan(name)
	if err != nil {
		return order.Deployment{Stage: order.StageCheck, Message: err.Error(), ExitCode: -1, At: time.Now()}
	}
	outcome := deployment(p.d.runner.Run(ctx, plan, leaf))
	if outcome.OK {
		outcome.Stage = proof(plan)
	}
	p.d.metrics.deployed(name, outcome)
	return outcome
}

// Reload implements order.Deployer.
func (p deployer) Reload(ctx context.Context, name string) order.Deployment {
	plan, err := p.plan(name)
	if err != nil {
		return order.Deployment{Stage: order.StageReload, Message: err.Error(), ExitCode: -1, At: time.Now()}
	}
	return deployment(p.d.runner.Reload(ctx, plan))
}

func (p deployer) plan(name string) (deploy.Plan, error) {
	c, err := files(p).config(name)
	if err != nil {
		return deploy.Plan{}, err
	}
	names := c.Domains
	if len(names) > 0 && len(c.Deploy.Verify) == 0 {
		return deployPlan(c, names), nil
	}
	snapshot, err := p.d.store.Read(storeFiles(c))
	if err != nil {
		return deploy.Plan{}, err
	}
	if leaf := snapshot.Leaf(); len(names) == 0 && leaf != nil {
		names = cert.Names(leaf)
	}
	plan := deployPlan(c, names)
	if len(snapshot.Chain) > 0 {
		plan.Chain = append([]*x509.Certificate{}, snapshot.Chain[1:]...) // none is not the same as not known
	}
	return plan, nil
}

// proof is the last stage of a deployment that really did something: a plan without any proves nothing.
func proof(plan deploy.Plan) string {
	switch {
	case len(plan.Verify) > 0:
		return order.StageVerify
	case len(plan.Reload) > 0:
		return order.StageReload
	case len(plan.Check) > 0:
		return order.StageCheck
	default:
		return ""
	}
}

func deployment(r deploy.Result) order.Deployment {
	d := order.Deployment{OK: r.Err == nil, Stage: string(r.Stage), Output: r.Output, ExitCode: r.ExitCode, At: time.Now(), Took: r.Took}
	if r.Err != nil {
		d.Message = strings.TrimPrefix(r.Err.Error(), d.Stage+": ")
		if last := lastLine(r.Output); last != "" && r.Stage != deploy.StageVerify {
			d.Message += ": " + last
		}
	}
	return d
}

// longestLine bounds what of a command's output stands in a message; all of it stands in the status.
const longestLine = 200

// lastLine is where commands say what is the matter.
func lastLine(output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	last := strings.TrimSpace(lines[len(lines)-1])
	if len(last) > longestLine {
		last = strings.ToValidUTF8(last[:longestLine], "") + "..."
	}
	return last
}
