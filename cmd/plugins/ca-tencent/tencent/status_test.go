package tencent

import (
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-tencent/sslapi"
	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/tencent"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Every status of the enumeration, before there is a certificate and after.
func TestEveryStatus(t *testing.T) {
	const (
		validation, work, issued    = pluginapi.PendingValidation, pluginapi.Processing, pluginapi.Issued
		rejected, canceled, expired = pluginapi.OrderRejected, pluginapi.Canceled, pluginapi.Expired
	)
	type row struct {
		words              string
		pending, inspected pluginapi.OrderStatus // of an order that was submitted, and of one that was issued
		person             bool
	}
	rows := map[sslapi.Status]row{
		sslapi.UnderReview:  {"waits for domain control", validation, work, false},
		sslapi.Issued:       {"is issued", 0, issued, false},
		sslapi.ReviewFailed: {"rejected in review", rejected, rejected, false},
		sslapi.Expired:      {"expired", expired, work, false},
		sslapi.RecordAdded:  {"waits for domain control", validation, work, false},
		sslapi.ToSubmit:     {"on its way to the CA", work, work, false},
		sslapi.Canceling:    {"being canceled", work, work, false},
		sslapi.Canceled:     {"canceled", canceled, canceled, false},
		sslapi.LetterWanted: {"waits for domain control", validation, work, false},
		sslapi.Revoking:     {"being revoked", rejected, canceled, false},
		sslapi.Revoked:      {"revoked", rejected, canceled, false},
		sslapi.Reissuing:    {"waits for domain control", validation, issued, false},
		sslapi.RevokeLetter: {"letter to confirm the revocation", work, canceled, true},
		sslapi.FreeToSubmit: {"free one", work, work, true},
		sslapi.Refunded:     {"refunded", canceled, canceled, false},
		sslapi.Migrating:    {"being migrated", work, work, false},
		99:                  {"not known here", work, work, false},
	}
	for s := sslapi.UnderReview; s <= sslapi.Migrating; s++ {
		if _, ok := rows[s]; !ok {
			t.Errorf("status %d has no row", int(s))
		}
	}
	for status, want := range rows {
		t.Run(status.String(), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			o := r.Order(dv(dvOne), "shop.example.com")
			at, err := r.Place(o)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // to the CA, and to what is to be published
				next, err := r.Instance().GetOrder(t.Context(), r.Placed(o, at))
				if err != nil {
					t.Fatal(err)
				}
				at = next.Order
			}
			if want.pending != 0 {
				r.look(o, at, status, want.pending, want.words, want.person)
			}
			at = r.MustIssue(r.Order(dv(dvOne), "api.example.com"))
			if err := r.server.SetStatus(at.Reference, int(status), ""); err != nil {
				t.Fatal(err)
			}
			looked, err := r.Instance().InspectOrder(t.Context(), at.Reference, at.State)
			if err != nil || looked.Order.Status != want.inspected {
				t.Errorf("inspected: %s, %v, want %s", looked.Order.Status, err, want.inspected)
			}
		})
	}
}

// look holds what is said of an order in a status.
func (r *rig) look(o pluginapi.OrderRequest, at pluginapi.Order, status sslapi.Status, want pluginapi.OrderStatus, words string, person bool) {
	r.t.Helper()
	if err := r.server.SetStatus(at.Reference, int(status), "words of Tencent"); err != nil {
		r.t.Fatal(err)
	}
	got, err := r.Instance().GetOrder(r.t.Context(), r.Placed(o, at))
	if err != nil {
		r.t.Fatal(err)
	}
	if got.Order.Status != want || !strings.Contains(got.Order.Detail, words) || (got.Order.Action != nil) != person {
		r.t.Errorf("%s (%s), %+v; want %s and %q", got.Order.Status, got.Order.Detail, got.Order.Action, want, words)
	}
	if got.Order.LookAgainAfter == nil || *got.Order.LookAgainAfter < 0 {
		r.t.Error("nobody says when to look again")
	}
}

// Until when Tencent waits for domain control is said of the order that waits, as soon as the list tells; that it does not
// tell, or cannot be read, keeps nothing up.
func TestDeadline(t *testing.T) {
	for name, c := range map[string]struct {
		edit  func(map[string]any)
		fault *sandbox.Misbehaviour
		says  bool
	}{
		"told":              {says: true},
		"never told":        {edit: func(c map[string]any) { c["DVAuthDeadline"] = nil }},
		"of another":        {edit: func(c map[string]any) { c["CertificateId"] = "Another1" }},
		"no list":           {fault: &sandbox.Misbehaviour{Path: "/DescribeCertificates", Kind: sandbox.ServerError, Times: -1}},
		"told the 2nd time": {says: true, fault: &sandbox.Misbehaviour{Path: "/DescribeCertificates", Kind: sandbox.HTML}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			o := r.Order(dv(dvOne), "shop.example.com")
			at, err := r.Place(o)
			if err != nil {
				t.Fatal(err)
			}
			if c.edit != nil {
				r.edited(entries(c.edit))
			}
			if c.fault != nil {
				r.misbehave(*c.fault)
			}
			before := r.calls("DescribeCertificates")
			due := r.server.Now().AddDate(0, 0, int(standin.DefaultSettings().DCVDays))
			for range 8 {
				reply, err := r.Instance().GetOrder(t.Context(), r.Placed(o, at))
				if err != nil {
					t.Fatal(err)
				}
				at = reply.Order
			}
			deadline := decodeState(at.State).Deadline
			words := "waits for domain control until " + deadline.Format("2006-01-02 15:04 MST") + ":"
			if at.Status != pluginapi.PendingValidation || strings.Contains(at.Detail, words) != c.says || deadline.IsZero() == c.says {
				t.Errorf("%s: %s", at.Status, at.Detail)
			}
			if c.says && deadline.Sub(due).Abs() > time.Minute {
				t.Errorf("until %s, want %s", deadline, due)
			}
			if n := r.calls("DescribeCertificates") - before; c.fault == nil && (n < 1 || n > 4) {
				t.Errorf("the list was read %d times", n)
			}
			if c.says {
				r.CheckIssued(o, r.finished(o, at))
			}
		})
	}
}

func (r *rig) finished(o pluginapi.OrderRequest, at pluginapi.Order) pluginapi.Order {
	r.t.Helper()
	got, err := r.Finish(o, at)
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}
