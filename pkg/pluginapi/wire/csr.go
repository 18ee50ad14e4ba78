package wire

import (
	"crypto/sha256"
	"crypto/x509"
	"sync"
)

// csrCheck says what is wrong with the request of an order.
type csrCheck func(der []byte) error

// parseCSR looks at a request's form. Its signature costs more to check than the rest of a call, and is looked at where
// something is bought with it: see goodCSRs.checkSigned.
func parseCSR(der []byte) (*x509.CertificateRequest, error) {
	if len(der) == 0 {
		return nil, bad("csr", "is not given")
	}
	if err := sized("csr", der, maxCSR); err != nil {
		return nil, err
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, bad("csr", "is not a PKCS#10 request in DER")
	}
	return csr, nil
}

// goodCSRs remembers which requests have a good form: each comes with every call about its order, and reading one costs a third of
// a call. It may be used concurrently.
type goodCSRs struct {
	mu   sync.Mutex
	sums map[[sha256.Size]byte]struct{}
}

// maxGoodCSRs bounds what is remembered, to some 100 kB; what is forgotten is read once more.
const maxGoodCSRs = 2048

// check looks at a request's form.
func (g *goodCSRs) check(der []byte) error {
	sum := sha256.Sum256(der)
	g.mu.Lock()
	_, good := g.sums[sum]
	g.mu.Unlock()
	if good {
		return nil
	}
	if _, err := parseCSR(der); err != nil {
		return err
	}
	g.add(sum)
	return nil
}

// checkSigned looks at a request's form, and refuses one that is not signed by the key in it: a CA would, with the order placed. It
// is done for orders that cost nothing too, for a plugin may itself be such a CA and need not look again.
func (g *goodCSRs) checkSigned(der []byte) error {
	csr, err := parseCSR(der)
	if err != nil {
		return err
	}
	if err := csr.CheckSignature(); err != nil {
		return bad("csr", "has a signature that does not fit its key")
	}
	g.add(sha256.Sum256(der))
	return nil
}

func (g *goodCSRs) add(sum [sha256.Size]byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sums == nil || len(g.sums) >= maxGoodCSRs {
		g.sums = map[[sha256.Size]byte]struct{}{}
	}
	g.sums[sum] = struct{}{}
}
