package digicert

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/certcentral"
	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/request"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// reissue asks for another certificate inside the paid plan of an order. A reissue has no mark as an order has, so it is
// told from others by its certificate request, and while it waits for approval by a remark.
func (s *session) reissue(ctx context.Context, order pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	id, err := s.previousOrder(ctx, order)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	settings := withRemark(s.orderSettings(order.Settings), remark(order))
	computed, err := s.compute(settings, order)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	body, err := request.Reissue(settings, computed)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	leave, err := s.orders.Enter(ctx, "order "+id.String())
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	defer leave()
	f, err := s.findReissue(ctx, id, order)
	switch {
	case err != nil:
		return pluginapi.OrderReply{}, err
	case f.found:
		return s.begun(f.placed(), ""), nil
	}
	if err := s.reissuable(f.order); err != nil {
		return pluginapi.OrderReply{}, err
	}
	if keepCommonName(&computed, f.order) {
		if body, err = request.Reissue(settings, computed); err != nil {
			return pluginapi.OrderReply{}, err
		}
	}
	placed, err := s.client.Reissue(ctx, id, body)
	if err != nil {
		return s.notReissued(ctx, id, order, computed.DCVMethod, err)
	}
	s.log.Info("reissue requested", "order", id, "certificate", placed.CertificateID)
	return s.begun(placed, computed.DCVMethod), nil
}

// keepCommonName leaves the common name of a reissue as the order has it, and reports whether that is a change: the order
// that names are configured in must not change it, for DigiCert revokes earlier certificates when names are removed or
// changed. (Not confirmed by DigiCert's pages: whether another of the same names as the common name is such a change.)
func keepCommonName(c *request.Computed, o certcentral.Order) bool {
	present := strings.ToLower(string(o.Certificate.CommonName))
	if present == c.CommonName || !slices.Contains(c.DNSNames, present) {
		return false
	}
	c.DNSNames = append(slices.DeleteFunc(slices.Clone(c.DNSNames), func(n string) bool { return n == present }), c.CommonName)
	c.CommonName = present
	return true
}

// notReissued says what the failure of a request for a reissue means. A refusal may be the answer to an earlier call's
// success, or to somebody else's reissue.
func (s *session) notReissued(ctx context.Context, id certcentral.ID, order pluginapi.OrderRequest, method string, cause error) (pluginapi.OrderReply, error) {
	failure := restca.FailOnce("reissue order "+id.String(), cause)
	no := restca.RefusalOf(cause)
	if no == nil || forbidden(no) || failure.Kind == pluginapi.UnknownOutcome {
		return pluginapi.OrderReply{}, failure
	}
	f, err := s.findReissue(ctx, id, order)
	switch {
	case err != nil:
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.UnknownOutcome, "%s, and: %w", failure.Message, err)
	case f.found:
		return s.begun(f.placed(), ""), nil
	}
	if err := s.reissuable(f.order); err != nil {
		return pluginapi.OrderReply{}, err
	}
	return pluginapi.OrderReply{}, tokenWanted(failure, no, method)
}

// previousOrder is the order to reissue: by its number, or by the certificate where that is all there is.
func (s *session) previousOrder(ctx context.Context, order pluginapi.OrderRequest) (certcentral.ID, error) {
	p := order.Previous
	switch {
	case p == nil || p.Reference == "" && len(p.Chain) == 0:
		return 0, pluginapi.FieldErrorf("previous", "a reissue must say what it follows")
	case p.Reference != "":
		return orderID(p.Reference)
	}
	o, err := s.orderOfCertificate(ctx, p.Chain[0])
	return o.ID, err
}

// reissuable says why an order has no reissue to give now.
func (s *session) reissuable(o certcentral.Order) error {
	switch r := strangeRequest(o.Requests); {
	case ended(string(o.Status)):
		return pluginapi.Errorf(pluginapi.NeedsPerson, "order %s is %s: DigiCert reissues nothing on it, though its plan was thought to last; a new order has to be bought", o.ID, o.Status)
	case s.over(o):
		return pluginapi.Errorf(pluginapi.NeedsPerson, "the plan of order %s ended on %s: DigiCert reissues nothing on it; a new order has to be bought", o.ID, coverageEnd(o).Format(time.DateOnly))
	case r.ID != 0:
		return pluginapi.Errorf(pluginapi.Conflict, "request %s for a reissue of order %s waits for approval; it goes on once that is approved and done, or rejected", r.ID, o.ID)
	}
	switch o.Status {
	case certcentral.OrderReissuePending:
		return pluginapi.Errorf(pluginapi.Conflict, "another reissue of order %s is under way; it goes on once that is done or canceled in the console", o.ID)
	case certcentral.OrderPending, certcentral.OrderProcessing, certcentral.OrderNeedsApproval, certcentral.OrderWaitingPickup:
		return pluginapi.Errorf(pluginapi.Conflict, "order %s is %s and has no certificate to reissue yet", o.ID, o.Status)
	default:
		return nil
	}
}

// foundReissue is what is known of a reissue that may have been asked for.
type foundReissue struct {
	order certcentral.Order
	// found: DigiCert has it, as a certificate of the order or as a request that waits for approval.
	found       bool
	certificate certcentral.ID
	request     certcentral.ID
}

func (f foundReissue) placed() certcentral.Placed {
	p := certcentral.Placed{ID: f.order.ID, CertificateID: f.certificate}
	if f.request != 0 {
		p.Requests = certcentral.List[certcentral.Request]{{ID: f.request}}
	}
	return p
}

// findReissue looks whether a reissue arrived. Its error says that nothing was sent, and that nothing is known.
func (s *session) findReissue(ctx context.Context, id certcentral.ID, order pluginapi.OrderRequest) (foundReissue, error) {
	o, err := s.client.Order(ctx, id)
	if err != nil {
		return foundReissue{}, restca.Fail("read order "+id.String(), err)
	}
	list, err := s.client.Reissues(ctx, id)
	if err != nil {
		return foundReissue{}, restca.Fail("list the reissues of order "+id.String(), err)
	}
	f := foundReissue{order: o}
	if own, ok := ownCertificate(list, order); ok {
		f.found, f.certificate = true, own.ID
	}
	if r, ok := ownRequest(o.Requests, order); ok {
		f.found, f.request = true, r.ID
	}
	if !f.found && ownCSR(o.Certificate, order) && !isPrevious(o.Certificate, order) {
		// The order already shows it as its certificate, and the list does not yet.
		f.found, f.certificate = true, o.Certificate.ID
	}
	return f, nil
}

// ownCertificate finds the certificate that a reissue asked for: its request is ours, and it is younger than the
// certificate that the reissue follows. With a key that is kept, the requests of all generations may be the same.
func ownCertificate(list []certcentral.Certificate, order pluginapi.OrderRequest) (certcentral.Certificate, bool) {
	var own certcentral.Certificate
	found := false
	for _, c := range youngerThanPrevious(list, order) {
		if ownCSR(c, order) && !dropped(c) && (!found || younger(c, own)) {
			own, found = c, true
		}
	}
	return own, found
}

// youngerThanPrevious leaves out the certificate that an order follows and all from before it. When that certificate is
// not in the list, it is the order's first, and all reissues are younger.
func youngerThanPrevious(list []certcentral.Certificate, order pluginapi.OrderRequest) []certcentral.Certificate {
	i := slices.IndexFunc(list, func(c certcentral.Certificate) bool { return isPrevious(c, order) })
	if i < 0 {
		return list
	}
	before := list[i]
	return slices.DeleteFunc(slices.Clone(list), func(c certcentral.Certificate) bool { return !younger(c, before) })
}

// younger compares the age of two certificates of one order. Their numbers decide between those of the same second.
// (Not confirmed by DigiCert's pages: that numbers grow.)
func younger(a, b certcentral.Certificate) bool {
	if !a.DateCreated.IsZero() && !b.DateCreated.IsZero() && !a.DateCreated.Equal(b.DateCreated.Time) {
		return a.DateCreated.After(b.DateCreated.Time)
	}
	return a.ID > b.ID
}

// dropped reports a certificate that will never be issued.
func dropped(c certcentral.Certificate) bool {
	switch c.Status {
	case certcentral.OrderRejected, certcentral.OrderDenied, certcentral.OrderCanceled:
		return true
	default:
		return false
	}
}

// isPrevious reports whether a listed certificate is the one that an order follows.
func isPrevious(c certcentral.Certificate, order pluginapi.OrderRequest) bool {
	if order.Previous == nil || len(order.Previous.Chain) == 0 {
		return false
	}
	leaf, err := x509.ParseCertificate(order.Previous.Chain[0])
	return err == nil && sameSerial(string(c.Serial), leaf.SerialNumber)
}

// sameSerial compares a serial number in hexadecimal, in whatever dress, with a number.
func sameSerial(text string, serial *big.Int) bool {
	n, ok := new(big.Int).SetString(strings.ReplaceAll(text, ":", ""), 16)
	return ok && n.Cmp(serial) == 0
}

// ownCSR reports whether a certificate was asked for with our request: the same, or one for the same key and names.
func ownCSR(c certcentral.Certificate, order pluginapi.OrderRequest) bool {
	der := decodeCSR(string(c.CSR))
	if len(der) == 0 {
		return false
	}
	if bytes.Equal(der, order.CSR) {
		return true
	}
	theirs, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return false
	}
	ours, err := x509.ParseCertificateRequest(order.CSR)
	if err != nil || !bytes.Equal(theirs.RawSubjectPublicKeyInfo, ours.RawSubjectPublicKeyInfo) {
		return false
	}
	return slices.Equal(sortedNames(theirs), sortedNames(ours))
}

func sortedNames(r *x509.CertificateRequest) []string {
	return slices.Sorted(slices.Values(r.DNSNames))
}

// decodeCSR reads a certificate request as the API repeats it: PEM, PEM without line ends, or base64 alone.
func decodeCSR(text string) []byte {
	if block, _ := pem.Decode([]byte(text)); block != nil {
		return block.Bytes
	}
	if _, rest, ok := strings.Cut(text, "REQUEST-----"); ok {
		text, _, _ = strings.Cut(rest, "-----END")
	}
	text = strings.Join(strings.Fields(text), "")
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return der
}

// remark is what the requests for approval of a reissue carry in their comments.
func remark(order pluginapi.OrderRequest) string { return "certbridged " + order.IdempotencyKey }

// ownRequest finds the request for approval of a reissue, open or decided upon.
func ownRequest(list []certcentral.Request, order pluginapi.OrderRequest) (certcentral.Request, bool) {
	for _, r := range list {
		if strings.Contains(string(r.Comments), remark(order)) {
			return r, true
		}
	}
	return certcentral.Request{}, false
}

// strangeRequest finds a request for a reissue that waits for approval.
func strangeRequest(list []certcentral.Request) certcentral.Request {
	return openRequest(list, certcentral.RequestReissue, 0)
}

// withRemark adds a remark to the comments of order settings.
func withRemark(settings pluginapi.Settings, remark string) pluginapi.Settings {
	comments, ok := settings.Values["comments"].(string)
	if _, given := settings.Values["comments"]; given && !ok {
		return settings // the check of the settings says what is wrong
	}
	values := maps.Clone(settings.Values)
	if values == nil {
		values = map[string]any{}
	}
	values["comments"] = strings.TrimSpace(comments + " " + remark)
	settings.Values = values
	return settings
}
