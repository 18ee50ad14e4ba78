package daemon

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/cert"
	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/internal/schedule"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// trialBucket holds what tests of DCV profiles have published, so that it is withdrawn also after a crash.
const trialBucket = "trials"

// trial is something harmless that is published to try a DCV profile.
type trial struct {
	Profile   string
	Challenge pluginapi.Challenge
	Receipt   []byte
	// Attempts counts the withdrawals that failed.
	Attempts int

	// refused: nothing was published, for certain. waited: another challenge has the profile's turn, and withdrawing might
	// take down that one, for some providers know one value alone.
	refused, waited bool
}

// withdrawTimeout bounds the withdrawal of a trial whose caller may be gone.
const withdrawTimeout = 2 * time.Minute

// TestProfile implements control.ProfileDesk.
func (b backend) TestProfile(ctx context.Context, test control.ProfileTest, send func(control.ProfileTestStep) error) error {
	if _, ok := b.d.setup.Load().config.DCV[test.Profile]; !ok {
		return control.Errorf(control.NotFound, "there is no dcv profile %q; configured are %s", test.Profile,
			orNone(slices.Sorted(maps.Keys(b.d.setup.Load().config.DCV))))
	}
	wanted, err := trialChallenges(test)
	if err != nil {
		return err
	}
	_, challenge, err := b.d.solver.Choose(ctx, []string{test.Profile}, pluginapi.Authorization{Identifier: wanted[0].Identifier, Challenges: wanted})
	if err != nil {
		return control.Errorf(control.FailedAct, "%w", err)
	}
	return b.d.try(ctx, trial{Profile: test.Profile, Challenge: challenge}, send)
}

// try publishes, looks and withdraws. What is published is journaled first and withdrawn whatever happens, also when the
// caller goes away.
func (d *Daemon) try(ctx context.Context, t trial, send func(control.ProfileTestStep) error) error {
	if err := d.sendPlace(ctx, t, send); err != nil {
		return err
	}
	if err := d.saveTrial(t); err != nil {
		return err
	}
	tried := d.publishAndLook(ctx, &t, send)
	if t.waited {
		return errors.Join(tried, d.forgetTrial(t))
	}
	begun := time.Now()
	if err := d.withdrawTrial(context.WithoutCancel(ctx), t); err != nil {
		if t.refused { // who may not publish may not withdraw either, and trying it for ever helps nobody
			return errors.Join(tried, d.forgetTrial(t))
		}
		d.timer.Set(trialKey+t.Challenge.ID, time.Now().Add(schedule.Backoff(1, 0, t.Challenge.ID)))
		step := control.ProfileTestStep{Step: "withdrawn", Message: "not withdrawn, which is tried again until it works: " + err.Error(), Took: time.Since(begun)}
		return errors.Join(tried, send(step), control.Errorf(control.FailedAct, "the profile could not withdraw what it published"))
	}
	if err := send(control.ProfileTestStep{Step: "withdrawn", OK: true, Message: "withdrawn", Took: time.Since(begun)}); err != nil || tried != nil {
		return errors.Join(tried, err)
	}
	return d.lookGone(ctx, t, send)
}

// trialChallenges are what could be published for a test, the best first.
func trialChallenges(test control.ProfileTest) ([]pluginapi.Challenge, error) {
	domain, err := cert.NormalizeName(strings.TrimSuffix(strings.TrimPrefix(test.Domain, "*."), "."))
	if err != nil {
		return nil, control.Errorf(control.Invalid, "domain %q: %w", test.Domain, err)
	}
	wildcard := strings.HasPrefix(test.Domain, "*.")
	if wildcard && test.Type == "http" {
		return nil, control.Errorf(control.Invalid, "a file never shows control over a wildcard: try a record, or the domain itself")
	}
	if test.Place != "" && test.Type != "http" && !labels.MatchString(test.Place) {
		return nil, control.Errorf(control.Invalid, "place %q: want labels such as _dnsauth, or \"@\" for the domain itself", test.Place)
	}
	token, thumbprint := randomText(), randomText()
	keyAuthorization := token + "." + thumbprint
	digest := sha256.Sum256([]byte(keyAuthorization))
	acme := &pluginapi.KeyAuthorization{Token: token, KeyAuthorization: keyAuthorization}
	record := pluginapi.Challenge{ID: "test-" + token, Identifier: domain, ACME: acme, DNS: &pluginapi.DNSRecord{
		Name: "_acme-challenge." + domain, Type: pluginapi.TXT, Value: base64.RawURLEncoding.EncodeToString(digest[:]),
	}}
	file := pluginapi.Challenge{ID: "test-" + token, Identifier: domain, ACME: acme, HTTP: &pluginapi.HTTPFile{
		Host: domain, Path: "/.well-known/acme-challenge/" + token, Body: keyAuthorization,
	}}
	switch test.Type {
	case "":
		if test.Place != "" {
			return nil, control.Errorf(control.Invalid, "a place needs a type: txt, cname or http")
		}
		if wildcard {
			return []pluginapi.Challenge{record}, nil
		}
		return []pluginapi.Challenge{record, file}, nil
	case "http":
		if test.Place != "" {
			file.HTTP.Path, file.ACME = "/.well-known/"+strings.TrimPrefix(strings.TrimPrefix(test.Place, "/"), ".well-known/"), nil
		}
		return []pluginapi.Challenge{file}, nil
	case "cname":
		record.ACME = nil
		record.DNS.Name = recordName(cmp.Or(test.Place, "_certbridged-test"), domain)
		record.DNS.Type, record.DNS.Value = pluginapi.CNAME, "certbridged-test."+domain
		return []pluginapi.Challenge{record}, nil
	case "txt":
		if test.Place != "" {
			record.DNS.Name, record.ACME = recordName(test.Place, domain), nil
		}
		return []pluginapi.Challenge{record}, nil
	default:
		return nil, control.Errorf(control.Invalid, "type %q is none of txt, cname and http", test.Type)
	}
}

// labels are the labels of a record's name, or "@" for none.
var labels = regexp.MustCompile(`^(?i:@|[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?)$`)

// recordName is the name of a record below a domain, or the domain itself for "@".
func recordName(labels, domain string) string {
	if labels == "@" {
		return domain
	}
	return strings.TrimSuffix(strings.ToLower(labels), ".") + "." + domain
}

// randomText is text as ACME's tokens are (RFC 8555 section 8.3).
func randomText() string {
	var random [24]byte
	_, _ = rand.Read(random[:]) // it never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(random[:])
}

func (d *Daemon) saveTrial(t trial) error {
	text, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("journal a test: %w", err)
	}
	return d.state.Write(trialBucket, map[string][]byte{t.Challenge.ID: text})
}

// withdrawTrial takes down what a trial published and forgets it.
func (d *Daemon) withdrawTrial(ctx context.Context, t trial) error {
	ctx, cancel := context.WithTimeout(ctx, withdrawTimeout)
	defer cancel()
	if err := d.solver.Withdraw(ctx, t.Profile, t.Challenge, t.Receipt); err != nil {
		return err
	}
	return d.forgetTrial(t)
}

func (d *Daemon) forgetTrial(t trial) error {
	return d.state.Write(trialBucket, map[string][]byte{t.Challenge.ID: nil})
}

// resumeTrials sees to what tests have left that a crash cut short. Those that run have not begun yet.
func (d *Daemon) resumeTrials() {
	err := d.state.Each(trialBucket, func(id string, _ []byte) error {
		d.timer.Set(trialKey+id, time.Now())
		return nil
	})
	if err != nil {
		d.log.Error("what tests of dcv profiles have left cannot be read", "error", err)
	}
}

// clearTrial withdraws what a test has left, at the pace of a profile that may be out of order.
func (d *Daemon) clearTrial(ctx context.Context, id string) {
	text, err := d.state.Read(trialBucket, id)
	if err != nil || text == nil {
		return
	}
	var t trial
	if err := json.Unmarshal(text, &t); err != nil {
		d.log.ErrorContext(ctx, "the journal of a test of a dcv profile cannot be read", "test", id, "error", err)
		return
	}
	err = d.withdrawTrial(ctx, t)
	if err == nil {
		d.log.InfoContext(ctx, "withdrew what a test of a dcv profile had left", "profile", t.Profile)
		return
	}
	if _, configured := d.setup.Load().config.DCV[t.Profile]; !configured && ctx.Err() == nil {
		d.giveUpTrial(ctx, t, err)
		return
	}
	d.log.WarnContext(ctx, "what a test of a dcv profile published is not withdrawn yet", "profile", t.Profile, "error", err)
	t.Attempts++
	if err := d.saveTrial(t); err != nil {
		d.log.ErrorContext(ctx, "a test of a dcv profile cannot be journaled", "profile", t.Profile, "error", err)
	}
	d.timer.Set(trialKey+id, time.Now().Add(schedule.Backoff(t.Attempts, 0, id)))
}

// giveUpTrial forgets what cannot be withdrawn because its profile is gone, after it has told what a person must remove.
func (d *Daemon) giveUpTrial(ctx context.Context, t trial, why error) {
	d.tell(Event{Kind: "test-left", Level: slog.LevelWarn, Message: fmt.Sprintf(
		"a test of the dcv profile %q may have left %s, and the profile is not configured any more: remove it by hand if it is there (%v)",
		t.Profile, placeOf(t.Challenge), why)})
	if err := d.forgetTrial(t); err != nil {
		d.log.ErrorContext(ctx, "the journal of a test of a dcv profile cannot be cleared", "profile", t.Profile, "error", err)
		d.timer.Set(trialKey+t.Challenge.ID, time.Now().Add(schedule.Backoff(t.Attempts+1, 0, t.Challenge.ID)))
	}
}

// placeOf names what is published, with its value, which is public.
func placeOf(c pluginapi.Challenge) string {
	if c.DNS != nil {
		return fmt.Sprintf("the %s record %s %q", c.DNS.Type, c.DNS.Name, c.DNS.Value)
	}
	return fmt.Sprintf("the file http://%s%s", c.HTTP.Host, c.HTTP.Path)
}
