package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/certbridge/certbridged/internal/sandbox/tencent"
)

// tencentRecipe is how the stand-in is configured.
func tencentRecipe(key tencent.Key) recipe {
	return recipe{plugin: "tencent", secrets: []credential{{"secret_id", key.SecretID}, {"secret_key", key.SecretKey}}}
}

// tencentFlags are how the stand-in is run.
type tencentFlags struct {
	standFlags
	site                string
	secretID, secretKey string
	replaceValidity     string
}

// tencentRun is the command with its flags.
type tencentRun struct {
	app   *app
	flags *tencentFlags
}

func (d *tencentRun) run(cmd *cobra.Command, _ []string) error {
	return d.app.stand(cmd.Context(), &d.flags.standFlags, d.begin)
}

// begin makes the stand-in.
func (d *tencentRun) begin() (standIn, introduction, error) {
	f := d.flags
	if (f.secretID == "") != (f.secretKey == "") {
		return nil, introduction{}, errors.New("--secret-id and --secret-key are given together, or both left out")
	}
	settings := tencent.DefaultSettings()
	settings.ReplaceValidity = f.replaceValidity
	var keys []tencent.Key
	if f.secretID != "" {
		keys = []tencent.Key{{SecretID: f.secretID, SecretKey: f.secretKey}}
	}
	s, err := tencent.New(tencent.Options{
		Dir: f.dir, Look: f.look(), Site: tencent.Site(f.site), Keys: keys, Settings: &settings, Day: f.day, Logger: d.app.logger(),
	})
	if err != nil {
		return nil, introduction{}, err
	}
	return s, introduction{"Tencent Cloud SSL (" + string(s.Site()) + " site)", tencentRecipe(s.Key())}, nil
}

func (a *app) tencentCommand() *cobra.Command {
	var f tencentFlags
	cmd := &cobra.Command{
		Use:   "tencent",
		Short: "Stand in for Tencent Cloud SSL (API " + tencent.APIVersion + ")",
		Long: `Stand in for Tencent Cloud SSL (API ` + tencent.APIVersion + `). Orders cost nothing, and the certificates are worth nothing.

To use it, put this into the configuration of certbridged, with what is printed at the start:

` + tencentRecipe(tencent.Key{}).help("127.0.0.1:8445") + `
The account has company ` + fmt.Sprint(tencent.DemoCompany) + ` with manager ` + fmt.Sprint(tencent.DemoManager) + `, whose review is done, and manager ` + fmt.Sprint(tencent.PendingManager) + `, whose
review is not. What a person would do is done by calls below /_sandbox/, from this machine only:

  GET   /_sandbox/certificates
  POST  /_sandbox/certificates/ID/review    {"passed": true} or {"passed": false, "message": "..."}
  POST  /_sandbox/certificates/ID/status    {"status": 8}
  POST  /_sandbox/certificates/ID/refund, /show, /revocation-letter
  POST  /_sandbox/balance                   {"cents": 0}
  POST  /_sandbox/refuse                    {"action": "CreateCertificate", "code": "InternalError", "after": true}
  POST  /_sandbox/misbehave                 {"path": "/CreateCertificate", "kind": "drop", "after": true}
  PATCH /_sandbox/settings                  {"pending_status": 4, "replace_validity": "whole-term", ...}
` + commonCalls,
		Args: cobra.NoArgs,
		RunE: (&tencentRun{a, &f}).run,
	}
	f.add(cmd, "127.0.0.1:8445")
	flags := cmd.Flags()
	flags.StringVar(&f.site, "site", string(tencent.International), "`site` of a new account: international or mainland")
	flags.StringVar(&f.secretID, "secret-id", "", "secret `id` of a new account's key (default: made up)")
	flags.StringVar(&f.secretKey, "secret-key", "", "secret `key` of a new account (default: made up)")
	flags.StringVar(&f.replaceValidity, "replace-validity", tencent.SameExpiry, "end of reissues of a new account: same-expiry, as the documentation says, or whole-term")
	return cmd
}
