package order

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/certbridge/certbridged/internal/cert"
	"github.com/certbridge/certbridged/internal/schedule"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// unusableTries is how often a CA is asked again for a certificate that does not fit before a person is: some return
// another certificate of the same order for a while.
const unusableTries = 5

// install checks what was issued and puts it in place as one set.
func (w *work) install(ctx context.Context) error {
	key, err := w.key()
	if err != nil {
		return w.fail("unusable", problem("key", err, w.Now()))
	}
	chain, err := w.chain()
	if err == nil {
		chain, err = cert.OrderChain(chain, key.Public())
	}
	if err != nil {
		return w.unusable(ctx, err)
	}
	current, err := w.Files.Current(w.record.Certificate)
	if err != nil {
		return w.retry("install", "read-files", err)
	}
	accept := cert.Acceptance{Key: key, Chain: chain, Ordered: true, Names: w.record.Names, Now: w.Now()}
	if w.worthKeeping(current) {
		accept.Current = current.Leaf
	}
	if err := accept.Check(); err != nil {
		if cert.HasFault(err, cert.FaultOlder) && len(cert.Faults(err)) == 1 {
			return w.supersede("a newer certificate is on disk: " + err.Error())
		}
		return w.unusable(ctx, err)
	}
	if err := w.Files.Install(ctx, w.record.Certificate, w.record.ID, key, chain); err != nil {
		return w.retry("install", "install", err)
	}
	w.entry.noteInstalled(w.Now())
	w.entry.keepChain(chain)
	return w.update("installed", func(r *Record) {
		r.Phase, r.NextAt = Installed, w.Now()
		if r.Deploy == nil { // the first time: later what was on disk was ours, rolled back
			r.ReplacesWhole = current.Whole
		}
		r.Chain = nil
		for _, c := range chain {
			r.Chain = append(r.Chain, c.Raw)
		}
		if r.Deploy == nil {
			r.Attempts, r.LastError = 0, nil
		}
	})
}

// worthKeeping reports whether what is on disk would do in the place of what was issued, were it newer. A placeholder
// that somebody signed himself lives for years, and a set that is broken, revoked, for other names or of another type of key is why there is an
// order: sparing it would throw away what was bought, and order the same again.
func (w *work) worthKeeping(current Current) bool {
	leaf := current.Leaf
	if leaf == nil || !current.Whole || cert.SelfSigned(leaf) || len(cert.Missing(leaf, w.record.Names)) > 0 {
		return false
	}
	if keyType, err := cert.KeyTypeOf(leaf.PublicKey); err != nil || string(keyType) != w.record.KeyType {
		return false
	}
	return cert.Serial(leaf) != w.History(w.record.Certificate).RevokedSerial
}

// unusable asks the CA again for a certificate that does not fit, and at last a person.
func (w *work) unusable(ctx context.Context, why error) error {
	if w.record.Attempts < unusableTries {
		if reply, err := w.ca.GetOrder(ctx, w.placedOrder(ctx)); err == nil && reply.Order.Status == pluginapi.Issued {
			return w.update("unusable", func(r *Record) {
				r.Chain, r.PluginState = reply.Order.Chain, reply.Order.State
				w.later(r, problem("unusable-certificate", why, w.Now()), nil)
			})
		}
		return w.retry("install", "unusable-certificate", why)
	}
	if !w.record.CostsMoney {
		return w.fail("unusable", problem("unusable-certificate", why, w.Now()))
	}
	return w.update("held", func(r *Record) {
		r.LastError = problem("unusable-certificate", why, w.Now())
		w.hold(r, HoldUnusable, fmt.Sprintf("what the CA issued for order %s does not fit: %v; nothing was installed", r.Reference, why))
	})
}

// supersede ends an order whose certificate is not wanted any more. What was issued is thrown away: should what is on
// disk be due as well, the next order waits, and when that happens again one that costs money waits for a person.
func (w *work) supersede(why string) error {
	history := w.historySidecar(w.record.Certificate, func(h *History) {
		h.Failures++
		h.LastFailure = why
		h.FailedPaid = w.record.Buys() && h.Failures > 1 // once happens when somebody renews by hand meanwhile
		h.RetryAt = w.Now().Add(schedule.Backoff(h.Failures, w.remaining(), w.record.Certificate))
	})
	return w.update("superseded", func(r *Record) {
		r.Phase, r.Detail, r.NextAt, r.WithdrawAt = Superseded, why, w.Now(), w.Now()
	}, history)
}

// justInstalled is for how long what this process has put in place is taken to be there still, without reading it again.
const justInstalled = 2 * time.Second

// inPlace reports whether the files have the order's certificate.
func (w *work) inPlace(leaf *x509.Certificate) (bool, error) {
	if age := w.Now().Sub(w.entry.noteInstalled(time.Time{})); age >= 0 && age < justInstalled {
		return true, nil
	}
	current, err := w.Files.Current(w.record.Certificate)
	if err != nil {
		return false, err
	}
	return current.Leaf != nil && current.Leaf.Equal(leaf), nil
}

// noteInstalled notes when the certificate was put in place, and returns what was noted before.
func (en *entry) noteInstalled(at time.Time) (before time.Time) {
	en.mu.Lock()
	defer en.mu.Unlock()
	before, en.installed = en.installed, at
	return before
}

// deploy makes servers use the new set and looks at what they serve; where that fails, the old set comes back, and
// installing is tried again later.
func (w *work) deploy(ctx context.Context) error {
	chain, err := w.chain()
	if err != nil || len(chain) == 0 {
		return w.fail("unusable", problem("unusable-certificate", fmt.Errorf("the journaled chain: %w", err), w.Now()))
	}
	leaf := chain[0]
	inPlace, err := w.inPlace(leaf)
	if err != nil {
		return w.retry("deploy", "read-files", err)
	}
	if !inPlace {
		// A crash between rolling back and journaling it leaves this phase with the old set on disk; so does a program that
		// writes the same files, and it may do so again and again.
		err := errors.New("another certificate is on disk than the one that was installed")
		return w.update("install-again", func(r *Record) {
			r.Phase = Issued
			w.later(r, problem("install", err, w.Now()), nil)
		})
	}
	d := w.Deployer.Deploy(ctx, w.record.Certificate, leaf)
	if ctx.Err() != nil && !d.OK {
		return ctx.Err() // the daemon is stopping; that is no verdict on the certificate
	}
	if d.OK {
		return w.deployed(ctx, d)
	}
	return w.rollBack(ctx, d)
}

func (w *work) deployed(ctx context.Context, d Deployment) error {
	if err := w.Files.Commit(ctx, w.record.Certificate, w.record.ID); err != nil {
		// The set is served; only its predecessor could not be forgotten. The next installation does that.
		w.Logger.WarnContext(ctx, "the replaced set could not be forgotten", "certificate", w.record.Certificate, "error", err)
	}
	r := &w.record
	history := w.historySidecar(r.Certificate, func(h *History) {
		if h.Last != nil && h.Last.Reference == r.Reference {
			last := *h.Last
			last.Chain = r.Chain // in order now
			h.Last = &last
		}
		h.Failures, h.LastFailure, h.FailedPaid, h.RetryAt = 0, "", false, time.Time{}
		h.RevokedSerial = ""
		h.Deploy, h.DeployedAt = &d, w.Now()
	})
	return w.update("deployed", func(r *Record) {
		r.Phase, r.Deploy, r.Attempts, r.LastError = Deployed, &d, 0, nil
		r.NextAt = time.Time{}
	}, history)
}

func (w *work) rollBack(ctx context.Context, d Deployment) error {
	if w.record.ReplacesWhole {
		if err := w.Files.RollBack(ctx, w.record.Certificate, w.record.ID); err != nil {
			return w.retry("roll-back", "roll-back", errors.Join(errors.New(d.Message), err))
		}
		d.RolledBack = true
		if d.Stage != StageCheck { // servers may have seen the new set
			if again := w.Deployer.Reload(ctx, w.record.Certificate); !again.OK {
				d.Message += "; and the reload after rolling back failed: " + again.Message
			}
		}
	}
	history := w.historySidecar(w.record.Certificate, func(h *History) { h.Deploy = &d })
	return w.update("deploy-failed", func(r *Record) {
		r.Deploy = &d
		if d.RolledBack {
			r.Phase = Issued
		}
		r.Attempts++
		r.LastError = problem(d.Stage, errors.New(d.Message), w.Now())
		r.NextAt = w.Now().Add(schedule.Backoff(r.Attempts, w.remaining(), r.ID))
	}, history)
}

// The stages of a deployment.
const (
	StageCheck  = "check"
	StageReload = "reload"
	StageVerify = "verify"
)
