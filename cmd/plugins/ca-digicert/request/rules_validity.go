package request

import (
	"fmt"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
)

const (
	maxPlanYears = 3
	maxPlanDays  = 1095
	// maxCertificateDays is the page's bound where the other page's 199 do not hold: private CAs, and what is capped.
	maxCertificateDays = 397
	maxDVDays          = 199
	// minHintDays is the least that the endpoint which picks the product itself takes notice of.
	minHintDays = 365

	dateLayout    = "02 Jan 2006" // the API's "dd MMM YYYY", with the month in capitals
	oldDateLayout = "2006-01-02"
)

// lifetimeCap is the longest lifetime DigiCert gives a public certificate from a day on.
type lifetimeCap struct {
	from time.Time
	days int64
}

// lifetimeCaps: DigiCert stays a day below what browsers' rules allow. Not confirmed by DigiCert's pages: the 99 days,
// and the days in 2027 and 2029 on which it changes; they are the dates of the rules.
func lifetimeCaps() []lifetimeCap {
	return []lifetimeCap{
		{time.Date(2026, 2, 24, 0, 0, 0, 0, time.UTC), 199},
		{time.Date(2027, 3, 15, 0, 0, 0, 0, time.UTC), 99},
		{time.Date(2029, 3, 15, 0, 0, 0, 0, time.UTC), 46},
	}
}

// LongestLifetime is how many days a public certificate lasts at most that DigiCert issues at a time.
func LongestLifetime(at time.Time) int {
	days := int64(maxCertificateDays)
	for _, c := range lifetimeCaps() {
		if !at.Before(c.from) {
			days = c.days
		}
	}
	return int(days)
}

// span is a length of validity as one of the API's three ways to say it.
type span struct {
	way  string // years, days or custom_expiration_date
	n    int64
	last time.Time
}

// days is the length from now, rounded in favour of who configured it.
func (s span) days(now time.Time) int64 {
	switch s.way {
	case "years":
		return s.n * 365
	case "days":
		return s.n
	default:
		return int64(s.last.Sub(now.UTC().Truncate(24*time.Hour)) / (24 * time.Hour))
	}
}

func (s span) String() string {
	if s.way == "custom_expiration_date" {
		return "until " + s.last.Format(oldDateLayout)
	}
	return fmt.Sprintf("%d %s", s.n, s.way)
}

// span reads the length at a table. A date overrides days, and days override years; what is overridden is warned about.
func (r *report) span(path string) (span, bool) {
	var found []span
	for _, way := range []string{"custom_expiration_date", "days", "years"} {
		at := path + "." + way
		if r.Faulty(at) || !r.Has(at) {
			continue
		}
		if len(found) > 0 {
			r.Warnf(at, "is overridden by %s: remove one of the two", path+"."+found[0].way)
		}
		if text := r.Text(at); text != "" {
			if last, err := time.Parse(dateLayout, text); err == nil {
				found = append(found, span{way: way, last: last})
			}
		} else if n, ok := r.Whole(at); ok {
			found = append(found, span{way: way, n: n})
		}
	}
	if len(found) == 0 {
		return span{}, false
	}
	return found[0], true
}

// Plan is the length of the plan that order settings ask for.
type Plan struct {
	// Path is the setting that says it: order_validity.years, order_validity.days or order_validity.custom_expiration_date.
	Path string
	// Days is the length from now on, and Years how many years are begun with it: a plan of a year's days is one.
	Days, Years int64
}

// PlanOf returns the plan of order settings, or false where they name none.
func PlanOf(s pluginapi.Settings, now time.Time) (Plan, bool) {
	const path = "order_validity"
	r := &report{Report: table().Check(s, now), at: endpointOf(s)}
	own, ok := r.span(path)
	if !ok {
		return Plan{}, false
	}
	plan := Plan{Path: path + "." + own.way, Days: own.days(now)}
	plan.Years = max(1, (plan.Days+364-plan.Days/365)/365) // 366 days are a year now and then
	return plan, true
}

// plan looks at for how long the order is paid.
func (r *report) plan() {
	if table, ok := r.Settings().Values["order_validity"].(map[string]any); ok && len(table) == 0 {
		r.Faultf("order_validity", "says no length: write order_validity = { years = 1 }")
	}
	plan, ok := r.span("order_validity")
	if !ok {
		return
	}
	if plan.way == "years" && plan.n > 1 && r.at.public() {
		r.Infof("order_validity.years", "takes an account with Multi-year Plans; the contracts Enterprise License Agreement and Flat Fee have at most 2 years")
	}
	for _, old := range []struct{ name, way string }{
		{"custom_expiration_date", "custom_expiration_date"}, {"validity_days", "days"}, {"validity_years", "years"},
	} {
		if !r.Has(old.name) || r.Faulty(old.name) {
			continue
		}
		was := span{way: old.way}
		was.n, _ = r.Whole(old.name)
		was.last, _ = time.Parse(oldDateLayout, r.Text(old.name))
		if was != plan {
			r.Faultf(old.name, "says %s and order_validity %s, and which one DigiCert follows is not documented: remove %s", was, plan, old.name)
		}
	}
}

// certificate looks at how long the certificate itself lasts, and at the rest of its table.
func (r *report) certificate() {
	const at = "certificate.cert_validity"
	if v, ok := r.Value(at); ok {
		if table, ok := v.(map[string]any); ok && len(table) == 0 {
			r.Faultf(at, "says no length: leave it out for the longest that DigiCert issues")
		}
	}
	if own, ok := r.span(at); ok {
		r.lifetime(at+"."+own.way, own)
	}
	if r.Text("certificate.profile_option") == "server_client_auth_eku" {
		// Not confirmed by DigiCert's pages: the second date.
		r.Warnf("certificate.profile_option", "DigiCert ends client authentication in public TLS certificates (announced for 2026-05-01, elsewhere for March 2027): plan for certificates without it")
	}
	if r.at.validation == Private && !r.Has("certificate.ca_cert_id") {
		if r.at.product == productByHint {
			r.Faultf("certificate.ca_cert_id", "is missing: a private certificate needs the number of the intermediate CA that issues it")
		} else {
			r.Warnf("certificate.ca_cert_id", "is not given: a private product may want the number of the intermediate CA that issues it")
		}
	}
}

func (r *report) lifetime(at string, own span) {
	days := own.days(r.Now())
	switch longest := int64(LongestLifetime(r.Now())); {
	case days > maxCertificateDays:
		r.Faultf(at, "%s is longer than the %d days that DigiCert allows", own, maxCertificateDays)
	case r.at.validation == DV && days > maxDVDays:
		r.Faultf(at, "%s is longer than the %d days of a DV certificate: leave it out for the longest that DigiCert issues", own, maxDVDays)
	case r.at.public() && days > longest:
		r.Warnf(at, "DigiCert issues public certificates for at most %d days at this time, and shortens without a word: leave it out for the longest", longest)
	}
	plan, ok := r.span("order_validity")
	switch {
	case !ok:
	case days > plan.days(r.Now())+1: // 366 days are a year now and then
		r.Faultf(at, "%s is longer than the order, %s: a certificate ends with its order", own, plan)
	case r.at.page == onHint && days < minHintDays:
		r.Warnf(at, `with product = "ssl" DigiCert replaces what is less than %d days by the longest lifetime: leave it out, or name the product`, minHintDays)
	case r.at.public() && plan.days(r.Now()) <= 366:
		r.Warnf(at, "DigiCert follows it only in orders of more than a year, in accounts with Multi-year Plans")
	}
}

// planDate, oldPlanDate and certificateDate test a date by itself.

func planDate(r *fields.Report, path string, value any) { date(r, path, value, dateLayout, 3, 0) }

func oldPlanDate(r *fields.Report, path string, value any) { date(r, path, value, oldDateLayout, 3, 0) }

func certificateDate(r *fields.Report, path string, value any) {
	date(r, path, value, dateLayout, 0, maxCertificateDays)
}

func date(r *fields.Report, path string, value any, layout string, years, days int) {
	text, _ := value.(string)
	example := time.Date(2027, 6, 9, 0, 0, 0, 0, time.UTC).Format(layout)
	if layout == dateLayout {
		example = strings.ToUpper(example)
	}
	last, err := time.Parse(layout, text)
	if err != nil || !strings.EqualFold(last.Format(layout), text) {
		r.Faultf(path, "%q is no date such as %q", text, example)
		return
	}
	today := r.Now().UTC().Truncate(24 * time.Hour)
	switch limit := today.AddDate(years, 0, days); {
	case layout == dateLayout && text != strings.ToUpper(text):
		r.Faultf(path, "%q: write the month in capitals, %q", text, strings.ToUpper(text))
	case !last.After(today):
		r.Faultf(path, "%s has passed: write years or days, which serve for every order", text)
	case last.After(limit):
		r.Faultf(path, "%s is too far ahead: at most %s", text, limit.Format(layout))
	default:
		r.Warnf(path, "a date serves once, and the next order will be refused after it: write years or days")
	}
}
