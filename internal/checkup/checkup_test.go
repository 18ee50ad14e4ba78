package checkup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// fakeAccount is one that logs in and has something to say.
type fakeAccount struct {
	findings []pluginapi.Finding
	orders   *[]pluginapi.Settings
	err      error
}

func (a fakeAccount) Describe(context.Context) (pluginapi.Description, error) {
	return pluginapi.Description{
		Name: "fake", Version: "1", Abilities: []pluginapi.Ability{pluginapi.AbilityPreflight},
		OrderSettings: []pluginapi.Field{{Name: "years", Type: pluginapi.Integer}},
	}, nil
}
func (a fakeAccount) Findings(context.Context) ([]pluginapi.Finding, error) { return nil, nil }
func (a fakeAccount) Configured(context.Context) (pluginapi.Configured, error) {
	return pluginapi.Configured{}, nil
}

func (a fakeAccount) Preflight(_ context.Context, orders []pluginapi.Settings) (pluginapi.PreflightReply, error) {
	*a.orders = orders
	return pluginapi.PreflightReply{Findings: a.findings}, nil
}

func (a fakeAccount) CheckOrders(_ context.Context, orders []pluginapi.Settings) ([]pluginapi.Finding, error) {
	*a.orders = append(*a.orders, orders...)
	return a.findings, a.err
}

// What a CA says about the settings of one certificate's orders stands at that certificate's line.
func TestPreflightFindingsStandWhereTheyBelong(t *testing.T) {
	dir := t.TempDir()
	c := load(t, dir, `[daemon]
state_dir = "`+dir+`"
[ca.paid]
plugin = "fake"
settings.key = "k"
[[certificate]]
name = "one"
domains = ["one.example.com"]
ca = "paid"
order = { years = 1 }
files.combined = "one.pem"
[[certificate]]
name = "off"
enabled = false
domains = ["off.example.com"]
ca = "paid"
files.combined = "off.pem"
[[certificate]]
name = "two"
domains = ["two.example.com"]
ca = "paid"
order = { years = 9 }
files.combined = "two.pem"
`)
	var orders []pluginapi.Settings
	a := fakeAccount{orders: &orders, findings: []pluginapi.Finding{
		{Severity: pluginapi.Fault, Field: "years", Message: "nine are too many", Order: 2},
		{Severity: pluginapi.Warning, Field: "key", Message: "is old"},
		{Severity: pluginapi.Warning, Message: "of an order that there is not", Order: 7},
	}}
	wantRemarks(t, c, preflight(t.Context(), c, "paid", a),
		"22: certificate.two.order.years: nine are too many",
		"5: ca.paid.settings.key: is old",
		"5: ca.paid.settings: of an order that there is not",
	)
	if len(orders) != 2 {
		t.Errorf("asked about %d orders, want those of the certificates in use", len(orders))
	}
}

func load(t *testing.T, dir, text string) *config.Config {
	t.Helper()
	path := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path, config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wantRemarks compares remarks without the file's name.
func wantRemarks(t *testing.T, c *config.Config, remarks []Remark, want ...string) {
	t.Helper()
	var got []string
	for _, r := range remarks {
		got = append(got, strings.TrimPrefix(r.String(), c.Path+":"))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// ruled is an account that finds the same fault in every order it is asked about.
type ruled struct {
	fault pluginapi.Finding
	asked []int // orders, by call
	err   error
}

func (r *ruled) CheckOrders(_ context.Context, orders []pluginapi.Settings) ([]pluginapi.Finding, error) {
	r.asked = append(r.asked, len(orders))
	var found []pluginapi.Finding
	for i := range orders {
		f := r.fault
		f.Order = i + 1
		found = append(found, f)
	}
	return found, r.err
}

const twoOrders = `[ca.paid]
plugin = "fake"
[ca.paid.settings.order]
mail = "nobody"
contact = { name = "A", tags = ["a"] }
[[certificate]]
name = "one"
domains = ["one.example.com"]
ca = "paid"
files.combined = "one.pem"
[certificate.order]
years = 1
[certificate.order.contact]
name = "B"
[[certificate]]
name = "two"
domains = ["two.example.com"]
ca = "paid"
files.combined = "two.pem"
[[certificate.order.fields]]
id = 1
[[certificate.order.fields]]
id = 2
`

func ruler(abilities ...pluginapi.Ability) pluginapi.Description {
	text := func(name string) pluginapi.Field { return pluginapi.Field{Name: name, Type: pluginapi.String} }
	return pluginapi.Description{Name: "fake", Version: "1", Abilities: abilities, OrderSettings: []pluginapi.Field{
		text("mail"), {Name: "years", Type: pluginapi.Integer},
		{Name: "contact", Type: pluginapi.Table, Fields: []pluginapi.Field{text("name"), text("phone"), {Name: "tags", Type: pluginapi.List, Element: &pluginapi.Field{Type: pluginapi.String}}}},
		{Name: "fields", Type: pluginapi.List, Element: &pluginapi.Field{Type: pluginapi.Table, Fields: []pluginapi.Field{{Name: "id", Type: pluginapi.Integer}}}},
	}}
}

// A finding stands where the setting is written: with the certificate, among the account's defaults, in an element of a
// list; and once, where two certificates have it from one place.
func TestOrderFindingsStandWhereTheSettingIsWritten(t *testing.T) {
	c := load(t, t.TempDir(), twoOrders)
	for field, want := range map[string][]string{
		"mail":            {"4: ca.paid.settings.order.mail: no"},
		"contact.name":    {"14: certificate.one.order.contact.name: no", "5: ca.paid.settings.order.contact.name: no"},
		"contact.tags[0]": {"5: ca.paid.settings.order.contact.tags[0]: no"},
		"contact.phone":   {"13: certificate.one.order.contact.phone: no", "20: certificate.two.order.contact.phone: no"},
		"years":           {"12: certificate.one.order.years: no", "20: certificate.two.order.years: no"},
		"fields[1].id":    {"11: certificate.one.order.fields[1].id: no", "23: certificate.two.order.fields[1].id: no"},
		"":                {"11: certificate.one.order: no", "20: certificate.two.order: no"},
	} {
		a := &ruled{fault: pluginapi.Faultf(field, "no")}
		remarks, err := Orders(t.Context(), c, "paid", ruler(pluginapi.AbilityCheckOrders), a, every(c))
		if err != nil {
			t.Fatal(err)
		}
		wantRemarks(t, c, remarks, want...)
	}
}

func every(c *config.Config) []config.Certificate { return slices.Collect(c.All()) }

func TestOrdersAsksOnlyWhatCanBeAnswered(t *testing.T) {
	c := load(t, t.TempDir(), twoOrders)
	able := ruler(pluginapi.AbilityCheckOrders)
	keyed := able
	keyed.AccountSettings = []pluginapi.Field{{Name: "key", Type: pluginapi.String, Required: true}}
	narrow := able
	narrow.OrderSettings = able.OrderSettings[:3]
	many := slices.Repeat(every(c), ordersAtOnce)
	for name, r := range map[string]struct {
		d     pluginapi.Description
		certs []config.Certificate
		want  []int
	}{
		"a plugin that may log in":         {ruler(pluginapi.AbilityPreflight), every(c), nil},
		"an account that is at fault":      {keyed, every(c), nil},
		"settings that are no such":        {narrow, every(c), []int{1}},
		"no certificate":                   {able, nil, nil},
		"more than fit into one reply":     {able, many, []int{ordersAtOnce, ordersAtOnce}},
		"what there is, all in one call":   {able, every(c), []int{2}},
		"one more than fits into one call": {able, many[:ordersAtOnce+1], []int{ordersAtOnce, 1}},
	} {
		a := &ruled{fault: pluginapi.Faultf("", "no")}
		if _, err := Orders(t.Context(), c, "paid", r.d, a, r.certs); err != nil || !slices.Equal(a.asked, r.want) {
			t.Errorf("%s: asked about %v orders, want %v; %v", name, a.asked, r.want, err)
		}
	}
	if _, err := Orders(t.Context(), c, "paid", able, &ruled{err: errors.New("gone")}, every(c)); err == nil {
		t.Error("a plugin that did not answer has no fault to find")
	}
}

// Two certificates with a mistake each are told of at once.
func TestSettingsNamesEveryMistake(t *testing.T) {
	c := load(t, t.TempDir(), twoOrders)
	d := ruler()
	d.OrderSettings = d.OrderSettings[2:3]
	wantRemarks(t, c, Settings(c, "paid", d),
		"4: ca.paid.settings.order.mail: is unknown; known are contact",
		"12: certificate.one.order.years: is unknown; known are contact",
		"20: certificate.two.order.fields: is unknown; known are contact",
	)
}
