package digicert

import (
	"archive/zip"
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// findCertificate finds a certificate by its id or serial number. The lock is held.
func (s *Server) findCertificate(c *call, name string) (*order, *certificate) {
	n, err := strconv.ParseInt(name, 10, 64)
	if err != nil {
		n = 0
	}
	return s.Account.certificate(c.user, n, name)
}

// issued finds a certificate that can be handed out.
//
// Unconfirmed: the answer for a certificate that is not issued yet; the stand-in answers 404.
func (s *Server) issued(c *call) (*certificate, error) {
	_, cert := s.findCertificate(c, c.r.PathValue("id"))
	if cert == nil || len(cert.DER) == 0 {
		return nil, notFound("certificate")
	}
	if sandbox.Told(c.ctx()) == sandbox.OtherCertificate {
		return s.otherThan(cert), nil
	}
	return cert, nil
}

// otherThan is a certificate that was not asked for, as the service is known to hand out now and then: another one of
// the account if there is one.
func (s *Server) otherThan(cert *certificate) *certificate {
	for _, o := range sortedByID(s.Account.Orders) {
		for _, other := range o.Certificates {
			if other.ID != cert.ID && len(other.DER) > 0 {
				return other
			}
		}
	}
	return cert
}

// download is GET /certificate/{id}/download/format/{format}.
func (s *Server) download(c *call) (reply, error) {
	return s.handOut(c, c.r.PathValue("format"), func() (*certificate, error) { return s.issued(c) })
}

// downloadPlatform is GET /certificate/{id}/download/platform and .../platform/{platform}.
//
// Unconfirmed: the format for each platform; one client in the field has 29 as pem_all, and web servers are known for archives.
func (s *Server) downloadPlatform(c *call) (reply, error) {
	format := "default"
	if c.r.PathValue("platform") == "29" {
		format = "pem_all"
	}
	return s.handOut(c, format, func() (*certificate, error) { return s.issued(c) })
}

// downloadOrder is GET /certificate/download/order/{id}/format/{format}: the certificate in force, no duplicate.
func (s *Server) downloadOrder(c *call) (reply, error) {
	return s.handOut(c, c.r.PathValue("format"), func() (*certificate, error) {
		n, err := c.number("id")
		if err != nil {
			return nil, err
		}
		o := s.Account.order(c.user, n)
		if o == nil {
			return nil, orderNotFound()
		}
		cert := o.primary()
		if len(cert.DER) == 0 {
			return nil, notFound("certificate")
		}
		if sandbox.Told(c.ctx()) == sandbox.OtherCertificate {
			return s.otherThan(cert), nil
		}
		return cert, nil
	})
}

func (s *Server) handOut(c *call, format string, find func() (*certificate, error)) (reply, error) {
	var raw []byte
	var kind string
	err := s.Read(func(st *state) error {
		cert, err := find()
		if err != nil {
			return err
		}
		i := st.Authority.Issuer(cert.Issuer)
		raw, kind, err = encode(format, cert.DER, i.Cert.Raw, i.Root.Raw)
		return err
	})
	return reply{status: http.StatusOK, raw: raw, kind: kind}, err
}

// encode writes a chain in one of the documented formats. Some of them are archives.
func encode(format string, chain ...[]byte) (raw []byte, kind string, err error) {
	const pemKind, zipKind = "application/x-pem-file", "application/zip"
	join := func(n int) []byte {
		var b bytes.Buffer
		for _, der := range chain[:n] {
			b.WriteString(encodePEM(der))
		}
		return b.Bytes()
	}
	switch format {
	case "pem_all":
		return join(3), pemKind, nil
	case "pem_noroot":
		return join(2), pemKind, nil
	case "pem_nointermediate":
		return join(1), pemKind, nil
	case "default", "default_pem", "default_cer", "apache":
		raw, err := archive(chain)
		return raw, zipKind, err
	case "p7b", "cer":
		der, err := bundle(chain)
		if err != nil {
			return nil, "", err
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: der}), "application/x-pkcs7-certificates", nil
	default:
		return nil, "", fail(http.StatusBadRequest, "invalid_value:format_type", "%s is no format.", format)
	}
}

func archive(chain [][]byte) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i, name := range []string{"certificate.crt", "DigiCertCA.crt", "TrustedRoot.crt"} {
		w, err := z.Create(name)
		if err != nil {
			return nil, fmt.Errorf("make the archive: %w", err)
		}
		if _, err := w.Write([]byte(encodePEM(chain[i]))); err != nil {
			return nil, fmt.Errorf("make the archive: %w", err)
		}
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("make the archive: %w", err)
	}
	return b.Bytes(), nil
}

// bundle is a PKCS#7 SignedData that signs nothing and holds certificates (RFC 2315 section 9.1).
func bundle(chain [][]byte) ([]byte, error) {
	explicit := func(content []byte) asn1.RawValue {
		return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: content}
	}
	type empty struct{ Type asn1.ObjectIdentifier }
	type signed struct {
		Version      int
		Digests      []asn1.RawValue `asn1:"set"`
		Content      empty
		Certificates asn1.RawValue
		Signers      []asn1.RawValue `asn1:"set"`
	}
	type contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}
	data, signedData := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	inner, err := asn1.Marshal(signed{
		Version: 1, Digests: []asn1.RawValue{}, Content: empty{data}, Certificates: explicit(slices.Concat(chain...)), Signers: []asn1.RawValue{},
	})
	if err != nil {
		return nil, fmt.Errorf("make the PKCS#7 bundle: %w", err)
	}
	return asn1.Marshal(contentInfo{Type: signedData, Content: explicit(inner)})
}

// chain is GET /certificate/{id}/chain. In spite of its name the list begins with the certificate itself.
func (s *Server) chain(c *call) (reply, error) {
	var body obj
	err := s.Read(func(st *state) error {
		cert, err := s.issued(c)
		if err == nil {
			body = obj{"intermediates": chainObjects(st.Authority, cert)}
		}
		return err
	})
	return ok(body), err
}

func keySize(csr *x509.CertificateRequest) int {
	switch key := csr.PublicKey.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen()
	case *ecdsa.PublicKey:
		return key.Curve.Params().BitSize
	default:
		return 0
	}
}
