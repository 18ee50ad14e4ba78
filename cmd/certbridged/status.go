package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/certbridge/certbridged/internal/control"
)

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "status [NAME]",
		Short:             "Show how the certificates are",
		Args:              words(0, 1),
		ValidArgsFunction: a.completeCertificates,
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			return a.withClient(func(c *control.Client) error {
				info, err := c.Info(cmd.Context())
				if err != nil {
					return err
				}
				list, err := c.Status(cmd.Context(), name)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(struct {
						Daemon       control.Info          `json:"daemon"`
						Certificates []control.Certificate `json:"certificates"`
					}{info, orEmpty(list)})
				}
				for _, p := range info.ConfigProblems {
					a.printf("%s\n", paint(a.out, red, "The files on disk are not the configuration that runs: "+safe(p)))
				}
				if name != "" && len(list) == 1 {
					a.printCertificate(list[0])
					return nil
				}
				a.printCertificates(list)
				return nil
			})
		},
	}
}

// orEmpty makes a nil list print as [] rather than null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (a *app) printCertificates(list []control.Certificate) {
	if len(list) == 0 {
		a.printf("No certificates are configured.\n")
		return
	}
	var rows [][]cell
	for _, c := range list {
		expires := cell{text: "-"}
		if c.Leaf != nil {
			expires = cell{when(c.Leaf.NotAfter), expiryColour(c.Leaf)}
		}
		next := cell{text: "-"}
		if at := nextAt(c); !at.IsZero() {
			next.text = when(at)
		}
		state, col := stateOf(c)
		rows = append(rows, []cell{{text: c.Name}, {text: c.Account}, expires, next, {state, col}})
	}
	a.table([]string{"NAME", "CA", "EXPIRES", "NEXT", "STATE"}, rows)
}

// nextAt is when something happens next: to the order under way, or else to the certificate.
func nextAt(c control.Certificate) time.Time {
	if c.Order != nil && !c.Order.NextAt.IsZero() {
		return c.Order.NextAt
	}
	return c.Next.At
}

func expiryColour(l *control.Leaf) colour {
	left := time.Until(l.NotAfter)
	switch life := l.NotAfter.Sub(l.NotBefore); {
	case left <= 0:
		return red
	case left < life/6:
		return yellow
	default:
		return plain
	}
}

// stateOf says in a few words how a certificate is, the most urgent thing first.
func stateOf(c control.Certificate) (string, colour) {
	o := c.Order
	switch {
	case !c.Enabled:
		return "disabled", faint
	case o != nil && o.Hold != nil:
		return "held, " + o.Hold.Kind + ": " + o.Hold.Detail, red
	case o != nil && o.Action != nil:
		return "waits for a person: " + o.Action.What, yellow
	case o != nil && o.LastError != nil:
		return fmt.Sprintf("order %s, failing: %s", o.Phase, o.LastError.Message), red
	case o != nil:
		return "order " + o.Phase, yellow
	case c.Deployment != nil && !c.Deployment.OK:
		return "deployment failed: " + c.Deployment.Message, red
	case c.Next.Reason == "backing-off":
		return c.Next.Detail, red
	case c.Leaf != nil && !time.Now().Before(c.Leaf.NotAfter):
		return "expired", red
	case c.Problem != "":
		return c.Problem, red
	case c.Leaf == nil:
		return "no certificate", yellow
	case c.Next.Due:
		return "due: " + c.Next.Reason, yellow
	default:
		return "ok", green
	}
}

func (a *app) printCertificate(c control.Certificate) {
	state, col := stateOf(c)
	list := pairs("name", c.Name)
	list = append(list, fact{"state", state, col})
	list = append(list, pairs("names", strings.Join(c.Names, ", "), "CA account", c.Account)...)
	if l := c.Leaf; l != nil {
		list = append(list, pairs("valid from", when(l.NotBefore), "expires", when(l.NotAfter), "issuer", l.Issuer,
			"serial", l.Serial, "key", l.KeyType, "SHA-256", l.Fingerprint)...)
	}
	list = append(list, fact{"problem", c.Problem, red})
	if !c.CoverageEnd.IsZero() {
		list = append(list, pairs("paid until", when(c.CoverageEnd))...)
	}
	list = append(list, pairs("next", c.Next.Detail)...)
	for _, f := range c.Files {
		list = append(list, pairs(f.Form, join(f.Path, f.Problem))...)
	}
	if d := c.Deployment; d != nil {
		list = append(list, pairs("deployment", deploymentText(*d))...)
	}
	a.facts(list)
	if c.Deployment != nil && !c.Deployment.OK && c.Deployment.Output != "" {
		a.printOutput(c.Deployment.Output)
	}
	if c.Order != nil {
		a.printf("\n")
		a.printOrder(*c.Order)
	}
}

func join(a, b string) string {
	if b == "" {
		return a
	}
	return a + ": " + b
}

func deploymentText(d control.Deployment) string {
	switch {
	case d.OK && d.Stage == "verify":
		return fmt.Sprintf("served since %s", when(d.At))
	case d.OK && d.Stage == "reload":
		return fmt.Sprintf("reloaded %s; what the server serves is not looked at: no verify is configured", when(d.At))
	case d.OK:
		return fmt.Sprintf("installed %s; no server was told: no deploy is configured", when(d.At))
	}
	text := fmt.Sprintf("failed at %s, %s", d.Stage, when(d.At))
	text = join(text, d.Message)
	if d.RolledBack {
		text += "; the files from before are back"
	}
	if !d.NextAt.IsZero() {
		text += "; next try " + when(d.NextAt)
	}
	return text
}

// printOutput prints a command's output, set off from the rest.
func (a *app) printOutput(output string) {
	for _, line := range strings.Split(strings.TrimRight(output, "\n"), "\n") {
		a.printf("    | %s\n", safe(line))
	}
}

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "explain NAME",
		Short:             "Say why a certificate is or is not being renewed, and what comes next",
		Args:              words(1, 1),
		ValidArgsFunction: a.completeCertificates,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(func(c *control.Client) error {
				e, err := c.Explain(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if a.json {
					e.Facts = orEmpty(e.Facts)
					return a.printJSON(e)
				}
				a.printf("%s: %s\n", paint(a.out, bold, safe(e.Certificate.Name)), safe(e.Certificate.Next.Detail))
				for _, f := range e.Facts {
					a.printf("- %s\n", safe(f))
				}
				if at := nextAt(e.Certificate); !at.IsZero() {
					a.printf("Next: %s\n", when(at))
				}
				return nil
			})
		},
	}
}
