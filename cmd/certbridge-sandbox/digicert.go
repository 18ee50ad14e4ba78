package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/certbridge/certbridged/internal/sandbox/digicert"
)

const digicertConfig = `[ca.digicert]
plugin = "digicert"
[ca.digicert.settings]
api_key = %q
base_url = %q
organization_id = %d
`

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
	return s, introduction{"DigiCert CertCentral", func(address string) string {
		return fmt.Sprintf(digicertConfig, s.Key(), address+digicert.BasePath, digicert.DemoOrganization)
	}}, nil
}

func (a *app) digicertCommand() *cobra.Command {
	var f digicertFlags
	cmd := &cobra.Command{
		Use:   "digicert",
		Short: "Stand in for DigiCert CertCentral (Services API v2)",
		Long: `Stand in for DigiCert CertCentral (Services API v2). Orders cost nothing, and the certificates are worth nothing.

To use it, put this into the configuration of certbridged, with what is printed at the start:

` + indent(fmt.Sprintf(digicertConfig, "SANDBOX...", "http://127.0.0.1:8443"+digicert.BasePath, digicert.DemoOrganization)) + `
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
