package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/certbridge/certbridged/internal/control"
)

func (a *app) ordersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "orders",
		Short: "Show orders and decide about those that wait for a person",
	}
	list := a.ordersListCommand()
	cmd.Flags().AddFlagSet(list.Flags())
	cmd.Args = cobra.NoArgs
	cmd.RunE = list.RunE
	cmd.AddCommand(list, a.orderShowCommand(), a.orderApproveCommand(), a.orderResolveCommand(), a.orderCancelCommand())
	return cmd
}

func (a *app) ordersListCommand() *cobra.Command {
	var filter control.OrderFilter
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List orders under way",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(func(c *control.Client) error {
				list, err := c.Orders(cmd.Context(), filter)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(struct {
						Orders []control.Order `json:"orders"`
					}{orEmpty(list)})
				}
				a.printOrders(list, filter)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&filter.All, "all", false, "list finished ones too")
	cmd.Flags().StringVar(&filter.Certificate, "certificate", "", "list those of one certificate, by `name`")
	return cmd
}

func (a *app) printOrders(list []control.Order, filter control.OrderFilter) {
	if len(list) == 0 {
		if filter.All {
			a.printf("There are no orders.\n")
		} else {
			a.printf("No order is under way; --all lists finished ones.\n")
		}
		return
	}
	var rows [][]cell
	for _, o := range list {
		next := "-"
		if !o.NextAt.IsZero() {
			next = when(o.NextAt)
		}
		words, col := o.Detail, plain
		switch {
		case o.Hold != nil:
			words, col = o.Hold.Detail, red
		case o.LastError != nil:
			words, col = o.LastError.Message, yellow
		case o.Action != nil:
			words, col = o.Action.What, yellow
		}
		rows = append(rows, []cell{{text: o.ID}, {text: o.Certificate}, {text: o.Account}, {text: o.Kind}, {text: o.Phase}, {text: next}, {words, col}})
	}
	a.table([]string{"ID", "CERTIFICATE", "CA", "KIND", "PHASE", "NEXT", "DETAIL"}, rows)
}

// printOrder prints one order in full, and what a person can do about it.
func (a *app) printOrder(o control.Order) {
	texts := []string{
		"order", o.ID, "certificate", o.Certificate, "CA account", o.Account, "kind", o.Kind, "phase", o.Phase,
		"at the CA", o.Status, "detail", o.Detail, "reason", o.ReasonDetail, "CA's reference", o.Reference,
		"names", strings.Join(o.Names, ", "), "costs money", costsMoney(o),
	}
	if o.Price != nil {
		texts = append(texts, "price", o.Price.Amount+" "+o.Price.Currency)
	}
	if h := o.Hold; h != nil {
		texts = append(texts, "held", fmt.Sprintf("%s: %s", h.Kind, h.Detail), "held since", when(h.Since))
	}
	if p := o.Action; p != nil {
		texts = append(texts, "to do", strings.TrimSpace(fmt.Sprintf("%s: %s %s", p.Who, p.What, p.URL)))
	}
	for _, p := range o.Publications {
		state := "may be published"
		if p.Published {
			state = "published"
		}
		texts = append(texts, "challenge", fmt.Sprintf("%s for %s: %s by profile %s at %s", p.Type, p.Identifier, state, p.Profile, p.Place))
	}
	if o.Attempts > 0 {
		texts = append(texts, "failures in a row", fmt.Sprint(o.Attempts))
	}
	if e := o.LastError; e != nil {
		texts = append(texts, "last error", fmt.Sprintf("%s: %s, %s", e.Kind, e.Message, when(e.At)))
	}
	if !o.NextAt.IsZero() {
		texts = append(texts, "next step", when(o.NextAt))
	}
	if !o.CoverageEnd.IsZero() {
		texts = append(texts, "paid until", when(o.CoverageEnd))
	}
	texts = append(texts, "began", when(o.Created), "changed", when(o.Updated))
	if o.Deployment != nil {
		texts = append(texts, "deployment", deploymentText(*o.Deployment))
	}
	a.facts(pairs(texts...))
	if o.Hold != nil {
		a.printf("%s\n", wayOut(o))
	}
}

// costsMoney says whether an order is a purchase, as far as that is decided.
func costsMoney(o control.Order) string {
	if o.CostsUnknown {
		return "not known yet"
	}
	return yesNo(o.CostsMoney)
}

// wayOut says which command ends a hold.
func wayOut(o control.Order) string {
	if o.Hold.Kind == "unknown-outcome" {
		return fmt.Sprintf("Look at the CA whether it was bought, then: certbridged orders resolve %s --reference REFERENCE, or --not-bought", o.ID)
	}
	return fmt.Sprintf("To let it go on: certbridged orders approve %s; to end it: certbridged orders cancel %s", o.ID, o.ID)
}

// orderCommand makes a command that asks something about one order and prints what it is then.
func (a *app) orderCommand(use, short string, ask func(c *control.Client, cmd *cobra.Command, id string) (control.Order, error)) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: words(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(func(c *control.Client) error {
				o, err := ask(c, cmd, args[0])
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(o)
				}
				a.printOrder(o)
				return nil
			})
		},
	}
}

func (a *app) orderShowCommand() *cobra.Command {
	return a.orderCommand("show ID", "Show one order", func(c *control.Client, cmd *cobra.Command, id string) (control.Order, error) {
		return c.Order(cmd.Context(), id)
	})
}

func (a *app) orderApproveCommand() *cobra.Command {
	return a.orderCommand("approve ID", "Let a held order go on", func(c *control.Client, cmd *cobra.Command, id string) (control.Order, error) {
		return c.Approve(cmd.Context(), id)
	})
}

func (a *app) orderResolveCommand() *cobra.Command {
	var reference string
	var notBought bool
	cmd := a.orderCommand("resolve ID", "Say what became of a purchase whose outcome is unknown", func(c *control.Client, cmd *cobra.Command, id string) (control.Order, error) {
		return c.Resolve(cmd.Context(), id, strings.TrimSpace(reference))
	})
	cmd.Long = `Say what became of a purchase whose outcome is unknown: the call went out, no answer came, and the CA cannot tell.
Look at the CA first. With --reference the order goes on as the one that was bought; with --not-bought it is placed again,
which costs money if it was bought after all.`
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if (strings.TrimSpace(reference) != "") == notBought {
			return usagef("say either --reference REFERENCE or --not-bought")
		}
		return nil
	}
	cmd.Flags().StringVar(&reference, "reference", "", "it was bought: the CA's `reference` of the order")
	cmd.Flags().BoolVar(&notBought, "not-bought", false, "it was not bought; order again")
	return cmd
}

func (a *app) orderCancelCommand() *cobra.Command {
	var reason string
	cmd := a.orderCommand("cancel ID", "End an order that has no certificate yet", func(c *control.Client, cmd *cobra.Command, id string) (control.Order, error) {
		return c.Cancel(cmd.Context(), id, reason)
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why, in `words` for the journal and the CA")
	return cmd
}
