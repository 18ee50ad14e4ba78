package tencent

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
)

const (
	pemCertificate = "CERTIFICATE"
	pemRequest     = "CERTIFICATE REQUEST"
	pemKey         = "PRIVATE KEY"
)

// makeCSR makes the key and the request of an order whose key the service keeps.
func makeCSR(algorithm, parameter, commonName string) (csr string, keyPEM []byte, err error) {
	key, err := makeKey(algorithm, parameter)
	if err != nil {
		return "", nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: commonName}}, key)
	if err != nil {
		return "", nil, fmt.Errorf("make a request: %w", err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", nil, fmt.Errorf("encode the key: %w", err)
	}
	return encodePEM(pemRequest, der), []byte(encodePEM(pemKey, raw)), nil
}

func makeKey(algorithm, parameter string) (crypto.Signer, error) {
	switch algorithm + " " + parameter {
	case "RSA 2048":
		return rsa.GenerateKey(rand.Reader, 2048)
	case "RSA 4096":
		return rsa.GenerateKey(rand.Reader, 4096)
	case "ECC prime256v1":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ECC secp384r1":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	default:
		return nil, fail(invalidAlgorithm, "There are no keys of the algorithm %q with %q.", algorithm, parameter)
	}
}

func keyAlgorithm(key crypto.PublicKey) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECC " + k.Curve.Params().Name
	default:
		return ""
	}
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
