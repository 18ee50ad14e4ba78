package wire

import (
	"crypto/sha256"
	"crypto/x509"
	"sync"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// checkCSR looks at a request's form. Its signature costs more to check than the rest of a call, and is looked at where
// something is bought with it: see checkSignature.
func checkCSR(der []byte) error {
	if len(der) == 0 {
		return bad("csr", "is not given")
	}
	if err := sized("csr", der, maxCSR); err != nil {
		return err
	}
	if _, err := x509.ParseCertificateRequest(der); err != nil {
		return bad("csr", "is not a PKCS#10 request in DER")
	}
	return nil
}

// goodCSRs remembers which requests have a good form: each comes with every call about its order, and reading one costs a third of
// a call. It may be used concurrently.
type goodCSRs struct {
	mu   sync.Mutex
	sums map[[sha256.Size]byte]struct{}
}

// maxGoodCSRs bounds what is remembered, to some 100 kB; what is forgotten is read once more.
const maxGoodCSRs = 2048

func (g *goodCSRs) check(der []byte) error {
	sum := sha256.Sum256(der)
	g.mu.Lock()
	_, good := g.sums[sum]
	g.mu.Unlock()
	if good {
		return nil
	}
	if err := checkCSR(der); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sums == nil || len(g.sums) >= maxGoodCSRs {
		g.sums = map[[sha256.Size]byte]struct{}{}
	}
	g.sums[sum] = struct{}{}
	return nil
}

// checkSignature refuses an order whose request is not signed by the key in it: a CA would, with the order placed.
func checkSignature(order pluginapi.OrderRequest) error {
	csr, err := x509.ParseCertificateRequest(order.CSR)
	if err != nil {
		return bad("order.csr", "is not a PKCS#10 request in DER")
	}
	if err := csr.CheckSignature(); err != nil {
		return bad("order.csr", "has a signature that does not fit its key")
	}
	return nil
}
