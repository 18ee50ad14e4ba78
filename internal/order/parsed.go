package order

import (
	"bytes"
	"crypto"
	"crypto/x509"

	"github.com/certbridge/certbridged/internal/cert"
)

// parsed is what this process has made or read of an order's record, so that the next step need not parse it: to parse a private
// key is to compute its public one. It is used as long as the record has the same bytes.
type parsed struct {
	der   []byte // of the key
	key   crypto.Signer
	chain []*x509.Certificate
}

func (en *entry) keepKey(der []byte, key crypto.Signer) {
	en.mu.Lock()
	defer en.mu.Unlock()
	en.parsed.der, en.parsed.key = der, key
}

func (en *entry) keepChain(chain []*x509.Certificate) {
	en.mu.Lock()
	defer en.mu.Unlock()
	en.parsed.chain = chain
}

// key is the private key of an order.
func (w *work) key() (crypto.Signer, error) {
	w.entry.mu.Lock()
	p := w.entry.parsed
	w.entry.mu.Unlock()
	if p.key != nil && bytes.Equal(p.der, w.record.Key) {
		return p.key, nil
	}
	return cert.ParseKey(w.record.Key)
}

// chain is what was issued, in the order that the record has it in.
func (w *work) chain() ([]*x509.Certificate, error) {
	w.entry.mu.Lock()
	chain := w.entry.parsed.chain
	w.entry.mu.Unlock()
	same := len(chain) > 0 && len(chain) == len(w.record.Chain)
	for i := 0; same && i < len(chain); i++ {
		same = bytes.Equal(chain[i].Raw, w.record.Chain[i])
	}
	if same {
		return chain, nil
	}
	return cert.ParseChain(w.record.Chain)
}
