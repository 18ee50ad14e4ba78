package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/certbridge/certbridged/internal/sandbox/digicert"
)

// digicertRecipe is how the stand-in is configured. Approval is skipped: a rehearsal that waits for a person looks as if
// it hung.
func digicertRecipe(key string) recipe {
	return recipe{
		plugin: "digicert", base: digicert.BasePath, secrets: []credential{{"api_key", key}},
		settings: []string{fmt.Sprintf("organization_id = %d", digicert.DemoOrganization), "skip_approval = true"},
		remarks:  []string{"Without skip_approval orders wait for a person: look at %s/_sandbox/requests"},
	}
}

// digicertFlags are how the stand-in is run.
type digicertFlags struct {
	standFlags
	key                string
	looseFields        bool
	singleYear         bool
	approval, dcvScope string
}

// digicertRun is the command with its flags.
type digicertRun struct {
	app   *app
	flags *digicertFlags
}

func (d *digicertRun) run(cmd *cobra.Command, _ []string) error {
	return d.app.stand(cmd.Context(), &d.flags.standFlags, d.begin)
}

// begin makes the stand-in.
func (d *digicertRun) begin() (standIn, introduction, error) {
	f := d.flags
	settings := digicert.DefaultSettings()
	settings.Approval, settings.DCVScope = digicert.Approval(f.approval), f.dcvScope
	settings.MultiYearPlans, settings.Strict = !f.singleYear, !f.looseFields
	var users []digicert.User
	if f.key != "" {
		users = []digicert.User{{Key: f.key, Name: "Api", Role: digicert.Administrator, EVApprover: true}}
	}
	s, err := digicert.New(digicert.Options{
		Dir: f.dir, Look: f.look(), Users: users, Settings: &settings, Day: f.day, Logger: d.app.logger(),
	})
	if err != nil {
		return nil, introduction{}, err
	}
	return s, introduction{"DigiCert CertCentral", digicertRecipe(s.Key())}, nil
}

func (a *app) digicertCommand() *cobra.Command {
	var f digicertFlags
	cmd := &cobra.Command{
		Use:   "digicert",
		Short: "Stand in for DigiCert CertCentral (Services API v2)",
		Long: `Stand in for DigiCert CertCentral (Services API v2). Orders cost nothing, and the certificates are worth nothing.

To use it, put this into the configuration of certbridged, with what is printed at the start:

` + digicertRecipe("").help("127.0.0.1:8443") + `
The account has organization ` + fmt.Sprint(digicert.DemoOrganization) + `, which is validated, organization ` + fmt.Sprint(digicert.PendingOrganization) + `, which is not, and the
container ` + fmt.Sprint(digicert.DemoContainer) + `. What a person would do is done by calls below /_sandbox/, from this machine only:

  GET   /_sandbox/orders, /_sandbox/requests
  POST  /_sandbox/requests/ID               {"status": "approved"} or {"status": "rejected"}
  POST  /_sandbox/orders/ID/follow-email    as if somebody followed the link in the validation email
  POST  /_sandbox/organizations/ID          {"validated": true}
  POST  /_sandbox/misbehave                 {"method": "POST", "path": "/order/certificate/*", "kind": "drop", "after": true}
  PATCH /_sandbox/settings                  {"approval": "manual", "multi_year_plans": false, ...}
` + commonCalls,
		Args: cobra.NoArgs,
		RunE: (&digicertRun{a, &f}).run,
	}
	f.add(cmd, "127.0.0.1:8443")
	flags := cmd.Flags()
	flags.StringVar(&f.key, "api-key", "", "API `key` of a new account's administrator (default: made up)")
	flags.StringVar(&f.approval, "approval", string(digicert.ApproveByHand), "what a new account does with requests: manual, two-step, auto, none")
	flags.StringVar(&f.dcvScope, "dcv-scope", "fqdn", "validation scope of a new account: fqdn or base_domain")
	flags.BoolVar(&f.singleYear, "no-multi-year", false, "a new account without Multi-year Plans: orders end with their certificate")
	flags.BoolVar(&f.looseFields, "ignore-unknown-fields", false, "a new account that ignores fields which are not documented")
	return cmd
}
