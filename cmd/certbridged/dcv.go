package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/control"
)

func (a *app) dcvCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dcv",
		Short: "Try the ways to show domain control",
	}
	cmd.AddCommand(a.dcvTestCommand())
	return cmd
}

func (a *app) dcvTestCommand() *cobra.Command {
	var test control.ProfileTest
	cmd := &cobra.Command{
		Use:   "test PROFILE DOMAIN",
		Short: "Publish something harmless through a DCV profile, see who has it, withdraw it",
		Long: `Publish something harmless through a DCV profile, show what each authoritative name server answers and how long it
took, and withdraw it. Nothing is ordered. The daemon does it, with its own rights and credentials.

Without flags it is what an ACME CA would ask for: a TXT record at _acme-challenge.DOMAIN, or a file below
/.well-known/acme-challenge/. Other CAs ask for other places: "--type txt --place _dnsauth" for DigiCert's record,
"--type txt --place @" for one at the domain itself, "--type http --place pki-validation/fileauth.txt" for a file. The
exit code is 1 when a CA would not see it.`,
		Example: `  certbridged dcv test cloudflare shop.example.com
  certbridged dcv test own shop.example.com --type cname --place _test
  certbridged dcv test web shop.example.com --type http --place pki-validation/fileauth.txt`,
		Args:              words(2, 2),
		ValidArgsFunction: a.completeProfiles,
		PreRunE: func(*cobra.Command, []string) error {
			switch {
			case test.Type != "" && !slices.Contains(testTypes(), test.Type):
				return usagef("--type %q is none of %s", test.Type, strings.Join(testTypes(), ", "))
			case test.Place != "" && test.Type == "":
				return usagef("--place needs a --type: %s", strings.Join(testTypes(), ", "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			test.Profile, test.Domain = args[0], args[1]
			return a.withClient(func(c *control.Client) error {
				return c.TestProfile(cmd.Context(), test, a.printStep)
			})
		},
	}
	cmd.Flags().StringVar(&test.Type, "type", "", "`type` of what is published: txt, cname or http; the default is what the profile can do")
	cmd.Flags().StringVar(&test.Place, "place", "", "`where`: the labels before the domain (\"@\" for none), or the file's path below /.well-known/")
	return cmd
}

func testTypes() []string { return []string{"txt", "cname", "http"} }

// completeProfiles completes the name of a DCV profile.
func (a *app) completeProfiles(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	cfg, err := config.Load(a.configPath, config.Options{SkipSecrets: true})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.Sorted(maps.Keys(cfg.DCV)), cobra.ShellCompDirectiveNoFileComp
}

// printStep prints one step of a test.
func (a *app) printStep(s control.ProfileTestStep) error {
	if a.json {
		if err := json.NewEncoder(a.out).Encode(s); err != nil {
			return fmt.Errorf("print: %w", err)
		}
		return nil
	}
	mark := cell{"ok", green}
	switch {
	case !s.OK && (s.Step == "look" || s.Step == "gone"):
		mark = cell{"..", yellow}
	case !s.OK:
		mark = cell{"FAIL", red}
	}
	took := ""
	if s.Took >= time.Millisecond {
		took = fmt.Sprintf(" (%s)", s.Took.Round(time.Millisecond))
	}
	a.printf("%s%s  %s%s\n", paint(a.out, mark.colour, mark.text), strings.Repeat(" ", 4-len(mark.text)), safe(s.Message), took)
	for _, answer := range s.Answers {
		a.printf("        %s\n", oneLine(answerText(answer)))
	}
	return nil
}

// answerText is what one server says, in words.
func answerText(answer control.ServerAnswer) string {
	who := answer.Address
	if answer.Server != "" {
		who = strings.TrimSuffix(answer.Server, ".") + " (" + answer.Address + ")"
	}
	what := "has it"
	switch {
	case answer.Problem != "":
		what = answer.Problem
	case answer.Seen && len(answer.Values) > 1:
		what = fmt.Sprintf("has it, beside %d other values", len(answer.Values)-1)
	case !answer.Seen && len(answer.Values) > 0:
		what = "has something else: " + strings.Join(answer.Values, ", ")
	case !answer.Seen:
		what = "has nothing there"
	}
	return fmt.Sprintf("%s: %s (%s)", who, what, answer.Took.Round(100*time.Microsecond))
}
