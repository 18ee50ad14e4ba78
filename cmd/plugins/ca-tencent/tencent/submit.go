package tencent

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-tencent/request"
	"github.com/certbridge/certbridged/cmd/plugins/ca-tencent/sslapi"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// processingPause is when to look again at an order that Tencent is processing.
const processingPause = 30 * time.Second

// stuckAfter is how long an order may be on its way before a person is told.
const stuckAfter = time.Hour

// submit takes a certificate that is paid on to the CA: first its materials, then the order. Both are repeated while the
// certificate waits for its materials; an order that is on its way is waited for and never sent again.
func (s *session) submit(ctx context.Context, v *view) (pluginapi.Order, error) {
	if v.st.Left { // it had been elsewhere, and a person has brought it back
		if !v.st.Submitted.IsZero() {
			s.log.Info("certificate waits for its materials again", "certificate", v.id)
		}
		v.st.Submitted, v.st.Left, v.st.Audited, v.st.Responded, v.st.Shown, v.st.Checks, v.st.NextCheck = time.Time{}, false, false, false, false, 0, time.Time{}
	}
	if !v.st.Submitted.IsZero() {
		return s.onItsWay(v), nil
	}
	computed, err := s.compute(v.placed.OrderRequest)
	if err != nil {
		return pluginapi.Order{}, err
	}
	info, err := request.Info(v.placed.Settings, computed, v.id)
	if err != nil {
		return pluginapi.Order{}, refused(v, sslapi.Fail("hand in the materials of certificate "+v.id, err))
	}
	err = s.client.SubmitInfo(ctx, info, slices.Collect(maps.Values(v.placed.Settings.Secrets)))
	switch {
	case sslapi.Has(err, sslapi.Processing, sslapi.InfoStatus, sslapi.WrongStatus): // often because it is done already
		if failure := s.refresh(ctx, v); failure != nil {
			return pluginapi.Order{}, failure
		}
		if !v.cert.Is(sslapi.ToSubmit) {
			return s.stand(ctx, v)
		}
		if !bytes.Equal(decodeCSR(string(v.cert.Submitted.CSR)), v.placed.CSR) { // those of somebody else must not go to the CA
			return pluginapi.Order{}, pluginapi.Errorf(pluginapi.Unavailable, "hand in the materials of certificate %s, which does not show those of this order: %w", v.id, err)
		}
	case err != nil:
		return pluginapi.Order{}, refused(v, sslapi.FailWrite("hand in the materials of certificate "+v.id, err))
	}
	return s.submitOrder(ctx, v, computed)
}

func (s *session) submitOrder(ctx context.Context, v *view, computed request.Computed) (pluginapi.Order, error) {
	body, err := request.Submit(v.placed.Settings, computed, v.id)
	if err != nil {
		return pluginapi.Order{}, err
	}
	again := time.Duration(0)
	done, err := s.client.SubmitOrder(ctx, body)
	switch {
	case err == nil:
		v.st.Audited = bool(done.Audited)
		if done.OrderID != "" {
			v.st.Order = restca.Clean(string(done.OrderID), 64)
		}
		s.log.Info("order submitted", "certificate", v.id, "order", v.st.Order, "audited", v.st.Audited)
	case sslapi.Has(err, sslapi.Processing): // an earlier call has arrived
		again = processingPause
	case sslapi.Has(err, sslapi.InfoStatus, sslapi.WrongStatus):
		if err := s.refresh(ctx, v); err != nil {
			return pluginapi.Order{}, err
		}
		if !v.cert.Is(sslapi.ToSubmit) {
			return s.stand(ctx, v)
		}
		return pluginapi.Order{}, pluginapi.Errorf(pluginapi.Unavailable, "send certificate %s to the CA: %w", v.id, err)
	default: // after a lost answer the next look reads the status first
		return pluginapi.Order{}, refused(v, sslapi.FailWrite("send certificate "+v.id+" to the CA", err))
	}
	v.st.Submitted, v.st.Left = s.now().UTC(), false
	out := s.onItsWay(v)
	out.LookAgainAfter = pluginapi.After(again)
	return out, nil
}

// onItsWay is the reply while an order was sent and the certificate still waits for materials, as far as it shows.
func (s *session) onItsWay(v *view) pluginapi.Order {
	out := pluginapi.Order{Status: pluginapi.Processing, Detail: fmt.Sprintf("the order for certificate %s is on its way to the CA", v.id)}
	if since := s.now().Sub(v.st.Submitted); since > stuckAfter {
		out.Detail += fmt.Sprintf(" since %s; it is not sent twice", v.st.Submitted.Format(time.RFC3339))
		out.Action = s.person("see what has become of the order for certificate " + v.id + ", and ask Tencent's support")
	}
	return out
}

// refused says what a person can do about materials that are not taken: the certificate stays paid.
func refused(v *view, failure *pluginapi.Error) *pluginapi.Error {
	if failure.Kind != pluginapi.InvalidRequest && failure.Kind != pluginapi.NeedsPerson {
		return failure
	}
	field := ""
	if failure.Field != "" {
		field = failure.Field + ": "
	}
	return pluginapi.Errorf(pluginapi.NeedsPerson, "%s%s; certificate %s stays paid: mend the order settings with cert_id = %q among them, and cancel this order", field, failure.Message, v.id, v.id)
}
