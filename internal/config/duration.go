package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// parseDuration reads what time.ParseDuration reads and, in front of it, days: "30d", "1d12h".
func parseDuration(text string) (time.Duration, error) {
	var total time.Duration
	rest := text
	if number, after, ok := strings.Cut(text, "d"); ok {
		days, err := strconv.ParseFloat(number, 64)
		if err != nil || !(days >= 0 && days < 100*366) || strings.ContainsAny(number, "eExXpP_+") {
			return 0, durationError(text)
		}
		total, rest = time.Duration(math.Round(days*float64(day))), after
	}
	if rest != "" || text == "" {
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 {
			return 0, durationError(text)
		}
		total += d
	}
	if total < 0 {
		return 0, durationError(text)
	}
	return total, nil
}

func durationError(text string) error {
	return fmt.Errorf("%q is not a duration; write it like \"90s\", \"5m\", \"12h\" or \"30d\"", text)
}

// parseRenewBefore reads "33%" or a duration.
func parseRenewBefore(text string) (RenewBefore, error) {
	number, percent := strings.CutSuffix(text, "%")
	if !percent {
		d, err := parseDuration(text)
		if err != nil {
			return RenewBefore{}, fmt.Errorf("%q is neither a share of the lifetime such as \"33%%\" nor a duration such as \"30d\"", text)
		}
		if d == 0 {
			return RenewBefore{}, errors.New("must be longer than zero, or a certificate would end before it is renewed")
		}
		return RenewBefore{Duration: d}, nil
	}
	share, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(share >= 1 && share <= 99) {
		return RenewBefore{}, fmt.Errorf("%q is not a share of the lifetime; write 1%% to 99%%", text)
	}
	return RenewBefore{Fraction: share / 100}, nil
}

// parseSize reads a number of bytes such as "256MiB".
func parseSize(text string) (int64, error) {
	units := []struct {
		suffix string
		factor int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}}
	for _, u := range units {
		number, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || n <= 0 || n > math.MaxInt64/u.factor {
			break
		}
		return n * u.factor, nil
	}
	return 0, fmt.Errorf("%q is not a size; write it like \"256MiB\" or \"1GiB\"", text)
}
