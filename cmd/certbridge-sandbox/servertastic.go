package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/certbridge/certbridged/internal/sandbox"
	"github.com/certbridge/certbridged/internal/sandbox/servertastic"
)

// servertasticRecipe is how the stand-in is configured.
func servertasticRecipe(key string) recipe {
	return recipe{plugin: "servertastic", base: servertastic.BasePath, secrets: []credential{{"api_key", key}}}
}

// servertasticFlags are how the stand-in is run.
type servertasticFlags struct {
	standFlags
	key         string
	points      int64
	syncLag     time.Duration
	looseFields bool
}

// servertasticRun is the command with its flags.
type servertasticRun struct {
	app   *app
	flags *servertasticFlags
}

func (d *servertasticRun) run(cmd *cobra.Command, _ []string) error {
	return d.app.stand(cmd.Context(), &d.flags.standFlags, d.begin)
}

// begin makes the stand-in.
func (d *servertasticRun) begin() (standIn, introduction, error) {
	f := d.flags
	if f.points < 1 {
		return nil, introduction{}, errors.New("--points must be 1 or more; a rehearsal can take them away later")
	}
	settings := servertastic.DefaultSettings()
	settings.SyncLag, settings.Strict = sandbox.Delay(f.syncLag), !f.looseFields
	s, err := servertastic.New(servertastic.Options{
		Dir: f.dir, Look: f.look(), Key: f.key, Points: f.points, Settings: &settings, Day: f.day, Logger: d.app.logger(),
	})
	if err != nil {
		return nil, introduction{}, err
	}
	return s, introduction{"ServerTastic", servertasticRecipe(s.Key())}, nil
}

func (a *app) servertasticCommand() *cobra.Command {
	var f servertasticFlags
	cmd := &cobra.Command{
		Use:   "servertastic",
		Short: "Stand in for the reseller ServerTastic (order-token API)",
		Long: `Stand in for the reseller ServerTastic (order-token API). Orders cost nothing, and the certificates are worth nothing.

To use it, put this into the configuration of certbridged, with what is printed at the start:

` + servertasticRecipe("").help("127.0.0.1:8444") + `
Parameters whose names ServerTastic's page has lost have names here that nobody guesses; productfields tells them. What a
person would do is done by calls below /_sandbox/, from this machine only; ID is a reseller order id such as STR_37_400107:

  GET   /_sandbox/orders
  POST  /_sandbox/orders/ID/follow-email    as if somebody followed the link in the validation email
  POST  /_sandbox/orders/ID/vet             the organization of an OV or EV order is vetted
  POST  /_sandbox/orders/ID/status          {"status": "Queued", "info": "..."}; Cancelled and Roll Back end the order
  POST  /_sandbox/orders/ID/release         it goes on
  POST  /_sandbox/orders/ID/approve-cancel  as if the admin contact approved a cancellation
  POST  /_sandbox/sync                      what review tells is up to date now
  POST  /_sandbox/points                    {"points": 5}
  POST  /_sandbox/misbehave                 {"path": "/order/generatetoken.json", "kind": "drop", "after": true}
  PATCH /_sandbox/settings                  {"layout": "flat", "names": {"previous_token": "old_token"}, ...}
` + commonCalls,
		Args: cobra.NoArgs,
		RunE: (&servertasticRun{a, &f}).run,
	}
	f.add(cmd, "127.0.0.1:8444")
	flags := cmd.Flags()
	flags.StringVar(&f.key, "api-key", "", "API `key` of a new account (default: made up)")
	flags.Int64Var(&f.points, "points", servertastic.StartPoints, "points of a new account")
	flags.DurationVar(&f.syncLag, "sync-lag", 5*time.Minute, "how old what review tells of a new account's orders may be")
	flags.BoolVar(&f.looseFields, "ignore-unknown-fields", false, "a new account that ignores parameters which are not known")
	return cmd
}
