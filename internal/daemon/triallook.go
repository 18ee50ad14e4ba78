package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/internal/dcv"
	"github.com/certbridge/certbridged/internal/order"
)

// How long and how often a test looks where the profile says nothing, and how long it looks for what was withdrawn.
const (
	trialTimeout  = 2 * time.Minute
	trialInterval = time.Second
	goneTimeout   = 30 * time.Second
)

// sendPlace says what will be published where.
func (d *Daemon) sendPlace(ctx context.Context, t trial, send func(control.ProfileTestStep) error) error {
	c := t.Challenge
	if c.HTTP != nil {
		return send(control.ProfileTestStep{Step: "place", OK: true, Message: fmt.Sprintf("publishing http://%s%s through %s", c.HTTP.Host, c.HTTP.Path, t.Profile)})
	}
	begun := time.Now()
	at, err := d.solver.Effective(ctx, c)
	if err != nil {
		return control.Errorf(control.FailedAct, "find the place of the record: %w", err)
	}
	message := fmt.Sprintf("publishing %s %s %q through %s", c.DNS.Name, c.DNS.Type, c.DNS.Value, t.Profile)
	if at != c.DNS.Name {
		message += fmt.Sprintf(", at %s, where its CNAME leads", at)
	}
	return send(control.ProfileTestStep{Step: "place", OK: true, Message: message, Took: time.Since(begun)})
}

// publishAndLook publishes a trial and looks until everybody has it or its time is up.
func (d *Daemon) publishAndLook(ctx context.Context, t *trial, send func(control.ProfileTestStep) error) error {
	begun := time.Now()
	receipt, err := d.solver.Publish(ctx, t.Profile, t.Challenge, nil)
	if err != nil {
		t.refused, t.waited = order.SurelyRefused(err), errors.Is(err, dcv.ErrTurn)
		step := control.ProfileTestStep{Step: "published", Message: err.Error(), Took: time.Since(begun)}
		return errors.Join(send(step), control.Errorf(control.FailedAct, "the profile could not publish"))
	}
	t.Receipt = receipt
	if err := errors.Join(d.saveTrial(*t), send(control.ProfileTestStep{Step: "published", OK: true, Message: "published", Took: time.Since(begun)})); err != nil {
		return err
	}
	if t.Challenge.HTTP != nil {
		return d.lookAtFile(ctx, *t, send)
	}
	return d.lookAtRecord(ctx, *t, d.trialLimit(ctx, t.Profile), send)
}

func (d *Daemon) lookAtFile(ctx context.Context, t trial, send func(control.ProfileTestStep) error) error {
	begun := time.Now()
	err := d.solver.LookAtFile(ctx, t.Profile, t.Challenge)
	if errors.Is(err, dcv.ErrNotAsked) {
		return send(control.ProfileTestStep{Step: "seen", OK: true, Message: "not looked at: " + err.Error(), Took: time.Since(begun)})
	}
	if err != nil {
		step := control.ProfileTestStep{Step: "seen", Message: err.Error(), Took: time.Since(begun)}
		return errors.Join(send(step), control.Errorf(control.FailedAct, "the file was not seen"))
	}
	return send(control.ProfileTestStep{Step: "seen", OK: true, Message: "seen from here", Took: time.Since(begun)})
}

// lookAtRecord sends what the servers answer whenever that changes, for as long as limit.
func (d *Daemon) lookAtRecord(ctx context.Context, t trial, limit time.Duration, send func(control.ProfileTestStep) error) error {
	looking, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	begun := time.Now()
	var last string
	var answers []dcv.Answer // of the last look that was not cut off: one that was says nothing of the servers
	for {
		now, err := d.solver.Look(looking, t.Challenge)
		inTime := looking.Err() == nil
		if err == nil && (inTime || answers == nil || dcv.AllSeen(now)) {
			answers = now
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && inTime:
			// Not even the servers are found: that is all there is to say.
			step := control.ProfileTestStep{Step: "seen", Message: err.Error(), Took: time.Since(begun)}
			return errors.Join(send(step), control.Errorf(control.FailedAct, "the name servers were not found"))
		case err == nil && len(now) == 0:
			return send(control.ProfileTestStep{Step: "seen", OK: true, Message: "not looked at: dns_propagation is \"none\""})
		case err == nil:
			step := control.ProfileTestStep{Step: "look", OK: dcv.AllSeen(answers), Message: counted(answers), Answers: answersOf(answers), Took: time.Since(begun)}
			if now := picture(answers); now != last {
				last = now
				if err := send(step); err != nil {
					return err
				}
			}
			if step.OK {
				return send(control.ProfileTestStep{Step: "seen", OK: true, Message: "seen on every server", Took: time.Since(begun)})
			}
		}
		if !pause(looking, trialInterval) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			why := dcv.WhyUnseen(t.Challenge, answers)
			step := control.ProfileTestStep{Step: "seen", Message: why, Took: time.Since(begun)}
			return errors.Join(send(step), control.Errorf(control.FailedAct, "the record was not seen on every server within %s", limit))
		}
	}
}

// lookGone looks whether everybody has let go of what was withdrawn. Who has not is told of; that is no failure.
func (d *Daemon) lookGone(ctx context.Context, t trial, send func(control.ProfileTestStep) error) error {
	if t.Challenge.DNS == nil {
		return nil
	}
	looking, cancel := context.WithTimeout(ctx, goneTimeout)
	defer cancel()
	begun := time.Now()
	var answers []dcv.Answer // of the last look that was not cut off
	for {
		now, err := d.solver.Look(looking, t.Challenge)
		if err == nil && len(now) == 0 {
			return nil // dns_propagation is "none"
		}
		if err == nil && looking.Err() == nil {
			answers = now
		}
		left := 0
		for _, a := range answers {
			if a.Seen {
				left++
			}
		}
		if len(answers) > 0 && left == 0 {
			return send(control.ProfileTestStep{Step: "gone", OK: true, Message: "gone from every server", Took: time.Since(begun)})
		}
		if !pause(looking, trialInterval) {
			message := fmt.Sprintf("%d of %d servers still have it after %s; they may need longer to follow", left, len(answers), goneTimeout)
			if len(answers) == 0 {
				message = fmt.Sprintf("whether the servers still have it cannot be seen within %s", goneTimeout)
			}
			return send(control.ProfileTestStep{Step: "gone", Answers: answersOf(answers), Took: time.Since(begun), Message: message})
		}
	}
}

// trialLimit is how long to look.
func (d *Daemon) trialLimit(ctx context.Context, profile string) time.Duration {
	if plugin := d.setup.Load().dcvs[profile]; plugin != nil {
		if c, err := plugin.Configured(ctx); err == nil && c.PropagationTimeout > 0 {
			return c.PropagationTimeout
		}
	}
	return trialTimeout
}

// pause waits and reports whether there is time left.
func pause(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func counted(answers []dcv.Answer) string {
	seen := 0
	for _, a := range answers {
		if a.Seen {
			seen++
		}
	}
	return fmt.Sprintf("%d of %d servers have it", seen, len(answers))
}

// picture is the same for answers that say the same.
func picture(answers []dcv.Answer) string {
	var b strings.Builder
	for _, a := range answers {
		fmt.Fprintf(&b, "%s %s %t %q %v\n", a.Server, a.Address, a.Seen, a.Values, a.Err)
	}
	return b.String()
}

func answersOf(answers []dcv.Answer) []control.ServerAnswer {
	list := make([]control.ServerAnswer, 0, len(answers))
	for _, a := range answers {
		answer := control.ServerAnswer{Server: a.Server, Address: "no address", Values: a.Values, Seen: a.Seen, Took: a.Took}
		if a.Address.IsValid() {
			answer.Address = a.Address.String()
		}
		if a.Err != nil {
			answer.Problem = a.Err.Error()
		}
		list = append(list, answer)
	}
	return list
}
