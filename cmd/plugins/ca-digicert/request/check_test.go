package request

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
)

func wantField(t *testing.T, err error, field string) {
	t.Helper()
	var e *pluginapi.Error
	if !errors.As(err, &e) || e.Kind != pluginapi.InvalidRequest || e.Field != field {
		t.Errorf("got %v, want an invalid request that names %s", err, field)
	}
}

func shown(list []pluginapi.Finding) string {
	var b strings.Builder
	for _, f := range list {
		fmt.Fprintf(&b, "%s %s: %s\n", f.Severity, f.Field, f.Message)
	}
	return b.String()
}

// said is one finding as tests write it: severity, path, part of the message.
type said struct {
	severity pluginapi.Severity
	field    string
	part     string
}

func TestCheck(t *testing.T) {
	contact := values{"first_name": "A", "last_name": "B", "email": "a@example.com", "telephone": "1"}
	mails := func(e ...any) values { return with(dv(), values{"dcv_method": MethodEmail, "dcv_emails": e}) }
	cert := func(v values) values { return with(dv(), values{"certificate": v}) }
	plan := func(v values) values { return with(dv(), values{"order_validity": v}) }
	lasting := func(base values, years int64, v values) values {
		return with(base, values{"order_validity": values{"years": years}, "certificate": values{"cert_validity": v}})
	}
	hint := func(h string) values { return with(ov(), values{"product": "ssl", "product_type_hint": h}) }
	private := with(hint("private"), values{"certificate": values{"ca_cert_id": "A"}})
	authKey := with(dv(), values{"use_auth_key": true, "dcv_method": MethodAuthKey, "auth_key_id": "1"})
	const fault, warning, info = pluginapi.Fault, pluginapi.Warning, pluginapi.Info

	for name, c := range map[string]struct {
		values  values
		secrets map[string]string
		want    []said
	}{
		"plain DV":    {values: dv()},
		"plain OV":    {values: ov()},
		"with a hint": {values: hint("ev")},
		"private":     {values: private},
		"card":        {values: cardOrder(), secrets: card()},
		"AuthKey":     {values: authKey, secrets: map[string]string{"auth_key": "x"}},

		"nothing":        {values: nil, want: []said{{fault, "order_validity", "is missing"}, {fault, "product", "is missing"}}},
		"unknown key":    {values: with(dv(), values{"produkt": "x"}), want: []said{{fault, "produkt", "is unknown"}}},
		"unknown below":  {values: cert(values{"hash": "x"}), want: []said{{fault, "certificate.hash", "is unknown"}}},
		"wrong types":    {values: with(dv(), values{"skip_approval": int64(1), "comments": true}), want: []said{{fault, "comments", "wants text"}, {fault, "skip_approval", "true or false"}}},
		"float as whole": {values: plan(values{"years": float64(1)})},
		"no whole":       {values: plan(values{"years": 1.5}), want: []said{{fault, "order_validity.years", "whole number"}}},

		"computed": {
			values: with(dv(), values{
				"certificate": values{"csr": "x", "common_name": "x", "dns_names": []any{"x"}}, "renewal_of_order_id": int64(1), "renewed_thumbprint": "x", "alternative_order_id": "x",
			}),
			want: []said{
				{fault, "alternative_order_id", "cannot be set, remove it: it is made from"},
				{fault, "certificate.common_name", "cannot be set"}, {fault, "certificate.csr", "cannot be set"}, {fault, "certificate.dns_names", "cannot be set"},
				{fault, "renewal_of_order_id", "cannot be set"}, {fault, "renewed_thumbprint", "cannot be set"},
			},
		},
		"computed as a secret": {values: dv(), secrets: map[string]string{"certificate.csr": "x"}, want: []said{{fault, "certificate.csr", "cannot be set"}}},

		"product as the API has it": {values: with(dv(), values{"product": values{"type_hint": "ov"}}), want: []said{{fault, "product", `write product = "ssl"`}}},
		"product with a path":       {values: with(dv(), values{"product": "../x"}), want: []said{{fault, "product", "is no product"}, {warning, "organization.id", "is missing"}}},
		"unknown product":           {values: with(dv(), values{"product": "new_dv_thing"}), want: []said{{warning, "product", "taken for a DV product"}}},
		"unknown EV product":        {values: with(ov(), values{"product": "new_ev_thing"}), want: []said{{warning, "product", "taken for an EV product"}}},
		"unknown OV product":        {values: with(dv(), values{"product": "secret_sauce"}), want: []said{{warning, "organization.id", "is missing"}, {warning, "product", "taken for an OV product"}}},
		"no hint":                   {values: with(ov(), values{"product": "ssl"}), want: []said{{warning, "product_type_hint", "is not given"}}},
		"hint beside a product":     {values: with(ov(), values{"product_type_hint": "ov"}), want: []said{{fault, "product_type_hint", "belongs to"}}},
		"unknown hint":              {values: hint("dv"), want: []said{{fault, "product_type_hint", "not allowed"}}},

		"no length":           {values: plan(values{}), want: []said{{fault, "order_validity", "says no length"}}},
		"no years":            {values: plan(values{"years": int64(0)}), want: []said{{fault, "order_validity.years", "from 1 to 3"}}},
		"four years":          {values: plan(values{"years": int64(4)}), want: []said{{fault, "order_validity.years", "from 1 to 3, not 4"}}},
		"two years":           {values: plan(values{"years": int64(2)}), want: []said{{info, "order_validity.years", "Multi-year"}}},
		"1095 days":           {values: plan(values{"days": int64(1095)})},
		"1096 days":           {values: plan(values{"days": int64(1096)}), want: []said{{fault, "order_validity.days", "from 1 to 1095"}}},
		"days and years":      {values: plan(values{"days": int64(400), "years": int64(1)}), want: []said{{warning, "order_validity.years", "overridden by order_validity.days"}}},
		"a date":              {values: plan(values{"custom_expiration_date": "09 JUN 2027"}), want: []said{{warning, "order_validity.custom_expiration_date", "serves once"}}},
		"a date and days":     {values: plan(values{"custom_expiration_date": "09 JUN 2027", "days": int64(9)}), want: []said{{warning, "order_validity.custom_expiration_date", "once"}, {warning, "order_validity.days", "overridden"}}},
		"a date of the past":  {values: plan(values{"custom_expiration_date": "09 JUN 2026"}), want: []said{{fault, "order_validity.custom_expiration_date", "has passed"}}},
		"a date of today":     {values: plan(values{"custom_expiration_date": "22 NOV 2026"}), want: []said{{fault, "order_validity.custom_expiration_date", "has passed"}}},
		"in three years":      {values: plan(values{"custom_expiration_date": "22 NOV 2029"}), want: []said{{warning, "order_validity.custom_expiration_date", "once"}}},
		"in more":             {values: plan(values{"custom_expiration_date": "23 NOV 2029"}), want: []said{{fault, "order_validity.custom_expiration_date", "too far ahead"}}},
		"a date in letters":   {values: plan(values{"custom_expiration_date": "09 Jun 2027"}), want: []said{{fault, "order_validity.custom_expiration_date", `"09 JUN 2027"`}}},
		"a date of ISO":       {values: plan(values{"custom_expiration_date": "2027-06-09"}), want: []said{{fault, "order_validity.custom_expiration_date", "no date such as"}}},
		"a date of no month":  {values: plan(values{"custom_expiration_date": "31 FEB 2027"}), want: []said{{fault, "order_validity.custom_expiration_date", "no date such as"}}},
		"old way":             {values: with(ov(), values{"validity_years": int64(1)}), want: []said{{warning, "validity_years", "use order_validity"}}},
		"old way contradicts": {values: with(ov(), values{"validity_years": int64(2)}), want: []said{{fault, "validity_years", "says 2 years and order_validity 1 years"}, {warning, "validity_years", "deprecated"}}},
		"old days too many":   {values: with(ov(), values{"validity_days": int64(2000)}), want: []said{{fault, "validity_days", "from 1 to 1095"}, {warning, "validity_days", "deprecated"}}},
		"old date":            {values: with(ov(), values{"order_validity": values{"custom_expiration_date": "09 JUN 2027"}, "custom_expiration_date": "2027-06-09"}), want: []said{{warning, "custom_expiration_date", "a date serves once"}, {warning, "custom_expiration_date", "deprecated"}, {warning, "order_validity.custom_expiration_date", "once"}}},
		"old date, new form":  {values: with(ov(), values{"custom_expiration_date": "09 JUN 2027"}), want: []said{{fault, "custom_expiration_date", `"2027-06-09"`}, {warning, "custom_expiration_date", "deprecated"}}},

		"certificate of 199 days":         {values: lasting(dv(), 2, values{"days": int64(199)}), want: []said{{info, "order_validity.years", ""}}},
		"certificate of 200 days, DV":     {values: lasting(dv(), 2, values{"days": int64(200)}), want: []said{{fault, "certificate.cert_validity.days", "the 199 days of a DV certificate"}, {info, "order_validity.years", ""}}},
		"certificate of 200 days, OV":     {values: lasting(ov(), 2, values{"days": int64(200)}), want: []said{{warning, "certificate.cert_validity.days", "at most 199 days"}, {info, "order_validity.years", ""}}},
		"certificate of 397 days, OV":     {values: lasting(ov(), 2, values{"days": int64(397)}), want: []said{{warning, "certificate.cert_validity.days", "at most 199 days"}, {info, "order_validity.years", ""}}},
		"certificate of 398 days, OV":     {values: lasting(ov(), 2, values{"days": int64(398)}), want: []said{{fault, "certificate.cert_validity.days", "the 397 days"}, {info, "order_validity.years", ""}}},
		"certificate of a year":           {values: lasting(ov(), 2, values{"years": int64(1)}), want: []said{{warning, "certificate.cert_validity.years", "at most 199"}, {info, "order_validity.years", ""}}},
		"private certificate of a year":   {values: with(private, values{"certificate": values{"ca_cert_id": "A", "cert_validity": values{"years": int64(1)}}})},
		"certificate of 100 days by hint": {values: lasting(hint("ov"), 2, values{"days": int64(100)}), want: []said{{warning, "certificate.cert_validity.days", "replaces what is less than 365 days"}, {info, "order_validity.years", ""}}},
		"certificate of two years":        {values: lasting(ov(), 3, values{"years": int64(2)}), want: []said{{fault, "certificate.cert_validity.years", "allowed are 1"}, {info, "order_validity.years", ""}}},
		"certificate longer than order":   {values: with(ov(), values{"order_validity": values{"days": int64(30)}, "certificate": values{"cert_validity": values{"days": int64(60)}}}), want: []said{{fault, "certificate.cert_validity.days", "ends with its order"}}},
		"ignored in a year's plan":        {values: lasting(dv(), 1, values{"days": int64(90)}), want: []said{{warning, "certificate.cert_validity.days", "orders of more than a year"}}},
		"certificate until":               {values: lasting(ov(), 2, values{"custom_expiration_date": "01 JAN 2027"}), want: []said{{warning, "certificate.cert_validity.custom_expiration_date", "serves once"}, {info, "order_validity.years", ""}}},
		"certificate until, too far":      {values: lasting(ov(), 3, values{"custom_expiration_date": "01 JAN 2028"}), want: []said{{fault, "certificate.cert_validity.custom_expiration_date", "too far ahead"}, {info, "order_validity.years", ""}}},
		"certificate without any length":  {values: lasting(dv(), 1, values{}), want: []said{{fault, "certificate.cert_validity", "says no length"}}},

		"hash":                     {values: cert(values{"signature_hash": "md5"}), want: []said{{fault, "certificate.signature_hash", "not allowed"}, {warning, "certificate.signature_hash", "is not on DigiCert's page"}}},
		"client authentication":    {values: cert(values{"profile_option": "server_client_auth_eku"}), want: []said{{warning, "certificate.profile_option", "client authentication"}}},
		"profile with blanks":      {values: cert(values{"profile_option": "a b"}), want: []said{{fault, "certificate.profile_option", "is not a word"}}},
		"departments":              {values: cert(values{"organization_units": []any{"IT"}}), want: []said{{warning, "certificate.organization_units", "remove it"}}},
		"platform":                 {values: cert(values{"server_platform": values{"id": int64(-2)}}), want: []said{{fault, "certificate.server_platform.id", "-1 or more"}}},
		"platform without id":      {values: cert(values{"server_platform": values{}}), want: []said{{fault, "certificate.server_platform.id", "is missing"}}},
		"private without CA":       {values: hint("private"), want: []said{{fault, "certificate.ca_cert_id", "is missing"}}},
		"private product":          {values: with(ov(), values{"product": "private_ssl_plus"}), want: []said{{warning, "certificate.ca_cert_id", "is not given"}}},
		"comments that are lost":   {values: with(dv(), values{"comments": "x", "skip_approval": true}), want: []said{{warning, "comments", "is lost"}}},
		"empty comments":           {values: with(dv(), values{"comments": " "}), want: []said{{fault, "comments", "is empty"}}},
		"comments with a bell":     {values: with(dv(), values{"comments": "a\ab"}), want: []said{{fault, "comments", "control character"}}},
		"serial without discount":  {values: with(dv(), values{"serial_number": "0a"}), want: []said{{warning, "serial_number", "apply_cr_discount"}}},
		"no serial":                {values: with(dv(), values{"serial_number": "xyz", "apply_cr_discount": true}), want: []said{{fault, "serial_number", "hexadecimal"}}},
		"DigiCert renews":          {values: with(dv(), values{"auto_renew": int64(1)}), want: []said{{warning, "auto_renew", "itself"}}},
		"DigiCert reissues":        {values: with(dv(), values{"auto_reissue": int64(1)}), want: []said{{warning, "auto_reissue", "old key"}}},
		"auto_renew of two":        {values: with(dv(), values{"auto_renew": int64(2)}), want: []said{{fault, "auto_renew", "allowed are 0, 1"}}},
		"no mail address":          {values: with(dv(), values{"additional_emails": []any{"a@example.com", "b", "A@example.com"}}), want: []said{{fault, "additional_emails[1]", "no e-mail address"}, {fault, "additional_emails[2]", "twice"}}},
		"mail address with a name": {values: with(dv(), values{"additional_emails": []any{"A <a@example.com>"}}), want: []said{{fault, "additional_emails[0]", "no e-mail address"}}},
		"not logged":               {values: with(dv(), values{"disable_ct": true}), want: []said{{warning, "disable_ct", "browsers refuse"}}},
		"container without id":     {values: with(dv(), values{"container": values{}}), want: []said{{fault, "container.id", "is missing"}}},
		"container":                {values: with(dv(), values{"container": values{"id": int64(0)}}), want: []said{{fault, "container.id", "1 or more"}}},
		"fields of the account":    {values: with(dv(), values{"custom_fields": []any{values{"metadata_id": int64(1), "value": "x"}, values{"metadata_id": int64(1)}}}), want: []said{{fault, "custom_fields[1].metadata_id", "twice"}, {fault, "custom_fields[1].value", "is missing"}}},
		"fields with a hint":       {values: with(hint("ov"), values{"custom_fields": []any{values{"metadata_id": int64(1), "value": "x"}}}), want: []said{{warning, "custom_fields", "is not on DigiCert's page for order/certificate/ssl"}}},
		"guests":                   {values: with(dv(), values{"enable_guest_access": int64(3)}), want: []said{{fault, "enable_guest_access", "not allowed"}}},
		"scope":                    {values: with(dv(), values{"certificate_dcv_scope": "all"}), want: []said{{fault, "certificate_dcv_scope", "not allowed"}}},

		"card without data":      {values: with(dv(), values{"payment_method": "card"}), want: []said{{fault, "billing_address", "is missing"}, {fault, "credit_card", "is missing"}}},
		"data without card":      {values: with(cardOrder(), values{"payment_method": nil, "vat_number": nil}), secrets: card(), want: []said{{fault, "billing_address", "belongs to"}, {fault, "credit_card", "belongs to"}}},
		"half a card":            {values: cardOrder(), secrets: map[string]string{"credit_card.number": "4111111111111111"}, want: []said{{fault, "credit_card.cardholder_name", "is missing"}, {fault, "credit_card.cvv", "is missing"}, {fault, "credit_card.expiration_month", "is missing"}, {fault, "credit_card.expiration_year", "is missing"}}},
		"wrong check digit":      {values: cardOrder(), secrets: withText(card(), "credit_card.number", "4111111111111112"), want: []said{{fault, "credit_card.number", "check digit"}}},
		"month":                  {values: cardOrder(), secrets: withText(card(), "credit_card.expiration_month", "13"), want: []said{{fault, "credit_card.expiration_month", "from 01 to 12"}}},
		"year of two digits":     {values: cardOrder(), secrets: withText(card(), "credit_card.expiration_year", "29"), want: []said{{fault, "credit_card.expiration_year", "four digits"}}},
		"card expired last year": {values: cardOrder(), secrets: withText(card(), "credit_card.expiration_year", "2025"), want: []said{{fault, "credit_card.expiration_year", "has passed"}}},
		"card expired in April":  {values: cardOrder(), secrets: withText(card(), "credit_card.expiration_year", "2026"), want: []said{{fault, "credit_card.expiration_month", "has passed"}}},
		"value of verification":  {values: cardOrder(), secrets: withText(card(), "credit_card.cvv", "12"), want: []said{{fault, "credit_card.cvv", "three or four"}}},
		"no country":             {values: with(cardOrder(), values{"billing_address": values{"address": "x", "city": "y"}}), secrets: card(), want: []said{{fault, "billing_address.country", "is missing"}}},
		"tax number":             {values: with(dv(), values{"vat_number": "1"}), want: []said{{warning, "vat_number", "does nothing"}}},
		"method of payment":      {values: with(dv(), values{"payment_method": "cash"}), want: []said{{fault, "payment_method", "not allowed"}}},

		"file name of DigiCert's, DV": {values: with(dv(), values{"dcv_method": MethodHTTPDynamic}), want: []said{{fault, "dcv_method", "is not supported"}}},
		"file name of DigiCert's, OV": {values: with(ov(), values{"dcv_method": MethodHTTPDynamic}), want: []said{{fault, "dcv_method", "is not supported"}}},
		"unknown method":              {values: with(dv(), values{"dcv_method": "dns"}), want: []said{{fault, "dcv_method", "not allowed"}}},
		"mail":                        {values: with(dv(), values{"dcv_method": MethodEmail}), want: []said{{info, "dcv_method", "a person"}}},
		"mails without the method":    {values: with(mails(values{"dns_name": "a.example.com", "email_domain": "example.com"}), values{"dcv_method": MethodTXT}), want: []said{{fault, "dcv_emails", "belongs to"}}},
		"mails": {
			values: mails(values{"dns_name": "*.a.example.com", "email_domain": "example.com"}, values{"dns_name": "b.example.com", "email_domain": "ample.com"}, values{"dns_name": "b.example.com", "email_domain": "b.example.com", "email": "x"}, values{"dns_name": "-"}),
			want: []said{
				{fault, "dcv_emails[1].email_domain", "nor a domain above it"}, {fault, "dcv_emails[2].dns_name", "twice"}, {fault, "dcv_emails[2].email", "no e-mail"},
				{fault, "dcv_emails[2].email_domain", "write \"example.com\""},
				{fault, "dcv_emails[3].dns_name", "no domain name"}, {fault, "dcv_emails[3].email_domain", "is missing"}, {info, "dcv_method", ""},
			},
		},
		"mails to the domain of a private registry": {
			values: mails(values{"dns_name": "shop.team.github.io", "email_domain": "github.io"}, values{"dns_name": "shop.example.co.uk", "email_domain": "example.co.uk"}),
			want:   []said{{warning, "dcv_emails[0].email_domain", "team.github.io"}, {info, "dcv_method", ""}},
		},
		"no mails":               {values: mails(), want: []said{{fault, "dcv_emails", "is empty"}, {info, "dcv_method", ""}}},
		"language":               {values: with(dv(), values{"locale": "en"}), want: []said{{warning, "locale", "does nothing"}}},
		"no language":            {values: with(dv(), values{"locale": "English please", "dcv_method": MethodEmail}), want: []said{{info, "dcv_method", ""}, {fault, "locale", "no language"}}},
		"AuthKey for OV":         {values: with(ov(), values{"use_auth_key": true, "dcv_method": MethodAuthKey, "auth_key_id": "1"}), secrets: map[string]string{"auth_key": "x"}, want: []said{{fault, "use_auth_key", "only DV"}}},
		"AuthKey and no more":    {values: with(dv(), values{"use_auth_key": true}), want: []said{{fault, "auth_key", "is missing"}, {fault, "auth_key_id", "is missing"}, {fault, "use_auth_key", "token-based"}}},
		"AuthKey not used":       {values: with(dv(), values{"auth_key_id": "1"}), secrets: map[string]string{"auth_key": "x"}, want: []said{{warning, "auth_key", "does nothing"}, {warning, "auth_key_id", "does nothing"}}},
		"AuthKey in the open":    {values: with(authKey, values{"auth_key": "the text"}), want: []said{{fault, "auth_key", "is a secret"}}},
		"token without AuthKey":  {values: with(dv(), values{"dcv_method": MethodAuthKey}), want: []said{{fault, "dcv_method", "use_auth_key"}}},
		"AuthKey without method": {values: with(authKey, values{"dcv_method": nil}), secrets: map[string]string{"auth_key": "x"}, want: []said{{fault, "use_auth_key", "needs dcv_method"}}},

		"OV without organization":   {values: with(dv(), values{"product": "ssl_basic"}), want: []said{{fault, "organization.id", "organization_id"}}},
		"organization without id":   {values: with(ov(), values{"organization": values{"contacts": []any{values{"email": "x"}}}}), want: []said{{fault, "organization.contacts[0].email", "no e-mail"}, {fault, "organization.id", "is missing"}}},
		"new organization":          {values: with(ov(), values{"organization": values{"id": int64(1), "skip_duplicate_org_check": true}}), want: []said{{warning, "organization.skip_duplicate_org_check", "does nothing"}}},
		"DV with organization":      {values: with(dv(), values{"organization": values{"id": int64(1)}}), want: []said{{fault, "organization", "names no organization"}}},
		"DV, contact of the other":  {values: with(dv(), values{"organization_contact": contact}), want: []said{{warning, "organization_contact", "is not on DigiCert's page for order/certificate/ssl_dv_geotrust"}}},
		"contact":                   {values: with(dv(), values{"technical_contact": contact})},
		"DV contact has no number":  {values: with(dv(), values{"technical_contact": with(contact, values{"telephone": nil})}), want: []said{{fault, "technical_contact.telephone", "is missing"}}},
		"OV contact has no number":  {values: with(ov(), values{"technical_contact": with(contact, values{"telephone": nil})})},
		"contact with less":         {values: with(ov(), values{"technical_contact": values{"email": "a@example.com"}}), want: []said{{fault, "technical_contact.first_name", "is missing"}, {fault, "technical_contact.last_name", "is missing"}}},
		"contact with letters":      {values: with(ov(), values{"technical_contact": with(contact, values{"telephone": "call me", "job_title": "a\nb"})}), want: []said{{fault, "technical_contact.job_title", "line break"}, {fault, "technical_contact.telephone", "no telephone"}}},
		"DV contact with extension": {values: with(dv(), values{"technical_contact": with(contact, values{"telephone_extension": "1"})}), want: []said{{warning, "technical_contact.telephone_extension", "is not on DigiCert's page"}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := pluginapi.Settings{Values: c.values, Secrets: secrets(c.secrets)}
			got := check(s, today)
			left := append([]pluginapi.Finding{}, got...)
			for _, w := range c.want {
				found := false
				for i, f := range left {
					if f.Severity == w.severity && f.Field == w.field && strings.Contains(f.Message, w.part) {
						left, found = append(left[:i:i], left[i+1:]...), true
						break
					}
				}
				if !found {
					t.Errorf("missing: %s %s %q", w.severity, w.field, w.part)
				}
			}
			if len(left) > 0 {
				t.Errorf("too many:\n%s", shown(left))
			}
			if t.Failed() {
				t.Logf("all:\n%s", shown(got))
			}
			_, text, err := order(s, computed(t), today)
			if faulty := fields.Refusal(got, nil) != nil; faulty && (err == nil || text != nil) {
				t.Error("a body was made all the same")
			}
		})
	}
}

// Whatever is written where the data of a card belongs, no message repeats it.
func TestNoFindingShowsASecret(t *testing.T) {
	const number = "4111111111111112"
	for _, v := range []any{number, int64(4111111111111112), []any{number}, values{"number": number}, values{"number": values{"x": number}}} {
		got := shown(check(pluginapi.Settings{Values: with(cardOrder(), values{"credit_card": v})}, today))
		if strings.Contains(got, number) {
			t.Errorf("%v: %s", v, got)
		}
		if got == "" {
			t.Errorf("%v: nothing is wrong", v)
		}
	}
	for path := range card() {
		got := shown(check(pluginapi.Settings{Values: cardOrder(), Secrets: secrets(withText(card(), path, number+"\n"))}, today))
		if strings.Contains(got, number) || got == "" {
			t.Errorf("%s: %s", path, got)
		}
	}
}

func TestErrorNamesAllFaults(t *testing.T) {
	_, _, err := order(pluginapi.Settings{Values: with(dv(), values{"locale": "?", "comments": ""})}, computed(t), today)
	wantField(t, err, "comments")
	if err == nil || !strings.Contains(err.Error(), "locale: ") {
		t.Errorf("the second fault is not named: %v", err)
	}
}

func TestProduct(t *testing.T) {
	for name, c := range map[string]struct {
		values values
		want   string
	}{
		"ssl_dv_rapidssl":  {dv(), DV},
		"ssl_basic":        {ov(), OV},
		"ssl_ev_basic":     {ov(), EV},
		"private_ssl_plus": {ov(), Private},
		"private_new":      {ov(), Private},
		"new_dv":           {ov(), DV},
		"dv_new":           {ov(), DV},
		"advent":           {ov(), OV},
		"ssl":              {with(ov(), values{"product_type_hint": "ev"}), EV},
		"":                 {values{}, ""},
	} {
		v := c.values
		if name != "" {
			v = with(v, values{"product": name})
		}
		if got, validation := Product(pluginapi.Settings{Values: v}); got != name || validation != c.want {
			t.Errorf("%q: %q, %q", name, got, validation)
		}
	}
}

func TestLongestLifetime(t *testing.T) {
	for at, want := range map[time.Time]int{
		time.Date(2026, 2, 23, 23, 59, 59, 0, time.UTC): 397,
		time.Date(2026, 2, 24, 0, 0, 0, 0, time.UTC):    199,
		time.Date(2027, 3, 14, 12, 0, 0, 0, time.UTC):   199,
		time.Date(2027, 3, 15, 0, 0, 0, 0, time.UTC):    99,
		time.Date(2029, 3, 15, 0, 0, 0, 0, time.UTC):    46,
	} {
		if got := LongestLifetime(at); got != want {
			t.Errorf("%s: %d, want %d", at, got, want)
		}
	}
}
