package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/certbridge/certbridged/internal/control"
)

func (a *app) renewCommand() *cobra.Command {
	req := control.RenewRequest{}
	cmd := &cobra.Command{
		Use:   "renew NAME",
		Short: "Order a certificate now",
		Long: `Order a certificate now. What is not due yet is not ordered without --force; with a CA that sends an invoice that
may cost money: once the paid plan has ended, and not before. Where an order is open already no other is placed; its next step
is taken at once, say after it was approved at the CA. With --dry-run nothing is ordered: it says what would be, and why.`,
		Args:              words(1, 1),
		ValidArgsFunction: a.completeCertificates,
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Name = args[0]
			return a.withClient(func(c *control.Client) error {
				r, err := c.Renew(cmd.Context(), req)
				if err != nil {
					return err
				}
				return a.printRenewal(req, r)
			})
		},
	}
	cmd.Flags().BoolVarP(&req.DryRun, "dry-run", "n", false, "only say what would be ordered")
	cmd.Flags().BoolVar(&req.Force, "force", false, "order even though it is not due")
	return cmd
}

// printRenewal prints what was ordered. A held order makes the exit code 7.
func (a *app) printRenewal(req control.RenewRequest, r control.Renewal) error {
	held := r.WouldHold != "" || r.Order != nil && r.Order.Hold != nil
	if a.json {
		if err := a.printJSON(r); err != nil {
			return err
		}
	} else {
		a.renewalText(req, r)
	}
	if held {
		return &codeError{code: exitPerson}
	}
	return nil
}

func (a *app) renewalText(req control.RenewRequest, r control.Renewal) {
	what := "an order"
	if r.Kind != "" {
		what = "a " + r.Kind + " order" // new, renew or reissue
	}
	switch {
	case r.Ordered && req.DryRun:
		a.printf("Would place %s with CA account %s: %s\n", what, safe(r.Account), safe(r.Detail))
	case r.Ordered:
		a.printf("Placing %s with CA account %s: %s\n", what, safe(r.Account), safe(r.Detail))
	case r.Order != nil && r.Order.Hold != nil:
		a.printf("An order is open already, and waits for a person; another one is not placed beside it.\n")
	case r.Order != nil && req.DryRun:
		a.printf("An order is open already; another one is not placed beside it.\n")
	case r.Order != nil:
		a.printf("An order is open already; another one is not placed beside it. Its next step is taken now.\n")
	default:
		a.printf("Nothing to order: %s\n", safe(r.Detail))
		if !req.Force {
			a.printf("--force orders all the same.\n")
		}
	}
	cost := ""
	if r.Ordered {
		cost = "nothing"
		if r.CostsMoney {
			cost = "money; the price is not known before"
		}
		if r.Price != nil {
			cost = r.Price.Amount + " " + r.Price.Currency
		}
	}
	if r.Order != nil {
		a.printOrder(*r.Order)
		return
	}
	a.facts(pairs("names", strings.Join(r.Names, ", "), "costs", cost, "would be held", r.WouldHold))
}

func (a *app) deployCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "deploy NAME",
		Short:             "Run check, reload and verify for the files that are in place",
		Args:              words(1, 1),
		ValidArgsFunction: a.completeCertificates,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(func(c *control.Client) error {
				d, err := c.Deploy(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if a.json {
					if err := a.printJSON(d); err != nil {
						return err
					}
				} else if d.OK {
					a.printf("%s, after %s\n", paint(a.out, green, "Deployed"), d.Took.Round(time.Millisecond))
				} else {
					a.printf("%s at %s: %s\n", paint(a.out, red, "Failed"), d.Stage, safe(d.Message))
					a.printOutput(d.Output)
				}
				if !d.OK {
					return &codeError{code: exitFailed}
				}
				return nil
			})
		},
	}
}

// revocationReasons are the reasons a subscriber may give (CA/Browser Forum Baseline Requirements section 7.2.2; the
// numbers are those of RFC 5280 section 5.3.1).
func revocationReasons() map[string]int {
	return map[string]int{
		"unspecified": 0, "key-compromise": 1, "affiliation-changed": 3, "superseded": 4, "cessation-of-operation": 5,
	}
}

func (a *app) revokeCommand() *cobra.Command {
	var reason, serial string
	var yes bool
	cmd := &cobra.Command{
		Use:   "revoke NAME",
		Short: "Revoke the certificate that is on disk",
		Long: `Revoke the certificate that is on disk at the CA account it is configured with. That cannot be undone, so say --yes.
A new one is ordered at once, unless the certificate is disabled.`,
		Args:              words(1, 1),
		ValidArgsFunction: a.completeCertificates,
		PreRunE: func(*cobra.Command, []string) error {
			if _, ok := revocationReasons()[reason]; !ok {
				return usagef("--reason %q is none of %s", reason, strings.Join(slices.Sorted(maps.Keys(revocationReasons())), ", "))
			}
			if !yes {
				return usagef("revoking cannot be undone; say --yes if you mean it")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			req := control.RevokeRequest{Name: args[0], Reason: revocationReasons()[reason], Serial: strings.ToLower(serial)}
			return a.withClient(func(c *control.Client) error {
				r, err := c.Revoke(cmd.Context(), req)
				if err != nil {
					return err
				}
				return a.printRevocation(r)
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "unspecified", "why: "+strings.Join(slices.Sorted(maps.Keys(revocationReasons())), ", "))
	cmd.Flags().StringVar(&serial, "serial", "", "revoke only if the certificate on disk has this serial `number`")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	return cmd
}

func (a *app) printRevocation(r control.Revocation) error {
	if a.json {
		if err := a.printJSON(r); err != nil {
			return err
		}
	} else if r.Action != nil {
		a.printf("Asked to revoke %s. %s must %s %s\n", r.Serial, safe(r.Action.Who), safe(r.Action.What), safe(r.Action.URL))
	} else {
		a.printf("Revoked %s. %s\n", r.Serial, safe(r.Detail))
	}
	if r.Action != nil {
		return &codeError{code: exitPerson}
	}
	return nil
}

// usagef is an error about how the command was called.
func usagef(format string, args ...any) error {
	return &codeError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

func (a *app) reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Make the daemon read its configuration again, all or nothing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(func(c *control.Client) error {
				warnings, err := c.Reload(cmd.Context())
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(struct {
						Warnings []string `json:"warnings"`
					}{orEmpty(warnings)})
				}
				for _, w := range warnings {
					a.printf("%s\n", paint(a.out, yellow, "remark: "+safe(w)))
				}
				a.printf("The new configuration runs.\n")
				return nil
			})
		},
	}
}
