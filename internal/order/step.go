package order

import (
	"context"
	"fmt"
	"time"
)

// Step does the next thing for an order and journals the outcome; the record's NextAt then says when to step again.
// What goes wrong at a CA or on disk is journaled and no error here; an error means that the order could not be worked
// on at all (ErrNoOrder, ErrBusy, ErrNotConfigured, a journal that cannot be written).
func (e *Engine) Step(ctx context.Context, id string) error {
	_, err := e.Advance(ctx, id)
	return err
}

// Advance is Step, and returns the order as it is then: one that is over would have to be read from the journal.
func (e *Engine) Advance(ctx context.Context, id string) (Record, error) {
	en := e.entry(id)
	if en == nil {
		return Record{}, fmt.Errorf("order %s: %w", id, ErrNoOrder)
	}
	if !en.claim(&en.stepping) {
		return Record{}, fmt.Errorf("order %s: %w", id, ErrBusy)
	}
	defer en.release(&en.stepping)
	err := e.stepEntry(ctx, en)
	return en.snapshot(), err
}

func (e *Engine) stepEntry(ctx context.Context, en *entry) error {
	if err := e.flush(en); err != nil {
		return err
	}
	r := en.snapshot()
	spec, ok := e.Catalog.Spec(r.Certificate)
	if !ok {
		return fmt.Errorf("order %s: certificate %s: %w", r.ID, r.Certificate, ErrNotConfigured)
	}
	ca, ok := e.Catalog.CA(r.Account)
	if !ok {
		return fmt.Errorf("order %s: CA account %s: %w", r.ID, r.Account, ErrNotConfigured)
	}
	return e.step(ctx, &work{Engine: e, entry: en, record: r, spec: spec, ca: ca})
}

// work is one order being stepped.
type work struct {
	*Engine
	entry  *entry
	record Record // as it was when the step began, with what is ahead of the journal
	spec   Spec
	ca     CA
	// asked: in this step all profiles have said what they can publish.
	asked bool
	// ahead are changes that the next save journals, with the sidecars that belong to them.
	ahead     []func(*Record)
	aheadMore []sidecar
}

func (e *Engine) step(ctx context.Context, w *work) error {
	switch w.record.Phase {
	case Intended:
		return w.intended(ctx)
	case Placed, Approval:
		return w.look(ctx)
	case Validating:
		return w.validate(ctx)
	case Issued:
		return w.install(ctx)
	case Installed:
		return w.deploy(ctx)
	case Held, Deployed, Failed, Superseded:
		return nil
	default:
		return fmt.Errorf("order %s: unknown phase %q", w.record.ID, w.record.Phase)
	}
}

// update saves a change, and what is ahead of the journal with it.
func (w *work) update(step string, change func(*Record), more ...sidecar) error {
	changes, all := append(w.ahead, change), append(w.aheadMore, more...)
	w.ahead, w.aheadMore = nil, nil
	return w.Engine.update(w.entry, step, func(r *Record) {
		for _, change := range changes {
			change(r)
		}
	}, all...)
}

// goAhead changes the record for the rest of the step, and leaves it to the next save to journal that. It is for what a crash
// may undo, since it is then done again: nobody outside has heard of it, or it has gone with the process.
func (w *work) goAhead(change func(*Record), more ...sidecar) {
	w.record = w.record.clone() // others read its lists
	change(&w.record)
	w.ahead, w.aheadMore = append(w.ahead, change), append(w.aheadMore, more...)
}

// flush saves what the journal could not take before.
func (e *Engine) flush(en *entry) error {
	en.mu.Lock()
	unsaved := en.unsaved
	en.mu.Unlock()
	if unsaved == nil {
		return nil
	}
	return e.update(en, unsaved.Step, func(*Record) {})
}

// drop forgets what the journal could not take, where nothing has happened yet that it speaks of.
func (en *entry) drop() {
	en.mu.Lock()
	en.unsaved, en.unsavedMore = nil, nil
	en.mu.Unlock()
}

func (en *entry) claim(flag *bool) bool {
	en.mu.Lock()
	defer en.mu.Unlock()
	if *flag {
		return false
	}
	*flag = true
	return true
}

func (en *entry) release(flag *bool) {
	en.mu.Lock()
	*flag = false
	en.mu.Unlock()
}

// remaining is how long what is on disk still lasts; zero when there is nothing.
func (w *work) remaining() time.Duration {
	current, err := w.Files.Current(w.record.Certificate)
	if err != nil || current.Leaf == nil {
		return 0
	}
	return current.Leaf.NotAfter.Sub(w.Now())
}
