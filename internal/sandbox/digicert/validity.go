package digicert

import (
	"fmt"
	"strings"
	"time"
)

const (
	// mostDaysPlan and mostDaysPlanYears are for accounts with Multi-year Plans.
	mostPlanDays  = 1095
	mostPlanYears = 3
	// mostHintCertDays is what the type_hint page still lists for cert_validity.days; the certificate is capped.
	mostHintCertDays = 397
	dateForm         = "2006-01-02"
	// orderDateForm is the API's "dd MMM YYYY", such as 09 JUN 2027, after normalizing the month's case.
	orderDateForm = "02 Jan 2006"
)

// longest is the longest public certificate on a day.
//
// Unconfirmed: the figures of DigiCert from 2027-03-15 on (99 days), and the day it begins with them; the industry's limit is 100 days.
func longest(now time.Time) int64 {
	for _, step := range []struct {
		from time.Time
		days int64
	}{
		{time.Date(2029, 3, 15, 0, 0, 0, 0, time.UTC), 46},
		{time.Date(2027, 3, 15, 0, 0, 0, 0, time.UTC), 99},
		{time.Date(2026, 2, 24, 0, 0, 0, 0, time.UTC), 199},
	} {
		if !now.Before(step.from) {
			return step.days
		}
	}
	return 397
}

// calendar counts the days of plans and certificates. A day may be made shorter, to see a plan's life in a minute.
type calendar struct{ day time.Duration }

// scaled reports whether days are shorter than days are.
func (k calendar) scaled() bool { return k.day != 24*time.Hour }

// add returns the end of a period of days that begins now: the last second of its last day.
func (k calendar) add(now time.Time, days int64) time.Time {
	if k.scaled() {
		return now.Add(time.Duration(days) * k.day).Truncate(time.Second)
	}
	return endOfDay(midnight(now).AddDate(0, 0, int(days)-1))
}

func (k calendar) addYears(now time.Time, years int64) time.Time {
	if k.scaled() {
		return k.add(now, 365*years)
	}
	return endOfDay(midnight(now).AddDate(int(years), 0, -1))
}

// begin is a certificate's first second.
func (k calendar) begin(now time.Time) time.Time {
	if k.scaled() {
		return now.Truncate(time.Second)
	}
	return midnight(now)
}

// date writes the end of a plan as the API does. With shorter days a date would say nothing, so that it has a time then.
func (k calendar) date(t time.Time) any {
	switch {
	case t.IsZero():
		return nil
	case k.scaled():
		return t.UTC().Format(time.RFC3339)
	default:
		return t.UTC().Format(dateForm)
	}
}

func midnight(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

func endOfDay(t time.Time) time.Time { return midnight(t).Add(24*time.Hour - time.Second) }

// parseOrderDate reads "dd MMM YYYY" with an English month of three letters.
func parseOrderDate(s string) (time.Time, bool) {
	if len(s) != len(orderDateForm) {
		return time.Time{}, false
	}
	month := s[3:6]
	t, err := time.Parse(orderDateForm, s[:3]+strings.ToUpper(month[:1])+strings.ToLower(month[1:])+s[6:])
	return endOfDay(t), err == nil
}

// orderTerms judges how long an order and its first certificate shall last.
func (s *Server) orderTerms(c *call, f *faults, p product, b *orderBody) terms {
	t := s.planTerms(c, f, b)
	s.certTerms(c, f, p, b.Certificate.CertValidity, &t)
	return t
}

// planTerms reads order_validity, or the deprecated fields before it. A date beats days, and days beat years.
func (s *Server) planTerms(c *call, f *faults, b *orderBody) terms {
	v, path := b.OrderValidity, "order_validity."
	old := b.ValidityYears != nil || b.ValidityDays != nil || b.CustomExpirationDate != nil
	switch {
	case v == nil && !old:
		f.missing("order_validity", "order_validity is required")
		return terms{}
	case v == nil:
		// Unconfirmed: that the deprecated validity_years, validity_days and custom_expiration_date still stand in for order_validity, which the page calls required; clients in the field send them.
		v, path = &validityBody{Years: b.ValidityYears, Days: b.ValidityDays}, "validity_"
		if b.CustomExpirationDate != nil {
			date, err := time.Parse(dateForm, *b.CustomExpirationDate)
			if err != nil {
				f.invalid("custom_expiration_date", "custom_expiration_date must be written yyyy-MM-dd")
				return terms{}
			}
			return s.planUntil(c, f, "custom_expiration_date", endOfDay(date))
		}
	}
	multi := s.Account.Settings.MultiYearPlans
	switch {
	case v.CustomExpirationDate != nil:
		at := path + "custom_expiration_date"
		date, ok := parseOrderDate(*v.CustomExpirationDate)
		if !ok {
			f.invalid(at, "%s must be written dd MMM YYYY, such as 09 JUN 2027", at)
			return terms{}
		}
		return s.planUntil(c, f, at, date)
	case v.Days != nil:
		return s.planDays(c, f, path+"days", *v.Days)
	case v.Years == nil:
		f.missing(path+"years", "%syears, or days or custom_expiration_date in its place, is required", path)
		return terms{}
	case *v.Years < 1 || *v.Years > s.Account.Settings.PlanYears:
		f.invalid(path+"years", "%syears must be from 1 to %d", path, s.Account.Settings.PlanYears)
		return terms{}
	case multi:
		return terms{Years: *v.Years}
	case *v.Years > 1:
		f.invalid(path+"years", "%syears must be 1: the account has no Multi-year Plans", path)
		return terms{}
	default:
		c.remark("without Multi-year Plans a year means %d days", longest(c.now))
		return terms{Days: longest(c.now)}
	}
}

func (s *Server) planDays(c *call, f *faults, at string, days int64) terms {
	multi := s.Account.Settings.MultiYearPlans
	switch {
	case days < 1 || days > s.Account.Settings.PlanYears*365:
		f.invalid(at, "%s must be from 1 to %d", at, s.Account.Settings.PlanYears*365)
		return terms{}
	case !multi && days > longest(c.now):
		c.remark("%s is %d, and silently capped to %d days: the account has no Multi-year Plans", at, days, longest(c.now))
		days = longest(c.now)
	}
	return terms{Days: days}
}

func (s *Server) planUntil(c *call, f *faults, at string, until time.Time) terms {
	last := s.days.addYears(c.now, s.Account.Settings.PlanYears)
	limit := fmt.Sprintf("%d years", s.Account.Settings.PlanYears)
	if !s.Account.Settings.MultiYearPlans {
		last, limit = s.days.add(c.now, longest(c.now)+1), "the longest certificate, as the account has no Multi-year Plans"
	}
	switch {
	case until.Before(c.now):
		f.invalid(at, "%s has passed", at)
		return terms{}
	case until.After(last.Add(24 * time.Hour)):
		f.invalid(at, "%s must be within %s", at, limit)
		return terms{}
	}
	return terms{Until: until}
}

// certTerms reads certificate.cert_validity, which counts only for a plan of more than a year.
//
// Unconfirmed: that the type_hint page's rule still holds beside the 199 days, and for its own endpoint alone: a cert_validity of less than 365 days is replaced there by the longest allowed.
func (s *Server) certTerms(c *call, f *faults, p product, v *validityBody, t *terms) {
	if v == nil {
		return
	}
	const path = "certificate.cert_validity."
	most := longest(c.now)
	if p.Validation != typeDV {
		most = mostHintCertDays
	}
	var days int64
	var till time.Time
	switch {
	case v.CustomExpirationDate != nil:
		date, ok := parseOrderDate(*v.CustomExpirationDate)
		switch {
		case !ok:
			f.invalid(path+"custom_expiration_date", "%scustom_expiration_date must be written dd MMM YYYY, such as 09 JUN 2027", path)
		case date.Before(c.now) || date.After(s.days.add(c.now, most+1)):
			f.invalid(path+"custom_expiration_date", "%scustom_expiration_date must be within %d days", path, most)
		}
		till = date
	case v.Days != nil:
		days = *v.Days
		if days < 1 || days > most {
			f.invalid(path+"days", "%sdays must be from 1 to %d", path, most)
		}
	case v.Years != nil:
		days = 365
		if *v.Years != 1 {
			f.invalid(path+"years", "%syears must be 1", path)
		}
	default:
		f.missing(path+"days", "certificate.cert_validity needs days or custom_expiration_date")
	}
	longer := t.Years > 1 || t.Days > 365 || !t.Until.IsZero() && t.Until.After(s.days.addYears(c.now, 1))
	switch {
	case !s.Account.Settings.MultiYearPlans:
		c.remark("certificate.cert_validity is ignored: the account has no Multi-year Plans")
	case !longer:
		c.remark("certificate.cert_validity is ignored: the order lasts no longer than a year")
	case strings.HasSuffix(c.r.URL.Path, "/order/certificate/ssl") && days < 365 && till.Before(s.days.add(c.now, 365)):
		c.remark("certificate.cert_validity is replaced by the longest: it is less than 365 days, and the order is one by type_hint")
	default:
		t.CertDays, t.CertTill = days, till
	}
}

// planEnd is when a plan that begins now ends.
func (s *Server) planEnd(now time.Time, t terms) time.Time {
	switch {
	case !t.Until.IsZero():
		return t.Until
	case t.Days > 0:
		return s.days.add(now, t.Days)
	default:
		return s.days.addYears(now, t.Years)
	}
}

// certEnd is when a certificate that is issued now ends: the earliest of what was asked for, the plan's end, and the
// longest that is allowed, without a word where that is shorter.
func (s *Server) certEnd(now time.Time, p product, t terms, planEnd time.Time) time.Time {
	end := planEnd
	earlier := func(t time.Time) {
		if !t.IsZero() && t.Before(end) {
			end = t
		}
	}
	if p.public() {
		earlier(s.days.add(now, longest(now)))
	}
	if t.CertDays > 0 {
		earlier(s.days.add(now, t.CertDays))
	}
	earlier(t.CertTill)
	return end
}
