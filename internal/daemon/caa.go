package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/certbridge/certbridged/internal/dcv"
	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// caaChecker looks at CAA records for the order engine.
type caaChecker struct{ d *Daemon }

// CheckCAA implements order.CAAChecker.
func (c caaChecker) CheckCAA(ctx context.Context, certificate, account string, names []string) (map[string][]pluginapi.ChallengeType, error) {
	s := c.d.setup.Load()
	ca, ok := s.cas[account]
	if !ok || !s.config.CA[account].CheckCAA {
		return nil, nil
	}
	configured, _ := s.certificate(certificate)
	report, err := checkCAA(ctx, c.d.solver, ca, names, configured.Profiles)
	if errors.Is(err, dcv.ErrCAAForbids) {
		err = known{err, order.ErrCAAForbids}
	}
	return report.Excluded, err
}

// caaAccount is the part of a CA account that says what to look for in CAA records.
type caaAccount interface {
	Describe(ctx context.Context) (pluginapi.Description, error)
	Configured(ctx context.Context) (pluginapi.Configured, error)
}

// checkCAA looks whether CAA records let an account issue for names, with what their DCV profiles can show.
func checkCAA(ctx context.Context, solver *dcv.Solver, ca caaAccount, names []string, profiles func(name string) []string) (dcv.CAAReport, error) {
	d, err := ca.Describe(ctx)
	if err != nil {
		return dcv.CAAReport{}, fmt.Errorf("ask what the CA is called in CAA records: %w", err)
	}
	configured, err := ca.Configured(ctx)
	if err != nil {
		return dcv.CAAReport{}, fmt.Errorf("ask what the CA is called in CAA records: %w", err)
	}
	q := dcv.CAAQuery{Identifiers: configured.CAAIdentifiers, AccountURI: configured.AccountURI, Methods: d.CAAMethods}
	if len(q.Identifiers) == 0 {
		q.Identifiers = d.CAAIdentifiers
	}
	if len(q.Identifiers) == 0 {
		return dcv.CAAReport{}, nil
	}
	for _, name := range names {
		types, err := solver.ChallengeTypes(ctx, profiles(name), name)
		if err != nil {
			types = nil // a profile that cannot be asked now may well be able to publish later
		}
		q.Names = append(q.Names, dcv.CAAName{Name: name, Types: offered(d, types)})
	}
	return solver.CheckCAA(ctx, q)
}

// offered leaves out the types that the CA does not ask for.
func offered(d pluginapi.Description, types []pluginapi.ChallengeType) []pluginapi.ChallengeType {
	if len(d.ChallengeTypes) == 0 {
		return types
	}
	return slices.DeleteFunc(slices.Clone(types), func(t pluginapi.ChallengeType) bool { return !slices.Contains(d.ChallengeTypes, t) })
}

// publisher is the solver as the order engine wants it.
type publisher struct{ *dcv.Solver }

// Publish implements order.Publisher.
func (p publisher) Publish(ctx context.Context, profile string, c pluginapi.Challenge, earlier []byte) ([]byte, error) {
	receipt, err := p.Solver.Publish(ctx, profile, c, earlier)
	if errors.Is(err, dcv.ErrTurn) {
		err = known{err, order.ErrTurn}
	}
	return receipt, err
}

// known is an error that another package knows by a name of its own; the words stay as they are.
type known struct {
	error
	as error
}

// Unwrap implements errors.Is and errors.As.
func (k known) Unwrap() []error { return []error{k.error, k.as} }
