package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/certbridge/certbridged/internal/control"
)

func (a *app) planCommand() *cobra.Command {
	var until string
	cmd := &cobra.Command{
		Use:   "plan --until DATE",
		Short: "Show what will be ordered until a date if nothing changes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			end, err := parseUntil(until, time.Now())
			if err != nil {
				return err
			}
			return a.withClient(func(c *control.Client) error {
				acts, err := c.Plan(cmd.Context(), end)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(struct {
						Until time.Time            `json:"until"`
						Acts  []control.PlannedAct `json:"acts"`
					}{end, orEmpty(acts)})
				}
				a.printPlan(acts, end)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&until, "until", "90d", "`date` (2027-01-31), moment (RFC 3339), or distance (90d)")
	return cmd
}

func (a *app) printPlan(acts []control.PlannedAct, end time.Time) {
	if len(acts) == 0 {
		a.printf("Nothing will be ordered until %s.\n", when(end))
		return
	}
	var rows [][]cell
	purchases := 0
	for _, p := range acts {
		money := cell{text: "-"}
		if p.CostsMoney {
			money = cell{"yes", yellow}
			purchases++
		}
		rows = append(rows, []cell{{text: when(p.At)}, {text: p.Certificate}, {text: p.Account}, {text: p.Kind}, money, {text: p.Detail}})
	}
	a.table([]string{"WHEN", "CERTIFICATE", "CA", "KIND", "COSTS", "WHY"}, rows)
	a.printf("Orders: %d, purchases among them: %d\n", len(acts), purchases)
}

// parseUntil reads a date, a moment or a distance from now.
func parseUntil(text string, now time.Time) (time.Time, error) {
	var end time.Time
	if t, err := time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil {
		end = t.AddDate(0, 0, 1)
	} else if t, err := time.Parse(time.RFC3339, text); err == nil {
		end = t
	} else if days, ok := parseDays(text); ok {
		end = now.Add(days)
	} else {
		return end, usagef("--until %q is no date such as 2027-01-31, moment such as 2027-01-31T12:00:00Z, or distance such as 90d", text)
	}
	if !end.After(now) {
		return end, usagef("--until %s is in the past", text)
	}
	return end, nil
}

func parseDays(text string) (time.Duration, bool) {
	var days int
	var rest string
	if n, _ := fmt.Sscanf(text, "%d%s", &days, &rest); n == 2 && rest == "d" && days > 0 && days <= 36600 {
		return time.Duration(days) * 24 * time.Hour, true
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d > 0
}

func (a *app) eventsCommand() *cobra.Command {
	var filter control.EventFilter
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show what happened lately, with --follow also what happens now",
		Long:  "Show what happened lately, with --follow also what happens now. With --json each event is one object on one line.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(func(c *control.Client) error {
				return c.Events(cmd.Context(), filter, a.printEvent)
			})
		},
	}
	cmd.Flags().BoolVarP(&filter.Follow, "follow", "f", false, "go on until interrupted")
	cmd.Flags().StringVar(&filter.Certificate, "certificate", "", "show those of one certificate, by `name`")
	return cmd
}

func (a *app) printEvent(e control.Event) error {
	if a.json {
		if err := json.NewEncoder(a.out).Encode(e); err != nil {
			return fmt.Errorf("print: %w", err)
		}
		return nil
	}
	col := plain
	var level slog.Level
	if err := level.UnmarshalText([]byte(e.Level)); err == nil && level >= slog.LevelWarn {
		if col = yellow; level >= slog.LevelError {
			col = red
		}
	}
	who := e.Certificate
	if who == "" {
		who = e.Account
	}
	if who == "" {
		who = e.Plugin
	}
	line := fmt.Sprintf("%s  %-18s  ", e.At.Local().Format("2006-01-02 15:04:05"), oneLine(e.Type))
	if who != "" {
		line += oneLine(who) + ": "
	}
	if _, err := fmt.Fprintf(a.out, "%s%s\n", line, paint(a.out, col, oneLine(e.Message))); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
