package plugintest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

const (
	callConfigure  = "/certbridge.plugin.v1.CAService/Configure"
	callPlaceOrder = "/certbridge.plugin.v1.CAService/PlaceOrder"
	callGetOrder   = "/certbridge.plugin.v1.CAService/GetOrder"

	invalidRequest = int(pluginapi.InvalidRequest)
)

// message builds a protobuf message by field number, well formed or not.
type message []byte

func (m message) bytes(field protowire.Number, b []byte) message {
	return protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), b)
}

func (m message) number(field protowire.Number, n uint64) message {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), n)
}

// orderParts are the fields of an OrderRequest; a test changes one.
type orderParts struct {
	key         string
	kind        uint64
	csr         []byte
	names       []string
	nameType    uint64
	moreAtFront []byte
}

func (o orderParts) encode() []byte {
	m := message(o.moreAtFront).bytes(1, []byte(o.key)).number(2, o.kind).bytes(3, o.csr)
	for _, name := range o.names {
		m = m.bytes(4, message(nil).bytes(1, []byte(name)).number(2, o.nameType))
	}
	return m
}

// garbage is one message that must be refused.
type garbage struct {
	what, call string
	body       []byte
	// kind: the plugin's own code gets to see it and must say invalid-request. Otherwise any failure will do.
	kind bool
}

func (s *suite) makeGarbage(r pluginapi.OrderRequest) []garbage {
	good := orderParts{key: r.IdempotencyKey, kind: 1, csr: r.CSR, nameType: 1}
	for _, id := range r.Identifiers {
		good.names = append(good.names, id.Value)
	}
	out := []garbage{
		{"no order at all", callPlaceOrder, nil, true},
		{"a message cut off", callPlaceOrder, []byte{0x0a, 0xff, 0x01, 0x41}, false},
		{"random bytes", callPlaceOrder, []byte("\xde\xad\xbe\xef\x00\x01\x02garbage"), false},
	}
	change := func(what string, kind bool, do func(o *orderParts)) {
		o := good
		do(&o)
		if s.desc.OrdersCostMoney && !s.o.SpendMoney { // a careless plugin would buy
			out = append(out, garbage{what, callGetOrder, message(nil).bytes(1, o.encode()).bytes(2, []byte("no-such-order")), false})
			return
		}
		out = append(out, garbage{what, callPlaceOrder, message(nil).bytes(1, o.encode()), kind})
	}
	change("no idempotency key", true, func(o *orderParts) { o.key = "" })
	change("an idempotency key with a path in it", true, func(o *orderParts) { o.key = "../../../../../../tmp/plugintest" })
	change("an unknown kind of order", true, func(o *orderParts) { o.kind = 99 })
	change("no kind of order", true, func(o *orderParts) { o.kind = 0 })
	change("a renewal of nothing", true, func(o *orderParts) { o.kind = 2 })
	change("no request", true, func(o *orderParts) { o.csr = nil })
	change("a request that is text", true, func(o *orderParts) { o.csr = []byte("-----BEGIN CERTIFICATE REQUEST-----") })
	change("a request cut off", true, func(o *orderParts) { o.csr = o.csr[:len(o.csr)/2] })
	change("a request with a wrong signature", true, func(o *orderParts) {
		o.csr = bytes.Clone(o.csr)
		o.csr[len(o.csr)-1] ^= 1
	})
	change("no names", true, func(o *orderParts) { o.names = nil })
	change("a name with a space", true, func(o *orderParts) { o.names = []string{"a b.example"} })
	change("an empty name", true, func(o *orderParts) { o.names = []string{""} })
	change("a name of an unknown type", true, func(o *orderParts) { o.nameType = 77 })
	change("10,000 names", true, func(o *orderParts) {
		o.names = nil
		for i := range 10_000 {
			o.names = append(o.names, fmt.Sprintf("n%d.plugintest.example", i))
		}
	})
	change("invalid UTF-8", false, func(o *orderParts) { o.names = []string{"\xff\xfe.example"} })
	change("a broken field in front", false, func(o *orderParts) { o.moreAtFront = []byte{0x0f} })
	return append(out,
		garbage{"GetOrder without a reference", callGetOrder, message(nil).bytes(1, good.encode()), true},
		garbage{"GetOrder with a reference that climbs", callGetOrder, message(nil).bytes(1, good.encode()).bytes(2, []byte("../../../../etc/passwd")), false},
		garbage{"GetOrder with 1 MiB of state", callGetOrder,
			message(nil).bytes(1, good.encode()).bytes(2, []byte("no-such-order")).bytes(3, bytes.Repeat([]byte{0xff}, 1<<20)), false},
	)
}

// checkGarbage sends what no daemon would. The plugin must refuse all of it and live.
func (s *suite) checkGarbage(ctx context.Context, v *verdict) {
	r, err := s.sample()
	if err != nil {
		v.failf("%v", err)
		return
	}
	s.session(ctx, v, func(n *session) {
		for _, g := range s.makeGarbage(r) {
			s.checkOneGarbage(ctx, v, n.p, g)
			if !n.p.alive(ctx) {
				v.failf("%s: the plugin died", g.what)
				return
			}
		}
	})
	s.with(v, func(p *process) {
		text := bytes.Repeat([]byte("x"), wire.MaxMessageSize+(1<<20))
		entry := message(nil).bytes(1, []byte("dir")).bytes(2, message(nil).bytes(3, text))
		s.checkOneGarbage(ctx, v, p, garbage{"5 MiB of settings", callConfigure, message(nil).bytes(1, message(nil).bytes(1, entry)), false})
		s.checkOneGarbage(ctx, v, p, garbage{"settings nested 5,000 deep", callConfigure, message(nil).bytes(1, nested(5000)), false})
		if !p.alive(ctx) {
			v.failf("settings too large: the plugin died")
		}
	})
}

// nested is a google.protobuf.Struct in a Struct in a Struct.
func nested(depth int) message {
	inner := message(nil)
	for range depth {
		value := message(nil).bytes(5, inner)
		inner = message(nil).bytes(1, message(nil).bytes(1, []byte("a")).bytes(2, value))
	}
	return inner
}

func (s *suite) checkOneGarbage(ctx context.Context, v *verdict, p *process, g garbage) {
	ctx, cancel := s.callContext(ctx)
	defer cancel()
	err := p.sendRaw(ctx, g.call, g.body)
	st := status.Convert(err)
	switch {
	case err == nil && g.call == callConfigure:
		// Findings are an answer, too: what counts is that it is not accepted, which the next call shows.
		if p.sendRaw(ctx, callGetOrder, nil) == nil {
			v.failf("%s: accepted", g.what)
		}
	case err == nil:
		v.failf("%s: accepted", g.what)
	case st.Code() == codes.Unavailable && errorKind(st) == 0:
		v.failf("%s: the connection broke: %s", g.what, st.Message())
	case g.kind && errorKind(st) != invalidRequest:
		v.failf("%s: want invalid-request, got kind %q, status %s: %s", g.what, pluginapi.ErrorKind(errorKind(st)), st.Code(), st.Message())
	}
}

// strangeLeaf is a certificate that no CA under test has issued.
func strangeLeaf() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), Subject: pkix.Name{CommonName: "stranger.plugintest.example"},
		DNSNames: []string{"stranger.plugintest.example"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	return der, nil
}
