package cert

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"
)

// DefaultAlias is the name an entry gets in a JKS when none is asked for.
const DefaultAlias = "certificate"

// minJKSPassword is the shortest password that Java's keytool accepts, in characters.
const minJKSPassword = 6

// x509Type is how a JKS spells the type of an X.509 certificate.
const x509Type = "X.509"

// ErrKeystore is what every failure to open a PKCS#12 file or a JKS is, be it damaged or the password wrong.
var ErrKeystore = errors.New("wrong password, or damaged")

// EncodePKCS12 returns key and chain as a PKCS#12 file (RFC 7292), encrypted with AES-256 as OpenSSL 3, Java 8u301 and
// Windows Server 2019 or later read it. The chain's first certificate is the key's. The entry has no friendly name; Java
// calls it "1".
func EncodePKCS12(key crypto.Signer, chain []*x509.Certificate, password string) ([]byte, error) {
	if len(chain) == 0 {
		return nil, errors.New("encode PKCS#12: no certificate")
	}
	data, err := pkcs12.Modern2023.Encode(key, chain[0], chain[1:], password)
	if err != nil {
		return nil, fmt.Errorf("encode PKCS#12: %w", err)
	}
	return data, nil
}

// DecodePKCS12 reads the key and the certificates, the key's own first, from a PKCS#12 file.
func DecodePKCS12(data []byte, password string) (crypto.Signer, []*x509.Certificate, error) {
	if err := checkPKCS12Rounds(data); err != nil {
		return nil, nil, fmt.Errorf("read PKCS#12: %w: %w", ErrKeystore, err)
	}
	parsed, leaf, more, err := pkcs12.DecodeChain(data, password)
	if err != nil {
		return nil, nil, fmt.Errorf("read PKCS#12: %w: %w", ErrKeystore, err)
	}
	key, err := signer(parsed)
	if err != nil {
		return nil, nil, fmt.Errorf("read PKCS#12: %w", err)
	}
	if leaf == nil {
		return nil, nil, fmt.Errorf("read PKCS#12: %w: no certificate", ErrKeystore)
	}
	return key, append([]*x509.Certificate{leaf}, more...), nil
}

// EncodeJKS returns key and chain as a Java keystore with one entry. An empty alias means DefaultAlias.
func EncodeJKS(key crypto.Signer, chain []*x509.Certificate, password, alias string) ([]byte, error) {
	return encodeJKS(newJKS(), key, chain, password, alias)
}

// UpdateJKS puts key and chain into an existing Java keystore in place of what has the alias, and keeps all other
// entries. An empty alias means DefaultAlias.
func UpdateJKS(old []byte, key crypto.Signer, chain []*x509.Certificate, password, alias string) ([]byte, error) {
	store, err := openJKS(old, password)
	if err != nil {
		return nil, err
	}
	return encodeJKS(store, key, chain, password, alias)
}

// DecodeJKS reads the key and the chain that an alias has in a Java keystore. An empty alias means the only private
// key in it; with several the error names their aliases. The key must have the keystore's password.
func DecodeJKS(data []byte, password, alias string) (crypto.Signer, []*x509.Certificate, error) {
	store, err := openJKS(data, password)
	if err != nil {
		return nil, nil, err
	}
	alias, err = chooseAlias(store, alias)
	if err != nil {
		return nil, nil, err
	}
	entry, err := store.GetPrivateKeyEntry(alias, []byte(password))
	if err != nil {
		return nil, nil, fmt.Errorf("read JKS: private key %q: %w: %w", alias, ErrKeystore, err)
	}
	key, err := ParseAnyKey(entry.PrivateKey)
	if err != nil {
		return nil, nil, fmt.Errorf("read JKS: private key %q: %w", alias, err)
	}
	der := make([][]byte, 0, len(entry.CertificateChain))
	for _, c := range entry.CertificateChain {
		der = append(der, c.Content)
	}
	chain, err := ParseChain(der)
	if err != nil {
		return nil, nil, fmt.Errorf("read JKS: chain of %q: %w", alias, err)
	}
	return key, chain, nil
}

func newJKS() keystore.KeyStore { return keystore.New(keystore.WithOrderedAliases()) }

func openJKS(data []byte, password string) (keystore.KeyStore, error) {
	store := newJKS()
	if err := checkJKS(data); err != nil {
		return store, fmt.Errorf("read JKS: %w", err)
	}
	if err := checkJKSLengths(data); err != nil {
		return store, fmt.Errorf("read JKS: %w", err)
	}
	if err := store.Load(bytes.NewReader(data), []byte(password)); err != nil {
		return store, fmt.Errorf("read JKS: %w: %w", ErrKeystore, err)
	}
	return store, nil
}

func encodeJKS(store keystore.KeyStore, key crypto.Signer, chain []*x509.Certificate, password, alias string) ([]byte, error) {
	if len(chain) == 0 {
		return nil, errors.New("encode JKS: no certificate")
	}
	if len(password) < minJKSPassword {
		return nil, fmt.Errorf("encode JKS: the password needs at least %d characters, or Java cannot open the file", minJKSPassword)
	}
	if alias == "" {
		alias = DefaultAlias
	}
	der, err := MarshalKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode JKS: %w", err)
	}
	entry := keystore.PrivateKeyEntry{
		CreationTime: chain[0].NotBefore, // the form wants a time, and this package has no clock
		PrivateKey:   der,
	}
	for _, c := range chain {
		entry.CertificateChain = append(entry.CertificateChain, keystore.Certificate{Type: x509Type, Content: c.Raw})
	}
	if err := store.SetPrivateKeyEntry(alias, entry, []byte(password)); err != nil {
		return nil, fmt.Errorf("encode JKS: %w", err)
	}
	var out bytes.Buffer
	if err := store.Store(&out, []byte(password)); err != nil {
		return nil, fmt.Errorf("encode JKS: %w", err)
	}
	return out.Bytes(), nil
}

// chooseAlias returns the alias to read. Java's aliases do not tell upper from lower case.
func chooseAlias(store keystore.KeyStore, alias string) (string, error) {
	var keys []string
	for _, a := range store.Aliases() {
		if store.IsPrivateKeyEntry(a) {
			keys = append(keys, a)
		}
	}
	if alias != "" {
		if store.IsPrivateKeyEntry(alias) {
			return alias, nil
		}
		return "", fmt.Errorf("read JKS: no private key with alias %q: there are %s", alias, quoted(keys))
	}
	if len(keys) != 1 {
		return "", fmt.Errorf("read JKS: give the alias of the private key to read: there are %s", quoted(keys))
	}
	return keys[0], nil
}

func quoted(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return fmt.Sprintf("%q", words)
}

// Container is the form of a binary file as its first bytes show it.
type Container string

// The forms that SniffContainer tells apart.
const (
	ContainerPEM     Container = "pem"
	ContainerDER     Container = "der" // a certificate, a key or a PKCS#12 file
	ContainerJKS     Container = "jks"
	ContainerJCEKS   Container = "jceks"
	ContainerUnknown Container = "unknown"
)

// SniffContainer tells from its bytes what a file probably is.
func SniffContainer(data []byte) Container {
	switch {
	case bytes.HasPrefix(data, []byte{0xfe, 0xed, 0xfe, 0xed}):
		return ContainerJKS
	case bytes.HasPrefix(data, []byte{0xce, 0xce, 0xce, 0xce}):
		return ContainerJCEKS
	case bytes.Contains(data, []byte("-----BEGIN ")):
		return ContainerPEM
	case len(data) > 2 && data[0] == 0x30 && (data[1]&0x80 != 0 || int(data[1]) == len(data)-2):
		return ContainerDER
	default:
		return ContainerUnknown
	}
}

// checkJKS gives the reason a person can act on when a file is no JKS at all.
func checkJKS(data []byte) error {
	switch SniffContainer(data) {
	case ContainerJKS:
		return nil
	case ContainerDER:
		return fmt.Errorf("%w: this is a PKCS#12 file (what keytool writes unless asked for JKS): configure it as pkcs12", ErrNotJKS)
	case ContainerJCEKS:
		return fmt.Errorf("%w: this is a JCEKS keystore, which is not supported: convert it with keytool -importkeystore", ErrNotJKS)
	case ContainerPEM:
		return fmt.Errorf("%w: this is a PEM file", ErrNotJKS)
	default:
		return ErrNotJKS
	}
}

// ErrNotJKS is returned for a file that is something else than a Java keystore.
var ErrNotJKS = errors.New("not a Java keystore")
