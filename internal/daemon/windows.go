package daemon

import (
	"cmp"
	"context"
	"time"

	"github.com/certbridge/certbridged/internal/cert"
	"github.com/certbridge/certbridged/internal/certstore"
	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/internal/schedule"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Asking a CA about renewal windows (RFC 9773 section 4.3): every six hours unless it says otherwise, and not again
// soon after a failure.
const (
	windowAgain      = 6 * time.Hour
	windowAtMost     = 24 * time.Hour
	windowAtLeast    = time.Minute
	windowAfterFault = time.Hour
)

// A certificate's renewal is far off when this process has just deployed it, and the CA has other things to do when many are
// renewed at once. It is asked after a hundredth of the lifetime, some hours at most, and somewhere up to as much later.
const (
	windowFirstShare  = 100
	windowFirstAtMost = 3 * time.Hour
)

// firstWindow is when to ask about a certificate of which no window is known yet.
func (d *Daemon) firstWindow(c config.Certificate, leaf *certstore.Leaf, deployed, now time.Time) time.Time {
	if deployed.Before(d.started) {
		return now // nobody may have asked since
	}
	wait := min(leaf.NotAfter.Sub(leaf.NotBefore)/windowFirstShare, windowFirstAtMost)
	if wait <= 0 {
		return now
	}
	wait += schedule.Within(wait, c.Name)
	at := deployed.Add(wait)
	if at.Before(now) {
		return now
	}
	return d.nextWindow(c.CA, at, wait)
}

// windowSlot is how far apart the times are at which an account is asked: all that is due in between is asked for at once,
// so that its plugin rests in between, however many certificates there are.
const windowSlot = 30 * time.Minute

// windowsFrom returns the first time for questions of an account at or after an instant. Machines ask at different
// minutes: a CA is not to be called by all of them on the hour.
func (d *Daemon) windowsFrom(account string, at time.Time) time.Time {
	offset := schedule.Within(windowSlot, d.machine+"/"+account)
	slot := at.Add(-offset).Truncate(windowSlot).Add(offset)
	if slot.Before(at) {
		slot = slot.Add(windowSlot)
	}
	return slot
}

// windowAfterRest is when to ask about a certificate whose time has passed while nobody asked, as after a restart. Each has
// its own slot in the day, which does not depend on when the daemon was started: all at once would be a burst at each
// start, and some time after the start might never come for those that are started often.
func (d *Daemon) windowAfterRest(c config.Certificate, now time.Time) time.Time {
	phase := schedule.Within(windowAgain/windowSlot, c.Name) * windowSlot
	at := now.Add(-phase).Truncate(windowAgain).Add(phase)
	if at.Before(now) {
		at = at.Add(windowAgain)
	}
	return d.windowsFrom(c.CA, at)
}

// scheduleWindow sees to it that the CA is asked about a certificate that came from it.
func (d *Daemon) scheduleWindow(c config.Certificate, look look) {
	h := d.engine.History(c.Name)
	if look.Leaf == nil || !c.Enabled || h.Last == nil || h.Account != c.CA || !h.Last.HasDigest(look.Leaf.Digest) {
		return
	}
	if d.noWindows(c.CA) || !d.timer.Due(windowKey+c.Name).IsZero() {
		return
	}
	now := time.Now()
	at := d.firstWindow(c, look.Leaf, h.DeployedAt, now)
	if h.Window != nil && h.Window.Serial == look.Leaf.Serial {
		if at = h.Window.LookAt; at.After(now) {
			at = d.nextWindow(c.CA, at, at.Sub(now))
		} else {
			at = d.windowAfterRest(c, now)
		}
	}
	d.timer.Set(windowKey+c.Name, at)
}

func (d *Daemon) askWindow(ctx context.Context, name string) {
	s := d.setup.Load()
	c, ok := s.certificate(name)
	if !ok {
		return
	}
	leaf, err := d.leaf(c)
	if err != nil || leaf == nil {
		return
	}
	description, err := s.cas[c.CA].Describe(ctx)
	if err == nil && !description.Has(pluginapi.AbilityRenewalInfo) {
		d.setNoWindows(c.CA)
		return
	}
	info, err := s.cas[c.CA].RenewalInfo(ctx, leaf.Raw)
	d.heed(c.CA, err)
	again := windowAfterFault
	switch {
	case err != nil:
		d.log.DebugContext(ctx, "the CA gives no renewal window", "certificate", name, "error", err)
	case info.Serial != cert.Serial(leaf):
		d.log.WarnContext(ctx, "a renewal window for another certificate is ignored", "certificate", name, "serial", info.Serial)
	default:
		again = min(max(cmp.Or(info.LookAgainAfter, windowAgain), windowAtLeast), windowAtMost)
		changed, err := d.engine.SaveWindow(name, order.Window{
			Serial: info.Serial, Start: info.WindowStart, End: info.WindowEnd,
			ExplanationURL: info.ExplanationURL, LookAt: time.Now().Add(again),
		})
		if err != nil {
			d.log.ErrorContext(ctx, "a renewal window could not be saved", "certificate", name, "error", err)
		}
		if changed {
			d.timer.Set(evaluateKey+name, time.Now())
		}
	}
	d.timer.Set(windowKey+name, d.nextWindow(c.CA, time.Now().Add(again), again))
}

// nextWindow puts a question off to the account's next time for questions, unless the CA wants to be asked sooner.
func (d *Daemon) nextWindow(account string, at time.Time, again time.Duration) time.Time {
	if again <= windowSlot {
		return at
	}
	return d.windowsFrom(account, at)
}
