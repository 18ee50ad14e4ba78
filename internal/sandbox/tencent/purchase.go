package tencent

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// purchase is what CreateCertificate asks for.
type purchase struct {
	ProductID   int64  `json:"ProductId"`
	DomainNum   int64  `json:"DomainNum"`
	TimeSpan    int64  `json:"TimeSpan"`
	AutoVoucher *int64 `json:"AutoVoucher"`
	Tags        []tag  `json:"Tags"`
}

// createCertificate buys, at once.
func (s *Server) createCertificate(c *call) (obj, error) {
	var b purchase
	if err := c.decode(&b); err != nil {
		return nil, err
	}
	if len(b.Tags) > 0 && slices.Contains(c.key.Denied, "tag:*") {
		return nil, fail(authDenied, "The key may not set tags.")
	}
	if b.AutoVoucher == nil {
		c.remark("AutoVoucher is left out: vouchers are used, if there are any")
	}
	var made *certificate
	if err := s.Change(c.now, func(st *state) error {
		if err := st.judge(b); err != nil {
			return err
		}
		var err error
		made, err = s.buy(c.now, b, "")
		return err
	}); err != nil {
		return nil, err
	}
	answer := obj{"CertificateIds": []string{made.ID}, "DealIds": []string{made.Deal}}
	if s.site() == Mainland {
		answer["ResourceIds"] = []string{"ssl-" + made.ID}
	}
	return answer, nil
}

// judge says what is wrong with a purchase.
//
// Unconfirmed: the codes for a product that is not sold, for a wrong DomainNum and TimeSpan, and which products are sold
// for several years; see Settings.
func (st *state) judge(b purchase) error {
	p, ok := productByID(b.ProductID)
	if !ok || p.Mainland && st.Site != Mainland || len(st.Settings.Products) > 0 && !slices.Contains(st.Settings.Products, p.ID) {
		return fail(invalidValue, "Product %d is not sold here.", b.ProductID)
	}
	if !p.Multi && b.DomainNum != 1 {
		return fail(invalidValue, "%s is for one domain; DomainNum must be 1.", p.name())
	}
	if b.TimeSpan > st.Settings.MostYears {
		return fail(invalidValue, "%s is sold for %d years at most.", p.name(), st.Settings.MostYears)
	}
	seen := map[string]bool{}
	for _, t := range b.Tags {
		if seen[t.Key] {
			return fail(invalidValue, "The tag %q stands twice.", t.Key)
		}
		seen[t.Key] = true
		if len(st.Settings.TagKeys) > 0 && !slices.Contains(st.Settings.TagKeys, t.Key) {
			return fail(failedParam, "There is no tag %q.", t.Key)
		}
	}
	return nil
}

// buy pays and makes the certificate. The lock is held. It changes nothing where it fails.
func (s *Server) buy(now time.Time, b purchase, renews string) (*certificate, error) {
	st := s.Account
	p, ok := productByID(b.ProductID)
	if !ok {
		return nil, fmt.Errorf("product %d is gone", b.ProductID)
	}
	price, detail := p.price(b.DomainNum, b.TimeSpan), ""
	voucher := (b.AutoVoucher == nil || *b.AutoVoucher == 1) && st.Settings.Vouchers > 0
	switch {
	case voucher:
		price, detail = 0, "paid by a voucher"
	case price > st.Balance:
		return nil, fail(st.Settings.BalanceCode, "The account's balance is insufficient.")
	}
	if voucher {
		st.Settings.Vouchers--
	}
	st.Balance -= price
	st.LastOrder++
	made := &certificate{
		ID: st.newID(), Source: sourceBuy, Deal: now.In(beijing()).Format("20060102") + fmt.Sprintf("%012d", st.LastOrder), Product: p.ID,
		Names: b.DomainNum, Years: b.TimeSpan, Tags: b.Tags, Status: statusPaid, Price: price, Created: now, Renews: renews,
	}
	st.Certificates = append(st.Certificates, made)
	entry := entryOf(now, sandbox.Purchase, made)
	entry.Amount, entry.Renews, entry.Detail = price, renews, detail
	st.Ledger.Add(entry)
	return made, nil
}

// entryOf begins an entry of the ledger.
func entryOf(now time.Time, kind string, cert *certificate) sandbox.Entry {
	e := sandbox.Entry{Time: now, Kind: kind, Order: cert.ID, Product: strconv.FormatInt(cert.Product, 10)}
	if cert.Materials != nil {
		e.Names = cert.Materials.names()
	}
	for _, t := range cert.Tags {
		e.Reference = t.Key + "=" + t.Value
	}
	return e
}

// renewThemselves buys what AutoRenewFlag asks to buy. The lock is held.
//
// Unconfirmed: what the purchase shows; the stand-in makes a certificate that waits for its materials.
func (s *Server) renewThemselves(now time.Time) {
	for _, cert := range slices.Clone(s.Account.Certificates) {
		p, ok := productByID(cert.Product)
		due := !cert.Held && cert.Status == statusIssued && cert.Renewal == "" && cert.Materials != nil && cert.Materials.AutoRenew &&
			now.After(cert.NotAfter.Add(-autoRenewDays*s.days.day))
		if !ok || !due || !p.renewsItself() {
			continue
		}
		made, err := s.buy(now, purchase{ProductID: cert.Product, DomainNum: cert.Names, TimeSpan: cert.Years}, cert.ID)
		if err != nil {
			s.Log.Warn("a renewal by AutoRenewFlag was not paid", "certificate", cert.ID, "error", err)
			continue
		}
		cert.Renewal = made.ID
	}
}

// autoRenewDays is how long before the end AutoRenewFlag buys.
const autoRenewDays = 30
