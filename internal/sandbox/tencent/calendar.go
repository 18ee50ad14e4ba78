package tencent

import "time"

// calendar counts the days of terms and certificates. A day may be made shorter, to see a term's life in a minute.
type calendar struct{ day time.Duration }

func (k calendar) scaled() bool { return k.day != 24*time.Hour }

// add returns the end of a period of days that begins now: the last second of its last day.
func (k calendar) add(now time.Time, days int64) time.Time {
	if k.scaled() {
		return now.Add(time.Duration(days) * k.day).Truncate(time.Second)
	}
	return k.begin(now).AddDate(0, 0, int(days)).Add(-time.Second)
}

// begin is a certificate's first second.
func (k calendar) begin(now time.Time) time.Time {
	if k.scaled() {
		return now.Truncate(time.Second)
	}
	return now.UTC().Truncate(24 * time.Hour)
}

// term is the end of years that were paid for.
func (k calendar) term(now time.Time, years int64) time.Time { return k.add(now, 365*years) }

// longest is the longest public certificate, in days.
//
// Unconfirmed: how long the brands' certificates are on a day; the stand-in has a day less than the industry's limits.
func longest(now time.Time) int64 {
	for _, step := range []struct {
		from time.Time
		days int64
	}{
		{time.Date(2029, 3, 15, 0, 0, 0, 0, time.UTC), 46},
		{time.Date(2027, 3, 15, 0, 0, 0, 0, time.UTC), 99},
		{time.Date(2026, 3, 15, 0, 0, 0, 0, time.UTC), 199},
	} {
		if !now.Before(step.from) {
			return step.days
		}
	}
	return 397
}
