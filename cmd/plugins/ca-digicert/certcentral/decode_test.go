package certcentral

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

func TestLooseTypes(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want Order
	}{
		"as documented": {
			`{"id":900,"status":"issued","order_valid_till":"2027-11-20","certificate":{"id":800,"dns_names":["a.example","b.example"],"date_created":"2026-11-21T10:15:00+00:00"},"requests":[{"id":5,"status":"pending"}]}`,
			Order{
				ID: 900, Status: "issued", OrderValidTill: Time{Time: time.Date(2027, 11, 20, 0, 0, 0, 0, time.UTC)},
				Certificate: Certificate{ID: 800, DNSNames: List[Text]{"a.example", "b.example"}, DateCreated: Time{Time: time.Date(2026, 11, 21, 10, 15, 0, 0, time.UTC)}},
				Requests:    List[Request]{{ID: 5, Status: "pending"}},
			},
		},
		"numbers as text, text as numbers": {
			`{"id":"900","status":"issued","alternative_order_id":123,"certificate":{"id":"800","serial_number":1234}}`,
			Order{ID: 900, Status: "issued", AlternativeOrderID: "123", Certificate: Certificate{ID: 800, Serial: "1234"}},
		},
		"null, and lists of one": {
			`{"id":900,"status":"pending","certificate":{"id":null,"dns_names":"a.example","csr":null},"requests":{"id":5},"order_valid_till":null}`,
			Order{ID: 900, Status: "pending", Certificate: Certificate{DNSNames: List[Text]{"a.example"}}, Requests: List[Request]{{ID: 5}}},
		},
		"objects that are none": {
			`{"id":900.0,"status":"pending","certificate":[],"product":"x","requests":null}`,
			Order{ID: 900, Status: "pending"},
		},
		"nonsense in single fields": {
			`{"id":-4,"status":{"a":1},"order_valid_till":"soon","requests":[null,"",7,{"id":{}}]}`,
			Order{Requests: List[Request]{{}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got Order
			if err := restca.Decode([]byte(c.text), &got); err != nil {
				t.Fatal(err)
			}
			a, _ := json.Marshal(got)
			b, _ := json.Marshal(c.want)
			if string(a) != string(b) {
				t.Errorf("got  %s\nwant %s", a, b)
			}
		})
	}
}

// An order is bought on the strength of an empty answer: it must say that there is none, not merely name none.
func TestDecodeAlternates(t *testing.T) {
	for text, want := range map[string]struct {
		ids  []ID
		fail bool
	}{
		`{"orders":[{"order_id":7,"status":"pending"}],"page":{"total":1}}`: {ids: []ID{7}},
		`{"orders":[{"order_id":"7"}],"page":{"total":"1"}}`:                {ids: []ID{7}},
		`{"orders":{"order_id":7}}`:                                         {ids: []ID{7}},
		`{"orders":[],"page":{"total":0}}`:                                  {},
		`{"orders":[]}`:                                                     {},
		`{ }`:                                                               {},
		`{"orders":null,"page":{"total":0}}`:                                {},
		`{"orders":null,"page":{"total":1}}`:                                {fail: true},
		`{"orders":[],"page":{"total":1}}`:                                  {fail: true},
		`{"orders":[null],"page":{"total":1}}`:                              {fail: true},
		`{"orders":null}`:                                                   {fail: true},
		`{"page":{"total":null}}`:                                           {fail: true},
		`{"status":"ok"}`:                                                   {fail: true},
		`{"orders":[{"status":"pending"}]}`:                                 {fail: true},
		`{"orders":`:                                                        {fail: true},
		`<html>`:                                                            {fail: true},
	} {
		found, err := decodeAlternates([]byte(text))
		var ids []ID
		for _, o := range found {
			ids = append(ids, o.OrderID)
		}
		if (err != nil) != want.fail || !slices.Equal(ids, want.ids) {
			t.Errorf("%s: got %v, %v", text, ids, err)
		}
	}
}

func TestDecodeCertificates(t *testing.T) {
	for text, want := range map[string]int{
		`{"certificates":[{"id":1},{"id":"2"}]}`: 2, `{"certificates":{"id":1}}`: 1, `{"certificates":[]}`: 0, `{}`: 0,
		`{"certificates":null}`: 0, `{"other":1}`: -1, `[]`: -1, `<html>`: -1,
	} {
		list, err := decodeCertificates([]byte(text))
		if (err != nil) != (want < 0) || err == nil && len(list) != want {
			t.Errorf("%s: got %d, %v", text, len(list), err)
		}
	}
}

func TestDecodePEMStopsAtABound(t *testing.T) {
	one := "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\r\n"
	if n := len(decodePEM([]byte(strings.Repeat(one, 100)))); n != maxCertificates {
		t.Errorf("%d certificates", n)
	}
	if n := len(decodePEM([]byte(one + one[:40]))); n != 1 {
		t.Errorf("%d certificates of one and a half", n)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"id":900,"status":"issued","certificate":{"id":"800","dns_names":null},"requests":{"id":5}}`,
		`{"orders":[{"order_id":7}],"page":{"total":1}}`, `{"errors":{"code":"not_found|order"}}`,
		`{"certificates":[{"id":1,"csr":"x","date_created":"2026-11-21T10:15:00+00:00"}]}`,
		`{"dns_name_validations":[{"name_scope":"a.example","dns_names":["a.example"],"status":"pending"}]}`,
		`{"dcv_random_value":"k3v9m2x7","expiration_date":"2026-12-21T10:15:00+00:00"}`, `[]`, `{"id":1e400}`,
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, into := range []any{
			new(Order), new(Placed), new(Validation), new(RandomValue), new(Request), new(User), new(Organization), new(Balance),
			new(struct {
				Certificates List[Certificate] `json:"certificates"`
			}),
			new(struct {
				Products List[Product] `json:"products"`
			}),
		} {
			err := restca.Decode(text, into)
			var g *restca.Garbage
			if err != nil && !errors.As(err, &g) {
				t.Fatalf("%T: %v", into, err)
			}
			if o, ok := into.(*Order); ok && o.ID < 0 {
				t.Fatal("a negative id")
			}
		}
		found, err := decodeAlternates(text)
		if err == nil {
			for _, o := range found {
				if o.OrderID <= 0 {
					t.Fatal("an order without id counts as found")
				}
			}
		}
		decodeProblems(text)
		decodePEM(text)
	})
}
