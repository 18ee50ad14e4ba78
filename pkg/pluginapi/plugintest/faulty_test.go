package plugintest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// smallCA is a CA of the test's own: orders are files in a folder. fault names the one promise it breaks.
type smallCA struct {
	fault string
	calls atomic.Int64

	dir, secret, url string
	key              *ecdsa.PrivateKey
	root             *x509.Certificate
}

// smallOrder is what the folder keeps of one order.
type smallOrder struct {
	Key, Reference string
	Canceled       bool
	CSR            []byte
	Names          []pluginapi.Identifier
	Chain          [][]byte
}

func (c *smallCA) broken(fault string) bool { return c.fault == fault }

func (c *smallCA) Describe(context.Context) (pluginapi.Description, error) {
	d := pluginapi.Description{
		Name: "small", Version: "1", Abilities: []pluginapi.Ability{pluginapi.AbilityReissue, pluginapi.AbilityRenew},
		ChallengeTypes: []pluginapi.ChallengeType{pluginapi.ChallengeHTTP},
		AccountSettings: []pluginapi.Field{
			{Name: "dir", Type: pluginapi.String, Required: true, Help: "The folder."},
			{Name: "api_key", Type: pluginapi.String, Required: true, Secret: true, Help: "The key."},
			{Name: "base_url", Type: pluginapi.String, Default: "https://ca.example", Help: "Where the CA is."},
			{Name: "mode", Type: pluginapi.String, Default: "a", Allowed: []any{"a", "b"}, Help: "The mode."},
		},
		OrderSettings: []pluginapi.Field{{Name: "product", Type: pluginapi.String, Help: "The product."}},
	}
	if c.broken("hangs") && c.calls.Load() > 0 {
		<-context.Background().Done()
	}
	if c.broken("describe-changes") {
		d.Version = fmt.Sprint(c.calls.Add(1))
	}
	if c.broken("schema-without-help") {
		d.AccountSettings[0].Help = ""
	}
	if c.broken("describe-bad-name") {
		d.Name = "Small CA!"
	}
	return d, nil
}

func (c *smallCA) Configure(_ context.Context, a pluginapi.Account) (pluginapi.Configured, error) {
	var in struct {
		Dir     string `json:"dir"`
		Mode    string `json:"mode"`
		BaseURL string `json:"base_url"`
	}
	var out pluginapi.Configured
	fault := func(field, message string) {
		if c.broken("finding-without-field") {
			field = ""
		}
		out.Findings = append(out.Findings, pluginapi.Finding{Severity: pluginapi.Fault, Field: field, Message: message})
	}
	c.secret = a.Settings.Secret("api_key").Reveal()
	if c.broken("secret-on-stderr") {
		fmt.Fprintln(os.Stderr, "configured with", c.secret)
	}
	if c.broken("accepts-all-settings") {
		c.dir, _ = a.Settings.Values["dir"].(string)
		return out, c.open()
	}
	if err := a.Settings.Decode(&in); err != nil {
		if c.broken("dies-on-bad-settings") {
			os.Exit(3)
		}
		var e *pluginapi.Error
		if errors.As(err, &e) {
			fault(e.Field, e.Message)
		}
		return out, nil
	}
	if in.Dir == "" {
		fault("dir", "is missing")
	}
	if c.secret == "" {
		fault("api_key", "is missing")
	}
	if in.Mode != "" && in.Mode != "a" && in.Mode != "b" {
		fault("mode", "is neither a nor b")
	}
	if c.broken("refuses-good-settings") {
		fault("dir", "I do not like it")
	}
	if c.broken("secret-in-finding") {
		out.Findings = append(out.Findings, pluginapi.Finding{Severity: pluginapi.Info, Message: "using key " + c.secret})
	}
	if len(faultsOf(out.Findings)) > 0 {
		return out, nil
	}
	c.dir, c.url = in.Dir, in.BaseURL
	return out, c.open()
}

func (c *smallCA) CheckOrders(ctx context.Context, orders []pluginapi.Settings) ([]pluginapi.Finding, error) {
	var out []pluginapi.Finding
	for i, o := range orders {
		f := pluginapi.Faultf("product", "is missing, or not one of dv and ov")
		f.Order = i + 1
		product, _ := o.Values["product"].(string)
		good := product == "dv" || product == "ov"
		switch {
		case c.broken("has-no-rules"):
			continue
		case c.broken("rules-are-for-another"):
			f.Order = len(orders) - i + 1
		case c.broken("rules-of-no-order"):
			f.Order, good = 99, false
		case c.broken("asks-the-ca-for-rules"):
			if u, err := url.Parse(c.url); err == nil {
				var d net.Dialer
				if conn, err := d.DialContext(ctx, "tcp", u.Host); err == nil {
					_ = conn.Close()
				}
			}
		case c.broken("refuses-good-orders"):
			good = false
		case c.broken("dies-of-rules"):
			os.Exit(3)
		}
		if !good {
			out = append(out, f)
		}
	}
	return out, nil
}

func (c *smallCA) open() (err error) {
	if c.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "small"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, c.key.Public(), c.key)
	if err != nil {
		return err
	}
	c.root, err = x509.ParseCertificate(der)
	return err
}

func (c *smallCA) file(reference string) string {
	return filepath.Join(c.dir, filepath.Base(reference)+".json")
}

func (c *smallCA) load(reference string) (*smallOrder, error) {
	text, err := os.ReadFile(c.file(reference))
	if errors.Is(err, fs.ErrNotExist) {
		switch {
		case c.broken("not-found-without-kind"):
			return nil, errors.New("no such order")
		case c.broken("invents-orders"):
			return &smallOrder{Reference: reference}, nil
		case c.broken("dies-on-unknown-order"):
			os.Exit(3)
		}
		return nil, pluginapi.Errorf(pluginapi.NotFound, "no such order")
	}
	if err != nil {
		return nil, pluginapi.Errorf(pluginapi.Unavailable, "read: %w", err)
	}
	var o smallOrder
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, pluginapi.Errorf(pluginapi.Unavailable, "read: %w", err)
	}
	return &o, nil
}

// save writes an order; of two first writers one wins.
func (c *smallCA) save(o *smallOrder) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(c.dir, "new")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close(), os.Rename(f.Name(), c.file(o.Reference)))
}

func (c *smallCA) PlaceOrder(_ context.Context, r pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	var in struct {
		Product string `json:"product"`
	}
	if err := r.Settings.Decode(&in); err != nil && !c.broken("ignores-order-settings") {
		return pluginapi.OrderReply{}, err
	}
	reference := r.IdempotencyKey
	switch {
	case c.broken("buys-twice"):
		reference = randomHex()
	case c.broken("buys-twice-after-restart"):
		reference = fmt.Sprintf("%s-%d", reference, os.Getpid())
	}
	if o, err := c.load(reference); err == nil && !c.broken("invents-orders") {
		return c.reply(o), nil
	}
	o := &smallOrder{Key: r.IdempotencyKey, Reference: reference, CSR: r.CSR, Names: r.Identifiers}
	if c.broken("forgets-when-killed") {
		return c.reply(o), nil
	}
	return c.reply(o), c.save(o)
}

func (c *smallCA) reply(o *smallOrder) pluginapi.OrderReply {
	out := pluginapi.Order{Reference: o.Reference, Status: pluginapi.Processing, LookAgainAfter: pluginapi.After(0), Detail: "at work"}
	switch {
	case o.Canceled:
		out.Status = pluginapi.Canceled
	case len(o.Chain) > 0:
		out.Status, out.Chain = pluginapi.Issued, o.Chain
		if c.broken("issued-without-chain") {
			out.Chain = nil
		}
	}
	if c.broken("secret-in-detail") {
		out.Detail = "looked with " + c.secret
	}
	if c.broken("secret-in-state") {
		out.State = []byte(c.secret)
	}
	if c.broken("unknown-status") {
		out.Status = 42
	}
	if c.broken("changes-challenge") {
		name := o.Names[0].Value
		out.Authorizations = []pluginapi.Authorization{{Identifier: name, Valid: true, Challenges: []pluginapi.Challenge{{ID: "1", Identifier: name,
			HTTP: &pluginapi.HTTPFile{Host: name, Path: "/.well-known/file", Body: fmt.Sprint(c.calls.Add(1))}}}}}
	}
	return pluginapi.OrderReply{Order: out}
}

func (c *smallCA) GetOrder(ctx context.Context, p pluginapi.PlacedOrder) (pluginapi.OrderReply, error) {
	if c.broken("hangs") {
		c.calls.Store(1) // from now on even Describe gets no answer
		<-context.WithoutCancel(ctx).Done()
	}
	if c.broken("dies-on-garbled-state") && strings.Contains(string(p.State), "garbage") {
		os.Exit(3)
	}
	o, err := c.load(p.Reference)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	if !o.Canceled && len(o.Chain) == 0 {
		if err := c.issue(o); err != nil {
			return pluginapi.OrderReply{}, err
		}
	}
	if c.broken("changes-reference") {
		o.Reference += "x"
	}
	if c.broken("never-issues") {
		o.Chain = nil
	}
	return c.reply(o), ctx.Err()
}

func (c *smallCA) InspectOrder(ctx context.Context, reference string, _ []byte) (pluginapi.OrderReply, error) {
	if c.broken("takes-a-step-when-inspected") {
		return c.GetOrder(ctx, pluginapi.PlacedOrder{Reference: reference})
	}
	o, err := c.load(reference)
	switch {
	case err != nil && c.broken("cannot-tell-unknown-orders"):
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.Unavailable, "no such order")
	case err != nil:
		return pluginapi.OrderReply{}, err
	}
	out := c.reply(o)
	for _, id := range o.Names {
		out.Order.Names = append(out.Order.Names, id.Value)
	}
	switch {
	case c.broken("inspects-half-the-names"):
		out.Order.Names = out.Order.Names[1:]
	case c.broken("restless-when-inspected"):
		out.Order.CoverageEnd = time.Now()
	}
	out.Order.Chain = nil // need not come along
	return out, nil
}

func (c *smallCA) issue(o *smallOrder) error {
	csr, err := x509.ParseCertificateRequest(o.CSR)
	if err != nil {
		return pluginapi.Errorf(pluginapi.InvalidRequest, "read: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: serial, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour)}
	for _, id := range o.Names {
		template.DNSNames = append(template.DNSNames, id.Value)
	}
	public := csr.PublicKey
	switch c.fault {
	case "wrong-key":
		public = c.key.Public()
	case "forgets-a-name":
		template.DNSNames = template.DNSNames[1:]
	case "not-yet-valid":
		template.NotBefore = time.Now().Add(30 * time.Minute)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.root, public, c.key)
	if err != nil {
		return err
	}
	o.Chain = [][]byte{der}
	if c.broken("chain-breaks") {
		o.Chain = [][]byte{der, der}
	}
	return c.save(o)
}

func (c *smallCA) RespondToChallenges(ctx context.Context, p pluginapi.PlacedOrder, _ []string) (pluginapi.OrderReply, error) {
	return c.GetOrder(ctx, p)
}

func (c *smallCA) FindOrder(_ context.Context, r pluginapi.OrderRequest, _ time.Time) (pluginapi.OrderReply, error) {
	if c.broken("finds-nothing") {
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.NotFound, "no such order")
	}
	if c.broken("finds-with-wrong-kind") {
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.Rejected, "no such order")
	}
	o, err := c.load(r.IdempotencyKey)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	return c.reply(o), nil
}

func (c *smallCA) CancelOrder(_ context.Context, p pluginapi.PlacedOrder, _ string) (pluginapi.OrderReply, error) {
	o, err := c.load(p.Reference)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	o.Canceled = !c.broken("cancel-does-nothing")
	return c.reply(o), c.save(o)
}

// certificate finds an order by its leaf.
func (c *smallCA) certificate(leaf []byte) (*smallOrder, error) {
	files, err := filepath.Glob(filepath.Join(c.dir, "*.json"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		o, err := c.load(strings.TrimSuffix(filepath.Base(file), ".json"))
		if err == nil && len(o.Chain) > 0 && string(o.Chain[0]) == string(leaf) {
			return o, nil
		}
	}
	return nil, pluginapi.Errorf(pluginapi.NotFound, "not one of ours")
}

func (c *smallCA) FindOrderByCertificate(_ context.Context, leaf []byte) (pluginapi.OrderReply, error) {
	o, err := c.certificate(leaf)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	if c.broken("finds-another-order") {
		o.Reference = randomHex()
	}
	return c.reply(o), nil
}

func (c *smallCA) RevokeCertificate(_ context.Context, r pluginapi.Revocation) (pluginapi.RevocationReply, error) {
	if _, err := c.certificate(r.Leaf); err != nil {
		return pluginapi.RevocationReply{}, err
	}
	if c.broken("revokes-once") && c.calls.Add(1) > 1 {
		return pluginapi.RevocationReply{}, pluginapi.Errorf(pluginapi.Conflict, "revoked already")
	}
	return pluginapi.RevocationReply{}, nil
}

func (c *smallCA) RenewalInfo(_ context.Context, leaf []byte) (pluginapi.RenewalInfo, error) {
	if _, err := c.certificate(leaf); err != nil {
		return pluginapi.RenewalInfo{}, err
	}
	parsed, err := x509.ParseCertificate(leaf)
	if err != nil {
		return pluginapi.RenewalInfo{}, err
	}
	serial := parsed.SerialNumber.Text(16)
	if c.broken("another-serial") {
		serial = "1"
	}
	return pluginapi.RenewalInfo{WindowStart: parsed.NotBefore, WindowEnd: parsed.NotAfter, Serial: serial}, nil
}
