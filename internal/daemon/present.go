package daemon

import (
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// How orders look from outside: without keys and without a plugin's state.

func orderOf(r order.Record) control.Order {
	o := control.Order{
		ID: r.ID, Certificate: r.Certificate, Account: r.Account, Phase: string(r.Phase), Detail: r.Detail,
		Reason: r.Reason, ReasonDetail: r.ReasonDetail, Reference: r.Reference, Names: r.Names, CostsMoney: r.Buys(), CostsUnknown: r.Kind == 0,
		Action: actionOf(r.Action), Attempts: r.Attempts, NextAt: r.NextAt, CoverageEnd: r.CoverageEnd,
		Created: r.Created, Updated: r.Updated, Deployment: deploymentOf(r.Deploy),
	}
	if waits := r.WaitsFor(); waits != "" {
		o.Detail = strings.Join(slices.DeleteFunc([]string{o.Detail, waits}, func(s string) bool { return s == "" }), "; ")
	}
	if over := r.PlanOver(time.Now()); over != "" {
		o.Action = &control.PersonAction{Who: "a person", What: "look: " + over}
	}
	if r.Kind != 0 {
		o.Kind = r.Kind.String()
	}
	if r.Status != 0 {
		o.Status = r.Status.String()
	}
	if r.Price != nil {
		o.Price = &control.Price{Amount: r.Price.Amount, Currency: r.Price.Currency}
	}
	if r.Hold != nil {
		o.Hold = &control.Hold{Kind: string(r.Hold.Kind), Detail: r.Hold.Detail, Since: r.Hold.Since}
	}
	if p := r.LastError; p != nil {
		o.LastError = &control.Problem{Kind: p.Kind, Message: p.Message, At: p.At}
	}
	for _, p := range r.Publications {
		o.Publications = append(o.Publications, control.Publication{
			Profile: p.Profile, Identifier: p.Challenge.Identifier, Type: p.Challenge.Type().String(), Place: place(p.Challenge), Published: p.Published,
		})
	}
	return o
}

// place is where a challenge is looked for.
func place(c pluginapi.Challenge) string {
	switch {
	case c.DNS != nil:
		return string(c.DNS.Type) + " " + c.DNS.Name
	case c.HTTP != nil:
		return "http://" + c.HTTP.Host + c.HTTP.Path
	case c.TLSALPN != nil:
		return "tls-alpn " + c.TLSALPN.Host
	default:
		return ""
	}
}

func actionOf(a *pluginapi.PersonAction) *control.PersonAction {
	if a == nil {
		return nil
	}
	return &control.PersonAction{Who: a.Who, What: a.What, URL: a.URL}
}

func deploymentOf(d *order.Deployment) *control.Deployment {
	if d == nil {
		return nil
	}
	return &control.Deployment{
		OK: d.OK, Stage: d.Stage, Message: d.Message, Output: d.Output, ExitCode: d.ExitCode, At: d.At, Took: d.Took, RolledBack: d.RolledBack,
	}
}
