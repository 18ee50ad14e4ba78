package cert_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/internal/cert"
)

const storePassword = "correct horse"

// pair makes a key with a chain of leaf and intermediate.
func pair(t testing.TB) (crypto.Signer, []*x509.Certificate) {
	t.Helper()
	sub := newRoot(t, "root").sub(t, caTemplate("sub"))
	key := newKey(t)
	return key, []*x509.Certificate{sub.sign(t, leafTemplate("example.com"), key.Public()), sub.cert}
}

func samePair(t *testing.T, key, wantKey crypto.Signer, chain, wantChain []*x509.Certificate) {
	t.Helper()
	if !cert.SamePublicKey(key.Public(), wantKey.Public()) {
		t.Error("another key came back")
	}
	if !bytes.Equal(cert.EncodeChain(chain), cert.EncodeChain(wantChain)) {
		t.Errorf("another chain came back: %q", subjects(chain))
	}
}

func TestPKCS12(t *testing.T) {
	key, chain := pair(t)
	for _, password := range []string{storePassword, "", "pässwörd"} {
		data, err := cert.EncodePKCS12(key, chain, password)
		if err != nil {
			t.Fatal(err)
		}
		gotKey, gotChain, err := cert.DecodePKCS12(data, password)
		if err != nil {
			t.Fatal(err)
		}
		samePair(t, gotKey, key, gotChain, chain)
		if _, _, err := cert.DecodePKCS12(data, password+"x"); !errors.Is(err, cert.ErrKeystore) {
			t.Errorf("wrong password: %v", err)
		}
		if _, _, err := cert.DecodePKCS12(data[:len(data)/2], password); !errors.Is(err, cert.ErrKeystore) {
			t.Errorf("cut short: %v", err)
		}
	}
	if _, err := cert.EncodePKCS12(key, nil, storePassword); err == nil {
		t.Error("a PKCS#12 file without a certificate was made")
	}
}

func TestPKCS12WithOpenSSL(t *testing.T) {
	dir := t.TempDir()
	key, chain := pair(t)
	data, err := cert.EncodePKCS12(key, chain, storePassword)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM, err := cert.EncodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "ours.p12", data)
	write(t, dir, "pair.pem", append(cert.EncodeChain(chain), keyPEM...))

	read := run(t, dir, "openssl", "pkcs12", "-in", "ours.p12", "-nodes", "-passin", "pass:"+storePassword)
	contents, err := cert.ParsePEM([]byte(read))
	if err != nil {
		t.Fatal(err)
	}
	samePair(t, contents.Key, key, contents.Certificates, chain)

	for name, args := range map[string][]string{"modern": nil, "legacy": {"-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"}} {
		run(t, dir, "openssl", append([]string{"pkcs12", "-export", "-in", "pair.pem", "-out", name, "-name", "x", "-passout", "pass:" + storePassword}, args...)...)
		gotKey, gotChain, err := cert.DecodePKCS12(readFile(t, dir, name), storePassword)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		samePair(t, gotKey, key, gotChain, chain)
	}
}

func TestJKS(t *testing.T) {
	key, chain := pair(t)
	data, err := cert.EncodeJKS(key, chain, storePassword, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, alias := range []string{"", cert.DefaultAlias, strings.ToUpper(cert.DefaultAlias)} {
		gotKey, gotChain, err := cert.DecodeJKS(data, storePassword, alias)
		if err != nil {
			t.Fatal(err)
		}
		samePair(t, gotKey, key, gotChain, chain)
	}
	if _, _, err := cert.DecodeJKS(data, "wrong password", ""); !errors.Is(err, cert.ErrKeystore) {
		t.Errorf("wrong password: %v", err)
	}
	if _, _, err := cert.DecodeJKS(data, storePassword, "other"); err == nil || !strings.Contains(err.Error(), cert.DefaultAlias) {
		t.Errorf("wrong alias: %v", err)
	}
	if _, err := cert.EncodeJKS(key, chain, "short", ""); err == nil || !strings.Contains(err.Error(), "at least 6") {
		t.Errorf("short password: %v", err)
	}
	if _, err := cert.EncodeJKS(key, nil, storePassword, ""); err == nil {
		t.Error("a keystore without a certificate was made")
	}
}

func TestUpdateJKSKeepsOtherEntries(t *testing.T) {
	first, firstChain := pair(t)
	second, secondChain := pair(t)
	third, thirdChain := pair(t)
	data, err := cert.EncodeJKS(first, firstChain, storePassword, "first")
	if err != nil {
		t.Fatal(err)
	}
	if data, err = cert.UpdateJKS(data, second, secondChain, storePassword, "second"); err != nil {
		t.Fatal(err)
	}
	if data, err = cert.UpdateJKS(data, third, thirdChain, storePassword, "second"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := cert.DecodeJKS(data, storePassword, ""); err == nil || !strings.Contains(err.Error(), `"first" "second"`) {
		t.Errorf("two keys and no alias: %v", err)
	}
	key, chain, err := cert.DecodeJKS(data, storePassword, "first")
	if err != nil {
		t.Fatal(err)
	}
	samePair(t, key, first, chain, firstChain)
	key, chain, err = cert.DecodeJKS(data, storePassword, "second")
	if err != nil {
		t.Fatal(err)
	}
	samePair(t, key, third, chain, thirdChain)
	if _, err := cert.UpdateJKS(data, third, thirdChain, "wrong password", "second"); !errors.Is(err, cert.ErrKeystore) {
		t.Errorf("wrong password: %v", err)
	}
}

func TestDecodeJKSNamesOtherForms(t *testing.T) {
	key, chain := pair(t)
	p12, err := cert.EncodePKCS12(key, chain, storePassword)
	if err != nil {
		t.Fatal(err)
	}
	for want, data := range map[string][]byte{
		"PKCS#12": p12, "PEM": cert.EncodeChain(chain), "JCEKS": {0xce, 0xce, 0xce, 0xce, 0, 0, 0, 2}, "not a Java keystore": []byte("x"),
	} {
		if _, _, err := cert.DecodeJKS(data, storePassword, ""); !errors.Is(err, cert.ErrNotJKS) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestKeystoresWithKeytool(t *testing.T) {
	needTool(t, "keytool")
	dir := t.TempDir()
	key, chain := pair(t)
	jks, err := cert.EncodeJKS(key, chain, storePassword, "web")
	if err != nil {
		t.Fatal(err)
	}
	p12, err := cert.EncodePKCS12(key, chain, storePassword)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "ours.jks", jks)
	write(t, dir, "ours.p12", p12)
	fingerprint := cert.Fingerprint(chain[0])
	for _, file := range []string{"ours.jks", "ours.p12"} {
		listed := run(t, dir, "keytool", "-J-Duser.language=en", "-list", "-v", "-keystore", file, "-storepass", storePassword)
		plain := strings.ToLower(strings.ReplaceAll(listed, ":", ""))
		if !strings.Contains(plain, "privatekeyentry") || !strings.Contains(plain, fingerprint) || !strings.Contains(plain, "chain length 2") {
			t.Errorf("%s: keytool shows\n%s", file, listed)
		}
	}
	run(t, dir, "keytool", "-genkeypair", "-keystore", "java.jks", "-storetype", "JKS", "-storepass", storePassword, "-keypass", storePassword,
		"-alias", "Java", "-keyalg", "RSA", "-keysize", "2048", "-dname", "CN=java.example.com")
	_, got, err := cert.DecodeJKS(readFile(t, dir, "java.jks"), storePassword, "java")
	if err != nil {
		t.Fatal(err)
	}
	if got[0].Subject.CommonName != "java.example.com" {
		t.Errorf("subject %s", got[0].Subject)
	}
}

// TestDamagedJKSTakesNoMemory holds files whose counts and lengths promise gigabytes.
func TestDamagedJKSTakesNoMemory(t *testing.T) {
	key, chain := pair(t)
	good, err := cert.EncodeJKS(key, chain, storePassword, "")
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		for _, bits := range []byte{0xff, 0x80, 0x01} {
			bad := bytes.Clone(good)
			bad[i] ^= bits
			if _, _, err := cert.DecodeJKS(bad, storePassword, ""); err == nil {
				t.Fatalf("byte %d changed by %#x and nobody noticed", i, bits)
			}
		}
		if _, _, err := cert.DecodeJKS(good[:i], storePassword, ""); err == nil {
			t.Fatalf("cut to %d bytes and nobody noticed", i)
		}
	}
}

func TestPKCS12WithAbsurdRounds(t *testing.T) {
	key, chain := pair(t)
	good, err := cert.EncodePKCS12(key, chain, storePassword)
	if err != nil {
		t.Fatal(err)
	}
	// The rounds of the password check are the file's last integer; it grows by two bytes, and so does all around it.
	rounds := bytes.LastIndex(good, []byte{2, 2, 8, 0})
	if rounds < 0 || rounds != len(good)-4 {
		t.Fatalf("the rounds are not where this test looks for them: %x", good[len(good)-16:])
	}
	mac := bytes.LastIndex(good, []byte{0x30, 0x47, 0x30, 0x2f})
	if mac < 0 {
		t.Fatalf("no MAC: %x", good[len(good)-80:])
	}
	bad := append(bytes.Clone(good[:rounds]), 2, 4, 0x7f, 0xff, 0xff, 0xff)
	bad[mac+1] += 2
	bad[3] += 2
	if _, _, err := cert.DecodePKCS12(bad, storePassword); err == nil || !strings.Contains(err.Error(), "rounds") {
		t.Errorf("err = %v", err)
	}
}

func write(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func FuzzDecodePKCS12(f *testing.F) {
	key, chain := pair(f)
	data, err := cert.EncodePKCS12(key, chain, storePassword)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		key, chain, err := cert.DecodePKCS12(data, storePassword)
		if err == nil && (key == nil || len(chain) == 0) {
			t.Error("nothing came without an error")
		}
	})
}

func FuzzDecodeJKS(f *testing.F) {
	key, chain := pair(f)
	data, err := cert.EncodeJKS(key, chain, storePassword, "")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte{0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		key, chain, err := cert.DecodeJKS(data, storePassword, "")
		if err == nil && (key == nil || chain == nil) {
			t.Error("nothing came without an error")
		}
	})
}
