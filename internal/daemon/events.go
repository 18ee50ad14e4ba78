package daemon

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/certbridge/certbridged/internal/order"
)

// Event is something that happened, for people and programs that watch.
type Event struct {
	Time time.Time
	// Kind is a stable word: an order's phase ("placed", "deployed"), or "due", "reloaded", "plugin-...".
	Kind        string
	Certificate string
	Order       string
	Message     string
	// Level says how much it matters.
	Level slog.Level
}

// keepEvents is how many events are kept for those who ask later.
const keepEvents = 1000

// eventLog keeps the last events and hands new ones to those who follow.
type eventLog struct {
	mu        sync.Mutex
	last      []Event // once full, a ring whose oldest is at next
	next      int
	followers map[chan Event]struct{}
}

func newEventLog() *eventLog { return &eventLog{followers: map[chan Event]struct{}{}} }

func (l *eventLog) add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.last) < keepEvents {
		l.last = append(l.last, e)
	} else {
		l.last[l.next] = e
		l.next = (l.next + 1) % keepEvents
	}
	for ch := range l.followers {
		select {
		case ch <- e:
		default: // a follower that does not read misses events; the daemon does not wait for it
		}
	}
}

// follow calls visit with the kept events and then, if asked to, with new ones until the context ends or visit fails.
func (l *eventLog) follow(ctx context.Context, follow bool, visit func(Event) error) error {
	l.mu.Lock()
	kept := slices.Concat(l.last[l.next:], l.last[:l.next])
	ch := make(chan Event, 256)
	if follow {
		l.followers[ch] = struct{}{}
		defer func() {
			l.mu.Lock()
			delete(l.followers, ch)
			l.mu.Unlock()
		}()
	}
	l.mu.Unlock()
	for _, e := range kept {
		if err := visit(e); err != nil {
			return err
		}
	}
	for follow {
		select {
		case <-ctx.Done():
			return nil
		case e := <-ch:
			if err := visit(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// tell logs an event and hands it to followers.
func (d *Daemon) tell(e Event) {
	e.Time = time.Now()
	d.events.add(e)
	attrs := []slog.Attr{slog.String("event", e.Kind)}
	if e.Certificate != "" {
		attrs = append(attrs, slog.String("certificate", e.Certificate))
	}
	if e.Order != "" {
		attrs = append(attrs, slog.String("order", e.Order))
	}
	d.log.LogAttrs(context.Background(), e.Level, e.Message, attrs...) //nolint:sloglint // an event's sentence is what people read
}

// orderChanged tells of an order's way through its phases, one event for each change that people want to know.
func (d *Daemon) orderChanged(before, after order.Record) {
	d.metrics.orderChanged(before, after)
	level, message := describe(before, after)
	if message == "" {
		d.log.Debug("order saved", "order", after.ID, "certificate", after.Certificate, "step", after.Step)
		return
	}
	if level == slog.LevelWarn && d.urgent(after.Certificate) {
		level = slog.LevelError
	}
	d.tell(Event{Kind: string(after.Phase), Certificate: after.Certificate, Order: after.ID, Message: message, Level: level})
}

// urgent reports that trouble with a certificate can no longer wait: a tenth of its life is left, or nothing.
func (d *Daemon) urgent(name string) bool {
	l, ok := d.lookOf(name)
	return ok && l.Leaf != nil && time.Until(l.Leaf.NotAfter) < l.Leaf.NotAfter.Sub(l.Leaf.NotBefore)/10
}

func describe(before, after order.Record) (slog.Level, string) {
	switch {
	case before.Phase == order.Installed && after.Phase == order.Issued && after.LastError != nil:
		return slog.LevelWarn, "rolled back, the set that was there before is in place again (" + after.LastError.Kind + "): " + after.LastError.Message + nextTry(after)
	case limitedAnew(before, after):
		return slog.LevelInfo, "the CA takes no more calls for now: " + after.LastError.Message + nextTry(after)
	case after.LastError != nil && (before.LastError == nil || !after.LastError.At.Equal(before.LastError.At)) && after.Phase != order.Held && after.Phase != order.Failed:
		return slog.LevelWarn, "trouble (" + after.LastError.Kind + "): " + after.LastError.Message + nextTry(after)
	case before.Phase == after.Phase:
		if after.Step == "intended" {
			return slog.LevelInfo, "order intended: " + after.ReasonDetail
		}
		if after.Step == "planned-anew" {
			return slog.LevelInfo, "planned anew, as " + after.Kind.String() + ": things have changed while the order waited"
		}
		return 0, ""
	}
	switch after.Phase {
	case order.Placed, order.Validating:
		if before.Reference != "" {
			return slog.LevelDebug, "order is " + string(after.Phase)
		}
		return slog.LevelInfo, "order placed as " + after.Kind.String() + " with " + after.Account + ", reference " + after.Reference
	case order.Approval:
		return slog.LevelWarn, "order waits for approval" + who(after)
	case order.Issued:
		return slog.LevelInfo, "certificate issued"
	case order.Installed:
		return slog.LevelInfo, "files installed"
	case order.Deployed:
		return slog.LevelInfo, "deployed: renewal done"
	case order.Held:
		return slog.LevelError, "held until a person decides (" + string(after.Hold.Kind) + "): " + after.Hold.Detail
	case order.Failed:
		return slog.LevelError, "order failed: " + after.LastError.Message
	case order.Superseded:
		return slog.LevelInfo, "order superseded: " + after.Detail
	case order.Intended:
		return slog.LevelInfo, "order goes on"
	}
	return 0, ""
}

// limitedAnew: the CA was asked too often and takes calls again soon, which is no trouble.
func limitedAnew(before, after order.Record) bool {
	wait, limited := after.Limited()
	fresh := limited && (before.LastError == nil || !after.LastError.At.Equal(before.LastError.At))
	return fresh && wait <= longestPause && before.Attempts == after.Attempts
}

func nextTry(r order.Record) string {
	if r.NextAt.IsZero() {
		return ""
	}
	return "; next try at " + r.NextAt.UTC().Format(time.RFC3339)
}

func who(r order.Record) string {
	if r.Action == nil {
		return ""
	}
	s := ": " + r.Action.Who + " must " + r.Action.What
	if r.Action.URL != "" {
		s += " at " + r.Action.URL
	}
	return s
}
